"""A bank of real clips: they are drawn as a round's clips are, and the same seed gives the same bank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.tiers import AttemptResult
from soundsright.core.tiers_rules import tiers_rules
from soundsright.services.verifier import SCOPE, Verifier, VerifierContext, recorded_steps
from soundsright.testing import InlinePool
from soundsright.testing.served import Manner
from tests.services.verifier.world import INTERVAL, World

RULES = tiers_rules(interval_blocks=INTERVAL, bank_clips=3, repeat_clips=1)


class RealClips(World):
    """A world whose clips are drawn from the shipped recordings."""

    def context(self) -> VerifierContext:
        return replace(super().context(), pool=InlinePool())


def manifest(folder: Path) -> dict[str, str]:
    bank = folder / "tiers" / "private-round" / "banks" / "1"
    return {str(path.relative_to(bank)): path.read_text() for path in bank.rglob("manifest.jsonl")}


@pytest.mark.slow
def test_a_bank_of_real_clips_follows_from_its_seed_and_differs_by_prover(tmp_path: Path) -> None:
    manners = {"honest": Manner.HONEST, "louder": Manner.LOUDER}
    worlds = [RealClips(tmp_path / name, manners, rules=RULES) for name in ("one", "other")]
    for world in worlds:
        world.run_interval(1)
        assert isinstance(world.verifier, Verifier)
        attempts = [a for step in recorded_steps(world.state.scoped(SCOPE), 1).values() for a in step.attempts]
        results = {(a.attempt.hotkey, a.attempt.result) for a in attempts}
        assert ("honest", AttemptResult.HASH) in results
        assert {result.passed for hotkey, result in results if hotkey == "louder"} == {False}
        assert len(attempts) == 6
    one, other = (manifest(tmp_path / name) for name in ("one", "other"))
    assert one == other
    assert len(set(one.values())) == 2
    folder = tmp_path / "one" / "tiers" / "private-round"
    assert (folder.stat().st_mode & 0o077) == 0
