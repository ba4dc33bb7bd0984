"""`soundsright feedback`: what validators told this miner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.service import ENV_FILE

if TYPE_CHECKING:
    from soundsright.services.records import FeedbackFile, FeedbackStore


def _folder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--state-folder",
        type=click.Path(path_type=Path),
        envvar="STATE_FOLDER",
        show_envvar=True,
        help="Where the miner keeps it. [default: ~/.soundsright-subnet]",
    )(ENV_FILE(command))


_DETAIL_CHARS = 500


@click.group("feedback")
def command() -> None:
    """Feedback from validators: list it, show it, verify a file."""


@command.command("list")
@_folder_options
def list_(state_folder: Path | None, env_file: Path | None) -> None:
    """One line for each feedback, oldest first."""
    folder = _folder(state_folder, env_file)
    rows = list(_store(folder).all())
    if not rows:
        click.echo(f"No feedback in {folder} yet.")
    for kept in rows:
        feedback = kept.feedback
        outcome = (
            f"refused: {feedback.refusal.code}"
            if feedback.refusal is not None
            else f"rank {feedback.rank}, {feedback.share:.2f} %"
        )
        click.echo(
            f"{feedback.round}  {feedback.competition:<25}  {outcome:<24}  from {kept.envelope.validator[:12]}  "
            f"{kept.path}"
        )


@command.command("show")
@_folder_options
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--clips", is_flag=True, help="Each clip's scores too.")
@click.option("--json", "as_json", is_flag=True, help="The document's text, as it was signed.")
def show(state_folder: Path | None, env_file: Path | None, file: Path | None, clips: bool, as_json: bool) -> None:
    """One feedback in full: FILE, or the latest.

    FILE is a path, or a name in the miner's folder. It may be unsigned, too, as `soundsright compete` writes it.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.core.errors import UsageError, printable
    from soundsright.services.records import read_document

    told: FeedbackFile | None
    if file is not None:
        told = read_document(_found(file, state_folder, env_file), valid_signature=valid_signature)
    else:
        folder = _folder(state_folder, env_file)
        told = _store(folder).last()
        if told is None:
            raise UsageError(f"There is no feedback in {folder}", "Wait for a round to end.")
    if as_json:
        click.echo(told.text)
        return
    # Names and reasons are partly strangers' text: none may steer the terminal.
    _print(told, clips, lambda line: click.echo(printable(line)))


@command.command("verify")
@_folder_options
@click.argument("file", type=click.Path(path_type=Path))
def verify(state_folder: Path | None, env_file: Path | None, file: Path) -> None:
    """Say whether FILE, a path or a name in the miner's folder, is what a validator signed, and which."""
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import read_feedback

    kept = read_feedback(_found(file, state_folder, env_file), valid_signature=valid_signature)
    click.echo(
        f"{kept.envelope.validator} signed this for {kept.feedback.hotkey}: round {kept.feedback.round}, "
        f"{kept.feedback.competition}, SHA-256 {kept.envelope.digest}"
    )


@command.command("schema")
def schema() -> None:
    """The JSON Schema of the document that validators sign."""
    import json

    from soundsright.services.records import DOCUMENT_SCHEMA, Feedback

    click.echo(json.dumps({"$id": DOCUMENT_SCHEMA, **Feedback.model_json_schema()}, indent=1))


def _folder(state_folder: Path | None, env_file: Path | None) -> Path:
    """Where a miner of these settings keeps feedback."""
    from soundsright.cli.shared.service import settings_from
    from soundsright.config import Settings

    return settings_from(Settings, {"state_folder": state_folder}, env_file).folder / "feedback"


def _found(file: Path, state_folder: Path | None, env_file: Path | None) -> Path:
    """The file, or where there is none and it is a name alone, the one of that name in the miner's folder."""
    if file.name != str(file) or file.exists():
        return file
    kept = _folder(state_folder, env_file) / file
    return kept if kept.exists() else file


def _store(folder: Path) -> FeedbackStore:
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import FeedbackStore

    return FeedbackStore(folder, valid_signature=valid_signature)


def _print(told: FeedbackFile, clips: bool, echo: Callable[[str], Any]) -> None:
    from soundsright.cli.commands.verify import last_lines
    from soundsright.services.records import SignedFeedbackFile

    feedback = told.feedback
    signed = (
        f"{told.envelope.validator} (signature verified)"
        if isinstance(told, SignedFeedbackFile)
        else "none (unsigned)"
    )
    echo(f"Round       {feedback.round}, {feedback.competition}")
    echo(f"Validator   {signed}")
    echo(f"Set         seed {feedback.seed}, digest {feedback.set_digest}")
    if feedback.refusal is not None:
        echo(f"Refused     {feedback.refusal.code}: {feedback.refusal.sentence}")
        if feedback.refusal.remedy:
            echo(f"Remedy      {feedback.refusal.remedy}")
        for name, value in feedback.refusal.evidence.items():
            echo(f"Evidence    {name}: {value}")
        for name, mean in feedback.needed.items():
            echo(f"{name:<11} {mean:8.3f} would have been needed to win")
        return
    echo(f"Rank        {feedback.rank}, {feedback.share:.2f} % of the emission")
    for name, own in feedback.metrics.items():
        needed = feedback.needed.get(name)
        d = _decimals(own.mean, needed)
        parts = [f"{own.mean:8.{d}f}  [{own.low:.{d}f}, {own.high:.{d}f}]"]
        if name in feedback.unprocessed:
            parts.append(f"unprocessed {feedback.unprocessed[name].mean:.{d}f}")
        best = feedback.winners.get(name) or feedback.best
        if best is not None and name in best.metrics:
            parts.append(f"{'winner' if name in feedback.winners else 'best'} {best.metrics[name].mean:.{d}f}")
        if needed is not None:
            parts.append(f"needed {needed:.{d}f}")
        echo(f"{name:<11} {', '.join(parts)}")
    for name, reason in feedback.reasons.items():
        echo(f"{name:<11} {reason}")
    if feedback.timing is not None and feedback.timing.real_time_factor is not None:
        echo(
            f"Timing      loaded in {feedback.timing.load_s:.1f} s, real-time factor "
            f"{feedback.timing.real_time_factor:.3f}, {feedback.timing.peak_memory_bytes / 1e6:.0f} MB"
        )
    if feedback.failures:
        echo(f"Failures    {', '.join(f'{count} clips: {code}' for code, count in feedback.failures.items())}")
    for clip in feedback.clips if clips else ():
        scores = ", ".join(f"{name} {value:.3f}" for name, value in (clip.scores or {}).items())
        echo(f"{clip.id:<11} {scores or (clip.failure.code if clip.failure else '')}")
    for flag in feedback.flags:
        echo(f"Flag        {flag.code}: {flag.sentence}")
    details = {clip.failure.code: clip.failure.detail for clip in reversed(feedback.clips) if clip.failure}
    for code, detail in details.items():
        echo(f"Failure     {code}: {detail[:_DETAIL_CHARS]}")
    for line in last_lines(feedback.log):
        echo(line)


def _decimals(mean: float, needed: float | None) -> int:
    """So many, from three, that a mean does not look like what was needed."""
    different = (d for d in range(3, 10) if needed is not None and f"{mean:.{d}f}" != f"{needed:.{d}f}")
    return next(different, 3)
