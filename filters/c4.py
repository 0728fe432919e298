"""The rules of C4: lines that are no text are removed, and pages that are no text are dropped."""

from collections.abc import Mapping
from typing import ClassVar

import polars as pl
from pydantic import Field

from filters.base import Filter, Range, Transform
from filters.words import WordFilter, buffers, strings

_SOURCE = (
    "Raffel et al. 2020, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, section 2.2"
)
_DCLM = "Li et al. 2024, DataComp-LM: In Search of the Next Generation of Training Sets, c4.yaml of its code"


class C4Lines(Transform):
    """Removal of lines that are not running text (Raffel et al. 2020, section 2.2, and the rules that only its code
    has: words of over 1,000 characters, policies, citations).

    Lines are those of `str.splitlines`; kept ones lose the white space at their ends and marks such as `[12]`, `[edit]`
    and `[citation needed]`. A line is removed for the first of these: a word longer than `max_word_length` characters;
    no mark that ends a sentence, or an ellipsis (unless `terminal_punctuation` is false, as in FineWeb); fewer than
    `min_words` words; the word JavaScript; a phrase about cookies, privacy or terms of use.

    Where the original drops the whole page while it goes through the lines (`lorem ipsum`, `{`), the line stays, and
    the filter `c4` drops the page for it.

    Signals: lines_removed, and of these long_word, no_end_mark, few_words, javascript and policy; citations_removed.
    """

    source: ClassVar[str] = _SOURCE
    units: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("lines_removed", "long_word", "no_end_mark", "few_words", "javascript", "policy"), "lines"),
        "citations_removed": "marks",
    }
    version: ClassVar[int] = 2

    terminal_punctuation: bool = True
    min_words: int = Field(3, ge=0)
    max_word_length: int = Field(1000, ge=1)

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        from filters import c4_kernels, characters

        data, offsets = buffers(docs["text"])
        settings = self.terminal_punctuation, self.min_words, self.max_word_length
        kept, bounds, counts = c4_kernels.clean(data, offsets, characters.table(), characters.zeros(), *settings)
        removed = counts[:, : len(c4_kernels.REMOVED)]
        values = (removed.sum(axis=1), *counts.T)
        signals = pl.DataFrame({f"{name}.{signal}": column for signal, column in zip(self.units, values, strict=True)})
        missing = docs["text"].is_null()
        if missing.any():
            signals = signals.with_columns(pl.when(~missing).then(pl.all()))
        return docs.with_columns(strings(kept, bounds, missing), *signals.get_columns())


class C4(WordFilter):
    """Rules of C4 about whole pages (Raffel et al. 2020, section 2.2); `c4_lines` comes before it.

    Signals:
        lorem_ipsum: how often the placeholder text occurs.
        curly_brackets: number of `{`, which is in programs and seldom in text.
        sentences: a sentence ends at a mark such as `.`, `?`, `!` or `。` that is a token of its own, or with its line.
    """

    source: ClassVar[str] = _SOURCE
    units: ClassVar[Mapping[str, str]] = {
        "lorem_ipsum": "occurrences",
        "curly_brackets": "occurrences",
        "sentences": "sentences",
    }
    defaults: ClassVar[Mapping[str, Range]] = {
        "lorem_ipsum": (None, 0),
        "curly_brackets": (None, 0),
        "sentences": (5, None),
    }

    def signals(self) -> Mapping[str, pl.Expr]:
        text = pl.col("text")
        return {
            "lorem_ipsum": text.str.count_matches("(?i)lorem ipsum").cast(pl.Int64),
            "curly_brackets": text.str.count_matches("{", literal=True).cast(pl.Int64),
            "sentences": self.count(lambda batch: batch.counts["sentences"]),
        }


class DclmC4Lines(C4Lines):
    """`c4_lines` as DCLM reproduces C4 (Li et al. 2024, `c4.yaml` of its code): a line needs five words."""

    source: ClassVar[str] = _DCLM
    min_words: int = Field(5, ge=0)


class DclmC4(C4):
    """`c4` as DCLM reproduces it (Li et al. 2024, `c4.yaml` of its code): three sentences are enough, and a page has
    an upper bound. `dclm_c4_lines` comes before it.

    Signals: those of `c4`, and
        chars: characters. DCLM counts those of the page as it came, here they are of what its lines have left.
    """

    source: ClassVar[str] = _DCLM
    units: ClassVar[Mapping[str, str]] = {"chars": "characters", **C4.units}
    defaults: ClassVar[Mapping[str, Range]] = {**C4.defaults, "chars": (None, 190_000), "sentences": (3, None)}

    def signals(self) -> Mapping[str, pl.Expr]:
        return {"chars": self.count(lambda batch: batch.counts["chars"]), **super().signals()}


class C4Paragraphs(Filter):
    """The rule by which mC4 tells pages with running text (Xue et al. 2021, section 3.1).

    Signals:
        long_lines: number of lines, between newlines, of at least `min_chars` characters.
    """

    source: ClassVar[str] = (
        "Xue et al. 2021, mT5: A Massively Multilingual Pre-trained Text-to-Text Transformer, section 3.1"
    )
    units: ClassVar[Mapping[str, str]] = {"long_lines": "lines"}
    defaults: ClassVar[Mapping[str, Range]] = {"long_lines": (3, None)}

    min_chars: int = Field(200, ge=1)

    def signals(self) -> Mapping[str, pl.Expr]:
        lines = pl.col("text").str.split("\n").list
        return {"long_lines": lines.eval(pl.element().str.len_chars() >= self.min_chars).list.sum().cast(pl.Int64)}
