"""The pages of the tiers: the ladder, and a page for each prover with its attempts and its last failures by ear.

They show what one verifier recorded. Times are in seconds, agreements in dB. All texts come from strangers.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soundsright.core.errors import StateUnavailable, UsageError
from soundsright.core.profiles import Profile
from soundsright.core.tiers import AttemptResult
from soundsright.services.board.tiers_audio import HeardFailure, heard_failures, signal_flac
from soundsright.services.drawing import Bar, Frame, Page, histogram, stacked_bars
from soundsright.services.verifier import (
    CountedAttempt,
    LadderRow,
    TiersHistory,
    attempt_facts,
    bank_facts,
    decision_sentence,
    ladder_facts,
    prover_facts,
    row_facts,
    state_sentence,
)

MOST_FAILURES = 100
"""The failures in the table of a prover's page: the latest ones. The files have all."""
REFRESH_S = 15.0
_FOLDER = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SHORT_REVISION = re.compile(r"([0-9a-f]{8})[0-9a-f]{24,}")
_JSON, _CSV = "application/json", "text/csv; charset=utf-8"
_KINDS = ("hash: the same samples", "similar: the errors agree", "failed")


@dataclass(frozen=True, eq=False)
class ShownTiers:
    """A verifier's past, and the folder with the audio of its provers' last failures; None without audio."""

    history: TiersHistory
    failures_folder: Path | None = None

    def paths(self) -> Iterator[str]:
        """The paths of all pages and files, below the root of the site."""
        yield from ("tiers/index.html", "tiers/ladder.json", "tiers/ladder.csv", "tiers/banks.json")
        for row in self.history.rows:
            key = prover_key(row.hotkey)
            yield from (f"tiers/{key}/{name}" for name in ("index.html", "attempts.json", "attempts.csv"))
            for heard in self._heard(row.hotkey):
                yield from (f"tiers/{key}/audio/{heard.name}.{signal}.flac" for signal in heard.signals)

    def page(self, frame: Frame, rest: Sequence[str]) -> Page | None:
        """The page at a path below `tiers/`, or None if there is none."""
        match rest:
            case ["index.html"]:
                return frame.page("tiers.html.j2", "../", title="Tiers", **_index(self.history))
            case ["ladder.json"]:
                return _json(ladder_facts(self.history))
            case ["ladder.csv"]:
                return _csv([row_facts(row) for row in self.history.rows])
            case ["banks.json"]:
                return _json({"schema": "soundsright.tiers-banks/1", "banks": bank_facts(self.history)})
            case [key, *below] if (row := self._row(key)) is not None:
                return self._prover_page(frame, row, below)
        return None

    def _prover_page(self, frame: Frame, row: LadderRow, rest: Sequence[str]) -> Page | None:
        match rest:
            case ["index.html"]:
                values = _prover(self.history, row, self._heard(row.hotkey))
                return frame.page("tiers_prover.html.j2", "../../", title=f"Prover {row.hotkey}", **values)
            case ["attempts.json"]:
                return _json(prover_facts(self.history, row))
            case ["attempts.csv"]:
                attempts = self.history.attempts_of(row.hotkey)
                return _csv([attempt_facts(self.history, each) for each in attempts])
            case ["audio", name]:
                for heard in self._heard(row.hotkey):
                    for signal, path in heard.signals.items():
                        if name == f"{heard.name}.{signal}.flac" and (sound := signal_flac(path)) is not None:
                            return Page(sound, "audio/flac")
        return None

    def _row(self, key: str) -> LadderRow | None:
        return next((row for row in self.history.rows if prover_key(row.hotkey) == key), None)

    def _heard(self, hotkey: str) -> tuple[HeardFailure, ...]:
        return heard_failures(self.history, self.failures_folder, hotkey)


