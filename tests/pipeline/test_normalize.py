"""Normalised text: what changes, what must not, and that a second time changes nothing."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.normalize import Normalize


def normalize(*texts):
    return Normalize().apply(pl.DataFrame({"text": list(texts)}, schema={"text": pl.String}), "normalize")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\r\nb\rc\u2028d\u2029e\x85f\x0bg\x0ch", "a\nb\nc\nd\ne\nf\ng\nh"),
        ("e\u0301 \u212b", "é Å"),
        ("a\x00b\x1bc\x7fd\x9fe\ufefff\u2060g\u00adh\ufffei", "abcdefghi"),
        ("\u202eright\u202c \u2066x\u2069", "right x"),
        ("zero\u200bwidth", "zerowidth"),
        ("ภาษา\u200bไทย", "ภาษา\u200bไทย"),
        ("می\u200cخواهم 👩\u200d💻", "می\u200cخواهم 👩\u200d💻"),
        ("a \t\u00a0\nb\u3000\n  c  ", "a\nb\n  c"),
        ("\n\n a\n\n\n\n \n\nb\n\n", " a\n\nb"),
        ("if x:\n\treturn  1", "if x:\n\treturn  1"),
        ("e\u200b\u0301", "é"),
        ("", ""),
        ("  \n ", ""),
        (None, None),
    ],
)
def test_cases(before, after):
    done = normalize(before, "x")
    assert done["text"].to_list() == [after, "x"]
    expected = None if before is None else before != after
    assert done["normalize.changed"].to_list() == [expected, False]
    if before is not None:
        assert done["normalize.removed"][0] == len(before) - len(after)


MESSY = st.text(
    st.sampled_from("ab \t\n\r\x0b\x00\u00a0\u3000\u200b\u200d\u00ad\ufeff\u0301\u0327ก\u2028가각\u1100\u1161")
)


@given(st.one_of(st.text(), MESSY))
def test_a_second_time_changes_nothing_and_no_letter_is_lost(text):
    once = normalize(text)["text"][0]
    twice = normalize(once)
    assert twice["text"][0] == once and not twice["normalize.changed"][0]
    assert unicodedata.is_normalized("NFC", once)
    assert "\r" not in once and "\n\n\n" not in once and not any(line != line.rstrip() for line in once.split("\n"))

    def letters(of):
        return [c for c in unicodedata.normalize("NFC", "".join(c for c in of if c.isalnum())) if c.isalnum()]

    assert letters(unicodedata.normalize("NFD", once)) == letters(unicodedata.normalize("NFD", text))


def test_many_rows_keep_their_places():
    texts = [f"row {i} \r\n" if i % 3 else None for i in range(500)]
    done = normalize(*texts)
    assert done["text"].to_list() == [f"row {i}" if i % 3 else None for i in range(500)]
