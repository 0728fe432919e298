"""The compiled arithmetic under the order of training: keyed hashes, permutations and lengths.

All of it stands in one file because the compiler's cache of a function is renewed when the function's own file changes,
and not when a file changes that it calls into.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]

Draws = tuple[np.uint64, np.uint64, float, float, int, int, int, bool]
"""How an epoch is drawn: keys of the permutation (0 leaves documents as they lie) and of the modes; the rate of the
rearranged, the share of SPM, the fewest tokens; `span` and `extra` of parts (see `training.fim`), and whether each part
draws for itself."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_BITS_11, _BITS_27, _BITS_30, _BITS_31, _BITS_32 = (np.uint64(bits) for bits in (11, 27, 30, 31, 32))
_NONE, _ONE = np.uint64(0), np.uint64(1)
_ROUNDS = 10


def compiled(function: Function) -> Function:
    """Compile on first use; kept on disk where there is a folder that can be written to.

    Other threads go on while it runs, also while it waits for a disk that mapped memory comes from.
    """
    try:
        return cast(Function, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba has no place for its cache: a read-only installation and no home
        return cast(Function, njit(nogil=True)(function))


@compiled
def scramble(word: Any) -> Any:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): a bijection of 64 bits in which every bit depends on all."""
    word = (word ^ (word >> _BITS_30)) * _FIRST
    word = (word ^ (word >> _BITS_27)) * _SECOND
    return word ^ (word >> _BITS_31)


@compiled
def mix(key: Any, word: Any) -> Any:
    """Hash of a uint64 key and one more uint64 word, as a uint64; chain it for more words."""
    return scramble((key ^ scramble(word + _GOLDEN)) + _GOLDEN)


@compiled
def _below(key: Any, turn: Any, half: Any, size: Any) -> Any:
    """A round's function: hash of one half, in range(size) by multiplication (Lemire 2019) instead of division."""
    return ((scramble((key + np.uint64(turn) * _GOLDEN) ^ half) >> _BITS_32) * size) >> _BITS_32


@compiled
def permuted(index: Any, count: Any, key: Any) -> Any:
    """Where a keyed permutation of range(count) sends `index`; no table, all arguments uint64. Key 0 moves nothing.

    A Feistel network over Z_a x Z_b with a * b just above `count`, walked on while it lands outside (Black and Rogaway
    2002, "Ciphers with arbitrary finite domains").
    """
    if key == _NONE:
        return index
    wide = np.uint64(np.ceil(np.sqrt(np.float64(count))))
    high = (count + wide - _ONE) // wide
    while True:
        left, right = index // high, index % high
        for turn in range(_ROUNDS):
            if turn % 2 == 0:
                left += _below(key, turn, right, wide)
                left -= wide if left >= wide else _NONE
            else:
                right += _below(key, turn, left, high)
                right -= high if right >= high else _NONE
        index = left * high + right
        if index < count:
            return index


@compiled
def unpermuted(index: Any, count: Any, key: Any) -> Any:
    """The inverse of `permuted`."""
    if key == _NONE:
        return index
    wide = np.uint64(np.ceil(np.sqrt(np.float64(count))))
    high = (count + wide - _ONE) // wide
    while True:
        left, right = index // high, index % high
        for back in range(_ROUNDS):
            turn = _ROUNDS - 1 - back
            if turn % 2 == 0:
                left += wide - _below(key, turn, right, wide)
                left -= wide if left >= wide else _NONE
            else:
                right += high - _below(key, turn, left, high)
                right -= high if right >= high else _NONE
        index = left * high + right
        if index < count:
            return index


@compiled
def drawn_mode(tokens: Any, key: Any, draw: Any, rate: float, spm: float, least: int) -> Any:
    """The fim.Mode (0 plain, 1 PSM, 2 SPM) of a text with `tokens` tokens and this key."""
    if tokens < least:
        return 0
    hashed = mix(draw, key)
    if np.float64(hashed >> _BITS_11) * 2.0**-53 >= rate:
        return 0
    return 2 if np.float64(scramble(hashed + _GOLDEN) >> _BITS_11) * 2.0**-53 < spm else 1


@compiled
def part_count(tokens: Any, span: Any) -> Any:
    """Parts of at most `span` tokens that a text is divided into."""
    return 1 if tokens <= span else (tokens + span - 1) // span


@compiled
def part_begin(part: Any, tokens: Any, parts: Any) -> Any:
    """The token with which a part begins if a text is divided as evenly as can be; `part` may be the one behind all."""
    return part * tokens if parts == 1 else part * tokens // parts


@compiled
def _mode(d: Any, tokens: Any, keys: Keys, draws: Draws) -> Any:
    """The mode of a whole document."""
    _, draw, rate, spm, least, _, _, _ = draws
    return 0 if rate == 0.0 else drawn_mode(tokens, keys[d], draw, rate, spm, least)


@compiled
def _laid_out(tokens: Any, mode: Any, draws: Draws) -> Any:
    """Tokens that a document is laid out on: with its end token, or with `extra` more (end included) a part."""
    return tokens + (1 if mode == 0 else part_count(tokens, draws[5]) * draws[6])


