"""Clients that watch miners, or reveal to one validator only, obtain nothing."""

from __future__ import annotations

from pathlib import Path

from soundsright.core.competition import PUBLISHED
from soundsright.testing.attacks.client_attacks import watched_entry
from soundsright.testing.attacks.reveals import admitting_validators


def test_nobody_learns_the_model_of_a_commitment_before_the_close(tmp_path: Path) -> None:
    watched = watched_entry(tmp_path, PUBLISHED[0])
    assert not watched.named_by_api
    assert not watched.opened_digest


def test_all_validators_admit_an_entry_that_was_revealed_to_one() -> None:
    assert admitting_validators(PUBLISHED[0]) == [True, True, True]


def test_without_gossip_they_would_disagree() -> None:
    assert admitting_validators(PUBLISHED[0], gossip=False) == [True, False, False]
