"""The order of training: which documents make step N, as a pure function of (config, seed, N).

Every source is an endless stream: its documents in an order drawn anew for each epoch, one behind the other, cut into
sequences of `context` tokens. The mixture says how many sequences of each source come before a step, and so where in
its stream each row begins. Nothing is kept from step to step, so micro batches, loader workers and world size cannot
matter, and step N costs the same whichever steps were asked for before.

All draws are hashes of (seed, source, document, epoch). The order of an epoch is a permutation by a keyed Feistel
network, which takes no memory; one pass over an epoch remembers a position every 256 documents (1/32 byte a document).
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.configfile import Place, Problem, nearest
from training import fim, kernels
from training.config import FimSettings, TrainConfig
from training.fim import Mode
from training.mixture import Mixture, stretches
from training.shards import key
from training.tokens import Documents, TokenStore

_SHUFFLE, _DRAW, _CUT = (np.uint64(word) for word in (1, 2, 3))


class Piece(NamedTuple):
    """A stretch of one document in a sequence.

    `start` and `length` count the tokens that the document is laid out on in this epoch: its text and end token, and,
    where it is rearranged, sentinels and slack (see `training.fim`). A piece never spans two parts of such a text.
    """

    source: int
    document: int
    epoch: int
    start: int
    length: int
    mode: Mode


@dataclass(frozen=True)
class SequencePlan:
    """One row of a step: its source, which of that source's sequences it is (from 0), and the pieces that fill it."""

    source: int
    sequence: int
    pieces: tuple[Piece, ...]


class _Epoch(NamedTuple):
    """One pass over a source's documents."""

    starts: kernels.Ints
    """Positions of every BLOCK-th document, and the length of the whole."""
    shuffle: np.uint64
    draw: np.uint64


class _Stream:
    """A source's documents, epoch after epoch."""

    def __init__(
        self, documents: Documents, source: str, seed: int, settings: FimSettings | None, context: int
    ) -> None:
        self.documents = documents
        self.span = fim.span(context)
        self._fim = (
            0.0 if settings is None else settings.rate,
            0.0 if settings is None else settings.spm,
            fim.LEAST,
            self.span,
            fim.EXTRA,
        )
        self._key = np.uint64(kernels.mix(np.uint64(seed % 2**64), np.uint64(key(source))))
        self._begins = [0]
        self._growing = Lock()  # the next batch is often made in another thread
        self._epoch = lru_cache(maxsize=4)(self._made)

    def draw(self, epoch: int, purpose: np.uint64) -> np.uint64:
        """The key of an epoch's draws of one kind."""
        return np.uint64(kernels.mix(np.uint64(kernels.mix(self._key, np.uint64(epoch))), purpose))

    def _made(self, epoch: int) -> _Epoch:
        shuffle, draw = self.draw(epoch, _SHUFFLE), self.draw(epoch, _DRAW)
        lengths = kernels.block_lengths(self.documents.offsets, self.documents.keys, shuffle, draw, *self._fim)
        return _Epoch(np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), shuffle, draw)

    def begin(self, epoch: int) -> int:
        """Position in the stream at which an epoch begins."""
        with self._growing:
            while len(self._begins) <= epoch:
                self._begins.append(self._begins[-1] + int(self._epoch(len(self._begins) - 1).starts[-1]))
        return self._begins[epoch]

    def epoch_of(self, position: int) -> int:
        """The epoch that has a position of the stream."""
        while self._begins[-1] <= position:
            self.begin(len(self._begins))
        return bisect_right(self._begins, position) - 1

    def pieces(self, source: int, begin: int, end: int) -> tuple[Piece, ...]:
        """What fills positions [begin, end) of the stream."""
        found: list[Piece] = []
        out = np.empty((end - begin, 4), np.int64)
        epoch = self.epoch_of(begin)
        while begin < end:
            made, base = self._epoch(epoch), self.begin(epoch)
            start, stop = begin - base, min(end - base, int(made.starts[-1]))
            block = int(np.searchsorted(made.starts, start, side="right")) - 1
            count = kernels.walk(
                start,
                stop,
                block * kernels.BLOCK,
                int(made.starts[block]),
                self.documents.offsets,
                self.documents.keys,
                made.shuffle,
                made.draw,
                *self._fim,
                out,
            )
            found += [Piece(source, d, epoch, at, n, Mode(mode)) for d, at, n, mode in out[:count].tolist()]
            begin, epoch = base + stop, epoch + 1
        return tuple(found)

    def place(self, document: int, epoch: int) -> tuple[int, int]:
        """Where in the stream an epoch has a document: position and laid-out tokens."""
        made = self._epoch(epoch)
        block, position, length = kernels.place(
            document, self.documents.offsets, self.documents.keys, made.shuffle, made.draw, *self._fim
        )
        return self.begin(epoch) + int(made.starts[block]) + position, length


