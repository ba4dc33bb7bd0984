"""Puts each signed document of a service into a log, in a thread of its own: no round and no payment waits for it.

A document whose proof was computed is a step of its round, `logged:` and the address of the log. Until then it is
tried again. Times are in seconds.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from soundsright.core.errors import RequestRefused, SoundsRightError, UsageError
from soundsright.core.ports import Clock, StateStore
from soundsright.services.http import Health
from soundsright.services.log.admission import Admission, any_signer
from soundsright.services.log.appending import LogWriter, append_to
from soundsright.services.log.entries import MAX_DOCUMENT_BYTES
from soundsright.services.log.proofs import SavedProof, write_proof
from soundsright.services.records import RECORD, ValidSignature
from soundsright.services.rounds import steps

_log = logging.getLogger(__name__)

TRY_EVERY_S = 600.0
"""A document that could not be appended is tried again after this time."""
_LOOK_EVERY_S = 12.0

ReadDocument = Callable[[str], bytes | None]
"""The signed document of a round in its envelope, by the round's id; None if there is none yet."""


def signed_record(state: StateStore, folder: Path, round_id: str) -> bytes | None:
    """The signed document of a validator's round, from its record in the round's folder.

    Raises:
        UsageError: the file cannot be read.
    """
    if steps.read(state, round_id, steps.BUNDLE) is None:
        return None
    path = folder / RECORD / "round.json"
    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "Restore it from a backup.") from error


class LogKeeper:
    """Appends the documents of all rounds in `state` to `log`, the oldest first, and keeps the proofs.

    `hotkey` is that of the log. `read` gives the document of a round, `folder_of` the folder for its `log.json`.
    Problems show in `health`.
    """

    def __init__(
        self,
        log: LogWriter,
        hotkey: str,
        state: StateStore,
        read: ReadDocument,
        folder_of: Callable[[str], Path],
        *,
        clock: Clock,
        health: Health,
        valid_signature: ValidSignature,
    ) -> None:
        self._target = log
        self._hotkey = hotkey
        self._state = state
        self._read = read
        self._folder_of = folder_of
        self._clock = clock
        self._health = health
        self._valid_signature = valid_signature
        self._step = steps.logged(hashlib.sha256(log.name.encode()).hexdigest()[:16])
        self._done: set[str] = set()
        self._due_s: dict[str, float] = {}
        self._problems: dict[str, str] = {}

    def tend(self) -> None:
        """Append what is not in the log yet. Faults show in `health`, and are never raised."""
        try:
            for round_id in self._state.rounds():
                if round_id not in self._done and self._clock.now() >= self._due_s.get(round_id, float("-inf")):
                    self._tend_round(round_id)
            problem = next(iter(self._problems.values()), None)
        except SoundsRightError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - a thread that ends would tell nobody
            _log.exception("log failed", extra={"action": "log_failed"})
            problem = f"An error of the program ({type(error).__name__}). The program's log has the traceback."
        self._health.problem("log", problem)

    def _tend_round(self, round_id: str) -> None:
        try:
            if steps.read(self._state, round_id, self._step) is None:
                raw = self._read(round_id)
                if raw is None:
                    return
                self._append(round_id, raw)
        except (SoundsRightError, RequestRefused) as error:
            self._due_s[round_id] = self._clock.now() + TRY_EVERY_S
            self._problems[round_id] = f"Round {round_id} is not in the log {self._target.name}: {error}"
            return
        self._done.add(round_id)
        self._problems.pop(round_id, None)

    def _append(self, round_id: str, raw: bytes) -> None:
        entry = Admission(self._valid_signature, check_signer=any_signer).entry(raw)
        placed = append_to(self._target, raw, entry, valid_signature=self._valid_signature, hotkey=self._hotkey)
        if placed.others:
            entries = ", ".join(map(str, placed.others[:5]))
            sentence = f"The log says that this hotkey signed another document for round {round_id}: {entries}"
            self._health.event("warning", sentence, action="signed_twice")
        self._keep(round_id, placed.proof)

    def _keep(self, round_id: str, proof: SavedProof) -> None:
        folder = self._folder_of(round_id)
        if folder.is_dir():
            write_proof(folder, proof)
        steps.write(self._state, round_id, self._step, steps.LoggedStep(proof.head.log, proof.index))
        sentence = f"Round {round_id} is entry {proof.index} of the log {proof.head.log}"
        self._health.event("success", sentence, action="round_logged")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Append in a thread until the block ends. A request that is under way is not waited for."""
        stop = threading.Event()

        def loop() -> None:
            while not stop.is_set():
                self.tend()
                stop.wait(_LOOK_EVERY_S)

        thread = threading.Thread(target=loop, name="log", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=1.0)
