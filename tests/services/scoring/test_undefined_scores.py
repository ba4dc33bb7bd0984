"""Metrics without a value are counted, explained, and left out of a second mean. Bad references are told first."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from soundsright import library
from soundsright.cli.commands.compare import command as compare
from soundsright.cli.commands.report import command as report
from soundsright.cli.commands.score import command as score
from soundsright.core.errors import UsageError
from soundsright.core.results import ClipResult, Failure
from soundsright.services.scoring import (
    ScoreReport,
    read_report,
    reference_notes,
    report_json,
    score_set,
    summaries,
)
from soundsright.services.scoring.folder import FileDigests
from soundsright.testing.fakes import InlinePool

CLIPS = (
    ClipResult("a", {"STOI": 0.9, "SI_SDR": 10.0}),
    ClipResult("b", {"STOI": 0.7, "SI_SDR": 12.0}),
    ClipResult("c", {"STOI": -1.0, "SI_SDR": 14.0}, no_value={"STOI": "little_speech"}),
    ClipResult("d", failure=Failure("missing", "no file")),
)


def written(path: Path, clips: tuple[ClipResult, ...] = CLIPS, stopped: str = "") -> Path:
    files = tuple(FileDigests() for _ in clips)
    path.write_text(report_json(ScoreReport(clips, files, 16_000, False, stopped=stopped), ["STOI", "SI_SDR"]))
    return path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips of one second: `c` is silent in `clean`, and `b` is too short for STOI."""
    # Workers would start for each run, which takes seconds.
    monkeypatch.setattr("soundsright.library.scoring._pool", lambda workers: contextlib.nullcontext(InlinePool()))
    for number, side in enumerate(("clean", "enhanced", "noisy")):
        (tmp_path / side).mkdir()
        for seed, (name, length) in enumerate({"a": 16_000, "b": 5_000, "c": 16_000}.items()):
            rng = np.random.default_rng(seed)
            clean = (
                rng.standard_normal(length)
                * np.abs(np.sin(np.arange(length) / 900))
                * (0.0 if name == "c" else 0.1)
            )
            signal = clean + (0.0, 0.01, 0.05)[number] * rng.standard_normal(length)
            soundfile.write(tmp_path / side / f"{name}.wav", signal, 16_000)
    return tmp_path


def run(folders: Path, *more: str, noisy: str = "noisy") -> tuple[int, str, str]:
    sides = ["--clean", folders / "clean", "--enhanced", folders / "enhanced"]
    sides += ["--noisy", folders / noisy] if noisy else []
    result = CliRunner().invoke(score, [*map(str, sides), *more])
    return result.exit_code, result.output, result.stderr


def test_undefined_clips_are_counted_and_the_mean_is_given_both_ways() -> None:
    stoi, si_sdr = summaries(CLIPS, ["STOI", "SI_SDR"]).values()
    assert (stoi.n, stoi.failed, stoi.undefined) == (4, 1, 1)
    assert stoi.mean == pytest.approx((0.9 + 0.7 - 1.0 - 1.0) / 4)
    # The reference of c has too little speech, so c is left out. The answer to d is missing, so d stays.
    assert stoi.mean_defined == pytest.approx((0.9 + 0.7 - 1.0) / 3)
    assert stoi.n_defined == 3
    assert (si_sdr.undefined, si_sdr.mean_defined, si_sdr.n_defined) == (0, si_sdr.mean, 4)


def test_a_clip_that_fails_never_raises_the_mean_of_defined() -> None:
    values = {
        name: {"PESQ_WB": score} for name, score in zip("bcdefg", (1.2, 1.3, 1.4, 1.5, 1.6, 1.7), strict=True)
    }
    blank = ClipResult("a", {"PESQ_WB": 1.0}, no_value={"PESQ_WB": "clean_blank"})
    whole = (blank, *(ClipResult(name, scores) for name, scores in values.items()))
    for failure in (
        ClipResult("b", failure=Failure("length", "9 samples, 10 expected")),
        ClipResult("b", {"PESQ_WB": 1.0}, no_value={"PESQ_WB": "enhanced_blank"}),
        ClipResult("b", {"PESQ_WB": 1.0}, no_value={"PESQ_WB": "pesq_undefined"}),
        ClipResult("b", {"PESQ_WB": 1.0}, no_value={"PESQ_WB": "a code of a later version"}),
    ):
        good = summaries(whole, ["PESQ_WB"])["PESQ_WB"]
        bad = summaries((blank, failure, *whole[2:]), ["PESQ_WB"])["PESQ_WB"]
        assert good.mean_defined is not None
        assert bad.mean_defined is not None
        assert bad.mean_defined < good.mean_defined
        assert (good.n_defined, bad.n_defined) == (6, 6)


