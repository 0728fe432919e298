"""Measurements of text and the ranges they must stay in; usable alone, without the rest of Gristmill.

from filters import Gopher

docs.select(**Gopher().signals())  # polars columns: words, mean_word_length, ...
"""

from filters.base import Filter, Range, Step, Transform
from filters.c4 import C4, C4Lines, C4Paragraphs, DclmC4, DclmC4Lines
from filters.fineweb import FineWeb
from filters.gopher import Gopher
from filters.language import Language
from filters.repetition import Repetition
from filters.url import Url

FILTERS: dict[str, type[Step]] = {
    "url": Url,
    "language": Language,
    "repetition": Repetition,
    "gopher": Gopher,
    "c4_lines": C4Lines,
    "c4": C4,
    "c4_paragraphs": C4Paragraphs,
    "dclm_c4_lines": DclmC4Lines,
    "dclm_c4": DclmC4,
    "fineweb": FineWeb,
}
"""Every step of this package by the name that configs use."""

__all__ = [
    "C4",
    "FILTERS",
    "C4Lines",
    "C4Paragraphs",
    "DclmC4",
    "DclmC4Lines",
    "Filter",
    "FineWeb",
    "Gopher",
    "Language",
    "Range",
    "Repetition",
    "Step",
    "Transform",
    "Url",
]
