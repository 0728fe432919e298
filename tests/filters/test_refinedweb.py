"""The line rules of RefinedWeb: against plain Python with regular expressions, and line by line by hand."""

import re
from collections.abc import Callable
from typing import Any

import messy
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import Filter, RefinedWeb, RefinedWebLines

Measure = Callable[[Filter, str], dict[str, Any]]

REASONS = ("uppercase", "numeric", "counter", "few_words", "phrase")
SIGNALS = ("lines_removed", *REASONS, "lines_edited")

TEXTS = messy.texts(
    [
        *(
            "3 likes",
            "3K Views!",
            "- 1,000.5m  followers -",
            "3 likes of",
            "x 3 likes",
            ".5 views",
            "٣ shares",
            "3 Likesx",
        ),
        *("2024", "2²", "12 34", "ABC", "ABc d", "AB cd", "É É e", "word", "two words", "Sign-in", "SIGN-IN  now"),
        *(
            "items in cart",
            "3 Items in Cart now",
            "Read more...",
            "and read more...",
            "sign-in read more...",
            "_3 likes",
        ),
        "a b c d e f g h i items in cart",
    ]
)
COUNTERS = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"


def apply(step: RefinedWebLines, *texts: str | None) -> pl.DataFrame:
    docs = pl.DataFrame({"id": range(len(texts)), "text": texts}, schema_overrides={"text": pl.String})
    return step.apply(docs, "lines")


def fold(text: str) -> str:
    return text.encode().lower().decode()  # of bytes, hence of ASCII alone


def spoken(text: str) -> int:
    return sum(word[0].isalnum() for word in text.split())


def strike(pattern: str, line: str) -> str:
    """Take out what a pattern finds in the line in small letters, each of which stands where its capital stood."""
    kept = list(line)
    for found in re.finditer(pattern, fold(line)):
        kept[found.start() : found.end()] = [""] * (found.end() - found.start())
    return "".join(kept)


def clean(text: str, step: RefinedWebLines) -> tuple[str, dict[str, int]]:
    """The text without those lines, and how many went for which reason."""
    counts = dict.fromkeys(SIGNALS, 0)
    kept = []
    for line in text.split("\n"):
        reason = None
        words = line.split()
        if words:
            if sum(map(str.isupper, line)) / len(line) > step.max_uppercase:
                reason = "uppercase"
            elif sum(map(str.isdigit, line)) / len(line) > step.max_numeric:
                reason = "numeric"
            elif step.counters and re.fullmatch(rf"\W*\d[\d,.]*[kmb]?\s+(?:{COUNTERS})\W*", fold(line)):
                reason = "counter"
            elif len(words) < step.min_words:
                reason = "few_words"
            elif len(words) <= step.short_line:
                before = line
                for phrase in step.phrases:
                    line = strike(rf"\s?{re.escape(fold(phrase))}", line)
                for phrase in step.endings:
                    line = strike(rf"\s?{re.escape(fold(phrase))}\Z", line)
                for phrase in step.beginnings:
                    line = strike(rf"\A{re.escape(fold(phrase))}\s?", line)
                if line != before:
                    reason = "lines_edited" if line.strip() else "phrase"
        if reason:
            counts[reason] += 1
        if reason in (None, "lines_edited"):
            kept.append(line)
    counts["lines_removed"] = sum(counts[reason] for reason in REASONS)
    left = "\n".join(kept)
    return left if left == text else left.strip(), counts


@pytest.mark.parametrize(
    ("line", "left", "reason"),
    [
        ("An ordinary line of text.", "An ordinary line of text.", None),
        ("", "", None),
        (" \t", " \t", None),
        ("HALF is", None, "uppercase"),
        ("HALF is.", "HALF is.", None),
        ("SUBSCRIBE NOW", None, "uppercase"),
        ("ⅧⅨ a", "ⅧⅨ a", None),
        ("ⅧⅨⅩ a", None, "uppercase"),
        ("2024", None, "numeric"),
        ("20 24", "20 24", None),
        ("2²", None, "numeric"),
        ("3 likes", None, "counter"),
        ("* 1,2.3k Followers!", None, "counter"),
        ("٣ views", None, "counter"),
        ("3 likes this", "3 likes this", None),
        ("he has 3 likes", "he has 3 likes", None),
        ("3 cats", "3 cats", None),
        (".5 views", None, "counter"),
        ("5views now", "5views now", None),
        ("word", None, "few_words"),
        (" word ", None, "few_words"),
        ("two words", "two words", None),
        ("3 items in cart", "3", "lines_edited"),
        ("Items in cart", None, "phrase"),
        ("The whole story. Read more...", "The whole story.", "lines_edited"),
        ("Read more... of it", "Read more... of it", None),
        ("read more...", None, "phrase"),
        ("Sign-in to go on", "to go on", "lines_edited"),
        ("Go to sign-in", "Go to sign-in", None),
        (f"{'more ' * 8}items in cart", f"{'more ' * 8}items in cart", None),
        (f"{'more ' * 7}items in cart", "more more more more more more more", "lines_edited"),
    ],
)
def test_lines(line: str, left: str | None, reason: str | None) -> None:
    row = apply(RefinedWebLines(), f"The first line.\n{line}\nThe last line.").row(0, named=True)
    middle = [] if left is None else [left]
    assert row["text"].split("\n") == ["The first line.", *middle, "The last line."]
    expected = dict.fromkeys(SIGNALS, 0)
    if reason:
        expected[reason] = 1
        expected["lines_removed"] = int(reason != "lines_edited")
    assert {name: row[f"lines.{name}"] for name in SIGNALS} == expected


