"""Fill-in-the-middle: documents rearranged so that a model learns to write what lies between two texts.

Bavarian et al. 2022 (arXiv 2207.14255): a text is cut at two random characters and the three parts are tokenised each
by itself, so that at inference a cut may fall inside of a token. That changes the number of tokens, while the order of
training needs every length before a text is tokenised. So a rearranged text is laid out on its plain tokens, three
sentinels, SLACK and an end token; cuts whose parts do not fit are drawn again, in the end at token boundaries, which
always fit; and what stays free is padding behind the end token. Nothing of a text is ever cut off.

A text that is longer than a sequence is divided, by arithmetic, into parts of at most `span` tokens. Each is rearranged
by itself and ends with an end token, because a model cannot use a suffix that lies outside of its context.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from training import kernels
from training.tokenizer import Tokenizer

SENTINELS = 3
SLACK = 6
"""Room for the tokens that two cuts add. On code, LaTeX, encyclopedia articles and 75 languages, vocabularies of 8k
to 100k (GPT-2, GPT-NeoX, cl100k), they added 0.7 to 2.4 on average and at most 6 in 99.5 % of draws. Less room would
turn down cuts inside of words, which are what cutting at characters is for; more is padding."""
EXTRA = SENTINELS + SLACK + 1
"""Tokens that a rearranged part is laid out on besides its text: sentinels, slack, end token."""
LEAST = 8
"""Shorter texts (in tokens) stay as they are: there is nothing to fill in."""
_ATTEMPTS = 8
_BROKEN = "\ufffd"


class Mode(IntEnum):
    """How a document is laid out. Sentinels stand as in the StarCoder family (Li et al. 2023)."""

    PLAIN = 0
    PSM = 1
    """`[prefix] prefix [suffix] suffix [middle] middle`."""
    SPM = 2
    """`[prefix][suffix] suffix [middle] prefix middle`."""


def span(context: int) -> int:
    """Most text tokens of a part, so that it fills a sequence of `context` tokens."""
    return max(2 * LEAST, context - EXTRA)


def rearrange(ids: Sequence[int], mode: Mode, key: int, tokenizer: Tokenizer) -> list[int]:
    """Rearrange a text's tokens: at most `len(ids) + SENTINELS + SLACK` ids, sentinels included and no end token.

    The cuts depend on `key` (uint64) alone. `ids` are at least LEAST, and may begin or end inside of a character.
    """
    if len(ids) < LEAST:
        raise ValueError(f"a text of {len(ids)} tokens is not rearranged; {LEAST} is the least")
    head, tail = _fragments(ids, tokenizer)
    text = tokenizer.decode(ids[head : len(ids) - tail])
    for attempt in range(_ATTEMPTS):
        low, high = _cuts(key, attempt, len(text))
        first, middle, last = tokenizer.encode_batch([text[:low], text[low:high], text[high:]])
        fits = head + len(first) + len(middle) + len(last) + tail <= len(ids) + SLACK
        if fits and tokenizer.decode([*first, *middle, *last]) == text:
            first, last = [*ids[:head], *first], [*last, *ids[len(ids) - tail :]]
            break
    else:
        start, stop = (_whole(cut, ids, tokenizer) for cut in _cuts(key, _ATTEMPTS, len(ids)))
        first, middle, last = list(ids[:start]), list(ids[start:stop]), list(ids[stop:])
    if mode is Mode.SPM:
        return [tokenizer.prefix, tokenizer.suffix, *last, tokenizer.middle, *first, *middle]
    return [tokenizer.prefix, *first, tokenizer.suffix, *last, tokenizer.middle, *middle]


def restore(ids: Sequence[int], tokenizer: Tokenizer) -> list[int]:
    """Undo `rearrange`: the ids of the text in reading order. Raises ValueError if the sentinels are not there.

    Both modes have the same grammar: what stands before the suffix comes first, then the middle, then the suffix.
    """
    ids = list(ids)
    try:
        suffix, middle = ids.index(tokenizer.suffix), ids.index(tokenizer.middle)
    except ValueError as error:
        raise ValueError("a rearranged text has all three sentinels") from error
    if ids[0] != tokenizer.prefix or middle < suffix:
        raise ValueError("the sentinels stand in another order than prefix, suffix, middle")
    return ids[1:suffix] + ids[middle + 1 :] + ids[suffix + 1 : middle]


def _cuts(key: int, attempt: int, length: int) -> tuple[int, int]:
    """Two places in [0, length], drawn by hash, in order."""
    drawn = kernels.mix(np.uint64(key), np.uint64(attempt))
    places = (int(drawn) % (length + 1), int(kernels.scramble(np.uint64(drawn))) % (length + 1))
    return min(places), max(places)


def _fragments(ids: Sequence[int], tokenizer: Tokenizer) -> tuple[int, int]:
    """Tokens at the start and at the end of `ids` that hold only a part of a character (of four bytes at most)."""
    head = next((n for n in range(4) if not tokenizer.decode(ids[n : n + 4]).startswith(_BROKEN)), 3)
    tail = next((n for n in range(4) if not tokenizer.decode(ids[-4 - n : len(ids) - n]).endswith(_BROKEN)), 3)
    return head, tail


def _whole(cut: int, ids: Sequence[int], tokenizer: Tokenizer) -> int:
    """The nearest token boundary at or before `cut` that does not lie inside of a character."""
    while 0 < cut < len(ids) and tokenizer.decode(ids[max(0, cut - 4) : cut]).endswith(_BROKEN):
        cut -= 1
    return cut
