"""From a step to its documents and from a document to its steps: both ways agree, and with the batches."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.configfile import ConfigError
from training.order import Order
from training.packing import batch
from training.trace import trace_document, trace_step


@pytest.fixture
def run(stored: Callable[..., Any], tmp_path: Path) -> tuple[Path, Order]:
    """A training run's folder, and its order."""
    texts = {
        "code": [f"def f{i}(x):\n    return x + {i}\n" * (i % 7 + 1) for i in range(40)],
        "prose": [f"Sentence {i}. " * (i % 30) for i in range(15)],
    }
    config, store = stored(
        texts, out=tmp_path, steps=25, context=48, fim={"code": {}}, phases=[{"weights": {"code": [1, 0], "prose": 1}}]
    )
    (tmp_path / "run.json").write_text(json.dumps({"config": config.model_dump(mode="json")}))
    return tmp_path, Order(config, store)


def test_a_step_is_the_documents_of_its_batch(run: tuple[Path, Order]) -> None:
    folder, order = run
    store = order.store
    pieces = trace_step(folder, 3)
    made = batch(order, 2)  # steps of a trace count from 1, like those of the metrics
    for row in range(len(made.inputs)):
        mine = [piece for piece in pieces if piece.row == row]
        assert sum(piece.length for piece in mine) == 48
        assert {piece.source for piece in mine} == {store.sources[made.sources[row]]}
        shown = made.inputs[row][made.segments[row] == 0].tolist()
        assert store.tokenizer.decode(shown).startswith(mine[0].preview[:20])
    for piece in pieces:
        number = piece.id.removeprefix(f"{piece.source}-")
        assert piece.origin == f"{piece.source}.jsonl#{number}"
        assert piece.mode == "plain" or (piece.source == "code" and piece.mode in ("psm", "spm"))


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
            assert visits == sorted(expected, key=lambda visit: (visit[2], visit[3]))
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
