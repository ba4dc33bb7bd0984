"""If several images share a digest, their layers or their output, the first submission is the original."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.errors import EngineUnavailable
from soundsright.core.images import MeasuredImage, SubmittedImage
from soundsright.core.results import ClipResult
from soundsright.core.submission import FetchedModel
from soundsright.services.executor import recomputed
from soundsright.services.executor.copied_images import alike_images
from soundsright.services.executor.executor_steps import COPIES, CopiesStep
from soundsright.services.executor.run_records import attempt_folder
from soundsright.services.executor.suspects import Suspects
from soundsright.services.rounds import ClipSet, steps, write_wav
from tests.services.executor.sets import RATE_HZ, ScriptedRunner, fetched_image, meter, small_set, step_log
from tests.services.executor.world import Judge, Sandbox, World, entry

A, B, C = entry("Aa", 80, at_s=1), entry("Bb", 60, at_s=2), entry("Cc", 40, at_s=3)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def copy_of(original: SubmittedImage, hotkey: str, at_s: int) -> SubmittedImage:
    """The same digest under another name, which scores better than all others."""
    other = entry(hotkey, 95, at_s=at_s)
    return replace(other, image=replace(other.image, sha256=original.image.sha256))


def errors(world: World) -> dict[str, str | None]:
    return {row.submission.hotkey: row.metrics.error for row in world.service.table().rows}


def detail(world: World, hotkey: str) -> str:
    return next(row.metrics.detail for row in world.service.table().rows if row.submission.hotkey == hotkey)


def test_a_digest_under_another_name_counts_for_its_first_hotkey(world: World) -> None:
    # The copy has the hotkey that comes first by name.
    original, copy = entry("Zz", 80, at_s=5), copy_of(entry("Zz", 80, at_s=5), "Bb", 6)
    world.play(copy, original)
    assert errors(world) == {"Zz": None, "Bb": "same_content_hash"}
    assert detail(world, "Bb").startswith("Copy of Zz: the digest is that of its image")
    assert {hotkey for _, hotkey, _ in world.meter.runs} == {"Zz"}
    assert world.sandbox.pulls == ["Zz"]
    assert recomputed(world.results(), Judge).differences == ()


@pytest.mark.parametrize("then", [(), (entry("Aa", 50, at_s=150),)])
def test_a_digest_stays_its_first_hotkeys_also_when_that_has_moved_on(
    world: World, then: tuple[SubmittedImage, ...]
) -> None:
    world.play(A)
    copy = copy_of(A, "Bb", 130)
    world.play(*then, C, copy)
    assert errors(world)["Bb"] == "same_content_hash"
    # When it comes back to it, it is no copy of the copy.
    back = replace(A, submitted_s=A.submitted_s + 250)
    world.play(back, C, copy)
    assert errors(world)["Aa"] is None
    assert errors(world)["Bb"] == "same_content_hash"


def test_a_refused_copy_waits_for_another_image(world: World) -> None:
    copy = copy_of(A, "Bb", 5)
    world.play(A, copy)
    world.play(A, copy, C)
    assert errors(world)["Bb"] == "same_content_hash"
    world.play(A, C, entry("Bb", 70, at_s=250))
    assert errors(world) == {"Aa": None, "Bb": None, "Cc": None}


def test_a_false_time_in_a_validators_list_takes_no_image_from_its_hotkey(world: World) -> None:
    world.play(A)
    forged = copy_of(A, "Bb", 0)
    assert forged.submitted_s < A.submitted_s
    world.clock.sleep(10_000)
    world.service.take((A, forged))
    world.play(A, forged)
    assert errors(world)["Bb"] == "same_content_hash"
    world.play(A, forged, C)
    assert errors(world)["Aa"] is None


class LayeredSandbox(Sandbox):
    """A sandbox that knows the layers of images: `layers` by hotkey. Others have layers of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[str, tuple[str, ...]] = {}
        self.broken = False

    def image_layers(self, model: FetchedModel) -> tuple[str, ...]:
        if self.broken:
            raise EngineUnavailable("The engine does not answer", "Start it.")
        hotkey = model.submission.hotkey
        return self.layers.get(hotkey, (f"sha256:{hotkey}",))


def layered(folder: Path, **layers: tuple[str, ...]) -> tuple[World, LayeredSandbox]:
    made = World(folder)
    sandbox = LayeredSandbox()
    sandbox.layers = layers
    object.__setattr__(made.context, "sandbox", sandbox)
    return made, sandbox


