"""Small finished rounds with their records, for tests of bundles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soundsright.adapters.peers import Hotkey
from soundsright.core.ports import Account
from soundsright.services.records import results_of, scores_of, scores_text, write_json
from soundsright.services.records.round_making import RECORD, round_record, write_record
from soundsright.services.rounds.clipset import write_text
from soundsright.services.rounds.outcome import RoundOutcome
from tests.services.rounds.subnet import Subnet

SIGNER = Hotkey.of_seed("vera")


@dataclass(frozen=True)
class RecordedRun:
    """A finished round in `folder`, its record, and the SHA-256 of its document."""

    folder: Path
    subnet: Subnet
    outcome: RoundOutcome
    sha256: str

    @property
    def record(self) -> Path:
        return self.folder / RECORD


def recorded_run(folder: Path, account: Account | None = None) -> RecordedRun:
    """A round of three models, run on artificial clips and recorded."""
    subnet = Subnet(folder)
    subnet.run()
    return recorded(subnet, account)


def recorded(subnet: Subnet, account: Account | None = None) -> RecordedRun:
    """The round of a subnet, run and recorded."""
    outcome = subnet.run()
    run = subnet.folder / "run"
    results = results_of(outcome)
    record = round_record(outcome, results, scores_of(outcome), subnet.state, run)
    sha256 = write_record(record, run, account)
    write_json(run / "results.json", results.as_json())
    write_text(run / "scores.jsonl", scores_text(scores_of(outcome)))
    return RecordedRun(run, subnet, outcome, sha256)
