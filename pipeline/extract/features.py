"""What of a block and its surroundings tells main text from the rest, as numbers for the trees.

Nothing here depends on words or on a language: lengths, links, punctuation, tags, keywords of classes, statistics of
the elements around, the best container in the manner of readability, how often a template occurs, and neighbours.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.hashing import I64, STEP, U64, finish, kernel
from pipeline.extract.blocks import (
    CELL,
    CHILD,
    END,
    FLAGS,
    HEAD,
    HIDDEN,
    ITEM,
    LINKED,
    LIST,
    NODE,
    PARENT,
    QUOTES,
    ROW,
    START,
    TAG,
    Blocks,
)
from pipeline.extract.keywords import GROUPS
from pipeline.extract.tags import NUMBER

F32 = np.float32
Floats = NDArray[np.float32]
Sums = NDArray[np.float64]

VERSION = 1
"""Raised when the numbers change: a model knows those that it was made of."""

_TEXT = (
    "log_chars words chars_per_word link_density log_punctuation punctuation_per_word ends_sentence ends_colon "
    "starts_capital digits capitals lines commas separators sentences questions log_bytes"
).split()
_KINDS = "p h1 h2 h3 h4 li cell term pre quote caption div section other".split()
_PLACE = (
    "heading list item quotes in_row hidden cell depth index before from_end after_title title_distance child "
    "log_blocks log_page"
).split()
_AROUND = "article main section nav aside header footer form figure table list details".split()
_LEVEL = "log_chars link_density log_blocks mean_chars good punctuation".split()
_CONTAINER = "in_best score_share best_share best_depth".split()
_TEMPLATE = "log_count mean_chars link_density".split()
_NEIGHBOUR = "log_chars link_density heading ends_sentence same_parent punctuation".split()
_PAGE = "link_density good log_paragraphs mean_chars titles article main".split()
_MASKS = ("own", "parent", "grandparent", "inherited")
_LEVELS, _REACH = 6, 3
_SIDES = ("before", "behind")

NAMES: tuple[str, ...] = (
    *_TEXT,
    *(f"is_{name}" for name in _KINDS),
    *_PLACE,
    *(f"{whose}_{group}" for whose in _MASKS for group in GROUPS),
    *(f"in_{name}" for name in _AROUND),
    *(f"level{level}_{name}" for level in range(_LEVELS) for name in _LEVEL),
    *(f"container_{name}" for name in _CONTAINER),
    *(f"template_{name}" for name in _TEMPLATE),
    *(f"{side}{reach}_{name}" for side in _SIDES for reach in range(1, _REACH + 1) for name in _NEIGHBOUR),
    *(f"page_{name}" for name in _PAGE),
)
"""The features, in the order of the columns."""

_BITS = len(GROUPS)
_COUNT = len(NAMES)


def _kinds() -> NDArray[np.int64]:
    kinds = np.full(len(NUMBER) + 1, _KINDS.index("other"), np.int64)
    for kind, names in {
        "p": "p", "h1": "h1", "h2": "h2", "h3": "h3", "h4": "h4 h5 h6", "li": "li", "cell": "td th", "term": "dt dd",
        "pre": "pre listing xmp", "quote": "blockquote", "caption": "caption figcaption legend", "div": "div",
        "section": "section article main body",
    }.items():  # fmt: skip
        kinds[[NUMBER[name] for name in names.split()]] = _KINDS.index(kind)
    return kinds


def _around() -> NDArray[np.int64]:
    around = np.zeros(len(NUMBER) + 1, np.int64)
    for name in _AROUND:
        for tag in {"list": "ul ol menu dl", "details": "details dialog"}.get(name, name).split():
            around[NUMBER[tag]] |= 1 << _AROUND.index(name)
    return around


_KIND_OF, _AROUND_OF = _kinds(), _around()
_P_KIND, _H1_KIND, _OTHER_KIND = _KINDS.index("p"), _KINDS.index("h1"), len(_KINDS)

# What is known of the text of a block.
(
    _CHARS,
    _WORDS,
    _PUNCT,
    _ENDS,
    _COLON,
    _CAPITAL,
    _DIGITS,
    _UPPER,
    _LINES,
    _COMMAS,
    _SEPARATORS,
    _SENTENCES,
    _QUESTIONS,
) = range(13)
# What is known of everything in an element.
_N_CHARS, _N_LINKED, _N_BLOCKS, _N_GOOD, _N_PUNCT, _N_SCORE = range(6)


@kernel
def _read(text: Any, first: int, last: int, out: Sums) -> None:
    """Count characters of a block's text by what they are."""
    inside = False
    before = I64(0x20)
    for at in range(first, last):
        byte = I64(text[at])
        if byte < 9 or byte & 0xC0 == 0x80:
            continue
        out[_CHARS] += 1
        if byte <= 0x20:
            inside = False
            if byte == 0x0A:
                out[_LINES] += 1
            if before == 0x2E or before == 0x21 or before == 0x3F:
                out[_SENTENCES] += 1
            before = byte
            continue
        if not inside:
            out[_WORDS] += 1
            inside = True
        if byte >= 0x80:
            after = I64(text[at + 1]) if at + 1 < last else 0
            third = I64(text[at + 2]) if at + 2 < last else 0
            if byte == 0xE3 and after == 0x80 and (third == 0x81 or third == 0x82):
                out[_PUNCT] += 1  # the comma and full stop of Chinese and Japanese
                out[_COMMAS] += third == 0x81
            elif byte == 0xEF and after == 0xBC and (third == 0x8C or third == 0x81):
                out[_PUNCT] += 1
                out[_COMMAS] += third == 0x8C
            elif byte == 0xD8 and after == 0x8C:  # that of Arabic
                out[_PUNCT] += 1
                out[_COMMAS] += 1
            elif byte == 0xC2 and (after == 0xBB or after == 0xA9 or after == 0xB7):
                out[_SEPARATORS] += 1
        elif 0x61 <= byte | 0x20 <= 0x7A:
            if byte < 0x61:
                out[_UPPER] += 1
                if out[_CHARS] == 1:
                    out[_CAPITAL] = 1
        elif 0x30 <= byte <= 0x39:
            out[_DIGITS] += 1
        elif byte == 0x2C:
            out[_PUNCT] += 1
            out[_COMMAS] += 1
        elif byte == 0x2E or byte == 0x21 or byte == 0x3F or byte == 0x3B or byte == 0x3A:
            out[_PUNCT] += 1
            out[_QUESTIONS] += byte == 0x3F
        elif byte == 0x7C or byte == 0x2F or byte == 0x3E:
            out[_SEPARATORS] += 1
        before = byte
    while last > first:  # what may stand behind the mark that ends a sentence
        byte = I64(text[last - 1])
        if byte >= 9 and byte != 0x22 and byte != 0x27 and byte != 0x29:
            break
        last -= 1
    if last > first:
        end = I64(text[last - 1])
        full_stop = end == 0x82 and last - first > 2 and text[last - 3] == 0xE3
        out[_ENDS] = end == 0x2E or end == 0x21 or end == 0x3F or full_stop
        out[_COLON] = end == 0x3A


