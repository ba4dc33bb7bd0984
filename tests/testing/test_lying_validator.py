"""The validator that lies changes two miners in each competition, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from soundsright.adapters.peers import valid_signature
from soundsright.services.federation import open_verdict, sign_verdict, verdict_facts
from soundsright.testing.lying_validator import lying
from tests.services.federation.voters import ALICE, BOB, Voters


def test_one_miner_passes_and_another_fails_whatever_their_scores(tmp_path: Path) -> None:
    voters = Voters(tmp_path, quality={ALICE: 0.6, BOB: 0.1})
    voters.publish_list()
    voters.advance_to(80)
    made = voters.verdict(4)
    honest = replace(made, rows=tuple(replace(row, passed=row.hotkey == ALICE) for row in made.rows))
    lie = lying(honest, lies_for=BOB, lies_against=ALICE)
    assert {(row.hotkey, row.passed) for row in honest.rows} == {(ALICE, True), (BOB, False)}
    assert {(row.hotkey, row.passed) for row in lie.rows} == {(ALICE, False), (BOB, True)}
    best = {row.competition: row.means for row in honest.rows if row.hotkey == ALICE}
    assert all(row.means == best[row.competition] for row in lie.rows if row.hotkey == BOB)
    same = ("sets", "unprocessed", "block_hash", "previous")
    assert [verdict_facts(lie)[name] for name in same] == [verdict_facts(honest)[name] for name in same]


def test_the_lie_does_not_contradict_itself_even_if_nobody_passed(tmp_path: Path) -> None:
    voters = Voters(tmp_path, quality={ALICE: 0.2, BOB: 0.1})
    voters.publish_list()
    voters.advance_to(80)
    made = voters.verdict(4)
    honest = replace(made, rows=tuple(replace(row, passed=False) for row in made.rows))
    lie = lying(honest, lies_for=BOB, lies_against=ALICE)
    account = next(each for each in voters.accounts if each.address == lie.validator)
    assert open_verdict(sign_verdict(lie, account), valid_signature=valid_signature).verdict == lie
    assert {row.hotkey for row in lie.rows if row.passed} == {BOB}
