"""Scores of extracted texts: cases counted by hand, WCXB's formula, and intervals against drawing one by one."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract.learn import metrics


def test_word_scores_by_hand():
    assert metrics.word_scores("The cat, the CAT!", "the cat sat") == pytest.approx((2 / 4, 2 / 3, 4 / 7))
    assert metrics.word_scores("sat cat the", "The cat sat.") == (1, 1, 1)
    assert metrics.word_scores("dog", "cat") == (0, 0, 0)
    assert metrics.word_scores("…", "") == (1, 1, 1)
    assert metrics.word_scores("", "cat") == metrics.word_scores("cat", "") == (0, 0, 0)


@given(st.text("ab \n.-_éß9", max_size=40), st.text("ab \n.-_éß9", max_size=40))
def test_word_scores_are_those_of_wcxb_for_scripts_with_spaces(text, truth):
    found, expected = (re.findall(r"\w+", one.lower()) for one in (text, truth))
    scores = metrics.word_scores(text, truth)
    if found and expected:
        common = sum((Counter(found) & Counter(expected)).values())
        assert scores.precision == common / len(found) and scores.recall == common / len(expected)
        assert scores.f1 == pytest.approx(2 * common / (len(found) + len(expected)))
    else:
        assert scores == ((1, 1, 1) if found == expected else (0, 0, 0))


def test_words_of_scripts_without_spaces_are_letters():
    assert metrics.words("Python の使い方、第3章") == ["python", "の", "使", "い", "方", "第", "3", "章"]
    assert metrics.words("제1장 데비안 هذا") == ["제1장", "데비안", "هذا"]
    assert metrics.words("ไทย\U00020000a_b") == ["ไ", "ท", "ย", "\U00020000", "a_b"]


def test_segments_are_compared_without_regard_to_white_space():
    counts = metrics.segment_counts("One\n  two three", ["One two", "two  three ", "four"], ["two\tthree", "Imprint"])
    assert counts == (2, 1, 1)


def test_pooled_scores_count_segments_and_not_pages():
    pages = np.array([[3, 0, 0], [0, 1, 3.0]])
    precision, recall, f1 = metrics.intervals(pages, metrics.pooled_scores)
    assert (precision.value, recall.value, f1.value) == pytest.approx((3 / 4, 3 / 6, 6 / 10))
    nothing = metrics.intervals(np.zeros((2, 3)), metrics.pooled_scores)
    assert [tuple(one) for one in nothing] == [(0, 0, 0)] * 3


def test_intervals_are_those_of_drawing_page_by_page():
    generator = np.random.default_rng(3)
    pages = np.column_stack([generator.beta(8, 2, (60, 3)), np.ones(60)])
    drawn = [pages[generator.integers(0, 60, 60), 2].mean() for _ in range(4000)]
    _, _, f1 = metrics.intervals(pages, metrics.mean_scores, draws=4000)
    assert f1.value == pytest.approx(pages[:, 2].mean())
    assert (f1.low, f1.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.004)
    assert metrics.intervals(pages, metrics.mean_scores) == metrics.intervals(pages, metrics.mean_scores)
    assert metrics.intervals(pages, metrics.mean_scores, seed=1) != metrics.intervals(pages, metrics.mean_scores)


def test_paired_differences_are_narrower_than_the_intervals():
    generator = np.random.default_rng(3)
    pages = np.column_stack([generator.beta(8, 2, (60, 3)), np.ones(60)])
    better = pages + [0.01, 0.01, 0.01, 0]
    for difference in metrics.differences(better, pages, metrics.mean_scores):
        assert difference == pytest.approx((0.01, 0.01, 0.01))
    with pytest.raises(ValueError, match="59 pages cannot be paired with 60"):
        metrics.differences(pages[:59], pages, metrics.mean_scores)
    with pytest.raises(ValueError, match="no pages"):
        metrics.intervals(pages[:0], metrics.mean_scores)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Plain English with an émigré", "latin"),
        ("1234 …", "none"),
        ("apt-get install нужно установить на компьютер", "cyrillic"),
        ("apt-get install the whole of it, на", "latin"),
        ("Debian を使う前に、インストールする必要があります", "japanese"),
        ("本章介绍如何安装软件包 apt", "han"),
        ("데비안을 설치한다 apt", "hangul"),
        ("هذا الكتاب عن دبيان", "arabic"),
        ("Ο διαχειριστής του Debian", "greek"),
    ],
)
def test_scripts(text, script):
    assert metrics.script(text) == script
