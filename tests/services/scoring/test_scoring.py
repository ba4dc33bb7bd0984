"""Scoring folders: pairing, failures, refusals, and that every clip of the set counts."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soundfile

from soundsright.adapters.machine.pool import ProcessPool
from soundsright.core.errors import JobTimeout, UsageError
from soundsright.core.results import ClipResult
from soundsright.metrics.registry import METRICS, floors
from soundsright.metrics.suite import warm_up
from soundsright.services.scoring.folder import (
    ScoredClip,
    ScoreOptions,
    chosen_metrics,
    digest_of_inputs,
    score_files,
    score_set,
)
from soundsright.services.scoring.listing import listed_files
from soundsright.services.scoring.report import (
    summaries,
)
from soundsright.testing.fakes import InlinePool

T = TypeVar("T")

OPTIONS = ScoreOptions(("STOI", "SI_SDR", "SI_SIR"))


def scored(folders: tuple[Path, Path, Path], options: ScoreOptions = OPTIONS) -> dict[str, ClipResult]:
    return {clip.clip_id: clip for clip in score_files(score_set(*folders), options)}


def test_files_are_paired_by_their_path_below_the_folder(folders: tuple[Path, Path, Path]) -> None:
    results = scored(folders)
    assert list(results) == ["a", "b", "sub/c"]
    assert all(clip.scores is not None and clip.scores["SI_SDR"] > 15 for clip in results.values())


def _write(path: Path, samples: np.ndarray, rate: int = 16_000) -> None:
    soundfile.write(path, samples, rate, subtype="FLOAT")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (Path.unlink, "missing"),
        (lambda path: path.write_bytes(b"RIFF no audio at all"), "format"),
        (lambda path: path.write_bytes(b""), "format"),
        (lambda path: _write(path, np.ones(15_999)), "length"),
        (lambda path: _write(path, np.ones(16_000), 8_000), "rate"),
        (lambda path: _write(path, np.ones((16_000, 2))), "shape"),
        (lambda path: _write(path, np.full(16_000, np.nan)), "not_finite"),
        (lambda path: _write(path, np.full(16_000, np.inf)), "not_finite"),
    ],
)
def test_a_fault_in_an_output_is_named_and_affects_only_its_clip(
    folders: tuple[Path, Path, Path], spoil: Callable[[Path], object], code: str
) -> None:
    before = scored(folders)
    spoil(folders[1] / "b.wav")
    after = scored(folders)
    assert after["b"].failure is not None
    assert after["b"].failure.code == code
    assert {name: clip for name, clip in after.items() if name != "b"} == {
        name: clip for name, clip in before.items() if name != "b"
    }
    summary = summaries(list(after.values()), OPTIONS.metrics)["SI_SDR"]
    assert (summary.n, summary.failed) == (3, 1)


def test_no_fault_ever_raises_the_mean(folders: tuple[Path, Path, Path]) -> None:
    honest = summaries(list(scored(folders).values()), OPTIONS.metrics)
    (folders[1] / "a.wav").unlink()
    spoiled = summaries(list(scored(folders).values()), OPTIONS.metrics)
    for name in OPTIONS.metrics:
        assert METRICS[name].at_least_as_good(honest[name].mean, spoiled[name].mean)
        assert honest[name].mean != spoiled[name].mean


def test_silence_is_a_valid_output_and_scores_the_floor(folders: tuple[Path, Path, Path]) -> None:
    _write(folders[1] / "a.wav", np.zeros(16_000))
    assert scored(folders)["a"].scores == floors(OPTIONS.metrics)


def test_align_corrects_a_delay(folders: tuple[Path, Path, Path]) -> None:
    samples, _ = soundfile.read(folders[1] / "a.wav")
    _write(folders[1] / "a.wav", np.concatenate([np.zeros(300), samples]))
    assert scored(folders)["a"].failure is not None
    aligned = scored(folders, ScoreOptions(OPTIONS.metrics, align=True))["a"]
    assert aligned.scores is not None
    assert aligned.scores["SI_SDR"] > 15


@pytest.mark.parametrize("workers", [2, 4])
def test_results_do_not_depend_on_the_number_of_workers(folders: tuple[Path, Path, Path], workers: int) -> None:
    clips, options = score_set(*folders), ScoreOptions(("PESQ_WB", "ESTOI", "SI_SAR"))
    without_workers = score_files(clips, options)
    pool = ProcessPool(workers, warm_up=warm_up)
    try:
        assert score_files(clips, options, pool=pool) == without_workers
    finally:
        pool.close()


class DeadlyPool(InlinePool):
    """A pool in which one clip crashes every worker that measures it."""

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        assert deadline_s is not None
        assert deadline_s > 30
        if args[0].id != "b":
            return super().submit(function, *args)
        future: Future[T] = Future()
        future.set_exception(JobTimeout("scoring", deadline_s))
        return future


def test_a_clip_that_hangs_its_worker_fails_alone(folders: tuple[Path, Path, Path]) -> None:
    results = score_files(score_set(*folders), OPTIONS, pool=DeadlyPool())
    assert [None if r.failure is None else r.failure.code for r in results] == [None, "unscorable", None]
    assert summaries(results, OPTIONS.metrics)["STOI"].n == 3


def test_a_resumed_run_reuses_unchanged_clips(folders: tuple[Path, Path, Path]) -> None:
    clips = score_set(*folders)
    planted = ClipResult("a", scores={"STOI": 0.123, "SI_SDR": 1.0, "SI_SIR": 1.0})
    done = {
        clip.id: ScoredClip(planted if clip.id == "a" else ClipResult(clip.id, scores={}), digest)
        for clip in clips.clips
        if (digest := digest_of_inputs(clip, OPTIONS)) and clip.id != "b"
    }
    _write(folders[1] / "sub" / "c.wav", np.random.default_rng(9).standard_normal(16_000))
    results = score_files(clips, OPTIONS, done=done)
    assert results[0] == planted
    assert all(result.scores for result in results)


def test_folders_that_share_no_names_are_refused_with_examples(folders: tuple[Path, Path, Path]) -> None:
    for path in list(folders[1].rglob("*.wav")):
        path.rename(path.with_name(f"enhanced_{path.name}"))
    with pytest.raises(UsageError, match=r"share no names .*a, b, sub/c.*enhanced_a"):
        score_set(*folders)


def test_an_unreadable_clean_file_is_refused_by_name(folders: tuple[Path, Path, Path]) -> None:
    (folders[0] / "b.wav").write_bytes(b"not audio")
    with pytest.raises(UsageError, match=r"b\.wav"):
        score_set(*folders)


def test_a_clean_file_with_nan_is_refused_by_name(folders: tuple[Path, Path, Path]) -> None:
    _write(folders[0] / "b.wav", np.full(16_000, np.nan))
    with pytest.raises(UsageError, match=r"b\.wav.*NaN"):
        scored(folders)


def test_a_clean_file_of_two_channels_is_refused_by_name(folders: tuple[Path, Path, Path]) -> None:
    _write(folders[0] / "b.wav", np.zeros((16_000, 2)))
    with pytest.raises(UsageError, match=r"b\.wav: has 2 channels"):
        score_set(*folders)


def test_a_folder_in_place_of_a_file_is_an_unusable_file(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    lists = [tmp_path / f"{folder.name}.scp" for folder in folders]
    for folder, written in zip(folders, lists, strict=True):
        written.write_text(f"a {folder}/a.wav\nb {folder}/b.wav\n")
    (folders[1] / "b.wav").unlink()
    (folders[1] / "b.wav").mkdir()
    results = score_files(score_set(*lists), OPTIONS)
    assert [r.failure and r.failure.code for r in results] == [None, "format"]
    (folders[0] / "a.wav").unlink()
    (folders[0] / "a.wav").mkdir()
    with pytest.raises(UsageError, match=r"a\.wav: is a folder"):
        score_set(*lists)


def test_a_name_that_is_not_utf8_is_refused(folders: tuple[Path, Path, Path]) -> None:
    shutil.copy(folders[0] / "a.wav", folders[0] / b"\xff.wav".decode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match="UTF-8"):
        score_set(*folders)


def test_clean_files_of_two_rates_are_refused_with_examples(folders: tuple[Path, Path, Path]) -> None:
    _write(folders[0] / "b.wav", np.ones(16_000), 48_000)
    with pytest.raises(UsageError, match=r"2 sample rates \(16000 Hz: a, sub/c; 48000 Hz: b\)"):
        score_set(*folders)


def test_noisy_files_that_are_missing_or_differ_are_refused(folders: tuple[Path, Path, Path]) -> None:
    _write(folders[2] / "b.wav", np.ones(10))
    with pytest.raises(UsageError, match=r"b\.wav: 10 samples"):
        scored(folders)
    (folders[2] / "b.wav").unlink()
    with pytest.raises(UsageError, match="has no file for b"):
        score_set(*folders)


@pytest.mark.parametrize(("samples", "rate"), [(10, 16_000), (16_000, 8_000)])
def test_a_noisy_file_of_another_length_or_rate_is_refused_before_anything_is_scored(
    folders: tuple[Path, Path, Path], samples: int, rate: int
) -> None:
    _write(folders[2] / "b.wav", np.ones(samples), rate)
    with pytest.raises(UsageError, match=rf"b\.wav: {samples} samples at {rate} Hz; the clean recording has 16000"):
        score_set(*folders)


def test_an_enhanced_file_that_cannot_be_scored_is_known_before_anything_is_scored(
    folders: tuple[Path, Path, Path],
) -> None:
    (folders[1] / "a.wav").unlink()
    _write(folders[1] / "b.wav", np.ones(15_000))
    assert {name: each.code for name, each in score_set(*folders).unusable.items()} == {
        "a": "missing",
        "b": "length",
    }
    assert list(score_set(*folders, align=True).unusable) == ["a"]
    assert {name for name, clip in scored(folders).items() if clip.failure} == {"a", "b"}


@pytest.mark.parametrize("side", [0, 1, 2])
def test_every_side_is_read_from_the_same_formats(folders: tuple[Path, Path, Path], side: int) -> None:
    av = pytest.importorskip("av")
    for path in list(folders[side].rglob("*.wav")):
        samples, rate = soundfile.read(path, dtype="int16")
        with av.open(str(path.with_suffix(".mka")), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
            frame.sample_rate = rate
            container.mux([*stream.encode(frame), *stream.encode(None)])
        path.unlink()
    assert all(
        clip.failure is None and clip.scores["SI_SDR"] > 15 for clip in scored(folders).values() if clip.scores
    )
    assert all(clip.scores for clip in scored(folders).values())


def test_align_refuses_a_recording_that_is_much_longer_in_every_format(folders: tuple[Path, Path, Path]) -> None:
    soundfile.write(folders[1] / "b.ogg", np.zeros(30_000, np.float32), 16_000)
    (folders[1] / "b.wav").unlink()
    failure = scored(folders, ScoreOptions(("STOI",), align=True))["b"].failure
    assert failure is not None
    assert failure.code == "length"


def test_names_that_differ_by_a_common_ending_are_told_with_the_line_of_a_list(
    folders: tuple[Path, Path, Path],
) -> None:
    for path in list(folders[1].rglob("*.wav")):
        path.rename(path.with_name(f"{path.stem}_enhanced.wav"))
    with pytest.raises(UsageError, match=r"\.scp.*'_enhanced' added.*`a .*a_enhanced\.wav`"):
        score_set(*folders)


def test_extra_outputs_are_named_and_do_not_count(folders: tuple[Path, Path, Path]) -> None:
    shutil.copy(folders[1] / "a.wav", folders[1] / "z.wav")
    clips = score_set(*folders)
    assert clips.extra == ("z",)
    assert len(clips.clips) == 3


def test_two_files_with_the_same_name_are_refused(folders: tuple[Path, Path, Path]) -> None:
    shutil.copy(folders[1] / "a.wav", folders[1] / "a.flac")
    with pytest.raises(UsageError, match="two files for each of a"):
        score_set(*folders)


def test_kaldi_lists_are_read_and_never_run(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    lists = []
    for side in folders:
        lists.append(tmp_path / f"{side.name}.scp")
        lists[-1].write_text(f"utt-1 {side / 'a.wav'}\nutt-2 {side / 'b.wav'}\n\n")
    assert [clip.id for clip in score_set(*lists).clips] == ["utt-1", "utt-2"]
    lists[0].write_text("utt-1 touch /tmp/owned |\n")
    with pytest.raises(UsageError, match="line 1"):
        listed_files(lists[0])


def test_a_folder_without_audio_and_a_file_that_is_not_a_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no audio files"):
        listed_files(tmp_path)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(UsageError, match="neither a folder nor"):
        listed_files(tmp_path / "x.txt")


@pytest.mark.parametrize(
    ("path", "advice"),
    [("C:\\data\\{}.wav", "Windows"), ("\\\\server\\{}.wav", "Windows"), ("gone/{}.wav", "Relative paths")],
)
def test_a_list_none_of_whose_files_exists_is_refused(tmp_path: Path, path: str, advice: str) -> None:
    listed = tmp_path / "enhanced.scp"
    listed.write_text("".join(f"{name} {path.format(name)}\n" for name in ("a", "b")), encoding="utf-8")
    with pytest.raises(UsageError, match=f"none of its 2 files exists; the first is .*{advice}"):
        listed_files(listed)


def test_metrics_are_chosen_once_each_and_checked_before_any_work() -> None:
    assert chosen_metrics(["stoi", "STOI"], sample_rate_hz=16_000, has_noisy=False) == ("STOI",)
    with pytest.raises(UsageError, match="SI_SIR needs the noisy"):
        chosen_metrics(["SI_SIR"], sample_rate_hz=16_000, has_noisy=False)
    with pytest.raises(UsageError, match="PESQ_WB is not defined at 8000"):
        chosen_metrics(["PESQ_WB"], sample_rate_hz=8_000, has_noisy=False)
    for names in ((), ("PESQ_NB",)):
        with pytest.raises(UsageError, match=r"No metric is defined at 11025 Hz.* 8000, 16000, 22050"):
            chosen_metrics(names, sample_rate_hz=11_025, has_noisy=False)


def test_linked_folders_are_scored_and_a_dead_link_keeps_its_clip(folders: tuple[Path, Path, Path]) -> None:
    clean, enhanced, _ = folders
    linked = clean.parent / "linked"
    linked.mkdir()
    (linked / "sub").symlink_to(enhanced / "sub")
    for name in ("a", "b"):
        (linked / f"{name}.wav").symlink_to(enhanced / f"{name}.wav")
    (enhanced / "b.wav").unlink()
    results = score_files(score_set(clean, linked), ScoreOptions(("SI_SDR",)))
    assert [r.failure and r.failure.code for r in results] == [None, "format", None]

    (clean / "a.wav").rename(clean.parent / "a.wav")
    (clean / "a.wav").symlink_to("gone.wav")
    with pytest.raises(UsageError, match=r"clean/a\.wav: is a link that leads nowhere"):
        score_set(clean, linked)


def test_hidden_files_are_left_out_with_a_note(folders: tuple[Path, Path, Path]) -> None:
    for folder in folders[:2]:
        (folder / "._a.wav").write_bytes(b"resource fork")
    (folders[0] / ".ipynb_checkpoints").mkdir()
    shutil.copy(folders[0] / "a.wav", folders[0] / ".ipynb_checkpoints/a-checkpoint.wav")
    found = score_set(*folders)
    assert [clip.id for clip in found.clips] == ["a", "b", "sub/c"]
    assert found.notes == (
        f"2 entries of {folders[0]} were left out, such as ._a.wav: is hidden.",
        f"1 entry of {folders[1]} was left out, such as ._a.wav: is hidden.",
    )


def test_a_name_with_an_accent_is_paired_in_both_of_its_forms(folders: tuple[Path, Path, Path]) -> None:
    composed, decomposed = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
    for folder, name in zip(folders, (composed, decomposed, composed), strict=True):
        (folder / "b.wav").rename(folder / f"{name}.wav")
    found = score_set(*folders)
    assert [clip.id for clip in found.clips] == ["a", composed, "sub/c"]
    assert all(clip.failure is None for clip in score_files(found, ScoreOptions(("SI_SDR",))))
    shutil.copy(folders[0] / "a.wav", folders[0] / f"{decomposed}.wav")
    with pytest.raises(UsageError, match="two files for each of café"):
        score_set(*folders)


def test_a_list_may_have_tabs_a_byte_order_mark_and_blank_lines(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    folder = folders[0]
    spaced = tmp_path / "with space.wav"
    shutil.copy(folder / "b.wav", spaced)
    path = tmp_path / "clean.scp"
    path.write_bytes(f"\ufeffa\t{folder}/a.wav\r\n\n \t\nb \t {spaced} \n".encode())
    assert listed_files(path).files == {"a": folder / "a.wav", "b": spaced}
    path.write_bytes(b"a /x\0y.wav\n")
    with pytest.raises(UsageError, match=r"clean\.scp, line 1, has a NUL character"):
        listed_files(path)
