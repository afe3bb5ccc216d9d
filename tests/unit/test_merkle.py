"""The tree against RFC 6962: the vectors of Certificate Transparency, and a naive recursive tree."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.store.merkle import EMPTY, append_leaves, edge_from, edge_text, node_hash
from worker.store.trail import leaf_hash

# certificate-transparency, cpp/merkletree/merkle_tree_test.cc: inputs and the roots of the trees of 1 to 8 of them.
INPUTS = [
    bytes.fromhex(data)
    for data in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
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


def naive(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:split]) + naive(leaves[split:])).digest()


def test_the_empty_tree_has_the_hash_of_nothing():
    assert append_leaves([], 0, []) == ([], EMPTY)
    assert EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_of_the_known_trees(size):
    _, root = append_leaves([], 0, [leaf_hash(data) for data in INPUTS[:size]])
    assert root.hex() == ROOTS[size - 1]


@given(st.lists(st.lists(st.binary(max_size=8), max_size=40), max_size=8))
def test_growing_in_any_portions_gives_the_tree_of_all_leaves(portions):
    edge, size, seen = [], 0, []
    for portion in portions:
        leaves = [leaf_hash(data) for data in portion]
        edge, root = append_leaves(edge, size, leaves)
        size += len(leaves)
        seen += leaves
        assert root == naive(seen)
        assert len(edge) == size.bit_count()
        assert edge_from(edge_text(edge)) == edge


@given(st.integers(min_value=1, max_value=200))
def test_the_edge_given_is_left_as_it_was(size):
    edge, _ = append_leaves([], 0, [b"x" * 32] * size)
    before = list(edge)
    append_leaves(edge, size, [b"y" * 32])
    assert edge == before


def test_an_edge_that_does_not_fit_the_size_is_refused():
    with pytest.raises(ValueError, match="tree of 2 leaves"):
        append_leaves([b"x" * 32, b"y" * 32], 2, [])


def test_left_and_right_are_not_the_same():
    assert node_hash(b"a", b"b") != node_hash(b"b", b"a")
