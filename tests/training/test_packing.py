"""Batches against packing done naively, token by token, and the masks that keep documents apart."""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.order import Order
from training.packing import NO_LOSS, PADDING, Batch, batch, validation
from training.store.shards import key
from training.store.tokens import Documents

TEXTS = st.lists(st.text(max_size=60), min_size=2, max_size=15)


def naive(documents: list[list[int]], context: int, end: int) -> list[dict[str, list[int]]]:
    """Rows of the documents written one behind the other, by looking at one token at a time."""
    stream = [(d, i, token) for d, ids in enumerate(documents) for i, token in enumerate(ids)]
    rows = []
    for begin in range(0, len(stream), context):
        row: dict[str, list[int]] = {"inputs": [], "targets": [], "segments": [], "positions": []}
        for at in range(begin, begin + context):
            if at >= len(stream):
                for name, value in zip(row, (end, NO_LOSS, PADDING, 0), strict=True):
                    row[name].append(value)
                continue
            d, i, token = stream[at]
            goes_on = i + 1 < len(documents[d])
            new = at == begin or stream[at - 1][0] != d
            row["inputs"].append(token)
            row["targets"].append(documents[d][i + 1] if goes_on else NO_LOSS)
            row["segments"].append(0 if at == begin else row["segments"][-1] + new)
            row["positions"].append(0 if new else row["positions"][-1] + 1)
        rows.append(row)
    return rows


def as_rows(batches: list[Batch]) -> list[dict[str, list[int]]]:
    names = ("inputs", "targets", "segments", "positions")
    return [{name: getattr(b, name)[r].tolist() for name in names} for b in batches for r in range(len(b.inputs))]


def all_ids(documents: Documents) -> list[list[int]]:
    return [documents.ids(d).tolist() for d in range(len(documents))]


@settings(max_examples=20)
@given(TEXTS, st.integers(8, 40))
def test_batches_are_what_naive_packing_gives(stored: Callable[..., Any], texts: list[str], context: int) -> None:
    config, store = stored({"code": texts}, context=context, steps=3)
    order = Order(config, store)
    stream: list[tuple[int, int]] = []
    for n in range(3):
        for plan in order.step(n):
            stream += [(p.epoch, p.document) for p in plan.pieces if (p.epoch, p.document) not in stream]
    documents = [store.train[0].ids(document).tolist() for _, document in stream]
    expected = naive(documents, context, store.tokenizer.end)[:12]
    assert as_rows([batch(order, n) for n in range(3)]) == expected
    for n in range(3):
        made = batch(order, n)
        types = {name: getattr(made, name).dtype for name in ("inputs", "targets", "segments", "positions", "sources")}
        assert types == {n: np.int32 if n == "segments" else np.int64 for n in types}
        assert all(getattr(made, name).flags.c_contiguous for name in types)


@settings(max_examples=15)
@given(st.lists(st.text(min_size=10, max_size=200), min_size=2, max_size=8), st.integers(16, 64))
def test_rearranged_documents_keep_their_masks(stored: Callable[..., Any], texts: list[str], context: int) -> None:
    config, store = stored({"code": texts}, context=context, steps=8, fim={"code": {"rate": 1.0}})
    order, end = Order(config, store), store.tokenizer.end
    for n in range(config.steps):
        made = batch(order, n)
        padding = made.segments == PADDING
        assert (made.targets[padding] == NO_LOSS).all() and (made.inputs[padding] == end).all()
        assert (made.positions[padding] == 0).all()
        same = (made.segments[:, 1:] == made.segments[:, :-1]) & ~padding[:, 1:]
        assert (made.targets[:, :-1][same] == made.inputs[:, 1:][same]).all()
        assert (made.positions[:, 1:][same] == made.positions[:, :-1][same] + 1).all()
        last = np.diff(made.segments, axis=1) != 0
        assert (made.inputs[:, :-1][last & ~padding[:, :-1]] == end).all()  # a text ends before the next begins
        assert (made.targets[(made.inputs == end) & ~padding] == NO_LOSS).all()


