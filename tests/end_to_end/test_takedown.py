"""Taking documents out of a finished run: their texts are gone, all else is as it was, and the accounts add up."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from pipeline.accounting.stats import conservation
from pipeline.run import take_down
from pipeline.takedown import find

Run = Callable[..., subprocess.CompletedProcess[str]]


def files(run: Path) -> dict[str, bytes]:
    """Every file of a run but the lock."""
    found = {path.relative_to(run).as_posix(): path for path in run.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if path.name != ".lock"}


def ledger_of(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "ledger/**/*.parquet")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that may be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def asked(run: Path) -> list[str]:
    """First, middle and last of a shard, all of another shard, one that stands for duplicates, and two dropped ones."""
    ledger = ledger_of(run)
    kept = ledger.filter(verdict="kept").sort("shard", "shard_row")
    sizes = kept.group_by("shard").len().sort("len", "shard")
    whole, most = sizes["shard"][0], sizes["shard"][-1]
    assert whole != most
    rows = kept.filter(shard=most)["id"].to_list()
    leader = kept.filter(pl.col("cluster_size") > 1, pl.col("shard") != whole)["id"][0]
    copy = ledger.filter(reason="dedup.minhash").filter(
        pl.col("cluster") != kept.filter(id=leader)["ordinal"][0], pl.col("shard").is_null()
    )
    filtered = ledger.filter(pl.col("reason").str.starts_with("gopher."))
    chosen = [rows[0], rows[len(rows) // 2], rows[-1], leader, copy["id"][0], filtered["id"][0]]
    return [*chosen, *kept.filter(shard=whole)["id"]]


def test_without_yes_nothing_is_changed(run: Path, asked: list[str], gristmill: Run) -> None:
    before = files(run)
    told = json.loads(gristmill("takedown", *asked, "--run", run, "--json").stdout)
    assert files(run) == before
    assert not told["done"] and told["missing"] == []
    assert {document["id"] for document in told["documents"] if document["because"] is None} == set(asked)
    ledger = ledger_of(run)
    leaders = ledger.filter(pl.col("id").is_in(asked), pl.col("cluster") == pl.col("ordinal"))["ordinal"].to_list()
    copies = ledger.filter(pl.col("cluster").is_in(leaders), ~pl.col("id").is_in(asked), verdict="dropped")[
        "id"
    ].to_list()
    assert copies
    assert {document["id"] for document in told["documents"] if document["because"] is not None} == set(copies)
    (survivor,) = {document["survivor"] for document in told["documents"]} - {None}
    assert ledger.filter(id=survivor)["verdict"].to_list() == ["kept"]


def test_texts_are_gone_and_all_else_is_as_it_was(run: Path, asked: list[str], gristmill: Run, finished: Path) -> None:
    (run / "report.html").write_text("samples of texts")
    gristmill("takedown", *asked, "--run", run, "--yes")
    conservation(run)
    assert not (run / "report.html").exists()
    old, new = ledger_of(finished), ledger_of(run)
    gone = [document["id"] for document in map(json.loads, (run / "takedown.jsonl").read_text().splitlines())]
    taken = old.filter(pl.col("id").is_in(asked), verdict="kept")["id"]
    here = pl.col("id").is_in(taken.to_list())
    assert new.filter(here).select("verdict", "reason", "shard", "shard_row").unique().rows() == [
        ("dropped", "takedown", None, None)
    ]
    changed = ["verdict", "reason", "shard", "shard_row"]
    assert new.drop(changed).equals(old.drop(changed)), "no row of the ledger is lost or moved"
    assert new.filter(~here).drop("shard_row").equals(old.filter(~here).drop("shard_row"))
    for (shard,), rows in new.filter(verdict="kept").group_by("shard"):
        documents = pl.read_parquet(run / str(shard))
        assert rows.sort("shard_row")["id"].to_list() == documents["id"].to_list()
        assert documents.equals(pl.read_parquet(finished / str(shard)).filter(~pl.col("id").is_in(gone)))
    emptied = 0
    for path in sorted(run.rglob("*.parquet")):
        before, after = finished / path.relative_to(run), pl.read_parquet(path)
        if "id" not in after.columns or path.parts[-3] == "ledger":
            continue
        texts = [name for name in ("text", "payload", "title") if name in after.columns]
        listed = after.filter(pl.col("id").is_in(gone))
        assert all(value in (None, "") for name in texts for value in listed[name]), path
        emptied += listed.height
        others = after.filter(~pl.col("id").is_in(gone))
        if before.is_file():
            assert others.equals(pl.read_parquet(before).filter(~pl.col("id").is_in(gone)))
            assert listed.height or path.read_bytes() == before.read_bytes() or path.parts[-3] == "shards"
        else:
            assert not others.height
    assert emptied > 2 * len(taken)
    stages = json.loads(gristmill("stats", run, "--json").stdout)["total"]["stages"]
    assert [stage["dropped"] for stage in stages if stage["name"] == "takedown"] == [len(taken)]


def test_curation_again_leaves_them_out(
    run: Path, asked: list[str], gristmill: Run, small_corpus: Path, finished: Path
) -> None:
    gristmill("takedown", *asked, "--run", run, "--yes")
    before = files(run)
    gristmill("curate", small_corpus / "run.yaml", "--out", run, "--workers", "1")
    assert files(run) == before, "there was nothing to do"
    verdicts = set(ledger_of(run).select("id", "verdict", "reason").rows())
    gone = [json.loads(line)["id"] for line in (run / "takedown.jsonl").read_text().splitlines()]
    read = next(path for path in sorted((run / "receipts").glob("read-*.json")) if touched(run, path, gone))
    for path in (read, *(run / "receipts").glob("shard-*.json")):
        path.unlink()  # as if settings had changed: texts come in again
    gristmill("curate", small_corpus / "run.yaml", "--out", run, "--workers", "1")
    after = files(run)
    assert {name: after[name] for name in after if name.startswith("shards/")} == {
        name: before[name] for name in before if name.startswith("shards/")
    }
    conservation(run)
    assert set(ledger_of(run).select("id", "verdict", "reason").rows()) == verdicts
    shutil.rmtree(run / "receipts")
    gristmill("curate", small_corpus / "run.yaml", "--out", run, "--workers", "1")
    conservation(run)
    assert set(ledger_of(run).select("id", "verdict", "reason").rows()) == verdicts
    for path in run.rglob("*.parquet"):
        frame = pl.read_parquet(path)
        if "text" in frame.columns:
            assert all(not text for text in frame.filter(pl.col("id").is_in(gone))["text"]), path
    kept = ledger_of(run).filter(verdict="kept")["id"]
    assert sorted(kept) == sorted(set(ledger_of(finished).filter(verdict="kept")["id"]) - set(gone))


def touched(run: Path, receipt: Path, ids: list[str]) -> bool:
    part = run / "parts" / receipt.stem / "documents.parquet"
    return part.is_file() and bool(set(pq.read_table(part, columns=["id"])["id"].to_pylist()) & set(ids))


def test_killed_at_any_write_the_same_call_finishes_it(
    finished: Path, asked: list[str], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_down(run, find(run, asked))
    expected = files(run)
    replace, number = os.replace, 0
    while True:
        copy = Path(shutil.copytree(finished, tmp_path / f"run-{number}"))
        left = number

        def failing(source: Any, target: Any) -> None:
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", failing)
            try:
                take_down(copy, find(copy, asked))
            except KeyboardInterrupt:
                killed = True
            else:
                killed = False
        if killed:
            take_down(copy, find(copy, asked))
        again = files(copy)
        assert [name for name in expected if again.get(name) != expected[name]] == [], number
        assert again.keys() == expected.keys()
        shutil.rmtree(copy)
        if not killed:
            break
        number += 4
    assert number > 20


def test_what_the_run_does_not_have_is_named(run: Path, asked: list[str], gristmill: Run, tmp_path: Path) -> None:
    ids = tmp_path / "ids.jsonl"
    ids.write_text(json.dumps({"doc": asked[0]}) + "\n\n" + json.dumps({"doc": "nobody"}) + "\n")
    done = gristmill("takedown", "--file", ids, "--column", "doc", "--run", run, "--yes", check=1)
    assert "no document 'nobody'" in done.stderr and asked[0] in done.stdout
    assert ledger_of(run).filter(id=asked[0])["reason"].to_list() == ["takedown"]
    again = gristmill("takedown", asked[0], "--run", run, "--yes")
    assert "takedown" in again.stdout
    for arguments, said in (
        (["--run", run], "--file"),
        (["x", "--run", tmp_path], "not a run"),
        (["--file", ids, "--run", run], "ids.jsonl:1"),
    ):
        assert said in gristmill("takedown", *arguments, check=2).stderr
    description = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**description, "complete": False}))
    assert "not finished" in gristmill("takedown", asked[0], "--run", run, check=2).stderr


@pytest.mark.parametrize("name", ["ids.txt", "ids.parquet", "ids.jsonl.gz"])
def test_ids_come_from_files_of_every_kind(tmp_path: Path, name: str) -> None:
    import gzip

    from pipeline.takedownview import read_ids

    path, ids = tmp_path / name, ["a", "b c", "ü"]
    match path.suffix:
        case ".txt":
            path.write_text("\n".join(ids) + "\n\n")
        case ".parquet":
            pl.DataFrame({"id": [*ids, None]}).write_parquet(path)
        case _:
            path.write_bytes(gzip.compress("".join(json.dumps({"id": name}) + "\n" for name in ids).encode()))
    assert list(read_ids(path, "id")) == ids


def test_every_stage_can_be_done_again_from_what_is_left(small_corpus: Path, gristmill: Run, tmp_path: Path) -> None:
    """With everything measured and parts cut out of texts, where documents without text go through all steps."""
    config, run = tmp_path / "run.yaml", tmp_path / "run"
    config.write_text(
        f"sources:\n  docs: {{use: jsonl, paths: ['{small_corpus}/docs-*.jsonl']}}\nmeasure: all\nsplit_bytes: 40kB\n"
        "steps:\n  normalize: {}\n  language: {keep: {score: [0.4, null]}}\n"
        "  gopher: {keep: {alpha_words: null, words: [300, null]}}\n"
        "  minhash: {}\n  lines: {}\n  repetition: {}\n"
    )
    gristmill("curate", config, "--out", run)
    before = ledger_of(run)
    cut = before.filter(pl.col("lines.cut") > 0, verdict="kept")
    filtered = before.filter(pl.col("reason").str.starts_with("gopher."))
    ids = [*cut["id"][:2], *before.filter(verdict="kept")["id"][-2:], filtered["id"][0]]
    gristmill("takedown", *ids, "--run", run, "--yes")
    taken = before.filter(pl.col("id").is_in(ids), verdict="kept")["id"].to_list()
    pieces = pl.read_parquet(run / "cut/**/*.parquet").filter(pl.col("id").is_in(ids))
    assert pieces.height and set(pieces["text"]) == {""}
    shards = {name: data for name, data in files(run).items() if name.startswith("shards/")}
    verdicts = set(ledger_of(run).select("id", "verdict", "reason").rows())
    for stage in ("shard", "judge"):
        for path in (run / "receipts").glob(f"{stage}-*.json"):
            path.unlink()
        gristmill("curate", config, "--out", run)
        conservation(run)
        assert {name: data for name, data in files(run).items() if name.startswith("shards/")} == shards
        assert set(ledger_of(run).select("id", "verdict", "reason").rows()) == verdicts
        assert ledger_of(run).filter(pl.col("id").is_in(taken))["reason"].unique().to_list() == ["takedown"]
