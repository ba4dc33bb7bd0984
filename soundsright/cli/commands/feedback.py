"""`soundsright feedback`: list, show and verify the feedback of validators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import ANY_PATH, env_file_option, option
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.services.records import Feedback, FeedbackFile, FeedbackStore

_DETAIL_CHARS = 500


def _folder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return option(
        "--state-folder",
        type=ANY_PATH,
        envvar="STATE_FOLDER",
        help="Folder in which the miner keeps its state. [default: ~/.soundsright-subnet]",
    )(env_file_option(command))


@click.group("feedback")
def command() -> None:
    """List, show and verify the feedback of validators.

    \b
    soundsright feedback show
    """


@command.command("list")
@_folder_options
def list_(state_folder: Path | None, env_file: Path | None) -> None:
    """List the feedback that this miner has, oldest first.

    \b
    soundsright feedback list --state-folder ~/.soundsright-subnet
    """
    folder = _feedback_folder(state_folder, env_file)
    rows = list(_store(folder).all())
    if not rows:
        click.echo(f"No feedback in {folder} yet.")
    for stored in rows:
        feedback = stored.feedback
        outcome = (
            f"refused: {feedback.refusal.code}"
            if feedback.refusal is not None
            else f"rank {feedback.rank}, {feedback.share:.2f} %"
        )
        click.echo(
            f"{feedback.round}  {feedback.competition:<25}  {outcome:<24}  from {stored.envelope.validator[:12]}  "
            f"{stored.path}"
        )


@command.command("show")
@_folder_options
@click.argument("file", required=False, type=ANY_PATH)
@option("--clips", is_flag=True, help="Also show the scores of each clip.")
@option("--json", "as_json", is_flag=True, help="Print the document as the validator signed it.")
def show(state_folder: Path | None, env_file: Path | None, file: Path | None, clips: bool, as_json: bool) -> None:
    """Show one feedback in full: FILE, or the latest.

    \b
    soundsright feedback show
    soundsright feedback show runs/seed-1/feedback/1-alpine.json --clips

    FILE is a path, or a file name in the miner's folder. It can also be one of the unsigned files that
    `soundsright compete` writes.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.core.errors import printable
    from soundsright.services.records import read_document

    document: FeedbackFile | None
    if file is not None:
        document = read_document(_resolved(file, state_folder, env_file), valid_signature=valid_signature)
    else:
        folder = _feedback_folder(state_folder, env_file)
        document = _store(folder).last()
        if document is None:
            raise UsageError(f"There is no feedback in {folder}", "Wait until a round ends.")
    if as_json:
        click.echo(document.text)
        return
    for line in _lines(document, clips=clips):
        # Names and reasons come from strangers. They must not control the terminal.
        click.echo(printable(line))


@command.command("verify")
@_folder_options
@click.argument("file", type=ANY_PATH)
def verify(state_folder: Path | None, env_file: Path | None, file: Path) -> None:
    """Check the signature of FILE and show who signed it.

    \b
    soundsright feedback verify round-7.json

    FILE is a path, or a file name in the miner's folder.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import read_feedback

    stored = read_feedback(_resolved(file, state_folder, env_file), valid_signature=valid_signature)
    click.echo(
        f"{stored.envelope.validator} signed this for {stored.feedback.hotkey}: round {stored.feedback.round}, "
        f"{stored.feedback.competition}, SHA-256 {stored.envelope.digest}"
    )


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of the document that validators sign.

    \b
    soundsright feedback schema > feedback.schema.json
    """
    import json

    from soundsright.services.records import DOCUMENT_SCHEMA, Feedback

    click.echo(json.dumps({"$id": DOCUMENT_SCHEMA, **Feedback.model_json_schema()}, indent=1))


def _feedback_folder(state_folder: Path | None, env_file: Path | None) -> Path:
    """The folder in which a miner with these settings keeps feedback."""
    from soundsright.cli.shared.settings_options import settings_from
    from soundsright.config import Settings

    return settings_from(Settings, {"state_folder": state_folder}, env_file).folder / "feedback"


def _resolved(file: Path, state_folder: Path | None, env_file: Path | None) -> Path:
    """The path of `file`. A bare name that does not exist here is looked up in the miner's folder."""
    if file.name != str(file) or file.exists():
        return file
    stored = _feedback_folder(state_folder, env_file) / file
    return stored if stored.exists() else file


