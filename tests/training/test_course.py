"""The course of a run against integrals and formulas worked out by hand."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import TrainConfig
from training.course import POINTS, Course
from training.mixture import Mixture
from training.steps import Steps

SOURCES = ("code", "prose")


def course(**settings: Any) -> tuple[Course, Steps]:
    given: dict[str, Any] = {"data": "x", "steps": 40, "context": 64, "batch": {"sequences": 8}, **settings}
    config = TrainConfig.model_validate(given)
    steps = Steps.of(config)
    return Course.of(config, steps, SOURCES, Mixture.of(config, steps, SOURCES, (10**6, 10**6))), steps


def at(found: Course, step: int) -> int:
    return found.steps.index(step)


def near(values: list[float]) -> Any:
    return pytest.approx(values, abs=1e-9)


def test_constant_weights_are_the_same_share_at_every_step() -> None:
    found, steps = course(phases=[{"weights": {"code": 1, "prose": 3}}])
    assert found.steps == list(range(1, 41)) and found.tokens == [512 * n for n in range(1, 41)]
    assert found.shares["code"] == near([0.25] * 40) and found.shares["prose"] == near([0.75] * 40)
    assert found.read["code"] == pytest.approx([128 * n for n in range(1, 41)])
    assert steps.tokens == 40 * 512


def test_weights_in_a_straight_line_give_the_mean_over_each_step() -> None:
    found, _ = course(phases=[{"weights": {"code": [1, 3], "prose": [3, 1]}}])
    # the share is (1 + 2 p) / 4 and its integral (p + p^2) / 4
    read = [(p + p * p) / 4 for p in (n / 40 for n in range(41))]
    assert found.shares["code"] == near([40 * (end - begin) for begin, end in pairwise(read)])
    assert found.shares["code"][0] == pytest.approx((1 + 2 * 0.0125) / 4)
    assert found.read["code"] == pytest.approx([40 * 512 * value for value in read[1:]])


def test_weights_along_half_a_cosine() -> None:
    weights = {
        "code": {"from": 0.2, "to": 0.8, "shape": "cosine"},
        "prose": {"from": 0.8, "to": 0.2, "shape": "cosine"},
    }
    found, _ = course(phases=[{"weights": weights}])
    # 0.2 + 0.6 (1 - cos(pi p)) / 2, whose integral is p / 2 - 0.3 sin(pi p) / pi
    read = [p / 2 - 0.3 * math.sin(math.pi * p) / math.pi for p in (n / 40 for n in range(41))]
    assert found.shares["code"] == near([40 * (end - begin) for begin, end in pairwise(read)])
    assert found.read["code"][-1] == pytest.approx(40 * 512 / 2)


def test_the_learning_rate_is_that_of_the_middle_of_each_step() -> None:
    found, _ = course(schedule={"use": "cosine", "warmup": 0.1, "final": 0.1}, optimizer={"lr": 2e-3})
    expected = []
    for n in range(40):
        p = (n + 0.5) / 40
        fall = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (p - 0.1) / 0.9))
        expected.append(2e-3 * (p / 0.1 if p < 0.1 else fall))
    assert found.lr == pytest.approx(expected)


def test_a_long_run_has_both_sides_of_whatever_changes() -> None:
    found, steps = course(
        steps=100_000_000,
        phases=[
            {"share": 1, "weights": {"code": 1, "prose": 3}},
            {"share": 2, "weights": {"code": 3, "prose": 1}, "context": 128},
        ],
        batch={"sequences": 8, "ramp": {"start": 2, "share": 0.1}},
        schedule={"warmup": 0.01, "decay": 0.2, "shape": "linear"},
        optimizer={"lr": 1.0},
    )
    assert POINTS < len(found.steps) < 2 * POINTS and found.steps == sorted(set(found.steps))
    assert (found.steps[0], found.steps[-1]) == (1, 100_000_000)
    # the first 10 % of the tokens have batches of 2, 4 and 6 with as many tokens each
    scale = 100_000_000 / ((0.1 / 3) * (1 / 2 + 1 / 4 + 1 / 6) + 0.9 / 8)
    grows = [scale * 0.1 / 3 / 2, scale * 0.1 / 3 * (1 / 2 + 1 / 4), scale * 0.1 / 3 * (1 / 2 + 1 / 4 + 1 / 6)]
    rises = [
        step for (_, before), (step, after) in pairwise(zip(found.steps, found.rows, strict=True)) if after > before
    ]
    assert rises == pytest.approx([end + 1 for end in grows], abs=1)
    assert all(step - 1 in found.steps for step in rises)
    # longer sequences are fewer, from the step nearest to a third of the tokens on
    longer = next(step for step, context in zip(found.steps, found.context, strict=True) if context == 128)
    assert steps.tokens_before(longer - 1) == pytest.approx(steps.tokens / 3, abs=8 * 64)
    assert found.rows[at(found, longer - 1)] == 8 and found.rows[at(found, longer)] == 4
    assert found.shares["code"][at(found, longer - 2)] == pytest.approx(0.25, abs=1e-6)
    assert found.shares["code"][at(found, longer + 1)] == pytest.approx(0.75, abs=1e-6)
    assert found.read["code"][-1] == pytest.approx(steps.tokens * (0.25 / 3 + 0.75 * 2 / 3))
    assert max(found.lr) == 1.0 and found.lr[-1] < 1e-5


def test_without_a_mixture_all_but_shares_is_known() -> None:
    config = TrainConfig.model_validate({"data": "x", "steps": 3})
    found = Course.of(config, Steps.of(config))
    assert found.shares == {} == found.read and len(found.lr) == len(found.rows) == 3


@given(st.integers(1, 2000), st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)), min_size=1, max_size=4))
def test_what_is_read_is_the_sum_of_the_steps(count: int, ends: list[tuple[float, float]]) -> None:
    found, _ = course(steps=count, phases=[{"weights": {"code": list(pair), "prose": 1}} for pair in ends])
    for n in range(len(found.steps)):
        assert sum(found.shares[name][n] for name in SOURCES) == pytest.approx(1)
        assert sum(found.read[name][n] for name in SOURCES) == pytest.approx(found.tokens[n])
    for before, after in pairwise(range(len(found.steps))):
        if found.steps[after] == found.steps[before] + 1:
            grown = found.read["code"][after] - found.read["code"][before]
            assert grown == pytest.approx(found.shares["code"][after] * 512, abs=1e-3)