class SavedTiers:
    """The pages of a verifier's database as it is now. What cannot be read changes nothing after the start.

    Raises:
        UsageError: the database is damaged at the start.
        StateUnavailable: it does not answer at the start.
    """

    def __init__(
        self,
        read: Callable[[], TiersHistory],
        failures_folder: Path | None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._now = read, now
        self._shown = ShownTiers(read(), failures_folder)
        self._read_at_s = now()

    def __call__(self) -> ShownTiers:
        if self._now() - self._read_at_s >= REFRESH_S:
            self._read_at_s = self._now()
            with suppress(UsageError, StateUnavailable):
                history = self._read()
                if history.stamp != self._shown.history.stamp:
                    self._shown = ShownTiers(history, self._shown.failures_folder)
        return self._shown


def prover_key(hotkey: str) -> str:
    """The name of a prover's folder: its hotkey, or the start of its digest if the hotkey is no name of one."""
    return hotkey if _FOLDER.fullmatch(hotkey) else f"sha256-{hashlib.sha256(hotkey.encode()).hexdigest()[:32]}"


def _index(history: TiersHistory) -> dict[str, Any]:
    opened = history.intervals[-1].opened if history.intervals else None
    return {
        "history": history,
        "opened": opened,
        "places": {tier.name: place for place, tier in enumerate(history.rules.table)},
        "by_cosine": history.rules.profile is not Profile.SOUNDSRIGHT,
        "rows": [_shown_row(row) for row in history.rows],
        "tiers": [
            (tier, sum(row.standing.tier == tier.name for row in history.rows)) for tier in history.rules.table
        ],
        "seeds": list(history.seeds.values())[::-1],
    }


def _shown_row(row: LadderRow) -> dict[str, Any]:
    return {
        **row_facts(row),
        "key": prover_key(row.hotkey),
        "short_model": "" if row.bank is None else _SHORT_REVISION.sub(r"\1…", row.bank.model)[:80],
        "reason": state_sentence(row),
        "last_at": None if row.last is None else _time_of(row.last.at_s),
        "last_passed": row.last is not None and row.last.attempt.result.passed,
    }


def _prover(history: TiersHistory, row: LadderRow, heard: Sequence[HeardFailure]) -> dict[str, Any]:
    from markupsafe import Markup

    attempts = history.attempts_of(row.hotkey)
    failed = [each for each in attempts if not each.attempt.result.passed]
    facts = prover_facts(history, row)
    answered = [each.attempt.time_s for each in attempts if each.attempt.result is not AttemptResult.SILENT]
    by_place = {(each.interval, each.number): each for each in heard}
    return {
        "history": history,
        "row": _shown_row(row),
        "tier": history.rules.tier(row.standing.tier),
        "attempts": attempts,
        "failed": len(failed),
        "latencies": Markup(histogram(answered, title="Time of an answer", unit="s")) if answered else "",
        "quantiles": _quantiles(answered),
        "outcomes": Markup(_outcomes(facts["intervals"])) if attempts else "",
        "intervals": facts["intervals"][::-1],
        "moves": [(move, decision_sentence(history, move)) for move in history.moves.get(row.hotkey, ())[::-1]],
        "failures": [_failure(history, each) for each in failed[: -MOST_FAILURES - 1 : -1]],
        "heard": [
            (each, _failure(history, counted))
            for counted in reversed(failed)
            if (each := by_place.get((counted.attempt.interval, counted.attempt.number))) is not None
        ],
    }


def _failure(history: TiersHistory, counted: CountedAttempt) -> dict[str, Any]:
    return {**attempt_facts(history, counted), "at": _time_of(counted.at_s)}


def _quantiles(times_s: Sequence[float]) -> list[tuple[str, float]]:
    """The smallest times that so much of the answers do not exceed."""
    in_order = sorted(times_s)
    parts = (("median", 50), ("95 %", 95), ("slowest", 100))
    return [(name, in_order[-(-percent * len(in_order) // 100) - 1]) for name, percent in parts if in_order]


def _outcomes(intervals: Sequence[Mapping[str, Any]]) -> str:
    bars = [
        Bar(
            str(past["interval"]),
            (past["hash"], past["similar"], past["failed"]),
            f"interval {past['interval']}: {past['hash']} hash, {past['similar']} similar, {past['failed']} failed",
        )
        for past in intervals
    ]
    return stacked_bars(bars, _KINDS, title="Answers by interval", x_title="interval")


def _time_of(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")


def _json(value: object) -> Page:
    return Page((json.dumps(value, indent=1, allow_nan=False) + "\n").encode(), _JSON)


def _csv(rows: Sequence[Mapping[str, Any]]) -> Page:
    """A table. Without a row it has no names of columns either."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, row in enumerate(rows):
        if not number:
            writer.writerow(row)
        writer.writerow(_cell(value) for value in row.values())
    return Page(text.getvalue().encode(), _CSV)


def _cell(value: object) -> object:
    """The value of a cell. A spreadsheet must not take a stranger's text for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
