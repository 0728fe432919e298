"""From a step to its documents and from a document to its steps: both ways agree, and with the batches."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.configfile import ConfigError
from training.order import Order
from training.packing import batch
from training.provenance.ledger import stretch, tables, write
from training.provenance.trace import Trace, last_step, render_document, render_step, trace_document, trace_step

LENGTHS = [
    {"share": 1, "weights": {"code": [1, 0], "prose": 1}},
    {"share": 1, "context": 96, "weights": {"code": 1, "prose": [1, 2]}},
]
SETTINGS: dict[str, dict[str, Any]] = {
    "even": {"batch": {"sequences": 4}},
    "ramp": {"batch": {"sequences": 6, "ramp": {"start": 2, "share": 0.5}}},
    "lengths": {"batch": {"sequences": 4}, "phases": LENGTHS, "fim": {"code": {"cuts": "syntax"}}},
    "best fit": {
        "batch": {"sequences": 4},
        "packing": "best_fit",
        "phases": LENGTHS,
        "fim": {"code": {"cuts": "lines"}, "prose": {"level": "context"}},
    },
    "buckets": {"batch": {"sequences": 4}, "packing": "buckets", "fim": {"code": {"rate": 1.0, "level": "context"}}},
}


every_kind = pytest.mark.parametrize("run", SETTINGS.values(), ids=SETTINGS, indirect=True)


@pytest.fixture
def run(stored: Callable[..., Any], tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Order]:
    """A training run's folder, and its order."""
    kind = getattr(request, "param", SETTINGS["ramp"])
    texts = {
        "code": [f"def f{i}(x):\n    return x + {i}\n" * (i % 7 + 1) for i in range(40)],
        "prose": [f"Sentence {i}. " * (i % 30) for i in range(15)],
    }
    config, store = stored(
        texts,
        out=tmp_path,
        steps=25,
        context=48,
        **{"fim": {"code": {}}, "phases": [{"weights": {"code": [1, 0], "prose": 1}}], **kind},
    )
    (tmp_path / "run.json").write_text(json.dumps({"config": config.model_dump(mode="json")}))
    return tmp_path, Order(config, store)


@every_kind
def test_a_step_is_the_documents_of_its_batch(run: tuple[Path, Order]) -> None:
    folder, order = run
    store = order.store
    pieces = trace_step(folder, 3)
    made = batch(order, 2)  # steps of a trace count from 1, like those of the metrics
    for row in range(len(made.inputs)):
        mine = [piece for piece in pieces if piece.row == row]
        filled = sum(piece.length for piece in mine)
        assert filled == 48 or (filled < 48 and order.config.packing != "concatenate")
        assert {piece.source for piece in mine} == {store.sources[made.sources[row]]}
        shown = made.inputs[row][made.segments[row] == 0].tolist()
        assert store.tokenizer.decode(shown).startswith(mine[0].text[:20])
    for piece in pieces:
        number = piece.id.removeprefix(f"{piece.source}-")
        assert piece.origin == f"{piece.source}.jsonl#{number}"
        assert piece.mode == "plain" or (piece.source == "code" and piece.mode in ("psm", "spm"))


@every_kind
def test_whole_texts_are_those_that_the_batch_decodes_to(run: tuple[Path, Order]) -> None:
    folder, order = run
    for step in (1, 8, 17, 25):
        made, pieces = batch(order, step - 1), trace_step(folder, step, whole=True)
        for row in range(len(made.inputs)):
            shown = [
                order.store.tokenizer.decode(made.inputs[row][made.segments[row] == segment].tolist())
                for segment in range(made.segments[row].max() + 1)
            ]
            assert [piece.text for piece in pieces if piece.row == row and piece.text] == [
                text for text in shown if text
            ]


