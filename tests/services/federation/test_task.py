"""The seed and the blocks of a task."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from soundsright.core.errors import UsageError
from soundsright.core.federation_rules import federation_rules
from soundsright.services.federation.task import competitions_of, drawn_sets, round_of_task, seed_of_task
from tests.services.federation.samplers import Federation, fake_pool


def test_the_seed_is_the_first_8_bytes_of_the_digest_of_hash_task_and_competition() -> None:
    digest = hashlib.sha256(b"0xabc:1234:DENOISING_16000HZ").digest()
    assert seed_of_task("0xabc", 1234, "DENOISING_16000HZ") == int.from_bytes(digest[:8], "big")


def test_entries_close_before_the_block_whose_hash_is_the_seed() -> None:
    blocks = round_of_task(1234, 100)
    assert (blocks.id, blocks.entries_close_block, blocks.seed_block) == ("task-1234", 123_399, 123_400)
    with pytest.raises(ValueError, match="task 0"):
        round_of_task(0, 100)


def test_a_set_depends_on_task_hash_and_competition_alone(tmp_path: Path) -> None:
    settings = Federation(tmp_path / "a").settings()

    def digests_of(folder: str, task: int, block_hash: str) -> dict[str, str]:
        sets = drawn_sets(settings, task, block_hash, tmp_path / folder, fake_pool())
        return {name: clips.digest for name, clips in sets.items()}

    first, again = digests_of("1", 7, "0xa"), digests_of("2", 7, "0xa")
    other_task, other_hash = digests_of("3", 8, "0xa"), digests_of("4", 7, "0xb")
    assert first == again
    digests = [digest for sets in (first, other_task, other_hash) for digest in sets.values()]
    assert len(set(digests)) == 6


def test_a_federation_judges_only_competitions_that_the_organiser_has(tmp_path: Path) -> None:
    organiser = Federation(tmp_path).organiser
    assert [c.id for c in competitions_of(federation_rules(competitions=("DENOISING_16000HZ",)), organiser)] == [
        "DENOISING_16000HZ"
    ]
    with pytest.raises(UsageError, match="DENOISING_48000HZ"):
        competitions_of(federation_rules(competitions=("DENOISING_48000HZ",)), organiser)
