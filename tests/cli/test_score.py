"""`score`, `compare` and `metrics` as a user runs them."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from soundsright.cli.commands.compare import command as compare
from soundsright.cli.commands.metrics import command as metrics
from soundsright.cli.commands.report import command as tables
from soundsright.cli.commands.score import command as score
from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.core.content import sha256_of_file
from soundsright.core.errors import UsageError
from soundsright.metrics.registry import METRICS

pytestmark = pytest.mark.usefixtures("shared_workers")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for number, name in enumerate(("clean", "noisy", "enhanced", "other")):
        (tmp_path / name).mkdir()
        for clip in range(4):
            rng = np.random.default_rng(clip)
            clean = rng.standard_normal(16_000) * np.abs(np.sin(np.arange(16_000) / 900)) * 0.1
            noise = 0.05 * rng.standard_normal(16_000)
            soundfile.write(tmp_path / name / f"{clip}.wav", clean + (0.0, 1.0, 0.3, 0.5)[number] * noise, 16_000)
    return tmp_path


def run_score(folders: Path, *more: str, enhanced: str = "enhanced") -> Result:
    sides = ["--clean", folders / "clean", "--enhanced", folders / enhanced, "--noisy", folders / "noisy"]
    return CliRunner().invoke(score, [*map(str, sides), *more])


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
    assert "1 enhanced file has no clean file, so no score: ?[2Jred" in result.stderr
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


def write_manifest(folders: Path, **labels: str) -> str:
    """A manifest like that of a generated set. `labels` has one character per clip for each field."""
    lines = [
        {
            "id": str(clip),
            "speech": f"s{clip}",
            "sha256": {"clean": sha256_of_file(folders / "clean" / f"{clip}.wav")},
            **{field: own[clip] for field, own in labels.items()},
        }
        for clip in range(4)
    ]
    path = folders / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


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


@pytest.fixture
def reports(folders: Path) -> tuple[str, str]:
    for name in ("enhanced", "other"):
        run_score(folders, "--metrics", "STOI,SI_SDR", "--json", str(folders / f"{name}.json"), enhanced=name)
    return str(folders / "enhanced.json"), str(folders / "other.json")


def test_a_comparison_shows_and_writes_paired_differences(reports: tuple[str, str], folders: Path) -> None:
    target = folders / "c.json"
    result = CliRunner().invoke(compare, [*reports, "--json", str(target)])
    assert result.exit_code == 0
    difference = json.loads(target.read_text())["metrics"]["SI_SDR"]
    assert difference["difference"] == pytest.approx(20 * np.log10(5 / 3), abs=0.2)
    assert difference["low"] <= difference["difference"] <= difference["high"]
    assert difference["p_value"] == 0.125
    assert difference["p_value_holm"] == 0.25
    assert "4 clips are too few: p (Holm) over 2 metrics cannot fall below 0.25" in result.output
    assert "Better" in result.output, "the table fits 80 columns"


def test_a_comparison_draws_its_plot(reports: tuple[str, str], folders: Path) -> None:
    assert CliRunner().invoke(compare, [*reports, "--plot", str(folders / "p.png")]).exit_code == 0
    assert (folders / "p.png").read_bytes().startswith(b"\x89PNG")
    target = folders / "c.json"
    refused = CliRunner().invoke(compare, [*reports, "--plot", str(folders / "p.jpg"), "--json", str(target)])
    assert isinstance(refused.exception, UsageError)
    assert not target.exists(), "the error comes before the work"


def test_two_noises_say_nothing_about_new_ones(reports: tuple[str, str], folders: Path) -> None:
    path = write_manifest(folders, noise="aabb")
    result = CliRunner().invoke(compare, [*reports, "--manifest", path, "--json", "-"])
    document = json.loads(result.stdout)
    assert document["groups"] == {"noise": 2, "prompt": 4}
    own = document["metrics"]["SI_SDR"]
    assert (own["low"], own["high"], own["p_value"]) == (None, None, 1.0)
    printed = CliRunner().invoke(compare, [*reports, "--manifest", path]).output
    assert "There is no interval: the clips have only 2 groups by noise" in printed
    assert re.search(r"SI_SDR +\+\d\.\d+ +– +– +– .* open", printed)
    assert "new material" not in printed


def test_a_comparison_groups_clips_as_its_reports_do(reports: tuple[str, str], folders: Path) -> None:
    write_manifest(folders, noise="abcd")
    for name in ("enhanced", "other"):
        run_score(folders, "--metrics", "STOI", "--json", str(folders / f"{name}.json"), enhanced=name)
    result = CliRunner().invoke(compare, [*reports])
    assert "4 clips, grouped by noise (4 groups) and prompt (4 groups)." in result.output
    plain = CliRunner().invoke(compare, [*reports, "--cluster-by", "none"])
    assert "Each clip counts as independent." in plain.output
    run_score(folders, "--metrics", "STOI", "--json", reports[1], "--cluster-by", "prompt", enhanced="other")
    differing = CliRunner().invoke(compare, [*reports])
    assert "The reports group their clips differently." in differing.stderr
    assert "grouped by noise (4 groups) and prompt" in differing.output


def test_reports_of_two_sets_are_refused(reports: tuple[str, str], folders: Path) -> None:
    report = json.loads(Path(reports[0]).read_text())
    report["clips"].pop()
    (folders / "short.json").write_text(json.dumps(report))
    result = CliRunner().invoke(compare, [str(folders / "short.json"), reports[1]])
    assert isinstance(result.exception, UsageError)
    assert "do not have the same clips: 1 differ, such as 3" in str(result.exception)


def test_reports_of_two_sets_with_equal_names_are_refused(reports: tuple[str, str], folders: Path) -> None:
    samples, _ = soundfile.read(folders / "clean" / "2.wav")
    soundfile.write(folders / "clean" / "2.wav", 0.9 * samples, 16_000)
    for kind, option in (("json", "--json"), ("jsonl", "--clips")):
        other = folders / f"elsewhere.{kind}"
        run_score(folders, "--metrics", "STOI,SI_SDR", option, str(other))
        result = CliRunner().invoke(compare, [reports[0], str(other)])
        assert isinstance(result.exception, UsageError)
        assert "scored against different clean files: 1 of 4 clips, such as 2" in str(result.exception)


def test_aligned_and_plain_scores_are_not_compared(reports: tuple[str, str], folders: Path) -> None:
    aligned = folders / "aligned.json"
    run_score(folders, "--metrics", "STOI,SI_SDR", "--align", "--json", str(aligned))
    result = CliRunner().invoke(compare, [reports[0], str(aligned)])
    assert isinstance(result.exception, UsageError)
    assert f"{aligned} was scored with --align, {reports[0]} without" in str(result.exception)


def test_reports_that_do_not_name_their_files_compare_with_a_warning(
    reports: tuple[str, str], folders: Path
) -> None:
    assert CliRunner().invoke(compare, [*reports]).stderr == ""
    old = json.loads(Path(reports[0]).read_text())
    old = {"metrics": old["metrics"], "clips": [{k: c[k] for k in ("id", "scores")} for c in old["clips"]]}
    (folders / "old.json").write_text(json.dumps(old))
    result = CliRunner().invoke(compare, [str(folders / "old.json"), reports[1]])
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert "old.json without the SHA-256 of the clean files" in result.stderr


def test_a_comparison_refuses_the_manifest_of_another_set(reports: tuple[str, str], folders: Path) -> None:
    manifest = folders / "manifest.jsonl"
    lines = [{"id": str(i), "speaker": "s", "sha256": {"clean": "0" * 64}} for i in range(4)]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = CliRunner().invoke(compare, [*reports, "--manifest", str(manifest)])
    assert isinstance(result.exception, UsageError)
    assert "another clean file for 4 of 4 clips" in str(result.exception)


def test_a_metric_that_one_report_lacks_is_named(reports: tuple[str, str]) -> None:
    result = CliRunner().invoke(compare, [*reports, "--metrics", "ESTOI"])
    assert isinstance(result.exception, UsageError)
    assert "ESTOI" in str(result.exception)


def tabled(*arguments: str) -> Result:
    return CliRunner().invoke(tables, [*arguments])


def test_reports_become_a_table_with_a_row_each(reports: tuple[str, str], folders: Path) -> None:
    written = [json.loads(Path(path).read_text())["metrics"] for path in reports]
    result = tabled(*reports)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line for line in result.stdout.splitlines() if line.startswith("|")]
    assert rows[0] == "| system | STOI | SI-SDR dB | undefined |"
    for row, name, best, summary in zip(rows[2:], ("enhanced", "other"), ("**", ""), written, strict=True):
        s = summary["SI_SDR"]
        assert row.startswith(f"| {name} | ")
        assert f"| {best}{s['mean']:.2f} ± {(s['high'] - s['low']) / 2:.2f}{best} | " in row
    assert "- other: 4 clips at 16000 Hz, clips as independent; soundsright " in result.stdout
    assert "ITU" not in result.stdout, "only the sources of measured metrics"

    lines = list(csv.DictReader(io.StringIO(tabled(*reports, "--format", "csv").stdout)))
    assert [(line["system"], line["metric"]) for line in lines] == [
        (name, metric) for name in ("enhanced", "other") for metric in ("STOI", "SI_SDR")
    ]
    assert float(lines[3]["mean"]) == written[1]["SI_SDR"]["mean"]
    assert lines[0]["n"] == "4"

    target = folders / "table.tex"
    assert tabled(*reports, "--format", "tex", "--out", str(target)).exit_code == 0
    tex = target.read_text()
    assert r"System & STOI & SI-SDR dB & Undefined \\" in tex
    cited = {key for keys in re.findall(r"\\cite\{([^}]+)\}", tex) for key in keys.split(",")}
    bib = tabled(*reports, "--format", "bib").stdout
    assert {"taal2011stoi", "leroux2019sdr"} == cited
    assert all(f"{{{key}," in bib for key in cited)


def test_a_table_reads_lines_separates_equal_names_and_notes_other_sets(folders: Path) -> None:
    for name in ("enhanced", "other"):
        (folders / f"of_{name}").mkdir()
        run_score(folders, "--metrics", "STOI", "--clips", str(folders / f"of_{name}" / "s.jsonl"), enhanced=name)
        (folders / "clean" / "1.wav").write_bytes((folders / "clean" / "2.wav").read_bytes())
    paths = [str(folders / f"of_{name}" / "s.jsonl") for name in ("enhanced", "other")]
    result = tabled(*paths)
    names = [path.removesuffix(".jsonl") for path in paths]
    assert all(f"| {name.replace('_', chr(92) + '_')} | " in result.stdout for name in names)
    assert result.stderr == f"Note: {names[1]} and {names[0]} were scored on different sets.\n"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--format", "html"), "--format html works only for a run"),
        (("--plots", "figures"), "--plots works only for a run"),
        (("clean",), "clean is not a file of scores"),
        (("clean/0.wav",), "0.wav"),
    ],
)
def test_an_option_that_scores_do_not_have_is_named(
    reports: tuple[str, str], folders: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], named: str
) -> None:
    monkeypatch.chdir(folders)
    refused = tabled(*reports, *more)
    assert isinstance(refused.exception, UsageError)
    assert named in str(refused.exception)


def test_every_metric_is_listed_with_its_source() -> None:
    result = CliRunner().invoke(metrics)
    assert result.exit_code == 0
    for name, each in METRICS.items():
        assert f"{name}: {each.title}. {each.source}." in result.output
    listed = json.loads(CliRunner().invoke(metrics, ["--json"]).stdout)
    assert listed["LSD"]["direction"] == "lower"
    assert listed["PESQ_WB"]["floor"] == METRICS["PESQ_WB"].floor


def test_a_metric_is_shown_with_the_other_definition_of_its_name() -> None:
    shown = CliRunner().invoke(metrics, ["show", "pesq-wb"])
    assert shown.exit_code == 0
    assert "PESQ_WB: Perceptual evaluation" in shown.output
    assert "PESQ_WB_C2" in shown.output
    assert "0.999 to 4.65 MOS-LQO; higher is better" in shown.output
    as_json = json.loads(CliRunner().invoke(metrics, ["show", "LSD_URGENT", "--json"]).stdout)
    assert "LSD is in dB" in as_json["definition"]


def test_showing_an_unknown_metric_names_the_nearest() -> None:
    for name in ("PESQ_WX", "PESK"):
        refused = CliRunner().invoke(metrics, ["show", name])
        assert isinstance(refused.exception, UsageError)
        assert "Did you mean PESQ_WB?" in str(refused.exception)
    assert "`soundsright metrics` alone lists" in CliRunner().invoke(metrics, ["list"]).output


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal, shown in ((True, "\r1 of 2 clips\r2 of 2 clips\n"), (False, "")):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        with ProgressLine("{done} of {total} clips") as progress:
            progress(1, 2)
            progress(2, 2)
        assert capsys.readouterr().err == shown