@compiled
def block_lengths(first: int, stop: int, block: int, offsets: Ints, keys: Keys, draws: Draws) -> Ints:
    """Laid-out tokens of blocks `first` to `stop` of an epoch, which have `block` documents each, in its order."""
    count = len(keys)
    sums = np.zeros(stop - first, np.int64)
    for i in range(first * block, min(stop * block, count)):
        d = np.int64(permuted(np.uint64(i), np.uint64(count), draws[0]))
        tokens = offsets[d + 1] - offsets[d] - 1
        sums[i // block - first] += _laid_out(tokens, _mode(d, tokens, keys, draws), draws)
    return sums


@compiled
def walk(
    begin: int,
    end: int,
    base: int,
    context: int,
    first: int,
    at: int,
    offsets: Ints,
    keys: Keys,
    draws: Draws,
    source: int,
    epoch: int,
    sequence: int,
    rows: Ints,
    out: Ints,
    written: int,
) -> int:
    """Write what fills positions [begin, end) of an epoch to `out` from row `written` on; gives the number after that.

    The columns of `out` are those of `order.Table`. Sequences of `context` tokens are cut from the stream, in which the
    epoch begins at `base`; number `sequence` + i stands in row `rows[i]` of the step. The walk starts at place `first`
    of the epoch's order, whose document lies at position `at` <= begin. A rearranged document is also cut where its
    parts meet, because each is a text of its own.
    """
    count = len(keys)
    span, extra = draws[5], draws[6]
    i = first
    while i < count and at < end:
        d = np.int64(permuted(np.uint64(i), np.uint64(count), draws[0]))
        tokens = offsets[d + 1] - offsets[d] - 1
        mode = _mode(d, tokens, keys, draws)
        length = _laid_out(tokens, mode, draws)
        parts = part_count(tokens, span)
        start, stop = max(begin - at, 0), min(end - at, length)
        while start < stop:
            number = (base + at + start) // context
            column = base + at + start - number * context
            until = min(stop, start + context - column)
            if mode != 0:
                behind = ((start + 1) * parts - 1) // length + 1
                until = min(until, part_begin(behind, tokens, parts) + behind * extra)
            piece = out[written]
            piece[0], piece[1], piece[2], piece[3] = rows[number - sequence], source, d, epoch
            piece[4], piece[5], piece[6], piece[7], piece[8] = start, until - start, mode, column, start
            written += 1
            start = until
        at += length
        i += 1
    return written


@compiled
def place(document: int, block: int, offsets: Ints, keys: Keys, draws: Draws) -> tuple[Any, int, int]:
    """Where an epoch has a document: its block, its position after the block's first, and its laid-out tokens."""
    count = len(keys)
    i = np.int64(unpermuted(np.uint64(document), np.uint64(count), draws[0]))
    position = 0
    length = 0
    for j in range(i // block * block, i + 1):
        d = np.int64(permuted(np.uint64(j), np.uint64(count), draws[0]))
        tokens = offsets[d + 1] - offsets[d] - 1
        position += length
        length = _laid_out(tokens, _mode(d, tokens, keys, draws), draws)
    return i // block, position, length


@compiled
def permutation(count: int, key: Any) -> Ints:
    """Where a keyed permutation sends each of range(count)."""
    made = np.empty(count, np.int64)
    for i in range(count):
        made[i] = permuted(np.uint64(i), np.uint64(count), key)
    return made


@compiled
def _part_mode(part: Any, size: Any, tokens: Any, key: Any, draws: Draws) -> Any:
    """The mode of a part that has `size` of a document's `tokens`."""
    _, draw, rate, spm, least, _, _, apart = draws
    if rate == 0.0:
        return 0
    if not apart:
        return drawn_mode(tokens, key, draw, rate, spm, least)
    return drawn_mode(size, mix(key, np.uint64(part)), draw, rate, spm, least)


@compiled
def part_at(position: int, tokens: int, key: Any, draws: Draws) -> tuple[int, Any, Any]:
    """The part of a document that has a position of its layout: its number, its text's first token, and its place."""
    parts = part_count(tokens, draws[5])
    at = 0
    for part in range(parts):
        first, behind = part_begin(part, tokens, parts), part_begin(part + 1, tokens, parts)
        rearranged = _part_mode(part, behind - first, tokens, key, draws) != 0
        length = behind - first + (draws[6] if rearranged else part + 1 == parts)
        if position < at + length or part + 1 == parts:
            break
        at += length
    return part, first, at


@compiled
def texts(first: int, stop: int, epoch: int, offsets: Ints, keys: Keys, draws: Draws) -> Ints:
    """What documents `first` to `stop` of an epoch are read as: rows with columns as in `order.fitting`. A text is
    a document, parts of one that stand side by side as they are, or one that is rearranged."""
    count = np.uint64(len(keys))
    out = np.empty((stop - first, 6), np.int64)
    n = 0
    for i in range(first, stop):
        d = np.int64(permuted(np.uint64(i), count, draws[0]))
        tokens = offsets[d + 1] - offsets[d] - 1
        if n == len(out):
            out = _doubled(out)
        if draws[2] == 0.0:
            text = out[n]
            text[0], text[1], text[2], text[3], text[4], text[5] = d, epoch, 0, tokens + 1, 0, 0
            n += 1
            continue
        parts = part_count(tokens, draws[5])
        start, before = 0, -1
        for part in range(parts):
            begin, behind = part_begin(part, tokens, parts), part_begin(part + 1, tokens, parts)
            mode = _part_mode(part, behind - begin, tokens, keys[d], draws)
            length = behind - begin + (draws[6] if mode != 0 else part + 1 == parts)
            if mode == 0 and before == 0:
                out[n - 1, 3] += length
            else:
                if n == len(out):
                    out = _doubled(out)
                text = out[n]
                text[0], text[1], text[2], text[3], text[4], text[5] = d, epoch, start, length, mode, begin
                n += 1
            start += length
            before = mode
    return out[:n]


@compiled
def _doubled(rows: Ints) -> Ints:
    wider = np.empty((2 * len(rows) + 1, rows.shape[1]), np.int64)
    wider[: len(rows)] = rows
    return wider
