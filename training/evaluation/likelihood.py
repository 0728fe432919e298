"""How likely a model finds texts: log-probabilities of continuations after a context, and of whole texts.

Everything is as lm-evaluation-harness defines it (Gao et al. 2021): where a context ends and its continuation begins in
tokens, what is cut when both are too long, and what a text begins after. The continuations of one context share a row:
each sees the context and itself, and the context is read once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from training.model import Decoder
from training.store.tokenizer import Tokenizer

_AT_ONCE = {"cpu": 2048, "cuda": 32_768}
"""Tokens of a batch, padding included, by kind of device."""
_LOGITS = 512
"""Rows of logits that are held at once."""
_PADDING = -1


class Score(NamedTuple):
    """How likely a continuation is."""

    log_probability: float
    """Natural logarithm, summed over its tokens."""
    tokens: int
    greedy: bool
    """Whether each of its tokens is the likeliest one after those before it."""


@dataclass(frozen=True)
class _Group:
    """A context and what may follow it, as ids; `places` says to which requests the continuations belong."""

    context: list[int]
    continuations: list[list[int]]
    places: list[int]

    def __len__(self) -> int:
        return len(self.context) + sum(len(ids) - 1 for ids in self.continuations)


class Scorer:
    """Asks a model, which it moves to a device and a precision, for log-probabilities, which are float32.

    `prefix` is the token that a text without context begins after.
    """

    def __init__(
        self, model: Decoder, tokenizer: Tokenizer, device: torch.device, dtype: torch.dtype, prefix: int | None = None
    ) -> None:
        self._model = model.to(device).eval()
        for weight in self._model.parameters():  # not what is no weight, such as rotary frequencies
            weight.data = weight.data.to(dtype)
        self._tokenizer, self._device = tokenizer, device
        self._prefix = tokenizer.end if prefix is None else prefix
        self._longest = model.shape.context

    def continuations(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """Score the second text of each pair after the first; equal contexts that stand together are read once."""
        groups: list[_Group] = []
        before: str | None = None
        for place, (context, continuation) in enumerate(pairs):
            first, second = self._encode(context, continuation)
            if len(first) + len(second) > self._longest + 1:  # its own context is cut, from the left
                second = second[-self._longest :]
                groups.append(_Group(first[-(self._longest + 1 - len(second)) :], [second], [place]))
                before = None
            elif context == before and groups[-1].context == first:
                groups[-1].continuations.append(second)
                groups[-1].places.append(place)
            else:
                groups.append(_Group(first, [second], [place]))
                before = context
        return self._score(groups, len(pairs))

    def texts(self, texts: Sequence[str]) -> list[Score]:
        """Score whole texts: every token once, after as much before it as the model's context has in windows of it.

        Windows follow each other; only the last one reaches back over tokens that were scored, so that it is full.
        """
        groups: list[_Group] = []
        for place, text in enumerate(texts):
            ids = [self._prefix, *self._tokenizer.encode(text)]
            for start in range(1, len(ids), self._longest):
                end = min(start + self._longest, len(ids))
                begin = max(end - self._longest, 1)
                groups.append(_Group(ids[begin - 1 : start], [ids[start:end]], [place]))
        return self._score(groups, len(texts))

    def _encode(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Ids of both; blanks at the end of a context belong to the continuation, with which they are one token."""
        if not context:
            return [self._prefix], self._tokenizer.encode(continuation)
        kept = context.rstrip()
        continuation = context[len(kept) :] + continuation
        first = self._tokenizer.encode(kept) if kept else []
        second = self._tokenizer.encode(kept + continuation)[len(first) :]
        return first or [self._prefix], second or self._tokenizer.encode(continuation)

    def _score(self, groups: Sequence[_Group], count: int) -> list[Score]:
        """The sums over the groups of each of `count` places."""
        sums, tokens, greedy = np.zeros(count), np.zeros(count, np.int64), np.ones(count, bool)
        for batch in _batches(groups, _AT_ONCE.get(self._device.type, _AT_ONCE["cpu"])):
            places = np.concatenate([np.repeat(g.places, [len(ids) for ids in g.continuations]) for g in batch])
            values, likeliest = self._read(batch)
            np.add.at(sums, places, values)
            np.add.at(tokens, places, 1)
            np.logical_and.at(greedy, places, likeliest)
        return [Score(float(s), int(n), bool(g)) for s, n, g in zip(sums, tokens, greedy, strict=True)]

    @torch.inference_mode()
    def _read(self, batch: Sequence[_Group]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Log-probability of every token of every continuation, in their order, and whether it is the likeliest."""
        size = len(batch), max(map(len, batch))
        ids, positions = np.zeros(size, np.int64), np.zeros(size, np.int64)
        pieces = np.full(size, _PADDING, np.int64)  # 0 is the context
        rows: list[int] = []
        columns: list[int] = []
        targets: list[int] = []
        for row, group in enumerate(batch):
            length = end = len(group.context)
            ids[row, :length], positions[row, :length], pieces[row, :length] = group.context, np.arange(length), 0
            for number, tokens in enumerate(group.continuations, 1):
                here = slice(end, end + len(tokens) - 1)
                ids[row, here], pieces[row, here] = tokens[:-1], number
                positions[row, here] = np.arange(length, length + len(tokens) - 1)
                columns += [length - 1, *range(here.start, here.stop)]
                rows += [row] * len(tokens)
                targets += tokens
                end = here.stop
        arrays = (ids, positions, pieces, *(np.array(numbers) for numbers in (rows, columns, targets)))
        inputs, at, piece, row_of, column_of, wanted = (torch.from_numpy(array).to(self._device) for array in arrays)
        asked = self._model(inputs, at, _mask(piece, at, self._model.shape.window))[row_of, column_of]
        parts = zip(torch.split(asked, _LOGITS), torch.split(wanted, _LOGITS), strict=True)
        values, likeliest = zip(*(self._chosen(hidden, targets) for hidden, targets in parts), strict=True)
        return torch.cat(values).cpu().double().numpy(), torch.cat(likeliest).cpu().numpy()

    def _chosen(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Of hidden states (N, W): log-probability of each target, and whether it is the likeliest."""
        logits = F.linear(hidden, self._model.output, self._model.output_bias).float()
        values = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
        return values, logits.argmax(dim=1) == targets


def _mask(pieces: Tensor, positions: Tensor, window: int | None) -> Tensor:
    """Who may look at whom (S, 1, T, T): back, at the context (piece 0) and at what is of the same piece."""
    seen = ((pieces[:, :, None] == pieces[:, None, :]) | (pieces == 0)[:, None, :]).tril()
    if window is not None:
        seen &= positions[:, :, None] - positions[:, None, :] < window
    return seen[:, None]


def _batches(groups: Sequence[_Group], tokens: int) -> Iterator[list[_Group]]:
    """The longest first, so that rows of a batch are about as long, and too little memory shows at once."""
    batch: list[_Group] = []
    for group in sorted(groups, key=len, reverse=True):
        if batch and (len(batch) + 1) * len(batch[0]) > tokens:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch
