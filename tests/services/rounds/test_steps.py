"""The records of steps: they are read back as written, also those of soundsright 0.1.0, and newer ones are refused.

`recorded_0_1_0.json` has the facts of a whole validator's round, as version 0.1.0 wrote them, without versions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import UsageError
from soundsright.core.results import Timing
from soundsright.core.sources import ImageRef, ModelRef
from soundsright.core.submission import Commitment
from soundsright.services.rounds import BegunRound, steps
from soundsright.testing import MemoryState

OLD: dict[str, Any] = json.loads(Path(__file__).with_name("recorded_0_1_0.json").read_text())
ROUND: dict[str, Any] = OLD["validator"]
GOOD = ModelRef("good", "model", "c1ddddea615e7bfd967d16f6aa953df9706bd25a")
COMPETITION = "DENOISING_16000HZ"
ROOM = "soundsright.services.rounds."
"""Other services have records of their own, which are loaded or not, as the tests before this one need them."""


@pytest.fixture
def old() -> MemoryState:
    state = MemoryState()
    state.begin_round("r1", OLD["begun"])
    for name, facts in ROUND.items():
        state.finish_step("r1", name, facts)
    return state


def test_every_step_of_a_round_of_0_1_0_is_read(old: MemoryState) -> None:
    records = {name: steps.record_of("r1", name, facts) for name, facts in old.steps("r1").items()}
    of_rounds = {kind for kind in steps.StepRecord.__subclasses__() if kind.__module__.startswith(ROOM)}
    assert {type(record) for record in records.values()} == of_rounds - {
        steps.RecordedChampion,
        # Version 0.1.0 did not record these.
        steps.ApartStep,
        steps.BundleStep,
        steps.CollectedStep,
        steps.CommittedStep,
        steps.CorpusStep,
        steps.ImageStep,
        steps.LoggedStep,
        steps.LookStep,
        steps.SettingsStep,
    }


def test_the_records_of_a_round_of_0_1_0_are_read_correctly(old: MemoryState) -> None:
    def read(key: steps.StepKey[Any]) -> Any:
        return steps.read(old, "r1", key)

    assert read(steps.SEED).block == 26
    entries = read(steps.ENTRIES)
    assert entries.submissions[0] == steps.RecordedEntry(2, "good", COMPETITION, GOOD, 5)
    assert entries.submissions[0].entry_id == "2-good"
    assert entries.neurons[2] == steps.RecordedNeuron(2, "good", 3)
    content_hash = "c1ddddea615e7bfd967d16f6aa953df9706bd25a7ff682d8b9ebd021b435ee83"
    assert read(steps.fetch("2-good")) == steps.FetchStep(content_hash)
    assert read(steps.DUPLICATES).since_blocks == {"2-good": {content_hash: 5}, "4-copy": {content_hash: 11}}
    assert read(steps.set_of(COMPETITION)).seed == 9797383461153982007
    assert read(steps.batch("2-good", "clip-0000")) == steps.BatchStep(Timing(load_s=1.0))
    fault = steps.BatchFault("crashed", "The process ended (exit status 139)", "")
    assert read(steps.batch("5-crashing", "clip-0000")).fault == fault
    assert read(steps.set_aside("3-bob")).refusal.code == "not_evaluated"
    assert read(steps.NEAR_COPIES).pairs == ()
    assert read(steps.FLAGS).by_entry == {}
    decided = read(steps.decide(COMPETITION))
    assert decided.champions["ESTOI"] == steps.RecordedChampion(2, "good", GOOD, 5, 0.6212286207411024, 26)
    assert decided.shares == {"crashing": 0.0, "fair": 1.5, "good": 10.0}
    assert read(steps.WEIGHTS).by_uid[2] == 0.2631578947368421
    assert read(steps.PAYEES).by_hotkey["good"] == 0.2631578947368421
    assert read(steps.WEIGHTS_SET) == steps.WeightsSetStep(31)
    assert read(steps.FEEDBACK).envelopes["good"][:8] == "879c678a"
    assert read(steps.delivered("good")) == steps.DeliveredStep(True, 1)
    assert read(steps.FINISHED) == steps.FinishedStep(0)
    assert BegunRound.from_facts(OLD["begun"]).clips == 8
    assert steps.latest(old, steps.PAYEES) == ("r1", read(steps.PAYEES))


def test_rarer_facts_of_0_1_0_have_their_meaning() -> None:
    (pair,) = steps.DuplicatesStep.from_facts(OLD["tensors"]).same_tensors
    assert (pair.first, pair.second, pair.since) == ("3-victim", "4-parasite", (32, 43))
    (near,) = steps.NearCopiesStep.from_facts(OLD["near_copies"]).pairs
    assert (near.first, near.since) == ("2-good", None)
    assert steps.FlagsStep.from_facts(OLD["flags"]).by_entry["2-good"][0].value == 3.5
    entries = steps.EntriesStep.from_facts(OLD["old_entries"])
    assert entries.neurons == (
        steps.RecordedNeuron(0, "owner", None),
        steps.RecordedNeuron(1, "validator", None),
    )
    assert entries.refusals[0].hotkey == "bob"
    refused = steps.FetchStep.from_facts(OLD["refused_after_fetch"])
    assert (refused.content_hash, refused.checkpoint_hashes) == ("abc", ("w",))
    assert refused.refusal == entries.refusals[0]
    assert steps.DeliveredStep.from_facts(OLD["gave_up"]) == steps.DeliveredStep(False, 30, "status 503")


@pytest.mark.parametrize("name", sorted(ROUND))
def test_a_record_is_read_back_as_it_was_written(name: str) -> None:
    record = steps.record_of("r1", name, ROUND[name])
    written = json.loads(json.dumps(record.to_facts()))
    assert written["version"] == record.VERSION
    assert steps.record_of("r1", name, written) == record


def test_an_entry_of_any_source_is_read_back(old: MemoryState) -> None:
    entry = steps.RecordedEntry(1, "alice", COMPETITION, ImageRef("lab/gate", "0" * 64), 3)
    record = steps.EntriesStep((entry,), (), None)
    assert steps.EntriesStep.from_facts(json.loads(json.dumps(record.to_facts()))) == record


@pytest.mark.parametrize("version", [2, 99, "1", None])
def test_a_newer_record_is_refused_in_one_sentence(old: MemoryState, version: object) -> None:
    old.begin_round("r2", {})
    old.finish_step("r2", "seed", {"version": version, "block": 1, "hash": "0x", "more": True})
    with pytest.raises(UsageError, match=r"Round r2, step seed: .* reads up to version 1\. Update soundsright\.$"):
        steps.read(old, "r2", steps.SEED)


@pytest.mark.parametrize(
    ("key", "facts"),
    [
        (steps.SEED, {}),
        (steps.ENTRIES, {"submissions": [{"uid": 1}]}),
        (steps.ENTRIES, {"submissions": 3}),
        (steps.WEIGHTS, {"by_uid": {"x": 1.0}, "block": None}),
        (steps.reveal(Commitment("hk", "", 1)), {"model": ["..", "model", "main"], "competition": "c"}),
    ],
)
def test_a_damaged_record_is_named(old: MemoryState, key: steps.StepKey[Any], facts: dict[str, Any]) -> None:
    old.begin_round("r2", {})
    old.finish_step("r2", key.name, facts)
    with pytest.raises(UsageError, match=rf"Round r2, step {key.name}: the record is damaged .*backup"):
        steps.read(old, "r2", key)


def test_the_steps_of_a_round_are_read_together(old: MemoryState) -> None:
    recorded = steps.RoundSteps("r1", old.steps("r1"))
    assert steps.SEED in recorded
    assert steps.fetch("9-nobody") not in recorded
    assert [batch.fault is None for batch in recorded.batches("5-crashing")] == [False, False, True]
    assert {entry_id for entry_id, _ in recorded.all_batches()} == {"2-good", "5-crashing"}
    assert recorded.any_decided()


def test_a_restart_may_change_times_and_blocks_only() -> None:
    slow = steps.BatchStep(Timing(load_s=3.0), 2.0, steps.BatchFault("crashed", "why", ""))
    assert slow.reproducible() == steps.BatchStep(fault=slow.fault)
    assert steps.WeightsStep({1: 0.5}, 7).reproducible() == steps.WeightsStep({1: 0.5}, None)
    assert steps.DeliveredStep(True, 4).reproducible() == steps.DeliveredStep(True, 1).reproducible()
    assert steps.SeedStep(1, "0x").reproducible() == steps.SeedStep(1, "0x")
