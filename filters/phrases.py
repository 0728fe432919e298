"""Many words and phrases looked for in one pass over a text: a trie in a hash table, followed from where words begin.

Most places of a text follow the trie for a byte or two. The time is at worst the length of the text times that of the
longest phrase, so it grows linearly with the text.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl
from numba import njit

from filters import characters
from filters.characters import ALPHA, NUMBER, SIZE
from filters.hashing import I64, U64, Bytes, Hashes, Ints, finish, inlined, kernel
from filters.tokens import Kinds, decode
from filters.words import buffers

_UNDERSCORE = 0x5F
_KNOWN = U64(1 << 63)  # in every edge, so that none is 0
_EIGHT = U64(8)


class Phrases(NamedTuple):
    """Phrases as a trie. A node is the place of the edge that leads to it, the root the number of places."""

    edges: Hashes
    """Open-addressing table of edges: the node they leave, and a byte; 0 where free."""
    ends: Bytes
    """1 for each node at which a phrase ends."""
    first: Bytes
    """1 for each of 256 bytes that a phrase begins with."""


def phrases(listed: Iterable[str]) -> Phrases:
    """Return strings, none of them empty, as a trie."""
    data, offsets = buffers(pl.Series(sorted(set(listed)), dtype=pl.String))
    edges = np.zeros(16 << int(len(data) // 8).bit_length(), np.uint64)
    ends, first = np.zeros(len(edges), np.uint8), np.zeros(256, np.uint8)
    _enter(data, offsets, edges, ends, first)
    return Phrases(edges, ends, first)


def places(listed: Phrases, data: Bytes, offsets: Ints, *, whole: bool) -> Ints:
    """Count the places of each text at which a phrase stands.

    Args:
        data, offsets: UTF-8 of all texts; text i is `data[offsets[i]:offsets[i + 1]]`.
        whole: only where the characters around the phrase, if there are any, belong to no word.
    """
    found: Ints = _count(data, offsets, listed.edges, listed.ends, listed.first, characters.table(), whole)
    return found


@inlined
def _child(edges: Hashes, node: int, byte: int) -> int:
    """Return the node that an edge leads to, or where in the table that edge would stand."""
    mask = U64(len(edges) - 1)
    edge = _KNOWN | U64(node) << _EIGHT | U64(byte)
    at = finish(edge) & mask
    while edges[at] != 0 and edges[at] != edge:
        at = (at + U64(1)) & mask
    answer: int = I64(at)
    return answer


@kernel
def _enter(data: Bytes, offsets: Ints, edges: Hashes, ends: Bytes, first: Bytes) -> None:
    for phrase in range(len(offsets) - 1):
        node = len(edges)
        first[data[offsets[phrase]]] = 1
        for i in range(offsets[phrase], offsets[phrase + 1]):
            child = _child(edges, node, data[i])
            edges[child] = _KNOWN | U64(node) << _EIGHT | U64(data[i])
            node = child
        ends[node] = 1


@inlined
def _word(data: Bytes, at: int, table: Kinds) -> bool:
    """Whether a character belongs to words in the sense of Python's `\\w`."""
    point, _ = decode(data, at)
    return point == _UNDERSCORE or (point < SIZE and table[point] & (ALPHA | NUMBER) != 0)


@njit(cache=True, nogil=True)
def _count(data: Bytes, offsets: Ints, edges: Hashes, ends: Bytes, first: Bytes, table: Kinds, whole: bool) -> Ints:
    out = np.zeros(len(offsets) - 1, I64)
    for text in range(len(out)):
        out[text] = _in_text(data, offsets[text], offsets[text + 1], edges, ends, first, table, whole)
    return out


@kernel
def _in_text(
    data: Bytes, at: int, last: int, edges: Hashes, ends: Bytes, first: Bytes, table: Kinds, whole: bool
) -> int:
    found, inside = 0, False
    while at < last:
        byte = data[at]
        if first[byte] and not inside:
            node, i = len(edges), at
            while i < last:
                node = _child(edges, node, data[i])
                if edges[node] == 0:
                    break
                i += 1
                if ends[node] and not (whole and i < last and _word(data, i, table)):
                    found += 1
                    break
        if byte < 0x80:
            inside = whole and (table[byte] & (ALPHA | NUMBER) != 0 or byte == _UNDERSCORE)
            at += 1
        else:
            point, width = decode(data, at)
            inside = whole and point < SIZE and table[point] & (ALPHA | NUMBER) != 0
            at += width
    return found
