"""`score --like`: the tables of other programs, by name and order."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from soundsright.cli.commands.score import command
from soundsright.core.errors import UsageError
from soundsright.core.results import ClipResult, Failure
from soundsright.library import FolderScore, like
from soundsright.metrics import METRICS, PUBLISHED_TABLES
from soundsright.metrics.registry import _is_installed
from soundsright.services.scoring import ScoreReport
from soundsright.services.scoring.folder import FileDigests
from tests.metrics.conftest import speechlike


def folders_at(folder: Path, rate: int) -> Path:
    for side in ("clean", "out"):
        (folder / side).mkdir()
    for clip in range(2):
        rng = np.random.default_rng(clip)
        clean = speechlike(rng, 1.5, rate)
        enhanced = clean + 0.01 * rng.standard_normal(len(clean))
        for side, samples in (("clean", clean), ("out", enhanced)):
            soundfile.write(folder / side / f"c{clip}.wav", samples, rate)
    return folder


@pytest.fixture
def at_16_khz(tmp_path: Path) -> Path:
    return folders_at(tmp_path, 16_000)


def run(folder: Path, *arguments: str) -> Result:
    paths = ("--clean", str(folder / "clean"), "--enhanced", str(folder / "out"))
    return CliRunner().invoke(command, [*paths, *arguments])


def test_the_table_of_cmgan_has_its_names_and_order_in_text_json_and_csv(at_16_khz: Path) -> None:
    report, table = at_16_khz / "report.json", at_16_khz / "table.csv"
    result = run(at_16_khz, "--like", "cmgan", "--json", str(report), "--like-csv", str(table))
    assert result.exit_code == 0, result.output
    names = ["pesq", "csig", "cbak", "covl", "ssnr", "stoi"]
    lines = result.output[result.output.index("As printed by") :].splitlines()[1:7]
    assert [line.split()[0] for line in lines] == names
    rows = list(csv.reader(table.read_text().splitlines()))
    assert rows[0] == ["clip", *names]
    assert [row[0] for row in rows[1:]] == ["c0", "c1", "mean"]
    document = json.loads(report.read_text())
    columns = document["like"]["columns"]
    assert [column["name"] for column in columns] == names
    assert [column["mean"] for column in columns] == pytest.approx([float(x) for x in rows[-1][1:]])
    assert columns[3]["mean"] == document["metrics"]["COVL_CMGAN"]["mean"]


def test_a_column_that_cannot_be_computed_says_why_and_a_failed_clip_counts_at_the_floor() -> None:
    names = ("PESQ_WB", "LSD_URGENT")
    clips = (ClipResult("a", {"PESQ_WB": 2.0, "LSD_URGENT": 4.0}), ClipResult("b", failure=Failure("missing", "")))
    report = ScoreReport(clips, (FileDigests(), FileDigests()), 16_000)
    columns = {column.printed: column for column in like(FolderScore(report, names), "URGENT").columns}
    assert columns["PESQ"].mean == pytest.approx((2.0 + 0.999) / 2)
    assert columns["LSD"].values == (4.0, 100.0)
    assert columns["WAcc"].mean is None
    assert "transcripts" in columns["WAcc"].why_not
    assert columns["ESTOI"].why_not == "ESTOI was not measured"


def test_a_rate_at_which_the_program_does_not_run_is_refused_in_one_sentence(tmp_path: Path) -> None:
    refused = run(folders_at(tmp_path, 48_000), "--like", "CMGAN")
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception).startswith("CMGAN prints no table for clips at 48000 Hz")


def test_missing_packages_are_refused_before_scoring(at_16_khz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundsright.metrics.registry._is_installed", lambda package: package != "speechmos")
    refused = run(at_16_khz, "--like", "DNS")
    assert isinstance(refused.exception, UsageError)
    assert "needs speechmos" in str(refused.exception)
    assert "soundsright[validator]" in str(refused.exception)
    _is_installed.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--like", "CMGAN", "--metrics", "STOI"), "Leave --metrics out"),
        (("--like-csv", "table.csv"), "Add --like"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    at_16_khz: Path, arguments: tuple[str, ...], named: str
) -> None:
    refused = run(at_16_khz, *arguments)
    assert isinstance(refused.exception, UsageError)
    assert named in str(refused.exception)


def test_narrow_band_clips_have_narrow_band_pesq_as_in_urgent_and_versa() -> None:
    for name in ("URGENT", "VERSA"):
        assert "PESQ_NB" in PUBLISHED_TABLES[name].metrics_at(8_000)
        assert "PESQ_WB" not in PUBLISHED_TABLES[name].metrics_at(8_000)


def test_every_column_has_a_known_metric_or_a_reason() -> None:
    for table in PUBLISHED_TABLES.values():
        for column in table.columns:
            assert bool(column.metrics) != bool(column.why_not)
            assert all(name in METRICS for name in column.metrics)
