"""What a run's journals say, as charts: losses, rates, speed, shares of sources, held-out losses and their change."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from training.config import TrainConfig
from training.report.chart import COLOURS, OTHERS, Chart, Line, Points, smoothed
from training.report.names import largest
from training.steps import Steps

if TYPE_CHECKING:
    from training.mixture import Stretch

Row = Mapping[str, Any]

SMOOTHING = 0.01
"""Half-life of smoothed lines as a share of the steps there are."""


def sources_of(metrics: Sequence[Row], evaluations: Sequence[Row]) -> list[str]:
    """The names of all sources, in the order of the alphabet: their places are their colours everywhere."""
    trained = {name for row in metrics for name in row.get("loss_by_source", {})}
    return sorted(trained | {name for row in evaluations for name in row.get("loss", {})})


def charts(run: Row, metrics: Sequence[Row], evaluations: Sequence[Row]) -> Iterator[Chart]:
    """All charts that there are numbers for."""
    sources = sources_of(metrics, evaluations)
    yield from _losses(metrics, sources)
    yield from _held_out(evaluations, sources)
    yield Chart("learning rate", [Line("learning rate", _column(metrics, "lr"))])
    yield Chart(
        "gradient norm",
        _both(metrics, _column(metrics, "grad_norm")),
        "before clipping; logarithmic; steps that the guard left out are marked",
        logarithmic=True,
        marks={row["step"]: f"left out: {row['skipped']}" for row in metrics if row.get("skipped")},
    )
    yield from _speed(metrics)
    yield from _shares(run, metrics, sources)


def _column(rows: Sequence[Row], name: str) -> Points:
    return [(row["step"], row.get(name)) for row in rows]


def _of(rows: Sequence[Row], name: str, source: str) -> Points:
    return [(row["step"], row.get(name, {}).get(source)) for row in rows]


def _half_life(rows: Sequence[Row]) -> float:
    return max(SMOOTHING * len(rows), 1.0)


def _both(rows: Sequence[Row], points: Points, weights: Sequence[float] | None = None) -> list[Line]:
    """A series raw, and smoothed in front of it."""
    weights = [1.0] * len(points) if weights is None else weights
    return [Line("raw", points, style="faint"), Line("smoothed", smoothed(points, weights, _half_life(rows)))]


def _losses(metrics: Sequence[Row], sources: Sequence[str]) -> Iterator[Chart]:
    """Of training, raw and smoothed, in all and by source."""
    half_life = _half_life(metrics)
    loss = _column(metrics, "loss")
    counts = [sum(row.get("targets_by_source", {}).values()) for row in metrics]
    yield Chart(
        "training loss",
        _both(metrics, loss, counts),
        f"nats a token; smoothed with a half-life of {half_life:.0f} steps",
    )
    raw, smooth = [], []
    for number, source in enumerate(sources):
        points = _of(metrics, "loss_by_source", source)
        weights = [row.get("targets_by_source", {}).get(source, 0) for row in metrics]
        raw.append(Line(source, points, number, "faint"))
        smooth.append(Line(source, smoothed(points, weights, half_life), number))
    yield Chart("training loss by source", [*raw, *smooth], "smoothed by tokens; raw behind")


def _held_out(evaluations: Sequence[Row], sources: Sequence[str]) -> Iterator[Chart]:
    """By source on the documents that are never trained on."""
    for title, name in (("held-out loss", "loss"), ("held-out bits per byte", "bits_per_byte")):
        yield Chart(title, [Line(s, _of(evaluations, name, s), i) for i, s in enumerate(sources)], "by source")
    first: Mapping[str, float] = next((row["loss"] for row in evaluations if row["step"] == 0), {})
    changes = [
        Line(
            source,
            [
                (row["step"], row["loss"][source] / first[source] - 1 if row["loss"].get(source) else None)
                for row in evaluations
            ],
            number,
        )
        for number, source in enumerate(sources)
        if first.get(source)
    ]
    note = "of the held-out loss of each source; above zero, it was forgotten"
    yield Chart("change since step 0", changes, note, form="+.1%")


def _speed(metrics: Sequence[Row]) -> Iterator[Chart]:
    """Tokens a second, their share of the peak, and what of a step was waited for data."""
    yield Chart("tokens per second", _both(metrics, _column(metrics, "tokens_per_second")), form=",.6g")
    shares = []
    for number, (name, title) in enumerate((("mfu", "MFU"), ("mfu_causal", "MFU, causal"))):
        if any(row.get(name) is not None for row in metrics):
            raw, smooth = _both(metrics, _column(metrics, name))
            shares += [replace(raw, name=title, colour=number), replace(smooth, name=title, colour=number)]
    if shares:
        yield Chart("model FLOP utilisation", shares, "of the peak that run.json states, by its formulas", form=".1%")
    sizes = [row["tokens"] - before for row, before in zip(metrics, [0, *_tokens(metrics)], strict=False)]
    waits: Points = [
        (row["step"], row["waited"] * row["tokens_per_second"] / size if size > 0 else None)
        for row, size in zip(metrics, sizes, strict=True)
    ]
    yield Chart("waiting for data", _both(metrics, waits), "share of each step's time", form=".1%")


def _tokens(metrics: Sequence[Row]) -> list[int]:
    return [row["tokens"] for row in metrics]


def _shares(run: Row, metrics: Sequence[Row], sources: Sequence[str]) -> Iterator[Chart]:
    """What was read of each source against what the mixture asks for, and how often each was gone through."""
    half_life = _half_life(metrics)
    counts = [sum(row.get("targets_by_source", {}).values()) for row in metrics]
    lines = []
    for number, source in enumerate(sources):
        points: Points = [
            (row["step"], row.get("targets_by_source", {}).get(source, 0) / count if count else None)
            for row, count in zip(metrics, counts, strict=True)
        ]
        lines.append(Line(source, smoothed(points, counts, half_life), number))
    try:
        config, steps, told, parts = _mixture(run)
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        note = f"smoothed; the mixture's own shares are not known: {str(error).splitlines()[0]}"
        yield Chart("share of tokens by source", lines, note, form=".1%")
    else:
        yield from _beside(config, steps, told, parts, lines)
        targets = _targets(steps, told, parts, metrics, sources)
        note = "smoothed; dashed is what the mixture asks for (of sequences, padding and all)"
        yield Chart("share of tokens by source", [*lines, *targets], note, form=".1%")
    if any(row.get("epoch_by_source") for row in metrics):
        passes = [Line(s, _of(metrics, "epoch_by_source", s), i) for i, s in enumerate(sources)]
        yield Chart("passes over the documents", passes, "of each source; 1.25 is a quarter into the second")


def _mixture(run: Row) -> tuple[TrainConfig, Steps, list[str], "Sequence[Stretch]"]:
    """The settings of a run, its steps, its sources, and their shares over it."""
    from training.mixture import stretches

    told = run.get("sources", {})
    config = TrainConfig.model_validate(run["config"])
    parts = stretches(config, list(told), [int(facts["tokens"]) for facts in told.values()])
    return config, Steps.of(config), list(told), parts


def _beside(
    config: TrainConfig, steps: Steps, told: Sequence[str], parts: "Sequence[Stretch]", seen: Sequence[Line]
) -> Iterator[Chart]:
    """The shares of the whole run as planned, and as far as it has come as they were."""
    from training.course import Course
    from training.mixture import Mixture

    course = Course.of(config, steps, told, Mixture(parts, steps))
    named, others = largest({name: read[-1] for name, read in course.read.items()}, len(COLOURS))
    colours = {line.name: line.colour for line in seen}
    span = (1, config.steps)

    def stacked(title: str, note: str, points: Mapping[str, Points], marks: Mapping[int, str]) -> Chart:
        areas = [Line(name, points[name], colours.get(name, OTHERS)) for name in named if name in points]
        if rest := [points[name] for name in others if name in points]:
            sums = [
                (together[0][0], sum(value or 0.0 for _, value in together)) for together in zip(*rest, strict=True)
            ]
            areas.append(Line(f"{len(rest)} others", sums, OTHERS))
        return Chart(title, areas, note, ".0%", marks=marks, stacked=True, span=span)

    planned = {name: list(zip(course.steps, shares, strict=True)) for name, shares in course.shares.items()}
    now = seen[0].points[-1][0] if seen and seen[0].points else span[1]
    here = {now: "the run has come to here"} if now < span[1] else {}
    yield stacked("shares of tokens, planned", "the whole run", planned, here)
    yield stacked("shares of tokens, seen", "smoothed", {line.name: line.points for line in seen}, {})


def _targets(
    steps: Steps,
    told: Sequence[str],
    parts: "Sequence[Stretch]",
    metrics: Sequence[Row],
    sources: Sequence[str],
) -> list[Line]:
    """The mixture's shares at every step."""
    ends = list(accumulate(part.length for part in parts))
    points: dict[str, list[tuple[int, float | None]]] = {name: [] for name in told}
    at = 0
    for row in metrics:
        progress = min(row["tokens"] / steps.tokens, 1.0) * ends[-1]
        while progress > ends[at] and at < len(parts) - 1:
            at += 1
        shares = parts[at].shares(min(max(1 - (ends[at] - progress) / parts[at].length, 0.0), 1.0))
        for name, share in zip(told, shares, strict=True):
            points[name].append((row["step"], share))
    return [Line(f"{s}, asked for", points[s], i, "dashed") for i, s in enumerate(sources) if s in points]
