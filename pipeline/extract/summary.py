"""What is known of a page before its blocks are judged: their texts, the elements they stand in, and their templates.

One pass counts what is in each block, one adds it up over the elements, from the innermost outwards. Everything that
several blocks share is worked out here once.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.hashing import I64, STEP, U64, Hashes, finish, inlined, kernel, trailing_zeros
from pipeline.extract.blocks import END, HEAD, LINKED, LIST, NODE, PARENT, START, TAG, Blocks
from pipeline.extract.keywords import GROUPS
from pipeline.extract.tags import NUMBER

F32: Any = np.float32
Floats = NDArray[np.float32]
Sums = NDArray[np.float64]

KINDS = "p h1 h2 h3 h4 li cell term pre quote caption div section other".split()
AROUND = "article main section nav aside header footer form figure table list details".split()

(
    CHARS,
    WORDS,
    PUNCTUATION,
    ENDS,
    COLON,
    CAPITAL,
    DIGITS,
    UPPER,
    LINES,
    COMMAS,
    SEPARATORS,
    SENTENCES,
    QUESTIONS,
    DENSITY,
    LOG_CHARS,
    LOG_PUNCTUATION,
    SAME,
    SEEN,
    CURRENCIES,
) = range(19)
TEXT_COLUMNS = 19
"""Of the text of a block: letters of scripts without spaces are words each; `DENSITY`: share in links; `SAME`: how many
blocks of the page have the text, as a logarithm; `SEEN`: how many of them before it."""

LEVEL_COLUMNS = 6
"""Of everything in an element: characters, share in links, blocks, characters a block, share in good blocks (long, with
few links), punctuation a character."""

TOTAL, LINKED_SHARE, GOOD_SHARE, PARAGRAPHS, MEAN_CHARS, TITLES, FIRST_TITLE, BEST, BEST_SCORE = range(9)
ARTICLES, MAINS, HEADINGS, LISTED, LONGEST, COMMONEST, REPEATS, PRICES, GROUP_SHARES = range(9, 18)
PAGE_COLUMNS = GROUP_SHARES + len(GROUPS)
"""Of the page: characters, the share of them in links and in good blocks, paragraphs, characters a block, headings of
the first level and the first of them (-1 if there is none); the best container and its points; elements in articles and
in main; headings; the shares of characters in lists, in the longest block, and in the commonest template, and how many
blocks that has; currency signs; and from `GROUP_SHARES` on the share of characters in elements of each group of
keywords."""

E_DEPTH, E_AROUND, E_FIRST, E_LAST, E_IN_BEST = range(5)
ELEMENT_COLUMNS = 5
"""Of an element: its depth; bits of what it stands in; its first block; the block behind its last; whether it is in the
best container."""


class Summary(NamedTuple):
    """What is known of a page."""

    read: Floats
    """Shape [blocks, TEXT_COLUMNS]."""
    level: Floats
    """Shape [elements, LEVEL_COLUMNS]."""
    element: NDArray[np.int32]
    """Shape [elements, ELEMENT_COLUMNS]."""
    score: Sums
    """Shape [elements]: points in the manner of readability (Arc90 2009)."""
    template: NDArray[np.int32]
    """Shape [blocks]: the template of each, a row of `templates`."""
    templates: Sums
    """Shape [places, 3]: blocks of elements with the same tag and keywords in the same kind of parent; their
    characters; those in links."""
    page: Sums
    """Shape [PAGE_COLUMNS]."""


def _kinds() -> NDArray[np.int64]:
    kinds = np.full(len(NUMBER) + 1, KINDS.index("other"), np.int64)
    for kind, names in {
        "p": "p", "h1": "h1", "h2": "h2", "h3": "h3", "h4": "h4 h5 h6", "li": "li", "cell": "td th", "term": "dt dd",
        "pre": "pre listing xmp", "quote": "blockquote", "caption": "caption figcaption legend", "div": "div",
        "section": "section article main body",
    }.items():  # fmt: skip
        kinds[[NUMBER[name] for name in names.split()]] = KINDS.index(kind)
    return kinds


def _around() -> NDArray[np.int64]:
    around = np.zeros(len(NUMBER) + 1, np.int64)
    for name in AROUND:
        for tag in {"list": "ul ol menu dl", "details": "details dialog"}.get(name, name).split():
            around[NUMBER[tag]] |= 1 << AROUND.index(name)
    return around


KIND_OF, _AROUND_OF = _kinds(), _around()
_P_KIND, _OTHER = KINDS.index("p"), KINDS.index("other")
_ARTICLE, _MAIN = (1 << AROUND.index(name) for name in ("article", "main"))
_GOOD_CHARS, _GOOD_DENSITY = 80, 0.33
_POINTS_CHARS, _POINTS_DENSITY = 25, 0.5


@njit(cache=True, nogil=True)
def summary(page: Blocks) -> Summary:
    """Read the blocks of a page and add up what is in its elements."""
    count, elements = len(page.blocks), len(page.nodes)
    slots = 64
    while slots < 2 * count:
        slots *= 2
    found = Summary(
        np.zeros((count, TEXT_COLUMNS), F32),
        np.zeros((elements, LEVEL_COLUMNS), F32),
        np.zeros((elements, ELEMENT_COLUMNS), np.int32),
        np.zeros(elements),
        np.zeros(count, np.int32),
        np.zeros((slots, 3)),
        np.zeros(PAGE_COLUMNS),
    )
    keys, times = np.zeros(slots, U64), np.zeros(slots, np.int32)
    _texts(page, found.read, keys, times)
    keys[:] = 0
    sums = np.zeros((elements, 5))
    _elements(page, found, sums)
    _templates(page, found, keys)
    _points(page, found)
    return found


@inlined
def _slot(keys: Hashes, key: np.uint64) -> int:
    """Return the place of a key in an open-addressing table, where it is put if it is not there."""
    mask = U64(len(keys) - 1)
    at: int = I64(key & mask)
    while keys[at] != 0 and keys[at] != key:
        at = (at + 1) & I64(mask)
    keys[at] = key
    return at


@kernel
def _texts(page: Blocks, read: Floats, keys: Hashes, times: NDArray[np.int32]) -> None:
    """Read the texts of all blocks."""
    for k in range(len(page.blocks)):
        block, out = page.blocks[k], read[k]
        key = _read(page.text, block[START], block[END], out)
        out[DENSITY] = block[LINKED] / max(block[END] - block[START], 1)
        out[LOG_CHARS] = np.log1p(out[CHARS])
        out[LOG_PUNCTUATION] = np.log1p(out[PUNCTUATION])
        at = _slot(keys, key | U64(1))
        out[SAME], out[SEEN] = at, times[at]
        times[at] += 1
    for k in range(len(page.blocks)):
        read[k, SAME] = np.log1p(times[I64(read[k, SAME])])


@kernel
def _read(text: Any, first: int, last: int, out: Floats) -> np.uint64:
    """Count the characters of a text by what they are; return a hash of it."""
    inside = False
    before = I64(0x20)
    key = U64(last - first)
    for at in range(first, last):
        byte = I64(text[at])
        if byte < 9 or byte & 0xC0 == 0x80:
            continue
        key = (key ^ U64(byte)) * STEP
        out[CHARS] += 1
        if byte <= 0x20:
            inside = False
            if byte == 0x0A:
                out[LINES] += 1
            if before == 0x2E or before == 0x21 or before == 0x3F:
                out[SENTENCES] += 1
            before = byte
            continue
        if byte >= 0x80:
            after = I64(text[at + 1]) if at + 1 < last else 0
            third = I64(text[at + 2]) if at + 2 < last else 0
            mark = _mark(byte, after, third)
            key = (key ^ U64(after << 8 | third)) * STEP
            if mark:
                inside = False
                out[PUNCTUATION] += 1
                out[COMMAS] += mark == _COMMA
                out[SENTENCES] += mark == _STOP
                before = byte
                continue
            if byte == 0xC2:
                out[SEPARATORS] += after == 0xBB or after == 0xA9 or after == 0xB7
                out[CURRENCIES] += 0xA2 <= after <= 0xA5
            elif byte == 0xE2 and after == 0x82 and third >= 0xA0:
                out[CURRENCIES] += 1
            if 0xE3 <= byte <= 0xE9:  # kana and Chinese
                out[WORDS] += 1
                before = byte
                continue
        elif 0x61 <= byte | 0x20 <= 0x7A:
            if byte < 0x61:
                out[UPPER] += 1
                if out[CHARS] == 1:
                    out[CAPITAL] = 1
        elif 0x30 <= byte <= 0x39:
            out[DIGITS] += 1
        elif byte == 0x2C:
            out[PUNCTUATION] += 1
            out[COMMAS] += 1
        elif byte == 0x2E or byte == 0x21 or byte == 0x3F or byte == 0x3B or byte == 0x3A:
            out[PUNCTUATION] += 1
            out[QUESTIONS] += byte == 0x3F
        elif byte == 0x7C or byte == 0x2F or byte == 0x3E:
            out[SEPARATORS] += 1
        elif byte == 0x24:
            out[CURRENCIES] += 1
        if not inside:
            out[WORDS] += 1
            inside = True
        before = byte
    while last > first:  # what may stand behind the mark that ends a sentence
        byte = I64(text[last - 1])
        if byte >= 9 and byte != 0x22 and byte != 0x27 and byte != 0x29:
            break
        last -= 1
    if last > first:
        end = I64(text[last - 1])
        out[ENDS] = end == 0x2E or end == 0x21 or end == 0x3F
        out[COLON] = end == 0x3A
        if end >= 0x80:
            size = last - first
            two = size > 1 and _mark(I64(text[last - 2]), end, I64(0)) == _STOP
            three = size > 2 and _mark(I64(text[last - 3]), I64(text[last - 2]), end) == _STOP
            out[ENDS] = two or three
    return finish(key)


_COMMA, _STOP = 1, 2


@inlined
def _mark(first: int, second: int, third: int) -> int:
    """Tell commas and marks that end a sentence, in other scripts than Latin, by their UTF-8."""
    if first == 0xD8:  # Arabic
        return _COMMA if second == 0x8C or second == 0x9B else _STOP if second == 0x9F else 0
    if first == 0xDB:  # Urdu
        return _STOP if second == 0x94 else 0
    if first == 0xD6:  # Armenian
        return _STOP if second == 0x89 else 0
    if first == 0xE3:  # Chinese and Japanese
        return 0 if second != 0x80 else _COMMA if third == 0x81 else _STOP if third == 0x82 else 0
    if first == 0xEF:  # wide and narrow forms
        if second == 0xBC:
            return _COMMA if third == 0x8C else _STOP if third == 0x81 or third == 0x9F or third == 0x8E else 0
        return _STOP if second == 0xBD and third == 0xA1 else 0
    if first == 0xE0:  # Indic
        return _STOP if second == 0xA5 and (third == 0xA4 or third == 0xA5) else 0
    if first == 0xE1:  # Burmese, Ethiopic, Khmer
        if second == 0x81:
            return _STOP if third == 0x8B else _COMMA if third == 0x8A else 0
        if second == 0x8D:
            return _STOP if third == 0xA2 else _COMMA if third == 0xA3 else 0
        return _STOP if second == 0x9F and (third == 0x94 or third == 0x95) else 0
    return 0


@kernel
def _elements(page: Blocks, found: Summary, sums: Sums) -> None:
    """Add up what is in each element, and in the page."""
    blocks, nodes, element, whole = page.blocks, page.nodes, found.element, found.page
    for node in range(1, len(nodes)):
        parent = nodes[node, PARENT]
        element[node, E_DEPTH] = element[parent, E_DEPTH] + 1
        element[node, E_AROUND] = element[parent, E_AROUND] | _AROUND_OF[nodes[node, TAG]]
        whole[ARTICLES] += element[node, E_AROUND] & _ARTICLE != 0
        whole[MAINS] += element[node, E_AROUND] & _MAIN != 0
    linked = good = 0.0
    whole[FIRST_TITLE] = -1
    for k in range(len(blocks)):
        block, read = blocks[k], found.read[k]
        chars, density, node = F32(read[CHARS]), read[DENSITY], block[NODE]
        is_good = chars >= _GOOD_CHARS and density < _GOOD_DENSITY
        whole[TOTAL] += chars
        linked += chars * density
        good += chars if is_good else 0.0
        whole[PARAGRAPHS] += KIND_OF[nodes[node, TAG]] == _P_KIND
        whole[HEADINGS] += block[HEAD] > 0
        whole[LISTED] += chars if block[LIST] else 0.0
        whole[LONGEST] = max(whole[LONGEST], chars)
        whole[PRICES] += read[CURRENCIES]
        groups = page.masks[node, 1]
        while groups:
            bit = trailing_zeros(groups)
            whole[GROUP_SHARES + bit] += chars
            groups &= groups - U64(1)
        if block[HEAD] == 1:
            whole[TITLES] += 1
            if whole[FIRST_TITLE] < 0:
                whole[FIRST_TITLE] = k
        if not sums[node, 2]:
            element[node, E_FIRST] = k
        element[node, E_LAST] = k + 1
        sums[node, 0] += chars
        sums[node, 1] += chars * density
        sums[node, 2] += 1
        sums[node, 3] += chars if is_good else 0.0
        sums[node, 4] += read[PUNCTUATION]
    for node in range(len(nodes) - 1, -1, -1):
        parent, own, level = nodes[node, PARENT], sums[node], found.level[node]
        if parent >= 0 and own[2]:
            if not sums[parent, 2] or element[node, E_FIRST] < element[parent, E_FIRST]:
                element[parent, E_FIRST] = element[node, E_FIRST]
            element[parent, E_LAST] = max(element[parent, E_LAST], element[node, E_LAST])
            for column in range(5):
                sums[parent, column] += own[column]
        chars, number = max(own[0], 1.0), max(own[2], 1.0)
        level[0] = np.log1p(own[0])
        level[1] = own[1] / chars
        level[2] = np.log1p(own[2])
        level[3] = np.log1p(own[0] / number)
        level[4] = own[3] / chars
        level[5] = own[4] / chars
    total = max(whole[TOTAL], 1.0)
    whole[LINKED_SHARE], whole[GOOD_SHARE] = linked / total, good / total
    whole[LISTED] /= total
    whole[LONGEST] /= total
    for column in range(GROUP_SHARES, PAGE_COLUMNS):
        whole[column] /= total
    whole[MEAN_CHARS] = whole[TOTAL] / max(len(blocks), 1)


@kernel
def _templates(page: Blocks, found: Summary, keys: Hashes) -> None:
    nodes, masks = page.nodes, page.masks
    for k in range(len(page.blocks)):
        node = page.blocks[k, NODE]
        parent = nodes[node, PARENT]
        key = U64(nodes[node, TAG] + 1) * STEP ^ finish(masks[node, 0] + U64(1))
        if parent >= 0:
            key ^= finish(U64(nodes[parent, TAG] + 1) * STEP + masks[parent, 0] + U64(7))
        at = _slot(keys, key | U64(1))
        chars = found.read[k, CHARS]
        found.template[k] = at
        found.templates[at, 0] += 1
        found.templates[at, 1] += chars
        found.templates[at, 2] += chars * found.read[k, DENSITY]
        if found.templates[at, 1] > found.page[COMMONEST]:
            found.page[COMMONEST], found.page[REPEATS] = found.templates[at, 1], found.templates[at, 0]
    found.page[COMMONEST] /= max(found.page[TOTAL], 1.0)


@kernel
def _points(page: Blocks, found: Summary) -> None:
    """Find the best container: text gives points to the element around it, and half of them to the next."""
    nodes, score, whole = page.nodes, found.score, found.page
    for k in range(len(page.blocks)):
        read, node = found.read[k], page.blocks[k, NODE]
        if read[CHARS] < _POINTS_CHARS or read[DENSITY] > _POINTS_DENSITY:
            continue
        points = 1.0 + read[COMMAS] + min(read[CHARS] / 100.0, 3.0)
        if nodes[node, PARENT] >= 0 and KIND_OF[nodes[node, TAG]] == _P_KIND:
            node = nodes[node, PARENT]
        score[node] += points
        if nodes[node, PARENT] >= 0:
            score[nodes[node, PARENT]] += points / 2.0
    best, best_score = 0, 0.0
    for node in range(len(nodes)):
        points = score[node] * (1.0 - found.level[node, 1])
        if points > best_score:
            best, best_score = node, points
    whole[BEST], whole[BEST_SCORE] = best, best_score
    found.element[best, E_IN_BEST] = 1
    for node in range(best + 1, len(nodes)):
        found.element[node, E_IN_BEST] = found.element[nodes[node, PARENT], E_IN_BEST]
