"""The order of training: which documents make step N, as a pure function of (config, seed, N).

Every source is an endless stream: its documents in an order drawn anew for each epoch, one behind the other, cut into
sequences of `context` tokens. The mixture says how many sequences of each source come before a step, and so where in
its stream each row begins. Nothing is kept from step to step, so micro batches, loader workers and world size cannot
matter, and step N costs the same whichever steps were asked for before.

All draws are hashes of (seed, source, document, epoch). The order of an epoch is a permutation by a keyed Feistel
network, which takes no memory; one pass over an epoch remembers a position every 256 documents (1/32 byte a document).
"""

import hashlib
import math
from bisect import bisect_right
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.configfile import Place, Problem
from training import fim, kernels
from training.config import FimSettings, TrainConfig
from training.fim import Mode
from training.mixture import Mixture, caps, fresh_equivalent, infeasible
from training.mixture.problems import named
from training.shards import key
from training.steps import Steps
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


class Table(IntEnum):
    """The columns of `Order.table`: one row for each piece, in the order in which a step has them."""

    ROW = 0
    SOURCE = 1
    DOCUMENT = 2
    EPOCH = 3
    START = 4
    LENGTH = 5
    MODE = 6
    COLUMN = 7
    """Where in its row the piece begins."""


class _Epoch(NamedTuple):
    """One pass over a source's documents."""

    starts: kernels.Ints
    """Positions of every BLOCK-th document, and the length of the whole."""
    shuffle: np.uint64
    """Of the permutation; 0 leaves the documents as they lie."""
    draw: np.uint64


