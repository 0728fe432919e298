"""How a rearranged text is laid out: the modes, the order of sentinels, and the room that a text is given."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from training.store.tokenizer import Tokenizer

SENTINELS = 3
SLACK = 6
"""Room for the tokens that two cuts add. On code, LaTeX, encyclopedia articles and 75 languages, vocabularies of 8k
to 100k (GPT-2, GPT-NeoX, cl100k), they added 0.7 to 2.4 on average and at most 6 in 99.5 % of draws. Less room would
turn down cuts inside of words, which are what cutting at characters is for; more is padding. A token that ends what was
filled in, where the vocabulary has one, takes one of them."""
EXTRA = SENTINELS + SLACK + 1
"""Tokens that a rearranged part is laid out on besides its text: sentinels, slack, end token."""
LEAST = 8
"""Shorter texts (in tokens) stay as they are: there is nothing to fill in."""


class Mode(IntEnum):
    """How a document is laid out. Sentinels stand as in the StarCoder family (Li et al. 2023).

    DeepSeek-Coder's `begin`, `hole`, `end` are prefix, suffix and middle of PSM (Guo et al. 2024, section 3.1.2); Code
    Llama's two formats (Roziere et al. 2023, section 2.3) are these.
    """

    PLAIN = 0
    PSM = 1
    """`[prefix] prefix [suffix] suffix [middle] middle`."""
    SPM = 2
    """`[prefix][suffix] suffix [middle] prefix middle`."""


def span(context: int) -> int:
    """Most text tokens of a part, so that it fills a sequence of `context` tokens."""
    return max(2 * LEAST, context - EXTRA)


Tokens = Sequence[npt.NDArray[np.integer]]
"""Stretches of tokens, one behind the other."""


def laid_out(
    first: Tokens, middle: Tokens, last: Tokens, mode: Mode, tokenizer: Tokenizer, ended: bool
) -> npt.NDArray[np.int64]:
    """Three texts in the order of a mode, with sentinels; with the document's end token behind them if `ended`."""
    prefix, suffix, hole = tokenizer.sentinels
    behind = ([] if tokenizer.filled is None else [tokenizer.filled]) + ([tokenizer.end] if ended else [])
    parts: list[npt.NDArray[np.integer]]
    if mode is Mode.SPM:
        parts = [prefix, suffix, *last, hole, *first, *middle]
    else:
        parts = [prefix, *first, suffix, *last, hole, *middle]
    return np.concatenate([*parts, np.array(behind, np.int64)], dtype=np.int64, casting="unsafe")


def restore(made: Sequence[int] | npt.NDArray[np.integer], tokenizer: Tokenizer) -> list[int]:
    """Undo `rearrange`: the ids of the text in reading order. Raises ValueError if the sentinels are not there.

    Both modes have the same grammar: what stands before the suffix comes first, then the middle, then the suffix. Where
    files are joined, one of them is rearranged, or none if all are short.
    """
    ids: list[int] = np.asarray(made).tolist()
    joined = tokenizer.file is not None and tokenizer.file in ids
    if joined and tokenizer.prefix not in ids:
        return ids
    try:
        prefix, suffix, middle = (ids.index(token) for token in (tokenizer.prefix, tokenizer.suffix, tokenizer.middle))
    except ValueError as error:
        raise ValueError("a rearranged text has all three sentinels") from error
    if prefix > suffix or middle < suffix or (prefix and not joined):
        raise ValueError("the sentinels stand in another order than prefix, suffix, middle")
    end = ids.index(tokenizer.file, middle) if joined and tokenizer.file in ids[middle:] else len(ids)
    behind = ids[end:]
    if tokenizer.filled is not None and ids[end - 1] == tokenizer.filled:
        end -= 1
    return [*ids[:prefix], *ids[prefix + 1 : suffix], *ids[middle + 1 : end], *ids[suffix + 1 : middle], *behind]
