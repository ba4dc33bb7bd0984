"""The recordings of an old round, from the folder of published recordings: anyone can draw its sets again."""

from __future__ import annotations

from pathlib import Path

from soundsright.core.errors import UsageError
from soundsright.corpus.layout import lines_of
from soundsright.corpus.private import recording_of
from soundsright.corpus.publishing import PROOFS, STATEMENT, published_file, read_published_statement
from soundsright.corpus.records import Leaf
from soundsright.data import Corpus, Recording

_FETCH_AGAIN = "Fetch the folder again."


def published_at(folder: Path, number: int, root: str = "") -> Corpus:
    """The recordings of round `number`, all of which must have been published. `check_published` checks the files.

    `root` is the root of the corpus when the round ran. If the corpus grew since, the result still has that root.

    Raises:
        UsageError: some of them still live, or the folder has not the form of published recordings.
    """
    published = read_published_statement(folder / STATEMENT)
    statement, through = published.statement, published.through
    life = statement.life
    used, fresh = life.in_use(number), life.fresh(number)
    needed = life.retired_round_of(used[-1]) - 1
    if through < needed:
        raise UsageError(
            f"{folder} has the recordings that retired with round {through}, and those of round {number} live until"
            f" round {needed}",
            "Check the round again when they are published.",
        )
    by_kind: dict[str, list[Recording]] = {"speech": [], "noise": [], "rir": []}
    for leaf, batch in _leaves(folder):
        cohort = statement.first_cohort_of(batch) + leaf.cohort
        if cohort in used:
            path = folder / published_file(leaf)
            by_kind[leaf.kind].append(recording_of(leaf, path, is_fresh=cohort in fresh))
    return Corpus(
        folder,
        tuple(by_kind["speech"]),
        tuple(by_kind["noise"]),
        tuple(by_kind["rir"]),
        private_root=root if root in statement.roots_of_round(number) else statement.root,
    )


def _leaves(folder: Path) -> list[tuple[Leaf, int]]:
    """The published recordings with their batches, in the order of the corpus."""
    path = folder / PROOFS
    try:
        return [(Leaf.of(line["leaf"]), int(line["batch"])) for line in lines_of(path)]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be used ({error})", _FETCH_AGAIN) from error
