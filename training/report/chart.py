"""Charts as SVG: lines over steps with ticks, marks, and the numbers of a step where the pointer is.

Everything is placed in percent of the picture, which the browser stretches, so nothing is measured here and no script
is needed. A line of any length is drawn with a few hundred points: of every part of it the lowest and the highest, so
that no spike is lost.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

PARTS = 400
"""Of a line, each of which gives its lowest and its highest point."""
TIPS = 120
"""Places under the pointer that show numbers, at most."""

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

    def drawn(self) -> dict[str, Any]:
        """What the template needs, all positions in percent from the upper left corner; None of all without a value."""
        lines = [(line, [(step, self._shown(value)) for step, value in line.points]) for line in self.lines]
        values = [value for _, points in lines for _, value in points if value is not None]
        steps = [step for _, points in lines for step, value in points if value is not None]
        if not values:
            return {"title": self.title, "note": self.note, "lines": []}
        first, last = min(steps), max(steps)
        low, high = _range(min(values), max(values))

        def x(step: float) -> float:
            return 100 * (step - first) / (last - first) if last > first else 50.0

        def y(value: float) -> float:
            return 100 * (high - value) / (high - low)

        return {
            "title": self.title,
            "note": self.note,
            "lines": [
                {
                    "name": line.name,
                    "colour": line.colour % 10,
                    "style": line.style,
                    "parts": [
                        " ".join(f"{x(step):.2f},{y(value):.2f}" for step, value in part)
                        for part in _unbroken(_thinned(points))
                    ],
                    "dots": [
                        (x(step), y(value)) for part in _unbroken(points) if len(part) == 1 for step, value in part
                    ],
                }
                for line, points in lines
            ],
            "across": [(y(value), self._written(value)) for value in _ticks(low, high)],
            "along": [(x(step), f"{step:,}") for step in dict.fromkeys((first, (first + last) // 2, last))],
            "marks": [(x(step), f"step {step}: {why}") for step, why in self.marks.items() if first <= step <= last],
            "tips": list(self._tips(x)),
            "logarithmic": self.logarithmic,
        }

    def _shown(self, value: float | None) -> float | None:
        """Where a value lies on the axis, None where it has no place there."""
        if value is None or not math.isfinite(value) or (self.logarithmic and value <= 0):
            return None
        return math.log10(value) if self.logarithmic else value

    def _written(self, place: float) -> str:
        return format(10**place if self.logarithmic else place, self.form)

    def _tips(self, x: Any) -> Iterator[tuple[float, float, str]]:
        """Left edge, width and text of places that tell the numbers of a step."""
        by_step: dict[int, list[str]] = {}
        clear = {line.name for line in self.lines if line.style != "faint"}
        for line in self.lines:
            for step, value in line.points:
                if value is not None and (line.style != "faint" or line.name not in clear):
                    by_step.setdefault(step, []).append(f"{line.name} {value:.6g}")
        steps = sorted(by_step)
        shown = [steps[round(i * (len(steps) - 1) / max(TIPS - 1, 1))] for i in range(TIPS)]
        shown = list(dict.fromkeys(shown)) if len(steps) > TIPS else steps
        places = [x(step) for step in shown]
        edges = [0.0, *((a + b) / 2 for a, b in pairwise(places)), 100.0]
        for step, (left, right) in zip(shown, pairwise(edges), strict=True):
            yield left, right - left, "\n".join([f"step {step}", *by_step[step]])


def _range(low: float, high: float) -> tuple[float, float]:
    """A little more than the values take."""
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
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
