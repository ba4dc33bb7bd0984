"""Warnings about entries that failed every clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from soundsright.core.errors import printable
from soundsright.core.results import Evaluation
from soundsright.services.local import model_error

_MAX_CHARS = 300


def warn_of_failures(evaluations: Sequence[Evaluation], folders: Mapping[str, Path]) -> int:
    """Print the warnings on stderr. Returns the exit code: 1 if no entry has a scored clip, otherwise 0."""
    for warning in failure_warnings(evaluations, folders):
        click.echo(warning, err=True)
    return 0 if any(each.failed < len(each.clips) for each in evaluations) else 1


def failure_warnings(evaluations: Sequence[Evaluation], folders: Mapping[str, Path]) -> Iterator[str]:
    """One line for each cause that made entries fail all their clips. `folders` are the models' by hotkey."""
    by_cause: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        if evaluation.clips and evaluation.failed == len(evaluation.clips):
            cause = _cause(evaluation, folders[evaluation.submission.hotkey])
            by_cause.setdefault(cause, []).append(evaluation)
    for cause, failed in by_cause.items():
        names = ", ".join(dict.fromkeys(_label(each, folders) for each in failed))
        count = len(failed[0].clips)
        clips = "its only clip" if count == 1 else f"all {count} clips"
        folder = folders[failed[0].submission.hotkey]
        yield printable(f"{names} failed {clips}: {cause}. Run `soundsright verify {folder}` to see why.")


def _label(evaluation: Evaluation, folders: Mapping[str, Path]) -> str:
    hotkey = evaluation.submission.hotkey
    return f"{hotkey}/{folders[hotkey].name}"


def _cause(evaluation: Evaluation, folder: Path) -> str:
    """The model's own error, or the last line of its log. Without a log, the failure of its first clip."""
    lines = [line.strip() for line in evaluation.log.splitlines() if line.strip()]
    failure = evaluation.clips[0].failure
    cause = model_error(evaluation.log, folder) or (lines[-1] if lines else failure.detail if failure else "")
    return cause.strip()[:_MAX_CHARS].rstrip(".")
