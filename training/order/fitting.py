"""The compiled packing of a block of documents: texts divided into items, items fitted into sequences.

Best fit decreasing: the longest item first, each into the fullest sequence that still has room. Items are sorted by
counting, and sequences with equal room are a stack; which rooms there are is a set of bits under a tree of words, so
that the least that suffices is found in a few steps however long sequences are.
"""

from typing import Any

import numpy as np

from training.kernels import Ints, Keys, compiled

DOCUMENT, EPOCH, START, LENGTH, MODE, TEXT = range(6)
"""Columns of texts and of items: where in the document's layout it begins, and with which token of its text. Of an item
of a rearranged text, the latter is where that text begins."""

_PLACES = np.zeros(67, np.int64)
_PLACES[[pow(2, i, 67) for i in range(64)]] = np.arange(64)  # powers of two differ in their rest when divided by 67
_WORD, _REST = 6, 63
_ONE = np.uint64(1)


@compiled
def divided(texts: Ints, context: int, least: int) -> Ints:
    """Items of at most `context` tokens. What is shorter is cut into halves, quarters ... of a sequence as long as they
    have `least` tokens, and what is left is shorter than two of these; `least` = `context` cuts nothing that fits."""
    count = 0
    for t in range(len(texts)):
        left = texts[t, LENGTH]
        while left > 0:
            left -= _taken(left, texts[t, MODE], context, least)
            count += 1
    items = np.empty((count, 6), np.int64)
    n = 0
    for t in range(len(texts)):
        text, done = texts[t], 0
        while done < text[LENGTH]:
            take = _taken(text[LENGTH] - done, text[MODE], context, least)
            item = items[n]
            item[DOCUMENT], item[EPOCH], item[START], item[LENGTH] = text[DOCUMENT], text[EPOCH], text[START], take
            item[MODE], item[TEXT] = text[MODE], text[TEXT]
            item[START] += done
            if text[MODE] == 0:
                item[TEXT] += done
            done += take
            n += 1
    return items


@compiled
def _taken(left: Any, mode: Any, context: int, least: int) -> Any:
    if left >= context:
        return context
    if mode != 0 or left < 2 * least:
        return left
    size = context
    while size > left:
        size //= 2
    return size


@compiled
def fitted(items: Ints, context: int) -> tuple[Ints, int]:
    """The sequence of each item, and how many there are; they are numbered by the first item in each."""
    n = len(items)
    begins = np.zeros(context + 2, np.int64)
    for i in range(n):
        begins[context - items[i, LENGTH] + 1] += 1
    for size in range(context + 1):
        begins[size + 1] += begins[size]
    longest = np.empty(n, np.int64)
    for i in range(n):
        size = context - items[i, LENGTH]
        longest[begins[size]] = i
        begins[size] += 1

    depth, words = 0, context + 1
    bases = np.zeros(12, np.int64)
    while True:
        words = (words >> _WORD) + 1
        depth += 1
        bases[depth] = bases[depth - 1] + words
        if words == 1:
            break
    bits = np.zeros(bases[depth], np.uint64)
    bases = bases[:depth]
    top = np.full(context + 1, -1, np.int64)  # of the sequences with as much room
    below = np.empty(n, np.int64)
    filled = np.empty(n, np.int64)
    opened = 0
    for k in range(n):
        i = longest[k]
        length = items[i, LENGTH]
        room = _least(bits, bases, length)
        if room < 0:
            sequence, room = opened, context
            opened += 1
        else:
            sequence = top[room]
            top[room] = below[sequence]
            if top[room] < 0:
                _clear(bits, bases, room)
        filled[i] = sequence
        room -= length
        if room > 0:
            if top[room] < 0:
                _mark(bits, bases, room)
            below[sequence] = top[room]
            top[room] = sequence

    numbers = np.full(opened, -1, np.int64)
    count = 0
    for i in range(n):
        if numbers[filled[i]] < 0:
            numbers[filled[i]] = count
            count += 1
        filled[i] = numbers[filled[i]]
    return filled, count


@compiled
def _mark(bits: Keys, bases: Ints, value: Any) -> None:
    """Add a value to the set; a bit of a word says whether the word that it stands for has any."""
    for level in range(len(bases)):
        word = bases[level] + (value >> _WORD)
        before = bits[word]
        bits[word] = before | (_ONE << np.uint64(value & _REST))
        if before:
            break
        value = value >> _WORD


@compiled
def _clear(bits: Keys, bases: Ints, value: Any) -> None:
    """Take a value out of the set."""
    for level in range(len(bases)):
        word = bases[level] + (value >> _WORD)
        bits[word] &= ~(_ONE << np.uint64(value & _REST))
        if bits[word]:
            break
        value = value >> _WORD


@compiled
def _least(bits: Keys, bases: Ints, value: Any) -> Any:
    """The least member of the set that is no less than a value; -1 if there is none."""
    for level in range(len(bases)):
        rest = bits[bases[level] + (value >> _WORD)] >> np.uint64(value & _REST)
        if rest:
            value += _lowest(rest)
            while level > 0:
                level -= 1
                value = (value << _WORD) + _lowest(bits[bases[level] + value])
            return value
        value = (value >> _WORD) + 1
    return -1


@compiled
def _lowest(bits: Any) -> Any:
    return _PLACES[(bits & (~bits + _ONE)) % np.uint64(67)]


@compiled
def arranged(items: Ints, sequences: Ints, count: int, places: Ints) -> tuple[Ints, Ints]:
    """Items in the order of their sequences, where number s stands at `places[s]`, and where each begins in them."""
    begins = np.zeros(count + 1, np.int64)
    for i in range(len(items)):
        begins[places[sequences[i]] + 1] += 1
    for row in range(count):
        begins[row + 1] += begins[row]
    at = begins[:-1].copy()
    made = np.empty_like(items)
    for i in range(len(items)):
        row = places[sequences[i]]
        made[at[row]] = items[i]
        at[row] += 1
    return made, begins


@compiled
def left_over(items: Ints, sequences: Ints, places: Ints, first: int) -> Ints:
    """The texts of the items in sequences from place `first` on; neighbours of one text are put together again."""
    out = np.empty_like(items)
    n = 0
    for i in range(len(items)):
        item = items[i]
        if places[sequences[i]] < first:
            continue
        if n:
            last = out[n - 1]
            same = last[DOCUMENT] == item[DOCUMENT] and last[EPOCH] == item[EPOCH] and last[MODE] == item[MODE]
            text = last[TEXT] + (last[LENGTH] if item[MODE] == 0 else 0)
            if same and last[START] + last[LENGTH] == item[START] and text == item[TEXT]:
                last[LENGTH] += item[LENGTH]
                continue
        out[n] = item
        n += 1
    return out[:n].copy()


@compiled
def write(items: Ints, begins: Ints, first: int, rows: Ints, source: int, out: Ints, written: int) -> int:
    """Write sequences from number `first` on, one for each of `rows`, as a table with the columns of `order.Table`."""
    for r in range(len(rows)):
        column = 0
        for i in range(begins[first + r], begins[first + r + 1]):
            item, piece = items[i], out[written]
            piece[0], piece[1], piece[2], piece[3] = rows[r], source, item[DOCUMENT], item[EPOCH]
            piece[4], piece[5], piece[6], piece[7], piece[8] = item[START], item[LENGTH], item[MODE], column, item[TEXT]
            column += item[LENGTH]
            written += 1
    return written
