"""What of a block and its surroundings tells main text from the rest, as numbers for the trees.

Nothing here depends on words or on a language: lengths, links, punctuation, tags, keywords of classes, statistics of
the elements around, the best container in the manner of readability, how often a template occurs, and neighbours.
"""

import numpy as np
from numba import njit

from filters.hashing import U64, kernel
from pipeline.extract import summary as known
from pipeline.extract.blocks import (
    CELL,
    CHILD,
    END,
    FLAGS,
    HEAD,
    HIDDEN,
    ITEM,
    LIST,
    MARKS,
    NODE,
    PARENT,
    QUOTES,
    ROW,
    START,
    TAG,
    Blocks,
)
from pipeline.extract.keywords import GROUPS
from pipeline.extract.page import blocks_of
from pipeline.extract.summary import AROUND, KIND_OF, KINDS, LEVEL_COLUMNS, Floats, Summary, summary

VERSION = 1
"""Raised when the numbers change: a model knows those that it was made of."""

_TEXT = (
    "log_chars words chars_per_word link_density log_punctuation punctuation_per_word ends_sentence ends_colon "
    "starts_capital digits capitals lines commas separators sentences questions log_bytes same seen currencies"
).split()
_PLACE = (
    "heading list item quotes in_row hidden cell depth child index before from_end after_title title_distance"
).split()
_LEVEL = "log_chars link_density log_blocks mean_chars good punctuation".split()
_WITHIN = "from_begin to_end".split()
_CONTAINER = "in_best score_share best_share best_depth".split()
_TEMPLATE = "log_count mean_chars link_density".split()
_NEIGHBOUR = "log_chars link_density heading ends_sentence same_parent punctuation".split()
_PAGE = (
    "log_blocks log_page link_density good log_paragraphs mean_chars titles in_articles in_main log_headings listed "
    "longest commonest log_repeats log_prices"
).split()
_MASKS = ("own", "parent", "grandparent", "inherited")
_LEVELS, _REACH = 6, 3
_SIDES = ("before", "behind")

NAMES: tuple[str, ...] = (
    *_TEXT,
    *(f"is_{name}" for name in KINDS),
    *_PLACE,
    *(f"{whose}_{group}" for whose in _MASKS for group in GROUPS),
    *(f"in_{name}" for name in AROUND),
    *(f"level{level}_{name}" for level in range(_LEVELS) for name in _LEVEL),
    *(f"level{level}_{name}" for level in range(1, _LEVELS) for name in _WITHIN),
    *(f"container_{name}" for name in _CONTAINER),
    *(f"template_{name}" for name in _TEMPLATE),
    *(f"{side}{reach}_{name}" for side in _SIDES for reach in range(1, _REACH + 1) for name in _NEIGHBOUR),
    *(f"page_{name}" for name in _PAGE),
    *(f"page_{group}" for group in GROUPS),
)
"""The features, in the order of the columns."""

COUNT = len(NAMES)
_PAGE_COUNT = len(_PAGE)
_BEFORE_PAGE = COUNT - _PAGE_COUNT - len(GROUPS)
_BITS, _AROUND_BITS, _KIND_COUNT, _TEXT_COUNT = len(GROUPS), len(AROUND), len(KINDS), len(_TEXT)
_FAR = 100
"""Distances in blocks are no longer than that."""


@njit(cache=True, nogil=True)
def matrix(page: Blocks) -> Floats:
    """Return the features of all blocks of a page, shape [blocks, COUNT]."""
    found = summary(page)
    out = np.empty((len(page.blocks), COUNT), np.float32)
    before = 0.0
    for k in range(len(page.blocks)):
        of_page(page, found, out[k])
        of_block(page, found, k, before, out[k])
        before += found.read[k, known.CHARS]
    return out


@kernel
def of_page(page: Blocks, found: Summary, out: Floats) -> None:
    """Write the features that all blocks of a page share."""
    whole, at = found.page, _BEFORE_PAGE
    out[at] = np.log1p(len(page.blocks))
    out[at + 1] = np.log1p(whole[known.TOTAL])
    out[at + 2] = whole[known.LINKED_SHARE]
    out[at + 3] = whole[known.GOOD_SHARE]
    out[at + 4] = np.log1p(whole[known.PARAGRAPHS])
    out[at + 5] = whole[known.MEAN_CHARS]
    out[at + 6] = whole[known.TITLES]
    out[at + 7] = np.log1p(whole[known.ARTICLES])
    out[at + 8] = whole[known.MAINS] > 0
    out[at + 9] = np.log1p(whole[known.HEADINGS])
    out[at + 10] = whole[known.LISTED]
    out[at + 11] = whole[known.LONGEST]
    out[at + 12] = whole[known.COMMONEST]
    out[at + 13] = np.log1p(whole[known.REPEATS])
    out[at + 14] = np.log1p(whole[known.PRICES])
    for bit in range(_BITS):
        out[at + _PAGE_COUNT + bit] = whole[known.GROUP_SHARES + bit]


@kernel
def of_block(page: Blocks, found: Summary, k: int, before: float, out: Floats) -> None:
    """Write the features of block `k`, before which there are so many characters; not those of the page."""
    at = _of_text(page, found, k, out)
    at = _of_place(page, found, k, before, out, at)
    at = _of_elements(page, found, k, out, at)
    _of_neighbours(page, found, k, out, at)