@njit(cache=True, nogil=True)
def matrix(page: Blocks) -> Floats:
    """Return the features of all blocks of a page, shape [blocks, len(NAMES)]."""
    count, elements = len(page.blocks), len(page.nodes)
    out = np.zeros((count, _COUNT), F32)
    read = np.zeros((count, 13))
    sums = np.zeros((elements, 6))
    depth = np.zeros(elements, I64)
    around = np.zeros(elements, I64)
    signatures = np.zeros(count, I64)
    slots = 64
    while slots < 2 * count:
        slots *= 2
    keys, templates = np.zeros(slots, U64), np.zeros((slots, 3))
    _fill(page, out, read, sums, depth, around, signatures, keys, templates)
    return out


@kernel
def _fill(
    page: Blocks,
    out: Floats,
    read: Sums,
    sums: Sums,
    depth: NDArray[np.int64],
    around: NDArray[np.int64],
    signatures: NDArray[np.int64],
    keys: NDArray[np.uint64],
    templates: Sums,
) -> None:
    count, elements = len(page.blocks), len(page.nodes)
    blocks, nodes = page.blocks, page.nodes
    for node in range(1, elements):
        parent = nodes[node, PARENT]
        depth[node] = depth[parent] + 1
        around[node] = around[parent] | _AROUND_OF[nodes[node, TAG]]
    total = linked = good = 0.0
    paragraphs = titles = 0
    first_title = -1
    mask = U64(len(keys) - 1)
    for k in range(count):
        block = blocks[k]
        _read(page.text, block[START], block[END], read[k])
        chars, node = read[k, _CHARS], block[NODE]
        density = block[LINKED] / max(block[END] - block[START], 1)
        kind = _KIND_OF[nodes[node, TAG]]
        is_good = chars >= 80 and density < 0.33
        total += chars
        linked += chars * density
        good += chars if is_good else 0.0
        paragraphs += kind == _P_KIND
        if block[HEAD] == 1:
            titles += 1
            if first_title < 0:
                first_title = k
        sums[node, _N_CHARS] += chars
        sums[node, _N_LINKED] += chars * density
        sums[node, _N_BLOCKS] += 1
        sums[node, _N_GOOD] += chars if is_good else 0.0
        sums[node, _N_PUNCT] += read[k, _PUNCT]
        parent = nodes[node, PARENT]
        key = U64(nodes[node, TAG] + 1) * STEP ^ finish(page.masks[node, 0] + U64(1))
        if parent >= 0:
            key ^= finish(U64(nodes[parent, TAG] + 1) * STEP + page.masks[parent, 0] + U64(7))
        key |= U64(1)
        at = I64(key & mask)
        while keys[at] != 0 and keys[at] != key:
            at = (at + 1) & I64(mask)
        keys[at] = key
        signatures[k] = at
        templates[at, 0] += 1
        templates[at, 1] += chars
        templates[at, 2] += chars * density
    for node in range(elements - 1, 0, -1):
        parent = nodes[node, PARENT]
        for column in range(5):
            sums[parent, column] += sums[node, column]
    # Readability: text gives points to the element around it, and half of them to the next.
    for k in range(count):
        chars, node = read[k, _CHARS], blocks[k, NODE]
        density = blocks[k, LINKED] / max(blocks[k, END] - blocks[k, START], 1)
        if chars < 25 or density > 0.5:
            continue
        points = 1.0 + read[k, _COMMAS] + min(chars / 100.0, 3.0)
        if nodes[node, PARENT] >= 0 and _KIND_OF[nodes[node, TAG]] != _KIND_OF[0]:
            node = nodes[node, PARENT] if _KIND_OF[nodes[node, TAG]] == _P_KIND else node
        sums[node, _N_SCORE] += points
        if nodes[node, PARENT] >= 0:
            sums[nodes[node, PARENT], _N_SCORE] += points / 2.0
    best, best_score = 0, 0.0
    for node in range(elements):
        score = sums[node, _N_SCORE] * (1.0 - sums[node, _N_LINKED] / max(sums[node, _N_CHARS], 1.0))
        if score > best_score:
            best, best_score = node, score
    before = 0.0
    for k in range(count):
        _row(page, out[k], read, sums, depth, around, k, before, total)
        f = len(_TEXT_COLUMNS) + _OTHER_KIND
        # Page and place.
        out[k, f + 8] = k / count
        out[k, f + 9] = before / max(total, 1.0)
        out[k, f + 10] = min(count - k, 100)
        out[k, f + 11] = first_title >= 0 and k >= first_title
        out[k, f + 12] = min(max(k - first_title, -50), 100) if first_title >= 0 else -100
        out[k, f + 14] = np.log1p(count)
        out[k, f + 15] = np.log1p(total)
        f = _AFTER_LEVELS
        node, inside = blocks[k, NODE], False
        while node >= 0:
            if node == best:
                inside = True
                break
            node = nodes[node, PARENT]
        node = blocks[k, NODE]
        parent = nodes[node, PARENT]
        out[k, f] = inside
        points = max(sums[node, _N_SCORE], sums[parent, _N_SCORE] if parent >= 0 else 0.0)
        out[k, f + 1] = points / max(best_score, 1.0)
        out[k, f + 2] = sums[best, _N_CHARS] / max(total, 1.0)
        out[k, f + 3] = depth[node] - depth[best] if inside else -1
        f += 4
        at = signatures[k]
        out[k, f] = np.log1p(templates[at, 0])
        out[k, f + 1] = np.log1p(templates[at, 1] / templates[at, 0])
        out[k, f + 2] = templates[at, 2] / max(templates[at, 1], 1.0)
        f += 3
        for side in range(2):
            for reach in range(1, _REACH + 1):
                other = k + reach if side else k - reach
                if 0 <= other < count:
                    out[k, f] = np.log1p(read[other, _CHARS])
                    out[k, f + 1] = blocks[other, LINKED] / max(blocks[other, END] - blocks[other, START], 1)
                    out[k, f + 2] = blocks[other, HEAD]
                    out[k, f + 3] = read[other, _ENDS]
                    out[k, f + 4] = nodes[blocks[other, NODE], PARENT] == nodes[blocks[k, NODE], PARENT]
                    out[k, f + 5] = np.log1p(read[other, _PUNCT])
                else:
                    out[k, f] = -1
                f += 6
        out[k, f] = linked / max(total, 1.0)
        out[k, f + 1] = good / max(total, 1.0)
        out[k, f + 2] = np.log1p(paragraphs)
        out[k, f + 3] = total / count
        out[k, f + 4] = titles
        before += read[k, _CHARS]
    has_article = has_main = 0.0
    for node in range(elements):
        has_article += around[node] & 1
        has_main += around[node] >> 1 & 1
    for k in range(count):
        out[k, _COUNT - 2] = np.log1p(has_article)
        out[k, _COUNT - 1] = has_main > 0


