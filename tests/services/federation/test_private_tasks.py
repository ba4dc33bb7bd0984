"""Tasks on a private corpus: its audio is not published, and the verdict says since when it was committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soundsright.core.federation import StatedMaterial, Verdict
from soundsright.core.material import Material
from soundsright.core.schedule import DAY_S, Schedule
from soundsright.services.federation import AuditPorts, TaskSettings, audited
from soundsright.services.replay import SCORES
from soundsright.services.rounds import commitment_to, material_of_round, roots_of, score_files
from soundsright.testing import InlinePool
from soundsright.testing.simulation.world import score_fake_clip
from tests.services.federation.samplers import RULES, START_S, Federation, bucket_content, metadata_of
from tests.services.private_corpus import private_material

# The chain begins within round 1 of this schedule.
SCHEDULE = Schedule(time_of_day_s=0, every_days=1, first_day=int(START_S // DAY_S) - 1)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return private_material(tmp_path_factory.mktemp("home"))


def real_clips() -> Any:
    """A pool that draws real clips, and imitates scores."""
    return InlinePool({score_files: score_fake_clip})


def published(folder: Path, material: Material, *, committed: bool) -> tuple[Federation, Verdict]:
    federation = Federation(folder, material=material)
    if committed:
        own = material_of_round(material, SCHEDULE, START_S)
        federation.chain.publish("v0", commitment_to(own, 200).text)
    federation.reach(61)
    validator = federation.validator("v0", pool=real_clips(), schedule=SCHEDULE)
    validator.tick()
    assert validator.problems == []
    return federation, validator.verdict(3)


def test_a_corpus_that_was_committed_before_the_task_is_not_public(tmp_path: Path, material: Material) -> None:
    _, verdict = published(tmp_path, material, committed=True)
    own = material_of_round(material, SCHEDULE, START_S)
    assert verdict.material is not None
    assert verdict.material.digest in roots_of(own)
    assert verdict.material.public == ()
    assert verdict.material.committed_block is not None
    assert verdict.material.committed_block < 60


def test_without_a_commitment_the_verdict_says_so(tmp_path: Path, material: Material) -> None:
    _, verdict = published(tmp_path, material, committed=False)
    assert isinstance(verdict.material, StatedMaterial)
    assert verdict.material.committed_block is None


def test_nobody_hears_private_recordings_but_the_answers_are_bound_to_the_verdict(
    tmp_path: Path, material: Material
) -> None:
    federation, verdict = published(tmp_path, material, committed=True)
    keys = bucket_content(tmp_path / "buckets" / "v0")
    assert set(keys) == {"claims/3.json", "3/metadata.json", "3/evaluation_results/v0.json"}
    assert all(b"studio" not in raw for raw in keys.values())
    facts = metadata_of(federation, 3, "v0")
    assert facts["has_audio"] is False
    assert len(facts["answers"]["alice"]) == RULES.clips
    # Only the owner of the corpus can draw the sets again. Without audio, no score can be computed.
    own = material_of_round(material, SCHEDULE, START_S)
    settings = TaskSettings(federation.rules, federation.organiser, own)
    ports = AuditPorts(federation.buckets.of("v0"), real_clips(), tmp_path / "audit")
    report = audited(verdict, settings, federation.chain.block_hash(60), ports)
    assert report.difference is None
    assert report.checked == {SCORES: 0}
    assert "not all in the bucket" in report.unchecked[0].why
