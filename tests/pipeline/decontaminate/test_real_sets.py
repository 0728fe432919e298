"""Real evaluation sets in real documents: what is planted is found, and what is common to all code is not."""

import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.decontaminate.sets import EvaluationSet, Item
from pipeline.decontaminate.step import Decontaminate
from pipeline.dedup.minhash import words

Find = Callable[[str], Path]

SETS = {
    "humaneval": ("E-humaneval/HumanEval.jsonl.gz", "prompt", "canonical_solution"),
    "gsm8k": ("E-gsm8k/test.jsonl", "question", "answer"),
    "lambada": ("E-llmfoundry-evals/language_understanding/lambada_openai.jsonl", "context", "continuation"),
    "mbpp": ("E-mbpp-and-multilang-humaneval/MBPP/data/mbpp.jsonl", "text", "code"),
    "boolq": ("E-llmfoundry-evals/reading_comprehension/boolq.jsonl", "query", ()),
}


@pytest.fixture(scope="module")
def sets(test_data: Find) -> dict[str, Any]:
    return {
        name: {"paths": str(test_data(path)), "question": question, "answer": answer}
        for name, (path, question, answer) in SETS.items()
    }


@pytest.fixture(scope="module")
def documents(test_data: Find) -> Callable[[str], list[str]]:
    """Real texts in pieces of 5,000 characters."""

    def read(name: str) -> list[str]:
        with gzip.open(test_data(f"READY-jsonl/{name}.jsonl.gz"), "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        return [text[start : start + 5000] for text in texts for start in range(0, len(text), 5000)]

    return read


def _planted(hosts: list[str], passages: list[str]) -> Iterator[str]:
    """Each passage somewhere in a document."""
    draw = random.Random(5)
    for host, passage in zip(draw.choices(hosts, k=len(passages)), passages, strict=True):
        at = host.find(" ", draw.randrange(len(host))) % (len(host) + 1)
        yield f"{host[:at]}\n{passage}\n{host[at:]}"


def _edited(text: str, every: int, draw: random.Random) -> str:
    """The text with one of so many words replaced, dropped or doubled."""
    found = text.split(" ")
    for place in range(draw.randrange(every), len(found), every):
        found[place] = draw.choice(["something", "", f"{found[place]} {found[place]}"])
    return " ".join(found)


def _missed(settings: Any, name: str, texts: list[str]) -> list[int]:
    """The items of a set that are not found in the documents that have them."""
    signals = Decontaminate.model_validate({"sets": settings}).signals()
    named = pl.DataFrame({"text": texts}).select(signals["items"])["text"].fill_null("").to_list()
    return [row for row, labels in enumerate(named) if f"{name}:{row}" not in labels.split(" ")]


def _items(settings: Any, name: str) -> list[Item]:
    return list(EvaluationSet.model_validate(settings[name]).items())


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("humaneval", "code_thealgorithms_mit"),
        ("mbpp", "code_thealgorithms_mit"),
        ("gsm8k", "wikipedia_en_dump_excerpt"),
        ("lambada", "books_en_dev14"),
    ],
)
def test_every_planted_item_is_found(sets: Any, documents: Callable[[str], list[str]], name: str, hosts: str) -> None:
    items = _items(sets, name)
    texts = list(_planted(documents(hosts), [f"{item.question}\n{item.answer}" for item in items]))
    assert _missed(sets, name, texts) == []


def test_solutions_alone_are_found_if_they_have_the_words(sets: Any, documents: Callable[[str], list[str]]) -> None:
    """HumanEval's shortest solutions are no more than `return n % 2 == 0`."""
    solutions = [item.answer for item in _items(sets, "humaneval")]
    missed = _missed(sets, "humaneval", list(_planted(documents("code_thealgorithms_mit"), solutions)))
    assert missed == [row for row, solution in enumerate(solutions) if len(words(solution)) < 8]


