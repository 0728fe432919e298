"""Text to one form: composed characters, one kind of line end, nothing invisible, no blank space that means nothing."""

from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from filters.base import Transform

_LINE_ENDS = r"\r\n|[\r\x0b\x0c\x{85}\x{2028}\x{2029}]"

# Kept on purpose: the joiners U+200C and U+200D (Persian and Indic spelling, emoji) and the marks of direction U+200E
# and U+200F. Removed: controls, soft hyphen, word joiner and invisible operators, byte order mark, overrides and
# isolates of direction, interlinear annotation, and code points that are no characters.
_INVISIBLE = (
    r"[\x00-\x08\x0e-\x1f\x7f-\x{84}\x{86}-\x{9f}\x{ad}\x{2060}-\x{206f}\x{202a}-\x{202e}\x{feff}"
    r"\x{fff9}-\x{fffb}\x{fdd0}-\x{fdef}\x{fffe}\x{ffff}]"
)
_WORD_BREAK = "\u200b"
_UNSPACED = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}\p{Balinese}]"
"""Scripts without spaces between words, in which U+200B says where a word ends."""


class Normalize(Transform):
    """Unicode NFC, one kind of line end; no control or zero-width characters, no superfluous blank space.

    Applied twice it changes nothing more. Signals: whether the text was `changed`, and by how many characters it
    became shorter (`removed`; composition counts too).
    """

    source: ClassVar[str] = "Unicode Standard Annex 15, normalization form C"
    units: ClassVar[Mapping[str, str]] = {"changed": "0 or 1", "removed": "characters"}
    version: ClassVar[int] = 1

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        before = pl.col("text")
        text = before.str.replace_all(_LINE_ENDS, "\n").str.replace_all(_INVISIBLE, "")
        text = (
            pl.when(text.str.contains(_UNSPACED))
            .then(text)
            .otherwise(text.str.replace_all(_WORD_BREAK, "", literal=True))
        )
        text = (
            text.str.normalize("NFC")
            .str.replace_all(r"[^\S\n]+(\n|\z)", "$1")
            .str.replace_all(r"\n{3,}", "\n\n")
            .str.strip_chars("\n")
        )
        return (
            docs.with_columns(text.alias("text"), pl.col("text").alias("_before"))
            .with_columns(
                pl.col("text").ne(pl.col("_before")).alias(f"{name}.changed"),
                (
                    pl.col("_before").str.len_chars().cast(pl.Int64) - pl.col("text").str.len_chars().cast(pl.Int64)
                ).alias(f"{name}.removed"),
            )
            .drop("_before")
        )
