"""Lines and paragraphs that occur before, against a set of those seen, in any layout of tasks, files and ranges."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from shuffle import deduplicate

from pipeline.dedup.minhash import words
from pipeline.dedup.spans.lines import Lines

_LINES = [
    "Home",
    "home!",
    "  Über uns",
    "uber UNS",
    "Page 12 of 40",
    "page 7 of 3.5",
    "---",
    "",
    " ",
    "\t",
    "日本語 です",
]
_LINES += [
    "x",
    "a longer line of words, here",
    "ﬁn",
    "e\u0301t\u00e9",
    "\u200b",
    "# Head",
    "🙂",
    "a\x0bb",
    "\u2028",
    "a\u00a0b",
]
_TEXTS = st.lists(st.lists(st.sampled_from(_LINES), max_size=6).map("\n".join), max_size=7)
_LAYOUTS = st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 2, 8]))


def expected(texts: list[str], keep: int = 1, min_words: int = 1) -> list[list[str]]:
    """The lines of each text that have anything on them, without those that occurred `keep` times."""
    seen: Counter[tuple[str, ...]] = Counter()
    found = []
    for text in texts:
        left = []
        for line in text.split("\n"):
            key = tuple(words(line))
            if len(key) >= max(min_words, 1):
                seen[key] += 1
                if seen[key] > keep:
                    continue
            left.append(line)
        found.append([line.strip() for line in left if line.strip()])
    return found


def shown(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").split("\n") if line.strip()]


@given(_TEXTS, st.integers(1, 3), st.integers(1, 3), _LAYOUTS)
def test_a_line_that_occurred_is_cut_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], keep: int, min_words: int, layout: tuple[int, int, int]
) -> None:
    step = Lines(keep=keep, min_words=min_words)
    folder = tmp_path_factory.mktemp("lines")
    docs, cut = deduplicate(folder, step, texts, *layout)
    assert [shown(text) for text in docs["text"]] == expected(texts, keep, min_words)
    before = [line for text in texts for line in shown(text)]
    assert Counter(before) == Counter(line for text in docs["text"] for line in shown(text)) + Counter(
        cut["text"].str.strip_chars().to_list()
    )
    again, nothing = deduplicate(folder, step, docs["text"].to_list(), *layout)
    assert again["text"].to_list() == docs["text"].to_list() and not nothing.height
    assert again["reason"].null_count() == again.height


@given(_TEXTS, _LAYOUTS)
def test_pieces_say_where_they_were_and_who_has_the_copy(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], layout: tuple[int, int, int]
) -> None:
    docs, cut = deduplicate(tmp_path_factory.mktemp("lines"), Lines(), texts, *layout)
    whole = dict(zip(docs["id"], texts, strict=True))
    for row in cut.iter_rows(named=True):
        assert whole[row["id"]][row["start"] : row["end"]] == row["text"]
        keeper = docs.row(by_predicate=pl.col("ordinal") == row["keeper"], named=True)
        assert tuple(words(row["text"])) in {tuple(words(line)) for line in whole[keeper["id"]].split("\n")}
        if keeper["reason"] is None:
            assert tuple(words(row["text"])) in {tuple(words(line)) for line in keeper["text"].split("\n")}
    assert docs["step.pieces"].sum() == cut.height
    lost = sum(map(len, texts)) - docs["text"].str.len_chars().sum()
    assert docs["step.cut"].sum() == lost >= (cut["end"] - cut["start"]).sum()


def test_lines_are_counted(tmp_path: Path) -> None:
    docs, cut = deduplicate(tmp_path, Lines(), ["Menu\nSeite 1\nMENU", "menu.\nfoo", "Seite 2\nMenu"], 3, 1, 4)
    counts = cut.group_by("key").agg(pl.col("occurrence").max(), pl.col("text").first()).sort("occurrence")
    assert counts.select("text", "occurrence").rows() == [("Seite 2", 2), ("MENU", 4)]
    assert docs["text"].to_list() == ["Menu\nSeite 1", "foo", ""]
    assert docs["reason"].to_list() == [None, None, "step.short"]
    assert docs["step.keeper"].to_list() == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a b\r\nDUP\r\nc\r\n", "a b\r\nc\r\n"),
        ("DUP\r\na\r\n", "a\r\n"),
        ("a\r\nDUP", "a"),
        ("a\nDUP\n", "a\n"),
        ("one\n\nDUP\n\ntwo", "one\n\ntwo"),
        ("one\n\nDUP\ntwo", "one\n\ntwo"),
        ("if a:\n    dup\n    b", "if a:\n    b"),
        ("dup\n    b\nc", "    b\nc"),
        ("a\n\tdup\n\n    b", "a\n\n    b"),
        ("a  \ndup\nb", "a\nb"),
        ("dup\ndup\ndup", ""),
        ("---\ndup\n---", "---\n---"),
        ("é\ndüp\nñ", "é\nñ"),
        ("日本\nDup\n語", "日本\n語"),
        ("", ""),
        ("\n\n", "\n\n"),
    ],
)
def test_what_stands_around_a_cut_line(tmp_path: Path, text: str, left: str) -> None:
    docs, _ = deduplicate(tmp_path, Lines(), ["dup", text], 2)
    assert docs["text"][1] == left


def test_minimum_words_leaves_short_lines_alone_and_cuts_long_ones(tmp_path: Path) -> None:
    """Dolma 1.2.1 cuts nothing at all once a minimum is set, and mixes bytes with characters."""
    long, short = "Diese fünf Wörter sind übrig", "Mehr lesen"
    texts = [f"{long}\n{short}\nä", f"ö\n{long}\n{short}", f"{short}\n日本 {long}\n{long}"]
    docs, cut = deduplicate(tmp_path, Lines(min_words=5), texts)
    assert docs["text"].to_list() == [texts[0], f"ö\n{short}", f"{short}\n日本 {long}"]
    assert cut["text"].to_list() == [long, long]
    docs, _ = deduplicate(tmp_path, Lines(min_chars=11), texts)
    assert docs["text"].to_list() == [texts[0], f"ö\n{short}", f"{short}\n日本 {long}"]


def test_paragraphs_are_compared_whole(tmp_path: Path) -> None:
    texts = ["A b\nc d\n\nfirst", "x\n \na B\nC d\n\n***\n\nlast", "A b\nc e\n\n\nA b\nc d"]
    docs, cut = deduplicate(tmp_path, Lines(unit="paragraph"), texts, 3, 2, 2)
    assert docs["text"].to_list() == [texts[0], "x\n\n***\n\nlast", "A b\nc e"]
    assert cut["text"].to_list() == ["a B\nC d", "A b\nc d"]


def test_a_document_without_copies_is_as_it_was(tmp_path: Path) -> None:
    texts = ["\n one\n\n", "", None, "\t", "only this", "two\r\nthree "]
    docs, cut = deduplicate(tmp_path, Lines(min_words_left=10), texts, 2, 2, 2)
    assert docs["text"].to_list() == texts and not cut.height
    assert docs["reason"].null_count() == len(texts) and docs["step.cut"].drop_nulls().to_list() == [0] * 5


def test_one_line_a_million_times(tmp_path: Path) -> None:
    docs, cut = deduplicate(tmp_path, Lines(), ["spam, spam\n" * 1_000_000, "eggs\nSpam spam"], 2, 1, 4)
    assert docs["text"].to_list() == ["spam, spam\n", "eggs"]
    assert cut["occurrence"].max() == 1_000_001 and cut.height == 1_000_000


def test_lines_across_real_pages(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    texts = pl.read_parquet(test_data("I-planted-neardup") / "docs_10k.parquet")["text"].to_list()[:3000]
    docs, _ = deduplicate(tmp_path, Lines(), texts, 7, 3, 8)
    assert [shown(text) for text in docs["text"]] == expected(texts)
    dropped = docs.filter(pl.col("reason").is_not_null())
    assert dropped.height and all(not re.sub(r"[\W_]", "", text) for text in dropped["text"])


@pytest.mark.parametrize("settings", [{"keep": 0}, {"unit": "page"}, {"min_words": 0}, {"n": 3}, {"min_chars": -1}])
def test_impossible_settings_are_errors(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Lines.model_validate(settings)
