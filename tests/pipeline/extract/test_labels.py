"""Labels of blocks: pages made by hand, properties, and real pages whose labelled blocks must make up the truth."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from pipeline.extract.learn import gold
from pipeline.extract.learn.labels import segment_labels, text_labels
from pipeline.extract.learn.metrics import word_scores, words

RECIPE = [
    ("Home", 0),
    ("Recipes", 0),
    ("About us", 0),
    ("The best pizza", 1),
    ("By John Smith", 0),
    ("You need flour, water and salt. Mix it all for ten minutes.", 1),
    ("Buy the best oven now: you need it and the salt", 0),
    ("Ingredients", 1),
    ("flour", 1),
    ("salt", 1),
    ("The best pizza", 0),
    ("The best bread of all", 0),
    ("Home", 0),
    ("© 2026 — all rights", 0),
]


def labels(blocks, truth):
    return [round(float(label), 3) for label in text_labels(blocks, truth).label]


def test_menus_and_teasers_that_repeat_words_of_the_text_are_not_text():
    blocks = [block for block, _ in RECIPE]
    found = text_labels(blocks, "\n\n".join(block for block, wanted in RECIPE if wanted))
    assert found.label.tolist() == [wanted for _, wanted in RECIPE]
    assert found.weight.tolist() == [1, 1, 2, 3, 3, 12, 11, 1, 1, 1, 3, 5, 1, 3]
    assert found.coverage == 1


def test_a_part_of_a_block_counts_by_its_words():
    blocks = ["Share this. One two three four five six. Read more", "seven eight nine"]
    assert labels(blocks, "One two three four five six. Seven eight nine") == [0.6, 1]


def test_of_two_copies_one_is_text_and_it_is_the_one_in_its_place():
    text = "It was a bright cold day in April and the clocks were striking thirteen"
    rest = "Winston Smith slipped quickly through the glass doors of Victory Mansions"
    assert labels([text, "menu", text, rest], f"{text}. {rest}.") == [0, 0, 1, 1]
    assert sorted(labels([text, "menu", text], text)) == [0, 0, 1]


def test_text_that_the_truth_has_in_another_order_is_found():
    first, second = (" ".join(f"{word}{n}" for n in range(12)) for word in ("red", "blue"))
    assert labels([first, "menu", second], f"{second} {first}") == [1, 0, 1]


def test_single_words_of_the_text_elsewhere_in_the_page_are_no_text():
    blocks = ["contact", "the", "you and it", "We do not know the way home but you and I go on"]
    assert labels(blocks, "We do not know the way home but you and I go on") == [0, 0, 0, 1]


def test_small_differences_of_wording_cost_only_themselves():
    blocks = ["Menu", "The quick brown fox jumps over the lazy dog and runs away", "Imprint"]
    changed = "The quick brown fox leaps over the lazy dog and runs away"
    assert labels(blocks, changed) == [0, round(11 / 12, 3), 0]


def test_scripts_without_spaces_are_compared_by_letters():
    novel = "吾輩は猫である。名前はまだ無い。"
    assert labels(["ホーム", novel, "次へ"], novel.replace("。", "。\n")) == [0, 1, 0]


def test_nothing_to_compare():
    assert text_labels([], "a word").label.tolist() == [] and text_labels([], "a word").coverage == 0
    assert labels(["a word", "…"], "") == [0, 0] and text_labels(["…"], "").weight.tolist() == [0]
    assert labels(["Hello"], "Hello") == [1] and labels(["Sold out"], "sold out!") == [1]


def test_text_of_one_word_over_and_over_is_handled_in_linear_room():
    found = text_labels(["ha " * 100] * 300, "ha " * 30_000)
    assert (found.label == 1).all()


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=30))
def test_a_choice_of_blocks_of_distinct_words_is_found_again(sizes):
    numbers = iter(range(10_000))
    blocks = [" ".join(f"w{next(numbers)}" for _ in range(size)) for size, _ in sizes]
    chosen = [wanted for _, wanted in sizes]
    truth = "\n".join(block for block, wanted in zip(blocks, chosen, strict=True) if wanted)
    assert labels(blocks, truth) == chosen


@given(st.lists(st.text("ab cd", max_size=12), max_size=12), st.text("ab cd", max_size=60))
def test_no_word_counts_twice(blocks, truth):
    found = text_labels(blocks, truth)
    assert ((found.label >= 0) & (found.label <= 1)).all()
    assert found.weight.tolist() == [len(block.split()) for block in blocks]
    matched = float((found.label * found.weight).sum())
    assert matched <= min(len(truth.split()), found.weight.sum()) + 1e-3
    assert matched == pytest.approx(found.coverage * len(truth.split()), abs=1e-3)


def test_segments_label_the_blocks_that_hold_them_and_no_others():
    blocks = ["Imprint 2026", "First sentence of the", "text. Second", "Imprint", "Twice", "Twice", "", "Login First"]
    found = segment_labels(blocks, ["sentence  of the text.", "Twice", "missing"], ["Imprint", "Log in"])
    assert found.label.tolist()[1:3] == [1, 1]
    assert found.weight.tolist() == [2, 4, 2, 1, 0, 0, 0, 2]
    assert found.label[found.weight > 0].tolist() == [0, 1, 1, 0, 0]
    assert found.coverage == pytest.approx(2 / 3)


def test_a_block_with_wanted_and_unwanted_segments_is_unknown():
    found = segment_labels(["good and bad", "bad"], ["good"], ["bad"])
    assert found.weight.tolist() == [0, 1] and found.label[1] == 0


def crude_blocks(page):
    """Blocks by another parser: every run of text between tags other than a few inline ones."""
    tree = html.document_fromstring(page, parser=html.HTMLParser(encoding="utf-8"))
    for part in tree.xpath("//script | //style | //head | //comment() | //template | //svg"):
        if part.getparent() is not None:
            part.drop_tree()
    for inline in tree.xpath("//a | //b | //i | //em | //strong | //span | //code | //sup | //sub | //font | //u"):
        inline.drop_tag()
    return [text for text in (" ".join(piece.split()) for piece in tree.itertext()) if text]


def test_blocks_labelled_on_real_pages_make_up_the_truth(test_data):
    root = test_data("B-wcxb-train").parent
    pages = [page for number, page in enumerate(gold.wcxb(root)) if number % 25 == 0]
    scores = []
    for page in pages:
        blocks = crude_blocks(page.html)
        found = text_labels(blocks, page.text)
        kept = "\n".join(block for block, label in zip(blocks, found.label, strict=True) if label >= 0.5)
        everything = word_scores("\n".join(blocks), page.text)
        if everything.recall > 0.9:  # else the truth is not in the page as it was sent
            scores.append(word_scores(kept, page.text).f1)
    assert len(scores) > 40 and np.mean(scores) > 0.97 and np.median(scores) > 0.99


def test_labels_do_not_depend_on_the_order_of_hashing(test_data):
    """Words are numbered as they come, so that another seed of Python's hashes changes nothing."""
    import subprocess
    import sys

    root = test_data("B-wcxb-train").parent
    program = (
        "import sys, pathlib\nfrom pipeline.extract.learn import gold, labels\n"
        "page = next(gold.wcxb(pathlib.Path(sys.argv[1])))\n"
        "print(labels.text_labels(page.text.split('. ') * 2, page.text).label.tobytes().hex())"
    )
    command = [sys.executable, "-c", program, str(root)]
    folder = Path(gold.__file__).parents[3]
    first, second = (
        subprocess.check_output(command, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=folder) for seed in "12"
    )
    assert first == second and len(first) > 100


def test_words_are_those_of_the_metric():
    found = text_labels(["don't stop", "中文字 abc"], "")
    assert found.weight.tolist() == [len(words("don't stop")), 4] == [3, 4]
