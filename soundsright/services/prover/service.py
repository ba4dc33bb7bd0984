"""The prover: one committed model, as its callers see it. Times are in seconds."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from soundsright.core.audio import Audio
from soundsright.core.ports import Runner, SandboxLimits
from soundsright.core.submission import FetchedModel
from soundsright.core.tiers import ServedModel
from soundsright.services.prover.keeping import Enhanced, KeptModel, QueueLimits


@dataclass(frozen=True)
class ProverLimits:
    """The limits of the model and of the queue before it."""

    sandbox: SandboxLimits = field(default_factory=SandboxLimits)
    queue: QueueLimits = field(default_factory=QueueLimits)


class Prover:
    """Keeps a model running and enhances recordings with it. `offer` is what it says about itself."""

    def __init__(
        self, runner: Runner, model: FetchedModel, offer: ServedModel, limits: ProverLimits | None = None
    ) -> None:
        limits = limits or ProverLimits()
        self.offer = offer
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
        self._kept.running()
        return self.offer

    def enhance(self, audio: Audio, sender: str) -> Future[Enhanced]:
        """The future of the enhanced recording.

        Raises:
            RequestRefused: `loading` or `busy`.
        """
        return self._kept.submit(audio, sender)
