"""Documents that are taken down: which checkpoints learned from them, and their tokens out of the store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from training.interruption import TrainingError, alone
from training.order import Order
from training.provenance.takedown import consumed, erase
from training.provenance.trace import trace_document, trace_step
from training.store.tokenizer import Tokenizer
from training.store.tokens import TokenStore, prepare

Stored = Callable[..., Any]


@pytest.fixture
def run(stored: Stored, tmp_path: Path) -> tuple[Path, Order]:
    """A training run of 20 steps, 12 of which are taken, with checkpoints of which one is kept."""
    texts = {
        "code": [f"def f{i}(x):\n    return x + {i}\n" * (i % 7 + 1) for i in range(60)],
        "prose": [f"Sentence {i}. " * (i % 30 + 1) for i in range(25)],
    }
    config, store = stored(texts, out=tmp_path, steps=20, context=48, fim={"code": {}})
    (tmp_path / "run.json").write_text(json.dumps({"config": config.model_dump(mode="json")}))
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {n}}}\n' for n in range(1, 13)))
    (tmp_path / "checkpoints.jsonl").write_text('{"step": 4}\n{"step": 8}\n{"step": 12}\n')
    (tmp_path / "checkpoints" / "step-00000012").mkdir(parents=True)
    return tmp_path, Order(config, store)


def test_it_says_what_was_learned_from_each_document(run: tuple[Path, Order]) -> None:
    folder, order = run
    steps = {n: trace_step(folder, n) for n in range(1, 13)}
    names = [documents.name(d) for documents in order.store.train for d in range(len(documents))]
    held = order.store.held[0].name(0)
    found = {document.id: document for document in consumed(folder, {*names, held, "nobody"})}
    assert found.keys() == {*names, held}
    for name in names:
        pieces = [piece for n in steps for piece in steps[n] if piece.id == name]
        first = min((piece.step for piece in pieces), default=None)
        document = found[name]
        assert (document.first_step, document.visits) == (first, len(pieces))
        assert document.tokens == sum(piece.length for piece in pieces)
        assert document.first_checkpoint == next((n for n in (4, 8, 12) if first is not None and n >= first), None)
        assert document.kept_checkpoints == (() if first is None else (12,))
    assert {document.first_checkpoint for document in found.values()} >= {4, 8, 12}
    assert found[held].held_out and found[held].first_step is None


def test_erased_documents_are_gone_from_the_store_and_all_others_are_not(run: tuple[Path, Order]) -> None:
    folder, order = run
    ids = ["code-7", "code-8", "prose-3", order.store.held[1].name(0)]
    before = {(part, s, d): those.ids(d).copy() for part, s, d, those in documents_of(order.store)}
    names = {(part, s, d): those.name(d) for part, s, d, those in documents_of(order.store)}
    traced = [trace_document(folder, name) for name in ids]
    told = consumed(folder, set(ids))
    assert erase(folder, told) == len(ids)
    assert erase(folder, told) == 0, "again there is nothing to do"
    store = TokenStore.open(folder / "tokens", Tokenizer.load(folder, order.config.tokenizer))
    for part, s, d, those in documents_of(store):
        if names[part, s, d] in ids:
            assert set(those.ids(d).tolist()) == {store.tokenizer.end}
        else:
            np.testing.assert_array_equal(those.ids(d), before[part, s, d])
    assert [trace_document(folder, name) for name in ids] == traced, "what saw them is still known"
    assert len((folder / "takedowns.jsonl").read_text().splitlines()) == len(ids)


def documents_of(store: TokenStore) -> list[tuple[str, int, int, Any]]:
    return [
        (part, s, d, those)
        for part, parts in (("train", store.train), ("held", store.held))
        for s, those in enumerate(parts)
        for d in range(len(those))
    ]


def test_the_next_training_makes_a_new_store_and_the_answer_stays(run: tuple[Path, Order]) -> None:
    folder, order = run
    shard = order.store.train[0].shard(0)[0]
    ids = {"code-7", "code-8"}
    told = consumed(folder, ids)
    erase(folder, told)
    kept = pq.read_table(shard)
    for name in ids:
        kept = kept.filter(pc.not_equal(kept["id"], name))
    pq.write_table(kept, shard)
    _, store = prepare(order.config, folder)
    assert all(not those.find(name) for name in ids for those in (*store.train, *store.held))
    assert Order(order.config, store).digest(11) != order.digest(11), "so that a run that had them does not go on"
    assert sorted(consumed(folder, ids), key=lambda document: document.id) == sorted(
        told, key=lambda document: document.id
    )
    (folder / "checkpoints" / "step-00000012").rmdir()
    assert all(document.kept_checkpoints == () for document in consumed(folder, ids))


def test_an_erased_store_is_made_again_though_its_shards_are_as_before(run: tuple[Path, Order]) -> None:
    folder, order = run
    text = order.store.train[0].ids(order.store.train[0].find("code-9")[0]).copy()
    erase(folder, consumed(folder, {"code-9"}))
    _, store = prepare(order.config, folder)
    np.testing.assert_array_equal(store.train[0].ids(store.train[0].find("code-9")[0]), text)


def test_a_run_that_is_going_on_is_left_alone(run: tuple[Path, Order]) -> None:
    folder, _ = run
    told = consumed(folder, {"code-7"})
    with alone(folder), pytest.raises(TrainingError, match="another process"):
        erase(folder, told)
    assert not (folder / "takedowns.jsonl").exists()
