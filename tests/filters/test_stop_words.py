"""Stop words, of one list or of one for each language, against a search in lists of tokens."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import Gopher, words

LISTS = {"en": ("the", "don't", "of"), "th": ("และ", "ที่", "ได้"), "zh": ("我们", "的"), "xx": ("a-b", "...", "the the")}


def expected(text: str, listed: tuple[str, ...]) -> int:
    """How many of the words stand in a text as tokens in a row."""
    tokens = words.split(text)
    found = 0
    for word in listed:
        parts = words.split(word)
        found += any(tokens[i : i + len(parts)] == parts for i in range(len(tokens)))
    return found


def count(step: Gopher, rows: list[tuple[str | None, str | None]]) -> list[Any]:
    docs = pl.DataFrame(rows, schema={"text": pl.String, "language": pl.String}, orient="row")
    return docs.select(step.signals()["stop_words"]).to_series().to_list()


PARTS = st.sampled_from(
    ["the", "The", "don't", "do", "n't", "of", "และ", "แ", "ที่", "我", "们", "我们", "的", "a-b", "a", "...", "", "\n"]
)
TEXTS = st.lists(PARTS, max_size=12).flatmap(lambda parts: st.sampled_from(["", " "]).map(lambda by: by.join(parts)))


@given(st.lists(st.tuples(st.none() | TEXTS, st.sampled_from([None, "en", "th", "zh", "xx", "fr"])), max_size=6))
def test_each_language_has_its_list(rows: list[tuple[str | None, str | None]]) -> None:
    found = count(Gopher(stop_words=LISTS), rows)
    for (text, language), number in zip(rows, found, strict=True):
        listed = LISTS.get(language or "")
        assert number == (None if text is None or listed is None else expected(text, listed))


@given(st.lists(st.none() | TEXTS, max_size=6))
def test_one_list_is_for_all(texts: list[str | None]) -> None:
    listed = ("the", "don't", "ที่", "the")
    found = count(Gopher(stop_words=listed), [(text, None) for text in texts])
    assert found == [None if text is None else expected(text, ("the", "don't", "ที่")) for text in texts]


def test_one_list_needs_no_column_of_languages() -> None:
    assert pl.DataFrame({"text": ["to be"]}).select(Gopher().signals()["stop_words"]).item() == 2


@pytest.mark.parametrize("wrong", [(), {}, {"de": ()}, ("",), {"de": (" ",)}])
def test_lists_that_find_nothing_are_errors(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="stop_words"):
        Gopher(stop_words=wrong)


def test_settings_read_back_are_the_same() -> None:
    step = Gopher(stop_words=LISTS)
    assert Gopher.model_validate(step.model_dump(mode="json")) == step
