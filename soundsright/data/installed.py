"""Corpora that other installed packages add, by name.

A package with a corpus declares a function that returns the corpus's folder. The folder has the `manifest.jsonl`
that `corpora` describes; the function may fetch it first.

    [project.entry-points."soundsright.corpora"]
    clarity = "my_package:corpus_folder"

The name then works wherever a corpus is chosen: `SOUNDSRIGHT_CORPUS`, `--corpus`, and `generate --speech`,
`--noise` and `--rooms`. An existing folder of the same name has precedence.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from soundsright.core.errors import SoundsRightError, UsageError, printable
from soundsright.core.plugins import PluginGroup, is_function
from soundsright.core.shipped import datasets_folder

PRIVATE_MARK = "corpus.json"
"""The file that marks the folder of a private corpus."""

CorpusFolder = Callable[[], str | os.PathLike[str]]


CORPORA: PluginGroup[CorpusFolder] = PluginGroup(
    "soundsright.corpora", "corpus", "a function that returns the folder of a corpus", is_function, ("shipped",)
)


def installed_corpora() -> tuple[str, ...]:
    """The names of the installed corpora, sorted."""
    return CORPORA.names()


def is_installed_corpus(name: str) -> bool:
    """Whether the name is an installed corpus, and not an existing folder."""
    return not Path(name).is_dir() and name in CORPORA.names()


def refuse_private(root: Path) -> None:
    """Refuse the folder of a private corpus where recordings are read without a key.

    Raises:
        UsageError: it is one.
    """
    if (root / PRIVATE_MARK).is_file():
        raise UsageError(
            f"{root} is a private corpus, which cannot be read without its key and the number of a round",
            "Give its key with SOUNDSRIGHT_CORPUS_KEY, or use `soundsright corpus`.",
        )


def corpus_folder(chosen: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a corpus: a path, the name of an installed corpus, or None for the shipped one.

    Raises:
        UsageError: the shipped corpus is not installed, or the package of an installed one fails.
    """
    if chosen is None:
        return datasets_folder()
    name = os.fspath(chosen)
    if not is_installed_corpus(name):
        return Path(name)
    find_folder = CORPORA.load(name)
    try:
        return Path(find_folder())
    except SoundsRightError:
        raise
    except (Exception, SystemExit) as error:
        # A function of another package can raise anything.
        raise UsageError(
            f"The corpus {name!r} did not return its folder: {printable(f'{type(error).__name__}: {error}')}",
            "Repair or update the package that adds it.",
        ) from error
