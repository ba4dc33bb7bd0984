"""The folder that `compete` writes into: made, gone on in, or refused. Sizes in bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError

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
        same = read_run(out)["request"] == identity
        finished = "results.json" in present
        if same and not finished and not force:
            return
        if not force:
            what = "a finished run" if finished else "an unfinished run with other settings"
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
    from soundsright.adapters.clock import SystemClock
    from soundsright.adapters.state import SqlState
    from soundsright.services.lease import living_holder

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
