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
