"""Every compiled kernel against plain Python (`oracle.py`), over arbitrary Unicode, and over very long texts."""

import hashlib

import numpy as np
import oracle
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filters import hashing, words
from filters.kernels import LINE_COUNTS

CHARACTERS = st.one_of(
    st.characters(codec="utf-8"),
    st.sampled_from("aZ09.,;:!?'\"’()[]{}-–—/@#&*+=<>~^_|…•$€%\\"),
    st.sampled_from(" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029\u3000"),
    st.sampled_from("\0\x7f\u200b\u200c\u200d\u2060\ufeff\u0301\u0e31\u093f\u20e3\ufe0f"),  # controls, joiners, marks
    st.sampled_from("éßñжЯغע日本語ではいกขคລາວខ្មែរမြန်한국अआ𝒳😀🇩🇪👩‍👩𠀀𝟘Ⅷ½²"),
)
WORDS = st.sampled_from(
    "the U.S. Mr. e.g. can't It’s we'll I'd 5km 9am 10:30am 3.14 1,000 C++ +3 -5 foo--bar a-b state-of-the-art "
    'http://foo.com/a-b?c=1 www.example.com a.b@x.com end.Start wait...what …and x=y a/b 10-20 (word) [1] "so" \'tis '
    "'s 'em, 'soap '' ): :) f(x): A$ 5$ £3 5% Use% x= /etc/. a`.b it'.The °C. 9°F. °N. (=5) x=) (:z) ''so'' "
    "dogs' §5 №7 © ™ 🙂🙂 日本。 日本語 ภาษา「はい」"
    " e\u0301te\u0301 a\u200bb internationalization a b 1 2 . .. ...".split()
)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(CHARACTERS, max_size=80),
    st.lists(st.one_of(WORDS, st.text(CHARACTERS, max_size=4)), max_size=40).map(" ".join),
    st.lists(st.text(CHARACTERS, max_size=12), max_size=12).map("\n".join),
    st.lists(st.sampled_from("ab"), max_size=80).map(" ".join),
)


def check(texts: list[str]) -> None:
    batch = words.Batch(pl.Series(texts, dtype=pl.String))
    counts, lines = batch.counts, batch.lines()
    for row, text in enumerate(texts):
        tokens = oracle.tokens(text)
        part = slice(batch.bounds[row], batch.bounds[row + 1])
        got = [
            text[start : start + length] for start, length in zip(batch.starts[part], batch.lengths[part], strict=True)
        ]
        assert got == tokens
        spoken = [token for token in tokens if any(oracle.category(c)[0] in "LMN" for c in token)]
        assert {name: column[row] for name, column in counts.items()} == {
            "chars": len(text),
            "tokens": len(tokens),
            "words": len(spoken),
            "word_chars": sum(map(len, spoken)),
            "alpha_words": sum(any(map(oracle.letter, token)) for token in spoken),
            "sentences": oracle.sentences(text),
        }
        assert {name: column[row] for name, column in lines.items()} == oracle.lines(text, 30)
        assert batch.repeated[row].tolist() == oracle.repeated(tokens)
        named: dict[str, int] = {}
        for token, value in zip(tokens, batch.hashes[part].tolist(), strict=True):
            assert named.setdefault(token, value) == value
        assert len(set(named.values())) == len(named)


@given(st.lists(TEXTS, max_size=4))
@example(["", "\n", "\r\n", "...", "…", "a" * 9, "abcdefgh", "abcdefg.", "Abcdefgh,\n"])
@example(["x\x1fy\x1cz", "a\u2028b\x85c", "\ufeffa", "-\u0301", "1\u20e3."])
def test_words_lines_and_ngrams(texts: list[str]) -> None:
    check(texts)