class _Stream:
    """A source's documents, epoch after epoch."""

    def __init__(
        self, documents: Documents, source: str, seed: int, settings: FimSettings | None, context: int
    ) -> None:
        self.documents = documents
        self.context = context
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
        shuffle = np.uint64(0) if self.documents.ordered else self.draw(epoch, _SHUFFLE)
        draw = self.draw(epoch, _DRAW)
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

    def passes(self, end: int, most: float = math.inf) -> float:
        """Epochs in the first `end` positions; estimated where it is far above `most`."""
        if not end:
            return 0.0
        epoch = 0
        while self.begin(epoch + 1) < end and epoch <= most:
            epoch += 1
        return epoch + (end - self.begin(epoch)) / (self.begin(epoch + 1) - self.begin(epoch))

    def write(self, source: int, first: int, rows: kernels.Ints, out: kernels.Ints, written: int) -> int:
        """Write the pieces of consecutive sequences, from number `first` on, one for each of `rows`, into a table.

        They are written from row `written` of the table on; gives the number after the last.
        """
        begin, end = first * self.context, (first + len(rows)) * self.context
        epoch = self.epoch_of(begin)
        while begin < end:
            made, base = self._epoch(epoch), self.begin(epoch)
            start, stop = begin - base, min(end - base, int(made.starts[-1]))
            block = int(made.starts.searchsorted(start, side="right")) - 1
            written = kernels.walk(
                start,
                stop,
                base,
                self.context,
                block * kernels.BLOCK,
                int(made.starts[block]),
                self.documents.offsets,
                self.documents.keys,
                made.shuffle,
                made.draw,
                *self._fim,
                source,
                epoch,
                first,
                rows,
                out,
                written,
            )
            begin, epoch = base + stop, epoch + 1
        return written

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
        self.steps = Steps.of(config)
        self.mixture = Mixture.of(config, store.sources, sizes, store.folder)
        self.caps = caps(config)
        """Most passes over the sources that have a cap of their own."""
        self._streams = [
            _Stream(documents, source, config.seed, config.fim.get(source), config.context)
            for source, documents in zip(store.sources, store.train, strict=True)
        ]
        # A row begins where the row before it ended, often inside of a rearranged part: its tokens are made once.
        self._rearranged = lru_cache(maxsize=256)(self._rearrange)

    def step(self, n: int, rows: slice | None = None) -> tuple[SequencePlan, ...]:
        """The sequences of a step, or those in `rows`. Raises IndexError for a step that the run does not have."""
        sources, numbers, table = self.table(n, rows)
        pieces: list[list[Piece]] = [[] for _ in sources]
        for row, source, document, epoch, start, length, mode, _ in table.tolist():
            pieces[row].append(Piece(source, document, epoch, start, length, Mode(mode)))
        named = zip(sources.tolist(), numbers.tolist(), pieces, strict=True)
        return tuple(SequencePlan(source, number, tuple(mine)) for source, number, mine in named)

    def table(self, n: int, rows: slice | None = None) -> tuple[kernels.Ints, kernels.Ints, kernels.Ints]:
        """A step, or those `rows` of it that are asked for, as arrays: the source of each row, which of that source's
        sequences it is, and the pieces, with columns as in `Table`. Rows are counted from the first that is asked for.

        A source has consecutive sequences in a step, so that one walk gives all of them.
        """
        if not 0 <= n < self.config.steps:
            raise IndexError(f"the run has {self.config.steps} steps, no step {n}")
        begin, size = self.steps.slot(n), self.steps.rows(n)
        counts, given = self.mixture.stretch(begin, begin + size)
        sources = given.astype(np.int64)
        numbers = np.empty(size, np.int64)
        for source in range(len(counts)):
            mine = (sources == source).nonzero()[0]
            numbers[mine] = np.arange(counts[source], counts[source] + len(mine))
        if rows is not None:
            sources, numbers = sources[rows], numbers[rows]
        out = np.empty((len(sources) * self.config.context, len(Table)), np.int64)  # of which few pages are touched
        written = 0
        for source in range(len(counts)):
            mine = (sources == source).nonzero()[0]
            apart = (np.diff(numbers[mine]) != 1).nonzero()[0] + 1 if rows is not None else ()
            for some in np.split(mine, apart) if len(apart) else (mine,):
                if len(some):
                    written = self._streams[source].write(source, int(numbers[some[0]]), some, out, written)
        return sources, numbers, out[out[:written, Table.ROW].argsort(kind="stable")]

    def tokens(self, piece: Piece) -> npt.NDArray[np.int64]:
        """The ids of a piece and, where its text goes on, the one behind it; padding is left out at the end."""
        documents = self.store.train[piece.source]
        if piece.mode is Mode.PLAIN:
            return documents.ids(piece.document)[piece.start : piece.start + piece.length + 1].astype(np.int64)
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
        _, _, table = self.table(n)
        hashed = table[:, : Table.COLUMN].astype("<u8")
        names = np.array([key(source) for source in self.store.sources], np.uint64)
        hashed[:, Table.SOURCE] = names[table[:, Table.SOURCE]]
        for source in np.unique(table[:, Table.SOURCE]).tolist():
            mine = table[:, Table.SOURCE] == source
            hashed[mine, Table.DOCUMENT] = self.store.train[source].keys[table[mine, Table.DOCUMENT]]
        return hashlib.blake2b(hashed.tobytes(), digest_size=16).hexdigest()

    def passes(self, source: int) -> float:
        """How often the whole run goes through a source's documents; estimated where that is far above its cap."""
        end = int(self.mixture.sequences[source]) * self.config.context
        most, _ = self.caps.get(self.store.sources[source], (self.config.max_epochs, ()))
        return self._streams[source].passes(end, most)

    def fresh_equivalent(self, source: int) -> float:
        """Tokens of fresh text that the whole run's passes over a source are worth."""
        documents = self.store.train[source]
        copies = documents.count_tokens / max(documents.unique_tokens, 1)
        return fresh_equivalent(documents.unique_tokens, self.passes(source) * copies)

    def passes_before(self, n: int) -> list[float]:
        """How often each source's documents were gone through in the first n steps: 1.25 is a quarter of the second."""
        counts = self.mixture.counts(self.steps.slot(n)).tolist()
        return [stream.passes(count * self.config.context) for stream, count in zip(self._streams, counts, strict=True)]

    def visits(self, source: int, document: int) -> list[tuple[int, int, Piece]]:
        """Every (step, row, piece) that has tokens of a training document, in the order of steps."""
        stream, context = self._streams[source], self.config.context
        sequences = int(self.mixture.counts(self.mixture.slots)[source])
        found = []
        epoch = 0
        while stream.begin(epoch) < sequences * context:
            begin, length = stream.place(document, epoch)
            for number in range(begin // context, min(-(-(begin + length) // context), sequences)):
                slot = self.mixture.slot(source, number)
                table = np.empty((context, len(Table)), np.int64)
                written = stream.write(source, number, np.zeros(1, np.int64), table, 0)
                for _, _, d, e, start, filled, mode, _ in table[:written].tolist():
                    if (d, e) == (document, epoch):
                        found.append((*self.steps.place(0, slot), Piece(source, d, e, start, filled, Mode(mode))))
            epoch += 1
        return found


def feasibility(config: TrainConfig, store: TokenStore) -> list[Problem]:
    """Say what cannot work with these sources: unknown names, sources without tokens, more epochs than allowed."""
    sizes = dict(zip(store.sources, (documents.count_tokens for documents in store.train), strict=True))
    problems = infeasible(config, sizes)
    for name, settings in config.fim.items():
        if name in sizes and settings.rate and not store.tokenizer.has_fim:
            problems.append(Problem(("fim", name), "the tokenizer lacks sentinels; tokenize again"))
    if problems:
        return problems
    order = Order(config, store)
    places: dict[str, Place] = {}
    for place, name, read in named(config):
        if read:
            places.setdefault(name, place)
    sequences = order.mixture.sequences.tolist()
    for source, name in enumerate(store.sources):
        most, place = order.caps.get(name, (config.max_epochs, places.get(name, ("max_epochs",))))
        needed = sequences[source] * config.context
        if needed <= sizes[name] * most:  # rearranging only lengthens an epoch, so nothing needs walking
            continue
        passes = order.passes(source)
        if passes > most:
            fits = order.steps.tokens * most / passes
            steps = bisect_right(
                range(1, config.steps + 1), fits, key=lambda n: Steps(config.batch, n, config.context).tokens
            )
            problems.append(
                Problem(
                    place,
                    f"source '{name}': the run needs {needed:,} tokens of it and it has {sizes[name]:,}: {passes:.1f} "
                    f"epochs, and max_epochs is {most:g}; take at most {steps:,} of {config.steps:,} steps, give it "
                    f"{most / passes:.0%} of its weight, or raise max_epochs. So often read, it is worth "
                    f"{order.fresh_equivalent(source):,.0f} tokens of fresh text (Muennighoff et al. 2023)",
                )
            )
    return problems
