"""The heuristics of NeMo Curator for English: how it reads Gopher's rules, and others about characters and policies."""

from collections.abc import Mapping
from functools import partial
from string import ascii_letters, digits
from typing import ClassVar

import polars as pl
from pydantic import Field

from filters.base import Range
from filters.gopher import ENGLISH_STOP_WORDS
from filters.memory import Numbers
from filters.spaced import Spaced, SpacedFilter
from filters.words import ratio

_PLAIN = f"{ascii_letters}{digits}\n?!,.".encode()
_LATER_BYTES = bytes(range(0x80, 0xC0))  # of characters of several bytes
_GROUPS = (_PLAIN, digits.encode(), b"\t\n\r\b ", b"(){}[]", _LATER_BYTES)
_BULLETS = tuple("•‣⁃⁌⁍∙○●◘◦⦾⦿")
_ELLIPSES = ("...", "[...]", "…", "(...)", "[…]", "-»")
_ELLIPSIS_ENDS = (*_ELLIPSES, "read more", "read more..")
_END_MARKS = (".", "?", "!", '"', "'")
_URL = r"https?://(?:[a-zA-Z0-9$_@.&+/:=?#~!*(),-]|%[0-9a-fA-F]{2})+"
_POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "privacy & cookies policy",
    "privacy and cookies policy",
    "privacy overview",
    "uses cookies",
    "use cookies",
    "use of cookies",
    # how the notices of widespread cookie banners begin that have none of the above in them
    "necessary cookies are absolutely essential for the website",
    "any cookies that may not be particularly necessary for the website",
    "if you continue to browse this site without changing your cookie settings",
)


class Nemo(SpacedFilter):
    """NeMo Curator's heuristics for English (`heuristic_filter_english_pipeline.yaml` of its code), but for repetition,
    which is `nemo_repetition`.

    Of Gopher's rules it differs from `gopher` in that words are what white space parts; in that a symbol is a word of
    its own; in that stop words count every time, but none with a capital; in that lines are those between newlines that
    are not blank; and in what marks them. The other rules Gopher does not have. Where a share is of nothing, it is 0;
    an empty document has too few words.

    Signals, in the order in which its pipeline tries them:
        non_alphanumeric: share of characters other than letters and digits of ASCII, newlines and `?`, `!`, `,`, `.`:
            spaces are among them.
        symbol_words: share of words that are an ellipsis, such as `...` or `[…]`, or more of whose length than half is
            as many runs of `#`: a single `#` is one, a `##` is none.
        numbers: share of characters that are digits of ASCII.
        urls: share of characters in web addresses.
        white_space: share of characters that are a space, tab, newline, carriage return or backspace.
        parentheses: share of characters that are `(`, `)`, `[`, `]`, `{`, `}`, `⟨` or `⟩`.
        boilerplate: share of paragraphs that name a policy or the use of cookies; 1 where any has "lorem ipsum". Two
            newlines part paragraphs; capitals of ASCII count as small letters.
        words: their number.
        no_end_mark: share of lines that do not end with `.`, `?`, `!` or a quotation mark of ASCII.
        alpha_words: share of words with a letter; there, circled ones and Roman numerals of one character are some.
        stop_words: how often the stop words occur.
        mean_word_length, longest_word: in characters.
        ellipsis_lines: share of lines that end with an ellipsis, with `-»` or with "read more".
        bullet_lines: share of lines that begin with `•`, `‣`, `○` and the like; `-` and `*` are none.
    """

    source: ClassVar[str] = (
        "NVIDIA 2026, NeMo Curator 1.4, heuristic_filter_english_pipeline.yaml of its code; after Rae et al. 2021,"
        " appendix A.1.1, and Raffel et al. 2020, section 2.2"
    )
    units: ClassVar[Mapping[str, str]] = {
        "non_alphanumeric": "share",
        "symbol_words": "share",
        "numbers": "share",
        "urls": "share",
        "white_space": "share",
        "parentheses": "share",
        "boilerplate": "share",
        "words": "words",
        "no_end_mark": "share",
        "alpha_words": "share",
        "stop_words": "words",
        "mean_word_length": "characters",
        "longest_word": "characters",
        "ellipsis_lines": "share",
        "bullet_lines": "share",
    }
    defaults: ClassVar[Mapping[str, Range]] = {
        "non_alphanumeric": (None, 0.25),
        "symbol_words": (None, 0.1),
        "numbers": (None, 0.15),
        "urls": (None, 0.2),
        "white_space": (None, 0.25),
        "parentheses": (None, 0.1),
        "boilerplate": (None, 0.4),
        "words": (50, 100_000),
        "no_end_mark": (None, 0.85),
        "alpha_words": (0.8, None),
        "stop_words": (2, None),
        "mean_word_length": (3, 10),
        "longest_word": (None, 1000),
        "ellipsis_lines": (None, 0.3),
        "bullet_lines": (None, 0.9),
    }

    stop_words: tuple[str, ...] = Field(ENGLISH_STOP_WORDS, min_length=1)

    def signals(self) -> Mapping[str, pl.Expr]:
        text = pl.col("text").str
        chars = text.len_chars().clip(lower_bound=1)
        brackets = self.count(lambda batch: batch.bytes_of(_GROUPS)[:, 3]) + text.count_matches("[⟨⟩]")
        paragraphs = text.split("\n\n").list
        said = pl.element().str.contains_any(list(_POLICIES), ascii_case_insensitive=True)
        return {
            "non_alphanumeric": self.number(_non_alphanumeric),
            "symbol_words": self.number(_symbol_words),
            "numbers": self.number(partial(_share_of_chars, group=1)),
            "urls": (text.len_bytes() - text.replace_all(_URL, "").str.len_bytes()) / chars,  # all are ASCII
            "white_space": self.number(partial(_share_of_chars, group=2)),
            "parentheses": brackets / chars,
            "boilerplate": pl.when(text.contains_any(["lorem ipsum"], ascii_case_insensitive=True))
            .then(1.0)
            .otherwise(paragraphs.eval(said).list.mean()),
            "words": self.count(lambda batch: batch.counts["words"]),
            "no_end_mark": self.number(_no_end_mark),
            "alpha_words": self.number(_alpha_words),
            "stop_words": self.count(lambda batch: batch.listed(self.stop_words)),
            "mean_word_length": self.number(_mean_word_length),
            "longest_word": self.count(lambda batch: batch.counts["longest_word"]),
            "ellipsis_lines": self.number(partial(_share_of_lines, group=2)),
            "bullet_lines": self.number(partial(_share_of_lines, group=0)),
        }


