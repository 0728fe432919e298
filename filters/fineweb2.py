"""The recipe of FineWeb-2: the rules of Gopher and FineWeb with thresholds and stop words for each language.

The published settings lie in `fineweb2.json`, for the languages of lid.176. They were found on words as tokenisers for
each language cut them; where a script has no spaces, `segmenter: icu` comes nearest to that. With a word for each
letter they serve Chinese and Japanese as well, but not Thai, Lao, Khmer and Burmese, where a word has four letters:
there the rules that depend on its length are off. What the language of a document is, a step before says.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from filters.base import LANGUAGE, OFF, Filter, Range
from filters.fineweb import FineWeb
from filters.gopher import Gopher, StopWords
from filters.language import Language
from filters.repetition import Repetition

Settings = Mapping[str, Any]

SOURCE = "Penedo et al. 2025, FineWeb2: One Pipeline to Scale Them All, section 4, with the settings of its code"

_LONG_WORDS = ("_Thai", "_Laoo", "_Khmr", "_Mymr")


@cache
def published(codes: str) -> Mapping[str, Settings]:
    """Return the settings of each language by its code: `de` for `lid176`, `deu_Latn` for `glotlid`."""
    table = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {name if codes == "lid176" else settings["config"]: settings for name, settings in table.items()}


Ends = Callable[[Settings], Range]


def _least(name: str) -> Ends:
    return lambda known: (known[name], None)


def _most(name: str, place: int | None = None) -> Ends:
    return lambda known: (None, known[name] if place is None else known[name][place])


class _Published(Filter):
    """A filter whose default ranges are those published for each language."""

    source: ClassVar[str] = SOURCE

    codes: Literal["lid176", "glotlid"] = "lid176"
    """How the model names languages: `de`, or `deu_Latn`."""

    found: ClassVar[Mapping[str, Ends]]
    """What the settings of a language say of the range of a signal."""
    of_words: ClassVar[tuple[str, ...]] = ()
    """Signals whose published ranges mean nothing where the words of these scripts are single letters."""

    @classmethod
    def default_ranges(cls, settings: Mapping[str, Any]) -> Mapping[str, Range]:
        ranges = dict(cls.defaults)
        letters = settings.get("segmenter", "characters") == "characters"
        for language, known in published(str(settings.get("codes", "lid176"))).items():
            off = cls.of_words if letters and known["config"].endswith(_LONG_WORDS) else ()
            for signal, ends in cls.found.items():
                ranges[f"{signal}{LANGUAGE}{language}"] = OFF if signal in off else ends(known)
        return ranges


class FineWeb2Language(_Published, Language):
    """Language as in FineWeb-2 (Penedo et al. 2025, section 4): each language has the score that its texts must reach.

    The scores are of GlotLID, which knows many more languages than lid.176.

    Signals: those of `language`.
    """

    found: ClassVar[Mapping[str, Ends]] = {"score": _least("language_score")}


class FineWeb2Repetition(_Published, Repetition):
    """Repetition as in FineWeb-2 (Penedo et al. 2025, section 4): Gopher's rules with thresholds for each language, and
    without those about paragraphs and about characters in repeated lines.

    Signals: those of `repetition`.
    """

    defaults: ClassVar[Mapping[str, Range]] = {
        **Repetition.defaults,
        **dict.fromkeys(("duplicate_paragraphs", "duplicate_paragraph_chars", "duplicate_line_chars"), OFF),
    }
    found: ClassVar[Mapping[str, Ends]] = {
        "duplicate_lines": _most("dup_line_frac"),
        **{f"top_{n}_gram": _most("top_n_grams", n - 2) for n in range(2, 5)},
        **{f"duplicate_{n}_gram": _most("dup_n_grams", n - 5) for n in range(5, 11)},
    }
    of_words: ClassVar[tuple[str, ...]] = tuple(f"duplicate_{n}_gram" for n in range(5, 11))


class FineWeb2(_Published, FineWeb):
    """Lines as in FineWeb-2 (Penedo et al. 2025, section 4): FineWeb's rules with thresholds for each language, more
    repeated characters, and without that about short lines.

    Signals: those of `fineweb`.
    """

    defaults: ClassVar[Mapping[str, Range]] = {**FineWeb.defaults, "short_lines": OFF, "char_duplicates": (None, 0.1)}
    found: ClassVar[Mapping[str, Ends]] = {
        # From 0 downwards every document is in the range.
        "line_punct": lambda known: (known["line_punct_thr"], None) if known["line_punct_thr"] > 0 else OFF,
        "new_line_ratio": _most("new_line_ratio"),
    }


class FineWeb2Gopher(_Published, Gopher):
    """Quality as in FineWeb-2 (Penedo et al. 2025, section 4): Gopher's rules with word lengths, share of words with a
    letter and stop words for each language. A language without a list of stop words is not asked for them.

    Signals: those of `gopher`.
    """

    stop_words: StopWords = {}
    found: ClassVar[Mapping[str, Ends]] = {
        "mean_word_length": lambda known: (known["min_avg_word_length"], known["max_avg_word_length"]),
        "alpha_words": _least("max_non_alpha_words_ratio"),  # a minimum, whatever it is called
    }
    of_words: ClassVar[tuple[str, ...]] = ("mean_word_length",)

    @model_validator(mode="before")
    @classmethod
    def _published_stop_words(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "stop_words" in data:
            return data
        known = published(str(data.get("codes", "lid176")))
        return {**data, "stop_words": {name: settings["stopwords"] for name, settings in known.items()}}
