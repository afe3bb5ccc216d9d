"""The Merkle tree of RFC 6962 section 2.1, grown at its right edge.

The edge of a tree of n leaves is the list of roots of its complete subtrees, largest first: one for each bit set
in n. It is all that is needed to append and to compute the root, in O(log n) memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY = hashlib.sha256(b"").digest()
"""The root of the tree without leaves."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def append_leaves(edge: Sequence[bytes], size: int, leaves: Iterable[bytes]) -> tuple[list[bytes], bytes]:
    """Appends leaf hashes to the tree of `size` leaves with this edge; returns the new edge and root.

    Raises:
        ValueError: the edge is not that of a tree of this size.
    """
    if size < 0 or len(edge) != size.bit_count():
        raise ValueError(f"a tree of {size} leaves does not have an edge of {len(edge)} hashes")
    grown = list(edge)
    for place, leaf in enumerate(leaves, size):
        grow(grown, place, leaf)
    return grown, root_of(grown)


def grow(edge: list[bytes], size: int, leaf: bytes) -> None:
    """Appends one leaf hash to the tree of `size` leaves, in place."""
    while size & 1:
        leaf = node_hash(edge.pop(), leaf)
        size >>= 1
    edge.append(leaf)


def root_of(edge: Sequence[bytes]) -> bytes:
    """The root of the tree with this edge."""
    if not edge:
        return EMPTY
    *larger, root = edge
    for subtree in reversed(larger):
        root = node_hash(subtree, root)
    return root


def edge_text(edge: Iterable[bytes]) -> str:
    """The edge as it is stored with a seal: hex, separated by blanks."""
    return " ".join(part.hex() for part in edge)


def edge_from(text: str) -> list[bytes]:
    """The edge from its stored text. Raises ValueError where it is not hex."""
    return [bytes.fromhex(part) for part in text.split()]
