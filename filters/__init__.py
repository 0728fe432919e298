"""Measurements of text and the ranges they must stay in; usable alone, without the rest of Gristmill.

from filters import Gopher

docs.select(**Gopher().signals())  # polars columns: words, mean_word_length, ...
"""

from filters.bad_words import BadWords
from filters.base import Filter, Range, Step, Transform
from filters.c4 import C4, C4Lines, C4Paragraphs, DclmC4, DclmC4Lines
from filters.code import Code, CodeData, CodeHtml, CodeMarkup
from filters.composition import Characters
from filters.dclm import DclmGopher
from filters.dolma import DolmaGopher, DolmaRepetition
from filters.fineweb import FineWeb
from filters.fineweb2 import FineWeb2, FineWeb2Gopher, FineWeb2Language, FineWeb2Repetition
from filters.gopher import Gopher
from filters.language import Language
from filters.language_mix import LanguageMix
from filters.nemo import Nemo, NemoRepetition
from filters.refinedweb import RefinedWeb, RefinedWebLines
from filters.repetition import Repetition
from filters.url import Url

FILTERS: dict[str, type[Step]] = {
    "url": Url,
    "language": Language,
    "language_mix": LanguageMix,
    "repetition": Repetition,
    "gopher": Gopher,
    "dolma_repetition": DolmaRepetition,
    "dolma_gopher": DolmaGopher,
    "dclm_gopher": DclmGopher,
    "nemo_repetition": NemoRepetition,
    "nemo": Nemo,
    "refinedweb": RefinedWeb,
    "refinedweb_lines": RefinedWebLines,
    "c4_lines": C4Lines,
    "c4": C4,
    "c4_paragraphs": C4Paragraphs,
    "dclm_c4_lines": DclmC4Lines,
    "dclm_c4": DclmC4,
    "fineweb": FineWeb,
    "fineweb2_language": FineWeb2Language,
    "fineweb2_repetition": FineWeb2Repetition,
    "fineweb2_gopher": FineWeb2Gopher,
    "fineweb2": FineWeb2,
    "bad_words": BadWords,
    "characters": Characters,
    "code": Code,
    "code_markup": CodeMarkup,
    "code_data": CodeData,
    "code_html": CodeHtml,
}
"""Every step of this package by the name that configs use."""

__all__ = [
    "C4",
    "FILTERS",
    "BadWords",
    "C4Lines",
    "C4Paragraphs",
    "Characters",
    "Code",
    "CodeData",
    "CodeHtml",
    "CodeMarkup",
    "DclmC4",
    "DclmC4Lines",
    "DclmGopher",
    "DolmaGopher",
    "DolmaRepetition",
    "Filter",
    "FineWeb",
    "FineWeb2",
    "FineWeb2Gopher",
    "FineWeb2Language",
    "FineWeb2Repetition",
    "Gopher",
    "Language",
    "LanguageMix",
    "Nemo",
    "NemoRepetition",
    "Range",
    "RefinedWeb",
    "RefinedWebLines",
    "Repetition",
    "Step",
    "Transform",
    "Url",
]
