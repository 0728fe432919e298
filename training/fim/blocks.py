"""Pieces of syntax without a parser: what stands in brackets, statements, and blocks by their indentation.

AST-FIM (Gong et al. 2025, arXiv 2506.00204) hides whole subtrees of a syntax tree, which takes a grammar for each
language and text that parses. Parts of a long document do not, and there are more languages than grammars; but nearly
all of them show their structure by brackets and indentation. So this scan takes any of them, in one pass of a few
nanoseconds a byte, at the price of being wrong where brackets stand in comments or in strings of several lines.
"""

from typing import Any

import numpy as np

from training.kernels import compiled

_TAB = 8
_DEEPEST = 64
_NEWLINE, _RETURN, _SPACE, _TAB_CODE = 10, 13, 32, 9
_QUOTE, _APOSTROPHE, _BACKSLASH = 34, 39, 92


@compiled
def _is_opening(byte: int) -> Any:
    return byte == 40 or byte == 91 or byte == 123


@compiled
def _is_closing(byte: int) -> Any:
    return byte == 41 or byte == 93 or byte == 125


@compiled
def _pairs(opening: int, closing: int) -> Any:
    return closing - opening == (1 if opening == 40 else 2)


@compiled
def _after_string(text: Any, at: int) -> int:
    """The byte behind a string that begins at `at`, if it ends in its line; else that behind the quote."""
    i = at + 1
    while i < len(text) and text[i] != _NEWLINE:
        if text[i] == _BACKSLASH:
            i += 1
        elif text[i] == text[at]:
            return i + 1
        i += 1
    return at + 1


@compiled
def _bracketed(text: Any, place: Any, found: Any, count: int) -> int:
    """Add what stands in the brackets around a place to `found`, inner ones first; gives how many it has then."""
    stack = np.empty(_DEEPEST, np.int64)
    depth = 0
    i = 0
    while i < len(text):
        byte = text[i]
        if byte == _QUOTE or byte == _APOSTROPHE:
            i = _after_string(text, i)
            continue
        if _is_opening(byte) and depth < _DEEPEST:
            stack[depth] = i
            depth += 1
        elif _is_closing(byte):
            match = depth - 1
            while match >= 0 and not _pairs(text[stack[match]], byte):
                match -= 1
            if match >= 0:  # brackets within that were not closed are none
                depth = match
                begin = stack[match] + 1
                if begin <= place < i and count < len(found):
                    found[count, 0], found[count, 1] = begin, i
                    count += 1
                if depth == 0 and place < i:
                    break
        i += 1
    return count


@compiled
def _measured(text: Any) -> Any:
    """A row for each line: columns of indentation (-1: nothing but white space), its first byte that is none, the end
    of its last one, and where the line begins."""
    count = 1
    for byte in text:
        count += byte == _NEWLINE
    made = np.empty((count, 4), np.int64)
    at = 0
    for row in range(count):
        begin, columns = at, 0
        while at < len(text) and (text[at] == _SPACE or text[at] == _TAB_CODE):
            columns = columns + 1 if text[at] == _SPACE else columns // _TAB * _TAB + _TAB
            at += 1
        first = end = at
        while at < len(text) and text[at] != _NEWLINE:
            if text[at] != _SPACE and text[at] != _TAB_CODE and text[at] != _RETURN:
                end = at + 1
            at += 1
        at += 1
        made[row, 0] = columns if end > first else -1
        made[row, 1], made[row, 2], made[row, 3] = first, end, begin
    return made


@compiled
def _goes_on(text: Any, lines: Any, row: Any, columns: Any) -> Any:
    """Whether a line belongs to the statement above it that is indented by `columns`: it is deeper, or closes it."""
    return lines[row, 0] > columns or (lines[row, 0] == columns and _is_closing(text[lines[row, 1]]))


@compiled
def _stated(text: Any, place: Any, found: Any, count: int) -> int:
    """Add the statements around a place and the blocks of indented lines in them, inner ones first."""
    lines = _measured(text)
    row = np.searchsorted(lines[:, 3], place, side="right") - 1
    while row >= 0 and lines[row, 0] < 0:
        row -= 1
    child = -1
    while row >= 0 and count + 2 <= len(found):
        columns = lines[row, 0]
        while _is_closing(text[lines[row, 1]]):  # `} else {`: the statement began above
            above = row - 1
            while above >= 0 and (lines[above, 0] < 0 or lines[above, 0] > columns):
                above -= 1
            if above < 0 or lines[above, 0] < columns:
                break
            row = above
        if child >= 0:
            found[count, 0] = lines[_farthest(lines, child, -1, columns), 3]
            found[count, 1] = lines[_farthest(lines, child, 1, columns), 2]
            count += 1
        last = below = row
        while below < len(lines) and (below == row or lines[below, 0] < 0 or _goes_on(text, lines, below, columns)):
            if lines[below, 0] >= 0:
                last = below
            below += 1
        found[count, 0], found[count, 1] = lines[row, 1], lines[last, 2]
        count += 1
        child = row
        while row >= 0 and (lines[row, 0] < 0 or lines[row, 0] >= columns):
            row -= 1
    return count


@compiled
def _farthest(lines: Any, row: Any, step: int, columns: Any) -> Any:
    """The last line in a direction before one that is not deeper than `columns`."""
    last = row
    while 0 <= row < len(lines) and (lines[row, 0] < 0 or lines[row, 0] > columns):
        if lines[row, 0] >= 0:
            last = row
        row += step
    return last


@compiled
def block(text: Any, one: Any, other: Any) -> tuple[int, int]:
    """A piece of syntax around a place that the first draw chooses, of those around it the one that the second chooses.

    So larger pieces are drawn more often, by their size over their depth. None (0, 0) if there is none.
    """
    if len(text) == 0:
        return 0, 0
    place = np.int64(one % np.uint64(len(text)))
    found = np.empty((2 * _DEEPEST, 2), np.int64)
    count = _bracketed(text, place, found[:_DEEPEST], 0)
    count = _stated(text, place, found, count)
    if count == 0:
        return 0, 0
    chosen = np.int64(other % np.uint64(count))
    return found[chosen, 0], found[chosen, 1]
