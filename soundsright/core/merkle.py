"""Merkle trees: a root stands for a list of entries, and a short proof shows that one entry is in it.

The tree is that of Certificate Transparency 2.0 (RFC 9162, section 2.1) with SHA-256. Hashes are 32 bytes. A leaf's
hash begins with a zero byte and an inner node's with a one, so no leaf can pass for a node.

    root([e0, e1, e2]) = node(node(leaf(e0), leaf(e1)), leaf(e2))

A tree of n entries splits at the largest power of two below n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
MAX_PROOF = 64
"""The longest proof: that of a tree with 2**64 entries."""

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, from those of its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root of a tree over leaf hashes, in their order (RFC 9162, section 2.1.1).

    >>> merkle_root([leaf_hash(b"")]).hex()[:16]
    '6e340b9cffb37a98'
    """
    edge = Frontier()
    for leaf in leaves:
        edge.append(leaf)
    return edge.root()


class Frontier:
    """The right edge of a growing tree: enough for its root and for more leaves, without the leaves before.

    `nodes` are the roots of its complete subtrees, the largest first: one for each 1 in the binary form of `size`.

    Raises:
        ValueError: the size is negative, or has other nodes.

    >>> edge = Frontier()
    >>> edge.append(leaf_hash(b""))
    >>> edge.size, edge.root() == merkle_root([leaf_hash(b"")])
    (1, True)
    """

    def __init__(self, size: int = 0, nodes: Sequence[bytes] = ()) -> None:
        if size < 0 or len(nodes) != size.bit_count() or not _are_hashes(nodes):
            raise ValueError(f"a tree of {size} leaves does not have these {len(nodes)} nodes at its edge")
        self._size = size
        self._nodes = list(nodes)

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, the largest first."""
        return tuple(self._nodes)

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash at the end."""
        complete = self._size
        while complete & 1:
            leaf = node_hash(self._nodes.pop(), leaf)
            complete >>= 1
        self._nodes.append(leaf)
        self._size += 1

    def root(self) -> bytes:
        """The root of the tree."""
        return _joined(self._nodes)


class GrowingTree:
    """A tree that only grows. It keeps its inner nodes, so proofs of any earlier size need few hashes."""

    def __init__(self) -> None:
        # Level k has the roots of the complete subtrees of 2**k leaves.
        self._levels: list[list[bytes]] = [[]]

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash at the end."""
        node, level = leaf, 0
        self._levels[0].append(node)
        while len(self._levels[level]) % 2 == 0:
            node = node_hash(*self._levels[level][-2:])
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(node)

    def leaf(self, index: int) -> bytes:
        """The leaf hash at `index`."""
        return self._levels[0][index]

    def root(self, size: int) -> bytes:
        """The root when the tree had `size` leaves.

        Raises:
            IndexError: the tree was never that size.
        """
        self._check(size)
        return self._root_of(0, size)

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """As `inclusion_proof`, in the tree of the first `size` leaves. Raises IndexError likewise."""
        self._check(size)
        return tuple(self._root_of(first, last) for first, last in _siblings(index, size))

    def consistency(self, earlier: int, size: int) -> tuple[bytes, ...]:
        """As `consistency_proof`, for the tree of the first `size` leaves. Raises IndexError likewise."""
        self._check(size)
        return tuple(self._root_of(first, last) for first, last in _unchanged(earlier, size))

    def _check(self, size: int) -> None:
        if not 0 <= size <= len(self):
            raise IndexError(f"the tree has {len(self)} leaves and never had {size}")

    def _root_of(self, first: int, last: int) -> bytes:
        """The root over the leaves from `first` to `last`. `first` is where a subtree of that size begins."""
        nodes = []
        while first < last:
            level = (last - first).bit_length() - 1
            nodes.append(self._levels[level][first >> level])
            first += 1 << level
        return _joined(nodes)


def _joined(nodes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees, the largest first."""
    if not nodes:
        return EMPTY_ROOT
    root = nodes[-1]
    for node in reversed(nodes[:-1]):
        root = node_hash(node, root)
    return root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The hashes that lead from the leaf at `index` to the root, nearest first (section 2.1.3.1).

    Raises:
        IndexError: the tree has no such leaf.
    """
    return tuple(merkle_root(leaves[first:last]) for first, last in _siblings(index, len(leaves)))


def _siblings(index: int, size: int) -> tuple[tuple[int, int], ...]:
    """The ranges of leaves whose roots are an inclusion proof, nearest first."""
    if not 0 <= index < size:
        raise IndexError(f"the tree has {size} leaves and no leaf {index}")
    path: list[tuple[int, int]] = []
    first, last = 0, size
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            path.append((middle, last))
            last = middle
        else:
            path.append((first, middle))
            first = middle
    return tuple(reversed(path))


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that `leaf` is at `index` in the tree of `size` leaves (section 2.1.3.2).

    A proof of the wrong length or with malformed hashes shows nothing.

    >>> leaves = [leaf_hash(bytes([n])) for n in range(5)]
    >>> is_included(leaves[3], 3, 5, inclusion_proof(leaves, 3), merkle_root(leaves))
    True
    """
    if not 0 <= index < size or len(proof) > MAX_PROOF or not _are_hashes([leaf, root, *proof]):
        return False
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            place, last = _right_child(place, last)
        else:
            node = node_hash(node, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and node == root


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> tuple[bytes, ...]:
    """The hashes that show that the tree of the first `earlier` leaves became this one (section 2.1.4.1).

    Raises:
        IndexError: the tree was never that size.
    """
    return tuple(merkle_root(leaves[first:last]) for first, last in _unchanged(earlier, len(leaves)))


def _unchanged(earlier: int, total: int) -> tuple[tuple[int, int], ...]:
    """The ranges of leaves whose roots are a consistency proof, nearest first."""
    if not 0 < earlier <= total:
        raise IndexError(f"the tree has {total} leaves and never had {earlier}")
    path: list[tuple[int, int]] = []
    first, last, size, is_whole = 0, total, earlier, True
    while size != last - first:
        middle = _split(last - first)
        if size <= middle:
            path.append((first + middle, last))
            last = first + middle
        else:
            path.append((first, first + middle))
            first, size, is_whole = first + middle, size - middle, False
    if not is_whole:
        path.append((first, last))
    return tuple(reversed(path))


def is_consistent(earlier: int, earlier_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that a tree only grew from `earlier` leaves to `size` (section 2.1.4.2).

    >>> leaves = [leaf_hash(bytes([n])) for n in range(5)]
    >>> is_consistent(3, merkle_root(leaves[:3]), 5, merkle_root(leaves), consistency_proof(leaves, 3))
    True
    """
    if not 0 < earlier <= size or len(proof) > 2 * MAX_PROOF or not _are_hashes([earlier_root, root, *proof]):
        return False
    if earlier == size:
        return not proof and earlier_root == root
    path = list(proof)
    if earlier & (earlier - 1) == 0:
        path.insert(0, earlier_root)
    if not path:
        return False
    place, last = earlier - 1, size - 1
    while place & 1:
        place >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            place, last = _right_child(place, last)
        else:
            new = node_hash(new, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and old == earlier_root and new == root


def _right_child(place: int, last: int) -> tuple[int, int]:
    """The first level from here on at which the node at `place` is a right child, or the first node of the tree."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _are_hashes(values: Sequence[object]) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in values)