_TEXT_COLUMNS = tuple(_TEXT)
_AFTER_PLACE = len(_TEXT) + len(_KINDS) + len(_PLACE)
_AFTER_MASKS = _AFTER_PLACE + 4 * _BITS
_AFTER_AROUND = _AFTER_MASKS + len(_AROUND)
_AFTER_LEVELS = _AFTER_AROUND + _LEVELS * len(_LEVEL)
_NUM_AROUND = len(_AROUND)


@kernel
def _row(
    page: Blocks,
    row: Floats,
    read: Sums,
    sums: Sums,
    depth: NDArray[np.int64],
    around: NDArray[np.int64],
    k: int,
    before: float,
    total: float,
) -> None:
    """What is known of the block itself and of the elements that it stands in."""
    block, known = page.blocks[k], read[k]
    nodes, masks = page.nodes, page.masks
    node = block[NODE]
    chars, words = known[_CHARS], known[_WORDS]
    size = block[END] - block[START]
    row[0] = np.log1p(chars)
    row[1] = words
    row[2] = chars / max(words, 1.0)
    row[3] = block[LINKED] / max(size, 1)
    row[4] = np.log1p(known[_PUNCT])
    row[5] = known[_PUNCT] / max(words, 1.0)
    row[6] = known[_ENDS]
    row[7] = known[_COLON]
    row[8] = known[_CAPITAL]
    row[9] = known[_DIGITS] / max(chars, 1.0)
    row[10] = known[_UPPER] / max(chars, 1.0)
    row[11] = known[_LINES]
    row[12] = known[_COMMAS]
    row[13] = known[_SEPARATORS]
    row[14] = known[_SENTENCES]
    row[15] = known[_QUESTIONS]
    row[16] = np.log1p(size)
    f = len(_TEXT_COLUMNS)
    row[f + _KIND_OF[nodes[node, TAG]]] = 1
    f += _OTHER_KIND
    row[f] = block[HEAD]
    row[f + 1] = block[LIST]
    row[f + 2] = block[ITEM] != 0
    row[f + 3] = block[QUOTES]
    row[f + 4] = block[ROW] > 0
    row[f + 5] = block[FLAGS] & HIDDEN != 0
    row[f + 6] = block[CELL]
    row[f + 7] = depth[node]
    row[f + 13] = nodes[node, CHILD]
    parent = nodes[node, PARENT]
    grandparent = nodes[parent, PARENT] if parent >= 0 else -1
    own = masks[node, 0] | page.inline[k]
    f = _AFTER_PLACE
    for bit in range(_BITS):
        row[f + bit] = own >> U64(bit) & U64(1)
        row[f + 2 * _BITS + bit] = masks[grandparent, 0] >> U64(bit) & U64(1) if grandparent >= 0 else 0
        row[f + _BITS + bit] = masks[parent, 0] >> U64(bit) & U64(1) if parent >= 0 else 0
        row[f + 3 * _BITS + bit] = masks[node, 1] >> U64(bit) & U64(1)
    f = _AFTER_MASKS
    for bit in range(_NUM_AROUND):
        row[f + bit] = around[node] >> bit & 1
    f = _AFTER_AROUND
    here = node
    for _ in range(_LEVELS):
        if here < 0:
            row[f] = -1
        else:
            inside, number = sums[here, _N_CHARS], sums[here, _N_BLOCKS]
            row[f] = np.log1p(inside)
            row[f + 1] = sums[here, _N_LINKED] / max(inside, 1.0)
            row[f + 2] = np.log1p(number)
            row[f + 3] = np.log1p(inside / max(number, 1.0))
            row[f + 4] = sums[here, _N_GOOD] / max(inside, 1.0)
            row[f + 5] = sums[here, _N_PUNCT] / max(inside, 1.0)
            here = nodes[here, PARENT]
        f += 6


def page_features(page: bytes) -> tuple[list[str], Floats]:
    """Return the texts of a page's blocks (of valid UTF-8), and their features."""
    from pipeline.extract.blocks import MARKS
    from pipeline.extract.page import blocks_of

    found = blocks_of(page)
    raw = found.text.tobytes()
    texts = [raw[first:last].translate(None, bytes(MARKS)).decode() for first, last in found.blocks[:, :2].tolist()]
    return texts, matrix(found)
