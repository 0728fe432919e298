"""Compiled work on bytes, eight at a time: 64-bit hashes of slices, and where a run of ASCII letters ends.

Hashes are equal on every little-endian machine, which all are that numba compiles for. What is marked as inlined stands
in the innermost loops, where a call costs more than the work.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from filters.compiled import compiled

U8, U16, U32, U64 = np.uint8, np.uint16, np.uint32, np.uint64
I64: Any = np.int64  # typed loosely: compiled code makes no difference between int64 and int
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

SEED = U64(0x9E3779B97F4A7C15)
STEP = U64(0xD6E8FEB86659FD93)
_MIX = U64(0xFF51AFD7ED558CCD)
_HALF, _ALL, _EIGHT = U64(32), U64(0xFFFFFFFFFFFFFFFF), U64(8)

_EACH = U64(0x0101010101010101)
_CASE, _LOW, _HIGH = _EACH * U64(0x20), _EACH * U64(0x7F), _EACH * U64(0x80)
_FROM_A, _PAST_Z = _EACH * U64(0x80 - 0x61), _EACH * U64(0x80 - 0x7B)


F = TypeVar("F", bound=Callable[..., Any])
_compile: Any = njit
_intrinsic: Any = intrinsic


def kernel(function: F) -> F:
    """Compile a loop that only reads and writes arrays it is given, and makes none.

    Numba counts references to arrays wherever a function names them, which in loops over words costs more than the
    work. Here it counts none: the caller holds the arrays.
    """
    compiled: F = _compile(cache=True, nogil=True, _nrt=False)(function)
    return compiled


def inlined(function: F) -> F:
    """Compile a piece of such a loop into it, without a call."""
    compiled: F = _compile(inline="always")(function)
    return compiled


def _load(typing: Any, data: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


def _trailing_zeros(typing: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


load: Callable[[Bytes, int], np.uint64] = _intrinsic(_load)
"""Read eight bytes at any place; the caller sees to it that they are there."""
trailing_zeros: Callable[[np.uint64], int] = _intrinsic(_trailing_zeros)


@inlined
def finish(state: np.uint64) -> np.uint64:
    """Spread every bit over the word; one to one."""
    state = (state ^ (state >> _HALF)) * _MIX
    return state ^ (state >> _HALF)


@inlined
def hash_few(word: np.uint64, size: int) -> np.uint64:
    """Return the hash of the first one to eight of eight bytes."""
    return finish((SEED + U64(size) * STEP) ^ (word & (_ALL >> (U64(64) - _EIGHT * U64(size)))))


@inlined
def leading_letters(word: np.uint64) -> int:
    """Return how many of eight bytes, from the first one on, are ASCII letters."""
    small = (word | _CASE) & _LOW  # no sum of seven bits carries into the next byte
    others = (~((small + _FROM_A) & ~(small + _PAST_Z)) | word) & _HIGH
    return trailing_zeros(others) >> 3  # 64 zeros, hence 8, if there is no other


@kernel
def hash_bytes(data: Bytes, first: int, last: int) -> np.uint64:
    """Return the hash of a slice of bytes. Slices of up to eight bytes and the same length never share one."""
    state = SEED + U64(last - first) * STEP
    while last - first > 8:
        state = finish(state ^ load(data, first))
        first += 8
    if last == first:
        return finish(state)
    if first + 8 <= len(data):
        return finish(state ^ (load(data, first) & (_ALL >> (U64(64) - _EIGHT * U64(last - first)))))
    rest = U64(0)
    for i in range(last - first):
        rest |= U64(data[first + i]) << (_EIGHT * U64(i))
    return finish(state ^ rest)


@inlined
def hash_token(data: Bytes, first: int, last: int) -> np.uint64:
    """Return `hash_bytes`, without a call where the slice is not empty, short, and not at the very end of the data."""
    if last - first <= 8 and first + 8 <= len(data):
        return hash_few(load(data, first), last - first)
    return hash_bytes(data, first, last)


@compiled
def hash_slices(data: Bytes, offsets: Ints) -> Hashes:
    """Return `hash_bytes` of every slice `data[offsets[i]:offsets[i + 1]]`."""
    out = np.empty(len(offsets) - 1, U64)
    for i in range(len(out)):
        out[i] = hash_bytes(data, offsets[i], offsets[i + 1])
    return out


@kernel
def letters_end(data: Bytes, first: int, last: int) -> int:
    """Return the end of the run of ASCII letters that starts at a byte; that byte itself if none does."""
    while first + 8 <= len(data) and first < last:
        letters = leading_letters(load(data, first))
        first += letters
        if letters < 8:
            return min(first, last)
    while first < last and 0x61 <= data[first] | 0x20 <= 0x7A:
        first += 1
    return min(first, last)


def table(hashes: Hashes) -> Hashes:
    """Return an open-addressing table of hashes: a power of two of slots, half of them free at least, 0 where free."""
    slots = np.zeros(16 << int(len(hashes) // 8).bit_length(), U64)
    for value in hashes:
        at = int(value) % len(slots)
        while slots[at]:
            at = (at + 1) % len(slots)
        slots[at] = value
    return slots
