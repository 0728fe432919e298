"""The measurement of a batch of texts that all filters of words and lines share: each batch is tokenised once.

    measure(pl.Series(["Two words."])).counts["tokens"]  # array([3])

A `WordFilter` builds its expressions from functions that get the `Batch` of the column `text`. What a batch holds
is measured when it is first asked for, so a filter pays for what it uses.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, lru_cache, partial
from importlib.util import find_spec
from sys import getrefcount
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator

from filters.base import Filter
from filters.memory import Memory
from filters.memory import Numbers as Numbers

Compute = Callable[["Batch"], Numbers]


def installed(segmenter: str) -> str:
    """Return the name of a segmenter; raises ValueError if it needs a package that is not there."""
    if segmenter == "icu" and find_spec("icu4py") is None:
        raise ValueError("segmenter: 'icu' needs an extra: pip install 'gristmill[icu]'")
    return segmenter


Segmenter = Annotated[Literal["characters", "icu"], AfterValidator(installed)]
"""How scripts written without spaces (Han, kana, Thai, Khmer, Lao, Myanmar) become words: each letter is one, or those
of ICU's dictionaries are, at a tenth of the speed."""

WordLists = tuple[tuple[str | None, tuple[str, ...]], ...]
"""Lists of words with the language that each is for; None stands for all."""

ABBREVIATIONS = (
    "Adm. Ak. Ala. Apr. Ariz. Ark. Aug. Bros. Calif. Co. Colo. Conn. Corp. Dec. Del. Dr. Feb. Fla. Ga. Gen. Gov. Ia. "
    "Id. Ill. Inc. Ind. Jan. Jr. Jul. Jun. Kan. Kans. Ky. La. Ltd. Mar. Mass. Md. Messrs. Mich. Minn. Miss. Mo. Mont. "
    "Mr. Mrs. Ms. Mt. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. Ph.D. Prof. Rep. Rev. Sen. Sep. Sept. St. Tenn. Va. "
    "Wash. Wis. co. a.m. p.m. e.g. i.e. E.g. I.e. E.G. I.E. v.s. vs. "
    "a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. ä. ö. ü."
).split()
"""English words whose full stop belongs to them, so that it is no token and ends no sentence."""

TOGETHER = (
    "'' 'S 's 'd 'll 're 'em 'bout 'nuff 'Cause 'cause 'Cos 'cos 'Coz 'coz 'Cuz 'cuz "
    "’S ’s ’d ’ll ’re ’em ’bout ’nuff ’Cause ’cause ’Cos ’cos ’Coz ’coz ’Cuz ’cuz "
    ":) :( :* :] :} :> ): ;) (: (; [: =) =( =] (= [= ]="
).split()
"""Words with their apostrophe, and pairs of marks, that spaCy does not part."""

UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz kmh mph hPa Pa mbar mb "
    "MB kb KB gb GB tb TB T G M K am pm км м дм см мм нм кг г мг кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тб"
).split()
"""Units of measure that are tokens of their own right after a number."""


class Rooms:
    """Arrays for the tokens of a batch, used again for the next batch when nobody looks at them any more.

    Fresh memory costs as much as tokenising, because the system hands it out page by page. An array that has a view is
    referred to by it, so that the count of references tells whether it is free. There is room for a token for each
    byte, of which only what is written takes memory.
    """

    def __init__(self) -> None:
        self._kept: tuple[NDArray[Any], ...] = ()

    def take(self, size: int) -> tuple[NDArray[Any], ...]:
        """Return arrays for hashes, lengths and starts of up to `size` tokens; what they hold is arbitrary."""
        free = all(getrefcount(array) == _UNSEEN for array in self._kept)
        if not (free and self._kept and size <= len(self._kept[0]) <= 8 * size + _SMALL):
            self._kept = ()  # what is too small goes before its successor comes
            self._kept = tuple(np.empty(max(size, _SMALL), dtype) for dtype in (np.uint64, np.uint32, np.uint32))
        return self._kept


_SMALL = 1 << 16
_UNSEEN = 3  # the tuple, the variable of the loop and the argument of the call
_rooms = Rooms()


