"""The page of an executor: what its table and charts say, and what strangers' names can do there."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from soundsright.core.executor_rules import executor_rules
from soundsright.core.profiles import Profile
from soundsright.services.board.pages import AudioAccess, Site
from soundsright.services.board.server import LiveSite, board_app
from soundsright.services.records import ExecutorHistory, ExecutorRound, RoundMaterial
from tests.services.records.executor_rows import HOSTILE, WEIGHTS, hotkey, usual_rows

TABLE = ExecutorRound("10", usual_rows(), metric_weights=WEIGHTS, signer="5Executor")


def page(*rounds: ExecutorRound, problems: tuple[str, ...] = ()) -> str:
    site = Site((), AudioAccess("file"), executor=ExecutorHistory(rounds, problems))
    rendered = site.page("executor/index.html")
    assert rendered is not None
    return rendered.body.decode()


def rows_of(html: str) -> list[str]:
    """The text of each row of the first table."""
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    texts = [re.sub(r"<[^>]+>", " ", row) for row in body.split("</tr>")[:-1]]
    return [re.sub(r"\s+", " ", text).strip() for text in texts]


def test_a_row_has_rank_image_quality_time_memory_energy_score_and_state() -> None:
    best = rows_of(page(TABLE))[0]
    assert best.startswith(f"1 ben/ masknet hotkey {hotkey('B')[:8]}… · sha256:")
    for value in ("0.6020", "0.6783", "0.620", "14.88 worst 15.62", "2.10 worst 2.10", "14.50", "winner"):
        assert value in best


@pytest.mark.parametrize(
    ("material", "words"),
    [
        (RoundMaterial("ab" * 32, True, False), "public recordings; validators pay nobody on it by default"),
        (RoundMaterial("ab" * 32, False, True), "new speech by a program; validators with the same program"),
        (RoundMaterial("ab" * 32, False, False, 7), "committed to in block 7; validators with the same corpus pay"),
        (RoundMaterial("ab" * 32, False, False), "not committed to before the seed; validators pay nobody"),
        (None, "not stated in these results; validators pay nobody"),
    ],
)
def test_the_page_says_what_the_recordings_were_and_who_pays_on_them(
    material: RoundMaterial | None, words: str
) -> None:
    html = page(replace(TABLE, material=material))
    assert words in html
    assert ("ab" * 32 in html) is (material is not None)


def test_rows_that_nobody_signed_say_nothing_of_recordings() -> None:
    assert "<dt>material</dt>" not in page(replace(TABLE, signer=""))


def test_states_and_errors_are_named() -> None:
    rows = rows_of(page(TABLE))
    assert "unsteady" in rows[2]
    assert "not measured" in rows[2]
    assert "over a limit" in rows[4]
    assert rows[5].startswith("– fay/ crasher")
    assert "failed crashed: Run 2 ended with exit code 1" in rows[5]
    assert rows[6].endswith("– – – – – – waiting")


def test_the_page_has_both_charts_from_the_second_round_on() -> None:
    one, two = page(TABLE), page(replace(TABLE, round_id="9", rows=usual_rows(0.1)), TABLE)
    assert (one.count("<svg"), two.count("<svg")) == (1, 2)
    assert "Final score over rounds" in two
    assert "Scores by round" in two
    assert two.count('role="img" aria-label="') == 2


def test_the_axis_is_the_real_time_factor_or_seconds() -> None:
    doc = replace(TABLE, rules=executor_rules(Profile.DOC))
    assert "real-time factor: s per s of audio" in page(TABLE)
    assert "time of a run, s" in page(doc)


def test_every_table_has_a_caption_and_headings() -> None:
    html = page(replace(TABLE, round_id="9"), TABLE)
    tables = re.findall(r"<table.*?</table>", html, re.DOTALL)
    assert len(tables) == 3
    assert all(
        "<caption" in table and '<th scope="col"' in table and '<th scope="row"' in table for table in tables
    )


def test_the_formula_has_the_numbers_of_the_rules() -> None:
    html = page(replace(TABLE, rules=executor_rules(time_weight=0.25, max_memory_gb=12)))
    assert "exp(−0.25 · min(3, t / 30 s) − 0.1 · min(3, m / 8 GB))" in html
    assert "30 s or 12 GB" in html
    # Scores made by other rules are marked.
    assert "other rules" in html


def test_names_and_errors_of_strangers_are_text() -> None:
    html = page(TABLE)
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html


def test_a_table_without_a_signature_says_so() -> None:
    assert "signature" in page(replace(TABLE, signer=""))
    assert "signature" not in page(TABLE)


def test_before_the_first_round_the_page_says_what_will_come() -> None:
    html = page(problems=("7.json is not JSON",))
    assert "No results yet" in html
    assert "7.json is not JSON" in html


def test_images_that_only_wait_make_no_chart() -> None:
    assert "<svg" not in page(replace(TABLE, rows=usual_rows()[-1:]))


@pytest.mark.parametrize("executor", [None, ExecutorHistory((TABLE,))])
def test_the_site_links_to_the_page_only_if_it_has_it(executor: ExecutorHistory | None) -> None:
    site = Site((), AudioAccess("file"), executor=executor)
    front = site.page("index.html")
    assert front is not None
    assert (b"executor/index.html" in front.body) is (executor is not None)
    assert ("executor/index.html" in set(site.paths())) is (executor is not None)
    assert (site.page("executor/index.html") is not None) is (executor is not None)


def test_the_server_shows_a_new_round_without_a_restart() -> None:
    pytest.importorskip("fastapi")
    from starlette.testclient import TestClient

    rounds, clock = [TABLE], [0.0]
    site = LiveSite((), live=False, executor=lambda: ExecutorHistory(tuple(rounds)), now=lambda: clock[0])
    with TestClient(board_app(site)) as client:
        assert "<dd>10" in client.get("/executor/").text
        assert client.get("/executor", follow_redirects=False).headers["location"] == "executor/"
        rounds.append(replace(TABLE, round_id="11"))
        clock[0] = 3.0
        assert "<dd>11" in client.get("/executor/").text
