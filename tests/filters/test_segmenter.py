"""Words of scripts without spaces: against ICU asked about the whole text, and against properties of every text."""

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import Gopher, Repetition, words
from pipeline.dedup.minhash import MinHash

WordBreaker = pytest.importorskip("icu4py.breakers", reason="needs the extra [icu]").WordBreaker

SENTENCES = [
    ("我们今天去北京大学学习中文。", "我们|今天|去|北京|大学|学习|中文|。"),
    ("日本語の文章です。", "日本語|の|文章|です|。"),
    ("ภาษาไทยเป็นภาษาที่ดี", "ภาษา|ไทย|เป็น|ภาษา|ที่|ดี"),
    ("ພາສາລາວ", "ພາສາ|ລາວ"),
    ("中文,English混合", "中文|,|English|混合"),
    ("No such script, 3.5 km.", "No|such|script|,|3.5|km|."),
    ("ꀀꀁ", "ꀀ|ꀁ"),  # Yi: ICU has no dictionary of it
]


@pytest.mark.parametrize(("text", "tokens"), SENTENCES)
def test_words_are_those_of_the_dictionary(text: str, tokens: str) -> None:
    assert words.split(text, "icu") == tokens.split("|")


# Letters with dictionaries, marks on them, astral ones, and what stands between.
LETTERS = "我们北京大学の文章ですカナภาษาที่ดีພາສາភាសាខ្មែរမြန်မာ𠀀𪜶"
MIXED = st.text(LETTERS + " ab.,\n1é\u0301。ꀀ", max_size=60)
RUN = re.compile(
    "[ก-ฮะาำเ-ๅๆກ-ຮະາຳຽເ-ໄໆໜ-ໟက-ဪဿၐ-ၕក-ឳៗ々〇ぁ-ゖゝ-ゟァ-ヺー-ヿ㐀-䶿一-鿿𠀀-\U000323af]"
    "[ก-ฮะาำเ-ๅๆກ-ຮະາຳຽເ-ໄໆໜ-ໟက-ဪဿၐ-ၕក-ឳៗ々〇ぁ-ゖゝ-ゟァ-ヺー-ヿ㐀-䶿一-鿿𠀀-\U000323af"
    "\u0300-\u036fัิ-ฺ็-๎ັິ-ຼ່-ໍါ-ှា-៓]*"
)


@given(st.lists(MIXED, max_size=5))
def test_words_start_where_icu_says_whatever_else_is_in_the_batch(texts: list[str]) -> None:
    data, offsets = words.buffers(pl.Series(texts, dtype=pl.String))
    found = words.word_starts(data, offsets, "icu")
    for text, first, last in zip(texts, offsets, offsets[1:], strict=False):
        marked = set(np.flatnonzero(found[first:last]).tolist())
        expected: set[int] = set()
        for run in RUN.finditer(text):
            at = run.start()
            for word in WordBreaker(run[0], "root"):
                expected.add(len(text[:at].encode()))
                at += len(word)
        ours = {byte for byte in marked if text.encode()[byte:].decode()[0] != "ꀀ"}
        assert ours == expected


@given(MIXED)
def test_tokens_are_the_text_without_white_space(text: str) -> None:
    assert "".join(words.split(text, "icu")) == "".join(text.split())


def test_a_run_of_any_length_is_cut_into_words() -> None:
    text = "我们今天去北京大学学习中文" * 10_000
    tokens = words.split(text, "icu")
    assert "".join(tokens) == text
    assert set(words.split(text[:130], "icu")) <= set(tokens)
    # Only words at the seams of the pieces that ICU gets differ.
    assert len(tokens) == pytest.approx(10_000 * len(words.split(text[:13], "icu")), rel=0.001)


def test_filters_and_deduplication_count_the_same_words() -> None:
    docs = pl.DataFrame({"text": ["我们今天去北京大学学习中文。" * 20]})
    letters, listed = (docs.select(**Gopher(segmenter=name).signals()) for name in ("characters", "icu"))
    assert (letters["words"].item(), letters["mean_word_length"].item()) == (260, 1)
    assert (listed["words"].item(), listed["mean_word_length"].item()) == (140, 13 / 7)
    assert MinHash(segmenter="icu", shingle=2).shingles("我们今天") == ["我们 今天"]
    assert MinHash(shingle=2).shingles("我们") == ["我 们"]


def test_the_dictionary_is_part_of_the_identity() -> None:
    for step in (Gopher, Repetition, MinHash):
        assert "icu" in step(segmenter="icu").identity()
        assert "icu" not in step().identity()


def test_a_missing_package_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=r"pip install 'gristmill\[icu\]'"):
        Gopher(segmenter="icu")
