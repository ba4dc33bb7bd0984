"""The prover: one committed model, as its callers see it. Times are in seconds."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from soundsright.core.audio import Audio
from soundsright.core.errors import RequestRefused
from soundsright.core.ports import ModelStream, Runner, SandboxLimits
from soundsright.core.submission import FetchedModel
from soundsright.core.tiers import ServedModel
from soundsright.services.prover.keeping import Enhanced, KeptModel, QueueLimits
from soundsright.services.streaming import StreamPlaces


@dataclass(frozen=True)
class ProverLimits:
    """The limits of the model and of the queue before it."""

    sandbox: SandboxLimits = field(default_factory=SandboxLimits)
    queue: QueueLimits = field(default_factory=QueueLimits)
    streams_per_slot: int = 4


class Prover:
    """Keeps a model running and enhances recordings with it.

    `offer` is what it says about itself, except for streams: whether it streams, the running model says.
    """

    def __init__(
        self, runner: Runner, model: FetchedModel, offer: ServedModel, limits: ProverLimits | None = None
    ) -> None:
        limits = limits or ProverLimits()
        self.offer = offer
        self._streams_per_slot = limits.streams_per_slot
        self._kept = KeptModel(runner, model, limits.sandbox, slots=offer.slots, queue=limits.queue)

    def start(self) -> Prover:
        """Start the model. It loads in the background."""
        self._kept.start()
        return self

    def close(self) -> None:
        """End the model."""
        self._kept.close()

    @property
    def problem(self) -> str | None:
        """A sentence while the model does not run."""
        return self._kept.problem

    def served(self) -> ServedModel:
        """What the running model offers.

        Raises:
            RequestRefused: `loading`.
        """
        lookahead_ms = self._kept.stream_lookahead_ms()
        if lookahead_ms is None:
            return self.offer
        return replace(self.offer, streaming=True, lookahead_ms=lookahead_ms)

    def stream_lookahead_ms(self) -> float:
        """The look-ahead of the running model's streams.

        Raises:
            RequestRefused: `loading`, or `no_stream` if the model does not stream.
        """
        served = self.served()
        if not served.streaming:
            raise RequestRefused("no_stream", "This model does not stream", status=404)
        return served.lookahead_ms

    def stream(self) -> AbstractContextManager[ModelStream]:
        """A stream through the running model, which ends with the context.

        Raises:
            RequestRefused: `loading`.
            ModelFault: the model did not begin one.
        """
        return self._kept.stream(self.offer.sample_rate_hz)

    def stream_places(self) -> StreamPlaces:
        """The places for streams, by the number of slots."""
        in_all = self._streams_per_slot * self.offer.slots
        return StreamPlaces(in_all, per_key=max(1, in_all // 2), per_address=in_all)

    def enhance(self, audio: Audio, sender: str) -> Future[Enhanced]:
        """The future of the enhanced recording.

        Raises:
            RequestRefused: `loading` or `busy`.
        """
        return self._kept.submit(audio, sender)