STEPS = st.sampled_from(
    [
        RefinedWebLines(),
        RefinedWebLines(max_uppercase=0, max_numeric=0.5, min_words=3, short_line=3),
        RefinedWebLines(
            max_uppercase=1, max_numeric=1, min_words=0, counters=(), phrases=(), endings=(), beginnings=()
        ),
        RefinedWebLines(
            phrases=("a", "É", "in "), endings=(" ", "t", "more..."), beginnings=("a", "S"), short_line=100
        ),
    ]
)


@given(st.lists(TEXTS, max_size=4), STEPS)
@example(
    ["", "\n", "word", "\n\nword\n\n", " a b \nword\n c d ", "3k  likes", "3 likes\x0b", "items in cart" * 3],
    RefinedWebLines(),
)
@example(
    ["a items in cart\u3000items in cart", "\u3000Read more...", "read more...\u3000", "Sign-in\x85x"],
    RefinedWebLines(),
)
def test_lines_go_as_in_plain_python(texts: list[str], step: RefinedWebLines) -> None:
    docs = apply(step, *texts)
    expected = [clean(text, step) for text in texts]
    assert docs["text"].to_list() == [text for text, _ in expected]
    assert docs.select(pl.col(f"lines.{name}").alias(name) for name in SIGNALS).to_dicts() == [
        counts for _, counts in expected
    ]


@given(st.lists(TEXTS, max_size=4), STEPS)
def test_the_filter_tells_what_the_transform_takes(texts: list[str], step: RefinedWebLines) -> None:
    settings = {name: getattr(step, name) for name in RefinedWebLines.model_fields}
    docs = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    shares = docs.select(**RefinedWeb(**settings).signals())["removed_words"].to_list()
    for before, after, removed in zip(texts, apply(step, *texts)["text"], shares, strict=True):
        words = spoken(before)
        assert removed == ((words - spoken(after)) / words if words else 0)


def test_a_page_is_dropped_beyond_a_twentieth(measure: Measure, broken: Callable[..., str | None]) -> None:
    text = f"{'Some ' * 19}\nword"
    assert broken(RefinedWeb(), measure(RefinedWeb(), text)) is None
    assert broken(RefinedWeb(), measure(RefinedWeb(), text + "\nword")) == "removed_words"


def test_rows_stay_and_a_null_stays_null() -> None:
    docs = apply(RefinedWebLines(), "two words\nword", None, "", "word")
    assert docs["id"].to_list() == [0, 1, 2, 3]
    assert docs["text"].to_list() == ["two words", None, "", ""]
    assert docs["lines.lines_removed"].to_list() == [1, None, 0, 1]


def test_a_phrase_of_nothing_is_an_error() -> None:
    for setting in ("counters", "phrases", "endings", "beginnings"):
        with pytest.raises(ValidationError, match=rf"{setting}\.1"):
            RefinedWebLines.model_validate({setting: ["x", ""]})


LONG = 10_000_000


@pytest.mark.parametrize(
    ("text", "left", "reason"),
    [
        ("1," * (LONG // 2), "", "few_words"),
        ("1" * LONG, "", "numeric"),
        (f"{'!' * LONG}1", "", "few_words"),
        (f"3 likes{'!' * LONG}", "", "counter"),
        (f"3{' ' * LONG}likes", "", "counter"),
        (f"{'x' * LONG} items in cart", "x" * LONG, "lines_edited"),
        (f"Sign-in {'x' * LONG}", "x" * LONG, "lines_edited"),
        ("items in cart" * (LONG // 130) + " here", "here", "lines_edited"),
        ("É" * LONG, "", "uppercase"),
        ("\n" * LONG, "\n" * LONG, None),
    ],
    ids=["1,", "1", "!1", "likes!", "3   likes", "x items", "Sign-in x", "items", "capitals", "newlines"],
)
def test_lines_of_ten_million_characters(text: str, left: str, reason: str | None) -> None:
    row = apply(RefinedWebLines(short_line=LONG), text).row(0, named=True)
    assert row["text"] == left
    assert {name: row[f"lines.{name}"] for name in (*REASONS, "lines_edited") if row[f"lines.{name}"]} == (
        {reason: 1} if reason else {}
    )


def test_a_document_of_a_million_lines() -> None:
    lines = ["3 likes", "two words", "word", "", "2024"] * 200_000
    row = apply(RefinedWebLines(), "\n".join(lines)).row(0, named=True)
    assert row["text"] == "\n".join(["two words\n"] * 200_000).strip()
    assert [row[f"lines.{reason}"] for reason in REASONS] == [0, 200_000, 200_000, 200_000, 0]