def test_a_metric_that_no_clip_has_a_value_for_has_no_interval() -> None:
    floors = [ClipResult(name, {"STOI": -1.0}, no_value={"STOI": "little_speech"}) for name in "abc"]
    summary = summaries(floors, ["STOI"])["STOI"]
    assert (summary.low, summary.high, summary.mean_defined) == (None, None, None)


def test_the_table_says_per_clip_and_metric_what_was_undefined_and_why(folders: Path) -> None:
    code, output, notes = run(folders, "--metrics", "STOI,SI_SDR")
    assert code == 0
    assert "Undefined" in output
    assert "Mean of defined" in output
    assert "(n = 1)" in output
    assert "To describe a system, use Mean of defined" in output
    assert "clean recording is silent, constant or not finite (c)" in output
    assert "fewer than 30 frames (0.4 s) of speech (b)" in output
    assert "The clean recording is silent or constant in 1 of 3 clips" in notes


def test_a_long_recording_without_pesq_is_left_out_of_the_mean_of_defined(folders: Path) -> None:
    """PESQ has room for 50 utterances and the recording has 60, so even a perfect copy has no value."""
    rng = np.random.default_rng(0)
    signal = np.zeros((60, 16_000))
    signal[:, :6_400] = 0.1 * rng.standard_normal((60, 6_400))
    for side in ("clean", "enhanced"):
        (folders / "long" / side).mkdir(parents=True)
        soundfile.write(folders / "long" / side / "a.wav", signal.ravel(), 16_000)
    code, output, _ = run(
        folders / "long", "--metrics", "PESQ_WB,SI_SDR", "--json", str(folders / "r.json"), noisy=""
    )
    assert code == 0
    (row,) = (line.split() for line in output.splitlines() if line.strip().startswith("PESQ_WB  "))
    assert row[-3:] == ["1", "–", "MOS-LQO"]
    assert "finds more or none in the clean recording" in output
    summary = json.loads((folders / "r.json").read_text())["metrics"]["PESQ_WB"]
    assert (summary["mean_defined"], summary["n_defined"]) == (None, 0)
    table = CliRunner().invoke(report, [str(folders / "r.json"), "--format", "md"]).stdout
    assert "mean of defined" not in table
    assert library.compare(folders / "r.json", folders / "r.json")["PESQ_WB"].n_defined == 0


def test_a_noisy_folder_that_equals_the_clean_one_is_told_before_anything_is_scored(folders: Path) -> None:
    pairs = score_set(folders / "clean", folders / "enhanced", folders / "clean")
    blank, equal = reference_notes(pairs)
    assert blank.endswith(": c.")
    assert "equals the clean one in 2 of 3 clips" in equal
    assert reference_notes(score_set(folders / "clean", folders / "enhanced", folders / "noisy")) == [blank]


def test_a_reference_that_only_decoding_shows_to_be_damaged_is_told_before_anything_is_scored(
    folders: Path,
) -> None:
    broken = np.zeros(16_000, np.float32)
    broken[5] = np.nan
    soundfile.write(folders / "noisy" / "c.wav", broken, 16_000, subtype="FLOAT")
    scored: list[ClipResult] = []
    with pytest.raises(UsageError, match=r"c\.wav.*NaN"):
        library.score_folder(
            folders / "clean",
            folders / "enhanced",
            noisy=folders / "noisy",
            metrics=["SI_SDR"],
            on_clip=scored.append,
        )
    assert scored == []