def _store(folder: Path) -> FeedbackStore:
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import FeedbackStore

    return FeedbackStore(folder, valid_signature=valid_signature)


def _lines(document: FeedbackFile, *, clips: bool) -> Iterator[str]:
    """The feedback as lines for the terminal."""
    from soundsright.cli.shared.model_log import last_lines
    from soundsright.services.records import SignedFeedbackFile

    feedback = document.feedback
    signed = "none (unsigned)"
    if isinstance(document, SignedFeedbackFile):
        signed = f"{document.envelope.validator} (signature verified)"
    yield f"Round       {feedback.round}, {feedback.competition}"
    yield f"Validator   {signed}"
    yield f"Set         seed {feedback.seed}, digest {feedback.set_digest}"
    if feedback.refusal is not None:
        yield from _refusal_lines(feedback)
        return
    yield f"Rank        {feedback.rank}, {feedback.share:.2f} % of the emission"
    yield from _metric_lines(feedback)
    for name, reason in feedback.reasons.items():
        yield f"{name:<11} {reason}"
    if feedback.timing is not None and feedback.timing.real_time_factor is not None:
        yield (
            f"Timing      loaded in {feedback.timing.load_s:.1f} s, real-time factor "
            f"{feedback.timing.real_time_factor:.3f}, {feedback.timing.peak_memory_bytes / 1e6:.0f} MB"
        )
    yield from _clip_lines(feedback, clips=clips)
    yield from last_lines(feedback.log)


def _refusal_lines(feedback: Feedback) -> Iterator[str]:
    assert feedback.refusal is not None
    yield f"Refused     {feedback.refusal.code}: {feedback.refusal.sentence}"
    if feedback.refusal.remedy:
        yield f"Remedy      {feedback.refusal.remedy}"
    for name, value in feedback.refusal.evidence.items():
        yield f"Evidence    {name}: {value}"
    for name, mean in feedback.needed.items():
        yield f"{name:<11} {mean:8.3f} would have been needed to win"


def _metric_lines(feedback: Feedback) -> Iterator[str]:
    """One line per metric: your mean with its interval, then the means to compare it with."""
    for name, own in feedback.metrics.items():
        needed = feedback.needed.get(name)
        d = _decimals(own.mean, needed)
        no_interval = own.low is None or own.high is None
        parts = [f"{own.mean:8.{d}f}  {'[-]' if no_interval else f'[{own.low:.{d}f}, {own.high:.{d}f}]'}"]
        if name in feedback.unprocessed:
            parts.append(f"unprocessed {feedback.unprocessed[name].mean:.{d}f}")
        best = feedback.winners.get(name) or feedback.best
        if best is not None and name in best.metrics:
            parts.append(f"{'winner' if name in feedback.winners else 'best'} {best.metrics[name].mean:.{d}f}")
        if needed is not None:
            parts.append(f"needed {needed:.{d}f}")
        yield f"{name:<11} {', '.join(parts)}"


def _clip_lines(feedback: Feedback, *, clips: bool) -> Iterator[str]:
    """Failures, the scores of each clip if `clips`, flags, and the details of the failures."""
    if feedback.failures:
        yield f"Failures    {', '.join(f'{count} clips: {code}' for code, count in feedback.failures.items())}"
    for clip in feedback.clips if clips else ():
        scores = ", ".join(f"{name} {value:.3f}" for name, value in (clip.scores or {}).items())
        yield f"{clip.id:<11} {scores or (clip.failure.code if clip.failure else '')}"
    for flag in feedback.flags:
        yield f"Flag        {flag.code}: {flag.sentence}"
    details = {clip.failure.code: clip.failure.detail for clip in reversed(feedback.clips) if clip.failure}
    for code, detail in details.items():
        yield f"Failure     {code}: {detail[:_DETAIL_CHARS]}"


def _decimals(mean: float, needed: float | None) -> int:
    """Decimals to show: at least three, and enough that a mean below what was needed does not look equal to it."""
    different = (d for d in range(3, 10) if needed is not None and f"{mean:.{d}f}" != f"{needed:.{d}f}")
    return next(different, 3)