class Batch:
    """Documents of one column as a UTF-8 buffer, with what has been measured of them so far.

    A null counts as an empty text here; a filter gives null for it.
    """

    def __init__(self, text: pl.Series, segmenter: Segmenter = "characters") -> None:
        self.data, self.offsets = buffers(text)
        self.segmenter = segmenter
        self._lines: dict[int, NDArray[np.int64]] = {}

    @cached_property
    def _tokenised(self) -> tuple[NDArray[Any], ...]:
        from filters import characters, tokens

        room = _rooms.take(len(self.data))
        bounds, counts = tokens.tokenise(
            self.data,
            self.offsets,
            characters.table(),
            *_lists(),
            word_starts(self.data, self.offsets, self.segmenter),
            *room,
        )
        return *(array[: bounds[-1]] for array in room), bounds, counts

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """64-bit hashes of all tokens of all documents, in order; equal tokens have equal hashes on every machine."""
        return self._tokenised[0]

    @property
    def lengths(self) -> NDArray[np.uint32]:
        """Lengths of all tokens, in characters."""
        return self._tokenised[1]

    @property
    def starts(self) -> NDArray[np.uint32]:
        """Where each token starts in its document, in characters."""
        return self._tokenised[2]

    @property
    def bounds(self) -> NDArray[np.int64]:
        """Shape [documents + 1]: the tokens of document d are `bounds[d]:bounds[d + 1]`."""
        return self._tokenised[3]

    @property
    def counts(self) -> Mapping[str, NDArray[np.int64]]:
        """`chars`, `tokens`, `words`, `word_chars`, `alpha_words`, `sentences` of each document."""
        from filters.tokens import COUNTS

        return dict(zip(COUNTS, self._tokenised[4].T, strict=True))

    def lines(self, short: int = 30) -> Mapping[str, NDArray[np.int64]]:
        """Counts about the lines and paragraphs of each document, as named in `filters.kernels.LINE_COUNTS`.

        Args:
            short: the most characters that a short line has.
        """
        from filters import characters, kernels

        if short not in self._lines:
            self._lines[short] = kernels.lines(self.data, self.offsets, characters.table(), short)
        return dict(zip(kernels.LINE_COUNTS, self._lines[short].T, strict=True))

    @cached_property
    def repeated(self) -> NDArray[np.int64]:
        """Shape [documents, 9]: characters of the top 2- to 4-grams, then of duplicate 5- to 10-grams."""
        from filters import kernels

        answer: NDArray[np.int64] = kernels.repeated_ngrams(self.hashes, self.lengths, self.bounds)
        return answer

    def distinct(self, lists: WordLists, language: pl.Series | None = None) -> NDArray[np.int64]:
        """Number of different words of a list that each document has; -1 where there is no list for its language."""
        from filters import kernels

        names, *flat = _flat(lists, self.segmenter)
        if language is None:
            which = np.full(len(self.bounds) - 1, names.index(None), np.int64)
        else:
            places = {name: place for place, name in enumerate(names)}
            which = np.array([places.get(name, -1) for name in language], np.int64)
        answer: NDArray[np.int64] = kernels.distinct_listed(self.hashes, self.bounds, which, *flat)
        return answer


def hashes(tokens: tuple[str, ...] | list[str]) -> NDArray[np.uint64]:
    """Return the hash that each string has when it stands in a text as one token."""
    from filters.hashing import hash_slices

    answer: NDArray[np.uint64] = hash_slices(*buffers(pl.Series(list(tokens), dtype=pl.String)))
    return answer


