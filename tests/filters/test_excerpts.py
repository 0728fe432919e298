"""Pieces of a text that stand for all of it, and lines spread over it: against plain Python over strings."""

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filters.excerpts import REACH, excerpts, lines
from filters.words import buffers

SPACES = "\0\t\n\x0b\x0c\r "
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from("ab \n\0é日𝒳"), max_size=200),
    st.lists(st.sampled_from(["word", "слово", "日本語", "𝒳" * 9, "\n", "\t", " "]), max_size=80).map(" ".join),
    st.lists(st.sampled_from(["a", "日", "𝒳"]).flatmap(lambda c: st.integers(0, 60).map(lambda n: c * n))).map("".join),
)


def pieces(texts: list[str], size: int) -> list[list[tuple[int, int]]]:
    """The pieces of each text, as bytes of it."""
    data, offsets = buffers(pl.Series(["before", *texts, "after"]))
    places = np.stack([offsets[:-1], offsets[1:]], axis=1)
    found, bounds = excerpts(data, places, size)
    assert bounds[-1] == len(found)
    return [
        [(first - offset, last - offset) for first, last in found[bounds[i] : bounds[i + 1]].tolist()]
        for i, offset in enumerate(offsets.tolist()[:-1])
    ][1:-1]


@given(st.lists(TEXTS, max_size=4), st.integers(2, 30))
@example(["𝒳" * 20 + "a" * 41, "a" * 41 + "𝒳" * 20, "a" * 61, "a" * 60, "a " * 31], 20)
def test_pieces_stand_for_start_middle_and_end(texts: list[str], size: int) -> None:
    reach = min(REACH, size // 2)
    for text, found in zip(texts, pieces(texts, size), strict=True):
        data = text.encode()
        parts = [data[first:last].decode() for first, last in found]  # fails within a character
        if len(text) <= 3 * size:
            assert parts == [text]
            continue
        (zero, start_end), (middle_start, middle_end), (end_start, end) = found
        assert zero == 0 <= start_end <= middle_start <= middle_end <= end_start <= len(data) == end
        assert size - reach <= len(parts[0]) <= size and size - reach <= len(parts[2]) <= size
        assert len(parts[1]) <= size
        middle = len(data) // 2  # may lie within a character
        assert middle_start <= max(middle, start_end) and middle_end >= min(middle - 3, end_start)


@given(st.lists(st.sampled_from("ab日"), min_size=1, max_size=12).map("".join), st.integers(0, 11))
def test_no_word_is_cut_in_two(word: str, shift: int) -> None:
    text = "x" * shift + f" {word}" * 400
    words = {"x" * shift, word}
    for first, last in pieces([text], 128)[0]:
        assert set(text.encode()[first:last].decode().split()) <= words


def test_texts_without_spaces_are_cut_between_characters() -> None:
    for char, width in (("a", 1), ("é", 2), ("日", 3), ("𝒳", 4)):
        found = pieces([char * 10_000], 1000)[0]
        assert [last - first for first, last in found] == [1000 * width] * 3
        assert found[1][0] == 4500 * width


@pytest.mark.parametrize("text", ["a " * 5_000_000, "日本" * 3_000_000, "\n" * 10_000_000])
def test_long_texts(text: str) -> None:
    found = pieces([text], 1000)[0]
    assert len(found) == 3 and sum(last - first for first, last in found) <= 12_000


def spread(text: str, min_chars: int, most: int) -> list[str]:
    long = [line for line in (line.strip(SPACES) for line in text.split("\n")) if len(line) >= min_chars]
    if len(long) <= most:
        return long
    return [long[(2 * i + 1) * len(long) // (2 * most)] for i in range(most)]


@given(
    st.lists(
        st.one_of(
            TEXTS,
            st.lists(st.text(st.sampled_from("ab \0\r日𝒳é"), max_size=20), max_size=60).map("\n".join),
        ),
        max_size=4,
    ),
    st.integers(1, 12),
    st.integers(1, 9),
)
@example(["\n".join(map(str, range(10, 60)))], 2, 5)
@example(["abcdefgh\n12345678\r\n\n1234567\n123456789"], 8, 5)
def test_lines_are_spread_over_the_long_ones(texts: list[str], min_chars: int, most: int) -> None:
    data, offsets = buffers(pl.Series(["before\nbefore", *texts], dtype=pl.String))
    places, chars, bounds = lines(data, offsets, min_chars, most)
    for i, text in enumerate(["before\nbefore", *texts]):
        part = slice(bounds[i], bounds[i + 1])
        got = [bytes(data[first:last]).decode() for first, last in places[part]]
        assert got == spread(text, min_chars, most)
        assert chars[part].tolist() == list(map(len, got))
        assert all(offsets[i] <= first <= last <= offsets[i + 1] for first, last in places[part])


def test_lines_come_from_all_over_a_document() -> None:
    text = "\n".join(f"line {i:05d}" for i in range(20_000))
    data, offsets = buffers(pl.Series([text]))
    places, _, _ = lines(data, offsets, 10, 20)
    assert [bytes(data[first:last]).decode() for first, last in places] == [
        f"line {i:05d}" for i in range(500, 20_000, 1000)
    ]
