"""Charts as SVG: lines or stacked areas over steps, with ticks, marks, and the numbers of a step where the pointer is.

Everything is placed in percent of the picture, which the browser stretches, so nothing is measured here and no script
is needed; a picture that stands alone asks for its own size. A line of any length is drawn with a few hundred points:
of every part of it the lowest and the highest, so that no spike is lost.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

PARTS = 400
"""Of a line, each of which gives its lowest and its highest point."""
TIPS = 120
"""Places under the pointer that show numbers, at most."""

COLOURS = (
    *("#2a78b8", "#d9822b", "#3a9a4b", "#b8436d", "#7a5fc0"),
    *("#8c6d46", "#19a3a3", "#a0a020", "#777777", "#e06a9a"),
)
"""Of lines by their numbers, to be told apart on white and on black."""
OTHERS = 8
"""The grey one."""

Points = Sequence[tuple[int, float | None]]
"""Values by step; None is a gap."""


@dataclass(frozen=True)
class Line:
    """One series."""

    name: str
    points: Points
    colour: int = 0
    style: str = ""
    """`faint` is drawn behind and not in the legend, `dashed` is what something is held against."""


@dataclass(frozen=True)
class Chart:
    """Lines that share their axes."""

    title: str
    lines: Sequence[Line]
    note: str = ""
    form: str = ".4g"
    """How numbers are written, as `format` has it."""
    logarithmic: bool = False
    marks: Mapping[int, str] = field(default_factory=dict)
    """Steps to be marked, and why."""
    stacked: bool = False
    """Areas on top of each other, the first at the bottom. All lines have the same steps; None is 0."""
    zero: bool = False
    """The axis begins at 0, whatever the values are."""
    exact: str = ".6g"
    """How numbers are written where the pointer is."""
    span: tuple[int, int] | None = None
    """The first and the last step of the axis; None takes those that have values."""

    def drawn(self, width: float = 100.0, height: float = 100.0) -> dict[str, Any]:
        """What a template needs, all positions from the upper left corner; no lines where no line has a value."""
        lines = [(line, [(step, self._shown(value)) for step, value in line.points]) for line in self.lines]
        values = [value for _, points in lines for _, value in points if value is not None]
        steps = [step for _, points in lines for step, value in points if value is not None]
        if not values:
            return {"title": self.title, "note": self.note, "lines": []}
        first, last = (min(steps), max(steps)) if self.span is None else self.span
        low, high = self._limits(values, [points for _, points in lines])

        def x(step: float) -> float:
            return width * (step - first) / (last - first) if last > first else width / 2

        def y(value: float) -> float:
            return height * (high - value) / (high - low)

        def placed(points: Sequence[tuple[int, float]]) -> str:
            return " ".join(f"{x(step):.2f},{y(value):.2f}" for step, value in points)

        shapes = _areas([points for _, points in lines]) if self.stacked else []
        return {
            "title": self.title,
            "note": self.note,
            "lines": [
                {
                    "name": line.name,
                    "colour": line.colour % len(COLOURS),
                    "style": "area" if self.stacked else line.style,
                    "parts": [placed(shapes[i])]
                    if self.stacked
                    else [placed(part) for part in _unbroken(_thinned(points))],
                    "dots": [
                        (x(step), y(value))
                        for part in _unbroken(() if self.stacked else points)
                        if len(part) == 1
                        for step, value in part
                    ],
                }
                for i, (line, points) in enumerate(lines)
            ],
            "across": [(y(value), self._written(value)) for value in _ticks(low, high)],
            "along": [(x(step), f"{step:,}") for step in dict.fromkeys((first, (first + last) // 2, last))],
            "marks": [(x(step), f"step {step}: {why}") for step, why in self.marks.items() if first <= step <= last],
            "tips": list(self._tips(x, width)),
            "logarithmic": self.logarithmic,
            "stacked": self.stacked,
        }

    def _limits(self, values: Sequence[float], lines: Sequence[Points]) -> tuple[float, float]:
        """The lowest and the highest value of the axis."""
        if self.stacked:
            return 0.0, max(sum(value or 0.0 for _, value in together) for together in zip(*lines, strict=True)) or 1.0
        if self.zero:
            return 0.0, 1.05 * max(values) or 1.0
        return _range(min(values), max(values))

    def _shown(self, value: float | None) -> float | None:
        """Where a value lies on the axis, None where it has no place there."""
        if value is None or not math.isfinite(value) or (self.logarithmic and value <= 0):
            return None
        return math.log10(value) if self.logarithmic else value

    def _written(self, place: float) -> str:
        return format(10**place if self.logarithmic else place, self.form)

    def _tips(self, x: Callable[[float], float], width: float) -> Iterator[tuple[float, float, str]]:
        """Left edge, width and text of places that tell the numbers of a step."""
        by_step: dict[int, list[str]] = {}
        clear = {line.name for line in self.lines if line.style != "faint"}
        for line in self.lines:
            for step, value in line.points:
                if value is not None and (line.style != "faint" or line.name not in clear):
                    by_step.setdefault(step, []).append(f"{line.name} {value:{self.exact}}")
        steps = sorted(by_step)
        shown = [steps[round(i * (len(steps) - 1) / max(TIPS - 1, 1))] for i in range(TIPS)]
        shown = list(dict.fromkeys(shown)) if len(steps) > TIPS else steps
        places = [x(step) for step in shown]
        edges = [0.0, *((a + b) / 2 for a, b in pairwise(places)), width]
        for step, (left, right) in zip(shown, pairwise(edges), strict=True):
            yield left, right - left, "\n".join([f"step {step}", *by_step[step]])


def _range(low: float, high: float) -> tuple[float, float]:
    """A little more than the values take."""
    apart = high - low > 1e-9 * abs(high)  # and not by rounding alone
    room = 0.05 * (high - low) if apart else 0.05 * abs(high) or 1.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers in a range, three to nine of them."""
    most = (high - low) / 3
    size = 10.0 ** math.floor(math.log10(most))
    step = next(size * factor for factor in (5, 2, 1) if size * factor <= most)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _thinned(points: Points) -> Points:
    """At most two points for each of PARTS parts, and the gaps."""
    if len(points) <= 2 * PARTS:
        return points
    kept: list[tuple[int, float | None]] = []
    for part in range(PARTS):
        inside = points[part * len(points) // PARTS : (part + 1) * len(points) // PARTS]
        there = [(value, i) for i, (_, value) in enumerate(inside) if value is not None]
        ends = {min(there)[1], max(there)[1]} if there else {0}
        gaps = {i for i, (_, value) in enumerate(inside) if value is None}
        kept += [inside[i] for i in sorted(ends | set(list(gaps)[:1]))]
    return kept


def _areas(lines: Sequence[Points]) -> list[list[tuple[int, float]]]:
    """The outlines of areas on top of each other: along the upper edge and back along the lower one."""
    places: Sequence[int] = range(len(lines[0]))
    if len(places) > 2 * PARTS:
        places = [round(i * (len(places) - 1) / (2 * PARTS - 1)) for i in range(2 * PARTS)]
    shapes, floor = [], [0.0 for _ in places]
    for points in lines:
        top = [below + (points[i][1] or 0.0) for below, i in zip(floor, places, strict=True)]
        steps = [points[i][0] for i in places]
        shapes.append([*zip(steps, top, strict=True), *zip(reversed(steps), reversed(floor), strict=True)])
        floor = top
    return shapes


def _unbroken(points: Points) -> Iterator[list[tuple[int, float]]]:
    """The pieces between gaps."""
    piece: list[tuple[int, float]] = []
    for step, value in points:
        if value is not None:
            piece.append((step, value))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def smoothed(points: Points, weights: Sequence[float], half_life: float) -> list[tuple[int, float | None]]:
    """The weighted mean of each value and those before it, which count half as much every `half_life` values."""
    decay = 0.5 ** (1 / half_life)
    total = weight = 0.0
    found: list[tuple[int, float | None]] = []
    for (step, value), size in zip(points, weights, strict=True):
        total, weight = total * decay, weight * decay
        if value is not None and math.isfinite(value):
            total, weight = total + value * size, weight + size
        found.append((step, total / weight if weight else None))
    return found