@lru_cache(maxsize=8)
def _flat(lists: WordLists, segmenter: Segmenter) -> tuple[list[str | None], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the names of lists, and their words and the words' tokens as `kernels.distinct_listed` takes them."""
    words = [word for _, listed in lists for word in dict.fromkeys(listed)]
    edges = np.cumsum([0, *(len(dict.fromkeys(listed)) for _, listed in lists)])
    batch = Batch(pl.Series(words, dtype=pl.String), segmenter)
    return [name for name, _ in lists], edges, batch.bounds, batch.hashes.copy()


@cache
def _lists() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    from filters.hashing import table

    return table(hashes([*ABBREVIATIONS, *TOGETHER])), table(hashes(UNITS))


def word_starts(data: NDArray[np.uint8], offsets: NDArray[np.int64], segmenter: Segmenter) -> NDArray[np.uint8]:
    """Return 1 for each byte at which a word of a script without spaces starts; nothing if every letter is a word."""
    if segmenter == "characters":
        return np.zeros(0, np.uint8)
    from filters.segmenter import starts

    return starts(data, offsets)


def segmenter_version(segmenter: Segmenter) -> Mapping[str, str]:
    """Return what the words of a segmenter depend on, for a step's identity."""
    if segmenter == "characters":
        return {}
    from icu4py import icu_version

    return {"icu": icu_version}


def split(text: str, segmenter: Segmenter = "characters") -> list[str]:
    """Return the tokens of one text: words, and punctuation marks each for itself."""
    batch = Batch(pl.Series([text]), segmenter)
    return [text[start : start + length] for start, length in zip(batch.starts, batch.lengths, strict=True)]


def ratio(part: Numbers, whole: Numbers) -> NDArray[np.float64]:
    """Return `part / whole`, and 0 where the whole is 0: nothing repeats in a text without lines."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)


def buffers(text: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return a column as one UTF-8 buffer and its offsets; a null is empty."""
    array = text.fill_null("").rechunk().to_arrow()  # large_string: 64-bit offsets into one buffer
    _, offsets, data = array.buffers()
    # Of the same type whatever the column holds: read-only, or the kernels would be compiled once more.
    bounds = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8) if offsets else _NO_BOUNDS
    return np.frombuffer(data or b"", np.uint8), bounds


def strings(data: NDArray[np.uint8], bounds: NDArray[np.int64], missing: pl.Series) -> pl.Series:
    """Return a column `text` of the strings `data[bounds[i]:bounds[i + 1]]` in UTF-8; null where `missing` is true."""
    import pyarrow as pa

    array = pa.LargeStringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(data))
    column = pl.Series("text", array)
    return column.set(missing, None) if missing.any() else column


_NO_BOUNDS = np.frombuffer(bytes(8), np.int64)
_memory: Memory[Batch] = Memory()


def measure(text: pl.Series, segmenter: Segmenter = "characters") -> Batch:
    """Return the measurement of a column of text; that of the last column is remembered."""
    return _memory.recall(text, partial(Batch, segmenter=segmenter), segmenter)


class WordFilter(Filter):
    """A filter whose signals are worked out of the words and lines of the text."""

    version: ClassVar[int] = 2

    segmenter: Segmenter = "characters"
    """What a word is in scripts without spaces: each letter, or what ICU's dictionaries say (extra `[icu]`)."""

    def identity(self) -> Mapping[str, str]:
        # Which characters are letters comes with Python.
        return {"unicode": unicodedata.unidata_version, **segmenter_version(self.segmenter)}

    def number(self, compute: Compute) -> pl.Expr:
        """Return a signal that is a number with a fraction."""
        return self._signal(compute, pl.Float64)

    def count(self, compute: Compute) -> pl.Expr:
        """Return a signal that is a whole number."""
        return self._signal(compute, pl.Int64)

    def listed(self, words: tuple[str, ...] | Mapping[str, tuple[str, ...]]) -> pl.Expr:
        """Return a signal that is the number of different words of a list; null in a language that has none."""
        if not isinstance(words, Mapping):
            return self.count(lambda batch: batch.distinct(((None, words),)))
        lists = tuple(words.items())

        def evaluate(columns: Sequence[pl.Series]) -> pl.Series:
            text, language = columns
            with _memory.lock:
                counts = measure(text, self.segmenter).distinct(lists, language)
            return pl.Series(text.name, counts, pl.Int64).set(pl.Series(counts < 0) | text.is_null(), None)

        return pl.map_batches(["text", "language"], evaluate, return_dtype=pl.Int64)

    def _signal(self, compute: Compute, dtype: type[pl.DataType]) -> pl.Expr:
        return _memory.signal(partial(Batch, segmenter=self.segmenter), compute, dtype, self.segmenter)
