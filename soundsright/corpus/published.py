"""Which corpora are public: the shipped one, and those of installed packages."""

from __future__ import annotations

from contextlib import suppress

from soundsright.core.errors import UsageError
from soundsright.data import Corpus, installed_corpora


def public_corpora() -> dict[str, Corpus]:
    """The shipped corpus and those of installed packages, by name. One that is not installed is left out.

    Raises:
        UsageError: an installed corpus cannot be read.
    """
    found: dict[str, Corpus] = {}
    with suppress(UsageError):  # They are an optional package.
        found["the shipped recordings"] = Corpus.open()
    for name in installed_corpora():
        found[f"the installed corpus {name}"] = Corpus.open(name)
    return found
