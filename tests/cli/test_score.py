"""`score`, `compare` and `metrics` as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from soundsright.cli.compare import command as compare
from soundsright.cli.metrics import command as metrics
from soundsright.cli.score import command as score
from soundsright.core.errors import UsageError
from soundsright.metrics.registry import METRICS


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
        (("--metrics", ","), "names none"),
        (("--clips", "x.csv"), "x.csv"),
        (("--resume",), "--resume"),
        (("--json", "/no/such/folder/r.json"), "/no/such/folder"),
    ],
)
def test_misuse_is_named(folders: Path, more: tuple[str, ...], named: str) -> None:
    result = run_score(folders, *more)
    assert isinstance(result.exception, UsageError)
    assert named in str(result.exception)


def test_names_of_outputs_that_do_not_count_cannot_steer_the_terminal(folders: Path) -> None:
    (folders / "enhanced" / "0.wav").rename(folders / "enhanced" / "\x1b[2Jred.wav")
    result = run_score(folders, "--metrics", "STOI")
    assert "1 enhanced file has no clean one, and no score: ?[2Jred" in result.stderr
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
    lines.write_text(json.dumps(planted) + "\n" + rest[0])
    run_score(folders, "--metrics", "STOI", "--clips", str(lines), "--resume")
    again = lines.read_text().splitlines(keepends=True)
    assert json.loads(again[0])["scores"] == {"STOI": 0.123}
    assert again[1:] == rest


def test_a_run_that_dies_while_resuming_keeps_what_was_done_before(folders: Path) -> None:
    lines = folders / "r.jsonl"
    run_score(folders, "--metrics", "STOI", "--clips", str(lines))
    whole = lines.read_text()
    lines.write_text(whole[: whole.index("\n") + 20])  # one line, and one that was cut
    (folders / "clean" / "2.wav").write_bytes((folders / "clean" / "2.wav").read_bytes()[:44] + b"\xff" * 4)
    died = run_score(folders, "--metrics", "STOI", "--clips", str(lines), "--resume")
    assert isinstance(died.exception, UsageError)
    assert lines.read_text().startswith(whole[: whole.index("\n")])


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


@pytest.fixture
def reports(folders: Path) -> tuple[str, str]:
    for name in ("enhanced", "other"):
        run_score(folders, "--metrics", "STOI,SI_SDR", "--json", str(folders / f"{name}.json"), enhanced=name)
    return str(folders / "enhanced.json"), str(folders / "other.json")


def test_a_comparison_shows_and_writes_paired_differences(reports: tuple[str, str], folders: Path) -> None:
    target = folders / "c.json"
    result = CliRunner().invoke(compare, [*reports, "--json", str(target)])
    assert result.exit_code == 0
    found = json.loads(target.read_text())["metrics"]["SI_SDR"]
    assert found["difference"] == pytest.approx(20 * np.log10(5 / 3), abs=0.2)
    assert found["low"] <= found["difference"] <= found["high"]
    assert found["p_value"] == 0.125
    assert found["p_value_holm"] == 0.25
    assert "4 clips are too few: p (Holm) over 2 metrics cannot fall below 0.25" in result.output
    assert "Better" in result.output, "80 columns hold the table"


def test_a_comparison_draws_its_plot(reports: tuple[str, str], folders: Path) -> None:
    assert CliRunner().invoke(compare, [*reports, "--plot", str(folders / "p.png")]).exit_code == 0
    assert (folders / "p.png").read_bytes().startswith(b"\x89PNG")
    target = folders / "c.json"
    refused = CliRunner().invoke(compare, [*reports, "--plot", str(folders / "p.jpg"), "--json", str(target)])
    assert isinstance(refused.exception, UsageError)
    assert not target.exists(), "said before the work"


def test_clips_of_one_speaker_count_as_one(reports: tuple[str, str], folders: Path) -> None:
    manifest = folders / "manifest.jsonl"
    manifest.write_text("".join(f'{{"id": "{i}", "speaker": "s{i // 2}"}}\n' for i in range(4)))
    result = CliRunner().invoke(compare, [*reports, "--manifest", str(manifest), "--json", "-"])
    assert json.loads(result.stdout)["metrics"]["STOI"]["p_value"] == 0.5


def test_reports_of_two_sets_are_refused(reports: tuple[str, str], folders: Path) -> None:
    report = json.loads(Path(reports[0]).read_text())
    report["clips"].pop()
    (folders / "short.json").write_text(json.dumps(report))
    result = CliRunner().invoke(compare, [str(folders / "short.json"), reports[1]])
    assert isinstance(result.exception, UsageError)
    assert "differ in 1 clips, 3" in str(result.exception)


def test_a_metric_that_one_report_lacks_is_named(reports: tuple[str, str]) -> None:
    result = CliRunner().invoke(compare, [*reports, "--metrics", "ESTOI"])
    assert isinstance(result.exception, UsageError)
    assert "ESTOI" in str(result.exception)


def test_every_metric_is_listed_with_its_source() -> None:
    result = CliRunner().invoke(metrics)
    assert result.exit_code == 0
    for name, each in METRICS.items():
        assert f"{name}: {each.title}. {each.source}." in result.output
    listed = json.loads(CliRunner().invoke(metrics, ["--json"]).stdout)
    assert listed["LSD"]["direction"] == "lower"
    assert listed["PESQ_WB"]["floor"] == METRICS["PESQ_WB"].floor
