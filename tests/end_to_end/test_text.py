"""The recipe for text: Parquet and JSON Lines of other people, with their own column names, in one run."""

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_parquet_and_jsonl_with_their_own_columns(
    demo_corpus: dict[str, list[Path]], gristmill: Run, recipes: Path, tmp_path: Path
) -> None:
    with gzip.open(demo_corpus["docs"][0]) as stream:
        texts = [json.loads(line)["text"] for line in stream][:120]
    table = pa.table({"content": texts, "key": [f"row {i}" for i in range(120)], "noise": [0] * 120})
    pq.write_table(table, tmp_path / "mine.parquet", row_group_size=20)
    rows = [json.dumps({"body": text}) for text in texts[:80]]
    (tmp_path / "theirs.jsonl").write_text("\n".join([*rows[:10], '{"body": 3}', "no json", "", *rows[10:]]))
    settings = {
        "sources.theirs.paths": [str(tmp_path / "theirs.jsonl")],
        "sources.theirs.columns.text": "body",
        "sources.mine.paths": [str(tmp_path / "*.parquet")],
        "sources.mine.columns": {"text": "content", "id": "key"},
    }
    overrides = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    run = tmp_path / "run"
    done = gristmill("curate", recipes / "text.yaml", "--out", run, *overrides, "--workers", "1", "--json")
    sources = json.loads(done.stdout)["sources"]
    assert (sources["theirs"]["read"], sources["theirs"]["quarantined"]) == (82, 2)
    assert (sources["mine"]["read"], sources["mine"]["quarantined"]) == (120, 0)
    ledger = pl.read_parquet(run / "ledger/**/*.parquet")
    mine = ledger.filter(source="mine").sort("ordinal")
    assert mine["doc_id"].to_list() == table["key"].to_pylist()
    kept = ledger.filter(source="theirs", verdict="kept")
    assert kept.height >= 2
    # the same texts stand in both sources, and the one that is named first keeps them
    first = {origin: ordinal for origin, ordinal in kept.select("origin", "ordinal").iter_rows()}
    copies = mine.filter(pl.col("cluster").is_in(list(first.values())))
    assert copies.height >= kept.height and (copies["reason"] == "dedup.minhash").all()


def test_a_column_that_is_not_there(gristmill: Run, recipes: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"contents": ["a"]}), tmp_path / "mine.parquet")
    overrides = [f"sources.mine.paths=[{tmp_path / 'mine.parquet'}]", "sources.mine.columns.text=content"]
    arguments = [word for override in overrides for word in ("--set", override)]
    done = gristmill("curate", recipes / "text.yaml", "--out", tmp_path / "run", *arguments, check=2)
    assert "no column 'content' for the text; did you mean 'contents'?" in done.stderr


def test_columns_as_signals(gristmill: Run, tmp_path: Path) -> None:
    """Each source has its own; they are in the ledger, and steps keep documents by them."""
    scores = [0.5, 1.5, 2.5, 3.5, None, "much"]
    rows = [{"text": f"text {i}", "metadata": {"url": f"u{i}", "edu": score}} for i, score in enumerate(scores)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.table({"text": ["x", "y"], "words": [10, 20], "kept": [True, False]}), tmp_path / "b.parquet")
    config = tmp_path / "run.yaml"
    config.write_text(
        f"sources:\n  a: {{paths: [{tmp_path}/a.jsonl], columns: {{signals: {{edu: metadata.edu}}}}}}\n"
        f"  b:\n    paths: [{tmp_path}/b.parquet]\n    columns:\n      signals:\n"
        "        words: {column: words, type: int}\n        kept: {column: kept, type: bool}\n"
        "steps:\n  good: {use: told, sources: [a], keep: {edu: [2, null]}}\n"
    )
    run = tmp_path / "run"
    gristmill("curate", config, "--out", run, "--workers", "1")
    ledger = pl.read_parquet(run / "ledger/**/*.parquet").sort("source", "ordinal")
    assert ledger["read.edu"].to_list() == [0.5, 1.5, 2.5, 3.5, None, None, None, None]
    assert ledger["read.words"].to_list()[-2:] == [10, 20] and ledger["read.kept"].to_list()[-2:] == [True, False]
    assert ledger["verdict"].to_list() == [*["dropped"] * 2, *["kept"] * 3, "quarantined", "kept", "kept"]
    assert ledger["reason"].to_list()[:2] == ["good.edu", "good.edu"]
    assert ledger["url"].to_list()[:5] == [f"u{i}" for i in range(5)]
    counts = json.loads(gristmill("stats", run, "--json").stdout)["sources"]["a"]
    assert "read.signal_type" in json.dumps(counts)


def test_a_table_of_another_kind(gristmill: Run, recipes: Path, tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text('{"messages": [{"role": "user", "content": "x"}], "id": 1}\n' * 20)
    done = gristmill("plan", recipes / "text.yaml", "--set", f"sources.mine.paths=[{tmp_path / 'chat.jsonl'}]", check=2)
    assert "chat.jsonl: no column 'text', 'content' or 'raw_content' for the text" in done.stderr
    assert "messages, id" in done.stderr
