"""What the order asks of a source: its sequences, stage by stage, whatever way its documents are packed."""

from collections.abc import Iterator
from typing import Protocol

from training.kernels import Ints


class Stream(Protocol):
    """A source's sequences; they count from 0 in each stage. The next stage goes on where the one before ended."""

    def write(self, stage: int, first: int, rows: Ints, source: int, out: Ints, written: int) -> int:
        """Write the pieces of consecutive sequences, from number `first` on, one for each of `rows`, into a table.

        They are written from row `written` of the table on, with columns as in `Table`; gives the number after the
        last.
        """

    def passes(self, stage: int, count: int, most: float = ...) -> float:
        """Epochs gone through after `count` sequences of a stage; estimated where it is far above `most`."""

    def holding(self, document: int, counts: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """Stage and number of each sequence with tokens of a document, of the first `counts` of each stage."""

    def padding(self, stage: int) -> float:
        """Share of a stage's positions that are free at the ends of sequences, of a sample at its beginning."""
