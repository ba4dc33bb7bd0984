"""A miner's entry and its commitment on the chain. Times are in seconds."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.competition import Competition
from soundsright.core.errors import EntryRefused, InfrastructureFault
from soundsright.core.ports import Account, Timelock
from soundsright.core.schedule import Schedule
from soundsright.core.sources import ModelRef
from soundsright.core.submission import CommitmentKind, Reveal
from soundsright.services.miner.secrets_store import write_secret
from soundsright.services.records import RevealDocument, sign_reveal

SEAL_AHEAD_S = 120.0
"""If entries close within this time, the seal is made for the following round."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """The model that the miner enters, the competition, and the account that enters it.

    `content_hash` is the hash of the model's files, `salt` the salt of the commitment. `archive_key` opens the
    model's sealed archive; it is empty if the repository has plain files. No log shows salt or key.
    """

    account: Account
    competition: Competition
    model: ModelRef
    content_hash: str
    salt: str = field(repr=False)
    archive_key: str = field(default="", repr=False)

    @property
    def _reveal(self) -> Reveal:
        return Reveal(self.model, self.competition.id, self.salt, self.content_hash, self.archive_key)

    @property
    def digest(self) -> str:
        return self._reveal.digest(self.account.address)

    @property
    def text(self) -> str:
        """The entry as one line: a plain commitment, and what a seal contains."""
        return self._reveal.text(self.account.address)

    def signed_reveal(self, round_id: str) -> dict[str, Any]:
        """The reply to a validator that asks for the entry behind the commitment."""
        return sign_reveal(self._reveal, self.account, round_id)

    def columns(self) -> dict[str, str]:
        """The entry for the health-check API, after the close."""
        return {
            "hotkey": self.account.address,
            "namespace": self.model.namespace,
            "name": self.model.name,
            "revision": self.model.revision,
            "competition": self.competition.id,
            "content": self.content_hash,
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
        self._reveal_file = folder / "revealed.json"
        self._revealed: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.kind = kind
        self._timelock = timelock
        self._schedule = schedule

    def signed_reveal(self, round_id: str) -> dict[str, Any]:
        """The reply to a validator that asks for the entry of a round. Each round has one, also after a restart.

        Validators refuse an entry with two reveals. So a miner that moves its model between the close and the seed
        still gives the first one.
        """
        entry = self._entry
        with self._lock:
            kept = self._revealed or self._stored_reveal()
            wanted = {"round": round_id, "hotkey": entry.account.address, "digest": entry.digest}
            if any(kept.get(name) != value for name, value in wanted.items()):
                document = entry.signed_reveal(round_id)
                kept = {**document, "digest": entry.digest}
                try:
                    write_secret(self._reveal_file, json.dumps(kept))
                except InfrastructureFault:
                    # An entry that is not revealed is refused, which is worse than a reveal that is not stored.
                    _log.exception("the reveal is not stored", extra={"action": "reveal_not_stored"})
            self._revealed = kept
            return {name: value for name, value in kept.items() if name != "digest"}

    def _stored_reveal(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._reveal_file.read_text(encoding="utf-8"))
            document = {name: value for name, value in kept.items() if name != "digest"}
            RevealDocument.model_validate(document)
        except (OSError, ValueError, AttributeError):
            return {}  # Nothing was revealed yet, or the file is lost or damaged.
        return dict(kept)

    @property
    def is_secret(self) -> bool:
        """Whether the entry must stay secret on this machine."""
        return self.kind is CommitmentKind.SEALED

    def matches(self, committed: str) -> bool:
        """Whether a text on the chain is the commitment of the present entry."""
        if self.kind is CommitmentKind.SEALED:
            return bool(self._stored_seal() == {"digest": self._entry.digest, "sealed": committed})
        return committed == self._unsealed()

    @property
    def opens_s(self) -> float:
        """The time at which the present seal opens. A commitment without a seal is always open."""
        if self.kind is not CommitmentKind.SEALED:
            return float("-inf")
        assert self._timelock is not None
        try:
            return self._timelock.opens_s(self._stored_seal()["sealed"])
        except (EntryRefused, KeyError, TypeError):
            return float("inf")  # The seal is not known, so it cannot be shown that it is open.

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
        write_secret(self._file, json.dumps({"digest": self._entry.digest, "sealed": sealed}))
        return sealed

    def _unsealed(self) -> str:
        return self._entry.digest if self.kind is CommitmentKind.DIGEST else self._entry.text

    def _stored_seal(self) -> Any:
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None  # No seal was made yet, or the file is lost. The miner makes a new seal.
