"""Weights of any shape against the same YAML read by other code: shares, their integrals, and what is refused."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from training.config import Phase, TrainConfig
from training.mixture import Mixture, Stretch, caps, fresh_equivalent, infeasible, kernels, stretches
from training.mixture.pieces import integrated
from training.steps import Steps, problems

SOURCES = ("a", "b", "c", "d", "e", "f")


def run(phases: list[Any], steps: int = 10, **changes: Any) -> TrainConfig:
    """A run of `steps` steps of one sequence of 8 tokens."""
    given = {"data": "run", "steps": steps, "context": 8, "batch": {"sequences": 1}, "phases": phases}
    return TrainConfig.model_validate({**given, **changes})


# Any phases: the truth is the same YAML read by other code, and integrated by Gauss's rule on many small intervals.

AMOUNT = st.integers(0, 9)
POINTS = st.lists(st.tuples(st.integers(0, 20), AMOUNT), min_size=1, max_size=4, unique_by=lambda point: point[0])
MOVING = st.one_of(
    AMOUNT,
    st.tuples(AMOUNT, AMOUNT).map(list),
    st.fixed_dictionaries({"from": AMOUNT, "to": AMOUNT, "shape": st.sampled_from(["linear", "cosine"])}),
    st.builds(
        lambda points, shape: {"points": [[at / 20, w] for at, w in sorted(points)], "shape": shape},
        POINTS,
        st.sampled_from(["linear", "cosine", "step"]),
    ),
)


@st.composite
def trees(draw: st.DrawFn, names: tuple[str, ...], depth: int = 0) -> dict[str, Any]:
    """Weights for all of `names`, some of them in groups."""
    weights: dict[str, Any] = {}
    left = list(names)
    while left:
        size = draw(st.integers(1, len(left))) if depth < 2 else 1
        some, left = tuple(left[:size]), left[size:]
        if size == 1:
            weights[some[0]] = draw(MOVING)
        elif draw(st.booleans()):
            temperature = draw(st.sampled_from([0.5, 1.0, 1 / 0.7, 1 / 0.3]))
            weights[f"group {some}"] = {"weight": draw(MOVING), "of": list(some), "temperature": temperature}
        else:
            weights[f"group {some}"] = {"weight": draw(MOVING), "of": draw(trees(some, depth + 1))}
    return weights


@st.composite
def curricula(draw: st.DrawFn) -> tuple[TrainConfig, list[Any], dict[str, int]]:
    names = SOURCES[: draw(st.integers(1, 6))]
    sizes = {name: draw(st.integers(1, 10**6)) for name in names}
    phases = []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.sampled_from([{"share": 1}, {"share": 2.5}, {"tokens": 160}, {}]))
        weights = draw(st.one_of(st.just("auto"), trees(names)))
        phases.append({**length, "weights": weights})
    phases.append({"share": 0.7, "weights": draw(trees(names))})
    try:
        return run(phases, draw(st.integers(70, 300))), phases, sizes
    except ValidationError as error:
        assert "above 0" in str(error)  # all weights 0 at a moment is refused
        reject()


def weight_at(weight: Any, x: float, side: float) -> float:
    """A weight at x, or just beside it."""
    if isinstance(weight, dict) and "of" in weight:
        weight = weight["weight"]
    if isinstance(weight, int):
        return weight
    if isinstance(weight, list):
        weight = {"from": weight[0], "to": weight[1]}
    points = weight.get("points", [[0, weight.get("from")], [1, weight.get("to")]])
    shape = weight.get("shape", "linear")
    if side < points[0][0]:
        return float(points[0][1])
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= side < x1:
            u = (x - x0) / (x1 - x0)
            way = {"linear": u, "cosine": (1 - math.cos(math.pi * u)) / 2, "step": 0.0}[shape]
            return float(y0 + (y1 - y0) * way)
    return float(points[-1][1])


def shares_at(weights: Any, sizes: dict[str, int], x: float, side: float) -> dict[str, float]:
    if weights == "auto":
        return {name: size / sum(sizes.values()) for name, size in sizes.items()}
    total = sum(weight_at(weight, x, side) for weight in weights.values())
    found: dict[str, float] = {}
    for name, weight in weights.items():
        share = weight_at(weight, x, side) / total
        if not isinstance(weight, dict) or "of" not in weight:
            found[name] = share
        elif isinstance(weight["of"], list):
            powers = {n: sizes[n] ** (1 / weight["temperature"]) for n in weight["of"]}
            found |= {n: share * power / sum(powers.values()) for n, power in powers.items()}
        else:
            found |= {n: share * inner for n, inner in shares_at(weight["of"], sizes, x, side).items()}
    return found


def expected(config: TrainConfig, phases: list[Any], sizes: dict[str, int], slot: float) -> np.ndarray[Any, Any]:
    """Sequences that each source should have had before `slot`."""
    nodes, gauss = np.polynomial.legendre.leggauss(12)
    budgets = [phase.get("tokens", 0) / 8 for phase in phases]
    parts = [0 if "tokens" in phase else phase.get("share", 1) for phase in phases]
    begin, total = 0.0, np.zeros(len(sizes))
    for phase, budget, part in zip(phases, budgets, parts, strict=True):
        size = budget or (config.steps - sum(budgets)) * part / sum(parts)
        reach = min(max((slot - begin) / size, 0.0), 1.0)
        marks = [mark for mark in np.arange(0, 1.0001, 0.0125) if mark < reach] + [reach]
        for lo, hi in pairwise(marks):
            for node, weight in zip(nodes, gauss, strict=True):
                x = (lo + hi) / 2 + node * (hi - lo) / 2
                shares = shares_at(phase["weights"], sizes, x, (lo + hi) / 2)
                total += size * (hi - lo) / 2 * weight * np.array([shares[name] for name in sizes])
        begin += size
    return total


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_token_shares_stay_within_two_sequences_of_their_integral_at_every_prefix(data: st.DataObject) -> None:
    config, phases, sizes = data.draw(curricula())
    mixture = Mixture.of(config, Steps.of(config), tuple(sizes), tuple(sizes.values()))
    (schedule,) = mixture.stages
    chosen = schedule.sources(0, config.steps)
    counts = np.concatenate([np.zeros((1, len(sizes))), np.cumsum(np.eye(len(sizes))[chosen], axis=0)])
    wanted = np.array([mixture.due(step) / 8 for step in range(config.steps + 1)])
    assert np.abs(counts - wanted).max() <= 1 + 1e-6  # two are promised; the method keeps less than one
    for slot in {*data.draw(st.lists(st.integers(0, config.steps), min_size=2, max_size=3)), config.steps}:
        assert np.abs(wanted[slot] - expected(config, phases, sizes, slot)).max() < 1e-6
        assert np.abs(schedule.integral(slot) - wanted[slot]).max() < 1e-6
        assert schedule.counts(slot).tolist() == counts[slot].tolist()
    assert np.abs(mixture.tokens / 8 - wanted[-1]).max() < 1e-6
    assert np.abs(mixture.sequences - counts[-1:]).max() <= 1


@pytest.mark.parametrize("slots", [10**4, 10**11])
def test_integrals_of_curves_are_those_of_their_closed_forms(slots: int) -> None:
    def shares(at: float) -> tuple[float, ...]:  # a cosine, and weights 1 and 1 + 9 x whose sum changes
        rest = 0.5 - 0.4 * (0.5 - 0.5 * math.cos(math.pi * at))
        return 1 - rest, rest / (2 + 9 * at), rest * (1 + 9 * at) / (2 + 9 * at)

    def ratio(at: float) -> tuple[float, ...]:
        return 1 / (2 + 9 * at), (1 + 9 * at) / (2 + 9 * at)

    cosine, rational = integrated([Stretch(1, shares)], slots), integrated([Stretch(1, ratio)], slots)
    for x in (0.0, 0.1, 1 / 3, 0.5, 0.77, 1.0):
        for pieces, truth in (
            (cosine, slots * (0.5 * x + 0.4 * (x / 2 - math.sin(math.pi * x) / (2 * math.pi)))),
            (rational, slots * math.log((2 + 9 * x) / 2) / 9),
        ):
            allowed = max(1e-12 * slots, 1e-8)
            assert abs(pieces.integral(x * slots)[0] - truth) < allowed
            piece = kernels.piece_at(x * slots, pieces.bounds)
            assert abs(kernels.integral(x * slots, piece, 0, *pieces[:3]) - truth) < allowed
            if 0 < truth < pieces.totals[-1, 0]:
                assert abs(kernels.reached(truth, 0, 0, *pieces)[1] - x * slots) < max(1e-10 * slots, 1e-6)
            later = pieces.since(0.3 * slots, 4)  # another start and unit
            there = pieces.integral(x * slots) - pieces.integral(0.3 * slots)
            if x >= 0.3:
                assert np.abs(later.integral((x - 0.3) * slots / 4) * 4 - there).max() < allowed


def test_weights_that_almost_vanish_are_integrated_all_the_same() -> None:
    def shares(at: float) -> tuple[float, ...]:
        return 1e-9 / (1e-9 + at), at / (1e-9 + at)

    pieces = integrated([Stretch(1, shares)], 10**6)
    assert abs(pieces.totals[-1, 0] - 10**6 * 1e-9 * math.log((1 + 1e-9) / 1e-9)) < 1e-6
    assert 20 < len(pieces.bounds) < 200


def test_weights_are_normalised_at_every_moment() -> None:
    config = run([{"weights": {"a": (3, 0), "b": 1}}, {"share": 2.0}])
    first, second = stretches(config, ("a", "b", "c"), (10, 30, 60))
    assert first.length * 2 == pytest.approx(second.length)
    assert first.first == (0.75, 0.25, 0.0) and first.last == (0.0, 1.0, 0.0)
    assert first.shares(0.5) == pytest.approx((0.6, 0.4, 0.0))  # 1.5 and 1
    assert second.first == second.last == pytest.approx((0.1, 0.3, 0.6))
    with pytest.raises(ValueError, match="no source with a weight above 0"):
        stretches(run([{"weights": {"elsewhere": 1}}]), ("a",), (10,))


def test_temperature_lifts_small_sources() -> None:
    sizes = {"de": 10**6, "fr": 10**5, "is": 10**2}
    for temperature in (1.0, 1 / 0.3, 1e9):
        powers = {name: size ** (1 / temperature) for name, size in sizes.items()}
        group = {"g": {"weight": 1, "of": list(sizes), "temperature": temperature}}
        for phase in ({"weights": group}, {"temperature": temperature}):
            (part,) = stretches(run([phase]), tuple(sizes), tuple(sizes.values()))
            assert part.first == pytest.approx(tuple(power / sum(powers.values()) for power in powers.values()))


def test_a_step_is_a_jump_and_a_bend_is_none() -> None:
    weights = {"a": 1, "b": {"points": [[0.25, 1], [0.5, 3]], "shape": "step"}, "c": {"points": [[0.1, 1], [0.9, 2]]}}
    config = run([{"weights": weights}, {"weights": {"a": 1}}], 200)
    mixture = Mixture.of(config, Steps.of(config), ("a", "b", "c"), (1, 1, 1))
    assert mixture.jumps == pytest.approx((0.25, 0.5))


def test_budgets_of_tokens() -> None:
    def ends(phases: list[Any]) -> list[float]:
        parts = stretches(run(phases, 1000), ("a",), (1,))
        return np.cumsum([part.length for part in parts]).tolist()

    weights = {"weights": {"a": 1}}
    assert ends([{"tokens": 2000, **weights}, weights]) == pytest.approx([0.25, 1])
    assert ends([{"share": 2, **weights}, {"tokens": 2e3, **weights}, weights]) == pytest.approx([0.5, 0.75, 1])
    assert ends([{"tokens": 6000, **weights}, {"tokens": 2001, **weights}]) == pytest.approx([0.75, 1], abs=1e-3)
    for phases, said in (
        ([{"tokens": 8000}, {}], "budgets of 8,000 tokens leave nothing of the run's 8,000 for the other phases"),
        ([{"tokens": 3000}, {"tokens": 1000}], "have 4,000 tokens and the run 8,000: take about 500 steps, not 1,000"),
        ([{"tokens": 16000}], "take about 2,000 steps"),
    ):
        (problem,) = problems(run(phases, 1000))
        assert problem.place == ("phases", 0, "tokens") and said in problem.message
        with pytest.raises(ValueError, match="tokens"):
            stretches(run(phases, 1000), ("a",), (1,))
    with pytest.raises(ValidationError, match="a share or a budget of tokens, not both"):
        Phase(share=1, tokens=3)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"a": 0}, "at 0% of the phase, some source needs a weight above 0"),
        ({"a": [1, 0], "b": {"points": [[0, 1], [0.5, 0]]}}, "at 100% of the phase"),
        ({"a": {"points": [[0.2, 1], [0.4, 0], [1, 1]]}}, "at 40% of the phase"),
        ({"a": 1, "g": {"weight": 1, "of": {"b": [0, 1]}}}, "of: at 0% of the phase"),
        ({"a": 1, "g": {"weight": 1, "of": ["a", "b"]}}, "'a' has a weight twice"),
        ({"g": {"weight": 1, "of": ["b", "b"]}}, "named twice"),
        ({"g": {"weight": 1, "of": {"b": 1}, "temperature": 2}}, "temperature: is for a list"),
        ({"a": {"from": 1}}, "either 'from' and 'to', or 'points'"),
        ({"a": {"points": [[0.5, 1], [0.2, 1]]}}, "progress must rise, found 0.5, 0.2"),
        ({"a": {"from": 1, "to": 2, "shape": "kosine"}}, "cosine"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Phase(weights=weights)


def test_names_and_sizes_are_judged_at_any_depth() -> None:
    phases = [
        {
            "weights": {
                "web": {"weight": 1, "of": {"new": 1, "forms": 2, "more": {"weight": 1, "of": ["wiki", "empty"]}}}
            }
        },
        {"weights": {"new": 1, "unused": 0, "g": {"weight": 0, "of": ["empty2"]}}},
    ]
    sizes = {"news": 5, "forums": 6, "wiki": 7, "empty": 0, "empty2": 0, "unused": 0, "new": 3}
    problems = {p.place: p.message for p in infeasible(run(phases, sources={"wikis": {"max_epochs": 2}}), sizes)}
    assert problems.keys() == {
        ("phases", 0, "weights", "web", "of", "forms"),
        ("phases", 0, "weights", "web", "of", "more", "of", 1),
        ("sources", "wikis"),
    }
    assert "did you mean 'forums'?" in problems["phases", 0, "weights", "web", "of", "forms"]
    assert "did you mean 'wiki'?" in problems["sources", "wikis"]


def test_the_cap_nearest_to_a_source_counts() -> None:
    group = {
        "weight": 1,
        "max_epochs": 3,
        "of": {"a": 1, "g": {"weight": 1, "max_epochs": 2, "of": ["b", "c"]}, "d": 1},
    }
    phases = [{"weights": {"g": group, "e": 1}}, {"weights": {"h": {"weight": 1, "max_epochs": 1, "of": ["a"]}}}]
    found = {name: cap for name, (cap, _) in caps(run(phases, sources={"c": {"max_epochs": 7}})).items()}
    assert found == {"a": 1, "b": 2, "c": 7, "d": 3}


def test_repeated_text_is_worth_what_muennighoff_et_al_found() -> None:
    """Equation 5 with R* of appendix A, against the geometric series that it stands for (equations 10 to 13)."""
    star = 15.387756
    assert fresh_equivalent(100, 0.5) == 50 and fresh_equivalent(100, 1) == 100
    assert fresh_equivalent(1, 1 + star) == pytest.approx(1 + star * (1 - 1 / math.e))  # section 3.1
    assert fresh_equivalent(1, 1e6) == pytest.approx(16.387756)  # never more than U + U R*
    kept = star / (1 + star)  # (1 - delta) / delta = R*
    assert 1 - kept == pytest.approx(6e-2, abs=2e-3)  # appendix A
    for passes in (2, 4, 8, 16, 44):
        series = sum(kept**k for k in range(passes))
        assert fresh_equivalent(1e9, passes) == pytest.approx(1e9 * series, rel=0.03)
    assert fresh_equivalent(1, 4) / 4 > 0.92  # four passes are almost as good as fresh text
