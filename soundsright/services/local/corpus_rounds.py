"""Which rounds of a private corpus this machine has run. They are listed in a file beside the corpus."""

from __future__ import annotations

import json
from pathlib import Path

from soundsright.core.errors import UsageError


def rounds_file(corpus: Path) -> Path:
    """The file beside a corpus that lists its rounds, a line for each."""
    return corpus.resolve().with_name(f"{corpus.resolve().name}.rounds.jsonl")


def next_round(corpus: Path, *, first_round: int) -> int:
    """The number of the next round: one more than the largest number that was used, or the corpus' first.

    Raises:
        UsageError: the list cannot be read.
    """
    path = rounds_file(corpus)
    used = [first_round - 1]
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        used += [int(json.loads(line)["round"]) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} does not list the rounds of a corpus ({error})",
            "Restore it, or give the number of the round with --corpus-round.",
        ) from error
    return max(used) + 1


def record_round(corpus: Path, number: int, out: Path) -> None:
    """Note that a run in the folder `out` uses the round of that number.

    Raises:
        UsageError: the list cannot be written.
    """
    path = rounds_file(corpus)
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"round": number, "out": str(out.resolve())}) + "\n")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror})",
            "Move the corpus to a folder that you may write to.",
        ) from error
