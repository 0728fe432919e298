"""A text's tokens in another order, with only those near the cuts made anew.

The places where a text is cut seldom lie between tokens, and its three parts are to have the tokens that the tokenizer
gives for them, because that is how a model is asked. These differ from the tokens of the whole only near the cuts: from
the last place before a cut at which words are always divided to the first one behind it (`training.store.vocabulary`).
The rest is copied. The price is a table of the vocabulary's bytes, which other kinds of tokenizer do not have.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training import kernels
from training.fim.cuts import Cuts, drawn
from training.fim.layout import LEAST, SLACK, Mode, laid_out
from training.kernels import compiled
from training.store.tokenizer import Tokenizer
from training.store.vocabulary import Vocabulary

_ATTEMPTS = 8

Ids = npt.NDArray[np.integer]


def rearrange(
    ids: Sequence[int] | Ids,
    mode: Mode,
    key: int,
    tokenizer: Tokenizer,
    cuts: Cuts = "characters",
    ended: bool = False,
) -> npt.NDArray[np.int64]:
    """Rearrange a text's tokens: at most `len(ids) + SENTINELS + SLACK` ids, sentinels included.

    The cuts depend on `key` (uint64), text and settings alone. `ids` are at least LEAST, without an end token, and may
    begin or end inside of a character. With `ended` the end token follows. An array is read faster than a list.

    Of files that are joined one is rearranged, where it stands, and the others are what a model knows beside it.
    """
    ids = np.asarray(ids)
    if len(ids) < LEAST:
        raise ValueError(f"a text of {len(ids)} tokens is not rearranged; {LEAST} is the least")
    if tokenizer.file is not None and (ids == tokenizer.file).any():
        start, stop = _file(ids, key, tokenizer)
        if stop - start < LEAST:
            return np.concatenate([ids, [tokenizer.end] if ended else []], dtype=np.int64, casting="unsafe")
        whole = rearrange(ids[start:stop], mode, key, tokenizer, cuts)
        behind = [tokenizer.end] if ended else []
        return np.concatenate([ids[:start], whole, ids[stop:], behind], dtype=np.int64, casting="unsafe")
    room = len(ids) + SLACK - (tokenizer.filled is not None)
    text = _Text(ids, tokenizer.vocabulary)
    for attempt in range(_ATTEMPTS):
        parts = text.cut(*drawn(text.characters, cuts, *_draws(key, attempt)))
        if parts is not None and sum(len(some) for part in parts for some in part) <= room:
            break
    else:
        start, stop = sorted(text.boundary(draw % (len(ids) + 1)) for draw in _draws(key, _ATTEMPTS))
        parts = [ids[:start]], [ids[start:stop]], [ids[stop:]]
    return laid_out(*parts, mode, tokenizer, ended)


def _draws(key: int, attempt: int) -> tuple[int, int]:
    one = kernels.mix(np.uint64(key), np.uint64(attempt))
    return int(one), int(kernels.scramble(np.uint64(one)))


def _file(ids: Ids, key: int, tokenizer: Tokenizer) -> tuple[int, int]:
    """Where the text of one of the files lies, longer ones oftener; nowhere (0, 0) if all are too short.

    The path is left out, as Qwen2.5-Coder has it; StarCoder2 has it in the prefix.
    """
    marks = np.flatnonzero((ids == tokenizer.file) | (ids == tokenizer.repository))
    begins = np.concatenate([[0], marks[marks > 0]])
    ends = np.append(begins[1:], len(ids))
    vocabulary = tokenizer.vocabulary
    spans = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        if ids[begin] == tokenizer.repository:
            continue
        start = begin
        if ids[begin] == tokenizer.file:
            start += 1
            if tokenizer.settings.fim != "starcoder":
                while start < end and not vocabulary.ends_line(int(ids[start - 1])):
                    start += 1
        spans.append((start, end))
    spans = [(start, end) for start, end in spans if end - start >= LEAST]
    if not spans:
        return 0, 0
    sizes = np.cumsum([end - start for start, end in spans])
    return spans[int(np.searchsorted(sizes, _draws(key, _ATTEMPTS + 1)[0] % int(sizes[-1]), side="right"))]


class _Text:
    """Tokens together with their bytes."""

    def __init__(self, ids: Ids, vocabulary: Vocabulary) -> None:
        self._ids, self._vocabulary = ids, vocabulary
        self._bytes, self._begins = _spelled(ids, vocabulary.starts, vocabulary.spelling)
        self._head, self._stop = _whole(self._bytes, self._begins)
        self._from = int(self._begins[self._head])
        self.characters = self._bytes[self._from : int(self._begins[self._stop])]
        """Without tokens at the start and at the end that have only a part of a character."""

    def cut(self, low: int, high: int) -> tuple[list[Ids], list[Ids], list[Ids]] | None:
        """Prefix, middle and suffix of the text cut at two places of `characters`, each as stretches of tokens.

        None if the tokenizer does not give a part back.
        """
        ids, begins = self._ids, self._begins
        low, high = low + self._from, high + self._from
        tables = self._vocabulary.opens, self._vocabulary.closes
        begin, after, before, end = _around(ids, begins, self._head, self._stop, low, high, *tables)
        apart = after <= before
        changed = [(begins[begin], low), (low, begins[after]), (begins[before], high), (high, begins[end])]
        if not apart:
            changed[1:3] = [(low, high)]
        made = [self._vocabulary.ids(self._bytes[a:b].tobytes()) for a, b in changed]
        known: list[Ids] = [some for some in made if some is not None]
        if len(known) < len(made):
            return None
        middle = [known[1], ids[after:before], known[2]] if apart else [known[1]]
        return [ids[:begin], known[0]], middle, [known[-1], ids[end:]]

    def boundary(self, cut: int) -> int:
        """The nearest boundary of tokens, at or before `cut`, that does not lie inside of a character."""
        while 0 < cut < len(self._ids) and self._bytes[self._begins[cut]] & 0xC0 == 0x80:
            cut -= 1
        return cut


@compiled
def _spelled(ids: Any, starts: Any, spelling: Any) -> tuple[Any, Any]:
    """The bytes of tokens, and where in them each token begins, with the end of the last one."""
    begins = np.zeros(len(ids) + 1, np.int64)
    for i in range(len(ids)):
        begins[i + 1] = begins[i] + starts[ids[i] + 1] - starts[ids[i]]
    made = np.empty(begins[-1], np.uint8)
    for i in range(len(ids)):
        at, source = begins[i], starts[ids[i]]
        for k in range(begins[i + 1] - at):
            made[at + k] = spelling[source + k]
    return made, begins


@compiled
def _whole(text: Any, begins: Any) -> tuple[int, int]:
    """The first token that begins with a character, and the one from which on a last character is not whole."""
    count = len(begins) - 1
    head = 0
    while head < count and text[begins[head]] & 0xC0 == 0x80:
        head += 1
    last = len(text) - 1
    while last >= 0 and text[last] & 0xC0 == 0x80:
        last -= 1
    if last < 0:
        return count, count
    size = 1 + (text[last] >= 0xC0) + (text[last] >= 0xE0) + (text[last] >= 0xF0)
    stop = count
    if last + size > len(text):
        while stop > head and (begins[stop] > last or text[begins[stop]] & 0xC0 == 0x80):
            stop -= 1
    return head, stop


@compiled
def _around(
    ids: Any, begins: Any, head: int, stop: int, low: int, high: int, opens: Any, closes: Any
) -> tuple[int, int, int, int]:
    """For each of two places, the nearest tokens before which words are divided: not behind it, and not before it."""
    found = np.empty(4, np.int64)
    for which in range(2):
        place = low if which == 0 else high
        behind = np.searchsorted(begins, place)
        before = behind if begins[behind] == place else behind - 1
        while before > head and not (before < stop and closes[ids[before - 1]] & opens[ids[before]]):
            before -= 1
        while behind < stop and not (behind > head and closes[ids[behind - 1]] & opens[ids[behind]]):
            behind += 1
        found[2 * which], found[2 * which + 1] = before, behind
    return found[0], found[1], found[2], found[3]
