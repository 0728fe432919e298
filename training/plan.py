"""What a training run will do, before it does it: tokens of each source, passes over them, rates, batches, shares.

Where the run's folder has tokens of these shards already, numbers are exact. Otherwise tokens are worked out from the
bytes of the shards and the tokenizer's bytes per token on a sample; nothing is written.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.configfile import ConfigError, ConfigFile, Problem
from training import hf, selection, shards, steps, views
from training.advice import advice
from training.config import TrainConfig
from training.evaluation import unmeasurable
from training.mixture import Mixture, caps, fresh_equivalent, infeasible
from training.model import Decoder, Shape
from training.order import Order, feasibility
from training.schedule import learning_rate
from training.shards import Shard
from training.speed import Operations
from training.steps import Steps
from training.tokenizer import Tokenizer
from training.tokens import TokenStore, given_tokenizer, missing

MOMENTS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_SAMPLE = 1 << 20
_BYTES_A_TOKEN = 4.0
"""Of a tokenizer that is still to be trained."""


@dataclass(frozen=True)
class SourcePlan:
    """What the run reads of a source."""

    tokens: int
    """There are for training."""
    needed: int
    """The run reads, of all passes."""
    share: float
    epochs: float
    fresh: float
    """Tokens of fresh text that all that is read is worth (Muennighoff et al. 2023)."""


@dataclass(frozen=True)
class Moment:
    """The run at one step, counted from 1."""

    step: int
    lr: float
    sequences: int
    shares: dict[str, float]


@dataclass(frozen=True)
class TrainingPlan:
    """All of it."""

    steps: int
    tokens: int
    parameters: int
    flops: float
    """Of all steps: 6 x weights in products + 12 x layers x width x context for each token."""
    exact: bool
    """Whether tokens were counted; otherwise they are estimates."""
    sources: dict[str, SourcePlan]
    moments: list[Moment]
    advice: list[str]
    problems: list[str]
    """Why `train` would refuse."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def make_plan(file: ConfigFile, out: Path | None) -> TrainingPlan:
    """Work out the plan; `out` is the run's folder. Raises ConfigError for what makes a plan impossible."""
    config = file.load(TrainConfig)
    problems = [*steps.problems(config), *missing(config)]
    shape: Shape | None = None
    if config.model.init_from is not None:
        try:
            shape = hf.readable(Path(config.model.init_from), config.context)
        except hf.HuggingFaceError as error:
            problems = [*problems, Problem(("model", "init_from"), str(error))]
    if problems:
        raise file.error(problems)
    found = shards.listed(config)
    given = given_tokenizer(config)
    tokenizer = None if given is None else Tokenizer.load(given, config.tokenizer)
    store = None if out is None else _stored(out, found, config)
    if store is not None:
        names: tuple[str, ...] = store.sources
        sizes = [documents.count_tokens for documents in store.train]
        problems = [*feasibility(config, store), *unmeasurable(config, store)]
    else:
        estimates = {name: _estimate(files, tokenizer, config.evaluation.holdout) for name, files in found.items()}
        for name, settings in config.sources.items():
            if settings.of is not None:
                estimates[name] = round(estimates[settings.of] * selection.share(settings, found[settings.of]))
        names = tuple(sorted(estimates))
        sizes = [estimates[name] for name in names]
        problems = infeasible(config, estimates)
    try:
        mixture = Mixture.of(config, names, sizes)
    except ValueError as error:
        raise file.error(problems or [Problem(("phases",), str(error))]) from error
    if shape is None:
        vocabulary = config.tokenizer.vocab_size if tokenizer is None else tokenizer.vocab_size
        shape = Shape.of(config.model, vocabulary, config.context)
    with torch.device("meta"):
        model = Decoder(shape)
    needed = (mixture.sequences * config.context).tolist()
    order = None if store is None or problems else Order(config, store)
    sources = {}
    for i, name in enumerate(names):
        epochs = order.passes(i) if order is not None else needed[i] / max(sizes[i], 1)
        fresh = order.fresh_equivalent(i) if order is not None else fresh_equivalent(sizes[i], epochs)
        sources[name] = SourcePlan(sizes[i], needed[i], needed[i] / sum(needed), epochs, fresh)
    if store is None:
        limits = caps(config)
        for name, source in sources.items():
            most, place = limits.get(name, (config.max_epochs, ("max_epochs",)))
            if source.epochs > most:
                said = f"source '{name}': about {source.epochs:.1f} epochs, and max_epochs is {most:g}"
                problems = [*problems, Problem(place, said)]
    tokens = mixture.slots * config.context
    return TrainingPlan(
        config.steps,
        tokens,
        model.parameter_count(),
        float(Operations.of(model, config.context).palm) * tokens,
        store is not None,
        sources,
        _moments(config, mixture, names),
        advice(config, model.parameter_count()),
        list(file.error(problems).lines) if problems else [],
    )


