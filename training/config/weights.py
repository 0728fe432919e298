"""Settings of weights: how much of the text each source gives, constant or moving over a phase, in groups of any depth.

Weights of one mapping are normalised among each other at every moment, so only their ratios count.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Discriminator, Field, PlainSerializer, Tag, model_validator

from pipeline.configfile import Place
from training.config.base import Settings, Share

Amount = Annotated[float, Field(ge=0)]


class Curve(Settings):
    """A weight that moves: `{from: 0.1, to: 0.5, shape: cosine}`, or through points of (progress in the phase, weight).

    Before the first point it is that of the first, behind the last one that of the last.
    """

    points: Annotated[tuple[tuple[Share, Amount], ...], Field(min_length=1)]
    """`[[0, 0.1], [0.3, 0.5], [1, 0.2]]`; progress rises."""
    shape: Literal["linear", "cosine", "step"] = "linear"
    """From point to point: a straight line, half a cosine, or no change until the next point."""

    @model_validator(mode="before")
    @classmethod
    def _from_to(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not given.keys() & {"from", "to"}:
            return given
        if not {"from", "to"} <= given.keys() or "points" in given:
            raise ValueError("a weight that moves has either 'from' and 'to', or 'points'")
        others = {key: value for key, value in given.items() if key not in ("from", "to")}
        return {**others, "points": [[0, given["from"]], [1, given["to"]]]}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(later <= earlier for (earlier, _), (later, _) in pairwise(self.points)):
            raise ValueError(f"points: progress must rise, found {', '.join(f'{at:g}' for at, _ in self.points)}")
        return self


Pair = tuple[Amount, Amount]


class Group(Settings):
    """Sources that share one weight: `{weight: 0.6, of: {news: 2, forums: [1, 3]}}`; by their sizes `of: [de, fr]`."""

    weight: Annotated[
        Annotated[Amount, Tag("constant")] | Annotated[Pair, Tag("pair")] | Annotated[Curve, Tag("moving")],
        Discriminator(lambda given: _kind(given)),
    ]
    """Of the group as a whole, among its neighbours."""
    of: Annotated[
        Annotated["Weights", Tag("by weight")] | Annotated[tuple[str, ...], Field(min_length=1), Tag("by size")],
        Discriminator(lambda given: "by size" if isinstance(given, list | tuple) else "by weight"),
    ]
    """Weights within the group, which may be groups again; or names of sources that share as their sizes."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of a list: shares are as tokens^(1 / temperature). 1 is as the sizes; above, small sources get more (multilingual
    BERT, Devlin et al. 2019: 1/0.7; mT5, Xue et al. 2021: 1/0.3), without end all the same."""
    max_epochs: Annotated[float, Field(gt=0)] | None = None
    """Most passes over each source in the group; a cap further in goes first, and one under `sources` before all."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if isinstance(self.of, tuple):
            if len(set(self.of)) < len(self.of):
                raise ValueError(f"of: a source is named twice in {', '.join(self.of)}")
        elif self.temperature != 1.0:
            raise ValueError("temperature: is for a list of sources, which share by their sizes")
        else:
            problem = gap(self.of)
            if problem is not None:
                raise ValueError(f"of: {problem}")
        return self


Weight = Annotated[
    Annotated[Amount, Tag("constant")]
    | Annotated[Pair, Tag("pair")]
    | Annotated[Curve, Tag("moving")]
    | Annotated[Group, Tag("group")],
    Discriminator(lambda given: _kind(given)),
]
"""A constant; `[start, end]`, linear over the phase; a curve; a group."""

Weights = Annotated[Mapping[str, Weight], PlainSerializer(dict)]


def _kind(given: Any) -> str:
    """Which of the four a value is meant to be."""
    if isinstance(given, Curve | Group):
        return "group" if isinstance(given, Group) else "moving"
    if isinstance(given, Mapping):
        return "group" if given.keys() & {"of", "weight"} else "moving"
    return "pair" if isinstance(given, list | tuple) else "constant"


def knots(weight: Weight) -> tuple[float, ...]:
    """Progress at which a weight changes its course, the ends of the phase among them."""
    if isinstance(weight, Group):
        inner = () if isinstance(weight.of, tuple) else [at for part in weight.of.values() for at in knots(part)]
        return tuple(sorted({*knots(weight.weight), *inner}))
    return tuple(sorted({0.0, 1.0, *(at for at, _ in weight.points)})) if isinstance(weight, Curve) else (0.0, 1.0)


def value(weight: Weight, at: float, middle: float) -> float:
    """A weight at a moment of the stretch between two knots that has `middle` in it: at a knot, the side matters."""
    if isinstance(weight, Group):
        return value(weight.weight, at, middle)
    if isinstance(weight, tuple):
        return weight[0] + (weight[1] - weight[0]) * at
    if not isinstance(weight, Curve):
        return weight
    after = bisect_right(weight.points, middle, key=lambda point: point[0])
    (begin, first), (end, last) = weight.points[max(after - 1, 0)], weight.points[min(after, len(weight.points) - 1)]
    if weight.shape == "step" or first == last or begin == end:
        return first
    way = min(max((at - begin) / (end - begin), 0.0), 1.0)
    return first + (last - first) * (way if weight.shape == "linear" else 0.5 - 0.5 * math.cos(math.pi * way))


def gap(weights: Mapping[str, Weight]) -> str | None:
    """Say where in the phase all weights of a mapping are 0 at once, if they ever are."""
    marks = sorted({0.0, 1.0, *(at for weight in weights.values() for at in knots(weight))})
    for begin, end in pairwise(marks):
        for at in (begin, end):
            if sum(value(weight, at, (begin + end) / 2) for weight in weights.values()) <= 0:
                return f"at {at:.0%} of the phase, some source needs a weight above 0"
    return None


def leaves(
    weights: Mapping[str, Weight], place: Place = (), cap: float | None = None, read: bool = True
) -> Iterator["Leaf"]:
    """Every source that weights name, at any depth."""
    for name, weight in weights.items():
        here, ever = (*place, name), read and _ever(weight)
        if not isinstance(weight, Group):
            yield Leaf(here, name, ever, cap)
            continue
        inner = cap if weight.max_epochs is None else weight.max_epochs
        if isinstance(weight.of, tuple):
            yield from (Leaf((*here, "of", i), source, ever, inner) for i, source in enumerate(weight.of))
        else:
            yield from leaves(weight.of, (*here, "of"), inner, ever)


def _ever(weight: Weight) -> bool:
    """Whether a weight is above 0 at any moment."""
    stretches = pairwise(knots(weight))
    return any(value(weight, at, (begin + end) / 2) > 0 for begin, end in stretches for at in (begin, end))


class Leaf(NamedTuple):
    """A source that weights name."""

    place: Place
    name: str
    read: bool
    """Whether it and the groups around it ever have a weight above 0."""
    max_epochs: float | None
    """Of the groups around it."""


Group.model_rebuild(force=True)  # its own name is resolved, so that errors know which keys are allowed further in
