"""Counts of a run against counts of the simulated documents, and damage that conservation must find."""

import json
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console, RenderableType

from pipeline.accounting.folder import RunFolderError
from pipeline.accounting.stats import ConservationError, compare, conservation, render, stats

MakeRun = Callable[..., tuple[Path, list[Any]]]


def shown(renderable: RenderableType) -> str:
    out = StringIO()
    Console(file=out, width=220, force_terminal=True, color_system=None).print(renderable)
    return out.getvalue()


def test_numbers_are_those_of_the_documents(make_run: MakeRun) -> None:
    run, docs = make_run(seed=11)
    counted = stats(run).to_dict()
    assert counted["complete"] is True
    assert list(counted["sources"]) == list(dict.fromkeys(doc.source for doc in docs))
    for name, source in {**counted["sources"], None: counted["total"]}.items():
        mine = [doc for doc in docs if name in (doc.source, None)]
        kept = [doc.text for doc in mine if doc.verdict == "kept"]
        assert source["read"] == len(mine)
        assert source["kept"] == len(kept)
        assert source["dropped"] == Counter(doc.reason for doc in mine if doc.verdict == "dropped")
        assert source["quarantine"] == Counter(doc.reason for doc in mine if doc.verdict == "quarantined")
        assert source["quarantined"] == sum(source["quarantine"].values())
        assert source["chars"] == sum(map(len, kept))
        assert source["bytes"] == sum(len(text.encode()) for text in kept)
        assert source["tokens"] == round(source["bytes"] / 4)
        assert source["read"] == source["kept"] + source["quarantined"] + sum(source["dropped"].values())
    assert counted["total"]["ignored"] == {"warcinfo": 3}
    json.dumps(counted)


def test_each_step_takes_in_what_the_one_before_let_out(make_run: MakeRun) -> None:
    run, docs = make_run(seed=12)
    counted = stats(run).to_dict()
    for name, source in counted["sources"].items():
        stages = source["stages"]
        names = [stage["name"] for stage in stages]
        assert names == [
            "read",
            "url",
            "extract",
            "gopher",
            "lines",
            "language",
            "exact",
            "minhash",
            "pii",
            "late",
            "write",
        ]
        assert stages[0]["in"] == source["read"] and stages[-1]["out"] == source["kept"]
        for stage, following in zip(stages, stages[1:], strict=False):
            assert stage["out"] == following["in"]
            assert stage["of_remaining"] == pytest.approx(stage["dropped"] / stage["in"])
            assert stage["of_all"] == pytest.approx(stage["dropped"] / source["read"])
        gopher = stages[names.index("gopher")]
        mine = [doc for doc in docs if doc.source == name and doc.verdict == "dropped" and "gopher" in doc.reason]
        assert gopher["dropped"] == len(mine)
        assert gopher["chars"] == sum(len(doc.text) for doc in mine)
        assert gopher["seconds"] == 0.5 and stages[0]["seconds"] == 0.25
    total = {stage["name"]: stage["seconds"] for stage in counted["total"]["stages"]}
    assert total["minhash"] == 2.5 and total["gopher"] == 1.5


def test_duckdb_counts_the_same(make_run: MakeRun) -> None:
    run, _ = make_run(seed=13)
    conservation(run)
    rows = duckdb.sql(f"select source, count(*) from '{run}/shards/**/*.parquet' group by 1").fetchall()
    assert dict(rows) == {name: funnel.kept for name, funnel in stats(run).sources.items()}


def test_an_unfinished_run_is_counted_by_its_receipts(make_run: MakeRun) -> None:
    run, docs = make_run(seed=14, complete=False)
    for file in (*run.glob("ledger/*/*"), *run.glob("receipts/*")):
        if file.suffix == ".parquet" or json.loads(file.read_text())["stage"] in ("shard", "minhash.clusters"):
            file.unlink()
    counted = stats(run).to_dict()
    assert counted["complete"] is False
    late = ("dedup.exact", "dedup.minhash", "late.value")
    for name, source in counted["sources"].items():
        mine = [doc for doc in docs if doc.source == name]
        assert source["read"] == len(mine)
        assert source["kept"] == sum(doc.verdict == "kept" or doc.reason in late for doc in mine)
        assert source["chars"] is None and source["tokens"] is None
    assert "not finished" in shown(render(stats(run)))


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"not a run: it has no run\.json"):
        stats(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"run\.json: cannot be read"):
        stats(tmp_path)
    (tmp_path / "run.json").write_text('{"steps": [{"name": "x"}]}')
    with pytest.raises(RunFolderError, match="steps cannot be read"):
        stats(tmp_path)


