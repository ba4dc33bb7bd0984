"""Reports of `score` are compared and become tables, and the metrics are listed."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from soundsright.cli.commands.compare import command as compare
from soundsright.cli.commands.metrics import command as metrics
from soundsright.cli.commands.report import command as tables
from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.core.errors import UsageError
from soundsright.metrics.registry import METRICS
from tests.cli.scored_folders import run_score, write_manifest

pytestmark = pytest.mark.usefixtures("shared_workers")


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
