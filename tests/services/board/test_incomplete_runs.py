"""`leaderboard build` over runs whose files are incomplete, damaged or made by a stranger."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from soundsright.cli.commands.leaderboard import command
from soundsright.cli.main import run
from soundsright.services.drawing.comparisons import paired_difference
from soundsright.services.records.runs import read_run
from tests.services.records.runs import write_run

Change = Callable[[Path], object]
ALPINE_2 = 2
"""The number of the line of alpine's clip 000002."""


def edited(line: int, change: Callable[[dict[str, Any]], object]) -> Change:
    """Change one line of scores.jsonl."""

    def apply(folder: Path) -> None:
        path = folder / "scores.jsonl"
        lines = path.read_text().splitlines()
        record = json.loads(lines[line])
        change(record)
        lines[line] = json.dumps(record)
        path.write_text("\n".join(lines) + "\n")

    return apply


def score(value: object) -> Change:
    return edited(ALPINE_2, lambda line: line["scores"].update(PESQ_WB=value))


def rewritten(change: Callable[[list[str]], list[str]]) -> Change:
    def apply(folder: Path) -> None:
        path = folder / "scores.jsonl"
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return apply


def in_place_of_scores(make: Callable[[Path], object]) -> Change:
    def apply(folder: Path) -> None:
        (folder / "scores.jsonl").unlink()
        make(folder / "scores.jsonl")

    return apply


def built(tmp_path: Path, *runs: Path) -> tuple[int, Path]:
    site = tmp_path / "site"
    return run(
        command, ["build", str(site), "--audio-mib", "0", *(a for r in runs for a in ("--run", str(r)))]
    ), site


def notices(page: Path) -> str:
    return unescape(" ".join(re.findall(r'<p class="notice"[^>]*>(.*?)</p>', page.read_text(), re.S)))


LEFT_OUT = "alpine/clear: complete scores of 5 of 6 clips. Plots and comparisons leave out the others."


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (rewritten(lambda lines: [*lines[:2], lines[2][:40], *lines[3:]]), ["line 3", LEFT_OUT]),
        (rewritten(lambda lines: lines[:5]), [LEFT_OUT, "brook/soft: no line"]),
        (rewritten(lambda lines: [x for x in lines if "unprocessed/" not in x]), ["unprocessed input: no line"]),
        (rewritten(lambda lines: [*lines, lines[2]]), ["alpine/clear: more than one line for clip 000002"]),
        (rewritten(lambda lines: [*lines, '{"scores": ' + "9" * 20_000 + "}"]), ["line 25: the document"]),
        (edited(ALPINE_2, lambda x: x["scores"].pop("PESQ_WB")), ["no PESQ_WB for clip 000002", LEFT_OUT]),
        (edited(ALPINE_2, lambda x: x.update(scores=None)), ["both or neither", LEFT_OUT]),
        (
            edited(ALPINE_2, lambda x: x.update(id="other")),
            ["names 7 clips of DENOISING_16000HZ, but its set has 6"],
        ),
        (edited(ALPINE_2, lambda x: x.update(groups={"noise": 1})), ["disagree on what clips share"]),
        *((score(value), ["line 3: scores.PESQ_WB", LEFT_OUT]) for value in (float("nan"), 1e308, "2", True, [2])),
        (in_place_of_scores(lambda path: path.write_text("")), ["scores.jsonl is empty"]),
        (in_place_of_scores(lambda path: path.mkdir()), ["scores.jsonl is not a file"]),
        (in_place_of_scores(os.mkfifo), ["scores.jsonl is not a file"]),
        (in_place_of_scores(lambda path: path.symlink_to(path.name)), ["scores.jsonl is a link"]),
    ],
)
def test_the_pages_of_a_run_say_what_its_scores_lack(tmp_path: Path, change: Change, told: list[str]) -> None:
    folder = write_run(tmp_path / "first", audio=False)
    change(folder)
    code, site = built(tmp_path, folder)
    assert code == 0
    for sentence in told:
        assert sentence in notices(site / "r/first/index.html")
    assert (site / "r/first/DENOISING_16000HZ/e/1-alpine.html").is_file()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["competitions"][0]["entries"][0]["metrics"]["PESQ_WB"].update(mean=1e308),
        lambda d: d["metrics"]["PESQ_WB"].update(low=-1e308, floor=-1e308),
        lambda d: d["competitions"][0]["entries"][0]["timing"].update(load_s=1e308),
        lambda d: d.update(schema="soundsright.results/0"),
        lambda d: d.update(metrics=None),
    ],
)
def test_a_run_with_unusable_results_does_not_keep_the_others_from_being_built(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = write_run(tmp_path / "bad", audio=False), write_run(tmp_path / "good", audio=False)
    results = json.loads((bad / "results.json").read_text())
    change(results)
    (bad / "results.json").write_text(json.dumps(results))
    code, site = built(tmp_path, bad, good)
    assert code == 0
    assert "bad: results.json" in capsys.readouterr().err
    assert "results.json" in notices(site / "r/bad/index.html")
    assert (site / "r/good/DENOISING_16000HZ/e/1-alpine.html").is_file()


def test_an_unknown_clip_counts_neither_as_failed_nor_at_the_floor(tmp_path: Path) -> None:
    whole, cut = write_run(tmp_path / "whole", audio=False), write_run(tmp_path / "cut", audio=False)
    score("nonsense")(cut)
    _, site = built(tmp_path, whole, cut)
    page = (site / "r/cut/DENOISING_16000HZ/e/1-alpine.html").read_text()
    row = page.split('data-v="000002"')[1].split("</tr>")[0]
    assert row.count('<td data-v="">–</td>') == 3
    assert "a dash means that this round has no score of the clip" in page
    differences = []
    for folder in (whole, cut):
        read = read_run(folder, "x")
        c = read.competitions[0]
        difference = paired_difference(read, c, c.entries[0], c.unprocessed, "PESQ_WB")
        assert difference is not None
        differences.append(difference.estimate)
    assert [each.n for each in differences] == [6, 5]
    # The floor of 0.999 in one of six clips would move the difference by half a unit.
    assert abs(differences[0].mean - differences[1].mean) < 0.2


def test_text_that_cannot_be_encoded_is_shown_with_a_question_mark(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "first", audio=False)
    results = json.loads((folder / "results.json").read_text())
    results["competitions"][0]["entries"][0]["entry"] = "al\ud800pine"
    (folder / "results.json").write_text(json.dumps(results))
    code, site = built(tmp_path, folder)
    assert code == 0
    assert "al?pine" in (site / "index.html").read_text()


def test_a_link_among_the_files_of_a_run_is_not_published(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("do not publish")
    folder = write_run(tmp_path / "first", audio=False)
    in_place_of_scores(lambda path: path.symlink_to(secret))(folder)
    _, site = built(tmp_path, folder)
    assert not (site / "r/first/scores.jsonl").exists()
    assert not [path for path in site.rglob("*") if path.is_file() and b"do not publish" in path.read_bytes()]
