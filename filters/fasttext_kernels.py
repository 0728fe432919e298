"""Compiled inference of supervised fastText models, the first half: from a text over rows of the input matrix to their
mean. `fasttext_labels.py` goes on from there.

What a token adds to the mean is kept for the tokens that come again, of which most texts are made. Sums run in one
order whatever the width of the processor's vectors, so that every machine finds the same; since that order is not the
library's, results differ from its by rounding.

The compiler watches the file of a function itself: after editing this one, touch `fasttext_labels.py` and
`excerpts.py`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from filters.hashing import I64, U8, U64, Bytes, Hashes, Ints, hash_token, inlined, kernel, load, trailing_zeros

F32: Any = np.float32
Floats = NDArray[np.float32]
Places = NDArray[np.int32]

I8: Any = np.int8
I32: Any = np.int32
_BASIS, _PRIME, _WORD, _HALF = U64(2166136261), U64(16777619), U64(0xFFFFFFFF), U64(32)
_NEXT_TOKEN = U64(116049371)
_FREE = U64(0xFFFFFFFFFFFFFFFF)
_EACH, _HIGH = U64(0x0101010101010101), U64(0x8080808080808080)
_SIX, _LAST, _ONE = U64(6), U64(63), U64(1)
_LABEL, _END = U64(1 << 31), U64(1 << 30)  # what a token can be instead of a number of rows
CUT_OFF, REPEATED = -1, -2
GATHER = 1024
"""How many rows are gathered before they are added, or more."""


class Parts(NamedTuple):
    """What the kernels need of a model. What grows with its size stays where it is, in the bytes of the file."""

    file: Bytes
    dim: int
    word_ngrams: int
    bucket: int
    """How many numbers n-grams can have."""
    reciprocal: int
    """2 to the power 31 + `bucket_bits`, divided by the bucket."""
    bucket_bits: int
    minn: int
    maxn: int
    loss: int
    """One of those of `fasttext_labels`."""
    words: int
    """How many entries of the dictionary are words; labels come after them."""
    end: int
    """The entry that stands for the end of a text, -1 if there is none."""
    names: Ints
    """Byte at which the name of each entry starts."""
    slots: Hashes
    """Open-addressing table of entries by the hash of their names: hash and entry, 32 bits each."""
    pruned: int
    """How many n-grams have rows of their own; -1 if all have."""
    kept: Hashes
    """Open-addressing table of the n-grams that have a row: number of the n-gram, then of the row, 32 bits each."""
    perhaps: Hashes
    """A bit for each of the lower bits that a number can have: 0 where no such n-gram has a row, as most have none."""
    rows: int
    """Byte at which the input matrix starts: 32-bit floats, or the codes of a quantised one."""
    centroids: Floats
    """Empty, or what the codes mean: 256 centroids for each part of a row, the last part maybe narrower."""
    width: int
    """How many dimensions a code stands for; 0 if there are none."""
    norms: int
    """Byte at which the codes of the rows' norms start; 0 if they have none."""
    norm_centroids: Floats
    output: Floats
    """Shape [dim, outputs]: the output matrix, transposed. Outputs are labels, or inner nodes of the tree of labels."""
    left: Places
    right: Places
    """Children of the inner nodes of that tree. Nodes are numbered labels first, then inner nodes, the root last."""
    sigmoids: Floats
    """The sigmoid at 513 places from -8 to 8."""


class Memo(NamedTuple):
    """What tokens add, by the low bits of their hashes; one that comes takes the place of another."""

    keys: Hashes
    """Shape [slots, 2]: the hash of the token, 0 where free; its number of rows, and in the upper half its FNV hash."""
    sums: Floats
    """Shape [slots, dim]: the sums of these rows."""


def _load_float(typing: Any, data: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.FloatType().as_pointer()), align=1)

    return types.float32(data, types.int64), generate


_intrinsic: Any = intrinsic
load_float: Callable[[Bytes, int], np.float32] = _intrinsic(_load_float)
"""Read four bytes at any place as a float; the caller sees to it that they are there."""


