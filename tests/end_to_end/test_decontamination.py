"""Decontamination as a run has it: reasons, signals, what-if, and the report with items and passages side by side."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

ITEMS = [
    (
        "A baker sells twelve rolls before eight o'clock and three times as many <b>after</b> it. On Sunday the shop "
        "is shut. How many rolls does the baker sell from Monday to Saturday?",
        "The baker sells 12 + 36 = 48 rolls a day. That makes 6 * 48 = 288 rolls.",
    ),
    (
        "Two ferries leave the islands at noon and meet after forty minutes on open water. One of them is slower by "
        "five knots. What is the speed of the other one?",
        "The speed of the other ferry is twenty knots.",
    ),
]
TEXTS = {
    "clean": "The baker and the ferries are old friends of ours; nobody has asked how many rolls they sell.",
    "copy": f"Lesson one.\n\n{ITEMS[0][0]}\n\nSolution. {ITEMS[0][1]}\n\nLesson two: the sea.",
    "both": f"{ITEMS[1][0]} {ITEMS[1][1]} And now <script>alert(1)</script>: {ITEMS[0][0].upper()} {ITEMS[0][1]}",
    "edited": f"{ITEMS[1][0].replace('knots', 'miles').replace('at noon', 'early')} {ITEMS[1][1]} The end.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decontamination")
    rows = [json.dumps({"id": name, "text": text}) for name, text in TEXTS.items()]
    (folder / "docs.jsonl").write_text("\n".join(rows))
    for name, pair in zip(("bakers", "ferries"), ITEMS, strict=True):
        (folder / f"{name}.jsonl").write_text(json.dumps({"question": pair[0], "solution": {"text": pair[1]}}))
    return folder


def _config(folder: Path, step: str, settings: dict[str, Any]) -> Path:
    sets = {
        name: {"paths": str(folder / f"{name}.jsonl"), "question": "question", "answer": "solution.text"}
        for name in ("bakers", "ferries")
    }
    config = {
        "sources": {"lessons": {"use": "jsonl", "paths": [str(folder / "docs.jsonl")]}},
        "steps": {step: {"sets": sets, **settings}},
    }
    path = folder / f"{step}.yaml"
    path.write_text(json.dumps(config))  # which is YAML too
    return path


def _ledger(run: Path) -> dict[str, dict[str, Any]]:
    return {row["doc_id"]: row for row in pl.read_parquet(run / "ledger/**/*.parquet").iter_rows(named=True)}


def test_documents_with_items_are_dropped_and_explained(gristmill: Run, folder: Path) -> None:
    run = folder / "dropped"
    gristmill("curate", _config(folder, "decontaminate", {}), "--out", run, "--workers", "1")
    ledger = _ledger(run)
    assert {name: (row["verdict"], row["reason"], row["decontaminate.items"]) for name, row in ledger.items()} == {
        "clean": ("kept", None, None),
        "copy": ("dropped", "decontaminate.idf", "bakers:0"),
        "both": ("dropped", "decontaminate.idf", "bakers:0 ferries:0"),
        "edited": ("dropped", "decontaminate.share", "ferries:0"),
    }
    assert 0.5 < ledger["edited"]["decontaminate.idf"] < 0.8 < ledger["copy"]["decontaminate.idf"] == 1

    again = gristmill("whatif", run, "--set", "decontaminate.share=off", "--json")
    assert json.loads(again.stdout)["total"]["gained"] == 1

    gristmill("report", run)
    page = (run / "report.html").read_text()
    assert "bakers:0: 2 documents, 0 of them kept" in page and "ferries:0: 2 documents, 0 of them kept" in page
    assert "three times as many &lt;b&gt;after&lt;/b&gt; it" in page  # the item
    assert "<mark>A baker sells" in page and "Lesson one." in page  # the document
    assert "<script>" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_recipe(gristmill: Run, recipes: Path, folder: Path) -> None:
    sets = {"paths": str(folder / "[bf]*.jsonl"), "question": "question", "answer": "solution.text"}
    settings = [f"sources.text.paths=[{folder / 'docs.jsonl'}]", "sources.text.columns.id=id"]
    settings += [f"steps.decontaminate.sets.lessons={json.dumps(sets)}"]
    options = [word for setting in settings for word in ("--set", setting)]
    gristmill("curate", recipes / "decontaminate.yaml", "--out", folder / "recipe", "--workers", "1", *options)
    ledger = _ledger(folder / "recipe")
    assert ledger["both"]["decontaminate.items"] == "lessons:0 lessons:1"  # the files of a set one after the other
    assert [name for name, row in ledger.items() if row["verdict"] == "kept"] == ["clean"]
    done = gristmill("plan", recipes / "decontaminate.yaml", *options[:2], check=2)
    assert "sets: name at least 1" in done.stderr


def test_cut_documents_are_kept_and_the_report_has_what_was_cut(gristmill: Run, folder: Path) -> None:
    run = folder / "cut"
    config = _config(folder, "cut_contamination", {"above": {"share": None}})
    gristmill("curate", config, "--out", run, "--workers", "1")
    shards = pl.read_parquet(run / "shards/**/*.parquet")
    texts = dict(shards.select("doc_id", "text").iter_rows())
    assert texts["clean"] == TEXTS["clean"] and texts["edited"] == TEXTS["edited"]
    assert texts["copy"] == "Lesson one.\n\n?\n\nSolution. .\n\nLesson two: the sea."
    assert texts["both"] == ". And now <script>alert(1)</script>: ? ."  # 5 words of the question begin the answer
    gristmill("report", run)
    page = (run / "report.html").read_text()
    assert "bakers:0: 2 documents, 2 of them kept" in page and "<mark>A baker sells" in page


def test_a_report_without_the_sets_has_the_counts(gristmill: Run, folder: Path) -> None:
    run = folder / "lost"
    sets = folder / "ferries.jsonl"
    gristmill("curate", _config(folder, "decontaminate", {}), "--out", run, "--workers", "1")
    kept = sets.read_text()
    sets.unlink()
    try:
        gristmill("report", run)
    finally:
        sets.write_text(kept)
    page = (run / "report.html").read_text()
    assert "Their passages cannot be shown" in page and "ferries:0: 2 documents" in page


def test_another_set_makes_a_run_stale(gristmill: Run, folder: Path) -> None:
    run, config = folder / "stale", _config(folder, "decontaminate", {})
    gristmill("curate", config, "--out", run, "--workers", "1")
    assert _ledger(run)["copy"]["verdict"] == "dropped"
    with (folder / "bakers.jsonl").open("r+") as sets:
        kept = sets.read()
        sets.seek(0), sets.truncate()
        sets.write(json.dumps({"question": TEXTS["clean"], "solution": {"text": ""}}))
    try:
        gristmill("curate", config, "--out", run, "--workers", "1")
    finally:
        (folder / "bakers.jsonl").write_text(kept)
    ledger = _ledger(run)
    assert (ledger["copy"]["verdict"], ledger["clean"]["verdict"]) == ("kept", "dropped")
