"""Claim the folder that `compete` writes to: make it, or continue or replace the run in it. Sizes are in bytes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.text_files import object_of_file
from soundsright.core.toml_location import toml_text

LEASE = "compete"
"""The lease that a run holds in its state while it runs."""

_MAX_RUN_BYTES = 64_000_000

OTHER_FOLDER = "name another folder with --out"

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
        "private-round",
        "bundle",
        ".bundle.part",
        "enhanced",
        "feedback",
    }
    | {"results.json", "scores.jsonl", "report.html", "chain.db-journal", "state.db-journal", ".probe"}
    | {".run.json.part", ".results.json.part", ".scores.jsonl.part", ".report.html.part"}
)

_BUNDLE = "bundle.zip"
"""Written later by `soundsright bundle`. It is removed only together with its run."""
_COLUMNS = {"competitions": ("metrics", "max_score", "remainder"), "entries": ("model", "competition", "incumbent")}
"""The columns of a row of a request, after the name in its first column."""
_MAX_SHOWN = 8
_SHA256 = re.compile("[0-9a-f]{64}")


def claim_folder(out: Path, identity: Mapping[str, Any], needed_bytes: float, *, force: bool) -> None:
    """Make the folder, continue the run in it, or with `force` replace that run.

    `identity` is everything that decides a run's results. An unfinished run continues only if it is the same. Files
    that this program did not write are never removed.

    Raises:
        UsageError: the folder cannot be written, has too little space or other files, has a run that is finished
            or differs, or another process works in it.
    """
    _check_writable(out)
    present = {path.name for path in out.iterdir()}
    if "run.json" in present:
        earlier = read_run(out)["request"]
        same = earlier == identity
        finished = "results.json" in present
        if same and not finished and not force:
            return
        if not force:
            content = "a finished run"
            if not finished:
                content = f"an unfinished run with other settings: {_shown_differences(earlier, identity)}"
            raise UsageError(f"--out {out} has {content}", "Give another folder, or replace the run with --force.")
        (out / _BUNDLE).unlink(missing_ok=True)
    elif not present <= _OWN_NAMES:
        raise UsageError(f"--out {out} has files that are not a run's", "Give an empty or new folder.")
    _check_idle(out)
    _clear(out)
    free_bytes = shutil.disk_usage(out).free
    if free_bytes < needed_bytes:
        free, needed = f"{free_bytes / 1e9:.2f} GB", f"{needed_bytes / 1e9:.2f} GB"
        raise UsageError(
            f"--out {out} has {free} free, but this run writes about {needed}",
            "Free some disk space, give another folder, or use fewer --clips.",
        )


def read_run(out: Path) -> dict[str, Any]:
    """The content of run.json, which a run writes when it starts.

    Raises:
        UsageError: the file cannot be read.
    """
    path, remedy = out / "run.json", "Remove the folder, or give another."
    run = object_of_file(path, _MAX_RUN_BYTES, remedy)
    if not {"request", "round", "reveals"} <= run.keys():
        raise UsageError(f"{path} cannot be read (it is not a run of this program)", remedy)
    return run


def _shown_differences(before: object, now: object) -> str:
    differences = list(_differences(_by_name(before), _by_name(now))) or ["the order of entries or competitions"]
    more = len(differences) - _MAX_SHOWN
    return "; ".join([*differences[:_MAX_SHOWN], f"and {more} more"] if more > 0 else differences)


def _by_name(request: object) -> object:
    """The request, with each list of rows as a table by the rows' first column. Other values stay unchanged."""
    if not isinstance(request, Mapping):
        return request
    named = dict(request)
    for key, columns in _COLUMNS.items():
        rows = named.get(key)
        if isinstance(rows, list) and all(isinstance(row, list) and len(row) == 1 + len(columns) for row in rows):
            named[key] = {str(name): dict(zip(columns, facts, strict=True)) for name, *facts in rows}
    return named


def _differences(before: object, now: object, key_path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            path = f"{key_path}.{key}" if key_path else key
            if key not in now:
                yield f"{path} is gone"
            elif key not in before:
                yield f"{path} is new"
            else:
                yield from _differences(before[key], now[key], path)
    elif before != now:
        yield f"{key_path or 'the request'} {_short(before)}, now {_short(now)}"


def _short(value: object) -> str:
    # The start of a hash is enough to see that two differ.
    return f"{value[:12]}…" if isinstance(value, str) and _SHA256.fullmatch(value) else toml_text(value)


def _check_writable(out: Path) -> None:
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out} is not a folder", "Give another folder.")
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--out {out} cannot be written ({error.strerror})", "Give a folder that you may write to."
        ) from error


def _check_idle(out: Path) -> None:
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.state import SqlState
    from soundsright.services.validator import in_use, living_holder

    if not (out / "state.db").exists():
        return
    try:
        state = SqlState(out / "state.db")
    except UsageError:
        return  # The database is damaged, so no process works with it.
    try:
        holder = living_holder(state, LEASE, clock=SystemClock())
    finally:
        state.close()
    if holder is not None:
        raise in_use(holder, str(out), OTHER_FOLDER)


def _clear(out: Path) -> None:
    # Remove run.json first. If the removal is interrupted, the rest then does not count as a run to continue.
    for name in sorted(_OWN_NAMES, key=lambda name: name != "run.json"):
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
