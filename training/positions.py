"""The positions of a run: the context and the rotary frequencies that its model has in each phase.

What a phase asks for by a word is worked out from the model that the run began with, not from the phase before: 8k ->
16k -> 32k by `yarn` has the factors 2 and 4, as if each went there at once. So what an export says of the last phase is
true of the model, whichever way it came.
"""

from pathlib import Path
from typing import Any

from pipeline.configfile import Place, Problem
from training import hf
from training.config import Phase, TrainConfig
from training.config.rope import Kind, RopeScaling
from training.model import Shape


def first_shape(config: TrainConfig, vocabulary: int = 1) -> Shape:
    """The shape that the run begins with: that of the settings, or that of `model.init_from` with its own vocabulary.

    Raises HuggingFaceError.
    """
    if config.model.init_from is not None:
        return hf.read_shape(Path(config.model.init_from))
    return Shape.of(config.model, vocabulary, config.contexts[0])


def shapes(config: TrainConfig, first: Shape) -> tuple[Shape, ...]:
    """The shape in each phase of a run that begins with `first_shape`.

    With rotary positions its context is the longest so far, what the model knew before included; with learned ones, of
    which a model cannot get more later, the longest of the run. Raises ValueError as `problems` tells with places.
    """
    found: list[Shape] = []
    longest = max(first.context, *config.contexts) if first.positions == "learned" else first.context
    for phase, context in zip(config.phases, config.contexts, strict=True):
        longest = max(longest, context)
        change = {"context": longest, **_changed(phase, context, first)}
        found.append((found[-1] if found else first).model_copy(update=change))
    return tuple(found)


def problems(config: TrainConfig) -> list[Problem]:
    """Say what is wrong with the positions of phases, or with the folder that the model comes from."""
    try:
        first = first_shape(config)
    except hf.HuggingFaceError as error:
        return [Problem(("model", "init_from"), str(error))]
    found, contexts = [], config.contexts
    for i, phase in enumerate(config.phases):
        at: Place = ("phases", i, "rope")
        if phase.rope is None:
            continue
        try:
            _changed(phase, contexts[i], first)
            if i and contexts[i] == contexts[i - 1]:
                raise ValueError("rope changes where the context does; give both to the phase that begins it")
        except ValueError as error:
            found.append(Problem(at, str(error)))
    if found:
        return found
    wanted: list[tuple[Place, int, Shape]] = [
        (("context",) if phase.context is None else ("phases", i, "context"), context, shape)
        for i, (phase, context, shape) in enumerate(zip(config.phases, contexts, shapes(config, first), strict=True))
    ]
    if config.evaluation.context is not None:
        wanted.append((("evaluation", "context"), config.evaluation.context, wanted[-1][-1]))
    said: dict[str, Place] = {}
    for place, context, shape in wanted:
        if message := _unreadable(context, shape, first, config):
            said.setdefault(message, place)
    return [Problem(place, message) for message, place in said.items()]


def original(shape: Shape) -> float:
    """The context that a model had before its frequencies were stretched, if they are."""
    scaling = shape.rope_scaling
    if scaling is None or scaling.rope_type == "dynamic":
        return shape.context
    return shape.context / scaling.factor if scaling.rope_type == "linear" else scaling.original_max_position_embeddings


def _changed(phase: Phase, context: int, first: Shape) -> dict[str, Any]:
    """What a phase changes of the frequencies."""
    if phase.rope is None:
        return {}
    if first.positions == "learned":
        raise ValueError("the model has learned positions, so there are no frequencies to change")
    if isinstance(phase.rope, str):
        return _stretched(phase.rope, context, first)
    given = {"rope_theta": phase.rope.theta, "rope_scaling": phase.rope.scaling}
    return {name: value for name, value in given.items() if value is not None}


def _stretched(kind: Kind, context: int, first: Shape) -> dict[str, Any]:
    """Theta and scaling of a model for a longer context."""
    known = first.rope_scaling
    if known is not None and known.rope_type not in ("dynamic", kind):
        raise ValueError(
            f"the model is stretched by '{known.rope_type}' already: go on with that, or give theta and scaling"
        )
    before = original(first)
    if context <= max(first.context, before):
        raise ValueError(
            f"there is nothing to stretch: the model knows {max(first.context, before):,.0f} tokens, and this phase "
            f"has {context:,}"
        )
    factor = context / before
    if kind == "ntk":
        if first.head_dim == 2:
            raise ValueError("ntk leaves the fastest pair of dimensions as it is, and heads of 2 have no other")
        theta = first.rope_theta * factor ** (first.head_dim / (first.head_dim - 2))
        return {"rope_theta": theta, "rope_scaling": None}
    if known is not None and known.rope_type == kind:
        scaling = known.model_copy(update={"factor": factor, "attention_factor": None})
    elif kind == "linear":
        scaling = RopeScaling(rope_type=kind, factor=factor)
    else:
        scaling = RopeScaling(rope_type=kind, factor=factor, original_max_position_embeddings=round(before))
    return {"rope_theta": first.rope_theta, "rope_scaling": scaling}


def _unreadable(context: int, shape: Shape, first: Shape, config: TrainConfig) -> str | None:
    """Why a model cannot read sequences that long."""
    folder = config.model.init_from or "the model"
    known = first.context if config.model.init_from is not None else shape.context
    if context <= known:
        return None
    if shape.positions == "learned":
        return f"{folder}: it has learned positions up to {known}; context is {context}"
    if shape.rope_scaling is not None and shape.rope_scaling.rope_type == "dynamic":
        return (
            f"{folder}: rope_type: dynamic changes with the length of each sequence beyond {known} tokens, which is "
            f"not supported; context is {context}"
        )
    return None
