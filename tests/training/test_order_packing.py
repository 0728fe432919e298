"""Runs with every packing, sequences that change their length, moving weights and rearranged documents, all at once:
what the batches show is held against the store and against rows written token by token."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import fim, kernels
from training.fim import Mode
from training.order import Order, Piece, feasibility, fitted
from training.packing import NO_LOSS, PADDING, batch

CASES = st.fixed_dictionaries(
    {
        "sources": st.dictionaries(
            st.sampled_from(["code", "prose"]), st.lists(st.text(max_size=150), min_size=1, max_size=9), min_size=1
        ),
        "packing": st.sampled_from(["concatenate", "best_fit", "buckets"]),
        "fim": st.sampled_from([{"rate": 0.0}, {"rate": 0.6}, {"rate": 0.6, "level": "context"}]),
        "contexts": st.sampled_from([(32,), (32, 64), (16, 64, 32), (64, 16), (32, 128, 8, 32)]),
        "batch": st.sampled_from([{"sequences": 16}, {"sequences": 16, "ramp": {"start": 8, "share": 0.5}}]),
        "seed": st.integers(0, 2**63),
    }
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitted, "SEQUENCES", 5)


def build(stored: Callable[..., Any], case: dict[str, Any], **changes: Any) -> Order:
    sources = case["sources"]
    rising = {name: [1, 3] if name == "code" else 2 for name in sources}
    phases = [{"context": context, "weights": rising} for context in case["contexts"]]
    level = {} if case["packing"] == "concatenate" else {"level": case["fim"].get("level", "document")}
    config, store = stored(
        sources,
        seed=case["seed"],
        packing=case["packing"],
        context=case["contexts"][0],
        phases=phases,
        steps=12,
        batch={"sequences": 16, **case["batch"]},
        fim={"code": {"rate": case["fim"]["rate"], **level}} if "code" in sources else {},
        **changes,
    )
    return Order(config, store)


def shown(order: Order) -> dict[tuple[int, int, int], list[tuple[Piece, list[int]]]]:
    """The pieces of every (source, document, epoch) in the order of its layout, with the tokens that batches show."""
    found = defaultdict(list)
    for n in range(order.config.steps):
        made = batch(order, n)
        context = order.steps.stage(n).context
        assert made.inputs.shape == (order.steps.rows(n), context)
        assert made.inputs.size == order.steps.tokens_before(n + 1) - order.steps.tokens_before(n)
        for row, plan in enumerate(order.step(n)):
            at = 0
            for piece in plan.pieces:
                here = slice(at, at + piece.length)
                real = made.segments[row, here] != PADDING
                found[piece.source, piece.document, piece.epoch].append((piece, made.inputs[row, here][real].tolist()))
                at += piece.length
            assert at <= context and (made.segments[row, at:] == PADDING).all()
            assert {piece.source for piece in plan.pieces} == {plan.source} == {made.sources[row]}
    return {name: sorted(pieces) for name, pieces in found.items()}


def text_of(pieces: list[tuple[Piece, list[int]]], order: Order) -> str:
    """The text of a document out of all of its pieces."""
    tokenizer = order.store.tokenizer
    ids: list[int] = []
    part: list[int] = []
    for piece, tokens in pieces:
        if piece.mode is Mode.PLAIN:
            ids += tokens
            continue
        part += tokens
        if part and part[-1] == tokenizer.end:
            ids += fim.restore(part[:-1], tokenizer)
            part = []
    return tokenizer.decode([token for token in ids if token != tokenizer.end])


@settings(max_examples=20)
@given(CASES)
def test_batches_show_every_document_once_an_epoch(stored: Callable[..., Any], case: dict[str, Any]) -> None:
    order = build(stored, case)
    found, store = shown(order), order.store
    for source in range(len(store.sources)):
        last = max(epoch for s, _, epoch in found if s == source)
        for epoch in range(last):
            for document in range(len(store.train[source])):
                pieces = found[source, document, epoch]
                ends = [piece.start + piece.length for piece, _ in pieces]
                assert [piece.start for piece, _ in pieces] == [0, *ends[:-1]]  # no gap, nothing twice
                assert text_of(pieces, order) == store.text(store.train[source], document)
                whole = all(ends[-1] <= context for context in case["contexts"])
                if case["packing"] == "best_fit" and pieces[0][0].mode is Mode.PLAIN and whole:
                    assert len(pieces) == 1 or case["fim"].get("level") == "context"


@settings(max_examples=12)
@given(CASES)
def test_rows_are_their_pieces_and_padding(stored: Callable[..., Any], case: dict[str, Any]) -> None:
    order = build(stored, case)
    end = order.store.tokenizer.end
    for n in range(order.config.steps):
        made = batch(order, n)
        padding = 0
        for row, plan in enumerate(order.step(n)):
            expected: list[tuple[int, int, int, int]] = []
            for segment, piece in enumerate(plan.pieces):
                ids = order.tokens(piece).tolist()
                for i in range(min(piece.length, len(ids))):
                    expected.append((ids[i], ids[i + 1] if i + 1 < len(ids) else NO_LOSS, segment, i))
                expected += [(end, NO_LOSS, PADDING, 0)] * (piece.length - len(ids))
            expected += [(end, NO_LOSS, PADDING, 0)] * (made.inputs.shape[1] - len(expected))
            padding += sum(segment == PADDING for _, _, segment, _ in expected)
            got = zip(made.inputs[row], made.targets[row], made.segments[row], made.positions[row], strict=True)
            assert [tuple(map(int, values)) for values in got] == expected
        assert made.padding == pytest.approx(padding / made.inputs.size)


@settings(max_examples=15)
@given(CASES, st.data())
def test_a_step_does_not_depend_on_what_was_asked_before(
    stored: Callable[..., Any], case: dict[str, Any], data: st.DataObject
) -> None:
    order = build(stored, case)
    plans = [order.step(n) for n in range(order.config.steps)]
    for n in data.draw(st.lists(st.integers(0, order.config.steps - 1), max_size=5)):
        other = Order(order.config, order.store)
        first, stop = data.draw(st.tuples(st.integers(0, 16), st.integers(0, 16)))
        some, whole = batch(other, n, slice(first, stop)), batch(order, n)
        for name in ("inputs", "targets", "segments", "positions", "sources"):
            assert np.array_equal(getattr(whole, name)[first:stop], getattr(some, name))
        assert other.digest(n) == order.digest(n)
        assert other.step(n) == plans[n]
        assert other.passes_before(n) == order.passes_before(n)


@settings(max_examples=10)
@given(CASES)
def test_visits_are_the_steps_that_have_a_document(stored: Callable[..., Any], case: dict[str, Any]) -> None:
    order = build(stored, case)
    expected = defaultdict(list)
    for n in range(order.config.steps):
        for row, plan in enumerate(order.step(n)):
            for piece in plan.pieces:
                expected[piece.source, piece.document].append((n, row, piece))
    fresh = Order(order.config, order.store)
    for source, documents in enumerate(order.store.train):
        for document in range(min(len(documents), 3)):
            assert fresh.visits(source, document) == expected[source, document]


@pytest.mark.parametrize("packing", ["concatenate", "best_fit", "buckets"])
def test_passes_and_padding_are_those_of_what_was_read(stored: Callable[..., Any], packing: str) -> None:
    """Against counting: documents that are through, and positions that are free."""
    texts = {"code": [f"x{i} = {i}\n" * (i % 9 + 1) for i in range(60)], "prose": ["one two three. " * 9] * 7}
    weights = {"code": 2, "prose": 1}
    phases = [{"context": context, "weights": weights} for context in (32, 64)]
    config, store = stored(texts, context=32, packing=packing, phases=phases, steps=20, batch={"sequences": 8})
    order = Order(config, store)
    seen: list[float] = [0.0, 0.0]
    free: dict[tuple[int, int], list[int]] = defaultdict(list)
    for n in range(20):
        stage = order.steps.stage(n)
        for plan in order.step(n):
            tokens = sum(piece.length for piece in plan.pieces)
            seen[plan.source] += tokens / store.train[plan.source].count_tokens
            free[plan.source, stage.number].append(stage.context - tokens)
        passes = order.passes_before(n + 1)
        assert (
            np.abs(np.subtract(passes, seen)).max() < 0.2 if packing != "concatenate" else passes == pytest.approx(seen)
        )
    assert [order.passes(source) for source in (0, 1)] == pytest.approx(passes, abs=0.1)
    for (source, stage), numbers in free.items():
        context = order.steps.stages[stage].context
        assert order.padding(source, stage) == pytest.approx(np.mean(numbers) / context, abs=0.08)
        assert (order.padding(source, stage) == 0) == (packing == "concatenate")


@pytest.mark.parametrize("packing", ["concatenate", "best_fit", "buckets"])
def test_epochs_that_are_too_many_are_refused_and_no_others(stored: Callable[..., Any], packing: str) -> None:
    texts = {"code": [f"x{i} = {i}\n" * (i % 9 + 1) for i in range(60)]}
    config, store = stored(texts, context=32, packing=packing, phases=[{}, {"context": 64}], max_epochs=1.5)
    refused = 0
    for steps in range(8, 40, 3):
        shorter = config.model_copy(update={"steps": steps})
        passes = Order(shorter, store).passes_before(steps)[0]
        problems = feasibility(shorter, store)
        assert bool(problems) == (passes > 1.5)
        assert all(f"{passes:.1f} epochs" in p.message and "max_epochs is 1.5" in p.message for p in problems)
        refused += bool(problems)
    assert 0 < refused < 11
    # Of two tokens and of sequences of 32: millions of epochs are estimated and not walked through.
    huge, tiny = stored({"code": ["a"]}, context=32, packing=packing, steps=10**6, max_epochs=4)
    (problem,) = feasibility(huge, tiny)
    assert f"{'64000000.0' if packing == 'concatenate' else '4000000.0'} epochs" in problem.message
    assert ("is padding" in problem.message) == (packing != "concatenate")


def test_parts_draw_for_themselves_where_they_should(stored: Callable[..., Any]) -> None:
    texts = {"code": [f"value_{i} = other[{i}] + 17\n" * 60 for i in range(20)]}
    shares = {}
    for level in ("document", "context"):
        config, store = stored(
            texts,
            context=64,
            packing="best_fit",
            steps=30,
            batch={"sequences": 32},
            fim={"code": {"rate": 0.5, "spm": 0.2, "level": level}},
        )
        order = Order(config, store)
        modes = defaultdict(dict)
        for n in range(config.steps):
            for plan in order.step(n):
                for piece in plan.pieces:
                    # What is not rearranged is cut where its parts meet only by chance: count it by its tokens.
                    modes[piece.document, piece.epoch][piece.start] = piece.mode, piece.length
        alike = [len({mode is Mode.PLAIN for mode, _ in parts.values()}) == 1 for parts in modes.values()]
        assert all(alike) if level == "document" else not any(alike)
        lengths: dict[Mode, int] = defaultdict(int)
        for parts in modes.values():
            for mode, length in parts.values():
                lengths[mode] += length - (fim.EXTRA if mode else 0)
        rearranged = lengths[Mode.PSM] + lengths[Mode.SPM]
        shares[level] = rearranged / sum(lengths.values()), lengths[Mode.SPM] / rearranged
    assert shares["context"] == (pytest.approx(0.5, abs=0.06), pytest.approx(0.2, abs=0.06))
    assert shares["document"] == (pytest.approx(0.5, abs=0.25), pytest.approx(0.2, abs=0.2))


@given(st.integers(fim.LEAST, 10**6), st.integers(2 * fim.LEAST, 5000))
def test_no_part_is_too_short_to_be_rearranged_or_longer_than_a_sequence(tokens: int, span: int) -> None:
    parts = kernels.part_count(tokens, span)
    bounds = [kernels.part_begin(part, tokens, parts) for part in range(min(parts, 300) + 1)]
    sizes = np.diff(bounds)
    assert bounds[0] == 0 and kernels.part_begin(parts, tokens, parts) == tokens
    assert sizes.min() >= fim.LEAST and sizes.max() <= span and sizes.max() - sizes.min() <= 1
