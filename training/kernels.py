"""The compiled arithmetic under the order of training: keyed hashes, permutations, lengths, and the mixture's schedule.

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

BLOCK = 256
"""Documents between two remembered positions of an epoch, which makes them 1/32 byte a document."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_BITS_11, _BITS_27, _BITS_30, _BITS_31, _BITS_32 = (np.uint64(bits) for bits in (11, 27, 30, 31, 32))
_NONE, _ONE = np.uint64(0), np.uint64(1)
_ROUNDS = 10


def compiled(function: Function) -> Function:
    """Compile on first use; kept on disk where there is a folder that can be written to."""
    try:
        return cast(Function, njit(cache=True)(function))
    except RuntimeError:  # numba has no place for its cache: a read-only installation and no home
        return cast(Function, njit(function))


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
def drawn_mode(tokens: Any, document: Any, draw: Any, rate: float, spm: float, least: int) -> Any:
    """The fim.Mode (0 plain, 1 PSM, 2 SPM) of a document with `tokens` text tokens and key `document`."""
    if tokens < least:
        return 0
    hashed = mix(draw, document)
    if np.float64(hashed >> _BITS_11) * 2.0**-53 >= rate:
        return 0
    return 2 if np.float64(scramble(hashed + _GOLDEN) >> _BITS_11) * 2.0**-53 < spm else 1


@compiled
def part_tokens(tokens: Any, span: Any) -> Any:
    """Text tokens of each part (the last has the rest) if `tokens` are divided evenly into parts of at most `span`."""
    parts = (tokens + span - 1) // span
    return (tokens + parts - 1) // parts


@compiled
def laid_out(tokens: Any, mode: Any, span: Any, extra: Any) -> Any:
    """Tokens that a document is laid out on: with its end token, or with `extra` more (end included) a part."""
    if mode == 0:
        return tokens + 1
    return tokens + (tokens + span - 1) // span * extra


