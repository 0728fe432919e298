"""Every rule against a version in plain Python, and the edits, orders and repetitions that real copies have."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contamination_oracle as oracle
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.decontaminate.step import Decontaminate

Sets = Callable[..., dict[str, Any]]

_WORDS = st.sampled_from("ant bee cat dog elk fox".split())


@st.composite
def _cases(draw: st.DrawFn) -> tuple[list[tuple[list[str], list[str]]], list[list[str]]]:
    """Items of a few words, and documents made of pieces of them."""
    items = draw(
        st.lists(st.tuples(st.lists(_WORDS, max_size=30), st.lists(_WORDS, max_size=12)), min_size=1, max_size=4)
    )
    pool = [[*question, *answer] for question, answer in items]
    pieces = st.one_of(
        st.lists(_WORDS, max_size=8),
        st.sampled_from(pool),
        st.tuples(st.sampled_from(pool), st.integers(0, 30), st.integers(5, 30)).map(
            lambda cut: cut[0][cut[1] : cut[1] + cut[2]]
        ),
    )
    docs = draw(st.lists(st.lists(pieces, max_size=5).map(lambda parts: sum(parts, [])), min_size=1, max_size=3))
    return items, docs


def _table(step: Decontaminate, texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"text": texts}).select(**step.signals())


def _made(sets: Sets, items: list[tuple[list[str], list[str]]], **settings: Any) -> Decontaminate:
    pairs = [(" ".join(question), " ".join(answer)) for question, answer in items]
    return Decontaminate.model_validate({"sets": sets(eval=pairs), **settings})


@given(_cases(), st.integers(0, 4), st.sampled_from([5, 8]))
def test_values_are_those_of_plain_python(sets: Sets, case: Any, misses: int, gram: int) -> None:
    items, docs = case
    assume(any(len(question) + len(answer) >= 5 for question, answer in items))
    step = _made(sets, items, sample=1, misses=misses, gram=gram, shortest=6, perfect=[8, 20])
    found = _table(step, [" ".join(doc) for doc in docs])
    scorer = oracle.Idf(items, misses, 6, 8, 20)
    for doc, row in zip(docs, found.iter_rows(named=True), strict=True):
        assert row["run"] == max(oracle.run(doc, *item) for item in items)
        assert row["share"] == max(oracle.share(doc, part, gram) for item in items for part in item)
        assert row["idf"] == pytest.approx(max(scorer.score(doc, k) for k in range(len(items))), abs=1e-6)


@given(_cases(), st.sampled_from([6, 9, 12]))
def test_sampling_misses_nothing_that_run_and_share_look_for(sets: Sets, case: Any, limit: int) -> None:
    items, docs = case
    assume(any(len(question) + len(answer) >= 5 for question, answer in items))
    step = _made(sets, items, keep={"run": [None, limit], "share": [None, 0.5], "idf": None})
    for doc, row in zip(docs, _table(step, [" ".join(doc) for doc in docs]).iter_rows(named=True), strict=True):
        longest = max(oracle.run(doc, *item) for item in items)
        assert row["run"] == longest if longest > limit else row["run"] <= limit
        assert row["share"] == max(oracle.share(doc, part, 8) for item in items for part in item)
        over = [
            f"eval:{k}"
            for k, item in enumerate(items)
            if oracle.run(doc, *item) > limit or max(oracle.share(doc, part, 8) for part in item) > 0.5
        ]
        assert (row["items"] or "").split() == over


ASKED = (
    "The museum of clocks in Oakhaven opens its doors at nine in the morning and lets in groups of twelve visitors "
    "every quarter of an hour. If the last group enters at half past four, and every third group brings a teacher who "
    "pays nothing, how many tickets does the cashier sell on one day?"
)
TOLD = (
    "There are thirty one groups in a day, which makes three hundred and seventy two visitors. Ten of the groups bring "
    "a teacher, so the cashier sells three hundred and sixty two tickets."
)
NOISE = (
    "Clocks were made in the valley for two hundred years, until the last workshop shut. Some of the families kept "
    "their tools, and a few of the tools can be seen in the town hall. "
)


@pytest.fixture(scope="module")
def step(sets: Sets) -> Decontaminate:
    others = [(f"{number} {NOISE}", f"The answer to question {number} is a number.") for number in range(5)]
    return Decontaminate.model_validate({"sets": sets(school=[*others, (ASKED, TOLD)])})


def _score(step: Decontaminate, text: str) -> tuple[float, str | None]:
    row = _table(step, [text]).row(0, named=True)
    return row["idf"], row["items"]


@pytest.mark.parametrize(
    "edited",
    [
        ASKED,
        ASKED.upper().replace(",", " -"),
        ASKED.replace("every quarter of an hour", "each quarter of an hour"),
        ASKED.replace("museum of clocks", "museum of old clocks"),
        ASKED.replace("a teacher who pays", "a teacher pays"),
        ASKED.replace("how many tickets", "how many of the tickets").replace("museum", "house"),
    ],
)
def test_edited_questions_are_found_with_their_answer(step: Decontaminate, edited: str) -> None:
    score, items = _score(step, NOISE[:60] + edited + " Answer: " + TOLD + NOISE[:60])
    assert score >= 0.8 and items == "school:5"


def test_the_answer_counts_near_its_question_only(step: Decontaminate) -> None:
    edited = ASKED.replace("every quarter of an hour", "each quarter of an hour")
    near, _ = _score(step, f"{edited} {TOLD}")
    far, _ = _score(step, f"{edited} {'And so it went on. ' * 60} {TOLD}")
    before, _ = _score(step, f"{TOLD} {edited}")
    without, _ = _score(step, edited)
    assert near > 0.8 and far == before == without < 0.75


def test_an_answer_may_repeat_its_question(sets: Sets) -> None:
    told = f"One third of the groups brings a teacher who pays nothing. So 362: {ASKED[-60:-1]} is 362."
    step = Decontaminate.model_validate({"sets": sets(school=[(ASKED, told)])})
    assert _score(step, f"{NOISE} {ASKED} {told} {NOISE}") == (1, "school:0")


def test_a_short_answer_stands_as_a_whole_within_50_words(sets: Sets) -> None:
    step = Decontaminate.model_validate({"sets": sets(school=[(ASKED, "362 tickets")])})
    said = "The answer is 362 tickets."
    assert _score(step, f"{ASKED} {said}")[0] == 1
    assert _score(step, f"{ASKED} {'so ' * 44} {said}")[0] == 1
    assert _score(step, f"{ASKED} {'so ' * 48} {said}")[0] == 0.75
    assert _score(step, f"{ASKED} The answer is 363 tickets.")[0] == 0.75


def test_short_items_must_be_there_word_for_word(sets: Sets) -> None:
    asked, told = "Which of these animals sleeps through the whole of the long winter", "the alpine marmot"
    step = Decontaminate.model_validate({"sets": sets(school=[(asked, told)]), "keep": {"share": None}})
    assert _score(step, f"Quiz! {asked}? It is {told}.") == (1, "school:0")
    assert _score(step, f"Quiz! {asked}? It is the marmot.")[0] < 0.8
    assert _score(step, f"Quiz! {asked.replace('Which of', 'Which one of')}? It is {told}.")[0] < 0.8


def test_items_below_the_shortest_are_left_to_other_rules(sets: Sets) -> None:
    pairs = [("who wrote the first book about the moon", "nobody"), ("what is up", "it"), ("", ""), ("one two", "")]
    step = Decontaminate.model_validate({"sets": sets(school=pairs)})
    row = _table(step, ["So who wrote the first book about the moon? Nobody. What is up? It. One two."]).row(
        0, named=True
    )
    assert (row["idf"], row["share"], row["run"], row["items"]) == (0, 1, 9, "school:0")


def test_items_that_overlap_are_all_found(sets: Sets) -> None:
    first, second = f"{NOISE} {ASKED}", f"{ASKED} {TOLD}"
    step = Decontaminate.model_validate({"sets": sets(one=[(first, "")], two=[(second, ""), (ASKED, TOLD)])})
    assert _score(step, f"{NOISE} {ASKED} {TOLD}") == (1, "one:0 two:0 two:1")


def test_a_dump_of_a_set_names_every_item_once(sets: Sets) -> None:
    draw = random.Random(3)
    words = [f"word{number}" for number in range(500)]
    pairs = [(" ".join(draw.choices(words, k=40)), " ".join(draw.choices(words, k=10))) for _ in range(50)]
    step = Decontaminate.model_validate({"sets": sets(dump=pairs)})
    text = "\n\n".join(f"Q: {asked}\nA: {told}" for asked, told in pairs * 2)
    assert _table(step, [text])["items"].to_list() == [" ".join(f"dump:{k}" for k in range(50))]


def test_phrases_that_all_items_have_begin_no_match(sets: Sets) -> None:
    prompt = "The following are multiple choice questions with answers about everything under the sun."
    pairs = [(f"{prompt} number {k} {'abcdefgh'[k] * 3} is what", "") for k in range(8)]
    settings = {"sets": sets(exam=pairs)}
    assert _table(Decontaminate.model_validate(settings), [prompt])["run"].item() == 13
    assert _table(Decontaminate.model_validate({**settings, "common": 7}), [prompt])["run"].item() == 0
    whole = Decontaminate.model_validate({**settings, "common": 7})
    assert _table(whole, [f"{pairs[3][0]}?"])["run"].item() == 18  # and such words belong to a match that others begin


def test_phrases_of_many_ordinary_documents_begin_no_match(sets: Sets, tmp_path: Path) -> None:
    loop = "for i in range of n and for j in range of m do"
    pairs = [(f"write a program that goes through a table {loop} print the sum of its rows and columns", "")]
    settings = {"sets": sets(code=pairs), "keep": {"run": [None, 11], "idf": None, "share": None}}
    texts = [f"{loop} nothing", f"a table {loop} print the sum of it"]
    assert _table(Decontaminate.model_validate(settings), texts)["run"].to_list() == [14, 20]
    for copies, runs in ((10, [14, 20]), (11, [0, 20])):
        path = tmp_path / f"{copies}.jsonl"
        path.write_text(f'{{"body": "{loop} {loop}"}}\n' * copies + '{"body": "a table for print"}\n' * 20)
        ordinary = {"paths": str(path), "text": "body"}
        step = Decontaminate.model_validate({**settings, "ordinary": ordinary})
        assert _table(step, texts)["run"].to_list() == runs
        assert step.identity() != Decontaminate.model_validate(settings).identity()
    with pytest.raises(ValidationError, match="no column 'text'"):
        Decontaminate.model_validate({**settings, "ordinary": {"paths": str(path)}})


def test_sets_without_items_take_no_names(sets: Sets) -> None:
    step = Decontaminate.model_validate({"sets": sets(none=[], some=[(ASKED, "")], nothing=[])})
    assert _score(step, ASKED) == (1, "some:0")


def test_nothing_and_nulls(step: Decontaminate) -> None:
    frame = pl.DataFrame({"text": ["", None, "one", "你好世界，再见。", "😀" * 9]}, schema={"text": pl.String})
    found = frame.select(**step.signals())
    assert found["idf"].to_list() == found["share"].to_list() == [0, None, 0, 0, 0]
    assert found["items"].null_count() == 5
    assert frame.clear().select(**step.signals()).height == 0


def test_scripts_without_spaces(sets: Sets) -> None:
    asked = "一个农夫有二十三只鸡和十七只鸭子他每天卖掉三只鸡和两只鸭子请问几天以后他还剩下多少只鸡"
    step = Decontaminate.model_validate({"sets": sets(chinese=[(asked, "")])})
    assert _score(step, f"题目：{asked[:20]}，{asked[20:]}？") == (1, "chinese:0")


@pytest.mark.parametrize("words", ["word", "ant bee", "a b c d e"])
def test_a_million_repetitions(sets: Sets, words: str) -> None:
    """Work that grew with the square of the text would go on for days."""
    step = Decontaminate.model_validate({"sets": sets(hostile=[(f"{words} " * 60, f"{words} " * 20)])})
    row = _table(step, [f"{words} " * 1_000_000]).row(0, named=True)
    assert (row["idf"], row["run"], row["share"]) == (1, 80 * len(words.split()), 1)


def test_items_are_named_by_the_ranges(sets: Sets) -> None:
    settings = {"sets": sets(school=[(ASKED, TOLD)])}
    texts = [ASKED[:110], ASKED, f"{ASKED} {TOLD}"]  # 21 words, all but the answer, all
    named = {
        "{}": [None, "school:0", "school:0"],
        '{"run": [null, 12]}': ["school:0"] * 3,
        '{"share": null}': [None, None, "school:0"],
        '{"idf": [null, 0.2], "share": null}': ["school:0"] * 3,
        '{"idf": null, "share": null}': [None, "school:0", "school:0"],  # measured only: the defaults say what is found
    }
    for keep, items in named.items():
        step = Decontaminate.model_validate({**settings, "keep": json.loads(keep)})
        assert _table(step, texts)["items"].to_list() == items
    with pytest.raises(ValidationError, match="unknown signal 'ngram' in keep"):
        Decontaminate.model_validate({**settings, "keep": {"ngram": [None, 0.5]}})


def test_scores_at_the_limits_of_the_papers_are_contamination(sets: Sets) -> None:
    """Seven of ten 8-grams are 70 %, which PaLM takes for contaminated."""
    words = [f"w{number}" for number in range(17)]
    step = Decontaminate.model_validate({"sets": sets(ten=[(" ".join(words), "")]), "keep": {"idf": None}})
    assert _table(step, [" ".join(words[:14])]).select("share", "items").row(0) == (0.7, "ten:0")
    assert 0.7 > (step.keep["share"][1] or 1)
    assert _table(step, [" ".join(words[:13])]).select("share", "items").row(0) == (0.6, None)
