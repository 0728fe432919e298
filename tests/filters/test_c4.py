"""The removal of lines by the rules of C4."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import C4Lines

REASONS = ("long_word", "no_end_mark", "few_words", "javascript", "policy")


def apply(step: C4Lines, *texts: str | None) -> pl.DataFrame:
    return step.apply(
        pl.DataFrame({"id": range(len(texts)), "text": texts}, schema_overrides={"text": pl.String}), "c4_lines"
    )


@pytest.mark.parametrize(
    ("line", "kept", "reason"),
    [
        ("A line that ends well.", "A line that ends well.", None),
        ('  "Is it so?"  ', '"Is it so?"', None),
        ("A line without an end", None, "no_end_mark"),
        ("A line that trails off...", None, "no_end_mark"),
        ("Too short.", None, "few_words"),
        ("You need JavaScript to see this.", None, "javascript"),
        ("We use cookies to make it better.", None, "policy"),
        ("Read our Terms of Use first.", None, "policy"),
        ("x" * 1001 + " is too long.", None, "long_word"),
        ("x" * 1000 + " is not too long.", "x" * 1000 + " is not too long.", None),
        ("Cited [12] here[edit] and [] there [citation needed].", "Cited  here and  there .", None),
        ("Of words [1] [2].", "Of words  .", None),
        ("Lorem ipsum with javascript stays.", "Lorem ipsum with javascript stays.", None),
        ("The privacy policy in {braces} stays.", "The privacy policy in {braces} stays.", None),
        ("But javascript in {braces} goes.", None, "javascript"),
        ("", None, "no_end_mark"),
    ],
)
def test_lines(line: str, kept: str | None, reason: str | None) -> None:
    row = apply(C4Lines(), f"First line is kept.\n{line}\nLast line is kept.").row(0, named=True)
    middle = [] if kept is None else [kept]
    assert row["text"].split("\n") == ["First line is kept.", *middle, "Last line is kept."]
    removed = {
        name: row[f"c4_lines.{name}"] for name in ("long_word", "no_end_mark", "few_words", "javascript", "policy")
    }
    assert removed == {name: int(name == reason) for name in removed}
    assert row["c4_lines.lines_removed"] == int(reason is not None)


def test_citations_are_counted_and_settings_are_obeyed() -> None:
    step = C4Lines(terminal_punctuation=False, min_words=1, max_word_length=5)
    row = apply(step, "No end [1]\nOne\nabcdef g\n\nuses cookies").row(0, named=True)
    assert row["text"] == "No end \nOne"
    assert row["c4_lines.citations_removed"] == 1
    assert row["c4_lines.lines_removed"] == 3


@given(st.lists(st.one_of(st.none(), st.text(max_size=60)), max_size=5), st.booleans())
def test_rows_stay_and_the_counts_add_up(texts: list[str | None], terminal: bool) -> None:
    docs = apply(C4Lines(terminal_punctuation=terminal), *texts)
    assert docs["id"].to_list() == list(range(len(texts)))
    for text, row in zip(texts, docs.iter_rows(named=True), strict=True):
        if text is None:
            assert set(row.values()) == {None, row["id"]}
        else:
            left = row["text"].split("\n") if row["text"] else []
            assert len(text.splitlines()) == len(left) + row["c4_lines.lines_removed"] or "" in text.splitlines()
            parts = [
                row[f"c4_lines.{name}"] for name in ("long_word", "no_end_mark", "few_words", "javascript", "policy")
            ]
            assert sum(parts) == row["c4_lines.lines_removed"]
