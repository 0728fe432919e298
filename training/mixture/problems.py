"""What is wrong with a mixture before anything is counted: names that are no source, nothing to read."""

from collections.abc import Iterator, Mapping

from pipeline.configfile import Place, Problem, nearest
from training.config import TrainConfig


def named(config: TrainConfig) -> Iterator[tuple[Place, str, bool]]:
    """Every source that the config reads, where it says so, and whether it is ever read."""
    for i, name in enumerate(() if config.replay is None else config.replay.sources):
        yield ("continuing", "replay", "sources", i), name, True
    for i, phase in enumerate(config.phases):
        for leaf in phase.leaves():
            yield ("phases", i, *leaf.place), leaf.name, leaf.read


def unknown(config: TrainConfig, sources: Mapping[str, object] | tuple[str, ...]) -> list[Problem]:
    """Names that are no source, among those of `fim` and `sources` too; `sources` has those that are made of others."""
    places = [
        *((place, name) for place, name, _ in named(config)),
        *((("fim", name), name) for name in config.fim),
        *((("sources", name), name) for name, settings in config.sources.items() if settings.of is None),
    ]
    return [
        Problem(place, f"there is no source '{name}'; {nearest(name, list(sources))}")
        for place, name in places
        if name not in sources
    ]


def infeasible(config: TrainConfig, sizes: Mapping[str, int]) -> list[Problem]:
    """Say what cannot be read; `sizes` are the tokens for training of each source."""
    problems = unknown(config, tuple(sizes))
    for place, name, read in named(config):
        if read and sizes.get(name) == 0:
            problems.append(Problem(place, f"source '{name}' has no document to train on"))
    replayed = () if config.replay is None else config.replay.sources
    if any(phase.weights == "auto" for phase in config.phases):
        made = {name for name, settings in config.sources.items() if settings.of is not None}
        if not any(size for name, size in sizes.items() if name not in replayed and name not in made):
            other = " beside those that are replayed" if replayed else ""
            problems.append(Problem(("data",), f"no source{other} has a document to train on"))
    return problems


def caps(config: TrainConfig) -> dict[str, tuple[float, Place]]:
    """Most passes over each source that has a cap of its own, and where that is said.

    What stands under `sources` goes before groups; of the groups of several phases, the lowest counts.
    """
    found: dict[str, tuple[float, Place]] = {}
    for i, phase in enumerate(config.phases):
        for leaf in phase.leaves():
            if leaf.max_epochs is not None and leaf.max_epochs < found.get(leaf.name, (float("inf"),))[0]:
                found[leaf.name] = leaf.max_epochs, ("phases", i, *leaf.place)
    for name, settings in config.sources.items():
        if settings.max_epochs is not None:
            found[name] = settings.max_epochs, ("sources", name, "max_epochs")
    return found
