"""The numbers of a plan: tokens of each source and passes over them, stages, rates, batches, and why it cannot be.

Where the run's folder has tokens of these shards already, numbers are exact; otherwise tokens are estimated. Nothing is
written. A run that `train` would refuse has its plan all the same, as far as it is known, so that one sees why.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.configfile import ConfigFile, Problem
from training import hf, positions
from training.advice import advice
from training.config import TrainConfig
from training.course import MOMENTS, Course, moment
from training.evaluation import unmeasurable
from training.kernels import Floats, Ints
from training.mixture import Mixture, caps, fresh_equivalent, infeasible
from training.model import Decoder
from training.order import Order, feasibility
from training.plan.sizes import estimated, stored
from training.speed import Operations
from training.steps import Stage, Steps
from training.steps import problems as impossible
from training.store import shards
from training.store.tokenizer import Tokenizer
from training.store.tokens import given_tokenizer, missing


@dataclass(frozen=True)
class SourcePlan:
    """What the run reads of a source."""

    tokens: int
    """There are for training."""
    needed: int
    """The run reads, of all passes."""
    share: float
    epochs: float
    most: float
    """Passes that are allowed."""
    fresh: float
    """Tokens of fresh text that all that is read is worth (Muennighoff et al. 2023)."""
    fim: float
    """Share of documents (or of their parts) that are rearranged for filling in the middle."""
    padding: float | None
    """Share of what is read that is padding; None before tokens are counted."""


@dataclass(frozen=True)
class StagePlan:
    """Steps whose sequences have one length."""

    step: int
    """The first, counted from 1."""
    context: int
    rows: tuple[int, int]
    """Sequences of its first and of its last step."""
    tokens: int
    padding: float | None
    """Share of them; None before tokens are counted."""


@dataclass(frozen=True)
class Moment:
    """The run at one step, counted from 1."""

    step: int
    lr: float
    sequences: int
    context: int
    shares: dict[str, float]


@dataclass(frozen=True)
class TrainingPlan:
    """All of it."""

    name: str
    """Of the config's file."""
    steps: int
    tokens: int
    parameters: int
    flops: float
    """Of all steps: 6 x weights in products + 12 x layers x width x context for each token."""
    exact: bool
    """Whether tokens were counted; otherwise they are estimates."""
    packing: str
    sources: dict[str, SourcePlan]
    stages: list[StagePlan]
    moments: list[Moment]
    course: Course
    advice: list[str]
    problems: list[str]
    """Why `train` would refuse."""

    @property
    def needed(self) -> dict[str, int]:
        """What the run reads of each source."""
        return {name: source.needed for name, source in self.sources.items()}

    def epochs(self, source: str) -> list[float]:
        """Passes over a source when each step of the course is over."""
        read = self.course.read[source]
        return [self.sources[source].epochs * each / read[-1] if read[-1] else 0.0 for each in read]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the course as series over its steps."""
        made = asdict(self)
        series = made.pop("course")
        series["read"] = {name: [round(each) for each in read] for name, read in self.course.read.items()}
        series["epochs"] = {name: self.epochs(name) for name in self.course.read}
        return {**made, "series": series}


def make_plan(file: ConfigFile, out: Path | None) -> TrainingPlan:
    """Work out the plan; `out` is the run's folder. Raises ConfigError where there is nothing to make one of."""
    config = file.load(TrainConfig)
    unfit = impossible(config)
    problems = [*unfit, *positions.problems(config)]
    if lacking := missing(config):
        raise file.error([*problems, *lacking])
    found = shards.listed(config)
    given = given_tokenizer(config)
    tokenizer = None if given is None else Tokenizer.load(given, config.tokenizer)
    try:
        shape = positions.first_shape(config, tokenizer.vocab_size if tokenizer else config.tokenizer.vocab_size)
    except hf.HuggingFaceError as error:  # which is one of the problems
        raise file.error(problems) from error
    with torch.device("meta"):
        model = Decoder(shape if problems else positions.shapes(config, shape)[0])
    store = None if out is None else stored(out, found, config)
    if store is not None:
        sizes = dict(zip(store.sources, (documents.count_tokens for documents in store.train), strict=True))
    else:
        sizes = estimated(config, found, tokenizer)
    steps = Steps(config.batch, config.steps, config.context) if unfit else Steps.of(config)
    mixture = None
    try:
        mixture = Mixture.of(config, steps, tuple(sizes), tuple(sizes.values()))
    except ValueError as error:
        problems = [*problems, *infeasible(config, sizes)] or [Problem(("phases",), str(error))]
    else:
        more = infeasible(config, sizes) if store is None else feasibility(config, store)
        problems = [*problems, *more, *([] if store is None else unmeasurable(config, store))]
    order = None if store is None or problems else Order(config, store)
    read = np.zeros((len(steps.stages), len(sizes)), np.int64)
    if mixture is not None:
        read = mixture.sequences * np.array([[stage.context] for stage in steps.stages])
    free = None
    if order is not None:
        free = np.array([[order.padding(i, stage.number) for i in range(len(sizes))] for stage in steps.stages])
    sources = _sources(config, sizes, read, free, order)
    if store is None:
        limits = caps(config)
        for name, source in sources.items():
            if source.epochs > source.most:
                said = f"source '{name}': about {source.epochs:.1f} epochs, and max_epochs is {source.most:g}"
                place = limits[name][1] if name in limits else ("max_epochs",)
                problems = [*problems, Problem(place, said)]
    course = Course.of(config, steps, tuple(sizes), mixture)
    stages = [_stage(steps, stage, read, free) for stage in steps.stages]
    return TrainingPlan(
        file.name,
        config.steps,
        steps.tokens,
        model.parameter_count(),
        float(sum(Operations.of(model, stage.context).palm * stage.tokens for stage in stages)),
        store is not None,
        config.packing,
        sources,
        stages,
        _moments(course, config.steps),
        course,
        [] if unfit else advice(config, model.parameter_count()),
        list(file.error(problems).lines) if problems else [],
    )