def test_a_torn_ledger_is_named(make_run: MakeRun) -> None:
    run, _ = make_run(seed=15, count=30)
    torn = next(run.glob("ledger/*/*.parquet"))
    torn.write_bytes(torn.read_bytes()[:-9])
    with pytest.raises(RunFolderError, match=f"{torn}: not a whole Parquet file"):
        stats(run)


def rewrite(file: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(file, partitioning=None)), file)


def test_conservation_holds_for_a_sound_run(make_run: MakeRun) -> None:
    for measure in ("needed", "all"):
        run, _ = make_run(seed=16, measure=measure)
        conservation(run)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("ledger", "records read by the receipts and rows of the ledger"),
        ("shards", "kept in the ledger and rows of shards/web/part-00000.parquet"),
        ("quarantine", "in the ledger and in files"),
        ("dropped", "in the ledger and in files"),
    ],
)
def test_conservation_finds_a_lost_row(make_run: MakeRun, kind: str, what: str) -> None:
    run, docs = make_run(seed=17)
    rewrite(run / kind / "web" / "part-00000.parquet", lambda table: table.slice(1))
    with pytest.raises(ConservationError, match=f"source 'web': .*{what}") as caught:
        conservation(run)
    assert all("source 'web'" in difference for difference in str(caught.value).splitlines())
    if kind == "ledger":
        number = sum(doc.source == "web" for doc in docs)
        assert f"{number} and {number - 1} (+1)" in str(caught.value)


def test_conservation_finds_a_wrong_reason_and_a_wrong_count(make_run: MakeRun) -> None:
    run, _ = make_run(seed=18)

    def other(table: pa.Table) -> pa.Table:
        place = table.column_names.index("reason")
        names = ["other.thing" if name == "gopher.words" else name for name in table["reason"].to_pylist()]
        return table.set_column(place, table.schema.field("reason"), pa.array(names, pa.string()))

    for file in (run / "ledger" / "web").iterdir():
        rewrite(file, other)
    receipt = next(file for file in (run / "receipts").iterdir() if json.loads(file.read_text())["source"] == "code")
    body = json.loads(receipt.read_text())
    body["counts"]["kept"] += 1
    receipt.write_text(json.dumps(body))
    with pytest.raises(ConservationError) as caught:
        conservation(run)
    message = str(caught.value)
    assert "source 'web': dropped other.thing, by the receipts and in the ledger: 0 and" in message
    assert f"source 'code': records in and out of task '{body['task']}'" in message
    other_stage = next(stage for stage in stats(run).sources["web"].stages if stage.name == "other")
    assert other_stage.reasons.keys() == {"other.thing"}


def test_comparison_lays_two_runs_side_by_side(make_run: MakeRun, simulation: Any) -> None:
    first, _ = make_run(seed=19)
    second, docs = make_run(seed=19, ranges={**simulation.RANGES, "gopher.words": (200, None)}, sources=("web", "new"))
    comparison = compare(stats(first), stats(second))
    assert comparison.to_dict()["ranges"] == {"gopher.words": {"before": [50, 1000], "after": [200, None]}}
    assert comparison.to_dict()["after"] == stats(second).to_dict()
    text = shown(render(comparison))
    kept = sum(doc.verdict == "kept" for doc in docs)
    assert "50:1000" in text and "200:" in text and "source new" in text
    assert f"{kept - stats(first).total.kept:+,}" in text


def test_tables_show_hostile_names_and_obey_none(make_run: MakeRun) -> None:
    run, _ = make_run(seed=20, sources=("[red]web[/red]", "b\x1b[31m\u202e"))
    text = shown(render(stats(run)))
    assert "[red]web[/red]" in text
    assert "b\\x1b[31m\\u202e" in text
    assert "\x1b[31m" not in text and "\u202e" not in text
    assert "\x1b[31m" not in shown(render(compare(stats(run), stats(run))))


def test_steps_for_some_sources_are_not_in_the_funnel_of_others(make_run: MakeRun) -> None:
    run, _ = make_run(seed=21)
    meta = json.loads((run / "run.json").read_text())
    meta["config"]["steps"] = {"pii": {"sources": ["web"]}}
    (run / "run.json").write_text(json.dumps(meta))
    sources = stats(run).sources
    assert ("pii", "transform") in [(stage.name, stage.kind) for stage in sources["web"].stages]
    assert ("pii", "transform") not in [(stage.name, stage.kind) for stage in sources["code"].stages]
