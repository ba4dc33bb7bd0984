"""`score`, `compare` and `metrics` as a user runs them."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from soundsright.cli.commands.score import command as score
from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.core.errors import UsageError
from tests.cli.scored_folders import run_score, write_manifest

pytestmark = pytest.mark.usefixtures("shared_workers")


def test_the_table_shows_every_usual_metric(folders: Path) -> None:
    result = run_score(folders)
    assert result.exit_code == 0
    for name in ("PESQ_WB", "ESTOI", "STOI", "SI_SDR", "SI_SIR", "SI_SAR"):
        assert name in result.output


def test_the_clips_that_are_flagged_for_hallucination_are_counted_and_named(folders: Path) -> None:
    path = folders / "enhanced" / "2.wav"
    without, rate = soundfile.read(path)
    without[6_500:10_500] *= 0.001
    soundfile.write(path, without, rate)
    output = run_score(folders, "--metrics", "HALLUCINATION").output
    assert "1 of 4 clips are flagged for hallucination: 2." in output
    assert "flagged" not in run_score(folders, "--metrics", "ESTOI").output


@pytest.mark.parametrize("columns", [40, 80])
def test_no_number_of_the_table_is_cut(folders: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    report = json.loads(run_score(folders, "--metrics", "LSD,SI_SDR", "--json", "-").stdout)["metrics"]
    output = run_score(folders, "--metrics", "LSD,SI_SDR").output
    for summary in report.values():
        assert f"{summary['low']:.4f} … {summary['high']:.4f}" in output
        assert f"{summary['median']:.4f}" in output
    assert output.count("0 of 4") == 2


def test_no_name_of_a_metric_is_cut(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    name = "SI_SIR_SPAN"
    assert f" {name} " in run_score(folders, "--metrics", name).output


def test_the_report_goes_to_a_file_or_alone_to_stdout(folders: Path) -> None:
    assert run_score(folders, "--metrics", "STOI", "--json", str(folders / "r.json")).exit_code == 0
    report = json.loads((folders / "r.json").read_text())
    assert report["metrics"]["STOI"]["n"] == 4
    assert json.loads(run_score(folders, "--metrics", "STOI", "--json", "-").stdout) == report


def test_a_failed_clip_gives_a_complete_report_and_exit_status_1(folders: Path) -> None:
    (folders / "enhanced" / "2.wav").write_bytes(b"junk")
    result = run_score(folders, "--metrics", "STOI", "--json", str(folders / "r.json"))
    assert result.exit_code == 1
    assert "1 failed, format: 2 " in result.output
    report = json.loads((folders / "r.json").read_text())
    assert report["metrics"]["STOI"]["failed"] == 1
    assert [clip["id"] for clip in report["clips"]] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--metrics", "STOY"), "'STOY'"),
        (("--metrics", ","), "has no name"),
        (("--clips", "x.csv"), "x.csv"),
        (("--resume",), "--resume"),
        (("--json", "/no/such/folder/r.json"), "/no/such/folder"),
    ],
)
def test_misuse_is_named(folders: Path, more: tuple[str, ...], named: str) -> None:
    result = run_score(folders, *more)
    assert isinstance(result.exception, UsageError)
    assert named in str(result.exception)


def test_folders_without_options_show_an_example(folders: Path) -> None:
    result = CliRunner().invoke(score, [str(folders / "clean"), str(folders / "enhanced")])
    assert isinstance(result.exception, UsageError)
    assert "Missing option '--clean'. Example: soundsright score --clean" in str(result.exception)


def test_names_of_outputs_that_do_not_count_cannot_steer_the_terminal(folders: Path) -> None:
    (folders / "enhanced" / "0.wav").rename(folders / "enhanced" / "\x1b[2Jred.wav")
    result = run_score(folders, "--metrics", "STOI")
    assert "1 enhanced file has no clean file, so no score: \\x1b[2Jred" in result.stderr
    assert "\x1b[2J" not in result.output


def test_two_workers_write_the_same_bytes_as_one(folders: Path) -> None:
    for workers in ("1", "2"):
        files = [str(folders / f"{workers}.{suffix}") for suffix in ("json", "jsonl")]
        run_score(
            folders, "--metrics", "ESTOI,SI_SDR", "--json", files[0], "--clips", files[1], "--workers", workers
        )
    for suffix in ("json", "jsonl"):
        assert (folders / f"1.{suffix}").read_bytes() == (folders / f"2.{suffix}").read_bytes()


def test_a_resumed_run_measures_only_what_is_missing(folders: Path) -> None:
    lines = folders / "r.jsonl"
    run_score(folders, "--metrics", "STOI", "--clips", str(lines))
    whole = lines.read_text()
    first, *rest = whole.splitlines(keepends=True)
    planted = json.loads(first) | {"scores": {"STOI": 0.123}}
    of_its_files = {
        key: planted.pop(key) for key in ("sha256", "align")
    }  # An earlier version wrote the line without them.
    lines.write_text(json.dumps(planted) + "\n" + rest[0])
    run_score(folders, "--metrics", "STOI", "--clips", str(lines), "--resume")
    again = lines.read_text().splitlines(keepends=True)
    assert json.loads(again[0]) == planted | of_its_files
    assert again[1:] == rest


def test_lines_of_an_earlier_run_are_not_overwritten(folders: Path) -> None:
    lines = folders / "r.jsonl"
    run_score(folders, "--metrics", "STOI", "--clips", str(lines))
    before = lines.read_bytes()
    again = run_score(folders, "--metrics", "STOI", "--clips", str(lines))
    assert isinstance(again.exception, UsageError)
    assert (
        str(again.exception)
        == f"--clips {lines} already has scores. Add --resume to continue, or give another file."
    )
    assert lines.read_bytes() == before


def scores_in(lines: Path) -> list[dict[str, float]]:
    return [json.loads(line)["scores"] for line in lines.read_text().splitlines()]


def test_resuming_with_other_metrics_keeps_the_scores_of_the_earlier_ones(folders: Path) -> None:
    lines, whole = folders / "r.jsonl", folders / "whole.jsonl"
    run_score(folders, "--metrics", "ESTOI,SI_SDR", "--clips", str(whole))
    run_score(folders, "--metrics", "ESTOI", "--clips", str(lines))
    for name in ("SI_SDR", "ESTOI"):
        report = str(folders / "r.json")
        resumed = run_score(
            folders, "--metrics", name, "--clips", str(lines), "--resume", "--json", report, "--workers", "1"
        )
        assert resumed.exit_code == 0
        assert list(json.loads(Path(report).read_text())["clips"][0]["scores"]) == [name]
        assert lines.read_text() == whole.read_text()


def test_resuming_without_the_noisy_recordings_keeps_their_metrics(folders: Path) -> None:
    lines = folders / "r.jsonl"
    run_score(folders, "--metrics", "SI_SIR", "--clips", str(lines))
    (before, *_) = scores_in(lines)
    sides = ["--clean", str(folders / "clean"), "--enhanced", str(folders / "enhanced")]
    more = ["--metrics", "STOI", "--clips", str(lines), "--resume"]
    assert CliRunner().invoke(score, [*sides, *more]).exit_code == 0
    assert scores_in(lines)[0].items() >= before.items()
    assert scores_in(lines)[0].keys() == {"SI_SIR", "STOI"}


def test_resuming_with_another_system_or_alignment_is_refused(folders: Path) -> None:
    lines = folders / "r.jsonl"
    run_score(folders, "--metrics", "STOI", "--clips", str(lines))
    before = lines.read_bytes()
    more = ("--metrics", "STOI", "--clips", str(lines), "--resume")
    refused = run_score(folders, *more, enhanced="other")
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception) == f"{lines} has scores of other recordings (4 of 4 differ). Name another file."
    aligned = run_score(folders, *more, "--align")
    assert isinstance(aligned.exception, UsageError)
    assert "was scored without --align. Name another file, or leave out --align" in str(aligned.exception)
    assert lines.read_bytes() == before


def test_resuming_names_the_recordings_that_changed(folders: Path) -> None:
    lines = folders / "r.jsonl"
    run_score(folders, "--metrics", "ESTOI", "--clips", str(lines))
    (folders / "enhanced" / "2.wav").write_bytes((folders / "other" / "2.wav").read_bytes())
    resumed = run_score(folders, "--metrics", "STOI", "--clips", str(lines), "--resume")
    assert resumed.exit_code == 0
    assert f"1 recording has changed, so {lines} loses the earlier scores of 2" in resumed.stderr
    assert [list(each) for each in scores_in(lines)] == [["ESTOI", "STOI"]] * 2 + [["STOI"], ["ESTOI", "STOI"]]


@pytest.mark.parametrize("side", ["enhanced", "clean"])
def test_silent_recordings_are_named_with_the_reason(folders: Path, side: str) -> None:
    for clip in (0, 1):
        soundfile.write(folders / side / f"{clip}.wav", np.zeros(16_000), 16_000)
    report, lines = folders / "r.json", folders / "r.jsonl"
    more = ("--metrics", "ESTOI", "--json", str(report), "--clips", str(lines))
    result = run_score(folders, *more)
    assert result.exit_code == 0
    expected = f"the {side} recording is silent, constant or not finite (0, 1)"
    assert f"ESTOI has no value in 2 of 4 clips and counts as its floor: {expected}" in result.output
    for rows in (
        json.loads(report.read_text())["clips"],
        [json.loads(each) for each in lines.read_text().splitlines()],
    ):
        assert [row.get("no_value") for row in rows] == [{"ESTOI": f"{side}_blank"}] * 2 + [None, None]
    resumed = run_score(folders, *more, "--resume")
    assert expected in resumed.output


def test_a_stopped_run_says_how_to_continue(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("soundsright.services.scoring.score_files", stop)
    lines = folders / "r.jsonl"
    stopped = run_score(folders, "--metrics", "STOI", "--clips", str(lines))
    assert stopped.exit_code == 130
    assert stopped.stderr == f"Stopped. {lines} is kept. To continue, run the same command with --resume.\n"
    assert "--resume" not in run_score(folders, "--metrics", "STOI").stderr, "nothing is kept to continue from"


def test_a_run_that_dies_while_resuming_keeps_what_was_done_before(folders: Path) -> None:
    lines = folders / "r.jsonl"
    run_score(folders, "--metrics", "STOI", "--clips", str(lines))
    whole = lines.read_text()
    lines.write_text(whole[: whole.index("\n") + 20])  # One line, and one that was cut.
    (folders / "clean" / "2.wav").write_bytes((folders / "clean" / "2.wav").read_bytes()[:44] + b"\xff" * 4)
    died = run_score(folders, "--metrics", "STOI", "--clips", str(lines), "--resume")
    assert isinstance(died.exception, UsageError)
    assert lines.read_text().startswith(whole[: whole.index("\n")])


def test_a_full_disk_keeps_the_old_report_and_the_error_that_stopped_the_run(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = folders / "report.json"
    report.write_text("the report of before")
    write_text = Path.write_text

    def stop(*_: object) -> None:
        raise UsageError("clean/2.wav is gone", "Restore it.")

    def full(path: Path, text: str, *rest: Any, **options: Any) -> int:
        if "report.json" in path.name:
            write_text(path, text[:20], *rest, **options)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write_text(path, text, *rest, **options)

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(ProgressLine, "__call__", stop)
    died = run_score(folders, "--metrics", "STOI", "--json", str(report))
    assert isinstance(died.exception, UsageError), "the error that stopped the run, not that of the disk"
    assert "report.json was not written (No space left on device)" in died.stderr
    assert report.read_text() == "the report of before"
    assert [path.name for path in folders.iterdir() if "report.json" in path.name] == ["report.json"]


def test_48_khz_says_that_pesq_is_resampled_or_refuses(folders: Path) -> None:
    for side in ("clean", "enhanced", "noisy"):
        for path in (folders / side).glob("*.wav"):
            samples, _ = soundfile.read(path)
            soundfile.write(path, np.tile(samples, 3), 48_000)
    result = run_score(folders, "--metrics", "PESQ_WB")
    assert result.exit_code == 0
    assert "PESQ_WB: measured at 16 kHz, after resampling from 48000 Hz" in result.stderr
    refused = run_score(folders, "--metrics", "PESQ_WB,STOI", "--other-rates", "refuse")
    assert isinstance(refused.exception, UsageError)


def test_a_length_that_align_would_correct_names_the_flag(folders: Path) -> None:
    samples, _ = soundfile.read(folders / "enhanced" / "1.wav")
    soundfile.write(folders / "enhanced" / "1.wav", samples[:-80], 16_000)
    result = run_score(folders, "--metrics", "STOI")
    assert result.output.rstrip().endswith(
        "--align corrects lengths that differ by up to 0.5 s. No competition does."
    )
    assert run_score(folders, "--metrics", "STOI", "--align").exit_code == 0


def test_the_manifest_beside_the_clean_clips_groups_them_by_default(folders: Path) -> None:
    plain = json.loads(run_score(folders, "--metrics", "STOI", "--json", "-").stdout)
    path = write_manifest(folders, noise="aabc")
    grouped = json.loads(run_score(folders, "--metrics", "STOI", "--json", "-").stdout)
    assert grouped["clips"][1]["groups"] == {"noise": "a", "prompt": "s1"}
    before, after = plain["metrics"]["STOI"], grouped["metrics"]["STOI"]
    assert before["mean"] == after["mean"]
    assert before["low"] != after["low"]
    assert 1 <= after["effective_n"] <= 4
    output = run_score(folders, "--metrics", "STOI").output
    assert (
        f"Intervals hold for new material: 4 clips, grouped by noise (3 groups) and prompt (4 groups), from {path}."
    ) in output
    assert "Effective" in output
    without = run_score(folders, "--metrics", "STOI", "--cluster-by", "none")
    assert "Each clip counts as independent." in without.output
    assert f"{before['low']:.4f} … {before['high']:.4f}" in without.output


def test_two_noises_give_no_interval_and_the_reason(folders: Path) -> None:
    write_manifest(folders, noise="aabb")
    output = run_score(folders, "--metrics", "STOI").output
    assert "new material" not in output
    assert (
        "There is no interval: the clips have only 2 groups by noise, which say nothing about new ones." in output
    )
    assert re.search(r"STOI +0\.\d+ +– ", output)


def test_fields_that_group_clips_need_a_manifest(folders: Path) -> None:
    refused = run_score(folders, "--metrics", "STOI", "--cluster-by", "speaker")
    assert isinstance(refused.exception, UsageError)
    assert "needs the set's manifest" in str(refused.exception)


def test_clean_files_of_a_format_that_adds_silence_are_explained(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    speech = np.random.default_rng(1).standard_normal(48_000).astype(np.float32) * 0.1
    for side in ("clean", "enhanced"):
        (tmp_path / side).mkdir()
    soundfile.write(tmp_path / "enhanced" / "u.wav", speech, 16_000)
    with av.open(str(tmp_path / "clean" / "u.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(speech[None, :], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    words = ["--clean", tmp_path / "clean", "--enhanced", tmp_path / "enhanced", "--metrics", "SI_SDR"]
    result = CliRunner().invoke(score, [*map(str, words)])
    assert result.exit_code == 1
    assert "end in .m4a are longer than what was recorded" in result.output
