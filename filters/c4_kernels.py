"""The compiled loop that takes lines out of documents by the rules of C4: one look at every byte of a page."""

import numpy as np
from numba import njit

from filters.characters import BREAK, SIZE, SPACE
from filters.hashing import I64, U8, Bytes, Ints, inlined, kernel
from filters.kernels import strip
from filters.tokens import Kinds, decode

REMOVED = ("long_word", "no_end_mark", "few_words", "javascript", "policy")
_LONG_WORD, _NO_END_MARK, _FEW_WORDS, _JAVASCRIPT, _POLICY, _CITATIONS = range(6)

_NEWLINE, _RETURN, _OPEN, _CLOSE, _BRACE = 0x0A, 0x0D, 0x5B, 0x5D, 0x7B
_DOT, _KELVIN = 0x2E, 0x212A  # the Kelvin sign is a small k in small letters
_MAY_BREAK, _IS_OPEN, _IS_LETTER = 1, 2, 3
_JAVASCRIPT_SAID, _POLICY_SAID = 1, 2


def _phrase(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


_EDIT, _NEEDED, _LOREM_IPSUM = _phrase("edit"), _phrase("citation needed"), _phrase("lorem ipsum")
_SCRIPT, _PRIVACY, _TERMS = _phrase("javascript"), _phrase("privacy policy"), _phrase("terms of use")
# "cookie policy", and "cookies" behind a verb
_COO, _IE_POLICY, _IES, _SIGN = _phrase("coo"), _phrase("ie policy"), _phrase("ies"), _phrase(chr(_KELVIN))
_USE, _USES, _USE_OF = _phrase("use "), _phrase("uses "), _phrase("use of ")


@njit(cache=True, nogil=True)
def clean(
    data: Bytes, offsets: Ints, table: Kinds, zeros: Ints, end_marks: bool, min_words: int, max_word_length: int
) -> tuple[Bytes, Ints, Ints]:
    """Remove lines and citation marks.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.
        table: flags by code point, `characters.table()`.
        zeros: the digit 0 of every script, `characters.zeros()`.
        end_marks: whether a line must end with a mark that ends a sentence.
        min_words, max_word_length: bounds of a line's words, in white space; the length in characters.

    Returns:
        the documents without those lines, as data and offsets, and counts `[documents, 6]`: lines removed, by reason
        as in `REMOVED`, and citation marks removed.
    """
    documents = len(offsets) - 1
    out = np.empty(offsets[documents] - offsets[0], U8)
    bounds = np.zeros(documents + 1, I64)
    counts = np.zeros((documents, 6), I64)
    classes = np.zeros(256, U8)
    for byte in (0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0xC2, 0xE2):
        classes[byte] = _MAY_BREAK
    classes[_OPEN] = _IS_OPEN
    for byte in b"fFjJkKvV":
        classes[byte] = _IS_LETTER
    used = 0
    for document in range(documents):
        used = _document(
            data,
            offsets[document],
            offsets[document + 1],
            table,
            zeros,
            classes,
            end_marks,
            min_words,
            max_word_length,
            out,
            used,
            counts[document],
        )
        bounds[document + 1] = used
    return out[:used], bounds, counts


@kernel
def _document(
    data: Bytes,
    begin: int,
    end: int,
    table: Kinds,
    zeros: Ints,
    classes: Bytes,
    end_marks: bool,
    min_words: int,
    max_word_length: int,
    out: Bytes,
    base: int,
    count: Ints,
) -> int:
    """Write what stays of a document to `out` from byte `base` on; return where it ends."""
    used = base
    start = at = begin
    bracket, says = False, 0
    while at <= end:
        width = 0
        if at < end:
            kind = classes[data[at]]
            if kind == _IS_LETTER and at + 2 < end and _promising(data, at):
                says |= _said(data, at, start, end)
            bracket |= kind == _IS_OPEN
            if kind != _MAY_BREAK:
                at += 1
                continue
            point, width = decode(data, at)
            if not (point < SIZE and table[point] & BREAK):
                if point == _KELVIN:
                    says |= _said(data, at, start, end)
                at += width
                continue
        elif start == end:
            break  # behind the last break there is a line only if there is something on it
        if not (at < end and data[at] == _NEWLINE and at == start and at > begin and data[at - 1] == _RETURN):
            first, last = strip(data, start, at, table)
            words, long_word = _words(data, first, last, table, min_words, max_word_length)
            if long_word:
                count[_LONG_WORD] += 1
            else:
                used = _line(
                    data, first, last, bracket, says, zeros, end_marks, words < min_words, out, base, used, count
                )
        at += max(width, 1)
        start = at
        bracket, says = False, 0
    # Only lines have lost the white space at their ends so far; a citation mark can leave some at those of the text.
    first, last = strip(out, base, used, table)
    if first > base:
        for i in range(last - first):
            out[base + i] = out[first + i]
    return base + last - first


@kernel
def _line(
    data: Bytes,
    first: int,
    last: int,
    bracket: bool,
    says: int,
    zeros: Ints,
    end_marks: bool,
    few_words: bool,
    out: Bytes,
    base: int,
    used: int,
    count: Ints,
) -> int:
    """Write a line behind the `used` bytes, without citation marks, if it stays; return how many there are then."""
    end = used
    if used > base:
        out[end] = _NEWLINE
        end += 1
    begin = end
    if bracket:
        end, marks = _without_citations(data, first, last, zeros, out, begin)
        count[_CITATIONS] += marks
        if marks:  # what they parted is read together
            says = 0
            for at in range(begin, end):
                says |= _said(out, at, begin, end)
    else:
        for i in range(last - first):
            out[begin + i] = data[first + i]
        end += last - first
    if end_marks and not _has_end_mark(out, begin, end):
        count[_NO_END_MARK] += 1
        return used
    if few_words:
        count[_FEW_WORDS] += 1
        return used
    if says and not _holds(out, begin, end, _LOREM_IPSUM):
        if says & _JAVASCRIPT_SAID:
            count[_JAVASCRIPT] += 1
            return used
        brace = False
        for at in range(begin, end):
            brace |= out[at] == _BRACE
        if not brace:
            count[_POLICY] += 1
            return used
    return end


@kernel
def _words(data: Bytes, first: int, last: int, table: Kinds, enough: int, most: int) -> tuple[int, bool]:
    """Count the words of a line, at least up to `enough`; the second says whether one has over `most` characters."""
    words = length = 0
    wide = last - first > most
    at = first
    while at < last:
        point, width = I64(data[at]), 1
        if point >= 0x80:
            point, width = decode(data, at)
        if point < SIZE and table[point] & SPACE:
            length = 0
        else:
            words += I64(length == 0)
            if words >= enough and not wide:
                break
            length += 1
            if length > most:
                return words, True
        at += width
    return words, False


@kernel
def _without_citations(data: Bytes, first: int, last: int, zeros: Ints, out: Bytes, used: int) -> tuple[int, int]:
    """Copy a line without `[1]`, `[]`, `[edit]` and `[citation needed]`; return the end, and the number of marks."""
    marks = 0
    at = first
    while at < last:
        if data[at] == _OPEN:
            end = at + 1
            while end < last:
                point, width = decode(data, end)
                if not _digit(zeros, point):
                    break
                end += width
            if end == at + 1:
                if _reads(data, end, last, _EDIT, False):
                    end += len(_EDIT)
                elif _reads(data, end, last, _NEEDED, False):
                    end += len(_NEEDED)
            if end < last and data[end] == _CLOSE:
                marks += 1
                at = end + 1
                continue
        out[used] = data[at]
        used += 1
        at += 1
    return used, marks


@inlined
def _digit(zeros: Ints, point: int) -> bool:
    """Whether a character is a decimal digit; the ten digits of every script stand side by side."""
    if point < 0x80:
        return 0x30 <= point <= 0x39
    place = np.searchsorted(zeros, point, "right")
    return bool(point - zeros[place - 1] < 10)


@inlined
def _has_end_mark(data: Bytes, first: int, last: int) -> bool:
    """Whether a line ends with one of `. ? ! " '`, and not with an ellipsis."""
    if first == last:
        return False
    mark = data[last - 1]
    if mark == _DOT:
        return not (last - first > 2 and data[last - 2] == _DOT and data[last - 3] == _DOT)
    return bool(mark == 0x3F or mark == 0x21 or mark == 0x22 or mark == 0x27)


@kernel
def _reads(data: Bytes, at: int, last: int, phrase: Bytes, fold: bool) -> bool:
    """Whether a phrase, in small letters, stands at a byte; capitals count as small letters with `fold`."""
    if at + len(phrase) > last:
        return False
    for i in range(len(phrase)):
        byte = data[at + i]
        if byte != phrase[i] and not (fold and phrase[i] >= 0x61 and byte | 0x20 == phrase[i]):
            return False
    return True


@kernel
def _holds(data: Bytes, first: int, last: int, phrase: Bytes) -> bool:
    """Whether a phrase stands anywhere, in capitals or small letters."""
    for at in range(first, last - len(phrase) + 1):
        if _reads(data, at, last, phrase, True):
            return True
    return False


@inlined
def _promising(data: Bytes, at: int) -> bool:
    """Whether three bytes are those of a phrase from its seldom letter on: `jav`, `vac`, `kie` or `f u`."""
    three = I64(data[at] | 0x20) << 16 | I64(data[at + 1] | 0x20) << 8 | I64(data[at + 2] | 0x20)
    return bool(three == 0x6A6176 or three == 0x766163 or three == 0x6B6965 or three == 0x662075)


@kernel
def _said(data: Bytes, at: int, first: int, last: int) -> int:
    """Return what of JavaScript and policies is said around the letter at a byte: each phrase has one seldom letter."""
    letter = data[at] | 0x20
    if letter == 0x6A:
        return _JAVASCRIPT_SAID if _reads(data, at, last, _SCRIPT, True) else 0
    if letter == 0x76:
        return _POLICY_SAID if at - first >= 3 and _reads(data, at - 3, last, _PRIVACY, True) else 0
    if letter == 0x66:
        return _POLICY_SAID if at - first >= 7 and _reads(data, at - 7, last, _TERMS, True) else 0
    if letter == 0x6B:
        width = 1
    elif data[at] == 0xE2 and _reads(data, at, last, _SIGN, False):
        width = 3
    else:
        return 0
    cookie = at - 3
    if cookie < first or not _reads(data, cookie, last, _COO, True):
        return 0
    if _reads(data, at + width, last, _IE_POLICY, True):
        return _POLICY_SAID
    if _reads(data, at + width, last, _IES, True):
        for verb in (_USE, _USES, _USE_OF):
            if cookie - first >= len(verb) and _reads(data, cookie - len(verb), last, verb, True):
                return _POLICY_SAID
    return 0
