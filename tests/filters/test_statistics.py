"""Gopher's, FineWeb's and C4's statistics: against plain Python written from the papers, over arbitrary text."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filters import C4, FILTERS, Filter, FineWeb, Gopher, Repetition, words
from filters.base import LANGUAGE
from filters.fineweb import FineWeb as FineWebFilter

Measure = Callable[[Filter, str], dict[str, Any]]

LINES = st.lists(
    st.sampled_from(
        [
            "",
            " ",
            "a",
            "- b",
            "• c...",
            "One line longer than thirty letters.",
            "…",
            "d. . .",
            "\u3000e。",
            "f…\t",
        ]
    ),
    max_size=12,
)
TEXTS = st.one_of(
    st.text(max_size=80),
    st.text("ab \n.-•…#\r\x0b\x85\u2028é日", max_size=60),
    st.builds(str.join, st.sampled_from(["\n", "\n\n", "\r\n", " \n \n", "\n\n\n"]), LINES),
    st.lists(st.sampled_from("abc"), max_size=60).map(" ".join),
)


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def repeats(items: list[str]) -> tuple[int, int]:
    """How many items occurred before, and their characters."""
    again = [item for i, item in enumerate(items) if item in items[:i]]
    return len(again), sum(map(len, again))


@given(TEXTS)
@example("\n")
@example("\n\na\n")
@example("a\n \nb\n\na")
def test_gopher_repetition(measure: Measure, text: str) -> None:
    got = measure(Repetition(), text)
    paragraphs, lines = re.split("\n{2,}", text.strip()), re.split("\n+", text)
    assert got["duplicate_paragraphs"] == share(repeats(paragraphs)[0], len(paragraphs))
    assert got["duplicate_paragraph_chars"] == share(repeats(paragraphs)[1], len(text))
    assert got["duplicate_lines"] == share(repeats(lines)[0], len(lines))
    assert got["duplicate_line_chars"] == share(repeats(lines)[1], len(text))
    tokens = words.split(text)
    for n in (2, 3, 4):
        grams = Counter(" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
        top, count = max(grams.items(), key=lambda item: item[1], default=("", 0))
        assert got[f"top_{n}_gram"] == share(len(top) * count, len(text))
    for n in range(5, 11):
        seen, chars, i = set(), 0, 0
        while i <= len(tokens) - n:
            gram = tuple(tokens[i : i + n])
            if gram in seen:
                chars += sum(map(len, gram))
                i += n
            else:
                seen.add(gram)
                i += 1
        assert got[f"duplicate_{n}_gram"] == share(chars, len(text))


@given(TEXTS)
def test_gopher_quality(measure: Measure, text: str) -> None:
    got = measure(Gopher(stop_words=("a", "b", "b", "é")), text)
    tokens, lines = words.split(text), text.splitlines()
    assert got["hash_ratio"] == share(text.count("#"), len(tokens))
    assert got["ellipsis_ratio"] == share(text.count("...") + text.count("…"), len(tokens))
    assert got["bullet_lines"] == share(sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines))
    assert got["ellipsis_lines"] == share(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines))
    assert got["alpha_words"] == share(sum(any(map(str.isalpha, token)) for token in tokens), len(tokens))
    assert got["stop_words"] == len({"a", "b", "é"} & set(tokens))


@given(TEXTS, st.sampled_from([0, 5, 30]))
def test_fineweb(measure: Measure, text: str, short: int) -> None:
    got = measure(FineWeb(short_line_length=short), text)
    lines = [line for line in text.split("\n") if line.strip()]
    ends = sum(line.endswith((".", "!", "?", "。")) for line in lines)
    if not set(text) - set("ab \n.-•…#\r\x0b\x85\u2028é日"):  # the only marks that end sentences here are those four
        assert got["line_punct"] == share(ends, len(lines))
    assert got["short_lines"] == share(sum(len(line) <= short for line in lines), len(lines))
    assert got["char_duplicates"] == share(repeats(lines)[1], len(text.replace("\n", "")))
    assert got["new_line_ratio"] == share(text.count("\n"), len(words.split(text)))


@given(TEXTS)
def test_c4_pages(measure: Measure, text: str) -> None:
    text = text.replace("a", "Lorem IPSUM").replace("b", "{")
    got = measure(C4(), text)
    assert got["curly_brackets"] == text.count("{")
    assert got["lorem_ipsum"] == text.lower().count("lorem ipsum")


def test_exclude_zero_leaves_line_punct_unmeasured_where_no_line_ends_so(measure: Measure) -> None:
    assert measure(FineWebFilter(exclude_zero=True), "no mark")["line_punct"] is None
    assert measure(FineWebFilter(exclude_zero=True), "a mark.\nnone")["line_punct"] == 0.5


@pytest.mark.parametrize("name", [name for name, kind in FILTERS.items() if issubclass(kind, Filter)])
def test_null_text_has_null_signals_and_other_rows_are_not_touched(name: str, request: pytest.FixtureRequest) -> None:
    if "language" in name:
        request.getfixturevalue("lid_model")
    settings: dict[str, dict[str, Any]] = {"url": {"integrated": False}, "bad_words": {"lists": __file__}}
    step = FILTERS[name](**settings.get(name, {}))
    assert isinstance(step, Filter)
    values = ["http://example.org/one page. of text", None, "", "http://example.org/one page. of text"]
    columns = {"text": values, "url": values, "language": [None if value is None else "de" for value in values]}
    docs = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    got = docs.select(**step.signals())
    assert got.height == 4
    assert all(value is None for value in got.row(1))
    assert got.row(0) == got.row(3)
    assert docs.clear().select(**step.signals()).height == 0
    assert list(step.keep) == list(step.default_ranges({}))
    assert {key.partition(LANGUAGE)[0] for key in step.keep} <= set(step.signals())


@pytest.mark.parametrize("tokens", range(12))
def test_a_document_of_fewer_words_than_n_is_not_called_repetitive(measure: Measure, tokens: int) -> None:
    got = measure(Repetition(), " ".join(f"word{i}" for i in range(tokens)))
    assert all(got[f"duplicate_{n}_gram"] == 0 for n in range(5, 11))
    assert all(got[f"top_{n}_gram"] == 0 for n in (2, 3, 4) if tokens < n)
