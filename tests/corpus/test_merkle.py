from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.corpus.merkle import MerkleTree, leaf_hash, root_from_proof

CONTENTS = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def reference_root(contents: list[bytes]) -> bytes:
    """The Merkle tree hash as RFC 6962, section 2.1, defines it: by recursion on the largest power of two."""
    if len(contents) == 1:
        return hashlib.sha256(b"\x00" + contents[0]).digest()
    half = 1
    while 2 * half < len(contents):
        half *= 2
    return hashlib.sha256(b"\x01" + reference_root(contents[:half]) + reference_root(contents[half:])).digest()


@given(CONTENTS)
def test_the_root_is_that_of_rfc_6962(contents: list[bytes]) -> None:
    assert MerkleTree([leaf_hash(content) for content in contents]).root == reference_root(contents)


def test_the_root_of_a_published_vector() -> None:
    """The test vector of certificate transparency's reference implementation for seven leaves."""
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    tree = MerkleTree([leaf_hash(bytes.fromhex(leaf)) for leaf in leaves])
    assert tree.root.hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"


@given(CONTENTS, st.data())
def test_a_proof_gives_the_root_for_its_leaf_and_place_only(contents: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(content) for content in contents]
    tree, size = MerkleTree(leaves), len(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = tree.proof(index)
    assert root_from_proof(leaves[index], index, size, proof) == tree.root
    assert root_from_proof(leaf_hash(b"another recording"), index, size, proof) != tree.root
    for changed in range(len(proof)):
        other = [*proof[:changed], bytes(32), *proof[changed + 1 :]]
        assert root_from_proof(leaves[index], index, size, other) != tree.root


@given(CONTENTS, st.data())
def test_a_proof_of_another_length_is_refused(contents: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(content) for content in contents]
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = MerkleTree(leaves).proof(index)
    with pytest.raises(ValueError, match="too long"):
        root_from_proof(leaves[index], index, len(leaves), (*proof, bytes(32)))
    if proof:
        with pytest.raises(ValueError, match="too short"):
            root_from_proof(leaves[index], index, len(leaves), proof[:-1])


def test_an_inner_node_is_never_a_leaf() -> None:
    tree = MerkleTree([leaf_hash(b"a"), leaf_hash(b"b")])
    assert MerkleTree([leaf_hash(leaf_hash(b"a") + leaf_hash(b"b"))]).root != tree.root