@pytest.mark.parametrize("unit", ["a", "日", ".", "é-b", "1", "\u0301", "\u200d😀"])
def test_runs_around_the_length_that_is_taken_apart_in_pieces(unit: str) -> None:
    for more in (-1, 0, 1):
        text = (unit * (2**16 // len(unit) + 2))[: 2**16 + more]
        batch = words.Batch(pl.Series([text, text + "," + text + " end"]))
        assert batch.counts["tokens"].tolist() == [len(oracle.tokens(t)) for t in (text, text + "," + text + " end")]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_hashes_depend_on_the_bytes_alone(parts: list[bytes]) -> None:
    data = b"".join(parts)
    offsets = np.cumsum([0, *map(len, parts)])
    together = hashing.hash_slices(np.frombuffer(data, np.uint8), offsets)
    moved = hashing.hash_slices(np.frombuffer(b"xyz" + data + bytes(16), np.uint8), offsets + 3)
    assert together.tolist() == moved.tolist()
    assert len(set(together.tolist())) == len(set(parts))


def test_hashes_of_slices_that_differ_in_little_do_not_meet() -> None:
    slices = [
        bytes([a]).rjust(i + 1, b"x") + bytes([b]).rjust(j + 1, b"x")
        for a in range(16)
        for b in range(16)
        for i in range(9)
        for j in range(9)
    ]
    slices = sorted({*slices, *(b"\0" * n for n in range(1, 40)), *(b"a" * n for n in range(1, 40))})
    offsets = np.cumsum([0, *map(len, slices)])
    hashes = hashing.hash_slices(np.frombuffer(b"".join(slices), np.uint8), offsets)
    assert len(set(hashes.tolist())) == len(slices)


LONG = 10_000_000


@pytest.mark.parametrize(
    "text",
    [
        "a" * LONG,
        "日" * LONG,
        "." * LONG,
        " " * LONG,
        "\n" * LONG,
        "\u0301" * LONG,
        "some words, and more words.\n" * (LONG // 28),
    ],
    ids=["letters", "han", "dots", "spaces", "newlines", "marks", "one line"],
)
def test_documents_of_ten_million_characters(text: str) -> None:
    batch = words.Batch(pl.Series([text, "short"]))
    assert batch.counts["chars"].tolist() == [len(text), 5]
    assert {name: column[0] for name, column in batch.lines().items()} == oracle.lines(text, 30)
    expected = {"a": 1, "日": LONG, " ": 0, "\n": 0, "\u0301": 1, "s": (LONG // 28) * 7}
    if text[0] in expected:
        assert batch.counts["tokens"][0] == expected[text[0]]
    repeated = batch.repeated[0]
    if text[0] == "日":
        assert repeated[:3].tolist() == [(2 * n - 1) * (LONG - n + 1) for n in (2, 3, 4)]
        assert repeated[3:].tolist() == [(LONG - 1) // n * n for n in range(5, 11)]
    if text[0] == "s":
        assert repeated[3] >= 0.95 * len("".join(text.split()))
    if len(batch.hashes) == 2:
        assert not repeated.any()


def test_ten_million_characters_of_prose_that_does_not_repeat_itself() -> None:
    """Words made of hashes: all counts follow from how the text is made."""
    lines = []
    for i in range(LONG // 72):
        digest = (
            hashlib.blake2b(i.to_bytes(8, "little"), digest_size=24)
            .hexdigest()
            .translate(str.maketrans("0123456789", "ghijklmnop"))
        )
        lines.append(" ".join(digest[at : at + 8] for at in range(0, 48, 8)) + "\n")
    text = "".join(lines)
    batch = words.Batch(pl.Series([text]))
    assert {name: column[0] for name, column in batch.counts.items()} == {
        "chars": len(text),
        "tokens": 6 * len(lines),
        "words": 6 * len(lines),
        "word_chars": 48 * len(lines),
        "alpha_words": 6 * len(lines),
        "sentences": len(lines),
    }
    assert len(np.unique(batch.hashes)) == len(set(text.split()))
    assert not batch.repeated[0][3:].any()
    assert {name: int(batch.lines()[name][0]) for name in LINE_COUNTS} == oracle.lines(text, 30)
