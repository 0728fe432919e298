"""The numbers of blocks, against plain Python on arbitrary text and against a page counted by hand."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract.features import COUNT, NAMES, matrix, page_features
from pipeline.extract.page import blocks_of

PAGE = """<body><nav class="menu"><a href=/>Shop: all</a></nav>
<article class=product><h1>The Mill</h1><div class="content"><p>It costs $5, or 4 €. Why?</p>
<p>Grind, grind and grind; then sift.</p></div><p>Grind, grind and grind; then sift.</p></article>"""


def columns(html):
    """For each name of a feature, what it is for each block."""
    found = matrix(blocks_of(html))
    return {name: found[:, column].tolist() for column, name in enumerate(NAMES)}


def test_names_are_those_of_the_columns():
    assert len(set(NAMES)) == COUNT == matrix(blocks_of(PAGE)).shape[1]


def test_texts_and_numbers_belong_together():
    texts, found = page_features(PAGE.encode())
    assert texts == [
        "Shop: all",
        "The Mill",
        "It costs $5, or 4 €. Why?",
        "Grind, grind and grind; then sift.",
        "Grind, grind and grind; then sift.",
    ]
    assert len(found) == len(texts)


def test_a_page_counted_by_hand():
    found = columns(PAGE)
    lengths = [9, 8, 25, 34, 34]
    assert found["log_chars"] == pytest.approx([math.log1p(length) for length in lengths])
    assert found["words"] == [2, 2, 7, 6, 6]
    assert found["link_density"] == [1, 0, 0, 0, 0]
    assert found["punctuation_per_word"] == pytest.approx([1 / 2, 0, 3 / 7, 3 / 6, 3 / 6])
    assert found["ends_sentence"] == [0, 0, 1, 1, 1]
    assert found["questions"] == [0, 0, 1, 0, 0]
    assert found["currencies"] == [0, 0, 2, 0, 0]
    assert found["seen"] == [0, 0, 0, 0, 1]
    assert found["same"] == pytest.approx([math.log(2)] * 3 + [math.log(3)] * 2)
    assert found["heading"] == [0, 1, 0, 0, 0] and found["is_h1"] == found["heading"]
    assert found["in_nav"] == [1, 0, 0, 0, 0] and found["in_article"] == [0, 1, 1, 1, 1]
    assert found["after_title"] == [0, 1, 1, 1, 1] and found["title_distance"] == [-1, 0, 1, 2, 3]
    assert found["inherited_navigation"] == [1, 0, 0, 0, 0] and found["parent_content"] == [0, 0, 1, 1, 0]
    assert found["own_product"] == [0] * 5 and found["inherited_product"] == [0, 1, 1, 1, 1]
    assert found["before"] == pytest.approx(np.cumsum([0, *lengths[:-1]]) / sum(lengths))
    assert found["before1_link_density"] == [0, 1, 0, 0, 0] and found["behind1_heading"] == [1, 0, 0, 0, 0]
    assert found["before1_same_parent"] == [0, 0, 0, 1, 0]
    assert found["level1_from_begin"] == [0, 0, 0, 1, 3]
    assert found["level1_to_end"] == [5, 4, 2, 1, 1]
    assert found["template_log_count"] == pytest.approx([math.log(2)] * 2 + [math.log(3)] * 2 + [math.log(2)])
    for name, value in {
        "page_titles": 1,
        "page_link_density": 9 / 110,
        "page_log_prices": math.log(3),
        "page_longest": 34 / 110,
        "page_content": 59 / 110,
        "page_product": 101 / 110,
        "page_in_main": 0,
        "page_commonest": 59 / 110,
    }.items():
        assert found[name] == pytest.approx([value] * 5), name


LETTERS = "aZ9 .,!?:;|/>\n\t$€£»\"')éßжما،؟۔कॐ।ก中国。、かな！？ｶ՞።።។၊\U0001f600\u00a0"


@given(st.text(LETTERS, max_size=60))
def test_texts_are_counted_as_plain_python_does(text):
    blocks, found = page_features(f"<pre>\n{text.replace('>', '&gt;')}</pre>".encode())
    if not blocks:
        return
    block, known = "\n".join(blocks), dict(zip(NAMES, found[0].tolist(), strict=True))
    assert len(blocks) == 1
    assert known["log_chars"] == pytest.approx(math.log1p(len(block)))
    commas, stops = ",،、၊", "!?.؟۔।。！？።។"
    assert known["commas"] == sum(block.count(comma) for comma in commas)
    assert known["log_punctuation"] == pytest.approx(
        math.log1p(sum(letter in commas + stops + ":;" for letter in block))
    )
    assert known["questions"] == block.count("?")
    assert known["currencies"] == sum(letter in "$€£" for letter in block)
    assert known["ends_sentence"] == bool(re.search(rf"[{re.escape(stops)}][\"')]*\Z", block))
    assert known["lines"] == block.count("\n")


@given(
    st.lists(st.sampled_from(["<div class=nav>", "</div>", "<p>", "text of it. ", "<li>", "<table><tr><td>", "<h1>"]))
)
def test_numbers_are_finite_whatever_the_page(parts):
    assert np.isfinite(matrix(blocks_of("".join(parts)))).all()
