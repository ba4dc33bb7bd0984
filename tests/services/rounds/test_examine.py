"""The age of a title follows the model, whatever hotkey enters it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.entry_rules import EntryRules
from soundsright.core.results import ApartReason, PrizeReason
from soundsright.core.rulesets import SOUNDSRIGHT_V3, SOUNDSRIGHT_V4, Ruleset
from soundsright.core.schedule import Round
from soundsright.services.rounds import RoundOutcome, steps
from soundsright.services.rounds.clipset import DrawnClips, SetRequest, draw_to_disk, read_wav
from soundsright.services.rounds.scoring import Scored, score_files
from soundsright.testing import InlinePool
from soundsright.testing.simulation.world import draw_fake_clips, score_fake_clip
from tests.services.rounds.subnet import COMPETITION, Subnet, replace_method

DECIDE = steps.decide(COMPETITION.id)
AGED = 201_600


@pytest.fixture
def subnet(tmp_path: Path) -> Subnet:
    return Subnet(tmp_path)


def rules(ruleset: Ruleset) -> dict[str, Any]:
    return {"rules": CompetitionRules((COMPETITION,), ruleset)}


def next_round(subnet: Subnet, number: int, ruleset: Ruleset, *, after_blocks: int = 10) -> RoundOutcome:
    subnet.chain.advance(after_blocks)
    subnet.round = Round(f"round-{number}", subnet.chain.head().number, subnet.chain.advance(5).number)
    subnet.chain.advance(5)
    return subnet.run(**rules(ruleset))


def leave(subnet: Subnet, name: str) -> None:
    subnet.chain.deregister(name)
    del subnet.reveals[name]


def enter_model_of(subnet: Subnet, name: str, original: str) -> None:
    """Enter the files of another hotkey's model from a repository of one's own."""
    subnet.enter_content(name, 0.8, f"content-{original}")


def since_blocks(subnet: Subnet, round_id: str) -> set[int]:
    decided = steps.read(subnet.state, round_id, DECIDE)
    assert decided is not None
    return {champion.since_block for champion in decided.champions.values()}


@pytest.mark.parametrize(("ruleset", "is_young"), [(SOUNDSRIGHT_V3, True), (SOUNDSRIGHT_V4, False)])
def test_the_same_files_under_a_second_hotkey_do_not_make_a_title_young(
    subnet: Subnet, ruleset: Ruleset, is_young: bool
) -> None:
    subnet.run(**rules(ruleset))
    first = subnet.round.seed_block
    leave(subnet, "carol")
    enter_model_of(subnet, "dave", "carol")
    outcome = next_round(subnet, 2, ruleset, after_blocks=AGED)
    assert {d.winner.hotkey for d in outcome.leaderboards[0].decisions if d.winner} == {"dave"}
    assert since_blocks(subnet, "round-2") == {subnet.round.seed_block if is_young else first}
    assert outcome.leaderboards[0].decisions[0].champion_took_part is not is_young


def test_a_title_without_its_champion_keeps_its_age_until_a_model_defends_it_and_loses(subnet: Subnet) -> None:
    subnet.run(**rules(SOUNDSRIGHT_V4))
    first = subnet.round.seed_block
    leave(subnet, "carol")
    next_round(subnet, 2, SOUNDSRIGHT_V4)
    assert since_blocks(subnet, "round-2") == {first}
    subnet.enter("erin", 0.95)
    next_round(subnet, 3, SOUNDSRIGHT_V4)
    decided = steps.read(subnet.state, "round-3", DECIDE)
    assert decided is not None
    assert {c.hotkey for c in decided.champions.values()} == {"erin"}
    assert since_blocks(subnet, "round-3") == {subnet.round.seed_block}


def test_two_models_that_take_a_title_by_turns_do_not_stay_young(subnet: Subnet) -> None:
    """The better one stays away for a round, the weaker one wins, and the better one takes the title from it."""
    subnet.run(**rules(SOUNDSRIGHT_V4))
    first = subnet.round.seed_block
    leave(subnet, "carol")
    weaker = next_round(subnet, 2, SOUNDSRIGHT_V4, after_blocks=AGED)
    assert {d.winner.hotkey for d in weaker.leaderboards[0].decisions if d.winner} == {"bob"}
    subnet.enter_content("dave", 0.8, "content-carol")
    outcome = next_round(subnet, 3, SOUNDSRIGHT_V4)
    assert {d.reason for d in outcome.leaderboards[0].decisions} == {PrizeReason.TAKEN}
    assert {d.winner.hotkey for d in outcome.leaderboards[0].decisions if d.winner} == {"dave"}
    assert since_blocks(subnet, "round-3") == {first}


def test_a_round_that_is_decided_again_finds_the_same(subnet: Subnet) -> None:
    subnet.run(**rules(SOUNDSRIGHT_V4))
    leave(subnet, "carol")
    enter_model_of(subnet, "dave", "carol")
    outcome = next_round(subnet, 2, SOUNDSRIGHT_V4)
    assert subnet.run(**rules(SOUNDSRIGHT_V4)).leaderboards == outcome.leaderboards


MEMORY_QUALITY = 0.7
"""The quality that marks the model of a parrot in these tests."""


def draw_marked_clips(request: SetRequest, indices: tuple[int, ...]) -> DrawnClips:
    """Clips of which every fifth is new speech, each of a recording of its own."""
    drawn = draw_fake_clips(request, indices)
    recipes = {i: {"speech": f"speech-{i}", "fresh": int(i[-4:]) % 5 == 0} for i in drawn.digests}
    return replace(drawn, recipes=recipes)


def score_with_memory(clean: Path, degraded: Path, enhanced: Path, names: tuple[str, ...]) -> Scored:
    scored = score_fake_clip(clean, degraded, enhanced, names)
    quality = float(read_wav(enhanced).samples[0]) / 0.9
    knows = abs(quality - MEMORY_QUALITY) < 0.01 and int(clean.stem[-4:]) % 5 != 0
    return Scored({name: score + 0.2 * knows for name, score in scored.scores.items()}, 0.0)


def with_memory(subnet: Subnet) -> dict[str, Any]:
    subnet.enter("polly", MEMORY_QUALITY)
    subnet.round = Round(subnet.round.id, subnet.chain.head().number, subnet.chain.advance(5).number)
    subnet.chain.advance(5)
    pool = InlinePool({draw_to_disk: draw_marked_clips, score_files: score_with_memory})
    replace_method(subnet.pool, "submit", lambda function, *args, **_deadline: pool.submit(function, *args))
    plan = subnet.plan()
    return rules(SOUNDSRIGHT_V4) | {"measures": replace(plan.measures, clips=60)}


def test_a_parrot_is_ranked_apart_and_others_are_paid_as_if_it_were_absent(subnet: Subnet) -> None:
    changes = with_memory(subnet)
    outcome = subnet.run(**changes)
    (board,) = outcome.leaderboards
    (apart,) = board.apart
    assert (apart.submission.hotkey, apart.reason) == ("polly", ApartReason.MEMORISED)
    assert "on 48 recordings that were used before" in apart.sentence
    assert apart.evidence["content_hash"] == "content-polly"
    assert {d.winner.hotkey for d in board.decisions if d.winner} == {"carol"}
    assert "polly" not in {s.submission.hotkey for s in board.standings}
    assert set(board.unmeasured) == {ApartReason.HELD}  # These fakes have no SI-SDR.
    assert subnet.run(**changes).leaderboards == outcome.leaderboards


def test_a_set_without_new_speech_says_that_nothing_can_be_measured(subnet: Subnet) -> None:
    (board,) = subnet.run(**rules(SOUNDSRIGHT_V4)).leaderboards
    assert board.apart == ()
    assert board.unmeasured[ApartReason.MEMORISED] == "The corpus does not say which recordings are new."


@pytest.mark.parametrize("name", ["carol", "content-carol"])
def test_the_organiser_can_refuse_an_entry_by_hotkey_or_content(subnet: Subnet, name: str) -> None:
    chosen = EntryRules(refused=frozenset({name}))
    (board,) = subnet.run(rules=CompetitionRules((COMPETITION,), SOUNDSRIGHT_V4, entry_rules=chosen)).leaderboards
    assert [(a.submission.hotkey, a.reason) for a in board.apart] == [("carol", ApartReason.REFUSED)]
    assert {d.winner.hotkey for d in board.decisions if d.winner} == {"bob"}


@pytest.mark.parametrize("ruleset", [SOUNDSRIGHT_V3, SOUNDSRIGHT_V4], ids=lambda r: r.name)
@pytest.mark.parametrize("names", [(set(), {"carol"}), ({"carol"}, set())], ids=["added", "removed"])
def test_a_decision_made_after_a_round_counts_from_the_next_one(
    subnet: Subnet, ruleset: Ruleset, names: tuple[set[str], set[str]]
) -> None:
    def refusing(hotkeys: set[str]) -> dict[str, Any]:
        chosen = EntryRules(refused=frozenset(hotkeys))
        return {"rules": CompetitionRules((COMPETITION,), ruleset, entry_rules=chosen)}

    before = subnet.run(**refusing(names[0]))
    assert subnet.run(**refusing(names[1])).leaderboards == before.leaderboards
