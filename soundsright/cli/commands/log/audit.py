"""`soundsright log audit`: follow a log, check all that is new, and mirror it."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import FILE, FOLDER, FiniteFloat, option
from soundsright.core.errors import LogRefused, UsageError, printable

if TYPE_CHECKING:
    from soundsright.services.log import AuditReport, LogSource


@click.command("audit")
@click.argument("url", metavar="URL")
@option("--mirror", type=FOLDER, help="Keep all entries in FOLDER, which `log serve --mirror` serves again.")
@option("--against", metavar="URL", multiple=True, help="Another address of the same log, or a mirror. Repeat it.")
@option("--log", "hotkey", metavar="HOTKEY", help="Hotkey of the log. [default: that of the last audit]")
@option(
    "--memory",
    type=FILE,
    help="File with the last head. [default: in the mirror, otherwise in STATE_FOLDER/logs]",
)
@option(
    "--state-folder",
    type=FOLDER,
    envvar="STATE_FOLDER",
    default="~/.soundsright-subnet",
    help="Folder for the memory of audits.",
)
@option("--timeout", "timeout_s", default=60.0, type=FiniteFloat(0.1, 3600), help="Seconds for each answer.")
@option("--max-gb", default=16.0, type=FiniteFloat(0.001, 1000), help="The most gigabytes of new entries to read.")
def command(
    *,
    url: str,
    mirror: Path | None,
    against: tuple[str, ...],
    hotkey: str | None,
    memory: Path | None,
    state_folder: Path,
    timeout_s: float,
    max_gb: float,
) -> None:
    """Follow a log, check all that is new, and mirror it.

    \b
    soundsright log audit http://127.0.0.1:9100
    soundsright log audit http://127.0.0.1:9100 --mirror copy --against http://mirror.example:9101

    It goes on from the last head that it saw. It checks that the log only grew, every new signature, and that the
    entries give the signed root. With --against, both addresses must show one history.

    Exit codes: 0 all is right, 2 wrong use or nothing answers, 3 what an address gave cannot be accepted: the first
    fault is named. Heads that contradict each other are kept beside the memory.
    """
    from soundsright.cli.shared.addresses import checked_hotkey
    from soundsright.cli.shared.log_source import HttpLog

    checked_hotkey(hotkey, "--log")
    if mirror is not None and memory is not None:
        raise UsageError("--mirror has its own memory", "Leave out --memory.")
    source, *others = [HttpLog(each, timeout_s=timeout_s) for each in (url, *against)]
    path = _memory_path(source.name, mirror, memory, state_folder)
    try:
        report = _followed(source, path, mirror, hotkey, int(max_gb * 1e9))
        _print(source.name, report)
        for other in others:
            _compare(report, source, other)
    except LogRefused as refused:
        if not refused.evidence:
            raise
        kept = _keep(path, refused)
        raise LogRefused(refused.problem, f"Keep {kept}: it has both signed heads, which prove it.") from refused


def _memory_path(name: str, mirror: Path | None, memory: Path | None, state_folder: Path) -> Path:
    from soundsright.services.log import MEMORY_FILE

    if mirror is not None:
        return mirror / MEMORY_FILE
    if memory is not None:
        return memory
    return state_folder.expanduser() / "logs" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _followed(
    source: LogSource, path: Path, mirror: Path | None, hotkey: str | None, max_bytes: int
) -> AuditReport:
    """The report of a log that passed. The memory and the mirror have moved on to its head."""
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.log import MirrorWriter, audit, read_memory, write_memory

    with ExitStack() as stack:
        writer = None if mirror is None else stack.enter_context(closing(MirrorWriter(mirror)))
        memory = read_memory(path, valid_signature=valid_signature)
        if writer is None:
            report = audit(source, memory, valid_signature=valid_signature, log=hotkey, max_bytes=max_bytes)
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            writer.resume(memory)
            report = audit(
                *(source, memory),
                valid_signature=valid_signature,
                log=hotkey,
                keep=writer.add,
                max_bytes=max_bytes,
            )
            writer.flush()
        write_memory(path, memory)
    return report


def _print(name: str, report: AuditReport) -> None:
    new = report.head.size - report.before
    signed = datetime.fromtimestamp(report.head.time_s, UTC).strftime("%Y-%m-%d %H:%M")
    click.echo(
        f"{name}: log {report.head.log}, {report.head}, signed {signed} UTC; {new} new. "
        "Signatures, root and growth are right."
    )
    for each in report.found:
        entries = ", ".join(map(str, each.indexes[:10]))
        click.echo(
            printable(
                f"Evidence: {each.signer} signed different documents for round {each.round} (entries {entries})"
            )
        )


def _compare(report: AuditReport, source: LogSource, other: LogSource) -> None:
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.log import check_same_view, read_head

    head = read_head(other, valid_signature=valid_signature)
    check_same_view(report.head, source, head, other)
    click.echo(f"{other.name}: {head}; the same history.")


def _keep(path: Path, refused: LogRefused) -> Path:
    """The file with the heads that contradict each other."""
    from soundsright.services.records import write_json

    heads = [json.loads(envelope) for envelope in refused.evidence]
    digest = hashlib.sha256("\n".join(refused.evidence).encode()).hexdigest()[:12]
    kept = path.with_name(f"evidence-{digest}.json")
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, {"schema": "soundsright.log-evidence/1", "heads": heads})
    return kept
