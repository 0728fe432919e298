"""Weights resolved to shares: the phases cut where a weight changes its course, each source's share as a function.

A share is the product of the normalised weights on the way from the phase over its groups to the source, at every
moment. So it is not the shares that go in a straight line where weights do, unless their sum stays as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from training.config import Group, TrainConfig
from training.config.weights import Weight, knots, value
from training.steps import lengths

Shares = tuple[float, ...]


@dataclass(frozen=True)
class Stretch:
    """A part of the run in which shares change smoothly."""

    length: float
    """Relative to the other parts."""
    shares: Callable[[float], Shares]
    """Share of each source at 0 (the start) to 1 (the end) of the part; sums are 1."""

    @property
    def first(self) -> Shares:
        """Shares at the start."""
        return self.shares(0.0)

    @property
    def last(self) -> Shares:
        """Shares at the end."""
        return self.shares(1.0)


def stretches(config: TrainConfig, sources: Sequence[str], sizes: Sequence[int]) -> tuple[Stretch, ...]:
    """The run cut into parts. `sizes` are the sources' tokens; names that are no source are left out.

    What is replayed has its share at every moment; weights divide what that leaves. Raises ValueError where a phase has
    nothing to read, or where its length cannot be.
    """
    of_size = dict(zip(sources, map(float, sizes), strict=True))
    replay, outer = {}, 1.0
    if config.replay is not None:
        outer = 1.0 - config.replay.share
        replay = {name: config.replay.share * part for name, part in _by_size(config.replay.sources, of_size).items()}
    found = []
    for phase, length in zip(config.phases, lengths(config), strict=True):
        if phase.weights == "auto":
            made = {name for name, source in config.sources.items() if source.of is not None}
            names = tuple(name for name in sources if name not in replay and name not in made)
            weights: Mapping[str, Weight] = {"": Group(weight=1.0, of=names or ("",), temperature=phase.temperature)}
        else:
            weights = {name: weight for name, weight in phase.weights.items() if name not in replay}
        marks = sorted({0.0, 1.0, *(at for weight in weights.values() for at in knots(weight))})
        for begin, end in pairwise(marks):
            shares = _shares(weights, begin, end, outer, replay, of_size)
            shares(0.5)  # raises where there is nothing to read
            found.append(Stretch(length * (end - begin), shares))
    return tuple(found)


def _by_size(names: Sequence[str], sizes: Mapping[str, float], temperature: float = 1.0) -> dict[str, float]:
    """Shares of some sources as tokens^(1 / temperature)."""
    largest = max((sizes.get(name, 0.0) for name in names), default=0.0)
    if not largest:
        raise ValueError(f"there is nothing to read in {', '.join(names)}")
    powers = {name: (sizes[name] / largest) ** (1.0 / temperature) for name in names if sizes.get(name, 0.0)}
    return {name: power / sum(powers.values()) for name, power in powers.items()}


def _shares(
    weights: Mapping[str, Weight],
    begin: float,
    end: float,
    outer: float,
    fixed: Mapping[str, float],
    sizes: Mapping[str, float],
) -> Callable[[float], Shares]:
    """The shares of a stretch of a phase: weights divide `outer`, and `fixed` is beside them."""
    inner: dict[int, dict[str, float]] = {}
    middle = (begin + end) / 2

    def divide(weights: Mapping[str, Weight], whole: float, at: float, into: dict[str, float]) -> None:
        values = {name: value(weight, at, middle) for name, weight in weights.items()}
        total = sum(each for name, each in values.items() if _exists(weights[name], name, sizes))
        if total <= 0:
            raise ValueError("a phase has no source with a weight above 0")
        for name, weight in weights.items():
            part = whole * values[name] / total
            if not _exists(weight, name, sizes):
                continue
            if not isinstance(weight, Group):
                into[name] = part
            elif isinstance(weight.of, tuple):
                if id(weight) not in inner:
                    inner[id(weight)] = _by_size(weight.of, sizes, weight.temperature)
                into |= {source: part * share for source, share in inner[id(weight)].items()}
            elif values[name]:
                divide(weight.of, part, at, into)

    def shares(at: float) -> Shares:
        into = dict(fixed)
        divide(weights, outer, begin + (end - begin) * at, into)
        return tuple(into.get(name, 0.0) for name in sizes)

    return shares


def _exists(weight: Weight, name: str, sizes: Mapping[str, float]) -> bool:
    """Whether a weight is of anything that is a source."""
    if not isinstance(weight, Group):
        return name in sizes
    if isinstance(weight.of, tuple):
        return any(source in sizes for source in weight.of)
    return any(_exists(part, inner, sizes) for inner, part in weight.of.items())
