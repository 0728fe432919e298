"""Pages of which workers die, in whole runs: each is quarantined alone, wherever it was on its way, by both engines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import config, run
from pipeline.accounting.stats import stats
from pipeline.configfile import ConfigFile
from pipeline.engines import Engine, make_engine

Hashes = Callable[[Path], dict[str, str]]

PLUGIN = '''
"""A step that dies of texts in which its name stands beside the way to die."""
import ctypes
import os
import polars as pl
from typing import ClassVar
from filters import Transform


class Deadly(Transform):
    """It changes nothing."""

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        for text in docs["text"]:
            if f"{name} reads a null pointer" in text:
                ctypes.string_at(0)
            if f"{name} leaves" in text:
                os._exit(0)
            while f"{name} goes on for ever" in text:
                pass
            if f"{name} has no memory" in text:
                raise MemoryError
        return docs


class DeadlyToPages(Deadly):
    """The same before the text is there."""

    reads: ClassVar[str] = "html"


STEPS = {"deadly": Deadly, "deadly_to_pages": DeadlyToPages}
'''

CONFIG = """
plugins: [steps.py]
sources:
  one: {use: jsonl, paths: [one.jsonl]}
  two: {use: jsonl, paths: [two.jsonl]}
batch_records: 20
worker: {seconds: 0.3, isolate: 3}
steps:
  early: {use: deadly_to_pages}
  late: {use: deadly}
  exact: {}
  last: {use: deadly}
"""

LIGHT = CONFIG[: CONFIG.index("  late:")].replace("  two: {use: jsonl, paths: [two.jsonl]}\n", "")

FATES = {
    ("one", 19): ("early reads a null pointer", "crash.killed"),
    ("one", 20): ("late leaves", "crash.killed"),
    ("one", 1): ("last has no memory", "crash.memory"),
    ("two", 20): ("early goes on for ever", "crash.time"),
}


def text(source: str, number: int) -> str:
    words = "".join("abcdefghij"[int(digit)] for digit in f"{number:02d}")  # numbers make no difference to duplicates
    return f"Document {words} of {source}. " + FATES.get((source, number), ("It is fine.", ""))[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the plugin, fifty texts of each source, some of them deadly, and the config."""
    for source in ("one", "two"):
        lines = [json.dumps({"text": text(source, number)}) for number in range(50)]
        (tmp_path / f"{source}.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "steps.py").write_text(PLUGIN)
    (tmp_path / "run.yaml").write_text(CONFIG)
    return tmp_path


def curate(folder: Path, engine: Callable[[], Engine], out: str = "run") -> Path:
    run.curate(config.load(ConfigFile.read(folder / "run.yaml")), folder / out, engine, run.Progress())
    return folder / out


def rows(folder: Path, part: str) -> list[dict[str, Any]]:
    return pl.read_parquet(folder / part / "**/*.parquet").to_dicts()


def no_engine() -> Engine:
    raise AssertionError("there was something to do")


def test_each_page_that_ends_a_worker_is_quarantined_alone(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = curate(folder, lambda: make_engine("local", 2))
    expected = {text(*place): fate[1] for place, fate in FATES.items()}
    assert {row["payload"].decode(): row["reason"] for row in rows(done, "quarantine")} == expected
    kept = {text(source, number) for source in ("one", "two") for number in range(50)} - expected.keys()
    assert {row["text"] for row in rows(done, "shards")} == kept
    counted = {name: (funnel.read, funnel.kept, funnel.quarantined) for name, funnel in stats(done).sources.items()}
    assert counted == {"one": (50, 47, 3), "two": (50, 49, 1)}

    receipts = [json.loads(path.read_text()) for path in sorted(done.glob("receipts/*.json"))]
    isolated = {record["id"]: record["error"] for receipt in receipts for record in receipt.get("isolated", ())}
    assert isolated == {row["id"]: row["reason"] for row in rows(done, "quarantine")}
    for row in rows(done, "quarantine"):
        (line,) = (line for line in caplog.messages if row["id"] in line)
        assert f"quarantined {row['reason']}  {row['id']}  {row['origin']}" in line
        assert any(done.joinpath(word).is_file() for word in line.split())
    logged = {path.name: path.read_text() for path in done.glob("logs/*")}
    assert sorted(logged) == [f"{receipt['task']}.txt" for receipt in receipts if "isolated" in receipt]
    assert "in string_at" in logged["read-one-00000.txt"] and "steps.py" in logged["read-two-00000.txt"]
    assert not list(done.glob("parts/.*"))

    curate(folder, no_engine)  # a second time, nothing is done


@pytest.mark.ray
def test_both_engines_find_the_same(
    folder: Path, ray_session: str, hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "run.yaml").write_text(LIGHT)
    local = curate(folder, lambda: make_engine("local", 2), "local")
    by_ray = curate(folder, lambda: make_engine("ray", 2), "ray")
    assert [row["payload"].decode() for row in rows(by_ray, "quarantine")] == [text("one", 19)]
    assert hashes(by_ray) == hashes(local)


def test_a_step_that_always_dies_is_not_taken_for_bad_pages(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "steps.py").write_text(PLUGIN.replace('f"{name} leaves"', '"fine"'))
    (folder / "run.yaml").write_text(LIGHT.replace("isolate: 3", "isolate: 1"))
    with pytest.raises(run.RunError, match="1 of 1 tasks of stage 'read' failed"):
        curate(folder, lambda: make_engine("local", 1))
    assert "more than 1 records (worker.isolate) end a worker, each alone" in caplog.text
    assert "like a step or a machine that does not work" in (folder / "run/logs/read-one-00000.txt").read_text()
    assert not list(folder.glob("run/receipts/*")) and not list(folder.glob("run/quarantine/**/*.parquet"))
