"""The choice of blocks: the best expected F-measure against all cut-offs tried, and how much of the trees is asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract.choice import Effort, _cutoff, choose
from pipeline.extract.features import matrix
from pipeline.extract.page import blocks_of
from pipeline.extract.summary import PAGE_COLUMNS, TEXT_COLUMNS, WORDS, Summary
from pipeline.extract.trees import Words, model, probabilities

PAGE = """<title>A day at the mill</title><body><nav><ul><li><a href=/>Home</a><li><a href=/a>About</a></ul></nav>
<main><h1>A day at the mill</h1>
<p>The wheel turns as soon as the water is let in, and from then on nobody in the house can hear his own words.</p>
<p>At noon, when the stones are lifted, dressed and lowered again, the miller's daughter brings bread and beer.</p>
<ul><li>Rye, which is ground twice and sifted once.<li>Wheat, which is ground once and sifted twice.</ul></main>
<footer>Copyright 2026 <a href=/imprint>Imprint</a> <a href=/privacy>Privacy</a></footer>"""


def summary_of(words):
    read = np.zeros((len(words), TEXT_COLUMNS), np.float32)
    read[:, WORDS] = words
    empty = np.zeros((1, 3))
    return Summary(
        read,
        np.zeros((1, 6), np.float32),
        np.zeros((1, 5), np.int32),
        np.zeros(1),
        np.zeros(len(words), np.int32),
        empty,
        np.zeros(PAGE_COLUMNS),
    )


def expected_measure(words, likely, cutoff, beta):
    """The F-measure of expected numbers of words, as its definition has it."""
    chosen = likely >= cutoff
    right, taken, wanted = (words * likely)[chosen].sum(), words[chosen].sum(), (words * likely).sum()
    if not taken:
        return 0.0
    precision, recall = right / taken, right / wanted
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall) if right else 0.0


blocks = st.lists(st.tuples(st.integers(1, 200), st.integers(0, 255)), min_size=1, max_size=30)


@given(blocks, st.sampled_from([0.5, 1.0, 2.0]))
def test_no_cutoff_is_better(pairs, beta):
    words = np.array([size for size, _ in pairs], float)
    likely = (np.array([step for _, step in pairs]) + 0.5).astype(np.float32) / np.float32(256)
    cutoff, expected = _cutoff(summary_of(words), likely, beta, np.zeros((256, 2)))
    tried = {step / 256: expected_measure(words, likely, step / 256, beta) for step in range(26, 129)}
    assert expected == pytest.approx(max(tried.values()), abs=1e-5)
    assert expected_measure(words, likely, cutoff, beta) == pytest.approx(expected, abs=1e-5)
    assert 0.1 <= cutoff <= 0.5


@given(blocks)
def test_who_favours_recall_never_gets_less(pairs):
    words = np.array([size for size, _ in pairs], float)
    likely = np.array([step for _, step in pairs], np.float32) / np.float32(256)
    found = summary_of(words)
    cutoffs = [_cutoff(found, likely, beta, np.zeros((256, 2)))[0] for beta in (0.5, 1.0, 2.0)]
    assert cutoffs == sorted(cutoffs, reverse=True)


def prefix(trees, count):
    return Words(trees.roots[:count], *trees[1:])


@pytest.mark.parametrize("first", [1, 20])
def test_only_unsure_blocks_are_shown_to_all_trees(first):
    page, trees = blocks_of(PAGE), model().words
    features, count = matrix(page), len(trees.roots)
    few, all_of_them = probabilities(prefix(trees, first), features), probabilities(trees, features)
    for effort, likely in (
        (Effort(first, first, 0.0), few),
        (Effort(first, count, 0.0), few),
        (Effort(first, count, np.inf), all_of_them),
        (Effort(count, count, 0.0), all_of_them),
        (Effort(first, count, 1.0), np.where(np.abs(np.log(few / (1 - few))) < 1, all_of_them, few)),
    ):
        chosen, expected = choose(page, trees, effort, 1.0)
        cutoff = likely[chosen].min()
        assert (chosen == (likely >= cutoff)).all() and 0 < expected <= 1
        words = np.array([len(text.split()) for text in texts(page)])
        assert expected == pytest.approx(expected_measure(words, likely, cutoff, 1.0), abs=1e-4)


def texts(page):
    raw = page.text.tobytes()
    return [raw[first:last].decode() for first, last in page.blocks[:, :2].tolist()]


def test_a_page_without_text_has_nothing_to_choose():
    for html in ("", "<p>", "<script>x</script>"):
        chosen, expected = choose(blocks_of(html), model().words, Effort(10, 10, 0.0), 1.0)
        assert len(chosen) == 0 and expected == 0
