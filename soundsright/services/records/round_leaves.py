"""The leaves of the Merkle trees in a round document: of a set's clips, of an entry's answers, and of its scores.

A leaf is canonical JSON. Files of a bundle have the same objects, one per line, with the names of the competition
and the entry beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from soundsright.core.audio import digest_of_digests
from soundsright.core.canonical import canonical_json
from soundsright.core.merkle import leaf_hash, merkle_root

CLIP_FIELDS = ("clip", "clean", "degraded", "recipe")
ANSWER_FIELDS = ("clip", "sha256", "failure")
INDEX = "index.json"
"""The file that says where the lines of each entry are."""


def clip_leaf(line: Mapping[str, Any]) -> bytes:
    """The leaf of a line of clips.jsonl."""
    return canonical_json({name: line[name] for name in CLIP_FIELDS}).encode()


def answer_leaf(line: Mapping[str, Any]) -> bytes:
    """The leaf of a line of answers.jsonl. It has the digest of the answer, or the code of the failure.

    >>> answer_leaf({"competition": "C", "entry": "1-a", "clip": "000001", "sha256": None, "failure": "timeout"})
    b'{"clip":"000001","failure":"timeout"}'
    """
    return canonical_json({name: line[name] for name in ANSWER_FIELDS if line.get(name) is not None}).encode()


def score_leaf(line: Mapping[str, Any]) -> bytes:
    """The leaf of a line of scores.jsonl: the whole line."""
    return canonical_json(line).encode()


def root_of(leaves: Iterable[bytes]) -> str:
    """The root over these leaves, in hex."""
    return merkle_root([leaf_hash(leaf) for leaf in leaves]).hex()


def recipes_digest(clips: Sequence[Mapping[str, Any]]) -> str:
    """One digest for the recipes of a set, from its lines of clips.jsonl."""
    return digest_of_digests({line["clip"]: line["recipe"] for line in clips})


def index_of(lines: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, dict[str, list[int]]]:
    """The places of the lines of each owner: by file and owner, the first byte and the one after the last.

    `lines` has, by file, each line with its owner. An owner's lines follow each other.

    >>> index_of({"a.jsonl": [("x", "one"), ("x", "two"), ("y", "three")]})
    {'a.jsonl': {'x': [0, 8], 'y': [8, 14]}}
    """
    index: dict[str, dict[str, list[int]]] = {}
    for name, owned in lines.items():
        position, own = 0, index.setdefault(name, {})
        for owner, line in owned:
            after = position + len(line.encode()) + 1
            own.setdefault(owner, [position, after])[1] = after
            position = after
    return index
