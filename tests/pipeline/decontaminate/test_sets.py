"""Evaluation sets from files of all kinds, and the errors of those that cannot be read."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.config import load
from pipeline.configfile import ConfigError, ConfigFile
from pipeline.decontaminate.sets import EvaluationSet, Item
from pipeline.decontaminate.step import Decontaminate

ROWS = [
    {"id": 7, "doc": {"question": "What is it?", "choices": ["this", "that", None]}, "gold": {"text": "this", "n": 1}},
    {"id": 8, "doc": {"question": "Which\u2028one?", "choices": []}, "gold": {"text": None, "n": 2}},
]
ITEMS = [Item("What is it?\nthis\nthat", "this\n1"), Item("Which\u2028one?", "2")]


def _written(folder: Path, kind: str) -> Path:
    path = folder / f"set.{kind}"
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif kind.endswith("gz"):
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines, encoding="utf-8")
    return path


def _set(paths: Any, question: Any = ("doc.question", "doc.choices"), answer: Any = ("gold",)) -> EvaluationSet:
    return EvaluationSet.model_validate({"paths": paths, "question": question, "answer": answer})


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_items_are_what_their_columns_hold(tmp_path: Path, kind: str) -> None:
    assert list(_set(str(_written(tmp_path, kind))).items()) == ITEMS


def test_several_files_and_patterns_in_order(tmp_path: Path) -> None:
    for kind in ("jsonl", "parquet", "jsonl.gz"):
        _written(tmp_path, kind)
    paths = [str(tmp_path / "set.parquet"), str(tmp_path / "*.jsonl*")]
    assert list(_set(paths, "id", ()).items()) == [Item("7", ""), Item("8", "")] * 3


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("key", ["question", "answer"])
def test_a_column_that_is_not_there(tmp_path: Path, kind: str, key: str) -> None:
    path = _written(tmp_path, kind)
    with pytest.raises(
        ValidationError, match=r"no column 'doc.questio' in .*; did you mean 'doc.question'\?"
    ) as caught:
        EvaluationSet.model_validate({"paths": str(path), "question": "id", key: "doc.questio"})
    assert [error["loc"] for error in caught.value.errors()] == [(key,)]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"q": "one"}\n{"q": "tw', r"a\.jsonl:2: not JSON"),
        ("b.jsonl", b'{"q": "one"}\n[1]\n', r"b\.jsonl:2: a line is an object, found list"),
        ("c.jsonl.gz", gzip.compress(b'{"q": "one"}\n' * 9)[:-9], r"c\.jsonl\.gz: cannot be read"),
        ("d.jsonl.gz", b'{"q": "one"}', r"d\.jsonl\.gz: cannot be read"),
        ("e.jsonl", b'{"q": "\xff"}\n', r"e\.jsonl:1: not JSON"),
        ("f.parquet", b"PAR1", r"f\.parquet: cannot be read"),
        ("g.txt", b"one", r"g\.txt: an evaluation set ends with"),
        ("h.jsonl", b'{"q": "one two three four"}\n' * 3, "no item has the 5 words in a row"),
        ("i.jsonl", b"\n", "no item has the 5 words in a row"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValidationError, match=words):
        Decontaminate.model_validate({"sets": {"it": {"paths": str(path), "question": "q"}}})


def test_errors_stand_at_their_place_in_the_config(tmp_path: Path) -> None:
    good = _written(tmp_path, "jsonl")
    config = tmp_path / "run.yaml"
    config.write_text(
        f"""sources:
  mine: {{paths: [x.jsonl]}}
steps:
  decontaminate:
    sets:
      first:
        paths: {tmp_path}/nothing-*.jsonl
        question: id
      second:
        paths: {good}
        question: id
        answer: godl
      third:
        paths: {good}
        question: id
        reply: gold
"""
    )
    with pytest.raises(ConfigError) as caught:
        load(ConfigFile.read(config))
    assert [line.removeprefix(str(config)) for line in caught.value.lines] == [
        f":7:9: no file matches {tmp_path}/nothing-*.jsonl",
        f":12:9: no column 'godl' in {good}; did you mean 'gold'? There are: id, doc, doc.question, doc.choices, gold, "
        "gold.text, gold.n",
        ":16:9: unknown key 'reply'; choose from: answer, paths, question",
    ]


def test_what_the_files_hold_decides_whether_a_run_is_stale(
    tmp_path: Path, sets: Callable[..., dict[str, Any]]
) -> None:
    asked = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    path = tmp_path / "set.jsonl"
    settings = {"sets": {"it": {"paths": str(path), "question": "q"}}}
    path.write_text(json.dumps({"q": asked}))
    before = Decontaminate.model_validate(settings)
    known, texts = before.identity(), pl.DataFrame({"text": [asked, asked.upper().replace("ONE", "1")]})
    assert texts.select(**before.signals())["idf"].to_list()[0] == 1
    path.write_text(json.dumps({"q": asked.replace("one", "1")}))
    after = Decontaminate.model_validate(settings)
    assert after.identity() != known
    assert texts.select(**after.signals())["idf"].to_list()[1] == 1
