"""A run over text in many languages: each is judged by its own ranges, and so are answers about the run."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from filters.fineweb2 import published

Run = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
sources:
  many: {use: jsonl, paths: ["FOLDER/many.jsonl"]}
batch_records: 7
steps:
  normalize: {}
  language: {use: fineweb2_language, keep: {score: [0.3, null], score@de: [0.6, null]}}
  repetition: {use: fineweb2_repetition}
  lines: {use: fineweb2, keep: {char_duplicates@zh: null}}
  gopher: {use: fineweb2_gopher, keep: {words@de: [400, null]}}
  exact: {}
"""


@pytest.fixture(scope="module")
def many(
    lid_model: Path, test_data: Callable[[str], Path], gristmill: Run, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("many")
    rows = []
    for code in ("de", "en", "fr", "ru", "th", "zh", "ar", "hi"):
        file = test_data("C-lingua-testdata") / "sentences" / f"{code}.txt"
        lines = file.read_text(encoding="utf-8").splitlines()
        rows += [{"text": "\n".join(lines[i : i + 25]), "id": code} for i in range(0, 250, 25)]
        rows += [{"text": "\n".join([*lines[i : i + 25], lines[i], lines[i]]), "id": code} for i in range(0, 50, 25)]
    (folder / "many.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "run.yaml").write_text(CONFIG.replace("FOLDER", str(folder)))
    gristmill("curate", folder / "run.yaml", "--out", folder / "run", "--workers", "1")
    return folder / "run"


def ledger(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "ledger/**/*.parquet")


def test_every_language_is_judged_by_its_own_ranges(many: Path) -> None:
    rows = ledger(many).filter(pl.col("language.label") == pl.col("doc_id"))
    assert rows.height > 80
    assert rows["language"].equals(rows["doc_id"])
    for row in rows.iter_rows(named=True):
        known = published("lid176").get(row["language"])
        broken = set(row["broken"])
        if row["gopher.words"] is None:
            continue  # not measured: a score was too low
        assert ("gopher.words" in broken) == (row["gopher.words"] < (400 if row["language"] == "de" else 50))
        duplicates = row["lines.char_duplicates"] > 0.1 and row["language"] != "zh"
        assert ("lines.char_duplicates" in broken) == duplicates
        if known:
            assert ("gopher.alpha_words" in broken) == (row["gopher.alpha_words"] < known["max_non_alpha_words_ratio"])
    kept = rows.group_by("language").agg((pl.col("verdict") == "kept").sum())
    assert kept.filter(pl.col("verdict") > 0).height >= 7


def test_what_if_and_inspect_know_the_range_of_the_language(many: Path, gristmill: Run) -> None:
    rows = ledger(many)
    answer = json.loads(gristmill("whatif", many, "--set", "gopher.words@de=:1", "--json").stdout)
    german = rows.filter((pl.col("language") == "de") & (pl.col("verdict") == "kept")).height
    assert (answer["total"]["lost"], answer["total"]["gained"]) == (german, 0)
    dropped = rows.filter(reason="gopher.words", language="de").height
    samples = json.loads(gristmill("inspect", many, "--reason", "gopher.words", "-n", "100", "--json").stdout)
    assert sum(sample["range"] == [400.0, None] for sample in samples) == dropped > 0
    gristmill("report", many)


def test_ranges_for_languages_need_an_identification_before_them(gristmill: Run, tmp_path: Path) -> None:
    (tmp_path / "many.jsonl").write_text('{"text": "a"}')
    steps = "steps:\n  gopher: {keep: {words@de: [4, null]}}\n  language: {}\n"
    (tmp_path / "run.yaml").write_text(CONFIG.split("steps:")[0].replace("FOLDER", str(tmp_path)) + steps)
    done = gristmill("curate", tmp_path / "run.yaml", "--out", tmp_path / "run", check=2)
    assert "'gopher' has ranges for single languages" in done.stderr
    assert not (tmp_path / "run").exists()
