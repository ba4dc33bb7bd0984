"""Near copies and signs of tuning are computed again from the audio of a bundle, and a planted lie is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundsright.copies import DuplicateRule, Likeness
from soundsright.core.audio import Samples
from soundsright.core.results import Evaluation
from soundsright.ranking import Flag
from soundsright.services.records import RoundBundle, check_bundle, open_bundle
from soundsright.services.replay import (
    Listening,
    ReplayReport,
    decided_again,
    listening,
    pairs_of,
    scored_again,
)
from soundsright.services.rounds import decision
from soundsright.testing import InlinePool
from tests.services.replay.bundled import CLIPS, Bundled, Model, soft
from tests.services.rounds.subnet import COMPETITION


def band(low: float, high: float) -> Model:
    """A model that keeps a part of the spectrum. Limits in parts of the sample rate."""

    def enhance(samples: Samples) -> Samples:
        spectrum = np.fft.rfft(samples)
        place = np.arange(len(spectrum)) / len(samples)
        return np.fft.irfft(np.where((place > low) & (place < high), spectrum, 0), len(samples)).astype(np.float32)

    return enhance


def gate(part: float) -> Model:
    """A model that keeps the loudest part of the bins of short frames."""

    def enhance(samples: Samples) -> Samples:
        frames = np.pad(samples, (0, -len(samples) % 256)).reshape(-1, 256)
        spectrum = np.fft.rfft(frames)
        loud = np.abs(spectrum) > np.quantile(np.abs(spectrum), part)
        return np.fft.irfft(spectrum * loud, 256).reshape(-1)[: len(samples)].astype(np.float32)

    return enhance


APART = {"content-alice": band(0.01, 0.2), "content-bob": soft(0.01), "content-carol": gate(0.7)}


def quieter(samples: Samples) -> Samples:
    """Bob's model under another name, with another level."""
    return (0.9 * APART["content-bob"](samples)).astype("float32")


@pytest.fixture(scope="module")
def with_copy(tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    """A round that refused carol, who entered bob's model."""
    models = {**APART, "content-carol": quieter}
    return Bundled(tmp_path_factory.mktemp("copy") / "round", models=models, exclude_near_copies=True)


@pytest.fixture(scope="module")
def accused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a validator that called carol's own model a copy of bob's, and decided accordingly."""

    def lie(clips: Any, _enhanced: Any, evaluations: Sequence[Evaluation], **_options: Any) -> list[Likeness]:
        bob, carol = (
            next(e.submission.entry_id for e in evaluations if e.submission.hotkey == name)
            for name in ("bob", "carol")
        )
        evidence = {"agreement_db": "21.3", "threshold_db": "8"}
        return [Likeness(bob, carol, DuplicateRule.NEAR_COPY, evidence)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decision, "near_copy_pairs", lie)
        folder = tmp_path_factory.mktemp("accused") / "round"
        world = Bundled(folder, models=APART, exclude_near_copies=True)
    assert [(each.hotkey, each.code) for each in world.outcome.refusals] == [("carol", "near_copy")]
    return world.bundle("accused")


def heard_again(bundle: RoundBundle, *, sampled: bool = False) -> tuple[ReplayReport, Listening]:
    audio = listening(bundle, pairs_of(bundle), InlinePool(), sampled=sampled)
    return decided_again(bundle, audio.heard), audio


def test_a_round_that_refused_a_near_copy_is_the_same_from_record_and_audio(with_copy: Bundled) -> None:
    assert [(each.hotkey, each.code) for each in with_copy.outcome.refusals] == [("carol", "near_copy")]
    with open_bundle(with_copy.bundle("copies")) as bundle:
        check_bundle(bundle)
        assert decided_again(bundle).difference is None
        again, audio = heard_again(bundle)
        assert (again.difference, again.unchecked, audio.unchecked) == (None, (), ())
        assert again.checked["steps computed again"] == decided_again(bundle).checked["steps computed again"] + 2
        scored = scored_again(bundle, pairs_of(bundle), InlinePool())
    assert scored.difference is None
    assert scored.checked == {"scores computed again": (len(APART) + 1) * CLIPS}


def test_an_honest_entry_that_was_called_a_copy_is_found_and_named(accused: Path) -> None:
    with open_bundle(accused) as bundle:
        check_bundle(bundle)
        assert decided_again(bundle).difference is None
        for sampled in (False, True):
            difference = heard_again(bundle, sampled=sampled)[0].difference
            assert difference is not None
            assert difference.step == "near_copies"
            assert difference.field == f"{COMPETITION.id}, bob and {COMPETITION.id}, carol"
            assert difference.replayed == "nothing"


def test_a_copy_that_was_spared_is_found_and_named(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decision, "near_copy_pairs", lambda *_args, **_options: [])
        models = {**APART, "content-carol": quieter}
        world = Bundled(tmp_path / "round", models=models, exclude_near_copies=True)
    assert world.outcome.refusals == ()
    with open_bundle(world.bundle("spared")) as bundle:
        difference = heard_again(bundle)[0].difference
    assert difference is not None
    assert (difference.step, difference.recorded) == ("near_copies", "nothing")
    assert difference.field == f"{COMPETITION.id}, bob and {COMPETITION.id}, carol"


def test_a_false_sign_of_tuning_is_found_and_named(tmp_path: Path) -> None:
    false = Flag("speech_deleted", "90% of the speech was deleted", 0.9, 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decision, "flags", lambda *_args, **_options: (false,))
        world = Bundled(tmp_path / "round", models=APART)
    with open_bundle(world.bundle("flagged")) as bundle:
        assert decided_again(bundle).difference is None
        difference = heard_again(bundle)[0].difference
        assert heard_again(bundle, sampled=True)[1].unchecked[0].part == "flags"
    assert difference is not None
    assert (difference.step, difference.recorded) == ("flags", [asdict(false)])
    assert difference.field.startswith(f"{COMPETITION.id}, ")


def test_without_audio_both_rest_on_the_record_and_are_listed(with_copy: Bundled) -> None:
    with open_bundle(with_copy.bundle("silent", audio=False)) as bundle:
        again, audio = heard_again(bundle)
    assert (again.difference, audio.heard) == (None, None)
    assert [each.part for each in audio.unchecked] == ["near_copies, flags"]
