"""Who has which slot, against the shares integrated in exact arithmetic, at every prefix; and any slot by itself."""

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config import TrainConfig
from training.mixture import Mixture, Schedule, Stretch, kernels, schedule
from training.mixture.pieces import integrated
from training.steps import Steps

Weights = list[list[tuple[int, int]]]


def line(first: tuple[float, ...], last: tuple[float, ...]) -> Any:
    return lambda at: tuple(a + (b - a) * at for a, b in zip(first, last, strict=True))


def scheduled(parts: list[Stretch], slots: int, block: int = 65_536) -> Schedule:
    pieces = integrated(parts, slots).since(0.0, 1.0)
    with patch.object(schedule, "BLOCK", block):
        return Schedule(lambda: pieces, slots)


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[int], Weights, int]:
    """Lengths of phases, (start, end) weights by phase and source, slots."""
    sources = draw(st.integers(1, 7))
    amount = st.sampled_from([0, 1, 2, 3, 5, 1000, 10**6])
    phase = st.lists(st.tuples(amount, amount), min_size=sources, max_size=sources).filter(
        lambda ws: sum(a for a, _ in ws) > 0 and sum(b for _, b in ws) > 0
    )
    phases = draw(st.lists(phase, min_size=1, max_size=6))
    lengths = draw(st.lists(st.integers(1, 9), min_size=len(phases), max_size=len(phases)))
    return lengths, phases, draw(st.integers(1, 150))


def stretched(lengths: list[int], phases: Weights) -> list[Stretch]:
    parts = []
    for length, weights in zip(lengths, phases, strict=True):
        first, last = sum(a for a, _ in weights), sum(b for _, b in weights)
        parts.append(Stretch(length, line(tuple(a / first for a, _ in weights), tuple(b / last for _, b in weights))))
    return parts


def integral(lengths: list[int], phases: Weights, slots: int, slot: int, source: int) -> Fraction:
    """The source's share, integrated up to `slot` in exact arithmetic."""
    total, begin = Fraction(0), Fraction(0)
    for length, weights in zip(lengths, phases, strict=True):
        size = Fraction(length * slots, sum(lengths))
        x = min(max(slot - begin, Fraction(0)), size) / size
        first = Fraction(weights[source][0], sum(a for a, _ in weights))
        last = Fraction(weights[source][1], sum(b for _, b in weights))
        total += size * (first * x + (last - first) * x * x / 2)
        begin += size
    return total


@settings(deadline=None)
@given(mixtures(), st.sampled_from([2, 4, 16, 64, 65_536]))
def test_no_source_is_ever_a_sequence_behind_nor_two_ahead(case: tuple[list[int], Weights, int], block: int) -> None:
    """Within one block the method keeps Tijdeman's bound on both sides, over many of them on one."""
    lengths, phases, slots = case
    made = scheduled(stretched(lengths, phases), slots, block)
    chosen = made.sources(0, slots)
    sources = len(phases[0])
    least = 1 / (2 * sources - 2) if sources > 1 else 1
    ahead = (1 if block >= slots or sources == 1 else 2) - least
    for source in range(sources):
        counts = np.concatenate([[0], np.cumsum(chosen == source)])
        for slot in range(slots + 1):
            away = counts[slot] - integral(lengths, phases, slots, slot, source)
            assert -(1 - least) - 1e-6 <= away <= ahead + 1e-6


def test_constant_and_linear_shares_come_out_over_every_window() -> None:
    parts = [Stretch(1, line((0.7, 0.2, 0.1), (0.7, 0.2, 0.1))), Stretch(3, line((0.7, 0.2, 0.1), (0.1, 0.2, 0.7)))]
    for block in (128, 65_536):
        chosen = scheduled(parts, 8000, block).sources(0, 8000)
        for begin in range(0, 1900, 100):
            shares = np.bincount(chosen[begin : begin + 100], minlength=3) / 100
            assert np.abs(shares - (0.7, 0.2, 0.1)).max() <= 0.02
        for begin in range(2000, 7900, 100):
            x = (begin + 50 - 2000) / 6000
            shares = np.bincount(chosen[begin : begin + 100], minlength=3) / 100
            assert np.abs(shares - (0.7 - 0.6 * x, 0.2, 0.1 + 0.6 * x)).max() <= 0.02


