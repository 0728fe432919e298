"""The order of training: which documents make step N, as a pure function of (config, seed, N).

Every source is a stream of sequences made of its documents, in an order drawn anew for each epoch. The mixture says how
many sequences of each source come before a step, and so where in its stream each row begins. Nothing is kept from step
to step, so micro batches, loader workers and world size cannot matter, and step N costs the same whichever steps were
asked for before.
"""

import hashlib
from functools import cache, lru_cache, partial

import numpy as np
import numpy.typing as npt

from training import fim, kernels, reading
from training.config import TrainConfig
from training.fim import Mode
from training.mixture import Mixture, caps, fresh_equivalent
from training.order.concatenated import Concatenated
from training.order.epochs import Epochs
from training.order.fitted import Fitted
from training.order.stream import Stream
from training.order.table import Piece, SequencePlan, Table
from training.steps import Steps
from training.store.shards import key
from training.store.tokens import TokenStore

_WINDOW = 1024
"""Slots."""


class Order:
    """What the trainer sees. Steps count from 0: `step(n)` is what is seen after n steps were made.

    Raises ValueError if a phase can read nothing (`feasibility` says so before, with the place in the config).
    """

    def __init__(self, config: TrainConfig, store: TokenStore) -> None:
        self.config = config
        self.store = store
        sizes = [documents.count_tokens for documents in store.train]
        self.steps = Steps.of(config)
        self.mixture = Mixture.of(config, self.steps, store.sources, sizes)
        self.caps = caps(config)
        """Most passes over the sources that have a cap of their own."""
        self._contexts = tuple(stage.context for stage in self.steps.stages)
        self._counts = cache(self._counted)
        self._window = lru_cache(maxsize=8)(self._windowed)
        self._epochs = [
            Epochs(documents, source, config.seed, config.fim.get(source), partial(self._shortest, number))
            for number, (source, documents) in enumerate(zip(store.sources, store.train, strict=True))
        ]
        self._streams = [self._stream(number) for number in range(len(store.sources))]
        # A row often begins inside of a rearranged part, where the row before it ended: its tokens are made once.
        self._rearranged = lru_cache(maxsize=256)(self._rearrange)

    def _stream(self, source: int) -> Stream:
        epochs, packing = self._epochs[source], self.config.packing
        if packing == "concatenate":
            return Concatenated(epochs, self._contexts, lambda stage: self._counts(stage)[source])
        return Fitted(epochs, self._contexts, lambda stage: self._counts(stage)[source], packing == "buckets")

    def _counted(self, stage: int) -> tuple[int, ...]:
        """Sequences of each source in a whole stage."""
        schedule = self.mixture.stages[stage]
        return tuple(schedule.counts(schedule.slots).tolist())

    def _shortest(self, source: int) -> int:
        """Tokens of the shortest sequences in which a source is read."""
        if len(self._contexts) == 1:
            return self._contexts[0]
        read = [context for stage, context in enumerate(self._contexts) if self._counts(stage)[source]]
        return min(read or self._contexts)

    def _drawn(self, stage: int, begin: int, end: int) -> tuple[kernels.Ints, kernels.Ints]:
        """Sequences of each source before slot `begin` of a stage, and the source of each slot up to `end`."""
        first = begin // _WINDOW
        windows = [self._window(stage, number) for number in range(first, max(-(-end // _WINDOW), first + 1))]
        counts, before = windows[0][0], begin - first * _WINDOW
        sources = windows[0][1] if len(windows) == 1 else np.concatenate([given for _, given in windows])
        counts = counts + np.bincount(sources[:before], minlength=len(counts))
        return counts, sources[before : before + end - begin].copy()

    def _windowed(self, stage: int, number: int) -> tuple[kernels.Ints, kernels.Ints]:
        """What the mixture has in a window of slots, of which several steps are made one after the other."""
        schedule = self.mixture.stages[stage]
        counts, given = schedule.stretch(number * _WINDOW, min((number + 1) * _WINDOW, schedule.slots))
        return counts, given.astype(np.int64)

    def step(self, n: int, rows: slice | None = None) -> tuple[SequencePlan, ...]:
        """The sequences of a step, or those in `rows`. Raises IndexError for a step that the run does not have."""
        sources, numbers, table = self.table(n, rows)
        pieces: list[list[Piece]] = [[] for _ in sources]
        for row, source, document, epoch, start, length, mode, _, _ in table.tolist():
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
        begin, size, stage = self.steps.slot(n), self.steps.rows(n), self.steps.stage(n)
        counts, sources = self._drawn(stage.number, begin, begin + size)
        numbers = np.empty(size, np.int64)
        for source in range(len(counts)):
            mine = (sources == source).nonzero()[0]
            numbers[mine] = np.arange(counts[source], counts[source] + len(mine))
        if rows is not None:
            sources, numbers = sources[rows], numbers[rows]
        out = np.empty((len(sources) * stage.context, len(Table)), np.int64)  # of which few pages are touched
        written = 0
        for source in range(len(counts)):
            reading.order_of(self.store.train[source])
            mine = (sources == source).nonzero()[0]
            apart = (np.diff(numbers[mine]) != 1).nonzero()[0] + 1 if rows is not None else ()
            for some in np.split(mine, apart) if len(apart) else (mine,):
                if len(some):
                    first = int(numbers[some[0]])
                    written = self._streams[source].write(stage.number, first, some, source, out, written)
        return sources, numbers, out[out[:written, Table.ROW].argsort(kind="stable")]

    def tokens(self, piece: Piece) -> npt.NDArray[np.int64]:
        """The ids of a piece and, where its text goes on, the one behind it; padding is left out at the end."""
        epochs, length = self._epochs[piece.source], piece.length
        part, first, at = epochs.text_at(piece.document, piece.epoch, piece.start)
        if piece.mode is Mode.PLAIN:
            begin = first + piece.start - at
            return epochs.documents.ids(piece.document)[begin : begin + length + 1].astype(np.int64)
        made = self._rearranged(piece.source, piece.document, piece.epoch, part, piece.mode)
        return made[piece.start - at : piece.start - at + length + 1]

    def _rearrange(self, source: int, document: int, epoch: int, part: int, mode: Mode) -> npt.NDArray[np.int64]:
        """Tokens of a part of a rearranged document, with its end token."""
        epochs, tokenizer = self._epochs[source], self.store.tokenizer
        reading.text_of(epochs.documents, document)
        text = epochs.documents.ids(document)[:-1]
        begin, stop = epochs.part(document, part)
        cuts = self.config.fim[self.store.sources[source]].cuts
        made = fim.rearrange(text[begin:stop], mode, epochs.cut(document, epoch, part), tokenizer, cuts, ended=True)
        made.setflags(write=False)
        return made

    def digest(self, n: int, table: kernels.Ints | None = None) -> str:
        """Hex hash of what makes a step: in each row, source, document, epoch, stretch and mode of every piece.

        It knows documents by their ids, so it does not change when the store is made again or its shards are moved.
        Whoever has the whole step's `table` gives it.
        """
        if table is None:
            table = self.table(n)[2]
        hashed = table[:, : Table.COLUMN].astype("<u8")
        names = np.array([key(source) for source in self.store.sources], np.uint64)
        hashed[:, Table.SOURCE] = names[table[:, Table.SOURCE]]
        for source in np.unique(table[:, Table.SOURCE]).tolist():
            mine = table[:, Table.SOURCE] == source
            hashed[mine, Table.DOCUMENT] = self.store.train[source].keys[table[mine, Table.DOCUMENT]]
        return hashlib.blake2b(hashed.tobytes(), digest_size=16).hexdigest()

    def passes(self, source: int) -> float:
        """How often the whole run goes through a source's documents; estimated where that is far above its cap."""
        count = int(self.mixture.sequences[-1, source])
        most, _ = self.caps.get(self.store.sources[source], (self.config.max_epochs, ()))
        return self._streams[source].passes(len(self._contexts) - 1, count, most)

    def fresh_equivalent(self, source: int) -> float:
        """Tokens of fresh text that the whole run's passes over a source are worth."""
        documents = self.store.train[source]
        copies = documents.count_tokens / max(documents.unique_tokens, 1)
        return fresh_equivalent(documents.unique_tokens, self.passes(source) * copies)

    def passes_before(self, n: int) -> list[float]:
        """How often each source's documents were gone through in the first n steps: 1.25 is a quarter of the second."""
        stage = self.steps.stage(n).number
        slot = self.steps.slot(n)
        counts = self._drawn(stage, slot, slot)[0].tolist()
        return [stream.passes(stage, count) for stream, count in zip(self._streams, counts, strict=True)]

    def padding(self, source: int, stage: int) -> float:
        """Share of a source's positions in a stage that stay free at the ends of sequences, on a sample of it.

        What rearranged texts leave free of their room is not counted.
        """
        return self._streams[source].padding(stage)

    def visits(self, source: int, document: int) -> list[tuple[int, int, Piece]]:
        """Every (step, row, piece) that has tokens of a training document, in the order of steps."""
        stream = self._streams[source]
        counts = tuple(self._counts(stage)[source] for stage in range(len(self._contexts)))
        found = []
        for stage, number in sorted(set(stream.holding(document, counts))):
            step, row = self.steps.place(stage, self.mixture.stages[stage].slot(source, number))
            table = np.empty((self._contexts[stage], len(Table)), np.int64)
            written = stream.write(stage, number, np.zeros(1, np.int64), source, table, 0)
            for _, _, d, epoch, start, length, mode, _, _ in table[:written].tolist():
                if d == document:
                    found.append((step, row, Piece(source, d, epoch, start, length, Mode(mode))))
        return found
