"""The removal of lines by the rules of C4."""

import oracle
import polars as pl
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters.c4_filters import C4ParagraphFilter
from hypothesis import given
from hypothesis import strategies as st

from filters import C4Lines, C4Paragraphs, DclmC4, DclmC4Lines

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
        (
            "No mark: [editcitation needed] [edit1] [ 1] [x] [.",
            "No mark: [editcitation needed] [edit1] [ 1] [x] [.",
            None,
        ),
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


PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        "JavaScript javascript javas[1]cript cookie Coo\u212aie policy Policy privacy use of uses cookies terms "
        "lorem Lorem ipsum [12] [] [edit] [Edit] [citation needed] [ [٣٤] [²] [1 ]] { . ... ? ! "
        "\" ' … 日本 \ufeff".split()
    ),
    st.sampled_from(
        ["\n", "\r\n", "\r", "\n\r", "\x0b", "\x1c", "\x1f", "\x85", "\u2028", "\xa0", "\u3000", "\t", " "]
    ),
    st.sampled_from(
        ["use cookies", "cookie policy", "terms of use", "privacy policy", "lorem ipsum", "citation needed"]
    ),
)
PAGES = st.lists(PIECES, max_size=30).flatmap(lambda parts: st.sampled_from(["", " "]).map(lambda by: by.join(parts)))


@given(
    st.lists(st.one_of(st.none(), PAGES), max_size=5),
    st.booleans(),
    st.integers(0, 4),
    st.sampled_from([1, 5, 1000]),
)
def test_lines_are_removed_as_plain_python_does(
    texts: list[str | None], terminal: bool, min_words: int, longest: int
) -> None:
    step = C4Lines(terminal_punctuation=terminal, min_words=min_words, max_word_length=longest)
    docs = apply(step, *texts)
    assert docs["id"].to_list() == list(range(len(texts)))
    for text, row in zip(texts, docs.iter_rows(named=True), strict=True):
        if text is None:
            assert set(row.values()) == {None, row["id"]}
            continue
        cleaned, counts = oracle.c4_lines(text, terminal, min_words, longest)
        assert row["text"] == cleaned
        assert {name: row[f"c4_lines.{name}"] for name in (*REASONS, "citations_removed")} == {
            name: counts[name] for name in (*REASONS, "citations_removed")
        }
        assert row["c4_lines.lines_removed"] == sum(counts[name] for name in REASONS)


@pytest.mark.parametrize("unit", ["a", "[", "[1", "k", " ", "\n", "use cookies ", "日", "[citation needed"])
def test_pages_of_ten_million_characters(unit: str) -> None:
    text = unit * (10_000_000 // len(unit))
    row = apply(C4Lines(terminal_punctuation=False), text).row(0, named=True)
    cleaned, counts = oracle.c4_lines(text, False, 3, 1000)
    assert row["text"] == cleaned
    assert [row[f"c4_lines.{name}"] for name in REASONS] == [counts[name] for name in REASONS]


def test_the_variant_of_dclm() -> None:
    lines = "Here are five words indeed.\nFour are too few.\nAnd these are five again.\nNot counted as it ends..."
    docs = apply(
        DclmC4Lines(), lines, f"{lines}\nThis is the third sentence now.", "A five word sentence here. " * 8_000
    )
    assert docs["c4_lines.few_words"].to_list() == [1, 1, 0]
    assert docs["c4_lines.no_end_mark"].to_list() == [1, 1, 0]
    signals = docs.select(**DclmC4().signals())
    assert signals["sentences"].to_list() == [2, 3, 8_000]
    assert signals["chars"].to_list() == [53, 85, 8_000 * 27 - 1]
    assert DclmC4().keep == {
        "lorem_ipsum": (None, 0),
        "curly_brackets": (None, 0),
        "sentences": (3, None),
        "chars": (None, 190_000),
    }


@given(
    st.lists(st.sampled_from(["x" * 199, "x" * 200, "é" * 200, "", "y" * 500, "\r" * 200]), max_size=6).map("\n".join)
)
def test_pages_with_running_text_are_those_of_mc4(text: str) -> None:
    long_lines = pl.DataFrame({"text": [text]}).select(**C4Paragraphs().signals()).item()
    assert (long_lines >= 3) == (C4ParagraphFilter().filter(Document(text=text, id="0")) is True)
