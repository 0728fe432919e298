"""Words between white space: the table of characters, documents in batches and in slices, and very long ones."""

import unicodedata
from collections.abc import Mapping
from typing import Any

import messy
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import DclmGopher, DolmaGopher, DolmaRepetition, Nemo, NemoRepetition, character_classes, spaced
from filters.spaced import SpacedFilter

FILTERS: tuple[type[SpacedFilter], ...] = (DolmaGopher, DolmaRepetition, DclmGopher, Nemo, NemoRepetition)
TEXTS = messy.texts(["the", "a b", "a", "…", "# x", "- b", "•", "read more...", "http://a.b/c", "privacy policy"])


def measured(texts: list[str | None]) -> list[dict[str, Any]]:
    docs = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    signals: Mapping[str, pl.Expr] = {
        f"{kind.__name__}.{name}": signal for kind in FILTERS for name, signal in kind().signals().items()
    }
    return docs.select(**signals).to_dicts()


def test_classes_are_those_of_string_methods() -> None:
    table = character_classes.classes()
    methods = {
        character_classes.ALPHA: str.isalpha,
        character_classes.ALPHANUMERIC: str.isalnum,
        character_classes.UPPER: str.isupper,
        character_classes.DIGIT: str.isdigit,
        character_classes.DECIMAL: str.isdecimal,
        character_classes.SPACE: str.isspace,
    }
    for point in (*range(0x3000), *range(0x1D000, 0x1F200)):
        assert {flag: bool(table[point] & flag) for flag in methods} == {
            flag: method(chr(point)) for flag, method in methods.items()
        }
    beyond = "".join(map(chr, range(character_classes.SIZE, 0x110000)))
    assert not any(method(char) for char in beyond if unicodedata.category(char) != "Cn" for method in methods.values())


@given(st.lists(st.one_of(st.none(), TEXTS), min_size=1, max_size=3))
def test_a_text_is_measured_the_same_alone_and_in_a_batch(texts: list[str | None]) -> None:
    assert measured(texts) == [row for text in texts for row in measured([text])]


def test_a_slice_of_a_column_is_measured_by_its_own_rows() -> None:
    column = pl.concat([pl.Series(["one", None, "two words"]), pl.Series(["a b c", ""])], rechunk=False)
    for first in range(5):
        batch = spaced.measure(column[first:])
        assert batch.counts["words"].tolist() == [1, 0, 2, 3, 0][first:]
        assert batch.struck[:, 0].tolist() == [0, 0, 9, 3, 0][first:]
        assert batch.lines(True, ("a", "o"))[:, 1].tolist() == [1, 0, 0, 1, 0][first:]
        assert batch.pieces(1, blank=False)["chars"].tolist() == [3, 0, 9, 5, 0][first:]


LONG = 10_000_000


@pytest.mark.parametrize(
    ("unit", "words", "longest", "repeated"),
    [
        ("a", 1, LONG, False),
        ("日", 1, LONG, False),
        ("\u0301", 1, LONG, False),
        ("a ", LONG // 2, 1, True),
        ("# …\u3000", LONG // 2, 1, True),
        (" ", 0, 0, False),
        ("\n", 0, 0, False),
        ("some words, and more words.\n", LONG // 28 * 5, 6, True),
    ],
)
def test_documents_of_ten_million_characters(unit: str, words: int, longest: int, repeated: bool) -> None:
    text = unit * (LONG // len(unit))
    row, _ = measured([text, "short"])
    assert (row["DolmaGopher.words"], row["Nemo.longest_word"]) == (words, longest)
    spoken = unit.replace("…", "").replace("#", "").replace("\u0301", "").strip() != ""
    assert row["DclmGopher.words"] == (words if spoken else 0)
    assert row["DolmaGopher.symbol_words"] == ("#" in unit)
    lines = text.count("\n") + 1
    assert row["DolmaRepetition.duplicate_lines"] == (1 if unit == "\n" else (lines - 1) / lines)
    assert row["Nemo.white_space"] == pytest.approx(sum(unit.count(char) for char in " \n") / len(unit))
    for n in range(5, 11):
        assert (row[f"DolmaRepetition.duplicate_{n}_gram"] > 0.99) == repeated
        assert (row[f"NemoRepetition.duplicate_{n}_gram"] > 0.95) == repeated