@inlined
def _step(value: np.uint64, byte: np.uint8) -> np.uint64:
    """Go on with FNV-1a for one byte, signed as in fastText. Only the lower 32 bits of a value mean something."""
    return (value ^ U64(I8(byte))) * _PRIME


@inlined
def _is_end(data: Bytes, first: int, last: int) -> bool:
    """Return whether a slice is `</s>`, the token that stands for the end of a text."""
    if last - first != 4 or data[first] != 0x3C or data[first + 1] != 0x2F:
        return False
    return bool(data[first + 2] == 0x73 and data[first + 3] == 0x3E)


@kernel
def _same(file: Bytes, one: int, two: int) -> bool:
    """Return whether the names at two places, which end with a zero, are the same."""
    while file[one] == file[two] and file[one]:
        one += 1
        two += 1
    return bool(file[one] == file[two])


@njit(cache=True, nogil=True)
def index(file: Bytes, start: int, size: int, slots: Hashes) -> tuple[Ints, Ints, Bytes, int, int]:
    """Find the entries of a dictionary and enter them into a table of more slots, a power of two.

    Returns:
        where the names start, counts and types of all entries; the entry for the end of a text, -1 if there is none;
        the byte after the last entry; `CUT_OFF` if the file ends before, `REPEATED` if there is a name twice.
    """
    end = -1
    slots[:] = _FREE
    names = np.empty(size, I64)
    counts = np.empty(size, I64)
    kinds = np.empty(size, U8)
    mask = U64(len(slots) - 1)
    at = start
    for entry in range(size):
        names[entry] = at
        value = _BASIS
        while at < len(file) and file[at]:
            value = _step(value, file[at])
            at += 1
        if at + 10 > len(file):
            return names, counts, kinds, end, CUT_OFF
        if _is_end(file, names[entry], at):
            end = entry
        count = U64(0)
        for i in range(8):
            count |= U64(file[at + 1 + i]) << U64(8 * i)
        counts[entry] = I64(count)
        kinds[entry] = file[at + 9]
        slot = value & mask
        while slots[slot] != _FREE:
            if slots[slot] >> _HALF == value & _WORD and _same(file, names[I64(slots[slot] & _WORD)], names[entry]):
                return names, counts, kinds, end, REPEATED
            slot = (slot + _ONE) & mask
        slots[slot] = value << _HALF | U64(entry)
        at += 10
    return names, counts, kinds, end, at


@njit(cache=True, nogil=True)
def index_ngrams(pairs: Places, slots: Hashes, perhaps: Hashes) -> None:
    """Enter n-grams and their rows, `[n-grams, 2]`, into a table of more slots, a power of two, and mark their bits."""
    slots[:] = _FREE
    mask = U64(len(slots) - 1)
    for i in range(len(pairs)):
        slot = (U64(pairs[i, 0]) * _PRIME) & mask
        while slots[slot] != _FREE:
            slot = (slot + _ONE) & mask
        slots[slot] = U64(pairs[i, 0]) << _HALF | U64(pairs[i, 1])
        perhaps[U64(pairs[i, 0]) >> _SIX & U64(len(perhaps) - 1)] |= _ONE << (U64(pairs[i, 0]) & _LAST)


@inlined
def _remainder(parts: Parts, value: np.uint64) -> np.uint64:
    """Return the remainder of a 32-bit number by the bucket; the quotient is right or one too small."""
    value &= _WORD
    rest = value - (value * U64(parts.reciprocal) >> U64(31 + parts.bucket_bits)) * U64(parts.bucket)
    return rest - U64(parts.bucket) if rest >= U64(parts.bucket) else rest