@compiled
def block_lengths(
    offsets: Ints, keys: Keys, shuffle: Any, draw: Any, rate: float, spm: float, least: int, span: int, extra: int
) -> Ints:
    """Laid-out tokens of each BLOCK documents of an epoch, in its order."""
    count = len(keys)
    sums = np.zeros((count + BLOCK - 1) // BLOCK, np.int64)
    for i in range(count):
        d = np.int64(permuted(np.uint64(i), np.uint64(count), shuffle))
        tokens = offsets[d + 1] - offsets[d] - 1
        sums[i // BLOCK] += laid_out(tokens, drawn_mode(tokens, keys[d], draw, rate, spm, least), span, extra)
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
    shuffle: Any,
    draw: Any,
    rate: float,
    spm: float,
    least: int,
    span: int,
    extra: int,
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
    i = first
    while i < count and at < end:
        d = np.int64(permuted(np.uint64(i), np.uint64(count), shuffle))
        tokens = offsets[d + 1] - offsets[d] - 1
        mode = drawn_mode(tokens, keys[d], draw, rate, spm, least)
        length = laid_out(tokens, mode, span, extra)
        start, stop = max(begin - at, 0), min(end - at, length)
        part = length if mode == 0 else part_tokens(tokens, span) + extra
        while start < stop:
            number = (base + at + start) // context
            column = base + at + start - number * context
            until = min(stop, (start // part + 1) * part, start + context - column)
            piece = out[written]
            piece[0], piece[1], piece[2], piece[3] = rows[number - sequence], source, d, epoch
            piece[4], piece[5], piece[6], piece[7] = start, until - start, mode, column
            written += 1
            start = until
        at += length
        i += 1
    return written


@compiled
def fill(
    table: Ints,
    source: int,
    begins: Ints,
    ends: Ints,
    tokens: Any,
    no_loss: int,
    inputs: Ints,
    targets: Ints,
    segments: npt.NDArray[np.int32],
    positions: Ints,
) -> None:
    """Write a source's documents that are not rearranged into the arrays of a batch (see `packing.Batch`), each element
    once. `table` is that of `Order.table`; piece i is of a document that has tokens [begins[i], ends[i])."""
    row, segment = -1, 0
    for i in range(len(table)):
        segment = segment + 1 if table[i, 0] == row else 0
        row = table[i, 0]
        if table[i, 1] != source or table[i, 6] != 0:
            continue
        length, column, begin = table[i, 5], table[i, 7], begins[i] + table[i, 4]
        to_inputs, to_targets = inputs[row, column : column + length], targets[row, column : column + length]
        to_segments, to_positions = segments[row, column : column + length], positions[row, column : column + length]
        goes_on = min(length, ends[i] - begin - 1)
        here, behind = tokens[begin : begin + length], tokens[begin + 1 : begin + 1 + goes_on]
        to_segments[:] = segment
        for k in range(len(here)):
            to_inputs[k] = here[k]
        for k in range(len(to_positions)):
            to_positions[k] = k
        for k in range(len(behind)):
            to_targets[k] = behind[k]
        to_targets[goes_on:] = no_loss


@compiled
def place(
    document: int,
    offsets: Ints,
    keys: Keys,
    shuffle: Any,
    draw: Any,
    rate: float,
    spm: float,
    least: int,
    span: int,
    extra: int,
) -> tuple[Any, int, int]:
    """Where an epoch has a document: its block, its position after the block's first, and its laid-out tokens."""
    count = len(keys)
    i = np.int64(unpermuted(np.uint64(document), np.uint64(count), shuffle))
    position = 0
    length = 0
    for j in range(i // BLOCK * BLOCK, i + 1):
        d = np.int64(permuted(np.uint64(j), np.uint64(count), shuffle))
        tokens = offsets[d + 1] - offsets[d] - 1
        position += length
        length = laid_out(tokens, drawn_mode(tokens, keys[d], draw, rate, spm, least), span, extra)
    return i // BLOCK, position, length


@compiled
def integral(slot: float, piece: int, source: int, bounds: Floats, totals: Floats, series: Floats) -> Any:
    """Sequences that a source should have had before `slot`, which lies in `piece`: its share, integrated."""
    size = bounds[piece + 1] - bounds[piece]
    y = 2.0 * (slot - bounds[piece]) / size - 1.0
    value = 0.0
    for k in range(series.shape[2] - 1, -1, -1):
        value = value * y + series[piece, source, k]
    return totals[piece, source] + size * value


@compiled
def due(target: float, since: int, source: int, bounds: Floats, totals: Floats, series: Floats) -> tuple[int, Any]:
    """The piece, not before `since`, and the slot at which a source's integral reaches `target`.

    Infinite if the run ends before. Newton's method, held between ends that are known to be too early and too late; the
    first guess is the answer where the share is constant.
    """
    p = since
    while p < len(bounds) - 1 and totals[p + 1, source] < target:
        p += 1
    if p == len(bounds) - 1:
        return p, np.inf
    size = bounds[p + 1] - bounds[p]
    missing = target - totals[p, source]
    early, late = -1.0, 1.0
    y = min(max(2.0 * missing / (totals[p + 1, source] - totals[p, source]) - 1.0, early), late)
    for _ in range(100):
        value = slope = 0.0
        for k in range(series.shape[2] - 1, -1, -1):
            slope = slope * y + value
            value = value * y + series[p, source, k]
        off = value * size - missing
        if abs(off) < 1e-9:
            break
        if off < 0:
            early = y
        else:
            late = y
        y = y - off / (slope * size) if slope > 0 else 0.5 * (early + late)
        if not early < y < late:
            y = 0.5 * (early + late)
            if not early < y < late:
                break
    return p, bounds[p] + size * 0.5 * (y + 1.0)


@compiled
def schedule(
    begin: int,
    end: int,
    counts: Ints,
    bounds: Floats,
    totals: Floats,
    series: Floats,
    every: int,
    saved: Ints,
    out: npt.NDArray[np.int32],
) -> None:
    """Choose the source of each slot in [begin, end); `counts`, the sequences by source before `begin`, is carried on.

    `bounds` (pieces + 1,) are slots; `totals` (pieces + 1, sources) the integrals there; `series` (pieces, sources,
    powers) the integral within a piece: its size times the sum of series[k] * y^k, with y from -1 to 1.

    Tijdeman's algorithm (1980, "The chairman assignment problem"): of the sources whose integral is far enough ahead of
    their count, the one that must come soonest. With S sources no count is ever further than 1 - 1/(2S - 2) from its
    integral, whatever the shares do; taking the source that is furthest behind has no such bound.
    The choices go to `out` unless it is empty; `counts` at every multiple of `every` to the rows of `saved`, likewise.
    """
    sources = len(counts)
    ahead = 0.5 / (sources - 1) if sources > 1 else 1.0
    deadlines = np.empty(sources)
    pieces = np.zeros(sources, np.int64)
    for s in range(sources):
        pieces[s], deadlines[s] = due(counts[s] + 1 - ahead, 0, s, bounds, totals, series)
    piece = 0
    for slot in range(begin, end):
        if len(saved) and slot % every == 0:
            saved[slot // every] = counts
        while piece < len(bounds) - 2 and slot + 1 > bounds[piece + 1]:
            piece += 1
        chosen, furthest, most = -1, 0, -np.inf
        for s in range(sources):
            behind = integral(slot + 1.0, piece, s, bounds, totals, series) - counts[s]
            if behind > most:
                furthest, most = s, behind
            if behind >= ahead - 1e-9 and (chosen < 0 or deadlines[s] < deadlines[chosen]):
                chosen = s
        if chosen < 0:  # only by rounding
            chosen = furthest
        if len(out):
            out[slot - begin] = chosen
        counts[chosen] += 1
        pieces[chosen], deadlines[chosen] = due(
            counts[chosen] + 1 - ahead, pieces[chosen], chosen, bounds, totals, series
        )
