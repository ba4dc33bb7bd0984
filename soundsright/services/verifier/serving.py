"""The provers that can be asked now, as a gateway and the pages need them. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from soundsright.core.ports import Prover
from soundsright.core.tiers import AttemptKind, AttemptResult


@dataclass(frozen=True)
class LastCheck:
    """The last attempt of the verifier at a prover. `at_s` is its time since the epoch, `time_s` its latency."""

    interval: int
    kind: AttemptKind
    result: AttemptResult
    agreement_db: float | None
    time_s: float
    at_s: float


@dataclass(frozen=True)
class ServingProver:
    """A prover with a bank in this interval, so that the verifier watches it.

    `model` is the full name of its committed source. `requests_left` is the number of requests that its tier still
    allows in this interval. `latencies_s` are those of the last answers that passed, the newest last.
    """

    hotkey: str
    uid: int
    endpoint: str
    competition: str
    model: str
    tier: str
    requests_left: int
    latencies_s: tuple[float, ...] = ()
    last_check: LastCheck | None = None

    @property
    def prover(self) -> Prover:
        """Its place, as the port `Provers` needs it."""
        return Prover(self.hotkey, self.endpoint)

    @property
    def is_verified(self) -> bool:
        """Whether the verifier's last attempt passed."""
        return self.last_check is not None and self.last_check.result.passed


class ServingProvers(Protocol):
    """The provers that a gateway can ask. Any thread may use it."""

    def best_provers(self, competition: str) -> tuple[ServingProver, ...]:
        """The provers of a competition with requests left, best first.

        Higher tiers come first. Within a tier those whose last attempt passed come first, then those with more
        requests left. It reads no database, so it can be called for every request.
        """
        ...

    def take_request(self, hotkey: str) -> bool:
        """Count a listener's request to a prover, before it is sent. Returns False if its tier allows no more.

        Raises:
            StateUnavailable: the counters do not answer. Do not send the request.
        """
        ...
