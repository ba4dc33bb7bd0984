"""`soundsright feedback`: what validators told this miner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from soundsright.services.feedback import FeedbackStore, Kept

_FOLDER = click.option(
    "--state-folder",
    type=click.Path(path_type=Path),
    default=Path("~/.soundsright-subnet"),
    show_default=True,
    envvar="STATE_FOLDER",
    show_envvar=True,
    help="Where the miner keeps it.",
)


@click.group("feedback")
def command() -> None:
    """Feedback from validators: list it, show it, verify a file."""


@command.command("list")
@_FOLDER
def list_(state_folder: Path) -> None:
    """One line for each feedback, oldest first."""
    rows = list(_store(state_folder).all())
    if not rows:
        click.echo(f"No feedback in {state_folder.expanduser() / 'feedback'} yet.")
    for kept in rows:
        feedback = kept.feedback
        outcome = (
            f"refused: {feedback.refusal.code}"
            if feedback.refusal is not None
            else f"rank {feedback.rank}, {feedback.share:.2f} %"
        )
        click.echo(
            f"{feedback.round}  {feedback.competition:<25}  {outcome:<24}  from {kept.envelope.validator[:12]}  "
            f"{kept.path.name}"
        )


@command.command("show")
@_FOLDER
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--clips", is_flag=True, help="Each clip's scores too.")
@click.option("--json", "as_json", is_flag=True, help="The document as it was signed.")
def show(state_folder: Path, file: Path | None, clips: bool, as_json: bool) -> None:
    """One feedback in full: FILE, or the latest."""
    from soundsright.core.errors import UsageError

    kept = _read(file) if file is not None else _store(state_folder).last()
    if kept is None:
        raise UsageError(f"There is no feedback in {state_folder.expanduser()}", "Wait for a round to end.")
    if as_json:
        click.echo(kept.envelope.document)
        return
    _print(kept, clips, click.echo)


@command.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
def verify(file: Path) -> None:
    """Say whether FILE is what a validator signed, and which."""
    kept = _read(file)
    click.echo(
        f"{kept.envelope.validator} signed this for {kept.feedback.hotkey}: round {kept.feedback.round}, "
        f"{kept.feedback.competition}, SHA-256 {kept.envelope.digest}"
    )


@command.command("schema")
def schema() -> None:
    """The JSON Schema of the document that validators sign."""
    import json

    from soundsright.services.feedback import DOCUMENT_SCHEMA, Feedback

    click.echo(json.dumps({"$id": DOCUMENT_SCHEMA, **Feedback.model_json_schema()}, indent=1))


def _store(state_folder: Path) -> FeedbackStore:
    from soundsright.adapters.http_auth_keys import valid_signature
    from soundsright.services.feedback import FeedbackStore

    return FeedbackStore(state_folder.expanduser() / "feedback", valid_signature=valid_signature)


def _read(file: Path) -> Kept:
    from soundsright.adapters.http_auth_keys import valid_signature
    from soundsright.services.feedback import read_feedback

    return read_feedback(file, valid_signature=valid_signature)


def _print(kept: Kept, clips: bool, echo: Callable[[str], Any]) -> None:
    feedback = kept.feedback
    echo(f"Round       {feedback.round}, {feedback.competition}")
    echo(f"Validator   {kept.envelope.validator} (signature verified)")
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
        parts = [f"{own.mean:8.3f}  [{own.low:.3f}, {own.high:.3f}]"]
        if name in feedback.unprocessed:
            parts.append(f"unprocessed {feedback.unprocessed[name].mean:.3f}")
        best = feedback.winners.get(name) or feedback.best
        if best is not None and name in best.metrics:
            parts.append(f"{'winner' if name in feedback.winners else 'best'} {best.metrics[name].mean:.3f}")
        if name in feedback.needed:
            parts.append(f"needed {feedback.needed[name]:.3f}")
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