def test_the_same_layers_under_another_manifest_are_a_copy(tmp_path: Path) -> None:
    """An index and the manifest that it names have two digests and one image."""
    world, _ = layered(tmp_path, Aa=("sha256:1", "sha256:2"), Bb=("sha256:1", "sha256:2"))
    world.play(A, B, C)
    assert errors(world) == {"Aa": None, "Cc": None, "Bb": "shared_checkpoint"}
    assert "the layers are those of its image" in detail(world, "Bb")
    assert "Bb" not in {hotkey for _, hotkey, _ in world.meter.runs}


def test_a_copy_that_ran_before_its_original_is_found_when_both_have_run(tmp_path: Path) -> None:
    world, sandbox = layered(tmp_path, Aa=("sha256:1",), Bb=("sha256:1",))
    # The original is handed on before the copy, and cannot be run at first.
    world.meter.faults["Aa"] = [EngineUnavailable("It cannot start", "Wait.")] * 20
    sandbox.faults["Aa"] = [EngineUnavailable("It cannot be pulled", "Wait.")] * 20
    world.play(A, B, C)
    assert errors(world) == {"Bb": None, "Cc": None, "Aa": "not_evaluated"}
    world.meter.faults.clear()
    sandbox.faults.clear()
    world.play(A, B, C)
    assert errors(world) == {"Aa": None, "Cc": None, "Bb": "shared_checkpoint"}
    assert recomputed(world.results(), Judge).differences == ()
    assert world.results().holder == B.entry_id


def test_unknown_layers_are_not_the_same(tmp_path: Path) -> None:
    world, sandbox = layered(tmp_path, Aa=(), Bb=())
    world.play(A, B)
    sandbox.broken = True
    world.play(A, B, C)
    assert errors(world) == {"Aa": None, "Bb": None, "Cc": None}


def test_an_image_whose_output_is_anothers_is_a_suspected_copy(world: World) -> None:
    better = entry("Bb", 84, at_s=2)
    world.alike = [("Aa", "Bb")]
    world.play(A, better, C)
    assert errors(world) == {"Aa": None, "Cc": None, "Bb": "near_copy"}
    assert detail(world, "Bb").startswith("Copy of Aa: the output on probe clips is nearly that of its image")
    results = world.results()
    assert recomputed(results, Judge).differences == ()
    assert world.shown()[0][0] == "Aa"


def test_a_suspected_copy_with_a_certain_lead_counts(world: World) -> None:
    world.alike = [("Aa", "Bb")]
    world.play(A, entry("Bb", 90, at_s=2), C)
    assert errors(world) == {"Bb": None, "Aa": None, "Cc": None}
    results = world.results()
    assert recomputed(results, Judge).differences == ()
    assert [row.metrics.copy_of for row in recomputed(results, Judge).rows] == ["Aa", None, None]
    assert results.suspects.entries == (A.entry_id, B.entry_id)
    assert results.suspects.pairs == ((0, 1),)


def test_a_copy_of_several_images_needs_a_lead_over_each(world: World) -> None:
    world.alike = [("Aa", "Bb"), ("Aa", "Cc"), ("Bb", "Cc")]
    second = entry("Bb", 90, at_s=2)
    world.play(A, second, entry("Cc", 92, at_s=3))
    assert errors(world) == {"Bb": None, "Aa": None, "Cc": "near_copy"}
    assert detail(world, "Cc").startswith("Copy of Bb:")
    world.play(A, second, entry("Cc", 99, at_s=130))
    assert errors(world) == {"Cc": None, "Bb": None, "Aa": None}


def test_a_false_time_does_not_make_an_original_the_copy(world: World) -> None:
    world.play(A)
    forged = entry("Bb", 80, at_s=0)
    world.clock.sleep(10_000)
    world.service.take((A, forged))
    world.alike = [("Aa", "Bb")]
    world.play(A, forged)
    assert errors(world) == {"Aa": None, "Bb": "near_copy"}


def test_a_suspected_copy_waits_for_another_image(world: World) -> None:
    world.alike = [("Aa", "Bb")]
    world.play(A, B)
    world.play(A, B, C)
    assert ("images-20", "Bb", 1) not in world.meter.runs
    assert errors(world)["Bb"] == "near_copy"


def test_a_refused_image_is_nobodys_original(world: World) -> None:
    world.alike = [("Aa", "Bb"), ("Bb", "Cc")]
    world.play(A, B, C)
    assert errors(world) == {"Aa": None, "Cc": None, "Bb": "near_copy"}