@pytest.mark.parametrize("rare", [1e-3, 1e-5, 1e-6])
def test_sources_that_wait_for_several_blocks_come_in_time(rare: float) -> None:
    weights = np.array([5, 4, 3, 2, 1, *np.linspace(1, 2, 8) * rare])
    weights /= weights.sum()
    slots = 300_000
    chosen = scheduled([Stretch(1, line(tuple(weights), tuple(weights)))], slots).sources(0, slots)
    for source, weight in enumerate(weights):
        away = np.cumsum(chosen == source) - weight * np.arange(1, slots + 1)
        assert -(1 - 1 / 24) - 1e-6 <= away.min() and away.max() <= 2 - 1 / 24


@pytest.mark.parametrize("block", [64, 1024, 65_536])
def test_any_slot_can_be_asked_for_by_itself(block: int) -> None:
    slots = 5000
    parts = stretched([2, 1, 3], [[(5, 1), (1, 3), (0, 2)], [(1, 1), (0, 0), (0, 5)], [(3, 3), (1, 1), (1, 2)]])
    with patch.object(schedule, "EVERY", min(block, 1024) // 4):
        made = scheduled(parts, slots, block)
        whole = scheduled(parts, slots, block).sources(0, slots)
        for begin, end in ((4990, 5000), (0, 3), (1023, 1025), (1024, 2048), (1000, 3500), (5000, 5000), (7, 7)):
            assert made.sources(begin, end).tolist() == whole[begin:end].tolist()
            counts, given = made.stretch(begin, end)
            assert given.tolist() == whole[begin:end].tolist() and counts.tolist() == made.counts(begin).tolist()
            assert made.counts(begin).tolist() == np.bincount(whole[:begin], minlength=3).tolist()
        for source in range(3):
            places = np.flatnonzero(whole == source)
            for number in (0, 1, len(places) // 2, len(places) - 1):
                assert scheduled(parts, slots, block).slot(source, number) == places[number]
            for number in (len(places), -1):
                with pytest.raises(IndexError, match=f"are {len(places)} sequences of source {source}, no number"):
                    made.slot(source, number)


def test_a_stage_that_ends_with_a_block() -> None:
    parts = stretched([1], [[(1, 2), (2, 1)]])
    made = scheduled(parts, 128, 64)
    assert made.counts(128).sum() == 128 and made.sources(120, 128).shape == (8,)
    assert made.counts(128).tolist() == np.bincount(made.sources(0, 128)).tolist()


def test_a_source_without_weight_is_never_read() -> None:
    parts = [Stretch(1, line((0.5, 0.0, 0.5), (0.1, 0.0, 0.9)))]
    assert 1 not in scheduled(parts, 3000, 64).sources(0, 3000)


@pytest.mark.parametrize("steps", [10**6, 10**9])
def test_the_work_for_a_far_slot_is_a_block_of_slots(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {**{f"s{i}": 1 + i for i in range(10)}, "t": {"from": 1, "to": 9, "shape": "cosine"}, "u": [0, 5]}
    config = TrainConfig.model_validate(
        {"data": "run", "steps": steps, "batch": {"sequences": 32}, "phases": [{"weights": weights}]}
    )
    made = Mixture.of(config, Steps.of(config), tuple(weights), (1,) * len(weights)).stages[0]
    walked: list[int] = []
    real = kernels.schedule

    def counted(begin: int, end: int, *rest: Any) -> None:
        walked.append(end - begin)
        real(begin, end, *rest)

    monkeypatch.setattr(kernels, "schedule", counted)
    slot = 32 * (steps - 7)
    counts, sources = made.stretch(slot, slot + 32)
    assert sum(walked) <= max(65_536, 32 * steps // 32_768) + 2048
    assert counts.sum() == slot and np.abs(counts - made.integral(slot)).max() < 2
    walked.clear()
    assert made.counts(slot + 32).tolist() == (counts + np.bincount(sources, minlength=len(counts))).tolist()
    assert sum(walked) <= 2048  # the step that comes next


def test_threads_may_ask_at_once() -> None:
    parts = stretched([2, 1], [[(5, 1), (1, 3), (1, 2)], [(1, 1), (0, 0), (0, 5)]])
    whole = scheduled(parts, 20_000, 64).sources(0, 20_000)
    made = scheduled(parts, 20_000, 64)
    begins = [int(at) for at in np.random.default_rng(1).permutation(200) * 100]
    with ThreadPoolExecutor(8) as pool:
        for begin, found in zip(begins, pool.map(lambda at: made.sources(at, at + 100), begins), strict=True):
            assert found.tolist() == whole[begin : begin + 100].tolist()