def test_every_token_but_a_document_s_first_is_predicted_once_an_epoch(stored: Callable[..., Any]) -> None:
    texts = [f"{i} " * (3 * i % 40 + 1) for i in range(60)]
    config, store = stored({"code": texts}, context=32, steps=60)
    order = Order(config, store)
    total = store.train[0].count_tokens
    predicted: Counter[int] = Counter()
    position = 0
    for n in range(config.steps):
        made = batch(order, n)
        for row in range(len(made.inputs)):
            targets = made.targets[row][: max(total - position, 0)]
            predicted.update(targets[targets != NO_LOSS].tolist())
            position += config.context
    assert position > total
    assert predicted == Counter(token for ids in all_ids(store.train[0]) for token in ids[1:])


@settings(max_examples=20)
@given(TEXTS, st.integers(8, 40), st.integers(1, 400), st.integers(1, 5))
def test_validation_is_the_held_out_documents_packed(
    stored: Callable[..., Any], texts: list[str], context: int, limit: int, sequences: int
) -> None:
    evaluation = {"holdout": 0.4, "tokens": limit}
    config, store = stored(
        {"code": texts, "prose": ["x"]}, context=context, evaluation=evaluation, batch={"sequences": sequences}
    )
    held = store.held[0]
    documents = [held.ids(d).tolist() for d in sorted(range(len(held)), key=lambda d: held.keys[d])]
    expected = naive(documents, context, store.tokenizer.end)
    if held.count_tokens > limit:
        expected = expected[: max(limit // context, 1)]
    batches, shown = zip(*validation(store, "code", config), strict=True)
    assert as_rows(batches) == expected
    assert [b.sources.tolist() for b in batches] == [[0] * len(b.inputs) for b in batches]
    assert all(len(b.inputs) == sequences for b in batches[:-1])
    read = [(made.inputs, numbers) for made, numbers in zip(batches, shown, strict=True)]
    for made, numbers in zip(batches, shown, strict=True):
        assert ((numbers == PADDING) == (made.segments == PADDING)).all()
    for d in range(len(held)):  # what is shown of a document is its beginning
        there = [token for inputs, numbers in read for token in inputs[numbers == d].tolist()]
        assert there == held.ids(d).tolist()[: len(there)]
    assert list(validation(store, "prose", config)) == []  # its only document is trained on


def test_every_other_row_and_the_hash_follow_from_the_plan(stored: Callable[..., Any]) -> None:
    """Against writing piece by piece what `Order.step` says, which is what the compiled pass replaces."""
    texts = {
        "code": [f"x{i} = {i}\n" * (i % 9 + 1) for i in range(40)],
        "prose": [f"Line {i}. " * (i % 20 + 1) for i in range(30)],
    }
    config, store = stored(texts, context=32, steps=12, batch={"sequences": 7}, fim={"code": {}})
    order = Order(config, store)
    for n in range(12):
        made, hashed = batch(order, n), []
        for row, plan in enumerate(order.step(n)):
            inputs, targets = np.full(32, store.tokenizer.end), np.full(32, NO_LOSS)
            at = 0
            for piece in plan.pieces:
                ids = order.tokens(piece)
                shown = min(piece.length, len(ids))
                inputs[at : at + shown] = ids[:shown]
                targets[at : at + max(len(ids) - 1, 0)] = ids[1:]
                at += piece.length
                keys = store.train[piece.source].keys
                hashed.append((row, key(store.sources[piece.source]), int(keys[piece.document]), *piece[2:]))
            assert at == 32
            np.testing.assert_array_equal(made.inputs[row], inputs)
            np.testing.assert_array_equal(made.targets[row], targets)
        assert order.digest(n) == hashlib.blake2b(np.array(hashed, "<u8").tobytes(), digest_size=16).hexdigest()
        for rows in (slice(1, None, 2), slice(5, None, -3), slice(3, 3)):
            some = batch(order, n, rows)
            for name in ("inputs", "targets", "segments", "positions", "sources"):
                np.testing.assert_array_equal(getattr(some, name), getattr(made, name)[rows])