def test_what_was_found_is_recorded_and_not_found_again(world: World) -> None:
    world.alike = [("Aa", "Bb")]
    world.play(A, B)
    record = steps.read(world.state, "images-10", COPIES)
    assert record is not None
    assert (record.suspects.entries, record.suspects.pairs) == ((A.entry_id, B.entry_id), ((0, 1),))
    assert CopiesStep.of(json.loads(json.dumps(record.facts()))) == record


def test_a_round_that_began_with_an_earlier_version_goes_on() -> None:
    assert CopiesStep.of({"failures": {}}).suspects == Suspects()


@pytest.mark.parametrize(
    ("entries", "since_s", "pairs"),
    [
        (("Aa-1", "Bb-2"), (1,), ()),
        (("Aa-1", "Aa-1"), (1, 1), ((0, 1),)),
        (("Aa-1", "Bb-2"), (1, 2), ((1, 0),)),
        (("Aa-1", "Bb-2"), (1, 2), ((0, 0),)),
        (("Aa-1", "Bb-2"), (1, 2), ((0, 2),)),
        (("Aa-1", "Bb-2"), (1, 2), ((0, 1), (0, 1))),
        (("Bb-2", "Aa-1"), (2, 1), ((0, 1),)),
        (("Aa-1", "Bb-9"), (1, 2), ((0, 1),)),
    ],
)
def test_marks_that_contradict_themselves_are_refused(
    entries: tuple[str, ...], since_s: tuple[int, ...], pairs: tuple[tuple[int, int], ...]
) -> None:
    with pytest.raises(ValueError, match=r"cop(y|ies)|earlier and a later|submitted after"):
        Suspects(entries, since_s, pairs)


def enhanced(folder: Path, clips: ClipSet, entry_id: str, *, noise: int, gain: float = 1.0) -> MeasuredImage:
    """The measurement of an image whose output has the clean speech and an error of its own."""
    audio = attempt_folder(folder / entry_id, 10)
    for path in (audio, attempt_folder(folder / entry_id, 9)):
        path.mkdir(parents=True)
    for number, clip_id in enumerate(clips.clip_ids):
        error = np.random.default_rng([noise, number]).standard_normal(RATE_HZ // 2)
        samples = gain * (clips.clean(clip_id).samples + 0.03 * error)
        write_wav(audio / f"{clip_id}.wav", Audio(on_pcm16_grid(samples), RATE_HZ))
    return MeasuredImage((), tuple(ClipResult(clip_id, scores={"ESTOI": 0.5}) for clip_id in clips.clip_ids))


def test_the_same_enhanced_audio_is_found_at_another_level(tmp_path: Path) -> None:
    clips = small_set(tmp_path / "set")
    folder = tmp_path / "enhanced"
    images = {
        "a": enhanced(folder, clips, "a", noise=1),
        "b": enhanced(folder, clips, "b", noise=1, gain=0.7),
        "c": enhanced(folder, clips, "c", noise=2),
    }
    assert [(pair.first, pair.second) for pair in alike_images(clips, folder, images)] == [("a", "b")]
    assert alike_images(clips, folder, {"a": images["a"]}) == ()
    assert alike_images(clips, folder, {}) == ()


def test_the_audio_of_measured_images_is_compared(tmp_path: Path) -> None:
    """Images are measured as an executor measures them, and two of them make the same errors."""
    clips = small_set(tmp_path / "set")
    folder = tmp_path / "enhanced"
    measured = {}
    for name, error in (("a", 1), ("b", 1), ("c", 2)):
        model = fetched_image(tmp_path)
        measured[name] = meter(ScriptedRunner(error=error)).measure(model, clips, folder / name, step_log())
        assert measured[name].failure is None
    assert [(pair.first, pair.second) for pair in alike_images(clips, folder, measured)] == [("a", "b")]


def test_images_whose_audio_is_lost_are_left_out_and_the_round_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that lost some audio must not hold back the scores of all images."""
    clips = small_set(tmp_path / "set")
    folder = tmp_path / "enhanced"
    images = {name: enhanced(folder, clips, name, noise=1) for name in ("a", "b", "c", "d")}
    shutil.rmtree(folder / "c")
    (attempt_folder(folder / "d", 10) / f"{clips.clip_ids[0]}.wav").write_bytes(b"damaged")
    with caplog.at_level("WARNING"):
        pairs = [(pair.first, pair.second) for pair in alike_images(clips, folder, images)]
    assert pairs == [("a", "b")]
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 2
    assert warned[0].startswith("c is not compared with others")
    assert warned[1].startswith("d is not compared with others")
