"""The order of training, read back from the batches: what was seen, how often, and that nothing else decides it."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import fim, kernels
from training.config import BatchSettings
from training.fim import Mode
from training.order import Order, Piece, feasibility
from training.packing import batch
from training.store.tokens import TokenStore

Seen = dict[tuple[int, int, int], list[tuple[Piece, list[int]]]]

CASES = st.fixed_dictionaries(
    {
        "sources": st.dictionaries(
            st.sampled_from(["code", "prose", "wiki"]),
            st.lists(st.text(max_size=120), min_size=1, max_size=12),
            min_size=1,
        ),
        "seed": st.integers(-5, 2**63),
        "context": st.integers(8, 90),
        "rate": st.sampled_from([0.0, 0.5, 1.0]),
        "batch": st.sampled_from([{"sequences": 4}, {"sequences": 7, "ramp": {"start": 1, "by": 2, "share": 0.4}}]),
        "phases": st.sampled_from(
            [
                [{}],
                [{"share": 1, "weights": {"code": 1, "prose": 3, "wiki": [0, 1]}}, {"share": 2}],
            ]
        ),
    }
)


def build(stored: Callable[..., Any], case: dict[str, Any], steps: int = 12) -> Order:
    sources = case["sources"]
    phases = [
        phase
        if "weights" not in phase
        else {**phase, "weights": {s: w for s, w in phase["weights"].items() if s in sources} | {min(sources): 1}}
        for phase in case["phases"]
    ]
    config, store = stored(
        sources,
        seed=case["seed"],
        context=case["context"],
        phases=phases,
        steps=steps,
        batch=case["batch"],
        fim={source: {"rate": case["rate"]} for source in sources},
    )
    return Order(config, store)


def seen(order: Order) -> Seen:
    """Pieces of every (source, document, epoch) with the tokens that the batches show, in the order of the stream."""
    rows: dict[int, list[tuple[int, list[tuple[Piece, list[int]]]]]] = defaultdict(list)
    for n in range(order.config.steps):
        made = batch(order, n)
        for row, plan in enumerate(order.step(n)):
            shown = []
            at = 0
            for piece in plan.pieces:
                here = slice(at, at + piece.length)
                real = made.segments[row, here] >= 0
                shown.append((piece, made.inputs[row, here][real].tolist()))
                at += piece.length
            assert at == order.config.context
            assert {piece.source for piece in plan.pieces} == {plan.source} == {made.sources[row]}
            rows[plan.source].append((plan.sequence, shown))
    found: Seen = defaultdict(list)
    for source, sequences in rows.items():
        assert [number for number, _ in sequences] == list(range(len(sequences)))  # none is lost or comes twice
        for _, shown in sequences:
            for piece, tokens in shown:
                found[source, piece.document, piece.epoch].append((piece, tokens))
    return found


def text_of(pieces: list[tuple[Piece, list[int]]], store: TokenStore) -> str:
    """The text of a document out of its pieces, each part ended by the end token."""
    ids = [token for _, tokens in pieces for token in tokens]
    assert ids[-1] == store.tokenizer.end
    if pieces[0][0].mode is Mode.PLAIN:
        assert ids.count(store.tokenizer.end) == 1
        return store.tokenizer.decode(ids[:-1])
    parts: list[list[int]] = [[]]
    for token in ids[:-1]:
        if token == store.tokenizer.end:
            parts.append([])
        else:
            parts[-1].append(token)
    return store.tokenizer.decode([token for part in parts for token in fim.restore(part, store.tokenizer)])


@settings(max_examples=25)
@given(CASES)
def test_every_document_is_seen_exactly_once_an_epoch(stored: Callable[..., Any], case: dict[str, Any]) -> None:
    order = build(stored, case)
    store = order.store
    by_epoch: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    last: dict[int, int] = defaultdict(int)
    for (source, document, epoch), pieces in seen(order).items():
        ends = [piece.start + piece.length for piece, _ in pieces]
        assert [piece.start for piece, _ in pieces] == [0, *ends[:-1]]  # no gap, nothing twice
        assert len({piece.mode for piece, _ in pieces}) == 1
        by_epoch[source, epoch][document] = ends[-1]
        last[source] = max(last[source], epoch)
    for (source, epoch), documents in by_epoch.items():
        if epoch < last[source]:
            assert sorted(documents) == list(range(len(store.train[source])))
    for (source, document, epoch), pieces in seen(order).items():
        if epoch < last[source]:
            assert text_of(pieces, store) == store.text(store.train[source], document)


@settings(max_examples=10)
@given(CASES, st.data())
def test_a_step_does_not_depend_on_what_was_asked_before(
    stored: Callable[..., Any], case: dict[str, Any], data: st.DataObject
) -> None:
    order = build(stored, case)
    plans = {n: order.step(n) for n in range(order.config.steps)}
    for n in data.draw(st.lists(st.integers(0, order.config.steps - 1), max_size=6)):
        other = Order(order.config, order.store)
        assert other.digest(n) == order.digest(n)
        assert other.step(n) == plans[n]
        first, stop = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
        whole, some = batch(order, n), batch(other, n, slice(first, stop))
        for name in ("inputs", "targets", "segments", "positions", "sources"):
            assert np.array_equal(getattr(whole, name)[first:stop], getattr(some, name))


def test_a_source_goes_through_its_documents_whatever_is_mixed_to_it(stored: Callable[..., Any]) -> None:
    texts = {name: [f"{name} {i} " * (i % 9 + 1) for i in range(30)] for name in ("code", "prose")}

    def sequences(sources: dict[str, list[str]], **weights: Any) -> list[Any]:
        config, store = stored(sources, steps=20, phases=[{"weights": weights}], fim={"code": {}})
        order = Order(config, store)
        rows = [plan for n in range(20) for plan in order.step(n) if store.sources[plan.source] == "code"]
        return [[piece[1:] for piece in plan.pieces] for plan in rows]

    alone = sequences({"code": texts["code"]}, code=1)
    mixed = sequences(texts, code=[0, 2], prose=1)
    assert 20 < len(mixed) < len(alone) and mixed == alone[: len(mixed)]


def test_epochs_and_seeds_have_orders_of_their_own(stored: Callable[..., Any]) -> None:
    texts = {"code": [f"text number {i}" for i in range(200)]}

    def documents(seed: int) -> list[list[int]]:
        config, store = stored(texts, steps=60, context=64, seed=seed)
        epochs: dict[int, list[int]] = defaultdict(list)
        for _, document, epoch in seen(Order(config, store)):
            epochs[epoch].append(document)
        return [epochs[0], epochs[1]]

    orders = documents(1) + documents(2)
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert sum(a == b for a, b in zip(one, other, strict=True)) < 10  # 1 is what chance gives


def test_digests_differ_between_steps(stored: Callable[..., Any]) -> None:
    config, store = stored({"code": [f"text {i}" for i in range(50)]}, steps=30)
    order = Order(config, store)
    assert len({order.digest(n) for n in range(30)}) == 30
    with pytest.raises(IndexError, match="30 steps, no step 30"):
        order.step(30)


def test_rates_of_rearranging_are_kept(stored: Callable[..., Any]) -> None:
    texts = {name: [f"{name} number {i} of many and more" for i in range(1500)] for name in ("code", "prose")}
    config, store = stored(texts, shard=1500, context=256, steps=150, fim={"code": {"rate": 0.4, "spm": 0.25}})
    order = Order(config, store)
    modes: dict[int, dict[tuple[int, int], Mode]] = {0: {}, 1: {}}
    for n in range(config.steps):
        for plan in order.step(n):
            modes[plan.source] |= {(piece.document, piece.epoch): piece.mode for piece in plan.pieces}
    assert set(modes[1].values()) == {Mode.PLAIN}
    drawn = Counter(modes[0].values())
    rearranged = drawn[Mode.PSM] + drawn[Mode.SPM]
    assert abs(rearranged / drawn.total() - 0.4) < 0.05 and drawn.total() > 1400
    assert abs(drawn[Mode.SPM] / rearranged - 0.25) < 0.06
    first, second = ([modes[0].get((d, epoch)) for d in range(1400)] for epoch in (0, 1))
    assert sum(a != b for a, b in zip(first, second, strict=True) if b is not None) > 100  # drawn anew


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_the_permutation_is_one_and_has_its_inverse(count: int, key: int) -> None:
    size, secret = np.uint64(count), np.uint64(key)
    image = [kernels.permuted(np.uint64(i), size, secret) for i in range(count)]
    assert sorted(image) == list(range(count))
    assert [kernels.unpermuted(np.uint64(j), size, secret) for j in image] == list(range(count))


def test_the_permutation_has_no_favourites() -> None:
    trials, count = 6000, 7
    table = np.zeros((count, count))
    for key in range(trials):
        for i in range(count):
            secret = np.uint64(kernels.scramble(np.uint64(key + 1)))
            table[i, kernels.permuted(np.uint64(i), np.uint64(count), secret)] += 1
    expected = trials / count
    statistic = ((table - expected) ** 2 / expected).sum() * (count - 1) / count
    assert statistic < 80  # chi-squared with 36 degrees of freedom: chance gives more once in 30,000 times


def test_what_cannot_work_is_said_with_numbers_and_places(stored: Callable[..., Any]) -> None:
    texts = {"code": ["print(1)\n" * 50] * 40, "prose": ["a b c " * 20] * 3}
    config, store = stored(
        texts,
        steps=100,
        context=64,
        max_epochs=1,
        phases=[{"weights": {"code": 1}}, {"weights": {"coda": 1, "prose": 1, "code": 0}}],
        fim={"pose": {}},
    )
    problems = {problem.place: problem.message for problem in feasibility(config, store)}
    assert problems.keys() == {("phases", 1, "weights", "coda"), ("fim", "pose")}
    assert "did you mean 'code'?" in problems["phases", 1, "weights", "coda"]
    assert "did you mean 'prose'?" in problems["fim", "pose"]

    config = config.model_copy(update={"fim": {}, "phases": config.phases[:1] + (config.phases[0],)})
    assert feasibility(config.model_copy(update={"steps": 1}), store) == []
    (problem,) = feasibility(config, store)
    tokens = store.train[0].count_tokens
    assert problem.place == ("phases", 0, "weights", "code")
    assert f"needs {100 * 4 * 64:,} tokens of it and it has {tokens:,}: {25600 / tokens:.1f} epochs" in problem.message
    fits = int(problem.message.split("take at most ")[1].split(" of")[0])
    assert feasibility(config.model_copy(update={"steps": fits}), store) == []
    assert feasibility(config.model_copy(update={"steps": fits + 1}), store)


def test_a_batch_that_grows_takes_the_same_sequences_in_other_steps(stored: Callable[..., Any]) -> None:
    """The mixture is over sequences: a run with a ramp reads what a run without one reads, cut into other steps."""
    texts = {name: [f"{name} {i} " * (i % 9 + 1) for i in range(30)] for name in ("code", "prose")}
    phases = [{"weights": {"code": [1, 3], "prose": 1}}, {"share": 0.5}]
    ramp = {"start": 1, "share": 0.5}
    config, store = stored(texts, steps=30, phases=phases, fim={"code": {}}, batch={"sequences": 4, "ramp": ramp})
    growing = Order(config, store)
    one = {"batch": BatchSettings(sequences=1), "steps": growing.steps.slots(0)}
    constant = Order(config.model_copy(update=one), store)
    rows = [[plan for n in range(order.config.steps) for plan in order.step(n)] for order in (growing, constant)]
    assert rows[0] == rows[1]
    assert [len(growing.step(n)) for n in range(30)] == [growing.steps.rows(n) for n in range(30)]
    assert len(growing.step(0)) == 1 and len(growing.step(29)) == 4


def test_feasibility_counts_the_sequences_of_a_ramp(stored: Callable[..., Any]) -> None:
    config, store = stored(
        {"code": ["print(1)\n" * 50] * 40},
        steps=100,
        context=64,
        max_epochs=1,
        batch={"sequences": 8, "ramp": {"start": 2, "share": 0.5}},
    )
    needed = Order(config, store).steps.tokens
    (problem,) = feasibility(config, store)
    assert f"needs {needed:,} tokens of it" in problem.message and needed < 100 * 8 * 64
    fits = int(problem.message.split("take at most ")[1].split(" of")[0])
    assert feasibility(config.model_copy(update={"steps": fits}), store) == []
    assert feasibility(config.model_copy(update={"steps": fits + 1}), store)


def test_a_source_without_documents_and_one_that_is_far_too_small(stored: Callable[..., Any]) -> None:
    config, store = stored({"code": [], "prose": ["a"]}, phases=[{"weights": {"code": 1, "prose": 1}}])
    assert [p.message for p in feasibility(config, store)] == ["source 'code' has no document to train on"]
    huge = config.model_copy(update={"phases": stored({"code": ["x"]})[0].phases, "steps": 10**6, "max_epochs": 4.0})
    (problem,) = feasibility(huge, store)  # millions of epochs are estimated, not walked
    assert problem.place == ("max_epochs",) and "'prose'" in problem.message


def test_nothing_to_train_on(stored: Callable[..., Any]) -> None:
    config, store = stored({"code": []})
    assert [p.place for p in feasibility(config, store)] == [("data",)]