@every_kind
def test_a_document_is_found_in_every_step_that_saw_it_and_no_other(run: tuple[Path, Order]) -> None:
    folder, order = run
    steps = {n: trace_step(folder, n) for n in range(1, 26)}
    found = 0
    for source, documents in zip(order.store.sources, order.store.train, strict=True):
        for d in range(len(documents)):
            (traced,) = trace_document(folder, documents.name(d))
            assert (traced.source, traced.held_out, traced.tokens) == (source, False, len(documents.ids(d)))
            expected = [
                (n, p.row, p.epoch, p.start, p.length, p.mode)
                for n, pieces in steps.items()
                for p in pieces
                if p.id == traced.id
            ]
            visits = [(v.step, v.row, v.epoch, v.start, v.length, v.mode) for v in traced.visits]
            assert visits == expected
            found += len(visits)
    assert found == sum(map(len, steps.values()))


def test_held_out_documents_were_never_seen(run: tuple[Path, Order]) -> None:
    folder, order = run
    name = order.store.held[0].name(0)
    (traced,) = trace_document(folder, name)
    assert traced.held_out and traced.visits == () and traced.origin == name.replace("-", ".jsonl#")


def test_what_is_not_there_is_said(run: tuple[Path, Order], tmp_path: Path) -> None:
    folder, _ = run
    with pytest.raises(LookupError, match="no source has a document 'nobody'"):
        trace_document(folder, "nobody")
    for step in (0, 26):
        with pytest.raises(ConfigError, match=f"steps 1 to 25, no step {step}"):
            trace_step(folder, step)
    with pytest.raises(ConfigError, match=r"no run\.json of a training run"):
        trace_step(tmp_path / "nowhere", 1)