@pytest.mark.parametrize(("name", "hosts"), [("gsm8k", "wikipedia_en_dump_excerpt"), ("lambada", "books_en_dev14")])
def test_edited_items_are_found(sets: Any, documents: Callable[[str], list[str]], name: str, hosts: str) -> None:
    """One word of 25: a twentieth of the questions may hide what they are by it, where the answer is one word."""
    draw = random.Random(9)
    edited = [f"{_edited(item.question, 25, draw)}\n{item.answer}" for item in _items(sets, name)]
    missed = _missed(sets, name, list(_planted(documents(hosts), edited)))
    assert len(missed) <= len(edited) * (0.05 if name == "lambada" else 0)


def test_a_real_overlap(sets: Any, test_data: Find) -> None:
    """The infilling form of HumanEval has its problems in three pieces."""
    with gzip.open(test_data("E-humaneval-infilling/HumanEval-SingleLineInfilling.jsonl.gz"), "rt") as lines:
        rows = [json.loads(line) for line in lines]
    found = Decontaminate.model_validate({"sets": sets}).signals()["items"]
    texts = [row["prompt"] + row["canonical_solution"] + row["suffix"] for row in rows]
    named = pl.DataFrame({"text": texts}).select(found)["text"]
    for row, labels in zip(rows, named, strict=True):
        assert f"humaneval:{row['task_id'].split('/')[2]}" in labels.split(" ")


def test_passages_of_boolq_are_in_wikipedia(sets: Any, documents: Callable[[str], list[str]]) -> None:
    """Of articles that have changed since, the sentences that have not."""
    rule = {"sets": {"boolq": sets["boolq"]}, "keep": {"run": [None, 12], "idf": None, "share": None}}
    docs = pl.DataFrame({"text": documents("wikipedia_en_dump_excerpt")})
    signals = Decontaminate.model_validate(rule).signals()
    found = docs.select("text", run=signals["run"], items=signals["items"]).drop_nulls()
    assert found.height >= 3
    passages = _items(sets, "boolq")
    for text, run, labels in found.iter_rows():
        longest = max(
            _shared(words(text), words(passages[int(label.split(":")[1])].question)) for label in labels.split()
        )
        assert longest >= run


def _shared(one: list[str], other: list[str]) -> int:
    """The longest row of words of both (dynamic programming); numbers are all alike, which can only make it longer."""
    best, row = 0, [0] * (len(other) + 1)
    for word in one:
        row = [0, *(row[k] + 1 if word == other[k] else 0 for k in range(len(other)))]
        best = max(best, *row)
    return best


@pytest.mark.parametrize(
    "name", ["code_thealgorithms_mit", "docs_python_rst", "wikipedia_en_dump_excerpt", "latex_openlogic"]
)
def test_what_all_texts_have_in_common_is_no_contamination(
    sets: Any, documents: Callable[[str], list[str]], name: str
) -> None:
    """Nobody wrote these with the sets at hand; loops that any program has are in MBPP and HumanEval too."""
    step = Decontaminate.model_validate({"sets": sets})
    found = pl.DataFrame({"text": documents(name)}).select(**step.signals())
    assert found["items"].null_count() == found.height


def test_thirteen_words_in_a_row_are_an_idiom_in_code(
    sets: Any, documents: Callable[[str], list[str]], tmp_path: Path
) -> None:
    """Why `run` has no range by default, and that it can have one where ordinary programs say what is an idiom."""
    texts = documents("code_thealgorithms_mit")
    sample = tmp_path / "sample.jsonl"
    sample.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    rule = {
        "sets": {name: sets[name] for name in ("mbpp", "humaneval")},
        "keep": {"run": [None, 12], "idf": None, "share": None},
    }
    marked = []
    for ordinary in (None, {"paths": str(sample), "documents": 2}):
        signals = Decontaminate.model_validate({**rule, "ordinary": ordinary}).signals()
        marked.append(pl.DataFrame({"text": texts}).select(signals["items"])["text"].count())
    assert marked[0] > 10 and marked[1] < marked[0] / 2
