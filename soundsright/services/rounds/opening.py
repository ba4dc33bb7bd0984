"""Opens the material of a round: once in each process, because opening a private corpus takes a while."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from soundsright.core.material import Material

if TYPE_CHECKING:
    from soundsright.data import Corpus

_Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class OpenedMaterial:
    """The recordings of a round, and the digest by which others recognise them."""

    corpus: Corpus
    digest: str


def opened(material: Material) -> OpenedMaterial:
    """The material's recordings. Each call gives a corpus with an empty cache of decoded audio.

    Raises:
        UsageError: there is no corpus, or its manifest cannot be read.
        AudioFileError: a file is missing or cannot be used as audio.
    """
    kept = _opened(material, _stamp(material))
    # A cache of one rate must not stay in memory while clips of another rate are drawn.
    return replace(kept, corpus=replace(kept.corpus))


def material_digest(material: Material) -> str:
    """SHA-256 of a corpus' manifest, which lists the hash of every file. Only the manifest is read.

    Raises:
        UsageError: there is no corpus.
    """
    return _digest(material, _stamp(material))


@lru_cache(maxsize=2)
def _opened(material: Material, _version: _Stamp) -> OpenedMaterial:
    from soundsright.data import Corpus

    corpus = Corpus.open(material.corpus)
    return OpenedMaterial(corpus, corpus.digest)


@lru_cache(maxsize=8)
def _digest(material: Material, version: _Stamp) -> str:
    from soundsright.core.content import sha256_of_file
    from soundsright.data import corpus_folder

    manifest = corpus_folder(material.corpus) / "manifest.jsonl"
    return sha256_of_file(manifest) if manifest.is_file() else _opened(material, version).digest


def _stamp(material: Material) -> _Stamp:
    """Name, time and size of the files that say which recordings there are: they differ if a corpus was changed."""
    from soundsright.data import corpus_folder

    manifest = corpus_folder(material.corpus) / "manifest.jsonl"
    try:
        status = manifest.stat()
    except OSError:
        return ()
    return ((manifest.name, status.st_mtime_ns, status.st_size),)