@inlined
def _row(parts: Parts, number: np.uint64) -> int:
    """Return the row of an n-gram, -1 if it has none."""
    if parts.pruned < 0:
        return parts.words + int(number)
    if not parts.perhaps[number >> _SIX & U64(len(parts.perhaps) - 1)] >> (number & _LAST) & _ONE:
        return -1
    mask = U64(len(parts.kept) - 1)
    slot = (number * _PRIME) & mask
    found = parts.kept[slot]
    while found >> _HALF != number and found != _FREE:
        slot = (slot + _ONE) & mask
        found = parts.kept[slot]
    return -1 if found == _FREE else parts.words + int(found & _WORD)


@kernel
def _add(parts: Parts, rows: Ints, count: int, total: Floats) -> None:
    """Add rows of the input matrix, in their order. A literal count would get a function compiled for itself."""
    dim, width = parts.dim, parts.width
    if width == 0:
        for i in range(count):
            at = parts.rows + 4 * dim * rows[i]
            for d in range(dim):
                total[d] += load_float(parts.file, at + 4 * d)
        return
    codes = (dim + width - 1) // width
    for i in range(count):
        norm = F32(1)
        if parts.norms:
            norm = parts.norm_centroids[parts.file[parts.norms + rows[i]]]
        at = parts.rows + codes * rows[i]
        if 2 * codes == dim:
            for code in range(codes):
                centroid = 512 * code + 2 * I64(parts.file[at + code])
                one, two = parts.centroids[centroid], parts.centroids[centroid + 1]
                total[2 * code] += norm * one
                total[2 * code + 1] += norm * two
        else:
            for code in range(codes):
                base = code * width
                size = min(width, dim - base)
                centroid = 256 * base + size * I64(parts.file[at + code])
                for d in range(size):
                    total[base + d] += norm * parts.centroids[centroid + d]


@kernel
def _entry(parts: Parts, marked: Bytes, size: int, value: np.uint64) -> int:
    """Return the entry of the dictionary that a token is, whose hash is `value`; -1 if there is none."""
    mask = U64(len(parts.slots) - 1)
    slot = value & mask
    while parts.slots[slot] != _FREE:
        if parts.slots[slot] >> _HALF == value & _WORD:
            entry = int(parts.slots[slot] & _WORD)
            at = parts.names[entry]
            i = 1
            while i < size - 1 and parts.file[at] == marked[i]:
                at += 1
                i += 1
            if i == size - 1 and parts.file[at] == 0:
                return entry
        slot = (slot + _ONE) & mask
    return -1


@kernel
def _is_label(marked: Bytes, size: int) -> bool:
    """Return whether a token begins like a label."""
    prefix = b"__label__"
    if size < len(prefix) + 2:
        return False
    for i in range(len(prefix)):
        if marked[1 + i] != prefix[i]:
            return False
    return True


@kernel
def _add_token(parts: Parts, marked: Bytes, size: int, value: np.uint64, rows: Ints, total: Floats) -> np.uint64:
    """Add the rows of a token, which stands in `marked` between `<` and `>`, and of its n-grams.

    Returns:
        how many rows that is; `_LABEL` or `_END` if it is no word.
    """
    if _is_end(marked, 1, size - 1):
        return _END
    entry = _entry(parts, marked, size, value)
    if entry >= parts.words or (entry < 0 and _is_label(marked, size)):
        return _LABEL
    used = added = I64(0)
    if entry >= 0:
        rows[0] = entry
        used = 1
    stop = U64(size if parts.maxn > 0 else 0)
    most = min(parts.maxn, size)
    start = U64(0)
    while True:
        while start < stop and used + most <= len(rows):
            first = start
            start += _ONE
            if marked[first] & U8(0xC0) == 0x80:
                continue
            value = _BASIS
            at = first
            n = 0
            while n < most and at < stop:
                value = _step(value, marked[at])
                at += _ONE
                while at < stop and marked[at] & U8(0xC0) == 0x80:
                    value = _step(value, marked[at])
                    at += _ONE
                n += 1
                if n >= parts.minn and not (n == 1 and (first == 0 or at == stop)):
                    row = _row(parts, _remainder(parts, value))
                    if row >= 0:
                        rows[used] = row
                        used += 1
        _add(parts, rows, used, total)
        added += used
        used = 0
        if start == stop:
            return U64(added)


