"""Kinds of characters: against `unicodedata`, character by character."""

import unicodedata
from collections.abc import Callable
from itertools import groupby
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filters import Characters, Filter
from filters.composition_kernels import SIZE

Measure = Callable[[Filter, str], dict[str, Any]]

TEXTS = st.one_of(
    st.text(max_size=40),
    st.text("aÀǅ ʰ日1٣Ⅷ½.,—$+^~€©\u0301\u0903\n\t\x1f\x85\u2028\u200d\ufeff😀\U00020000\U000323af\U000e0100\U0010ffff"),
)


def by_hand(text: str) -> dict[str, float]:
    def kind(char: str) -> str:
        category = unicodedata.category(char) if ord(char) < SIZE else "Cn"
        return "space" if char.isspace() else category

    kinds = [kind(char) for char in text]
    letters = [found for found in kinds if found[0] == "L"]

    def share(part: int, whole: list[str] = kinds) -> float:
        return part / len(whole) if whole else 0.0

    return {
        "chars": len(text),
        "letters": share(sum(found[0] in "LM" for found in kinds)),
        "capitals": share(sum(found in ("Lu", "Lt") for found in kinds), letters),
        "digits": share(sum(found[0] == "N" for found in kinds)),
        "punctuation": share(sum(found[0] == "P" for found in kinds)),
        "symbols": share(sum(found[0] == "S" for found in kinds)),
        "white_space": share(kinds.count("space")),
        "other": share(sum(found[0] in "CZ" for found in kinds)),
        "non_ascii": share(sum(not char.isascii() for char in text)),
        "longest_run": max((len(list(run)) for _, run in groupby(text)), default=0),
    }


@given(TEXTS)
@example("")
@example("aab\u0301\u0301\u0301")
@example("😀😀😀 $100!!")
def test_every_share_is_that_of_unicode(measure: Measure, text: str) -> None:
    assert measure(Characters(), text) == pytest.approx(by_hand(text))


def test_shares_add_up_to_one() -> None:
    docs = pl.DataFrame({"text": ["Any text, in 2 lines:\n日本語 №5 = \x00", "é", None, "", "x" * 50]})
    got = docs[1:].vstack(docs[:1]).select(**Characters().signals())
    parts = got.select(pl.sum_horizontal("letters", "digits", "punctuation", "symbols", "white_space", "other"))
    assert parts.to_series().to_list() == pytest.approx([1, 0, 0, 1, 1])
    assert got["chars"].to_list() == [1, None, 0, 50, 32]
    assert got["longest_run"].to_list() == [1, None, 0, 50, 1]


def test_nothing_is_judged_by_default() -> None:
    assert Characters().keep == {}
    assert Characters(keep={"digits": (None, 0.15)}).keep == {"digits": (None, 0.15)}