@kernel
def _of_text(page: Blocks, found: Summary, k: int, out: Floats) -> int:
    block, read = page.blocks[k], found.read[k]
    chars, words = max(read[known.CHARS], 1.0), max(read[known.WORDS], 1.0)
    out[0] = read[known.LOG_CHARS]
    out[1] = read[known.WORDS]
    out[2] = read[known.CHARS] / words
    out[3] = read[known.DENSITY]
    out[4] = read[known.LOG_PUNCTUATION]
    out[5] = read[known.PUNCTUATION] / words
    out[6] = read[known.ENDS]
    out[7] = read[known.COLON]
    out[8] = read[known.CAPITAL]
    out[9] = read[known.DIGITS] / chars
    out[10] = read[known.UPPER] / chars
    out[11] = read[known.LINES]
    out[12] = read[known.COMMAS]
    out[13] = read[known.SEPARATORS]
    out[14] = read[known.SENTENCES]
    out[15] = read[known.QUESTIONS]
    out[16] = np.log1p(block[END] - block[START])
    out[17] = read[known.SAME]
    out[18] = read[known.SEEN]
    out[19] = read[known.CURRENCIES]
    kind = KIND_OF[page.nodes[block[NODE], TAG]]
    for place in range(_KIND_COUNT):
        out[_TEXT_COUNT + place] = place == kind
    return _TEXT_COUNT + _KIND_COUNT


@kernel
def _of_place(page: Blocks, found: Summary, k: int, before: float, out: Floats, at: int) -> int:
    block, count, whole = page.blocks[k], len(page.blocks), found.page
    node = block[NODE]
    out[at] = block[HEAD]
    out[at + 1] = block[LIST]
    out[at + 2] = block[ITEM] != 0
    out[at + 3] = block[QUOTES]
    out[at + 4] = block[ROW] > 0
    out[at + 5] = block[FLAGS] & HIDDEN != 0
    out[at + 6] = block[CELL]
    out[at + 7] = found.element[node, known.E_DEPTH]
    out[at + 8] = page.nodes[node, CHILD]
    out[at + 9] = k / count
    out[at + 10] = before / max(whole[known.TOTAL], 1.0)
    out[at + 11] = min(count - k, _FAR)
    title = whole[known.FIRST_TITLE]
    out[at + 12] = 0 <= title <= k
    out[at + 13] = min(max(k - title, -_FAR / 2), _FAR) if title >= 0 else -_FAR
    return at + 14


@kernel
def _of_elements(page: Blocks, found: Summary, k: int, out: Floats, at: int) -> int:
    nodes, masks, element, whole = page.nodes, page.masks, found.element, found.page
    node = page.blocks[k, NODE]
    parent = nodes[node, PARENT]
    grandparent = nodes[parent, PARENT] if parent >= 0 else -1
    own = masks[node, 0] | page.inline[k]
    for bit in range(_BITS):
        here = U64(bit)
        out[at + bit] = own >> here & U64(1)
        out[at + _BITS + bit] = masks[parent, 0] >> here & U64(1) if parent >= 0 else 0
        out[at + 2 * _BITS + bit] = masks[grandparent, 0] >> here & U64(1) if grandparent >= 0 else 0
        out[at + 3 * _BITS + bit] = masks[node, 1] >> here & U64(1)
    at += 4 * _BITS
    for bit in range(_AROUND_BITS):
        out[at + bit] = element[node, known.E_AROUND] >> bit & 1
    at += _AROUND_BITS
    within = at + _LEVELS * LEVEL_COLUMNS
    here_in = node
    for number in range(_LEVELS):
        for column in range(LEVEL_COLUMNS):
            out[at + column] = found.level[here_in, column] if here_in >= 0 else -1
        at += LEVEL_COLUMNS
        if number:
            out[within] = min(k - element[here_in, known.E_FIRST], _FAR) if here_in >= 0 else -1
            out[within + 1] = min(element[here_in, known.E_LAST] - k, _FAR) if here_in >= 0 else -1
            within += 2
        here_in = nodes[here_in, PARENT] if here_in >= 0 else -1
    at = within
    best = int(whole[known.BEST])
    inside = element[node, known.E_IN_BEST]
    points = max(found.score[node], found.score[parent] if parent >= 0 else 0.0)
    out[at] = inside
    out[at + 1] = points / max(whole[known.BEST_SCORE], 1.0)
    out[at + 2] = np.expm1(found.level[best, 0]) / max(whole[known.TOTAL], 1.0)
    out[at + 3] = element[node, known.E_DEPTH] - element[best, known.E_DEPTH] if inside else -1
    template = found.templates[found.template[k]]
    out[at + 4] = np.log1p(template[0])
    out[at + 5] = np.log1p(template[1] / template[0])
    out[at + 6] = template[2] / max(template[1], 1.0)
    return at + 7


@kernel
def _of_neighbours(page: Blocks, found: Summary, k: int, out: Floats, at: int) -> None:
    count, nodes = len(page.blocks), page.nodes
    parent = nodes[page.blocks[k, NODE], PARENT]
    for side in range(2):
        for reach in range(1, _REACH + 1):
            other = k + reach if side else k - reach
            if 0 <= other < count:
                read = found.read[other]
                out[at] = read[known.LOG_CHARS]
                out[at + 1] = read[known.DENSITY]
                out[at + 2] = page.blocks[other, HEAD]
                out[at + 3] = read[known.ENDS]
                out[at + 4] = nodes[page.blocks[other, NODE], PARENT] == parent
                out[at + 5] = read[known.LOG_PUNCTUATION]
            else:
                out[at] = -1
                for column in range(1, 6):
                    out[at + column] = 0
            at += 6


def page_features(page: bytes) -> tuple[list[str], Floats]:
    """Return the texts of a page's blocks (of valid UTF-8), and their features."""
    found = blocks_of(page)
    raw = found.text.tobytes()
    texts = [raw[first:last].translate(None, bytes(MARKS)).decode() for first, last in found.blocks[:, :2].tolist()]
    return texts, matrix(found)
