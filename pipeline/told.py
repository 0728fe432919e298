"""Ranges of what sources tell of their documents: the columns `read.<signal>` of readers as the signals of a step."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import polars as pl

from filters.base import LANGUAGE, Filter, Step
from pipeline.configfile import Problem, nearest
from pipeline.readers.base import Reader


class Told(Filter):
    """What a source tells of its documents, such as the score of a question: `keep` names signals of its reader.

    The column `read.score` is judged as `<step>.score`; true counts as 1. What is not told of a document drops nothing.
    """

    source: ClassVar[str] = (
        "Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.1: pages that had at "
        "least 3 karma where they were linked"
    )
    version: ClassVar[int] = 1

    def signals(self) -> Mapping[str, pl.Expr]:
        names = dict.fromkeys(key.partition(LANGUAGE)[0] for key in self.keep)
        return {name: pl.col(f"read.{name}") for name in names}


def problems(
    steps: Mapping[str, Step], only: Mapping[str, tuple[str, ...]], readers: Mapping[str, Reader]
) -> Iterator[Problem]:
    """What steps of a config want to be told that the readers of their sources do not tell, or tell in words; and
    signals that two sources tell in different types."""
    first: dict[str, str] = {}
    for source, reader in readers.items():
        for key, kind in reader.told.items():
            other = readers[first.setdefault(key, source)].told[key]
            if kind is not other:
                words = f"source '{source}': '{key}' is {kind.__name__}, and {other.__name__} in '{first[key]}'"
                yield Problem(("sources", source, "columns", "signals", key), words)
    for name, step in steps.items():
        if not isinstance(step, Told):
            continue
        known = {key: kind for source in only.get(name, tuple(readers)) for key, kind in readers[source].told.items()}
        numbers = [key for key, kind in known.items() if kind is not str]
        if not step.keep:
            yield Problem(("steps", name), f"step '{name}': keep: name a signal; {nearest('', numbers)}")
        for key in step.keep:
            signal, place = key.partition(LANGUAGE)[0], ("steps", name, "keep", key)
            if signal not in known:
                yield Problem(place, f"step '{name}': no source of it tells '{signal}'; {nearest(signal, numbers)}")
            elif signal not in numbers:
                yield Problem(place, f"step '{name}': '{signal}' is text and has no range; {nearest(signal, numbers)}")
