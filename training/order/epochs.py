"""A source's documents, epoch after epoch: in which order each has them, and which of them are rearranged.

All draws are hashes of (seed, source, document, epoch). The order of an epoch is a permutation by a keyed Feistel
network, which takes no memory.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np

from training import fim, kernels
from training.config import FimSettings
from training.store.shards import key
from training.store.tokens import Documents

_SHUFFLE, _DRAW, _CUT, _ROWS = (np.uint64(word) for word in (1, 2, 3, 4))


class Epochs:
    """Epochs count from 0, and places in an epoch's order, too."""

    def __init__(
        self, documents: Documents, source: str, seed: int, settings: FimSettings | None, shortest: Callable[[], int]
    ) -> None:
        """`shortest` gives the context of the shortest sequences in which the source is read."""
        self.documents = documents
        self.count = len(documents)
        self.tokens: int = documents.count_tokens  # of the manifest: what is mapped may have to wait for a disk
        """Of all documents as they are; an epoch is laid out on as many, or more if some are rearranged."""
        self._settings = settings if settings is not None and settings.rate else None
        self.plain = self._settings is None
        """Whether no document is rearranged."""
        self._shortest = shortest
        self._key = np.uint64(kernels.mix(np.uint64(seed % 2**64), np.uint64(key(source))))
        self.draws = lru_cache(maxsize=64)(self._drawn)

    @cached_property
    def span(self) -> int:
        """Most text tokens of a rearranged part, the same in the whole run.

        A part fits the shortest sequences in which the source is read. Were it to follow the length of sequences, what
        an epoch is laid out on would change in the middle of it.
        """
        return fim.span(self._shortest() if self._settings is not None else 0)

    def draw(self, epoch: int, purpose: np.uint64) -> np.uint64:
        """The key of an epoch's draws of one kind."""
        return np.uint64(kernels.mix(np.uint64(kernels.mix(self._key, np.uint64(epoch))), purpose))

    def _drawn(self, epoch: int) -> kernels.Draws:
        settings = self._settings
        return (
            np.uint64(0) if self.documents.ordered else self.draw(epoch, _SHUFFLE),
            self.draw(epoch, _DRAW),
            0.0 if settings is None else settings.rate,
            0.0 if settings is None else settings.spm,
            fim.LEAST,
            self.span,
            fim.EXTRA,
            settings is not None and settings.level == "context",
        )

    def mixed(self, count: int, *words: int) -> kernels.Ints:
        """An order of `count` sequences that `words` name; as they are if the documents are not shuffled."""
        drawn = self.draw(words[0], _ROWS)
        for word in words[1:]:
            drawn = np.uint64(kernels.mix(drawn, np.uint64(word)))
        return kernels.permutation(count, np.uint64(0) if self.documents.ordered else drawn)

    def place(self, document: int, epoch: int) -> int:
        """Where in an epoch's order a document stands."""
        return int(kernels.unpermuted(np.uint64(document), np.uint64(self.count), self.draws(epoch)[0]))

    def text_at(self, document: int, epoch: int, position: int) -> tuple[int, int, int]:
        """The part that has a position of a document's layout: its number, its text's first token, and its position."""
        key, draws = self.documents.keys[document], self.draws(epoch)
        part, first, at = kernels.part_at(position, self._tokens(document), key, draws)
        return int(part), int(first), int(at)

    def part(self, document: int, part: int) -> tuple[int, int]:
        """The tokens of a document's text between which a part lies."""
        tokens = self._tokens(document)
        parts = kernels.part_count(tokens, self.span)
        return int(kernels.part_begin(part, tokens, parts)), int(kernels.part_begin(part + 1, tokens, parts))

    def _tokens(self, document: int) -> int:
        """Of a document's text, without its end token."""
        return int(self.documents.offsets[document + 1] - self.documents.offsets[document]) - 1

    def cut(self, document: int, epoch: int, part: int) -> int:
        """The key of the cuts of a rearranged part."""
        drawn = kernels.mix(self.draw(epoch, _CUT), self.documents.keys[document])
        return int(kernels.mix(np.uint64(drawn), np.uint64(part)))

    def texts(self, epoch: int, first: int, stop: int) -> kernels.Ints:
        """What documents at places `first` to `stop` of an epoch are to be read as (see `kernels.texts`)."""
        return kernels.texts(first, stop, epoch, *self.arrays(epoch))

    def arrays(self, epoch: int) -> tuple[kernels.Ints, kernels.Keys, kernels.Draws]:
        """What compiled functions take to walk through an epoch."""
        return self.documents.offsets, self.documents.keys, self.draws(epoch)
