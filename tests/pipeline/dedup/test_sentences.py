"""Runs of sentences that occur before, against a set of those seen, and the tokeniser's own count of sentences."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from shuffle import deduplicate

from filters.words import measure
from pipeline.dedup.minhash import words
from pipeline.dedup.spans.sentences import Sentences, sentences

_CHARACTERS = "aB9.,?!-'\"()\u2026。Ω日か\u0e34\u200b🙂 \n\r\t\u2028…"
_TEXT = st.text(max_size=80) | st.text(st.sampled_from(_CHARACTERS), max_size=60)
_SENTENCES = [
    "It rains.",
    "It rains!",
    "Mr. Smith said so?",
    "ja, 3.5 Äpfel.",
    "今日は雨。",
    "\n",
    "No end",
    "…",
    "A b c d. ",
]
_TEXTS = st.lists(st.lists(st.sampled_from(_SENTENCES), max_size=8).map(" ".join), max_size=6)
_LAYOUTS = st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 2, 8]))


def split(text: str) -> list[str]:
    data, _, _, starts, ends = sentences(pl.Series([text]))
    return [data[a:b].tobytes().decode() for a, b in zip(starts, ends, strict=True)]


def solid(text: str) -> str:
    """All of a text but white space."""
    return "".join(text.split())


@given(st.lists(_TEXT, max_size=3))
def test_sentences_are_those_that_are_counted_and_lose_nothing(texts: list[str]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    data, offsets, docs, starts, ends = sentences(column)
    counts = measure(column).counts["sentences"]
    assert np.bincount(docs, minlength=len(texts)).tolist() == counts.tolist()
    for number, text in enumerate(texts):
        pieces = [(a, b) for doc, a, b in zip(docs, starts, ends, strict=True) if doc == number]
        mine = text.encode()
        edges = [edge for piece in pieces for edge in piece]
        assert edges == sorted(edges) and all(0 <= edge <= len(mine) for edge in edges)
        assert "".join(solid(mine[a:b].decode()) for a, b in pieces) == solid(text)
        assert all(mine[a:b].decode().strip() == mine[a:b].decode() for a, b in pieces)


def test_sentences_end_where_a_reader_would_end_them() -> None:
    assert split('"So it is," he said. Was it? Mr. Smith\nleft (at 9.30 p.m.)! Yes... no.') == [
        '"So it is," he said.',
        "Was it?",
        "Mr. Smith",
        "left (at 9.30 p.m.)!",
        "Yes... no.",
    ]
    assert split("今日は雨。明日は晴れ。") == ["今日は雨。", "明日は晴れ。"]


def expected(texts: list[str], size: int, min_words: int) -> tuple[list[str], list[bool]]:
    """Each text without what runs of sentences repeat, white space left out, and whether anything was cut."""
    seen: set[tuple[tuple[str, ...], ...]] = set()
    found, struck = [], []
    for text in texts:
        parts = split(text)
        keys = [tuple(words(part)) for part in parts]
        gone = [False] * len(parts)
        for first in range(len(parts) - size + 1):
            run = tuple(keys[first : first + size])
            if sum(map(len, run)) >= max(min_words, 1):
                if run in seen:
                    gone[first : first + size] = [True] * size
                seen.add(run)
        found.append("".join(solid(part) for part, cut in zip(parts, gone, strict=True) if not cut))
        struck.append(any(gone))
    return found, struck


@given(_TEXTS, st.integers(1, 4), st.integers(1, 9), _LAYOUTS)
def test_runs_that_occurred_are_cut_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], size: int, min_words: int, layout: tuple[int, int, int]
) -> None:
    step = Sentences(sentences=size, min_words=min_words, min_words_left=1, min_sentences_left=0)
    docs, cut = deduplicate(tmp_path_factory.mktemp("sentences"), step, texts, *layout)
    left, struck = expected(texts, size, min_words)
    assert [solid(text) for text in docs["text"]] == left
    assert (docs["step.cut"] > 0).to_list() == struck
    removed = sum(len(solid(text)) for text in texts) - sum(map(len, left))
    assert sum(len(solid(text)) for text in cut["text"]) == removed
    whole = dict(zip(docs["id"], texts, strict=True))
    assert all(whole[name][a:b] == text for name, a, b, text in cut.select("id", "start", "end", "text").rows())


_STORY = "One two three. Four five six. Seven eight nine. "


def test_what_is_left_must_be_enough_or_the_document_goes_whole(tmp_path: Path) -> None:
    own = " ".join(f"Word {'abcdefghij'[k]} stands alone." for k in range(10))
    texts = [_STORY, f"{own} {_STORY}", f"Hello world. {_STORY}", f"Short. {own[:20]}"]
    docs, _ = deduplicate(tmp_path, Sentences(min_words_left=20), texts)
    assert docs["reason"].to_list() == [None, None, "step.short", None]
    assert docs["text"].to_list() == [_STORY, f"{own} ", "Hello world. ", texts[3]]
    docs, _ = deduplicate(tmp_path, Sentences(min_words_left=1, min_sentences_left=11), texts)
    assert docs["reason"].to_list() == [None, "step.short", "step.short", None]
    docs, _ = deduplicate(tmp_path, Sentences(min_words_left=1, min_sentences_left=1), texts)
    assert docs["reason"].null_count() == 4


def test_a_run_that_is_too_short_stays_whole(tmp_path: Path) -> None:
    """datatrove 0.10.1 puts back only the first sentence of it."""
    text = f"{_STORY}Mine is mine."
    docs, cut = deduplicate(tmp_path, Sentences(min_words=10, min_words_left=1), [_STORY, text])
    assert docs["text"][1] == text and not cut.height


def test_the_settings_of_the_class_are_enough(tmp_path: Path) -> None:
    """datatrove 0.10.1 cannot do without a config."""
    docs, cut = deduplicate(tmp_path, Sentences(), [_STORY, "Nothing here."])
    assert docs["text"].to_list() == [_STORY, "Nothing here."] and not cut.height


def test_sentences_beyond_the_65536th_are_cut_too(tmp_path: Path) -> None:
    """datatrove 0.10.1 counts them in 16 bits."""
    long = " ".join(f"Number {'x' * (k % 211 + 1)} {'y' * (k // 211 + 1)}." for k in range(70_000))
    docs, cut = deduplicate(tmp_path, Sentences(min_words_left=1, min_sentences_left=1), [_STORY, long + " " + _STORY])
    assert docs["text"][1].rstrip() == long
    assert cut["text"].to_list() == [_STORY.rstrip()]


def test_one_sentence_very_often(tmp_path: Path) -> None:
    docs, _ = deduplicate(tmp_path, Sentences(min_words_left=1, min_sentences_left=1), ["Buy now! " * 200_000], 1, 1, 4)
    assert docs["text"].to_list() == ["Buy now! "]


def test_sentences_across_real_passages(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    texts = pl.read_parquet(test_data("I-planted-neardup") / "docs_10k.parquet")["text"].to_list()[:2000]
    docs, _ = deduplicate(tmp_path, Sentences(), texts, 5, 2, 8)
    left, struck = expected(texts, 3, 1)
    assert [solid(text) for text in docs["text"]] == left and sum(struck) > 100
    enough = [len(words(text)) >= 50 and len(split(text)) >= 3 for text in docs["text"]]
    assert docs["reason"].is_null().to_list() == [ok or not cut for ok, cut in zip(enough, struck, strict=True)]


@pytest.mark.parametrize("settings", [{"sentences": 0}, {"min_words_left": 0}, {"n_sentences": 3}])
def test_impossible_settings_are_errors(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Sentences.model_validate(settings)