def _moments(config: TrainConfig, mixture: Mixture, sources: Sequence[str]) -> list[Moment]:
    """The run at some shares of its steps."""
    steps = Steps.of(config)
    moments = []
    for step in sorted({min(int(share * config.steps), config.steps - 1) for share in MOMENTS}):
        begin, count = steps.slot(step), steps.rows(step)
        shares = (mixture.integral(begin + count) - mixture.integral(begin)) / count
        rate = learning_rate(config.schedule, config.optimizer, steps, step)
        moments.append(Moment(step + 1, rate, count, dict(zip(sources, shares.tolist(), strict=True))))
    return moments


def _stored(out: Path, found: dict[str, list[Shard]], config: TrainConfig) -> TokenStore | None:
    """The run's tokens, if they are of these shards (by names and sizes) and of this holdout."""
    folder = out / "tokens"
    try:
        for source, files in found.items():
            made = json.loads((folder / source / "manifest.json").read_text(encoding="utf-8"))
            there = [[shard["name"], shard["size"]] for shard in made["shards"]]
            if there != [[shard["name"], shard["size"]] for shard in files]:
                return None
            if made["holdout"] != config.evaluation.holdout:
                return None
        store = TokenStore.open(folder, Tokenizer.load(out / "tokenizer.json", config.tokenizer))
    except (OSError, ConfigError):
        return None
    made = {name: settings for name, settings in config.sources.items() if settings.of is not None}
    if set(store.sources) != {*found, *made}:
        return None
    manifests = {name: json.loads((folder / name / "manifest.json").read_text(encoding="utf-8")) for name in made}
    same = all(manifests[name].get("definition") == views.definition(settings) for name, settings in made.items())
    return store if same else None


def _estimate(files: Sequence[Shard], tokenizer: Tokenizer | None, holdout: float) -> int:
    """About how many tokens a source has for training."""
    size = sum(shards.text_bytes(shard) for shard in files) * (1 - holdout)
    ratio = _BYTES_A_TOKEN
    if tokenizer is not None:
        texts: list[str] = []
        for _, _, _, more in shards.read(files):
            texts += more
            if sum(map(len, texts)) >= _SAMPLE:
                break
        tokens = sum(len(ids) + 1 for ids in tokenizer.encode_batch(texts))
        ratio = sum(len(text.encode()) for text in texts) / max(tokens, 1) or _BYTES_A_TOKEN
    return round(size / ratio)


def render(plan: TrainingPlan) -> list[str]:
    """The plan for a terminal."""
    about = "" if plan.exact else "about "
    lines = [
        f"{plan.steps:,} steps, {plan.tokens:,} tokens; a model of {plan.parameters:,} parameters; {plan.flops:.2g} "
        "floating-point operations",
        "",
        f"{'source':<20}{'tokens':>16}{'the run reads':>16}{'share':>9}{'epochs':>9}",
    ]
    for name, source in plan.sources.items():
        there = f"{about}{source.tokens:,}"
        line = f"{name:<20}{there:>16}{source.needed:>16,}{source.share:>9.2%}{source.epochs:>9.2f}"
        worth = f"  worth {source.fresh:,.0f} fresh tokens (Muennighoff et al. 2023)" if source.epochs > 1 else ""
        lines.append(line + worth)
    lines += ["", f"{'step':>9}{'rate':>11}{'sequences':>11}  share of each source"]
    for moment in plan.moments:
        shares = "  ".join(f"{name} {share:.1%}" for name, share in moment.shares.items() if share > 0)
        lines.append(f"{moment.step:>9,}{moment.lr:>11.2e}{moment.sequences:>11,}  {shares}")
    return [*lines, *([""] if plan.advice else []), *plan.advice]
