"""The mixture over stages whose sequences have different lengths: tokens against exact integrals, at every prefix."""

from fractions import Fraction
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config import BatchSettings, TrainConfig
from training.mixture import Mixture, Stretch, kernels, schedule
from training.steps import Steps

STEP = 192
"""Tokens of a step, which all lengths divide."""
LENGTHS = (8, 12, 16, 24, 32, 48, 64)


def line(first: list[int], last: list[int]) -> Any:
    return lambda at: tuple(
        a / sum(first) + (b / sum(last) - a / sum(first)) * at for a, b in zip(first, last, strict=True)
    )


def due(parts: list[tuple[int, list[int], list[int]]], tokens: int) -> list[list[Fraction]]:
    """Tokens of each source before every 4th token, in exact arithmetic."""
    found = []
    for at in range(0, tokens + 1, 4):
        begin, sums = Fraction(0), [Fraction(0)] * len(parts[0][1])
        for length, first, last in parts:
            size = Fraction(length * tokens, sum(part[0] for part in parts))
            x = min(max(at - begin, Fraction(0)), size) / size
            for source in range(len(sums)):
                a, b = Fraction(first[source], sum(first)), Fraction(last[source], sum(last))
                sums[source] += size * (a * x + (b - a) * x * x / 2)
            begin += size
        found.append(sums)
    return found


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[tuple[int, list[int], list[int]]], Steps]:
    """Parts of the mixture (length, first and last weights), and steps in stages that know nothing of the parts."""
    sources = draw(st.integers(2, 6))
    weights = st.lists(st.sampled_from([0, 1, 2, 5, 1000]), min_size=sources, max_size=sources).filter(any)
    parts = draw(st.lists(st.tuples(st.integers(1, 5), weights, weights), min_size=1, max_size=4))
    lengths = draw(st.lists(st.sampled_from(LENGTHS), min_size=2, max_size=5))
    if draw(st.booleans()):
        lengths = sorted(lengths)
    shares = draw(st.lists(st.integers(1, 20), min_size=len(lengths), max_size=len(lengths)))
    count = draw(st.integers(len(lengths), 12))
    phases = tuple(zip(map(float, shares), lengths, strict=True))
    return parts, Steps(BatchSettings(sequences=STEP // 8), count, 8, phases)


@settings(deadline=None, max_examples=60)
@given(runs(), st.sampled_from([4, 16, 65_536]))
def test_tokens_stay_within_two_sequences_of_their_integral_whatever_the_lengths(
    case: tuple[list[tuple[int, list[int], list[int]]], Steps], block: int
) -> None:
    parts, steps = case
    with patch.object(schedule, "BLOCK", block):
        mixture = Mixture([Stretch(length, line(first, last)) for length, first, last in parts], steps)
    wanted = np.array(due(parts, steps.tokens), float)
    given, before, longest = np.zeros(len(parts[0][1])), 0, 0
    for stage, made in zip(steps.stages, mixture.stages, strict=True):
        assert made.slots == steps.slots(stage.number)
        longest = max(longest, stage.context)
        for source in made.sources(0, made.slots).tolist():
            given[source] += stage.context
            before += stage.context
            assert np.abs(given - wanted[before // 4]).max() <= 2 * longest
        assert np.abs(mixture.due(stage.end) - wanted[before // 4]).max() < 1e-6
    assert before == steps.tokens and np.abs(mixture.tokens - wanted[-1]).max() < 1e-6
    counts = [made.counts(made.slots) for made in mixture.stages]
    assert np.abs(mixture.sequences - counts).max() <= 1 + 2 * longest / min(stage.context for stage in steps.stages)


def test_debts_do_not_add_up_over_stages() -> None:
    """Many sources and many short stages of growing and shrinking sequences."""
    weights = [60, *[1] * 59]
    phases = tuple((1.0, context) for context in [48, 64] * 10)
    steps = Steps(BatchSettings(sequences=STEP // 8), 400, 8, phases)
    mixture = Mixture([Stretch(1, line(weights, weights))], steps)
    given, before = np.zeros(60), 0
    shares = np.array(weights) / sum(weights)
    for stage, made in zip(steps.stages, mixture.stages, strict=True):
        for source in made.sources(0, made.slots).tolist():
            given[source] += stage.context
            before += stage.context
            assert np.abs(given - shares * before).max() <= 1.5 * 64


def test_who_got_too_much_waits_and_who_is_owed_some_comes_first() -> None:
    """48 tokens at 3 : 1 in sequences of 16 are 2 and 1, so the first source is owed 4; half a sequence of 8."""
    steps = Steps(BatchSettings(sequences=6), 2, 8, ((1.0, 16), (1.0, 8)))
    mixture = Mixture([Stretch(1, line([3, 1], [3, 1]))], steps)
    first, second = mixture.stages
    assert first.counts(3).tolist() == [2, 1]
    assert second.integral(1).tolist() == pytest.approx([1, 0])  # the other one's quarter is his, for two slots
    assert second.integral(4).tolist() == pytest.approx([3.5, 0.5])
    assert second.integral(6).tolist() == pytest.approx([5, 1])  # 32 + 40 and 16 + 8 tokens: 3 : 1
    assert second.counts(6).tolist() == [5, 1]


def test_weights_follow_the_exact_boundary_of_a_phase_inside_of_a_step() -> None:
    phases = [{"share": 1, "weights": {"a": 1}}, {"share": 1, "context": 16, "weights": {"b": 1}}]
    config = TrainConfig.model_validate(
        {"data": "run", "steps": 5, "context": 8, "batch": {"sequences": 8}, "phases": phases}
    )
    steps = Steps.of(config)
    mixture = Mixture.of(config, steps, ("a", "b"), (1, 1))
    assert mixture.due(steps.count).tolist() == mixture.tokens.tolist() == pytest.approx([160, 160])
    (begin, short), (_, long) = [(stage.begin, made) for stage, made in zip(steps.stages, mixture.stages, strict=True)]
    assert begin == 0 and {stage.begin for stage in steps.stages} <= {0, 2, 3}
    tokens = short.counts(short.slots) * 8 + long.counts(long.slots) * 16
    assert tokens.tolist() == [160, 160]
    assert mixture.jumps == (0.5,)


def test_sequences_of_a_run_are_known_without_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(BatchSettings(sequences=64), 10**7, 512, ((3.0, 512), (1.0, 2048)))
    mixture = Mixture([Stretch(1, line([3, 2, 5], [1, 2, 7]))], steps)
    with monkeypatch.context() as patched:
        patched.setattr(kernels, "carry", None)
        expected = mixture.sequences
        assert expected.shape == (2, 3)
        assert mixture.tokens == pytest.approx(steps.tokens * np.array([0.2, 0.2, 0.6]))
    for counted, made in zip(expected, mixture.stages, strict=True):
        assert np.abs(counted - made.counts(made.slots)).max() <= 2
