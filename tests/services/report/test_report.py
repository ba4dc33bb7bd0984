"""`soundsright report`: tables for a paper, a page, and files of plots."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from soundsright.cli.commands.report import command
from soundsright.cli.main import run
from soundsright.services.drawing.figures import competition_plots
from soundsright.services.drawing.files import write_drawing
from soundsright.services.records.runs import read_run
from soundsright.services.report.html import report_html
from soundsright.services.report.tables import CSV_COLUMNS
from tests.services.records.deletion import DELETED_S, write_deletion
from tests.services.records.runs import USUAL, Entrant, without_intervals, write_run

HOSTILE = Entrant("=cmd|'/x'!A1", 0.1, "<script>alert(1)</script>\\input{/etc/passwd}")


def reported(folder: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(command, [str(folder), "--format", kind]) == 0
    return capsys.readouterr().out


def test_csv_has_every_entry_and_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(csv.DictReader(io.StringIO(reported(write_run(tmp_path / "a"), "csv", capsys))))
    assert tuple(lines[0]) == CSV_COLUMNS
    assert len(lines) == 4 * 3
    document = json.loads((tmp_path / "a" / "results.json").read_text())
    first = document["competitions"][0]["entries"][0]
    assert float(lines[0]["mean"]) == first["metrics"]["PESQ_WB"]["mean"]
    assert lines[-1]["rank"] == ""


def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = reported(write_run(tmp_path / "a", [HOSTILE]), "csv", capsys)
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert "'=cmd|'/x'!A1" in cells
    assert not any(re.match(r"[=+@]", cell) for cell in cells)


def test_markdown_names_the_recipe_the_seed_the_versions_and_the_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = reported(write_run(tmp_path / "a"), "md", capsys)
    for part in ("6 clips, 2 speakers, 1 noise at -5.0 to 10.0 dB SNR", str(2**63 + 5), "soundsright 0.1.0"):
        assert part in text
    assert "ITU-T P.862.2" in text
    assert "| 1 | alpine/clear | **" in text


def test_the_line_below_a_heading_states_the_number_of_clips_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = reported(write_run(tmp_path / "a"), "md", capsys)
    (line,) = [line for line in text.splitlines() if "intervals: " in line]
    assert line.count("6 clips") == 1


def test_a_name_cannot_break_out_of_a_markdown_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = reported(write_run(tmp_path / "a", [HOSTILE, *USUAL]), "md", capsys)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert not re.search(r"(?<!\\)<", text)


def test_a_name_cannot_run_a_latex_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = Entrant("a_b/\\input{x}%$&#^~é", 1.0, "hk")
    text = reported(write_run(tmp_path / "a", [entry]), "tex", capsys)
    assert r"a\_b/\textbackslash{}input\{x\}\%\$\&\#\textasciicircum{}\textasciitilde{}[U+00E9]" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert text.isascii()


def test_the_page_is_one_file_with_audio_and_plots_and_no_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = reported(write_run(tmp_path / "a", [HOSTILE, *USUAL]), "html", capsys)
    assert "<script" not in text
    assert text.count("data:audio/flac") == 9, "three clips: clean, degraded and the winner"
    assert text.count('<svg class="plot') >= 8
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)


def test_the_page_marks_the_places_that_look_hallucinated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = reported(write_deletion(tmp_path / "a"), "html", capsys)
    [place] = re.findall(r"<li>(.+?) to (.+?) s: speech is missing</li>", text)
    assert [float(second) for second in place] == pytest.approx(DELETED_S, abs=0.1)
    assert text.count("Looks hallucinated:") == 1, "only the best entry deletes speech, and only in one clip"


def test_a_broken_clip_does_not_prevent_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "a")
    for path in (folder / "sets" / "DENOISING_16000HZ" / "degraded").iterdir():
        path.write_bytes(b"no audio")
    text = reported(folder, "html", capsys)
    assert text.count("degraded: this clip cannot be read") == 3
    assert text.count("data:audio/flac") == 6


def test_every_plot_is_a_separate_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "a", [HOSTILE, *USUAL])
    out, plots = str(tmp_path / "report.md"), tmp_path / "plots"
    assert run(command, [str(folder), "--out", out, "--plots", str(plots)]) == 0
    drawings = sorted(plots.iterdir())
    assert f"{plots}: {len(drawings)} plots (svg)" in capsys.readouterr().err
    assert {"DENOISING_16000HZ-PESQ_WB-speed.svg", "DENOISING_16000HZ-ESTOI-SNR.svg"} <= {p.name for p in drawings}
    for drawing in drawings:
        root = ElementTree.fromstring(drawing.read_text())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("kind", ["md", "html"])
def test_a_round_that_is_not_finished_is_refused_in_one_line(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text("{}")
    assert run(command, [str(tmp_path), "--format", kind]) == 2
    assert "not finished" in capsys.readouterr().err


def test_every_citation_of_a_table_is_in_the_bibliography(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "a")
    cited = re.findall(r"\\cite\{([^}]+)\}", reported(folder, "tex", capsys))
    known = re.findall(r"^@\w+\{([^,]+),$", reported(folder, "bib", capsys), re.MULTILINE)
    assert {key for keys in cited for key in keys.split(",")} <= set(known)
    assert {"itu2007p8622", "holm1979", "soundsright"} <= set(known)
    assert len(known) == len(set(known))


def test_latex_compiles_the_tables_with_any_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = shutil.which("pdflatex")
    if engine is None:
        pytest.skip("no pdflatex on this machine (Debian: texlive-latex-base)")
    entry = Entrant('a_b/\\input{x}%$&#^~"<>|é', 3.0, "hk")
    (tmp_path / "tables.tex").write_text(reported(write_run(tmp_path / "a", [entry, *USUAL]), "tex", capsys))
    command_line = [engine, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    for layout, packages in (("", "graphicx"), ("[twocolumn]", "graphicx"), ("", "")):
        load = rf"\usepackage{{{packages}}}" if packages else ""
        (tmp_path / "paper.tex").write_text(
            rf"\documentclass{layout}{{article}}{load}\begin{{document}}\input{{tables}}\end{{document}}"
        )
        done = subprocess.run(command_line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")
        assert not packages or "Overfull" not in done.stdout, (layout, done.stdout[-2000:])


def test_an_entry_equal_to_the_input_is_not_bold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = reported(write_run(tmp_path / "a", [Entrant("worse/still", -3.0)]), "md", capsys)
    assert "**" not in next(line for line in text.splitlines() if "worse/still" in line)


@pytest.mark.parametrize(("kind", "head"), [("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_every_plot_can_be_written_for_print(tmp_path: Path, kind: str, head: bytes) -> None:
    folder = write_run(tmp_path / "a", [Entrant("$x^2$/<b>", 2.0, "hk", share=1.0), *USUAL], audio=False)
    assert run(command, [str(folder), "--plots", str(tmp_path / "one"), "--plot-format", kind]) == 0
    drawn = sorted((tmp_path / "one").iterdir())
    assert len(drawn) >= 10
    assert all(path.read_bytes().startswith(head) for path in drawn)
    loaded, again = read_run(folder, "a"), tmp_path / f"again.{kind}"
    write_drawing(competition_plots(loaded, loaded.competitions[0])["ESTOI"]["ESTOI-mean"], again)
    assert again.read_bytes() == (tmp_path / "one" / f"DENOISING_16000HZ-ESTOI-mean.{kind}").read_bytes()


def test_a_mean_without_an_interval_is_shown_with_a_dash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = without_intervals(write_run(tmp_path / "a", clips=1))
    lines = list(csv.DictReader(io.StringIO(reported(folder, "csv", capsys))))
    assert {(line["low"], line["high"]) for line in lines} == {("", "")}
    assert re.search(r"\| \*\*\d\.\d\d ± –\*\* \|", reported(folder, "md", capsys))
    assert r" \pm \text{--}$" in reported(folder, "tex", capsys)
    page = report_html(read_run(folder, "a"))
    assert "<small>±–</small>" in page
    assert "None" not in page
