"""Merkle trees by RFC 6962: SHA-256, with a different first byte for leaves and for inner nodes.

A tree is built level by level, and a node without a sibling moves up unchanged. A proof has the siblings on the way
from the leaf to the root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

MAX_PROOF = 64
"""The longest proof that is read. A tree of a million leaves needs 20 hashes."""


def leaf_hash(content: bytes) -> bytes:
    """The hash of a leaf. The first byte keeps it apart from every inner node.

    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return hashlib.sha256(b"\x00" + content).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """The tree over these leaf hashes, in their order.

    Raises:
        ValueError: there are no leaves.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        if not leaves:
            raise ValueError("A tree needs at least one leaf.")
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            level = [_node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            self._levels.append(level + below[2 * len(level) :])

    @property
    def root(self) -> bytes:
        return self._levels[-1][0]

    def proof(self, index: int) -> tuple[bytes, ...]:
        """The siblings from leaf `index` to the root.

        Raises:
            IndexError: there is no such leaf.
        """
        if not 0 <= index < len(self._levels[0]):
            raise IndexError(index)
        siblings = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                siblings.append(level[index ^ 1])
            index //= 2
        return tuple(siblings)


def root_from_proof(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof gives for leaf `index` of a tree of `size` leaves.

    Raises:
        ValueError: the proof has not the length that this leaf needs.

    >>> leaves = [leaf_hash(bytes([n])) for n in range(5)]
    >>> tree = MerkleTree(leaves)
    >>> root_from_proof(leaves[4], 4, 5, tree.proof(4)) == tree.root
    True
    """
    if not 0 <= index < size:
        raise ValueError(f"There is no leaf {index} in a tree of {size}.")
    if len(proof) > MAX_PROOF:
        raise ValueError(f"The proof has {len(proof)} hashes, more than {MAX_PROOF}.")
    node, remaining = leaf, list(proof)
    while size > 1:
        if index ^ 1 < size:
            if not remaining:
                raise ValueError("The proof is too short.")
            sibling = remaining.pop(0)
            node = _node_hash(sibling, node) if index & 1 else _node_hash(node, sibling)
        index, size = index // 2, (size + 1) // 2
    if remaining:
        raise ValueError("The proof is too long.")
    return node
