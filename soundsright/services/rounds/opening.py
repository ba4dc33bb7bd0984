"""Opens the material of a round: once in each process, because opening a private corpus takes a while."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.corpus_commitment import CorpusCommitment
from soundsright.core.errors import UsageError
from soundsright.core.material import Material

if TYPE_CHECKING:
    from soundsright.corpus import PrivateCorpus
    from soundsright.data import Corpus

_Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class OpenedMaterial:
    """The recordings of a round, the digest by which others recognise them, and the private corpus they belong to.

    `private_ids` are the recordings that nobody else may hear yet.
    """

    corpus: Corpus
    digest: str
    private: PrivateCorpus | None = None
    private_ids: frozenset[str] = frozenset()

    def private_among(self, recordings: Iterable[str]) -> tuple[str, ...]:
        """Those of the recordings that nobody else may hear yet."""
        return tuple(name for name in recordings if name in self.private_ids)

    def salt(self, purpose: str) -> str:
        """32 hex digits that follow from the key of the private corpus, and that nobody can guess without it."""
        assert self.private is not None
        return "".join(f"{self.private.key.derived(f'{purpose}/{part}'):016x}" for part in (0, 1))


def opened(material: Material) -> OpenedMaterial:
    """The material's recordings. Each call gives a corpus with an empty cache of decoded audio.

    Raises:
        UsageError: there is no corpus, it cannot be read, or it has no recordings for the round.
        AudioFileError: a file is missing or cannot be used as audio.
    """
    kept = _opened(material, _stamp(material))
    # A cache of one rate must not stay in memory while clips of another rate are drawn.
    return replace(kept, corpus=replace(kept.corpus))


def material_digest(material: Material) -> str:
    """The root of a private corpus, or SHA-256 of a manifest. No recording is read.

    Raises:
        UsageError: there is no corpus, or it cannot be read.
    """
    private = opened_private(material)
    return _manifest_digest(material, _stamp(material)) if private is None else private.root


def roots_of(material: Material) -> tuple[str, ...]:
    """The digests under which the material has the same recordings for its round, the present one first.

    A private corpus that grew keeps the recordings of the rounds that it had already, under its earlier roots.

    Raises:
        UsageError: there is no corpus, or it cannot be read.
    """
    private = opened_private(material)
    if private is None or material.round_number is None:
        return (material_digest(material),)
    return private.statement.roots_of_round(material.round_number)


def is_public(material: Material) -> bool:
    """Whether anybody may have heard the recordings: all but those of a private corpus that live or are fresh.

    A folder of recordings without a key counts as public, because the documents of each round on it contain them.

    Raises:
        UsageError: there is no corpus, or it cannot be read.
    """
    return opened(material).corpus.is_public


def opened_private(material: Material) -> PrivateCorpus | None:
    """The private corpus of the material, or None if its recordings are not encrypted.

    Raises:
        UsageError: there is no such corpus, it was changed, or its key is wrong or readable by others.
    """
    return _private(material.corpus, material.key_file, _stamp(material)) if material.is_private else None


def retirement(material: Material, number: int) -> Callable[[Sequence[str]], bool]:
    """A function that says whether all of these recordings have retired when round `number` begins.

    Raises:
        UsageError: the material is not a private corpus, or it cannot be read. The function raises it for a
            recording that the corpus does not have.
    """
    private = opened_private(material)
    if private is None:
        raise UsageError("The recordings are public, so none of them retires", "Give a private corpus and its key.")

    def are_retired(recordings: Sequence[str]) -> bool:
        return all(private.retired_round_of(name) <= number for name in recordings)

    return are_retired


def commitment_to(material: Material, clips: int) -> CorpusCommitment:
    """The commitment that a validator needs before it pays on a private corpus.

    Its parameters are all that decides a set beside the corpus, the rules and the seed.

    Raises:
        UsageError: there is no such corpus, or it cannot be read.
    """
    speech = {} if material.speech is None else dict(material.speech.facts)
    shared = {"clips": clips, "speech": speech}
    parameters = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]
    return CorpusCommitment(material_digest(material), parameters)


@lru_cache(maxsize=2)
def _opened(material: Material, version: _Stamp) -> OpenedMaterial:
    from soundsright.data import Corpus

    private = opened_private(material)
    if private is None:
        corpus = Corpus.open(material.corpus)
        return OpenedMaterial(corpus, corpus.digest)
    if material.round_number is None:
        raise UsageError(
            f"{material.corpus} is a private corpus, and the number of the round is missing",
            "Give it with --corpus-round.",
        )
    corpus = private.at(material.round_number)
    private_ids = frozenset(r.id for r in (*corpus.speech, *corpus.noise, *corpus.rirs))
    return OpenedMaterial(corpus, private.root, private, private_ids)


@lru_cache(maxsize=2)
def _private(folder: Path | None, key_file: Path | None, _version: _Stamp) -> PrivateCorpus:
    from soundsright.corpus import PrivateCorpus

    if folder is None or key_file is None:
        raise UsageError("A corpus key is given without a corpus", "Set SOUNDSRIGHT_CORPUS to its folder.")
    return PrivateCorpus.open(folder, key_file)


@lru_cache(maxsize=8)
def _manifest_digest(material: Material, version: _Stamp) -> str:
    from soundsright.core.content import sha256_of_file
    from soundsright.data import corpus_folder

    manifest = corpus_folder(material.corpus) / "manifest.jsonl"
    return sha256_of_file(manifest) if manifest.is_file() else _opened(material, version).digest


def _stamp(material: Material) -> _Stamp:
    """Name, time and size of the files that say which recordings there are: they differ if a corpus was changed."""
    from soundsright.data import corpus_folder

    folder = corpus_folder(material.corpus)
    files = [folder / "manifest.jsonl"]
    if material.key_file is not None:
        files = [*sorted(folder.glob("*.json")), material.key_file]
    stamp = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        stamp.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(stamp)