def test_a_run_that_is_stopped_leaves_a_report_that_says_so(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import soundsright.services.scoring.folder as module

    digests = module.file_digests

    def interrupted(clip: module.ClipFiles) -> FileDigests:
        if clip.id == "b":
            raise KeyboardInterrupt
        return digests(clip)

    monkeypatch.setattr(module, "file_digests", interrupted)
    target = folders / "r.json"
    code, _, notes = run(folders, "--metrics", "SI_SDR", "--json", str(target))
    assert code != 0
    assert "has the scores of 1 of 3 clips: interrupted" in notes
    partial = read_report(target)
    assert [clip.clip_id for clip in partial.clips] == ["a"]
    assert partial.stopped == "1 of 3 clips: interrupted"


def test_a_partial_report_is_marked_wherever_it_is_used(tmp_path: Path) -> None:
    whole, partial = written(tmp_path / "a.json"), written(tmp_path / "b.json", stopped="4 of 9 clips: interrupted")
    assert "4 of 9 clips" in CliRunner().invoke(compare, [str(whole), str(partial)]).stderr
    assert "b is partial" in CliRunner().invoke(report, [str(whole), str(partial)]).stderr
    assert "stopped" not in json.loads(whole.read_text())


@pytest.mark.parametrize("kind", ["md", "tex"])
def test_the_tables_of_a_paper_have_the_column_and_the_other_mean(tmp_path: Path, kind: str) -> None:
    output = CliRunner().invoke(report, [str(written(tmp_path / "a.json")), "--format", kind]).stdout
    assert "STOI 1" in output
    assert "STOI undefined in 1 clip (mean of defined: 0.200 over 3 clips)" in output
    assert "Mean of defined leaves out" in output


def test_the_csv_has_the_count_and_the_other_mean(tmp_path: Path) -> None:
    lines = CliRunner().invoke(report, [str(written(tmp_path / "a.json")), "--format", "csv"]).stdout.splitlines()
    assert lines[0].endswith(",undefined,mean_defined,n_defined")
    undefined, mean, n = lines[1].split(",")[-3:]
    assert (undefined, n) == ("1", "3")
    assert float(mean) == pytest.approx(0.2)


def test_a_comparison_counts_undefined_clips_and_compares_the_defined_ones(tmp_path: Path) -> None:
    better = (ClipResult("a", {"STOI": 0.95, "SI_SDR": 10.0}), *CLIPS[1:])
    one, other = written(tmp_path / "a.json", better), written(tmp_path / "b.json")
    found = library.compare(one, other)["STOI"]
    assert found.undefined == 1
    assert found.mean_defined == pytest.approx(0.05 / 3)
    assert found.n_defined == 3
    output = CliRunner().invoke(compare, [str(one), str(other)]).stdout
    assert "Undefined" in output
    assert "(n = 3)" in output
    assert "A - B counts the floors" in output


def test_a_comparison_names_the_clips_that_failed_on_one_side(tmp_path: Path) -> None:
    whole = (*CLIPS[:3], ClipResult("d", {"STOI": 0.5, "SI_SDR": 9.0}))
    one, other = written(tmp_path / "a.json", whole), written(tmp_path / "b.json")
    compared = library.compare(one, other)
    assert (dict(compared.failed_a), compared.failed_b["d"].code) == ({}, "missing")
    output = CliRunner().invoke(compare, [str(one), str(other), "--json", str(tmp_path / "c.json")]).stdout
    assert "Failed A, B" in output
    assert "0, 1" in output
    assert "1 of 4 clips failed in B and counts as the floors: d (missing)." in output
    assert json.loads((tmp_path / "c.json").read_text())["failed"] == {"a": {}, "b": {"d": "missing"}}
    again = CliRunner().invoke(compare, [str(one), str(one)]).stdout
    assert "Failed A, B" not in again
    assert " failed in " not in again


def test_one_speaker_or_one_clip_has_a_dash_in_every_table(tmp_path: Path) -> None:
    labelled = json.loads(written(tmp_path / "a.json", CLIPS[:3]).read_text())
    for clip in labelled["clips"]:
        clip["groups"] = {"speaker": "only"}
    speaker, single = tmp_path / "speaker.json", written(tmp_path / "single.json", CLIPS[:1])
    speaker.write_text(json.dumps(labelled))
    for path in (speaker, single):
        table = CliRunner().invoke(report, [str(path), "--format", "md"]).stdout
        assert "± –" in table
        assert "± 0.00" not in table
        compared = CliRunner().invoke(compare, [str(path), str(path)]).stdout
        assert "There is no interval" in compared
        assert "+0.0000 … +0.0000" not in compared
