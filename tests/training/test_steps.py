"""Steps: how many sequences of how many tokens each has."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from training.config import BatchSettings, TrainConfig
from training.steps import Steps, problems

BATCHES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.floats(0.01, 0.99)).map(
    lambda t: BatchSettings.model_validate(
        {
            "sequences": (t[0] + t[1] * t[2]) * 2,
            "micro": 2,
            "ramp": {"start": t[0] * 2, "by": t[1] * 2, "share": t[3]},
        }
    )
)


@given(st.one_of(BATCHES, st.builds(BatchSettings, sequences=st.integers(1, 50))), st.integers(1, 300))
def test_steps_partition_the_run(batch: BatchSettings, count: int) -> None:
    steps = Steps(batch, count, 10)
    each = [steps.rows(step) for step in range(count)]
    assert [steps.slot(step) for step in range(count)] == [sum(each[:step]) for step in range(count)]
    assert [steps.tokens_before(step) for step in range(count + 1)] == [10 * sum(each[:n]) for n in range(count + 1)]
    assert steps.slots(0) == sum(each) == steps.tokens / 10
    rows = [(step, row) for step, size in enumerate(each) for row in range(size)]
    assert [steps.place(0, slot) for slot in range(steps.slots(0))] == rows
    assert each == sorted(each) and all(size % batch.at_once == 0 for size in each)
    middles = [steps.progress(step + 0.5) for step in range(count)]
    assert middles == pytest.approx([(sum(each[:i]) + each[i] / 2) / sum(each) for i in range(count)])


@given(BATCHES, st.integers(200, 2000))
def test_the_ramp_is_a_straight_line_over_sequences(batch: BatchSettings, count: int) -> None:
    assert batch.ramp is not None
    steps = Steps(batch, count, 10)
    each = Counter(steps.rows(step) for step in range(count))
    smaller = range(batch.ramp.start, batch.sequences, batch.ramp.increment)
    for size in smaller:  # no size has more than a step too much or too little
        expected = batch.ramp.share * steps.slots(0) / len(smaller)
        assert abs(each[size] * size - expected) <= size + 0.02 * expected
    assert set(each) <= {*smaller, batch.sequences}


def test_a_ramp_by_hand() -> None:
    """Half of 960 sequences in batches of 4, 8 and 12, 160 each, which makes 40 + 20 + 13.3 steps; the others in 30."""
    steps = Steps(BatchSettings.model_validate({"sequences": 16, "ramp": {"start": 4, "share": 0.5}}), 103, 10)
    assert Counter(steps.rows(step) for step in range(103)) == {4: 40, 8: 20, 12: 13, 16: 30}
    assert (steps.tokens, steps.slot(60), steps.place(0, 320)) == (9560, 320, (60, 0))


def config_of(*phases: dict[str, Any], steps: int = 100, context: int = 64, **batch: Any) -> TrainConfig:
    settings = {"data": "run", "steps": steps, "context": context, "batch": batch or {"sequences": 16}}
    return TrainConfig.model_validate({**settings, "phases": phases})


def test_longer_sequences_are_fewer_in_a_step_that_keeps_its_tokens() -> None:
    """16 x 64 tokens a step: 8 sequences of 128, 2 of 512. Phases of one length are one stage."""
    steps = Steps.of(
        config_of({"share": 0.5}, {"share": 0.2, "context": 128}, {"share": 0.1}, {"share": 0.2, "context": 512})
    )
    assert [stage[:] for stage in steps.stages] == [(0, 0, 50, 64, 0), (1, 50, 80, 128, 1), (2, 80, 100, 512, 3)]
    assert [steps.rows(step) for step in (0, 49, 50, 79, 80, 99)] == [16, 16, 8, 8, 2, 2]
    assert [steps.slots(stage) for stage in range(3)] == [800, 240, 40]
    assert [steps.slot(step) for step in (49, 50, 51, 80, 99)] == [784, 0, 8, 0, 38]
    assert [steps.progress(step) for step in (0, 25, 50, 75, 100)] == [0, 0.25, 0.5, 0.75, 1]
    assert steps.tokens == 100 * 16 * 64


def test_a_stage_begins_with_the_step_that_is_nearest() -> None:
    for share, begin in ((0.104, 10), (0.106, 11), (0.0001, 1), (0.9999, 99)):
        steps = Steps.of(config_of({"share": share}, {"share": 1 - share, "context": 128}))
        assert [stage.begin for stage in steps.stages] == [0, begin]


@given(
    BATCHES,
    st.integers(8, 60),
    st.lists(st.tuples(st.floats(0.05, 1), st.sampled_from([8, 16, 32])), min_size=1, max_size=6),
)
def test_stages_partition_the_run(batch: BatchSettings, count: int, phases: list[tuple[float, int]]) -> None:
    steps = Steps(batch, count, 32, tuple(phases))
    assert [step for stage in steps.stages for step in range(stage.begin, stage.end)] == list(range(count))
    for stage in steps.stages:
        rows = [(n, row) for n in range(stage.begin, stage.end) for row in range(steps.rows(n))]
        assert [steps.place(stage.number, slot) for slot in range(steps.slots(stage.number))] == rows
        for n in range(stage.begin, stage.end):
            assert steps.stage(n) == stage and steps.rows(n) * stage.context == steps.size(n) * 32
            assert steps.rows(n) % steps.at_once(n) == 0
            assert steps.tokens_before(n + 1) - steps.tokens_before(n) == steps.size(n) * 32
    assert steps.tokens == steps.tokens_before(count)


def test_rows_in_one_pass_keep_their_tokens_where_they_can() -> None:
    steps = Steps.of(config_of({}, {"context": 128}, {"context": 1024}, sequences=16, micro=4))
    assert [steps.at_once(stage.begin) for stage in steps.stages] == [4, 2, 1]


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([{}, {"context": 96}], "a step of 16 x 64 tokens has no whole number of sequences of 96 (steps 51 to 100)"),
        ([{}, {"context": 2048}], "a step of 16 x 64 tokens has no whole number of sequences of 2048"),
    ],
    ids=str,
)
def test_lengths_that_do_not_go_into_a_step(phases: list[dict[str, Any]], message: str) -> None:
    (problem,) = problems(config_of(*phases))
    assert problem.place == ("phases", 1, "context") and message in problem.message


def test_every_length_needs_a_step() -> None:
    (problem,) = problems(config_of({}, {"context": 128}, {"context": 256}, steps=2))
    assert problem.message == "3 lengths of sequences need a step each, and the run has 2"


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"sequences": 32, "ramp": {"start": 32}}, "from 32 sequences, in steps of 32, the batch never becomes 32"),
        ({"sequences": 32, "ramp": {"start": 6}}, "from 6 sequences, in steps of 6, the batch never becomes 32"),
        ({"sequences": 32, "micro": 5}, r"batch.sequences \(32\) must be a multiple of batch.micro \(5\)"),
        ({"sequences": 32, "micro": 8, "ramp": {"start": 4}}, r"batch.ramp.start \(4\) must be a multiple"),
        ({"sequences": 32, "micro": 8, "ramp": {"start": 8, "by": 4}}, r"batch.ramp.by \(4\) must be a multiple"),
    ],
    ids=str,
)
def test_batches_that_cannot_be(batch: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BatchSettings.model_validate(batch)


def test_sequences_in_one_pass_divide_every_batch() -> None:
    assert BatchSettings(sequences=32).at_once == 32
    assert BatchSettings(sequences=32, micro=4).at_once == 4
    assert BatchSettings.model_validate({"sequences": 32, "ramp": {"start": 8, "by": 12}}).at_once == 4
