"""The number of the round in the life of a private corpus, for runs on one machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from soundsright.cli.shared.run_folder import read_run
from soundsright.core.errors import UsageError
from soundsright.core.material import Material


def numbered(material: Material, out: Path, *, force: bool) -> Material:
    """The material with the number of its round, if it is private.

    The number is that of --corpus-round, of the unfinished run in `out`, or the next one of the corpus.

    Raises:
        UsageError: the corpus cannot be read, or a number or a key is given for public recordings.
    """
    from soundsright.services.local import next_round
    from soundsright.services.rounds import opened_private

    private = opened_private(material)
    if private is None:
        if material.round_number is not None:
            raise UsageError(
                "--corpus-round is given, but the recordings are public",
                "Give a private corpus with --corpus and --corpus-key, or leave out --corpus-round.",
            )
        return material
    if material.round_number is None:
        number = None if force else _unfinished_round(out)
        if number is None:
            number = next_round(private.folder, first_round=private.first_round)
        material = replace(material, round_number=number)
    return material


def note_round(material: Material, out: Path) -> None:
    """Note beside a private corpus that the run in `out` uses the material's round.

    Raises:
        UsageError: the note cannot be written.
    """
    from soundsright.services.local import record_round

    if material.is_private and material.corpus is not None and material.round_number is not None:
        record_round(material.corpus, material.round_number, out)


def _unfinished_round(out: Path) -> int | None:
    """The number of the round of the unfinished run in a folder, if there is one."""
    if not (out / "run.json").exists() or (out / "results.json").exists():
        return None
    with suppress(UsageError):
        number = read_run(out)["request"].get("corpus_round")
        return number if isinstance(number, int) else None
    return None
