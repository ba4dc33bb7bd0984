"""The system of tiers in a validator. It works in a thread of its own, so no tick ever waits. Times in seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from soundsright.core.errors import InfrastructureFault, SoundsRightError
from soundsright.core.ports import Neuron
from soundsright.services.verifier.context import VerifierContext
from soundsright.services.verifier.serving import ServingProver
from soundsright.services.verifier.verifier import Verifier

TIERS = "tiers"
POLL_S = 1.0
PAUSE_AFTER_FAULT_S = 5.0
CLOSE_S = 2.0

_log = logging.getLogger(__name__)


class TiersSubsystem:
    """A `Subsystem` of a validator, named `tiers`. A gateway in the same process reads the provers from it.

    `poll_s` is the pause of its thread between two looks.
    """

    name = TIERS

    def __init__(self, context: VerifierContext, *, poll_s: float = POLL_S) -> None:
        self._verifier = Verifier(context)
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._seen: tuple[int, tuple[Neuron, ...]] | None = None
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None

    def tick(self, finalized: int, neurons: Sequence[Neuron]) -> None:
        """Tell the verifier the last final block and the registrations. It does not wait.

        Raises:
            SoundsRightError: the verifier's last work failed. It is raised until some succeeds.
        """
        with self._lock:
            self._seen = finalized, tuple(neurons)
            fault = self._fault
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._run, name="tiers", daemon=True)
            self._thread.start()
        if fault is not None:
            raise fault.with_traceback(None)

    def payees(self) -> Mapping[str, float] | None:
        """The weights of the provers by hotkey. None while they are unknown."""
        return self._verifier.payees

    def best_provers(self, competition: str) -> tuple[ServingProver, ...]:
        """The provers of a competition with requests left, best first: see `ServingProvers`."""
        return self._verifier.best_provers(competition)

    def serving_provers(self) -> tuple[ServingProver, ...]:
        """All provers with a bank in this interval, by uid."""
        return self._verifier.serving_provers()

    def take_request(self, hotkey: str) -> bool:
        """Count a listener's request to a prover: see `ServingProvers`.

        Raises:
            StateUnavailable: the counters do not answer. Do not send the request.
        """
        return self._verifier.take_request(hotkey)

    def close(self) -> None:
        """End, and stop the running models. A step that still waits for answers is not waited for long."""
        self._stop.set()
        self._verifier.cancel()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            fault = self._worked()
            with self._lock:
                self._fault = fault
            self._stop.wait(self._poll_s if fault is None else max(self._poll_s, PAUSE_AFTER_FAULT_S))

    def _worked(self) -> BaseException | None:
        """Work once. Returns the fault, or None."""
        with self._lock:
            seen = self._seen
        assert seen is not None
        try:
            self._verifier.work(*seen)
        except SoundsRightError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the next try may succeed; `tick` reports it
            _log.exception("the verifier failed", extra={"action": "verifier_failed"})
            return InfrastructureFault(f"{type(error).__name__}: {error}. The log has the traceback")
        return None
