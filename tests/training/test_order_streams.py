"""Every way of packing, in runs whose sequences change their length: nothing is lost, and nothing comes twice.

Documents here have lengths and no texts, so that many cases are quick; the packing itself is held against one that is
done with lists.
"""

from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import fim, kernels
from training.config import FimSettings
from training.order import Table, concatenated, fitted
from training.order.concatenated import Concatenated
from training.order.epochs import Epochs
from training.order.fitted import Fitted

Row = list[tuple[int, int, int, int, int]]
"""Epoch, document, start, length and mode of each piece."""
PACKINGS = st.sampled_from(["concatenate", "best_fit", "buckets"])
STAGES = st.lists(st.tuples(st.sampled_from([8, 12, 16, 33, 64, 128]), st.integers(0, 12)), min_size=1, max_size=4)
LENGTHS = st.lists(st.integers(1, 150), min_size=1, max_size=40)
FIM = st.sampled_from([None, ("document", 0.5), ("context", 0.5), ("context", 1.0)])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As small as the cases."""
    monkeypatch.setattr(fitted, "SEQUENCES", 6)
    monkeypatch.setattr(concatenated, "BLOCK", 2)
    monkeypatch.setattr(concatenated, "BLOCKS", 8)
    monkeypatch.setattr(concatenated, "AT_ONCE", 1)


def documents(lengths: list[int], ordered: bool) -> Any:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    keys = np.array([kernels.scramble(np.uint64(i + 1)) for i in range(len(lengths))], np.uint64)

    class Lengths(SimpleNamespace):
        def __len__(self) -> int:
            return len(lengths)

    return Lengths(offsets=offsets, keys=keys, ordered=ordered, count_tokens=int(offsets[-1]))


def stream(
    packing: str,
    lengths: list[int],
    stages: list[tuple[int, int]],
    seed: int = 1,
    rearranged: tuple[str, float] | None = None,
    ordered: bool = False,
) -> Any:
    told = None
    if rearranged is not None and not (packing == "concatenate" and rearranged[0] == "context"):
        told = FimSettings(level=rearranged[0], rate=rearranged[1])
    shortest = min(context for context, _ in stages)
    epochs = Epochs(documents(lengths, ordered), "code", seed, told, lambda: shortest)
    contexts, counts = tuple(context for context, _ in stages), [count for _, count in stages]
    if packing == "concatenate":
        return Concatenated(epochs, contexts, counts.__getitem__)
    return Fitted(epochs, contexts, counts.__getitem__, packing == "buckets")


def read(made: Any, stage: int, context: int, first: int, count: int) -> list[Row]:
    """The pieces of some sequences, which stand one behind the other in each."""
    table = np.empty((context * count, len(Table)), np.int64)
    written = made.write(stage, first, np.arange(count), 3, table, 0)
    rows: list[Row] = [[] for _ in range(count)]
    for row, source, document, epoch, start, length, mode, column, text in table[:written].tolist():
        assert source == 3 and length > 0 and column == sum(piece[3] for piece in rows[row])
        assert mode or text <= start
        rows[row].append((epoch, document, start, length, mode))
    assert all(0 < sum(piece[3] for piece in row) <= context for row in rows)
    return rows


def read_all(made: Any, stages: list[tuple[int, int]]) -> Iterator[tuple[int, int, Row]]:
    for stage, (context, count) in enumerate(stages):
        for number, row in enumerate(read(made, stage, context, 0, count)):
            yield stage, number, row


@settings(max_examples=80, deadline=None)
@given(PACKINGS, LENGTHS, STAGES, st.integers(0, 9), FIM, st.booleans())
def test_every_token_is_seen_once_an_epoch(
    packing: str, lengths: list[int], stages: list[tuple[int, int]], seed: int, rearranged: Any, ordered: bool
) -> None:
    shortest = min(context for context, _ in stages)
    stages = [*stages, (16, 3 * sum(lengths) // 8 + 60)]  # some epochs more, so that what was left over comes
    made = stream(packing, lengths, stages, seed, rearranged, ordered)
    seen: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for _, _, row in read_all(made, stages):
        places = [(epoch, made._epochs.place(document, epoch), start) for epoch, document, start, _, _ in row]
        assert places == sorted(places)
        for epoch, document, start, length, mode in row:
            seen[epoch, document].append((start, length, mode))
    last = max(epoch for epoch, _ in seen)
    assert last > 2
    for epoch in range(last):
        for document, tokens in enumerate(lengths):
            pieces = sorted(seen[epoch, document])
            ends = [start + length for start, length, _ in pieces]
            assert [start for start, _, _ in pieces] == [0, *ends[:-1]]
            modes = {mode for _, _, mode in pieces}
            if modes == {0}:
                assert ends[-1] == tokens
                if packing == "best_fit" and tokens <= min(shortest, 16):
                    assert len(pieces) == 1
            elif 0 not in modes:
                parts = -(-(tokens - 1) // fim.span(min(shortest, 16)))
                assert ends[-1] == tokens - 1 + parts * fim.EXTRA
    assert last <= made.passes(len(stages) - 1, stages[-1][1]) <= last + 1


@settings(max_examples=60, deadline=None)
@given(PACKINGS, LENGTHS, STAGES, FIM, st.data())
def test_any_sequence_can_be_asked_for_first(
    packing: str, lengths: list[int], stages: list[tuple[int, int]], rearranged: Any, data: st.DataObject
) -> None:
    whole: dict[int, list[Row]] = defaultdict(list)
    made = stream(packing, lengths, stages, 1, rearranged)
    passes: list[float] = []
    for stage, number, row in read_all(made, stages):
        whole[stage].append(row)
        passes += [made.passes(stage, number), made.passes(stage, number + 1)]
    assert passes == sorted(passes) and all(a == b for a, b in zip(passes[1:-1:2], passes[2::2], strict=True))
    for _ in range(3):
        other = stream(packing, lengths, stages, 1, rearranged)
        stage = data.draw(st.integers(0, len(stages) - 1))
        first = data.draw(st.integers(0, stages[stage][1]))
        count = data.draw(st.integers(0, stages[stage][1] - first))
        assert read(other, stage, stages[stage][0], first, count) == whole[stage][first : first + count]
    counts = tuple(count for _, count in stages)
    for document in data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=5)):
        holding = {
            (p, n) for p in whole for n, row in enumerate(whole[p]) if any(piece[1] == document for piece in row)
        }
        assert set(made.holding(document, counts)) == holding


def fitted_by_hand(lengths: list[int], stages: list[tuple[int, int]], buckets: bool) -> Iterator[list[Row]]:
    """The stages' sequences of documents that are read in their order, packed with lists."""
    left: list[list[int]] = []  # epoch, document, start, length
    epoch = place = 0
    for context, count in stages:
        least = max(context // 64, min(64, context // 4)) if buckets else context
        size = max(6 * context * len(lengths) // sum(lengths), 1)
        rows: list[Row] = []
        while len(rows) < count:
            texts = left
            if not texts:
                texts = [[epoch, d, 0, lengths[d]] for d in range(place, min(place + size, len(lengths)))]
                place += size
                if place >= len(lengths):
                    epoch, place = epoch + 1, 0
            items: list[list[int]] = []
            for e, d, start, length in texts:
                while length:
                    take = min(length, context)
                    if length < context and length >= 2 * least:
                        take = max(context >> halved for halved in range(20) if context >> halved <= length)
                    items.append([e, d, start, take])
                    start, length = start + take, length - take
            bins: list[list[int]] = []
            changed: list[int] = []
            for clock, i in enumerate(sorted(range(len(items)), key=lambda i: -items[i][3])):
                room = [context - sum(items[j][3] for j in inside) for inside in bins]
                fits = [b for b, free in enumerate(room) if free >= items[i][3]]
                if not fits:
                    bins, changed = [*bins, [i]], [*changed, clock]
                    continue
                best = min(fits, key=lambda b: (room[b], -changed[b]))
                bins[best].append(i)
                changed[best] = clock
            bins = sorted(sorted(inside) for inside in bins)
            used = count - len(rows)
            rows += [[(*items[i], 0) for i in inside] for inside in bins[:used]]
            left = []
            for i in sorted(i for inside in bins[used:] for i in inside):
                if left and left[-1][:2] == items[i][:2] and left[-1][2] + left[-1][3] == items[i][2]:
                    left[-1][3] += items[i][3]
                else:
                    left.append(list(items[i]))
        yield rows


@settings(max_examples=80, deadline=None)
@given(st.booleans(), LENGTHS, STAGES)
def test_fitting_is_what_lists_give(buckets: bool, lengths: list[int], stages: list[tuple[int, int]]) -> None:
    made = stream("buckets" if buckets else "best_fit", lengths, stages, ordered=True)
    for stage, rows in enumerate(fitted_by_hand(lengths, stages, buckets)):
        assert read(made, stage, stages[stage][0], 0, stages[stage][1]) == rows[: stages[stage][1]]
