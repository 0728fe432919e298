"""Ranges of what sources tell: which documents they drop, and what a config must not ask for."""

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.config import load
from pipeline.configfile import ConfigError, ConfigFile
from pipeline.passage import FRAME, Meter, process, signal_schema
from pipeline.told import Told

SOURCES = """\
sources:
  qa: {use: stackexchange, paths: [Posts.xml]}
  papers: {use: latex, paths: [a.tar]}
steps:
  votes: {use: told, """


def verdicts(step: Told, rows: list[dict[str, Any]]) -> list[str | None]:
    told = {"read.score": pl.Int64(), "read.accepted": pl.Boolean(), "read.share": pl.Float64()}
    shared = {"source": "s", "text": "a", "broken": []}
    docs = pl.DataFrame(
        [{**shared, "ordinal": i, "id": str(i), **row} for i, row in enumerate(rows)], schema={**FRAME, **told}
    )
    return process(docs, {"votes": step}, False, Meter())["reason"].to_list()


def test_both_ends_stay_and_what_is_not_told_drops_nothing() -> None:
    step = Told(keep={"score": (-1, 3)})
    rows = [{"read.score": score} for score in (-2, -1, 3, 4, None)]
    assert verdicts(step, rows) == ["votes.score", None, None, "votes.score", None]


def test_true_counts_as_one_and_no_number_is_outside() -> None:
    step = Told(keep={"accepted": (1, None), "share": (0.5, None)})
    rows = [
        {"read.accepted": True, "read.share": 0.5},
        {"read.accepted": False, "read.share": 0.1},
        {"read.accepted": True, "read.share": 0.1},
        {"read.share": math.nan},
    ]
    assert verdicts(step, rows) == [None, "votes.accepted", "votes.share", "votes.share"]


def test_a_range_for_one_language() -> None:
    step = Told(keep={"score": (3, None), "score@de": (1, None)})
    rows = [{"read.score": 2, "language": "de"}, {"read.score": 2, "language": "en"}]
    assert verdicts(step, rows) == [None, "votes.score"]


def test_its_columns_have_the_types_that_readers_give() -> None:
    told = {"read.score": pl.Int64(), "read.accepted": pl.Boolean()}
    found = signal_schema({"votes": Told(keep={"accepted": (1, None), "score": (3, None)})}, told)
    assert found == {"votes.accepted": pl.Boolean(), "votes.score": pl.Int64()}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "keep: {scroe: [3, null]}}",
            "run.yaml:5:29: step 'votes': no source of it tells 'scroe'; did you mean 'score'?",
        ),
        ("keep: {tags: [3, null]}}", "'tags' is text and has no range"),
        ("keep: {math_share: [0, 1]}, sources: [qa]}", "no source of it tells 'math_share'"),
        ("sources: [papers]}", "keep: name a signal; choose from: files, "),
    ],
)
def test_what_no_reader_tells_is_an_error(entry: str, message: str, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(SOURCES + entry)
    with pytest.raises(ConfigError) as caught:
        load(ConfigFile.read(config))
    assert message in str(caught.value)


def test_a_signal_of_one_source_of_several_will_do(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(SOURCES + "keep: {math_share: [0, 1]}}")
    assert load(ConfigFile.read(config)).steps["votes"].signals().keys() == {"math_share"}


def test_no_step_is_called_as_the_columns_of_readers(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("sources:\n  qa: {use: stackexchange, paths: [Posts.xml]}\nsteps:\n  read: {use: gopher}\n")
    with pytest.raises(ConfigError, match="run.yaml:4:3: 'read': call the step otherwise"):
        load(ConfigFile.read(config))


TABLES = """\
sources:
  a: {use: jsonl, paths: [a.jsonl], columns: {signals: {edu: metadata.edu_score, name: {column: n, type: str}}}}
  b:
    use: parquet
    paths: [b.parquet]
    columns: {signals: {edu: EDU}}
steps:
  good: {use: told, keep: {KEEP: [3, null]}}
"""


@pytest.mark.parametrize(
    ("edu", "keep", "message"),
    [
        ("{column: x, type: int}", "edu", "run.yaml:6:25: source 'b': 'edu' is int, and float in 'a'"),
        ("x", "edo", "run.yaml:8:28: step 'good': no source of it tells 'edo'; did you mean 'edu'?"),
        ("x", "name", "'name' is text and has no range"),
        ("{colum: x}", "edu", "unknown key 'colum'; did you mean 'column'?"),
    ],
)
def test_signals_that_a_config_makes_of_columns(edu: str, keep: str, message: str, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(TABLES.replace("EDU", edu).replace("KEEP", keep))
    with pytest.raises(ConfigError) as caught:
        load(ConfigFile.read(config))
    assert message in str(caught.value)
    config.write_text(TABLES.replace("EDU", "x").replace("KEEP", "edu"))
    assert load(ConfigFile.read(config)).sources["b"].reader.told == {"edu": float}
