"""Runs of words that occur before, against a search through all windows, in any layout of tasks, files and ranges."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from shuffle import deduplicate

from pipeline.dedup.minhash import words
from pipeline.dedup.spans.rows import KEY
from pipeline.dedup.spans.substrings import Substrings

_WORDS = [
    "a",
    "b",
    "B",
    "Ä",
    "1.5",
    "22",
    "日本",
    "か",
    "c-d",
    "(e)",
    "\n",
    "f.",
    "\r\n",
    "—",
    "\u00a0",
    "g\u0301",
    "\u200b",
]
_TEXTS = st.lists(st.lists(st.sampled_from(_WORDS), max_size=30).map(" ".join), max_size=6)
_CLOSE = st.lists(st.lists(st.sampled_from(["a", "日", "Ä", "2", ".", "-", " "]), max_size=40).map("".join), max_size=5)
_LAYOUTS = st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 2, 8]))


def left(texts: list[str], tokens: int) -> list[list[str]]:
    """The words of each text that no window covers which occurred before."""
    seen: set[tuple[str, ...]] = set()
    found = []
    for text in texts:
        mine = words(text)
        gone = [False] * len(mine)
        for first in range(len(mine) - tokens + 1):
            window = tuple(mine[first : first + tokens])
            if window in seen:
                gone[first : first + tokens] = [True] * tokens
            seen.add(window)
        found.append([word for word, cut in zip(mine, gone, strict=True) if not cut])
    return found


@given(_TEXTS | _CLOSE, st.integers(2, 12), _LAYOUTS)
def test_every_window_that_occurred_is_cut_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], tokens: int, layout: tuple[int, int, int]
) -> None:
    docs, cut = deduplicate(tmp_path_factory.mktemp("substrings"), Substrings(tokens=tokens), texts, *layout)
    expected = left(texts, tokens)
    assert [words(text) for text in docs["text"]] == expected
    before = [words(text) for text in texts]
    assert docs["reason"].is_null().to_list() == [
        bool(after) or not mine for mine, after in zip(before, expected, strict=True)
    ]
    whole = dict(zip(docs["id"], texts, strict=True))
    assert all(whole[name][a:b] == text for name, a, b, text in cut.select("id", "start", "end", "text").rows())
    assert sum(len(words(text)) for text in cut["text"]) == sum(map(len, before)) - sum(map(len, expected))


@given(_TEXTS, st.integers(2, 8), _LAYOUTS)
def test_each_piece_is_of_words_that_its_keeper_had(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], tokens: int, layout: tuple[int, int, int]
) -> None:
    docs, cut = deduplicate(tmp_path_factory.mktemp("substrings"), Substrings(tokens=tokens), texts, *layout)
    ordinals = dict(zip(docs["ordinal"], texts, strict=True))
    for piece, keeper, occurrence in cut.select("text", "keeper", "occurrence").rows():
        assert {*words(piece)} <= {*words(ordinals[keeper])}, "it may be of several runs, one after another"
        assert occurrence >= 2


def paragraph(seed: int, size: int) -> str:
    """Words that occur nowhere else."""
    return " ".join(f"w{chr(97 + seed)}{'x' * (k % 60)}q{'y' * (k // 60)}" for k in range(size))


@pytest.mark.parametrize(("size", "cut"), [(49, 0), (50, 50), (51, 51), (400, 400)])
def test_fifty_words_are_cut_and_forty_nine_are_not(tmp_path: Path, size: int, cut: int) -> None:
    copy = paragraph(0, size)
    texts = [f"{paragraph(1, 30)} {copy}", f"{paragraph(2, 30)}\n\n“{copy.upper()}” {paragraph(3, 30)}", copy]
    docs, pieces = deduplicate(tmp_path, Substrings(), texts, 3, 2, 4)
    assert docs["text"][0] == texts[0]
    assert docs["text"][1] == (f"{paragraph(2, 30)}\n\n{paragraph(3, 30)}" if cut else texts[1])
    assert docs["text"][2] == ("" if cut else copy)
    assert docs["reason"].to_list() == [None, None, "step.short" if cut else None]
    assert pieces.select("keeper", "occurrence").rows() == ([(0, 2), (0, 3)] if cut else [])


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("Before. (DUP dup) After.", "Before. After."),
        ("Before, “dup dup”. After", "Before, After"),
        ("- one\n- dup dup\n- two", "- one\n- two"),
        ("# Dup dup #\n\nText", "Text"),
        ("Text.\r\n\r\ndup dup.\r\n\r\nMore.", "Text.\r\n\r\nMore."),
        ("Text dup\ndup more", "Text more"),
        ("Text\n\ndup dup more", "Text\n\nmore"),
        ("Text dup dup\n\nmore", "Text\n\nmore"),
        ("Text\n    dup dup\n    more", "Text\n    more"),
        ("dup dup", ""),
        ("... dup dup ...", ""),
        ("text dup dup.", "text"),
        ("text dup dup.\n", "text\n"),
        ("前文。dup dup。後文", "前文。後文"),
        ("a日dup dup日b", "a日日b"),
        ("1.日dup dup", "1.日"),
        ("re-dup dup-on", "re-on"),
        ("x dup dup y dup dup z", "x y z"),
        ("dup düp\u0301\u0301 end", "end"),
        ("a —dup dup — b", "a — b"),
    ],
)
def test_marks_and_spaces_around_a_cut(tmp_path: Path, text: str, result: str) -> None:
    docs, _ = deduplicate(tmp_path, Substrings(tokens=2), ["dup dup", text])
    assert docs["text"][1] == result


def test_words_that_a_cut_brings_together_stay_two(tmp_path: Path) -> None:
    docs, _ = deduplicate(tmp_path, Substrings(tokens=2), ["日本", "a日本b", "1.日本5", "の日本で"])
    assert docs["text"].to_list() == ["日本", "a b", "1. 5", "ので"]


def test_few_words_between_two_cuts_go_with_them_if_asked(tmp_path: Path) -> None:
    a, b = paragraph(0, 6), paragraph(1, 6)
    texts = [a, b, f"{a}, one two. {b} end", f"{a} uno dos tres {b}"]
    for merge, expected in [(0, ["one two. end", "uno dos tres"]), (2, ["end", "uno dos tres"]), (3, ["end", ""])]:
        docs, _ = deduplicate(tmp_path, Substrings(tokens=5, merge=merge), texts)
        assert docs["text"].to_list() == [a, b, *expected]


def test_documents_of_a_task_without_copies_all_stay(tmp_path: Path) -> None:
    """datatrove 0.10.1 drops all of them, and elsewhere strikes every copy, the first too."""
    texts = [paragraph(0, 60), paragraph(0, 60), paragraph(1, 60), paragraph(2, 10), "", paragraph(3, 90)]
    docs, _ = deduplicate(tmp_path, Substrings(), texts, 3)
    assert docs["text"].to_list() == [texts[0], "", *texts[2:]]
    assert docs["reason"].to_list() == [None, "step.short", None, None, None, None]


def test_one_word_a_million_times_leaves_its_first_period(tmp_path: Path) -> None:
    texts = ["spam " * 1_000_000, "x " + "Spam! " * 100 + "y", "ham and eggs " * 1000]
    docs, _ = deduplicate(tmp_path, Substrings(), texts, 3, 1, 4)
    assert docs["text"].to_list() == ["spam", "x y", "ham and eggs"]


def test_keys_of_selected_words_are_spread_over_all_keys() -> None:
    text = pl.Series([" ".join(f"{k * 2654435761 % 2**32:x}" for k in range(200_000))])
    keys = Substrings().spans(text, np.zeros(1, np.uint64))[:, KEY] >> np.uint64(60)
    counts = np.bincount(keys.astype(np.int64), minlength=16)
    assert len(keys) > 10_000 and counts.max() < 1.2 * counts.min(), "or ranges of keys would not be alike"


def test_substrings_across_real_passages(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    texts = pl.read_parquet(test_data("I-planted-neardup") / "docs_10k.parquet")["text"].to_list()[:1500]
    docs, cut = deduplicate(tmp_path, Substrings(), texts, 5, 2, 8)
    assert [words(text) for text in docs["text"]] == left(texts, 50)
    assert cut.height > 50


@pytest.mark.parametrize("settings", [{"tokens": 1}, {"tokens": 501}, {"merge": -1}, {"segmenter": "icu"}])
def test_impossible_settings_are_errors(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Substrings.model_validate(settings)
