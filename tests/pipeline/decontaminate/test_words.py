"""The words of a document against those of deduplication, whose code is another, and where they stand."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.words import buffers, hashes
from pipeline.decontaminate.words import letters, read_words, word_hashes
from pipeline.dedup.alphabet import DIGIT, WORD, alphabet
from pipeline.dedup.kernels import split_words


def expected(text: str) -> list[str]:
    """The words of deduplication, where digits are letters."""
    tables = alphabet()
    digits = np.zeros(256, np.bool_)
    digits[ord("0") : ord("9") + 1] = True
    quick = np.where(digits, np.arange(256, dtype=np.uint8), tables.quick)
    tables = tables._replace(kind=np.where(tables.kind == DIGIT, np.uint8(WORD), tables.kind), quick=quick)
    data, _ = buffers(pl.Series([text]))
    out, ends = np.empty(len(data) * tables.growth + 1, np.uint8), np.empty(len(data) // 2 + 2, np.int64)
    count = split_words(data, 0, len(data), tables, np.empty(0, np.uint8), out, ends)
    return out[: ends[count - 1]].tobytes().decode().split(" ") if count else []


def short(words: list[str]) -> list[int]:
    return [value if value > 1 else value + 2 for value in (hashes(words) >> np.uint64(32)).tolist()]


_TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("abcdefghXYZ0123456789 ,.'’—\n-_éèñßΣς\u0301你好ไท\u00ad\u200b"),
    ),
    max_size=60,
)


@given(st.lists(_TEXT, max_size=4))
def test_words_are_those_of_deduplication_with_digits(texts: list[str]) -> None:
    found, bounds = word_hashes(pl.Series(texts, dtype=pl.String))
    assert [found[a:b].tolist() for a, b in zip(bounds, bounds[1:], strict=False)] == [
        short(expected(text)) for text in texts
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 3.14, or 1,234!", "it s 3 14 or 1 234"),
        ("def has_close(numbers: List[float]) -> bool:", "def has close numbers list float bool"),
        ("ÜNÏCODE cafe\u0301 soft\u00adhyphen", "unicode cafe softhyphen"),
        ("Incomprehensibilities antidisestablishmentarianism", "incomprehensibilities antidisestablishmentarianism"),
        ("你好 world", "你 好 world"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert word_hashes(pl.Series([text]))[0].tolist() == short(words.split())


def test_no_words() -> None:
    found, bounds = word_hashes(pl.Series([None, "", " …!? ", "\u0301"], dtype=pl.String))
    assert found.tolist() == [] and bounds.tolist() == [0] * 5


@given(_TEXT)
def test_a_word_stands_where_it_is_said_to(text: str) -> None:
    data, offsets = buffers(pl.Series([text]))
    tables = letters()
    out, begins, ends = (np.zeros(len(data) + 2, kind) for kind in (np.uint32, np.int64, np.int64))
    scratch = np.empty(len(data) * tables.growth + 8, np.uint8)
    count = read_words(data, 0, int(offsets[1]), tables.kind, tables.starts, tables.folded, scratch, out, begins, ends)
    slices = [text.encode()[a:b].decode() for a, b in zip(begins[:count], ends[:count], strict=True)]
    assert [short(expected(piece)) for piece in slices] == [[value] for value in out[:count].tolist()]
    assert (ends[: max(count - 1, 0)] <= begins[1:count]).all()


def test_words_of_real_texts(test_data: Callable[[str], Path]) -> None:
    lines = gzip.open(test_data("READY-jsonl/wikipedia_en_dump_excerpt.jsonl.gz"), "rt", encoding="utf-8")
    with lines:
        texts = [json.loads(line)["text"] for line in lines][:20]
    found, _ = word_hashes(pl.Series(texts))
    assert found.tolist() == [value for text in texts for value in short(expected(text))]