def journal(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_checkpoints_that_saw_a_document_are_those_behind_the_first_step_that_counted(run: tuple[Path, Order]) -> None:
    folder, order = run
    left_out, taken = {3, 4, 11}, 20
    journal(folder / "metrics.jsonl", [{"step": n, "padding": "x" * 5000} for n in range(1, taken + 1)])
    journal(folder / "events.jsonl", [{"step": n, "event": "skipped"} for n in left_out])
    journal(folder / "checkpoints.jsonl", [{"step": n} for n in (5, 10, 15, 20)])
    for step in (15, 20):
        (folder / "checkpoints" / f"step-{step:08d}").mkdir(parents=True)
    (folder / "checkpoints" / ".step-00000025").mkdir()  # of a save that was killed
    steps = {n: {piece.id for piece in trace_step(folder, n)} for n in range(1, 26)}
    names = [documents.name(d) for documents in order.store.train for d in range(len(documents))]
    firsts = set()
    for traced in Trace(folder).documents(names):
        mine = [n for n in steps if traced.id in steps[n]]
        seen = [n for n in mine if n <= taken and n not in left_out]
        first = min(seen, default=None)
        firsts.add(traced.first_checkpoint)
        assert traced.first_step == first
        assert traced.first_checkpoint == next((n for n in (5, 10, 15, 20) if first is not None and n >= first), None)
        assert traced.kept_checkpoints == tuple(n for n in (15, 20) if first is not None and n >= first)
        assert traced.seen_tokens == sum(visit.length for visit in traced.visits if visit.step in seen)
        states = {visit.step: visit.state for visit in traced.visits}
        assert states == {n: "to come" if n > taken else "left out" if n in left_out else "seen" for n in mine}
    assert len(firsts) > 1
    for text, last in (("", 0), ('{"step": 7}\n', 7), ('{"step": 7}\n{"st', 7), ('{"st', 0)):
        (folder / "metrics.jsonl").write_text(text)
        assert last_step(folder / "metrics.jsonl") == last


def test_signals_are_those_of_the_ledger(run: tuple[Path, Order]) -> None:
    folder, order = run
    shard = order.store.train[0].shard(0)[0]
    assert trace_step(folder, 1, signals=True)[0].signals is None, "a run without a ledger has measured nothing"
    assert shard.parent.name == "code"
    ledger = shard.parents[2] / "ledger" / "code" / shard.name
    ledger.parent.mkdir(parents=True)
    rows = [
        {"id": f"code-{i}", "verdict": "kept", "gopher.words": i, "gopher.odd": None if i % 2 else 0.5}
        for i in range(40)
    ]
    pq.write_table(pa.Table.from_pylist(rows[::-1]), ledger, row_group_size=9)  # in another order than the shard
    pieces = [piece for piece in trace_step(folder, 1, signals=True) if piece.source == "code"]
    assert pieces
    for piece in pieces:
        i = int(piece.id.removeprefix("code-"))
        assert piece.signals == {"gopher.words": i, **({} if i % 2 else {"gopher.odd": 0.5})}
        assert trace_document(folder, piece.id, signals=True)[0].signals == piece.signals
        assert f"gopher.words {i}" in render_step(pieces) and f"gopher.words {i}" in render_document(
            trace_document(folder, piece.id, signals=True)[0]
        )


def test_a_row_that_moved_is_found_and_one_that_is_gone_is_not(run: tuple[Path, Order]) -> None:
    folder, order = run
    documents = order.store.train[0]
    shard = documents.shard(0)[0]
    table = pq.read_table(shard)
    gone = documents.name(1)
    pq.write_table(table.filter(pc.not_equal(table["id"], gone)).slice(2), shard, row_group_size=5)
    left = set(pq.read_table(shard)["id"].to_pylist())
    for d in range(len(documents)):
        (traced,) = trace_document(folder, documents.name(d))
        number = traced.id.removeprefix("code-")
        assert traced.origin == (f"code.jsonl#{number}" if traced.id in left else None)
    assert gone not in left and left


@every_kind
def test_the_ledger_has_every_piece_of_every_step(run: tuple[Path, Order], tmp_path: Path) -> None:
    folder, order = run
    journal(folder / "metrics.jsonl", [{"step": n} for n in range(1, 21)])
    journal(folder / "events.jsonl", [{"step": 3, "event": "skipped"}, {"step": 5, "event": "waiting"}])
    trace, path = Trace(folder), tmp_path / "ledger.parquet"
    assert write(trace, stretch(trace, "1:25"), path) == len(pq.read_table(path))
    assert [file.name for file in tmp_path.glob("*ledger*")] == ["ledger.parquet"]
    expected = [
        {
            "step": step,
            "row": piece.row,
            "slot": order.steps.slot(step - 1) + piece.row,
            "column": sum(before.length for before in pieces[:i] if before.row == piece.row),
            **{name: getattr(piece, name) for name in ("source", "id", "epoch", "start", "length", "mode")},
            "skipped": None if step > 20 else step == 3,
        }
        for step in range(1, 26)
        for pieces in [trace_step(folder, step)]
        for i, piece in enumerate(pieces)
    ]
    assert pq.read_table(path).to_pylist() == expected
    assert all(field.metadata[b"description"] for field in pq.read_schema(path))
    for asked, steps in ((":", range(1, 21)), ("7:", range(7, 21)), (":2", range(1, 3)), ("24:25", range(24, 26))):
        assert stretch(trace, asked) == steps
        found = [row for _, table in tables(trace, steps) for row in table.to_pylist()]
        assert found == [row for row in expected if row["step"] in steps]
    for asked in ("0:3", "5:4", "1:26", "3", "a:b", "25:"):
        with pytest.raises(ConfigError, match=f"--steps {asked}: "):
            stretch(trace, asked)


def test_the_ledger_answers_questions(run: tuple[Path, Order], tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="asks the ledger")
    folder, order = run
    trace, path = Trace(folder), tmp_path / "ledger.parquet"
    write(trace, range(1, 26), path)
    asked = duckdb.sql(f"select source, sum(length) from '{path}' group by source order by source").fetchall()
    rows = np.concatenate([order.table(n)[0] for n in range(25)])  # all of them full
    assert asked == [(name, int((rows == i).sum()) * 48) for i, name in enumerate(order.store.sources)]


def test_a_ledger_that_cannot_be_whole_is_not_there(
    run: tuple[Path, Order], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = run
    trace, path = Trace(folder), tmp_path / "ledger.parquet"
    monkeypatch.setattr(type(trace.store.train[0]), "names", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(trace, range(1, 26), path)
    assert not [*tmp_path.glob("*ledger*")]
