"""A miner's entry and its commitment on the chain. Times are in seconds."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault
from soundsright.core.ports import Account, Timelock
from soundsright.core.schedule import Schedule
from soundsright.core.sources import ModelRef
from soundsright.core.submission import CommitmentKind, commitment_digest, commitment_text

REVEAL_SCHEMA = "soundsright.reveal/1"
SEAL_AHEAD_S = 120.0
"""If entries close within this time, the seal is made for the following round."""


@dataclass(frozen=True)
class Entry:
    """The model that the miner enters, the competition, and the account that enters it."""

    account: Account
    competition: Competition
    model: ModelRef

    @property
    def digest(self) -> str:
        return commitment_digest(self.model, self.account.address, self.competition.id)

    @property
    def text(self) -> str:
        """The entry as one line: a digest is the hash of it, and a seal contains it."""
        return commitment_text(self.model, self.account.address, self.competition.id)

    def reveal(self) -> dict[str, str]:
        """The reply to a validator that asks for the entry behind the commitment."""
        return {
            "schema": REVEAL_SCHEMA,
            "hotkey": self.account.address,
            "namespace": self.model.namespace,
            "name": self.model.name,
            "revision": self.model.revision,
            "competition": self.competition.id,
        }


class EntryCommitment:
    """The commitment of an entry: its digest, its plain text, or its sealed text.

    Sealing the same text twice gives different seals. The last seal is stored in `folder`, so that the miner
    recognises it after a restart.

    Raises:
        ValueError: a sealed commitment has no timelock or no schedule.
    """

    def __init__(
        self,
        entry: Entry,
        folder: Path,
        kind: CommitmentKind = CommitmentKind.DIGEST,
        *,
        timelock: Timelock | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        if kind is CommitmentKind.SEALED and (timelock is None or schedule is None):
            raise ValueError("a sealed commitment needs a timelock, and a schedule with the time at which it opens")
        self._entry = entry
        self._file = folder / "sealed.json"
        self.kind = kind
        self._timelock = timelock
        self._schedule = schedule

    @property
    def is_secret(self) -> bool:
        """Whether the entry must stay secret on this machine."""
        return self.kind is CommitmentKind.SEALED

    def matches(self, committed: str) -> bool:
        """Whether a text on the chain is the commitment of the present entry."""
        if self.kind is CommitmentKind.SEALED:
            return bool(self._stored_seal() == {"digest": self._entry.digest, "sealed": committed})
        return committed == self._unsealed()

    def new_text(self, now_s: float) -> str:
        """The text to write to the chain now. A seal opens when entries close for the next round.

        Raises:
            InfrastructureFault: the seal cannot be stored.
        """
        if self.kind is not CommitmentKind.SEALED:
            return self._unsealed()
        assert self._timelock is not None
        assert self._schedule is not None
        started = self._schedule.last_started(now_s + SEAL_AHEAD_S)
        until_s = self._schedule.start_s(0 if started is None else started + 1)
        sealed = self._timelock.sealed(self._entry.text, until_s=until_s)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_name(f".{self._file.name}.{os.getpid()}.part")
            partial.write_text(json.dumps({"digest": self._entry.digest, "sealed": sealed}), encoding="utf-8")
            partial.replace(self._file)
        except OSError as error:
            raise InfrastructureFault(
                f"{self._file} cannot be written ({error.strerror})", "Free some disk space."
            ) from error
        return sealed

    def _unsealed(self) -> str:
        return self._entry.digest if self.kind is CommitmentKind.DIGEST else self._entry.text

    def _stored_seal(self) -> Any:
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None  # No seal was made yet, or the file is lost. The miner makes a new seal.
