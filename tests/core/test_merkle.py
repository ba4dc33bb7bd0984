"""Merkle trees and proofs, against the published example tree of Certificate Transparency and by enumeration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.core.merkle import (
    EMPTY_ROOT,
    Frontier,
    GrowingTree,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    merkle_root,
    node_hash,
)

ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
"""The entries of the example tree, and its root after each of them."""
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def test_the_example_tree_has_its_published_roots() -> None:
    assert [merkle_root(LEAVES[:size]).hex() for size in range(1, 9)] == ROOTS
    assert merkle_root([]) == EMPTY_ROOT


def test_the_proofs_of_seven_leaves_are_those_of_the_standard() -> None:
    """RFC 9162, section 2.1.5: the tree of seven leaves, with the standard's names for its nodes."""
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, el = node_hash(g, h), node_hash(i, j)
    seven = LEAVES[:7]
    assert inclusion_proof(seven, 0) == (b, h, el)
    assert inclusion_proof(seven, 3) == (c, g, el)
    assert inclusion_proof(seven, 4) == (f, j, k)
    assert inclusion_proof(seven, 6) == (i, k)
    assert consistency_proof(seven, 3) == (c, d, g, el)
    assert consistency_proof(seven, 4) == (el,)
    assert consistency_proof(seven, 6) == (i, j, k)


SIZES = range(1, 20)


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(bytes([number])) for number in range(size)]


def test_every_leaf_of_every_tree_is_proved_and_no_other_is() -> None:
    for size in SIZES:
        leaves, root = leaves_of(size), merkle_root(leaves_of(size))
        for index in range(size):
            proof = inclusion_proof(leaves, index)
            shown = [(at, number) for at in range(size) for number in range(size)]
            held = {at for at, number in shown if is_included(leaves[number], at, size, proof, root)}
            assert held == {index}
            assert not is_included(leaves[index], index, size + 1, (*proof, proof[0]) if proof else (root,), root)


def test_every_tree_is_shown_to_have_grown_into_every_larger_one() -> None:
    for size in SIZES:
        leaves, root = leaves_of(size), merkle_root(leaves_of(size))
        for earlier in range(1, size + 1):
            proof = consistency_proof(leaves, earlier)
            assert is_consistent(earlier, merkle_root(leaves[:earlier]), size, root, proof)
            other = [*leaves[: earlier - 1], leaf_hash(b"changed")]
            assert not is_consistent(earlier, merkle_root(other), size, root, proof)
            if earlier > 1:
                assert not is_consistent(earlier - 1, merkle_root(leaves[:earlier]), size, root, proof)


@given(st.integers(1, 40), st.data(), st.lists(st.binary(min_size=0, max_size=33), max_size=8), st.integers(-2, 45))
def test_a_changed_proof_shows_nothing(size: int, data: st.DataObject, other: list[bytes], index: int) -> None:
    leaves = leaves_of(size)
    root = merkle_root(leaves)
    right = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, right)
    is_same = tuple(other) == proof and index == right
    assert is_included(leaves[right], index, size, other, root) is is_same
    assert is_consistent(index, root, size, root, other) is (index == size and not other)


def test_a_leaf_or_size_outside_the_tree_has_no_proof() -> None:
    for index in (-1, 3):
        with pytest.raises(IndexError, match="3 leaves"):
            inclusion_proof(leaves_of(3), index)
    for earlier in (0, 4):
        with pytest.raises(IndexError, match="3 leaves"):
            consistency_proof(leaves_of(3), earlier)


@pytest.mark.parametrize("size", range(1, 18))
def test_a_growing_tree_gives_the_roots_and_proofs_of_each_size(size: int) -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(17)]
    tree = GrowingTree()
    for leaf in leaves:
        tree.append(leaf)
    assert tree.root(size) == merkle_root(leaves[:size])
    assert [tree.inclusion(n, size) for n in range(size)] == [
        inclusion_proof(leaves[:size], n) for n in range(size)
    ]
    for earlier in range(1, size + 1):
        assert tree.consistency(earlier, size) == consistency_proof(leaves[:size], earlier)


def test_a_growing_tree_has_no_proof_of_a_size_that_it_never_had() -> None:
    tree = GrowingTree()
    tree.append(leaf_hash(b""))
    for ask in (lambda: tree.root(2), lambda: tree.inclusion(1, 1), lambda: tree.consistency(0, 1)):
        with pytest.raises(IndexError):
            ask()
    assert tree.root(0) == EMPTY_ROOT


def test_the_edge_of_a_tree_goes_on_where_it_was_left() -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(40)]
    edge = Frontier()
    for size, leaf in enumerate(leaves):
        edge = Frontier(edge.size, edge.nodes)
        assert edge.root() == merkle_root(leaves[:size])
        edge.append(leaf)
    with pytest.raises(ValueError, match="does not have these"):
        Frontier(3, edge.nodes[:1])
