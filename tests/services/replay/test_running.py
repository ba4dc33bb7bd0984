"""Models are run again: equal, close, different, failed and missing answers are told apart."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import soundfile

from soundsright.core.audio import Samples
from soundsright.core.errors import BundleRefused, ModelCrashed, ModelFault, ModelTimeout
from soundsright.services.records import (
    RoundBundle,
    open_bundle,
)
from soundsright.services.replay import (
    pairs_of,
    run_again,
)
from tests.services.replay.bundled import CLIPS, MODELS, Bundled, Model, answers_of, soft
from tests.services.replay.test_depths import Tampered, failed
from tests.services.rounds.subnet import COMPETITION


def raising(fault: ModelFault) -> Model:
    """A model that fails at every clip."""

    def enhance(_samples: Samples) -> Samples:
        raise fault

    return enhance


def other_processor(model: Model) -> Model:
    """The same model on a machine whose last bit differs in places."""

    def enhance(samples: Samples) -> Samples:
        answer = model(samples).copy()
        answer[::997] += np.float32(1 / 32768)
        return answer

    return enhance


def test_answers_that_differ_in_bits_are_compared_by_their_errors(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    models = {"content-bob": other_processor(MODELS["content-bob"])}
    report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models=models))
    assert report.difference is None
    assert report.checked["of them equal by their digest"] == (len(MODELS) - 1) * CLIPS
    (remark,) = report.remarks
    assert "bob differ in bits and agree to" in remark
    assert "at least 8 dB" in remark


def test_answers_of_another_model_are_found(world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
    def other(samples: Samples) -> Samples:
        noise = np.random.default_rng(1).standard_normal(len(samples))
        return (soft(0.03)(samples) + 0.02 * noise).astype(np.float32)

    report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models={"content-bob": other}))
    assert report.difference is not None
    assert report.difference.field.startswith("bob, clip 00000")
    assert report.difference.recorded == "at least 8 dB of agreement"


def test_one_falsified_answer_among_honest_ones_is_found_and_named(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    here = iter([other_processor(MODELS["content-bob"]), soft(0.3)] * CLIPS)
    models: dict[str, Model] = {"content-bob": lambda samples: next(here)(samples)}
    difference = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models=models)).difference
    assert difference is not None
    assert (difference.field, difference.recorded) == ("bob, clip 000001", "at least 8 dB of agreement")


def test_silence_in_place_of_an_answer_is_a_difference(world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
    ports = world.ports(tmp_path, models={"content-bob": np.zeros_like})
    difference = run_again(bundle, pairs_of(bundle), ports).difference
    assert difference is not None
    assert (difference.step, difference.field) == ("answers", "bob, clip 000000")


def test_answers_of_other_bits_without_audio_are_not_counted_as_checked(world: Bundled, tmp_path: Path) -> None:
    models = {"content-bob": other_processor(MODELS["content-bob"])}
    with open_bundle(world.bundle("silent", audio=False)) as bundle:
        report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models=models))
    assert (report.difference, len(report.unchecked)) == (None, 1)
    assert report.unchecked[0].part == f"{COMPETITION.id}: answers of bob ({CLIPS})"
    assert answers_of(report) == {(len(MODELS) - 1) * CLIPS}


@pytest.mark.parametrize("fault", [ModelTimeout("enhance", 30.0), ModelCrashed.over_memory(8 * 10**9)])
def test_a_limit_that_this_machine_reaches_accuses_nobody(
    world: Bundled, bundle: RoundBundle, tmp_path: Path, fault: ModelFault
) -> None:
    report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models={"content-bob": raising(fault)}))
    assert (report.difference, len(report.unchecked)) == (None, 1)
    assert report.unchecked[0].part == f"{COMPETITION.id}: answers of bob ({CLIPS})"
    assert "limit" in report.unchecked[0].why
    assert answers_of(report) == {(len(MODELS) - 1) * CLIPS}


@pytest.mark.parametrize(("code", "differs"), [("timeout", False), ("length", True)])
def test_a_recorded_failure_of_a_limit_accuses_nobody_and_another_one_does(
    world: Bundled, bundle: RoundBundle, tmp_path: Path, code: str, differs: bool
) -> None:
    pairs = [failed(pair, code) if pair.line.entry == "bob" else pair for pair in pairs_of(bundle)]
    report = run_again(bundle, pairs, world.ports(tmp_path))
    assert (report.difference is not None, bool(report.unchecked)) == (differs, not differs)


def test_a_model_that_crashes_where_it_answered_is_a_difference(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    ports = world.ports(tmp_path, models={"content-bob": raising(ModelCrashed("ended", 1))})
    difference = run_again(bundle, pairs_of(bundle), ports).difference
    assert difference is not None
    assert (difference.field, difference.replayed) == ("bob, clip 000000", "the failure crashed")


def test_a_model_is_started_again_after_a_failed_batch_as_in_the_round(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    # Each clip is a batch here. The model fails at the first one.
    here = iter([raising(ModelTimeout("enhance", 30.0)), *[MODELS["content-bob"]] * CLIPS])
    models: dict[str, Model] = {"content-bob": lambda samples: next(here)(samples)}
    report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models=models))
    assert (report.difference, report.unchecked[0].part) == (None, f"{COMPETITION.id}: answers of bob")
    assert answers_of(report) == {len(MODELS) * CLIPS - 1}


def test_a_sampled_failure_is_replayed_with_the_batch_that_failed(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    # Both clips are one batch, and the first one ends the model. The sample has the second one.
    sample = [failed(p, "crashed") for p in pairs_of(bundle) if (p.line.entry, p.line.id) == ("bob", "000001")]
    first = next(pair for pair in pairs_of(bundle) if pair.line.id == "000000")
    fatal, _ = soundfile.read(io.BytesIO(bundle.wav(first.degraded)), dtype="float32")

    def fragile(samples: Samples) -> Samples:
        if np.array_equal(samples, fatal):
            raise ModelCrashed("ended", 1)
        return MODELS["content-bob"](samples)

    plan = {**bundle.plan, "plan": {**bundle.plan["plan"], "batch_audio_s": 24.0}}
    one_batch = cast(RoundBundle, Tampered(bundle, plan, bundle.steps()))
    report = run_again(one_batch, sample, world.ports(tmp_path, models={"content-bob": fragile}))
    assert (report.difference, report.checked["of them equal by their digest"]) == (None, 1)


def test_a_model_that_does_not_repeat_itself_is_named(world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
    calls = iter(range(1_000))

    def unsteady(samples: Samples) -> Samples:
        answer = MODELS["content-bob"](samples)
        answer[next(calls) :: 997] += np.float32(1 / 32768)
        return answer

    report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models={"content-bob": unsteady}))
    assert report.difference is None
    assert f"bob does not repeat itself on {CLIPS} of {CLIPS} clips." in report.remarks[0]


def test_a_model_that_disagrees_with_itself_accuses_nobody_and_is_not_checked(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)

    def erratic(samples: Samples) -> Samples:
        return (soft(0.03)(samples) + 0.02 * rng.standard_normal(len(samples))).astype(np.float32)

    report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models={"content-bob": erratic}))
    assert (report.difference, len(report.unchecked)) == (None, 1)
    assert "does not agree with itself" in report.unchecked[0].why
    assert answers_of(report) == {(len(MODELS) - 1) * CLIPS}


def test_other_content_on_the_hub_is_found(world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
    from soundsright.testing import FakeHub

    (tmp_path / "Dockerfile").write_text("FROM base\n")
    hub = FakeHub(tmp_path)
    hub.repositories = {
        model: replace(each, content_hash="changed") if "bob" in each.content_hash else each
        for model, each in world.subnet.hub.repositories.items()
    }
    report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, hub=hub))
    assert report.difference is not None
    assert (report.difference.step, report.difference.field) == ("content", "bob")
    assert (report.difference.recorded, report.difference.replayed) == ("content-bob", "changed")


def test_a_model_that_the_hub_has_lost_is_listed_as_unchecked(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    from soundsright.testing import FakeHub

    report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, hub=FakeHub(tmp_path)))
    assert (report.difference, report.checked["answers given again"]) == (None, 0)
    assert [each.part for each in report.unchecked] == [
        f"{COMPETITION.id}: answers of {name}" for name in ("alice", "bob", "carol")
    ]


def test_a_recorded_answer_that_is_no_audio_is_refused(
    world: Bundled, bundle: RoundBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RoundBundle, "wav", lambda _bundle, _sha256: b"no audio")
    ports = world.ports(tmp_path, models={"content-bob": other_processor(MODELS["content-bob"])})
    with pytest.raises(BundleRefused, match="cannot be read"):
        run_again(bundle, pairs_of(bundle), ports)