@kernel
def _add_word_ngrams(parts: Parts, value: np.uint64, tokens: int, recent: Hashes, rows: Ints, total: Floats) -> int:
    """Add the rows of the word n-grams that end with the last of `tokens`; return how many rows that is.

    `recent[n]` is the hash of the n + 1 tokens that end with the one before, and then of those that end with this one.
    """
    value = U64(I64(I32(value)))  # fastText keeps hashes of tokens as signed numbers
    used: int = I64(0)
    for n in range(min(parts.word_ngrams, tokens) - 1, 0, -1):
        recent[n] = recent[n - 1] * _NEXT_TOKEN + value
        row = _row(parts, recent[n] % U64(parts.bucket))
        if row >= 0:
            rows[used] = row
            used += 1
    recent[0] = value
    _add(parts, rows, used, total)
    return used


@inlined
def space(byte: np.uint8) -> bool:
    """Return whether a byte parts tokens: white space of ASCII, or zero."""
    return bool(byte <= 0x20 and (byte == 0x20 or byte == 0 or 0x09 <= byte <= 0x0D))


@kernel
def _token_end(data: Bytes, at: int, stop: int) -> int:
    """Return the end of the token that a byte belongs to."""
    while at + 8 <= len(data) and at < stop:
        word = load(data, at)
        low = (word - _EACH * U64(0x21)) & ~word & _HIGH  # marks the first byte below 0x21, and perhaps some after it
        at += trailing_zeros(low) >> 3
        if low and (at >= stop or space(data[at])):
            return min(at, stop)
        at += I64(low != 0)
    while at < stop and not space(data[at]):
        at += 1
    return min(at, stop)


@kernel
def mean(
    parts: Parts,
    memo: Memo,
    data: Bytes,
    spans: Ints,
    first: int,
    last: int,
    marked: Bytes,
    rows: Ints,
    recent: Hashes,
    total: Floats,
) -> int:
    """Work out the mean of the rows of one text, which is `spans[first:last]`; return how many rows that is.

    A text without a word has none; in others the end of the text counts too.
    """
    mask = U64(len(memo.keys) - 1)
    total[:] = F32(0)
    count = tokens = 0
    ended = False
    for span in range(first, last):
        at, stop = spans[span, 0], spans[span, 1]
        while at < stop and not ended:
            if space(data[at]):
                at += 1
                continue
            begin = at
            at = _token_end(data, at, stop)
            key = hash_token(data, begin, at)
            slot = key & mask
            if memo.keys[slot, 0] != key:
                value = _BASIS
                marked[0] = 0x3C
                for i in range(begin, at):
                    marked[i - begin + 1] = data[i]
                    value = _step(value, data[i])
                marked[at - begin + 1] = 0x3E
                sums = memo.sums[slot]
                sums[:] = F32(0)
                memo.keys[slot, 0] = key
                memo.keys[slot, 1] = value << _HALF | _add_token(parts, marked, at - begin + 2, value, rows, sums)
            added = memo.keys[slot, 1] & _WORD
            if added >= _END:
                ended = added == _END
                continue
            for d in range(parts.dim):
                total[d] += memo.sums[slot, d]
            count += I64(added)
            tokens += 1
            if parts.word_ngrams > 1:
                count += _add_word_ngrams(parts, memo.keys[slot, 1] >> _HALF, tokens, recent, rows, total)
    if tokens == 0:
        return 0
    if parts.end >= 0:
        rows[0] = parts.end
        _add(parts, rows, I64(1), total)
        count += 1
    if parts.word_ngrams > 1:
        value = _BASIS
        for byte in b"</s>":
            value = _step(value, U8(byte))
        count += _add_word_ngrams(parts, value, tokens + 1, recent, rows, total)
    share = F32(1.0 / max(count, 1))
    for d in range(parts.dim):
        total[d] *= share
    return count
