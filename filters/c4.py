"""The rules of C4: lines that are no text are removed, and pages that are no text are dropped."""

import re
from collections.abc import Mapping
from typing import ClassVar

import polars as pl
from pydantic import Field

from filters.base import Range, Transform
from filters.words import WordFilter

_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_END_MARKS = (".", "?", "!", '"', "'")
_POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_LOREM_IPSUM = "lorem ipsum"
_REMOVED = ("long_word", "no_end_mark", "few_words", "javascript", "policy")


class C4Lines(Transform):
    """Removal of lines that are not running text (Raffel et al. 2020, "Exploring the Limits of Transfer Learning",
    section 2.2, with the rules that only its code has: words of over 1,000 characters, policies, citations).

    Lines are those of `str.splitlines`; kept ones lose the white space at their ends and marks such as `[12]`, `[edit]`
    and `[citation needed]`. A line is removed for the first of these: a word longer than `max_word_length` characters;
    no mark that ends a sentence, or an ellipsis (unless `terminal_punctuation` is false, as in FineWeb); fewer than
    `min_words` words; the word JavaScript; a phrase about cookies, privacy or terms of use.

    Where the original drops the whole page while it goes through the lines (`lorem ipsum`, `{`), the line stays, and
    the filter `c4` drops the page for it.

    Signals: lines_removed, and of these long_word, no_end_mark, few_words, javascript and policy; citations_removed.
    """

    terminal_punctuation: bool = True
    min_words: int = Field(3, ge=0)
    max_word_length: int = Field(1000, ge=1)

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        texts: list[str | None] = []
        rows: list[tuple[int | None, ...]] = []
        for text in docs["text"]:
            if text is None:
                texts.append(None)
                rows.append((None,) * (len(_REMOVED) + 2))
                continue
            kept, removed, citations = self._clean(text)
            texts.append("\n".join(kept))
            rows.append((sum(removed.values()), *removed.values(), citations))
        names = [f"{name}.{signal}" for signal in ("lines_removed", *_REMOVED, "citations_removed")]
        signals = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Int64), orient="row")
        return docs.with_columns(pl.Series("text", texts, pl.String), *signals.get_columns())

    def _clean(self, text: str) -> tuple[list[str], dict[str, int], int]:
        """Return the lines kept, how many were removed for which reason, and how many citation marks."""
        lower = text.lower()
        javascript = "javascript" in lower
        policies = [phrase for phrase in _POLICIES if phrase in lower]
        removed = dict.fromkeys(_REMOVED, 0)
        citations = 0
        kept = []
        for raw in text.splitlines():
            line = raw.strip()
            words = line.split()
            if len(line) > self.max_word_length and max(map(len, words)) > self.max_word_length:
                removed["long_word"] += 1
                continue
            if "[" in line:
                line, found = _CITATION.subn("", line)
                citations += found
            if self.terminal_punctuation and (not line.endswith(_END_MARKS) or line.endswith("...")):
                removed["no_end_mark"] += 1
                continue
            if len(words) < self.min_words:
                removed["few_words"] += 1
                continue
            if javascript or policies:
                lower = line.lower()
                page_is_dropped = _LOREM_IPSUM in lower
                if "javascript" in lower and not page_is_dropped:
                    removed["javascript"] += 1
                    continue
                page_is_dropped |= "{" in line
                if not page_is_dropped and any(phrase in lower for phrase in policies):
                    removed["policy"] += 1
                    continue
            kept.append(line)
        return kept, removed, citations


class C4(WordFilter):
    """Rules of C4 about whole pages (Raffel et al. 2020, section 2.2); `c4_lines` comes before it.

    Signals:
        lorem_ipsum: how often the placeholder text occurs.
        curly_brackets: number of `{`, which is in programs and seldom in text.
        sentences: a sentence ends at a mark such as `.`, `?`, `!` or `。` that is a token of its own, or with its line.
    """

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