class Order:
    """What the trainer sees. Steps count from 0: `step(n)` is what is seen after n steps were made.

    Raises ValueError if a phase can read nothing (`feasibility` says so before, with the place in the config).
    """

    def __init__(self, config: TrainConfig, store: TokenStore) -> None:
        self.config = config
        self.store = store
        sizes = [documents.count_tokens for documents in store.train]
        self.mixture = Mixture(stretches(config.phases, store.sources, sizes), config.steps * config.batch.sequences)
        self._streams = [
            _Stream(documents, source, config.seed, config.fim.get(source), config.context)
            for source, documents in zip(store.sources, store.train, strict=True)
        ]
        # A row begins where the row before it ended, often inside of a rearranged part: its tokens are made once.
        self._rearranged = lru_cache(maxsize=256)(self._rearrange)

    def step(self, n: int, rows: slice | None = None) -> tuple[SequencePlan, ...]:
        """The sequences of a step, or those in `rows`. Raises IndexError for a step that the run does not have."""
        if not 0 <= n < self.config.steps:
            raise IndexError(f"the run has {self.config.steps} steps, no step {n}")
        size, context = self.config.batch.sequences, self.config.context
        counts = self.mixture.counts(n * size)
        plans = []
        wanted = range(size) if rows is None else range(size)[rows]
        sources = self.mixture.sources(n * size, (n + 1) * size).tolist()
        numbers = []
        for source in sources:
            numbers.append(int(counts[source]))
            counts[source] += 1
        for row in wanted:
            source, number = sources[row], numbers[row]
            pieces = self._streams[source].pieces(source, number * context, (number + 1) * context)
            plans.append(SequencePlan(source, number, pieces))
        return tuple(plans)

    def tokens(self, piece: Piece) -> npt.NDArray[np.int64]:
        """The ids of a piece and, where its text goes on, the one behind it; padding is left out at the end."""
        documents = self.store.train[piece.source]
        if piece.mode is Mode.PLAIN:
            begin, end = documents.offsets[piece.document : piece.document + 2]
            begin += piece.start
            return documents.tokens[begin : min(begin + piece.length + 1, end)].astype(np.int64)
        span = self._streams[piece.source].span
        size = kernels.part_tokens(len(documents.ids(piece.document)) - 1, span) + fim.EXTRA
        part, start = divmod(piece.start, size)
        made = self._rearranged(piece.source, piece.document, piece.epoch, part, piece.mode)
        return made[start : start + piece.length + 1]

    def _rearrange(self, source: int, document: int, epoch: int, part: int, mode: Mode) -> npt.NDArray[np.int64]:
        """Tokens of a part of a rearranged document, with its end token."""
        documents, stream = self.store.train[source], self._streams[source]
        text = documents.ids(document)[:-1]
        size = kernels.part_tokens(len(text), stream.span)
        cut = kernels.mix(stream.draw(epoch, _CUT), documents.keys[document])
        tokenizer = self.store.tokenizer
        ids = fim.rearrange(
            text[part * size : (part + 1) * size].tolist(),
            mode,
            kernels.mix(np.uint64(cut), np.uint64(part)),
            tokenizer,
        )
        made = np.array([*ids, tokenizer.end], np.int64)
        made.setflags(write=False)
        return made

    def digest(self, n: int) -> str:
        """Hex hash of what makes a step: in each row, source, document, epoch, stretch and mode of every piece.

        It knows documents by their ids, so it does not change when the store is made again or its shards are moved.
        """
        rows = [
            (row, key(self.store.sources[p.source]), self.store.train[p.source].keys[p.document], *p[2:])
            for row, plan in enumerate(self.step(n))
            for p in plan.pieces
        ]
        return hashlib.blake2b(np.array(rows, "<u8").tobytes(), digest_size=16).hexdigest()

    def passes(self, source: int) -> float:
        """How often the whole run goes through a source's documents; estimated where that is far above `max_epochs`."""
        end = int(self.mixture.counts(self.mixture.slots)[source]) * self.config.context
        if not end:
            return 0.0
        stream, epoch = self._streams[source], 0
        while stream.begin(epoch + 1) < end and epoch <= self.config.max_epochs:
            epoch += 1
        return epoch + (end - stream.begin(epoch)) / (stream.begin(epoch + 1) - stream.begin(epoch))

    def visits(self, source: int, document: int) -> list[tuple[int, int, Piece]]:
        """Every (step, row, piece) that has tokens of a training document, in the order of steps."""
        stream, context, size = self._streams[source], self.config.context, self.config.batch.sequences
        sequences = int(self.mixture.counts(self.mixture.slots)[source])
        found = []
        epoch = 0
        while stream.begin(epoch) < sequences * context:
            begin, length = stream.place(document, epoch)
            for number in range(begin // context, min(-(-(begin + length) // context), sequences)):
                slot = self.mixture.slot(source, number)
                pieces = stream.pieces(source, number * context, (number + 1) * context)
                found += [(*divmod(slot, size), p) for p in pieces if (p.document, p.epoch) == (document, epoch)]
            epoch += 1
        return found


def feasibility(config: TrainConfig, store: TokenStore) -> list[Problem]:
    """Say what cannot work with these sources: unknown names, sources without tokens, more epochs than allowed."""
    problems = []
    sizes = dict(zip(store.sources, (documents.count_tokens for documents in store.train), strict=True))
    places: dict[str, Place] = {}
    for i, phase in enumerate(config.phases):
        if phase.weights == "auto":
            if not any(sizes.values()):
                problems.append(Problem(("data",), "no source has a document to train on"))
            continue
        for name, weight in phase.weights.items():
            at: Place = ("phases", i, "weights", name)
            used = max(weight) if isinstance(weight, tuple) else weight
            if name not in sizes:
                problems.append(Problem(at, f"there is no source '{name}'; {nearest(name, store.sources)}"))
            elif used and not sizes[name]:
                problems.append(Problem(at, f"source '{name}' has no document to train on"))
            elif used:
                places.setdefault(name, at)
    for name, settings in config.fim.items():
        if name not in sizes:
            problems.append(Problem(("fim", name), f"there is no source '{name}'; {nearest(name, store.sources)}"))
        elif settings.rate and not store.tokenizer.has_fim:
            problems.append(Problem(("fim", name), "the tokenizer lacks sentinels; tokenize again"))
    if problems:
        return problems
    order = Order(config, store)
    counts = order.mixture.counts(order.mixture.slots)
    for source, name in enumerate(store.sources):
        needed = int(counts[source]) * config.context
        if needed <= sizes[name] * config.max_epochs:  # rearranging only lengthens an epoch, so nothing needs walking
            continue
        passes = order.passes(source)
        if passes > config.max_epochs:
            steps = int(config.steps * config.max_epochs / passes)
            problems.append(
                Problem(
                    places.get(name, ("max_epochs",)),
                    f"source '{name}': the run needs {needed:,} tokens of it and it has {sizes[name]:,}: {passes:.1f} "
                    f"epochs, and max_epochs is {config.max_epochs:g}; take at most {steps:,} of {config.steps:,} "
                    f"steps, give it {config.max_epochs / passes:.0%} of its weight, or raise max_epochs",
                )
            )
    return problems
