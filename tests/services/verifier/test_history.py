"""The past of a verifier as the pages and the terminal read it: the ladder, the attempts, the moves, the seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright import __version__
from soundsright.core.errors import UsageError
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel
from soundsright.core.tiers_rules import recorded_tiers_rules
from soundsright.services.rounds import DrawnClips, SetRequest, draw_to_disk, steps
from soundsright.services.rounds.hiding import HiddenClip
from soundsright.services.verifier import SCOPE, TiersReader, Verifier, round_of, row_facts
from soundsright.services.verifier.verifier_steps import OPENED, BankStep, OpenedStep
from soundsright.testing import InlinePool
from soundsright.testing.served import Manner, SmallModels, draw_short_clips
from tests.services.verifier.world import COMMITTED, COMPETITION, RULES, World


def reader(world: World) -> TiersReader:
    return TiersReader(world.state.scoped(SCOPE), world.records, world.counters)


class StreamingModels(SmallModels):
    """Small models that also say that they stream."""

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[Any]:
        with super().run(model, limits=limits) as running:
            vars(running)["stream_lookahead_ms"] = lambda: 40.0
            vars(running)["open_stream"] = lambda _rate_hz: None
            yield running


def draw_one_private_clip(request: SetRequest, indices: Sequence[int]) -> DrawnClips:
    drawn = draw_short_clips(request, indices)
    hidden = {i: HiddenClip("0" * 64, "0" * 64, "00", ("speech-1",)) for i in drawn.digests if i == "clip-0003"}
    return replace(drawn, hidden=hidden)


def test_a_bank_says_whether_its_model_streams_and_which_clips_may_be_heard_later(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST})
    world.verifier = Verifier(
        replace(
            world.context(),
            sandbox=StreamingModels({"content-honest": COMMITTED}),
            pool=InlinePool({draw_to_disk: draw_one_private_clip}),
        )
    )
    world.run_interval(1)
    row = reader(world).read().rows[0]
    assert row.bank is not None
    assert (row_facts(row)["streams"], row.bank.lookahead_ms) == (True, 40.0)
    assert len(row.bank.open_clips) == RULES.bank_clips - 1
    assert "clip-0003" not in row.bank.open_clips


def test_before_the_first_interval_there_is_nothing(tmp_path: Path) -> None:
    history = reader(World(tmp_path, {"honest": Manner.HONEST})).read()
    assert (history.rows, history.intervals, history.interval, history.program) == ((), (), -1, "")


def test_the_open_interval_has_its_counts_requests_and_last_check(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST, "silent": Manner.CRASH})
    world.run_interval(1)
    history = reader(world).read()
    assert (history.interval, history.rules, history.program) == (1, RULES, __version__)
    first, second = history.rows
    assert (first.hotkey, first.standing.tier, first.since_move.rate) == ("honest", "Bronze", 1.0)
    assert (first.in_interval.attempts, first.requests_left, first.is_exact) == (20, 480, True)
    assert (first.weight, second.weight) == (1.0, 0.0)
    assert first.bank is not None
    assert first.bank.competition == COMPETITION.id
    assert first.bank.model.startswith("honest/gate@")
    assert first.last is not None
    assert first.last.attempt.result.passed
    assert second.since_move.successes == 0
    assert history.failure(1, "silent", 3)["result"] == "silent"  # type: ignore[index]
    assert [each.attempt.number for each in history.attempts_of("silent")] == list(range(20))


def test_a_closed_interval_has_its_decisions_and_an_opened_seed_that_anybody_can_check(tmp_path: Path) -> None:
    world = World(tmp_path, {"honest": Manner.HONEST, "input": Manner.INPUT})
    read = reader(world)
    world.run_interval(1)
    before = read.read()
    assert before.seeds[1].seed == ""
    assert before.seeds[1].set_seed(COMPETITION.id, "honest") is None
    world.close_interval(1)
    after = read.read()
    assert before.stamp != after.stamp
    seed = after.seeds[1]
    assert hashlib.sha256(bytes.fromhex(seed.seed)).hexdigest() == seed.sha256
    assert seed.opens
    assert seed.set_seed(COMPETITION.id, "honest") is not None
    # The next interval is committed to, and its seed is secret.
    assert (after.seeds[2].seed, after.seeds[2].opens) == ("", None)
    assert after.moves["honest"][0].after == "Silver"
    assert after.row("honest").standing.tier == "Silver"  # type: ignore[union-attr]
    assert after.row("honest").since_move.attempts == 0  # type: ignore[union-attr]
    closed = next(past for past in after.intervals if past.number == 1)
    assert closed.decided["input"].reason == "below_rate"


def test_counters_that_do_not_have_the_attempts_give_the_most_that_can_be_left(tmp_path: Path) -> None:
    from soundsright.testing import MemoryCounters

    world = World(tmp_path, {"honest": Manner.HONEST})
    world.run_interval(1)
    row = TiersReader(world.state.scoped(SCOPE), world.records, MemoryCounters()).read().rows[0]
    assert (row.requests_left, row.is_exact) == (480, False)


def test_records_of_an_older_program_are_read(tmp_path: Path) -> None:
    assert OpenedStep.from_facts({"version": 1, "block": 5, "end_block": 9}) == OpenedStep(5, 9)
    old: dict[str, object] = {
        "content_hash": "a",
        "answers": {},
        "repeat_db": None,
        "code": "",
        "sentence": "",
        "model_s": 1.0,
    }
    assert BankStep.from_facts({"version": 1, **old, "repeat_s": 0.5}).open_clips == ()


@pytest.mark.parametrize("text", ["[]", "{}", '{"table": [1]}', "nonsense"])
def test_damaged_rules_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|rules of tiers"):
        recorded_tiers_rules(text)
    world = World(tmp_path, {"honest": Manner.HONEST})
    own = world.state.scoped(SCOPE)
    own.begin_round(round_of(1), {})
    steps.write(own, round_of(1), OPENED, OpenedStep(1, 2, "1", text))
    with pytest.raises(UsageError, match="rules of the tiers are damaged"):
        reader(world).read()
