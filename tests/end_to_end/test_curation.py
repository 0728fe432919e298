"""The promises of a curation run: nothing lost, the same bytes whatever happens on the way, only the stale redone."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]
Stats = Callable[[Path], dict[str, dict[str, object]]]


def test_every_record_has_one_verdict(finished: Path, stats_of: Stats) -> None:
    ledger = pl.read_parquet(finished / "ledger/**/*.parquet")
    assert ledger["id"].is_unique().all() and ledger["ordinal"].is_unique().all()
    assert ledger.group_by("source").len().sort("source").rows() == [("code", 40), ("docs", 80), ("web", 60)]
    sources = stats_of(finished)
    for name, source in sources.items():
        rows = ledger.filter(source=name)
        dropped = source["dropped"]
        assert isinstance(dropped, dict)
        assert source["read"] == rows.height == source["kept"] + sum(dropped.values()) + quarantined(source)
        expected = rows.filter(verdict="dropped").group_by("reason").len().rows()
        assert dropped == dict(expected)


def quarantined(source: dict[str, object]) -> int:
    number = source["quarantined"]
    if isinstance(number, dict):
        return sum(number.values())
    assert isinstance(number, int)
    return number


def test_the_ledger_leads_to_the_shard_row_and_back(finished: Path) -> None:
    kept = pl.read_parquet(finished / "ledger/**/*.parquet").filter(verdict="kept")
    assert kept.height > 30
    for (shard,), rows in kept.group_by("shard"):
        documents = pl.read_parquet(finished / str(shard))
        rows = rows.sort("shard_row")
        assert rows["shard_row"].to_list() == list(range(documents.height))
        assert rows["id"].to_list() == documents["id"].to_list()
        assert rows["chars"].to_list() == documents["text"].str.len_chars().to_list()


def test_duplicates_name_a_survivor_that_was_kept(finished: Path) -> None:
    ledger = pl.read_parquet(finished / "ledger/**/*.parquet")
    duplicates = ledger.filter(reason="dedup.minhash")
    assert duplicates.height > 5, "licence texts are full of near-duplicates"
    survivors = ledger.filter(pl.col("ordinal").is_in(duplicates["cluster"].unique().implode()))
    assert (survivors["verdict"] == "kept").all()
    for cluster, size in survivors.select("ordinal", "cluster_size").iter_rows():
        assert ledger.filter(cluster=cluster).height == size


def test_dropped_texts_are_there_to_look_at(finished: Path) -> None:
    ledger = pl.read_parquet(finished / "ledger/**/*.parquet").filter(verdict="dropped").sort("id")
    dropped = pl.read_parquet(finished / "dropped/**/*.parquet").sort("id")
    assert dropped["id"].to_list() == ledger["id"].to_list()
    assert dropped["reason"].to_list() == ledger["reason"].to_list()
    assert dropped["text"].str.len_chars().fill_null(0).to_list() == ledger["chars"].to_list()


def test_one_worker_gives_the_same_bytes(
    small_corpus: Path, finished: Path, gristmill: Run, hashes: Hashes, tmp_path: Path
) -> None:
    gristmill("curate", small_corpus / "run.yaml", "--out", tmp_path / "run", "--workers", "1")
    assert hashes(tmp_path / "run") == hashes(finished)


@pytest.mark.ray
def test_ray_gives_the_same_bytes(
    small_corpus: Path, finished: Path, ray_session: str, hashes: Hashes, tmp_path: Path
) -> None:
    from pipeline import config, run
    from pipeline.configfile import ConfigFile
    from pipeline.engines import make_engine

    settings = config.load(ConfigFile.read(small_corpus / "run.yaml"))
    run.curate(settings, tmp_path / "run", lambda: make_engine("ray", 2), run.Progress())
    assert hashes(tmp_path / "run") == hashes(finished)


def test_killed_at_any_moment_it_goes_on(
    small_corpus: Path, finished: Path, gristmill: Run, hashes: Hashes, tmp_path: Path
) -> None:
    command = [
        str(Path(sys.executable).parent / "gristmill"),
        "curate",
        str(small_corpus / "run.yaml"),
        "--out",
        str(tmp_path / "run"),
    ]
    receipts = tmp_path / "run" / "receipts"
    for done in (1, 12, 30):  # of about sixty tasks: while reading, judging and comparing signatures
        with subprocess.Popen(
            [*command, "--workers", "2"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while len(list(receipts.glob("*.json"))) < done:
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)
    assert not (tmp_path / "run" / "README.md").exists()
    gristmill("curate", small_corpus / "run.yaml", "--out", tmp_path / "run", "--workers", "2")
    assert hashes(tmp_path / "run") == hashes(finished)


def test_a_second_time_nothing_is_done(small_corpus: Path, finished: Path, gristmill: Run) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file() and path.name != "README.md"
    }
    gristmill("curate", small_corpus / "run.yaml", "--out", finished, "--workers", "2")
    after = {
        path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file() and path.name != "README.md"
    }
    assert after == before


@pytest.mark.parametrize(
    ("override", "stale"),
    [
        ("steps.pii.email=false", {"shard"}),
        ("steps.gopher.keep.words=[60, null]", {"judge"}),
        ("steps.extract.engine=trafilatura", {"read"}),
        ("shard_bytes=20kB", {"shard"}),
        ("guard.dropped=0.99", set()),
    ],
)
def test_a_changed_setting_redoes_what_depends_on_it(
    small_corpus: Path, finished: Path, gristmill: Run, override: str, stale: set[str]
) -> None:
    plan = json.loads(
        gristmill("plan", small_corpus / "run.yaml", "--out", finished, "--set", override, "--json").stdout
    )
    states = {
        stage["name"]: {task["state"] for task in stage["tasks"]}
        for stage in plan["stages"]
        if stage["tasks"] is not None
    }
    assert {name for name, found in states.items() if found - {"done"}} == stale


def test_plan_leaves_no_trace(small_corpus: Path, gristmill: Run, tmp_path: Path) -> None:
    plan = json.loads(gristmill("plan", small_corpus / "run.yaml", "--out", tmp_path / "run", "--json").stdout)
    assert not (tmp_path / "run").exists()
    assert plan["input_bytes"] == sum(
        path.stat().st_size for path in small_corpus.glob("*.*") if path.suffix != ".yaml"
    )


def test_a_killed_worker_costs_nothing(small_corpus: Path, finished: Path, hashes: Hashes, tmp_path: Path) -> None:
    from pipeline import config, run
    from pipeline.configfile import ConfigFile
    from pipeline.engines import LocalEngine
    from pipeline.plan import Receipt, Task

    class KillOne(run.Progress):
        killed = False

        def task(self, task: Task, receipt: Receipt) -> None:
            if not self.killed:
                self.killed = True
                os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    killer = KillOne()
    settings = config.load(ConfigFile.read(small_corpus / "run.yaml"))
    run.curate(settings, tmp_path / "run", lambda: LocalEngine(2), killer)
    assert killer.killed
    assert hashes(tmp_path / "run") == hashes(finished)


def test_what_readers_of_the_run_see(
    finished: Path, stats_of: Stats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    kept = {name: source["kept"] for name, source in stats_of(finished).items()}
    rows = duckdb.sql(f"select source, count(*) from '{finished}/shards/**/*.parquet' group by 1").fetchall()
    assert dict(rows) == kept
    dataset = datasets.load_dataset(str(finished), cache_dir=str(tmp_path))["train"]
    assert {name: dataset["source"].count(name) for name in kept} == kept


def test_limit_reads_that_many_of_each_source(
    small_corpus: Path, gristmill: Run, stats_of: Stats, tmp_path: Path
) -> None:
    gristmill("curate", small_corpus / "run.yaml", "--out", tmp_path / "run", "--workers", "1", "--limit", "7")
    assert {name: source["read"] for name, source in stats_of(tmp_path / "run").items()} == dict.fromkeys(
        ("web", "docs", "code"), 7
    )


def test_measure_all_keeps_the_same_documents_and_more_signals(
    small_corpus: Path, finished: Path, gristmill: Run, tmp_path: Path
) -> None:
    gristmill("curate", small_corpus / "run.yaml", "--out", tmp_path / "run", "--set", "measure=all", "--workers", "2")
    columns = ["id", "verdict", "reason"]
    needed = pl.read_parquet(finished / "ledger/**/*.parquet").sort("id")
    everything = pl.read_parquet(tmp_path / "run/ledger/**/*.parquet").sort("id")
    assert everything.select(columns).equals(needed.select(columns))
    assert everything["gopher.words"].null_count() < needed["gopher.words"].null_count()


def test_a_guard_ends_with_its_own_exit_code(small_corpus: Path, finished: Path, gristmill: Run) -> None:
    done = gristmill("curate", small_corpus / "run.yaml", "--out", finished, "--set", "guard.dropped=0.01", check=3)
    assert "source 'docs'" in done.stderr and "guard.dropped allows 1.0%" in done.stderr
    gristmill("curate", small_corpus / "run.yaml", "--out", finished)


def test_a_run_folder_has_one_writer(small_corpus: Path, finished: Path, gristmill: Run) -> None:
    import fcntl

    with (finished / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = gristmill("curate", small_corpus / "run.yaml", "--out", finished, check=1)
    assert "is being written by another process" in done.stderr


def test_an_interrupted_run_says_so_and_goes_on(
    small_corpus: Path, finished: Path, gristmill: Run, hashes: Hashes, tmp_path: Path
) -> None:
    command = [str(Path(sys.executable).parent / "gristmill"), "curate", str(small_corpus / "run.yaml")]
    command += ["--out", str(tmp_path / "run"), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not list((tmp_path / "run" / "receipts").glob("*.json")):
            assert process.poll() is None, "it ended before its first task"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130 and "the same command goes on" in said
    gristmill("curate", small_corpus / "run.yaml", "--out", tmp_path / "run", "--workers", "2")
    assert hashes(tmp_path / "run") == hashes(finished)