def _sources(
    config: TrainConfig, sizes: dict[str, int], read: Ints, free: Floats | None, order: Order | None
) -> dict[str, SourcePlan]:
    """`read` are the tokens, and `free` the padding's shares of them, by stage and source."""
    limits, whole = caps(config), max(int(read.sum()), 1)
    found = {}
    for i, (name, tokens) in enumerate(sizes.items()):
        needed = int(read[:, i].sum())
        epochs = order.passes(i) if order is not None else needed / max(tokens, 1)
        fresh = order.fresh_equivalent(i) if order is not None else fresh_equivalent(tokens, epochs)
        most = limits[name][0] if name in limits else config.max_epochs
        fim = config.fim[name].rate if name in config.fim else 0.0
        padding = None if free is None else _mean(free[:, i], read[:, i])
        found[name] = SourcePlan(tokens, needed, needed / whole, epochs, most, fresh, fim, padding)
    return found


def _stage(steps: Steps, stage: Stage, read: Ints, free: Floats | None) -> StagePlan:
    rows = steps.rows(stage.begin), steps.rows(stage.end - 1)
    padding = None if free is None else _mean(free[stage.number], read[stage.number])
    return StagePlan(stage.begin + 1, stage.context, rows, steps.slots(stage.number) * stage.context, padding)


def _mean(shares: Floats, weights: Ints) -> float:
    return float(shares @ weights) / max(int(weights.sum()), 1)


def _moments(course: Course, count: int) -> list[Moment]:
    """The run at some shares of its steps."""
    found = []
    for step in dict.fromkeys(moment(share, count) for share in MOMENTS):
        at = course.steps.index(step + 1)
        shares = {name: series[at] for name, series in course.shares.items()}
        found.append(Moment(step + 1, course.lr[at], course.rows[at], course.context[at], shares))
    return found