class NemoRepetition(SpacedFilter):
    """Gopher's repetition rules as NeMo Curator measures them (`heuristic_filter_english_pipeline.yaml` of its code).

    It differs from `repetition` in that words are what white space parts; in that lines are those between newlines that
    are not blank and paragraphs stand between two newlines, and characters are shares of theirs; in that the most
    frequent n-gram counts wherever the text reads so, words joined by one space, even across words; and in that
    n-grams that occurred before may overlap, without counting a word twice. Of equally frequent n-grams the earliest
    is taken, where there any may be.

    NeMo Curator gives 1 to a document of fewer than n words, and so drops it as repetitive; it has 0 here.

    Signals:
        duplicate_lines, duplicate_paragraphs: share of lines and paragraphs that occurred before in the document.
        duplicate_line_chars, duplicate_paragraph_chars: share of the characters of all lines or paragraphs in them.
        top_2_gram, ..., top_4_gram: share of the document's characters that go with its most frequent n-gram.
        duplicate_5_gram, ..., duplicate_10_gram: share of the document's characters in n-grams that occurred before,
            with the spaces between words.
    """

    source: ClassVar[str] = Nemo.source
    defaults: ClassVar[Mapping[str, Range]] = {
        "duplicate_lines": (None, 0.3),
        "duplicate_paragraphs": (None, 0.3),
        "duplicate_line_chars": (None, 0.2),
        "duplicate_paragraph_chars": (None, 0.2),
        "top_2_gram": (None, 0.2),
        "top_3_gram": (None, 0.18),
        "top_4_gram": (None, 0.16),
        "duplicate_5_gram": (None, 0.15),
        "duplicate_6_gram": (None, 0.14),
        "duplicate_7_gram": (None, 0.13),
        "duplicate_8_gram": (None, 0.12),
        "duplicate_9_gram": (None, 0.11),
        "duplicate_10_gram": (None, 0.1),
    }
    units: ClassVar[Mapping[str, str]] = dict.fromkeys(defaults, "share")

    def signals(self) -> Mapping[str, pl.Expr]:
        return {
            "duplicate_lines": self.number(partial(_duplicates, newlines=1, part="later_copies", whole="pieces")),
            "duplicate_paragraphs": self.number(partial(_duplicates, newlines=2, part="later_copies", whole="pieces")),
            "duplicate_line_chars": self.number(
                partial(_duplicates, newlines=1, part="later_copies_chars", whole="chars")
            ),
            "duplicate_paragraph_chars": self.number(
                partial(_duplicates, newlines=2, part="later_copies_chars", whole="chars")
            ),
            **{f"top_{n}_gram": self.number(partial(_top_ngram, n=n)) for n in (2, 3, 4)},
            **{f"duplicate_{n}_gram": self.number(partial(_duplicate_ngrams, n=n)) for n in range(5, 11)},
        }


def _chars(batch: Spaced) -> Numbers:
    return batch.offsets[1:] - batch.offsets[:-1] - batch.bytes_of(_GROUPS)[:, 4]


def _share_of_chars(batch: Spaced, group: int) -> Numbers:
    return ratio(batch.bytes_of(_GROUPS)[:, group], _chars(batch))


def _non_alphanumeric(batch: Spaced) -> Numbers:
    return ratio(_chars(batch) - batch.bytes_of(_GROUPS)[:, 0], _chars(batch))


def _symbol_words(batch: Spaced) -> Numbers:
    return ratio(batch.listed(_ELLIPSES) + batch.counts["hash_words"], batch.counts["words"])


def _alpha_words(batch: Spaced) -> Numbers:
    return ratio(batch.counts["alpha_words"], batch.counts["words"])


def _mean_word_length(batch: Spaced) -> Numbers:
    return ratio(batch.counts["word_chars"], batch.counts["words"])


def _share_of_lines(batch: Spaced, group: int) -> Numbers:
    lines = batch.lines(True, _BULLETS, _END_MARKS, _ELLIPSIS_ENDS)
    return ratio(lines[:, 1 + group], lines[:, 0])


def _no_end_mark(batch: Spaced) -> Numbers:
    lines = batch.lines(True, _BULLETS, _END_MARKS, _ELLIPSIS_ENDS)
    return ratio(lines[:, 0] - lines[:, 2], lines[:, 0])


def _duplicates(batch: Spaced, newlines: int, part: str, whole: str) -> Numbers:
    pieces = batch.pieces(newlines, blank=newlines > 1)
    return ratio(pieces[part], pieces[whole])


def _top_ngram(batch: Spaced, n: int) -> Numbers:
    return ratio(batch.struck[:, n - 2], _chars(batch))


def _duplicate_ngrams(batch: Spaced, n: int) -> Numbers:
    return ratio(batch.ngrams[f"covered_{n}_gram_chars"], _chars(batch))
