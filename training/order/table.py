"""How the order of a step is told: its rows and what fills them, as objects and as a table of numbers."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from training.fim import Mode


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
    """One row of a step: its source, which of that source's sequences it is, and the pieces that stand in it.

    Sequences count from 0 in each stage. What the pieces leave free at the end of the row is padding.
    """

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
    TEXT = 8
    """With which token of the document a piece begins that is not rearranged."""
