"""Learning rates at places that can be counted by hand, and between them; sizes of batches from first to last."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from training.config import BatchSettings, TrainConfig
from training.schedule import learning_rate, share_of_peak
from training.steps import Steps

SHAPES = ["linear", "cosine", "mirror_cosine", "square", "sqrt", "exponential", "reciprocal"]


def schedule_of(**given: Any) -> Any:
    return TrainConfig.model_validate({"data": "run", "steps": 1, "schedule": given}).schedule


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # (1 + cos(pi / 4)) / 2 = 0.853553; the mirror image at the line 0.75 is 0.646447
        ({"shape": "linear"}, {0.7: 0.2 + 0.8 * 0.75, 0.8: 0.6}),
        ({"shape": "cosine"}, {0.7: 0.2 + 0.8 * 0.853553, 0.8: 0.6}),
        ({"shape": "mirror_cosine"}, {0.7: 0.2 + 0.8 * 0.646447, 0.8: 0.6}),
        ({"shape": "square"}, {0.7: 0.2 + 0.8 * 0.9375, 0.8: 0.8}),
        ({"shape": "sqrt"}, {0.7: 0.6, 0.8: 0.2 + 0.8 * 0.292893}),
        ({"shape": "exponential"}, {0.7: 0.668740, 0.8: 0.447214}),  # 0.2 ** 0.25, 0.2 ** 0.5
        ({"shape": "reciprocal"}, {0.7: 0.5, 0.8: 1 / 3}),  # 1 / (0.25 / 0.2 + 0.75), 1 / (0.5 / 0.2 + 0.5)
    ],
    ids=lambda value: value.get("shape", ""),
)
def test_warm_up_plateau_and_every_fall(given: dict[str, Any], expected: dict[float, float]) -> None:
    settings = schedule_of(warmup=0.1, decay=0.4, final=0.2, **given)
    for progress, share in {0.0: 0.0, 0.05: 0.5, 0.1: 1.0, 0.3: 1.0, 0.6: 1.0, 1.0: 0.2, **expected}.items():
        assert share_of_peak(settings, progress) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"use": "constant", "warmup": 0.1}, {0.05: 0.5, 0.1: 1, 0.7: 1, 1: 1}),
        ({"use": "constant", "warmup": 0.1, "start": 0.6}, {0: 0.6, 0.05: 0.8, 0.1: 1}),
        ({"use": "linear", "warmup": 0.2}, {0.1: 0.5, 0.2: 1, 0.6: 0.5, 1: 0}),
        ({"use": "linear", "warmup": 0.2, "final": 0.1}, {0.6: 0.55, 1: 0.1}),
        ({"use": "cosine", "warmup": 0.2}, {0.2: 1, 0.4: 0.1 + 0.9 * 0.853553, 0.6: 0.55, 1: 0.1}),
        ({"warmup": 0.2, "decay": 1, "shape": "linear"}, {0.2: 1, 0.6: 0.5, 1: 0}),
        # the run is 100 warm-ups long at the end: a tenth, as step ** -0.5 says
        ({"use": "inverse_sqrt", "warmup": 0.01}, {0.005: 0.5, 0.01: 1, 0.04: 0.5, 0.25: 0.2, 1: 0.1}),
        ({"use": "inverse_sqrt", "warmup": 0.1, "timescale": 0.3}, {0.1: 1, 0.4: math.sqrt(0.5), 1: 0.5}),
        ({"use": "inverse_sqrt", "warmup": 0.01, "final": 0.3}, {0.04: 0.5, 0.25: 0.3, 1: 0.3}),
        (
            {"use": "inverse_sqrt", "warmup": 0.16, "decay": 0.36, "shape": "linear", "final": 0.1},
            {0.64: 0.5, 0.82: 0.3, 1: 0.1},
        ),
        # two halves: each warms up in a tenth of itself, the second from where the first has ended
        (
            {"use": "cosine", "warmup": 0.1, "final": 0.2, "restarts": [0.5]},
            {0.05: 1, 0.275: 0.6, 0.5: 0.2, 0.525: 0.6, 0.55: 1, 0.775: 0.6, 1: 0.2},
        ),
        (
            {"warmup": 0.1, "start": 0.5, "decay": 0.5, "shape": "linear", "restarts": [0.2]},
            {0: 0.5, 0.01: 0.75, 0.02: 1, 0.1: 1, 0.15: 0.5, 0.2: 0, 0.24: 0.5, 0.28: 1, 0.6: 1, 0.8: 0.5, 1: 0},
        ),
        ({"use": "constant", "warmup": 0.1, "restarts": [0.5]}, {0.5: 1, 0.52: 1}),  # it has not fallen
    ],
    ids=str,
)
def test_values_by_hand(given: dict[str, Any], expected: dict[float, float]) -> None:
    settings = schedule_of(**given)
    for progress, share in expected.items():
        assert share_of_peak(settings, progress) == pytest.approx(share, abs=1e-6), progress


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"warmup": 0.5, "decay": 0.6}, r"warmup \(0.5\) and decay \(0.6\) are together longer than the run"),
        ({"shape": "exponential"}, "'exponential' never reaches 0; set 'final'"),
        ({"use": "inverse_sqrt", "decay": 0.1, "shape": "reciprocal"}, "'reciprocal' never reaches 0"),
        ({"use": "inverse_sqrt", "warmup": 0}, "timescale: there is no warm-up to take it from"),
        ({"restarts": [0.5, 0.5]}, "restarts: each must be later than the one before"),
        ({"restarts": [1.0]}, "less than 1"),
        ({"use": "constant", "final": 0.1}, "final"),
        ({"use": "cosine", "shape": "linear"}, "shape"),
        ({"use": "linear", "timescale": 0.1}, "timescale"),
    ],
    ids=str,
)
def test_what_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        schedule_of(**given)


CURVES = st.one_of(
    st.fixed_dictionaries({"use": st.just("constant")}),
    st.fixed_dictionaries({"use": st.sampled_from(["linear", "cosine"]), "final": st.floats(0, 1)}),
    st.fixed_dictionaries(
        {
            "use": st.sampled_from(["wsd", "inverse_sqrt"]),
            "decay": st.one_of(st.floats(0, 0.5), st.just(1.0)),
            "shape": st.sampled_from(SHAPES),
            "final": st.floats(1e-3, 1),
        }
    ),
)


@given(CURVES, st.floats(0.01, 0.5), st.floats(0, 1), st.integers(2, 300))
def test_rises_then_never_rises_again_and_stays_within_its_bounds(
    curve: dict[str, Any], warmup: float, start: float, points: int
) -> None:
    settings = schedule_of(**curve, warmup=warmup, start=start)
    shares = [share_of_peak(settings, i / points) for i in range(points + 1)]
    assert shares[0] == pytest.approx(start) and shares[-1] >= curve.get("final", 0.0) - 1e-12
    assert all(min(start, curve.get("final", 0.0)) - 1e-12 <= share <= 1 + 1e-12 for share in shares)
    for (i, earlier), later in zip(enumerate(shares), shares[1:], strict=False):
        if (i + 1) / points <= warmup:
            assert later >= earlier
        elif i / points >= warmup:
            assert later <= earlier + 1e-12
    assert share_of_peak(settings, warmup) == pytest.approx(1.0)


@given(CURVES, st.floats(0.05, 0.5), st.floats(0, 1), st.lists(st.floats(0.1, 0.9), max_size=3, unique=True))
def test_nowhere_a_jump(curve: dict[str, Any], warmup: float, start: float, restarts: list[float]) -> None:
    """Also at restarts; but for the two shapes that begin to fall or end it infinitely steep, halving steps halves the
    largest difference."""
    if curve.get("shape") in ("sqrt", "exponential", "reciprocal"):
        curve = {**curve, "shape": "square"}
    restarts = sorted(restarts)
    if any(later - earlier < 0.05 for earlier, later in pairwise([0.0, *restarts, 1.0])):
        restarts = []
    if "decay" in curve:
        curve = {**curve, "decay": max(curve["decay"], 0.05)}
    if curve["use"] != "constant" and warmup + curve.get("decay", 0) > 0.9:
        warmup = 0.05
    settings = schedule_of(**curve, warmup=warmup, start=start, restarts=restarts)
    points = 20_000
    shares = [share_of_peak(settings, i / points) for i in range(points + 1)]
    steepest = 1 / (0.05 * 0.05)  # a rise in the least share of the shortest cycle, and no fall is twice as steep
    assert max(abs(later - earlier) for earlier, later in pairwise(shares)) <= 2 * steepest / points


def test_no_step_is_wasted() -> None:
    """The rate of a step is that of its middle: above 0 in the first and in the last."""
    config = TrainConfig.model_validate({"data": "run", "steps": 4, "schedule": {"use": "linear", "warmup": 0.5}})
    rates = [
        learning_rate(config.schedule, config.optimizer, Steps(config.batch, 4, config.context), step)
        / config.optimizer.lr
        for step in range(4)
    ]
    assert rates == pytest.approx([0.25, 0.75, 0.75, 0.25])


def test_constant_without_warm_up_is_constant() -> None:
    config = TrainConfig.model_validate({"data": "run", "steps": 7, "schedule": {"use": "constant", "warmup": 0}})
    sizes = Steps(config.batch, 7, config.context)
    assert {learning_rate(config.schedule, config.optimizer, sizes, step) for step in range(7)} == {config.optimizer.lr}


def test_the_rate_follows_the_batch_as_the_rule_says() -> None:
    batch = BatchSettings.model_validate({"sequences": 16, "ramp": {"start": 4, "share": 0.5}})
    sizes = Steps(batch, 103, 512)
    for rule, factors in {"linear": [0.5, 1.0, 1.5, 2.0], "sqrt": [0.707107, 1.0, 1.224745, 1.414214]}.items():
        optimizer = {"use": "sgd", "lr": 3.0, "scale": {"rule": rule, "sequences": 8}}
        config = TrainConfig.model_validate(
            {"data": "run", "steps": 103, "optimizer": optimizer, "schedule": {"use": "constant", "warmup": 0}}
        )
        rates = [learning_rate(config.schedule, config.optimizer, sizes, step) for step in (0, 40, 60, 102)]
        assert rates == pytest.approx([3 * factor for factor in factors], rel=1e-6)
