"""The folder that `compete` writes into: made, gone on in, or refused. Sizes in bytes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.toml_location import toml_text

LEASE = "compete"
"""The lease that a run holds in its state for as long as it lasts."""

_OWN_NAMES = frozenset(
    {
        "run.json",
        "chain.db",
        "state.db",
        "state.db-wal",
        "state.db-shm",
        "hub",
        "cache",
        "sets",
        "enhanced",
        "feedback",
    }
    | {"results.json", "scores.jsonl", "report.html", "chain.db-journal", "state.db-journal", ".probe"}
    | {".run.json.part", ".results.json.part", ".scores.jsonl.part", ".report.html.part"}
)

_COLUMNS = {"competitions": ("metrics", "max_score", "remainder"), "entries": ("model", "competition", "incumbent")}
"""What stands in a row of a request, after the name of what it is about."""
_MAX_TOLD = 8
_SHA256 = re.compile("[0-9a-f]{64}")


def claim_folder(out: Path, identity: Mapping[str, Any], needed_bytes: float, *, force: bool) -> None:
    """Make the folder, or go on in it. Nothing is removed but what a run of this program wrote.

    `identity` is what decides a run's results: a run goes on only where it is the same.

    Raises:
        UsageError: the folder cannot be written, has too little space, holds something else, or another process
            works in it.
    """
    _check_writable(out)
    present = {path.name for path in out.iterdir()}
    if "run.json" in present:
        begun = read_run(out)["request"]
        same = begun == identity
        finished = "results.json" in present
        if same and not finished and not force:
            return
        if not force:
            what = "a finished run"
            if not finished:
                what = f"an unfinished run with other settings: {_told_differences(begun, identity)}"
            raise UsageError(f"--out {out} holds {what}", "Name another folder, or replace it with --force.")
    elif not present <= _OWN_NAMES:
        raise UsageError(f"--out {out} holds files that are not a run", "Name an empty or new folder.")
    _check_idle(out)
    _clear(out)
    free_bytes = shutil.disk_usage(out).free
    if free_bytes < needed_bytes:
        free, needed = f"{free_bytes / 1e9:.2f} GB", f"{needed_bytes / 1e9:.2f} GB"
        raise UsageError(
            f"--out {out} has {free} free, and this run writes about {needed}",
            "Free some disk space, name another folder, or ask for fewer --clips.",
        )


def read_run(out: Path) -> dict[str, Any]:
    """What was written of a run when it began.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        run = json.loads((out / "run.json").read_text())
        if not isinstance(run, dict) or not {"request", "round", "reveals"} <= set(run):
            raise ValueError("no run of this program")
        return run
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{out / 'run.json'} cannot be read ({error})", "Remove the folder or name another."
        ) from error


def _told_differences(before: object, now: object) -> str:
    told = list(_differences(_by_name(before), _by_name(now))) or ["the order of entries or competitions"]
    more = len(told) - _MAX_TOLD
    return "; ".join([*told[:_MAX_TOLD], f"and {more} more"] if more > 0 else told)


def _by_name(request: object) -> object:
    """The request with its rows as tables, by the name that each begins with; of any other form, as it is."""
    if not isinstance(request, Mapping):
        return request
    named = dict(request)
    for key, columns in _COLUMNS.items():
        rows = named.get(key)
        if isinstance(rows, list) and all(isinstance(row, list) and len(row) == 1 + len(columns) for row in rows):
            named[key] = {str(name): dict(zip(columns, facts, strict=True)) for name, *facts in rows}
    return named


def _differences(before: object, now: object, place: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            here = f"{place}.{key}" if place else key
            if key not in now:
                yield f"{here} is gone"
            elif key not in before:
                yield f"{here} is new"
            else:
                yield from _differences(before[key], now[key], here)
    elif before != now:
        yield f"{place or 'the request'} {_short(before)}, now {_short(now)}"


def _short(value: object) -> str:
    # Of a hash so much that two can be told apart.
    return f"{value[:12]}…" if isinstance(value, str) and _SHA256.fullmatch(value) else toml_text(value)


def _check_writable(out: Path) -> None:
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out} is not a folder", "Name another one.")
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--out {out} cannot be written ({error.strerror})", "Name a folder of your own."
        ) from error


def _check_idle(out: Path) -> None:
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.state import SqlState
    from soundsright.services.validator import living_holder

    if not (out / "state.db").exists():
        return
    try:
        state = SqlState(out / "state.db")
    except UsageError:
        return  # Damaged, so that no process works on it.
    try:
        holder = living_holder(state, LEASE, clock=SystemClock())
    finally:
        state.close()
    if holder is not None:
        raise UsageError(f"{holder} works in --out {out}", "End it, or name another folder.")


def _clear(out: Path) -> None:
    # run.json first: without it, what is left of a run that was half removed is no run to go on with.
    for name in sorted(_OWN_NAMES, key=lambda name: name != "run.json"):
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
