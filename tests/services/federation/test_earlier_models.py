"""Copies across validators: the first holder keeps its place, whichever validator judged its first model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.errors import HistoryGone
from soundsright.core.federation import Verdict
from soundsright.core.ports import Snapshot
from soundsright.core.sources import ModelRef
from soundsright.core.submission import CommitmentKind, Reveal
from soundsright.ranking import failover_order
from soundsright.testing import Behaviour, FakeRepository, salted_reveal
from tests.services.federation.samplers import COMPETITIONS, RULES, Federation, Validator, metadata_of

WEIGHTS = ("ab" * 32,)
INTERVAL = RULES.interval_blocks


def commit(federation: Federation, hotkey: str, content: str, weights: tuple[str, ...] = WEIGHTS) -> Reveal:
    content = hashlib.sha256(content.encode()).hexdigest()
    model = ModelRef(hotkey, "gate", f"{len(federation.hub.repositories):040x}")
    federation.hub.repositories[model] = FakeRepository(content, weights, Behaviour(0.9))
    reveal = salted_reveal(model, hotkey, COMPETITIONS[0].id, content)
    federation.reveals[hotkey] = reveal
    text = reveal.digest(hotkey)
    if federation.organiser.commitment is CommitmentKind.PLAIN:
        text = reveal.text(hotkey)
    federation.chain.publish(hotkey, text)
    return reveal


class Race:
    """An author whose first model one validator judges in task 3, and whose second one all others see first."""

    def __init__(self, folder: Path, kind: CommitmentKind = CommitmentKind.DIGEST) -> None:
        self.federation = Federation(folder)
        self.federation.organiser = replace(self.federation.organiser, commitment=kind)
        self.validators = {name: self.federation.validator(name) for name in self.federation.names}
        self.federation.reveals.clear()
        self.federation.chain.register("author")
        self.first = commit(self.federation, "author", "first")

    def of(self, task: int) -> Validator:
        names = self.federation.names
        return self.validators[sorted(names)[failover_order(task, len(names))[0]]]

    def judge(self, task: int) -> Verdict:
        self.federation.reach(task * INTERVAL + INTERVAL // 4)
        self.of(task).tick()
        return self.of(task).verdict(task)

    def copied(self) -> None:
        self.federation.chain.register("copier")
        self.federation.reach(4 * INTERVAL - 5)
        commit(self.federation, "copier", "copy")
        commit(self.federation, "author", "second")

    def entrants(self, task: int) -> set[str]:
        return {row.hotkey for row in self.judge(task).rows}

    def refused(self, task: int) -> set[tuple[str, str]]:
        refusals = metadata_of(self.federation, task, self.of(task).name)["refusals"]
        return {(each["hotkey"], each["code"]) for each in refusals}


@pytest.mark.parametrize("kind", [CommitmentKind.DIGEST, CommitmentKind.PLAIN])
def test_an_author_keeps_its_place_with_validators_that_never_judged_its_first_model(
    tmp_path: Path, kind: CommitmentKind
) -> None:
    race = Race(tmp_path, kind)
    race.judge(3)
    race.copied()
    for task in (4, 5, 6):
        assert race.entrants(task) == {"author"}
        assert ("copier", "shared_checkpoint") in race.refused(task)


def test_the_first_model_stays_known_when_its_verdict_is_too_old(tmp_path: Path) -> None:
    race = Race(tmp_path)
    race.judge(3)
    race.copied()
    race.judge(4)
    race.judge(5)
    for name in race.validators:
        race.validators[name] = race.federation.validator(
            name, race.validators[name].state, verdicts_before=lambda _task: ()
        )
    assert race.entrants(7) == race.entrants(8) == {"author"}


def lies(race: Race, change: Callable[[Verdict], Verdict], liars: int = 1) -> None:
    """Let all validators read verdicts of task 3 that were changed."""
    honest = race.validators["v0"].context.verdicts_before

    def before(task: int) -> list[Verdict]:
        found = list(honest(task))
        told = [change(each) for each in found if each.task == 3]
        return found + [replace(each, validator=f"v{liar}") for each in told for liar in range(liars)]

    for name, validator in race.validators.items():
        race.validators[name] = race.federation.validator(name, validator.state, verdicts_before=before)


def test_a_validator_that_lies_makes_nobody_an_earlier_holder(tmp_path: Path) -> None:
    race = Race(tmp_path)
    race.federation.chain.register("copier")
    commit(race.federation, "copier", "something else", ("cd" * 32,))
    first = race.federation.chain.head().number
    race.judge(3)
    race.copied()
    lies(
        race,
        lambda told: replace(
            told,
            rows=tuple(replace(row, hotkey="copier", model=race.first.model, block=first) for row in told.rows[:1]),
        ),
        liars=3,
    )
    assert race.entrants(4) == race.entrants(5) == {"author"}


def forgetful(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = race.federation.chain
    snapshot = chain.snapshot

    def recent(number: int | None = None) -> Snapshot:
        if number is not None and number < chain.head().number - INTERVAL * 3 // 2:
            raise HistoryGone(f"Block {number} is forgotten", "Use an archive.")
        return snapshot(number)

    monkeypatch.setattr(chain, "snapshot", recent)


@pytest.mark.parametrize(("liars", "entrants"), [(1, {"copier"}), (2, {"author"})])
def test_where_the_chain_has_forgotten_a_majority_must_state_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, liars: int, entrants: set[str]
) -> None:
    race = Race(tmp_path)
    race.judge(3)
    race.copied()
    lies(race, lambda told: told, liars=liars)
    forgetful(race, monkeypatch)
    assert race.of(4).name == "v1"
    assert race.entrants(4) == entrants


def test_a_model_that_the_hub_no_longer_gives_delays_no_task(tmp_path: Path) -> None:
    race = Race(tmp_path)
    race.judge(3)
    race.copied()
    del race.federation.hub.repositories[race.first.model]
    assert race.entrants(4) == {"copier"}
