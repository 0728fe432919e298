"""Realised shares against the exact integral of the shares, at every prefix of the run."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import Phase
from training.mixture import Mixture, Stretch, stretches

Weights = list[list[tuple[int, int]]]


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[int], Weights, int]:
    """Lengths of phases, (start, end) weights by phase and source, slots."""
    sources = draw(st.integers(1, 7))
    weight = st.tuples(st.integers(0, 9), st.integers(0, 9))
    phase = st.lists(weight, min_size=sources, max_size=sources).filter(
        lambda ws: sum(a for a, _ in ws) > 0 and sum(b for _, b in ws) > 0
    )
    phases = draw(st.lists(phase, min_size=1, max_size=6))
    lengths = draw(st.lists(st.integers(1, 9), min_size=len(phases), max_size=len(phases)))
    return lengths, phases, draw(st.integers(1, 120))


def made(lengths: list[int], phases: Weights, slots: int) -> Mixture:
    parts = []
    for length, weights in zip(lengths, phases, strict=True):
        first, last = sum(a for a, _ in weights), sum(b for _, b in weights)
        parts.append(Stretch(length, tuple(a / first for a, _ in weights), tuple(b / last for _, b in weights)))
    return Mixture(parts, slots)


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


@given(mixtures())
def test_no_source_is_ever_a_sequence_away_from_its_integral(case: tuple[list[int], Weights, int]) -> None:
    lengths, phases, slots = case
    mixture = made(lengths, phases, slots)
    chosen = mixture.sources(0, slots)
    sources = len(phases[0])
    bound = 1 - 1 / (2 * sources - 2) if sources > 1 else 0
    for source in range(sources):
        counts = np.concatenate([[0], np.cumsum(chosen == source)])
        for slot in range(slots + 1):
            assert abs(counts[slot] - integral(lengths, phases, slots, slot, source)) <= bound + 1e-6


def test_constant_and_linear_shares_come_out_over_every_window() -> None:
    mixture = Mixture(
        [Stretch(1, (0.7, 0.2, 0.1), (0.7, 0.2, 0.1)), Stretch(3, (0.7, 0.2, 0.1), (0.1, 0.2, 0.7))], 8000
    )
    chosen = mixture.sources(0, 8000)
    for begin in range(0, 1900, 100):
        shares = np.bincount(chosen[begin : begin + 100], minlength=3) / 100
        assert np.abs(shares - (0.7, 0.2, 0.1)).max() <= 0.02
    for begin in range(2000, 7900, 100):
        x = (begin + 50 - 2000) / 6000
        shares = np.bincount(chosen[begin : begin + 100], minlength=3) / 100
        assert np.abs(shares - (0.7 - 0.6 * x, 0.2, 0.1 + 0.6 * x)).max() <= 0.02


def test_any_slot_can_be_asked_for_by_itself() -> None:
    slots = 5000
    mixture = Mixture([Stretch(1, (0.5, 0.3, 0.2), (0.0, 0.3, 0.7)), Stretch(1, (0.1, 0.9, 0), (0.1, 0.9, 0))], slots)
    whole = mixture.sources(0, slots)
    for begin, end in ((4990, 5000), (0, 3), (1023, 1025), (1024, 2048), (1000, 3500), (5000, 5000), (7, 7)):
        assert mixture.sources(begin, end).tolist() == whole[begin:end].tolist()
        assert mixture.counts(begin).tolist() == np.bincount(whole[:begin], minlength=3).tolist()
    for source in range(3):
        places = np.flatnonzero(whole == source)
        for number in (0, 1, len(places) // 2, len(places) - 1):
            assert mixture.slot(source, number) == places[number]
        with pytest.raises(IndexError, match=f"has {len(places)} sequences"):
            mixture.slot(source, len(places))


def test_a_source_without_weight_is_never_read() -> None:
    mixture = Mixture([Stretch(1, (0.5, 0.0, 0.5), (0.1, 0.0, 0.9))], 3000)
    assert 1 not in mixture.sources(0, 3000)


def test_weights_are_normalised_at_both_ends_of_a_phase() -> None:
    phases = [Phase(weights={"a": (3, 0), "b": 1}), Phase(share=2.0)]
    first, second = stretches(phases, ("a", "b", "c"), (10, 30, 60))
    assert first == Stretch(1.0, (0.75, 0.25, 0.0), (0.0, 1.0, 0.0))
    assert second == Stretch(2.0, (0.1, 0.3, 0.6), (0.1, 0.3, 0.6))
    with pytest.raises(ValueError, match="no source with a weight above 0"):
        stretches([Phase(weights={"elsewhere": 1})], ("a",), (10,))
