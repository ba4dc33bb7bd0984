"""The pages and the report show each decision and its reason."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.services.board.build import build_site
from soundsright.services.board.pages import AudioAccess, Site
from soundsright.services.drawing.comparisons import prize_decisions
from soundsright.services.records.runs import Run, read_run
from soundsright.services.report.html import report_html
from tests.services.records.bundles import recorded_run
from tests.services.records.runs import USUAL, Entrant, without_intervals, write_run

FLAGGED = Entrant("mirror/same", 0.0, "mirror", flags=[("copy_of_input", "The output is the input again")])
EVIDENCE = {
    "champion": "brook",
    "champion_mean": 1.5,
    "challenger": "alpine",
    "challenger_mean": 2.25,
    "needed": 1.6,
    "difference": 0.75,
    "difference_low": 0.5,
    "difference_high": 1.0,
    "p_value_holm": 0.0004,
}


@pytest.fixture
def flagged_run(tmp_path: Path) -> Run:
    refused = {"entry": "copy/cat", "hotkey": "c", "uid": 9, "code": "same_content_hash", "sentence": "Copies it"}
    refusals = [{**refused, "evidence": {}}]
    folder = write_run(tmp_path / "a", [*USUAL, FLAGGED], refused=refusals, evidence=EVIDENCE, audio=False)
    return read_run(folder, "a")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def page(run: Run, path: str) -> str:
    rendered = Site([run], AudioAccess("file")).page(path)
    assert rendered is not None
    return rendered.body.decode()


@pytest.mark.parametrize(
    "shown",
    [
        lambda run: page(run, "index.html"),
        lambda run: page(run, "r/a/DENOISING_16000HZ/index.html"),
        report_html,
    ],
    ids=["first page", "competition", "report"],
)
def test_a_decision_is_shown_with_its_numbers_and_winner(flagged_run: Run, shown: Callable[[Run], str]) -> None:
    html = shown(flagged_run)
    text = text_of(html)
    assert (
        "PESQ-WB taken over alpine takes PESQ_WB. brook/soft 1.50 1.60 alpine/clear 2.25 "
        "+0.75 +0.50 to +1.00 <0.001"
    ) in text.replace("&lt;", "<")
    assert "how p allows for several challengers" in text
    assert html.count('aria-label="wins the prize"') == 1
    assert "copy/cat (uid 9): Copies it. same_content_hash" in text
    assert "mirror/same: The output is the input again (40, limit 35). copy_of_input" in text


def test_a_flag_is_on_the_page_of_its_entry(flagged_run: Run) -> None:
    text = text_of(page(flagged_run, "r/a/DENOISING_16000HZ/e/4-mirror.html"))
    assert "Copy of input. The output is the input again (40, limit 35)." in text


@pytest.mark.parametrize(
    ("evidence", "outcome"),
    [
        (EVIDENCE, "taken"),
        ({**EVIDENCE, "dethroned": False}, "kept"),
        ({"champion": ""}, "first"),
    ],
)
def test_the_outcome_of_a_prize_is_read_from_its_evidence(
    tmp_path: Path, evidence: dict[str, object], outcome: str
) -> None:
    run = read_run(write_run(tmp_path / "a", evidence=evidence), "a")
    assert [d.outcome for d in prize_decisions(run.competitions[0])] == [outcome]


def test_a_prize_without_a_winner_is_not_paid(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a", []), "a")
    assert [d.outcome for d in prize_decisions(run.competitions[0])] == ["nobody"]
    assert "not paid" in text_of(page(run, "index.html"))


def test_evidence_of_an_unknown_kind_does_not_break_a_page(tmp_path: Path) -> None:
    strange = {"champion_mean": "high", "needed": None, "difference": True, "p_value_holm": "small"}
    run = read_run(write_run(tmp_path / "a", evidence=strange), "a")
    assert "alpine takes PESQ_WB." in page(run, "index.html")


def test_a_round_links_the_bundle_that_its_record_gives(tmp_path: Path) -> None:
    run = read_run(recorded_run(tmp_path / "a").folder, "a")
    assert 'href="bundle.zip"' in page(run, "r/a/index.html")
    bundle = Site([run], AudioAccess("file")).page("r/a/bundle.zip")
    assert bundle is not None
    with zipfile.ZipFile(io.BytesIO(bundle.body)) as archive:
        assert {"round.json", "results.json", "scores.jsonl", "steps.jsonl"} <= set(archive.namelist())
        assert not any(name.startswith("audio/") for name in archive.namelist())


def test_a_run_without_a_record_has_no_bundle(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a"), "a")
    assert "bundle.zip" not in page(run, "r/a/index.html")
    assert Site([run], AudioAccess("file")).page("r/a/bundle.zip") is None


def test_a_build_copies_the_bundle_of_a_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "bundle.zip").write_bytes(b"with audio")
    build_site([read_run(folder, "a")], tmp_path / "site", audio_bytes=0)
    assert (tmp_path / "site/r/a/bundle.zip").read_bytes() == b"with audio"
    assert "bundle.zip</a> with the audio" in (tmp_path / "site/r/a/index.html").read_text()


@pytest.mark.parametrize(
    "path",
    ["index.html", "r/a/DENOISING_16000HZ/index.html", "r/a/DENOISING_16000HZ/e/1-alpine.html", "history.html"],
)
def test_pages_show_a_dash_where_there_is_no_interval(tmp_path: Path, path: str) -> None:
    folder = without_intervals(write_run(tmp_path / "a", clips=1, evidence=EVIDENCE, audio=False))
    html = page(read_run(folder, "a"), path)
    assert "None" not in html
    if path != "history.html":
        assert "±–" in html
    if path.endswith("HZ/index.html"):
        assert "+0.75 –" in text_of(html)


def test_shares_that_burn_are_not_shown_as_paid(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    board = "r/run/DENOISING_16000HZ/index.html"
    assert '<tr class="paid"' in page(read_run(folder, "run"), board)
    results = json.loads((folder / "results.json").read_text())
    names = ["DENOISING_16000HZ"]
    corpus = {"digest": "ab" * 32, "public": names, "unpaid": names, "reason": "public_recordings"}
    results["round"]["corpus"] = corpus
    (folder / "results.json").write_text(json.dumps(results))
    unpaid = page(read_run(folder, "run"), board)
    assert '<tr class="paid"' not in unpaid
    assert "<small>burns</small>" in unpaid
