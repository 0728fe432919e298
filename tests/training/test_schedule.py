"""The learning rate at the places that its definition names, and its shape between them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import ScheduleSettings
from training.schedule import learning_rate, share_of_peak


@pytest.mark.parametrize(("shape", "middle"), [("linear", 0.5), ("cosine", 0.5), ("sqrt", 1 - math.sqrt(0.5))], ids=str)
def test_values_at_the_joints(shape: str, middle: float) -> None:
    settings = ScheduleSettings.model_validate({"warmup": 0.1, "decay": 0.4, "shape": shape, "final": 0.2})
    at = {0.0: 0.0, 0.05: 0.5, 0.1: 1.0, 0.3: 1.0, 0.6: 1.0, 0.8: 0.2 + 0.8 * middle, 1.0: 0.2}
    for progress, share in at.items():
        assert share_of_peak(settings, progress) == pytest.approx(share)


def test_decay_all_the_way_begins_where_warm_up_ends() -> None:
    settings = ScheduleSettings(warmup=0.2, decay=1.0, shape="linear")
    assert share_of_peak(settings, 0.2) == 1.0
    assert share_of_peak(settings, 0.6) == pytest.approx(0.5)


def test_constant_without_warm_up_and_decay() -> None:
    settings = ScheduleSettings(warmup=0.0, decay=0.0)
    assert {learning_rate(settings, 3e-4, step, 7) for step in range(7)} == {3e-4}


@given(
    st.floats(0, 0.5),
    st.one_of(st.floats(0, 0.5), st.just(1.0)),
    st.sampled_from(["linear", "cosine", "sqrt"]),
    st.floats(0, 1),
    st.integers(1, 300),
)
def test_rises_then_never_rises_again_and_no_step_is_wasted(
    warmup: float, decay: float, shape: str, final: float, steps: int
) -> None:
    settings = ScheduleSettings.model_validate({"warmup": warmup, "decay": decay, "shape": shape, "final": final})
    rates = [learning_rate(settings, 1.0, step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert all(later <= earlier + 1e-12 for earlier, later in zip(rates[peak:], rates[peak + 1 :], strict=False))
