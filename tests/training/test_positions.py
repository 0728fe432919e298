"""Contexts and rotary frequencies by phase: against transformers' own functions, and against what cannot be."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.configfile import ConfigError, ConfigFile
from training import positions
from training.config import ModelSettings, TrainConfig
from training.config.rope import RopeScaling
from training.model import Decoder, Shape, document_mask
from training.model.rope import frequencies, magnitude

MODEL = {"layers": 1, "width": 64, "heads": 2, "kv_heads": 1, "hidden": 64}
KINDS = ("linear", "ntk", "yarn", "llama3")


def config(phases: list[dict[str, Any]], **changes: Any) -> TrainConfig:
    return TrainConfig.model_validate(
        {"data": "", "steps": 9, "context": 64, "model": MODEL, "phases": phases, **changes}
    )


def shapes(phases: list[dict[str, Any]], **changes: Any) -> tuple[Shape, ...]:
    made = config(phases, **changes)
    assert positions.problems(made) == []
    return positions.shapes(made, positions.first_shape(made))


@given(st.sampled_from(KINDS), st.integers(2, 64), st.floats(100.0, 1e7), st.sampled_from([8, 64, 128]))
def test_what_a_word_means_is_what_transformers_computes(kind: str, times: int, theta: float, head_dim: int) -> None:
    functions = pytest.importorskip("transformers.modeling_rope_utils", reason="the opponent").ROPE_INIT_FUNCTIONS
    model = {**MODEL, "head_dim": head_dim, "rope_theta": theta}
    first, last = shapes([{}, {"context": 64 * times, "rope": kind}], model=model)
    assert (first.context, first.rope_theta, first.rope_scaling) == (64, theta, None)
    asked = {
        "linear": {"rope_type": "linear", "factor": times},
        # its NTK for a sequence of so many tokens (emozilla 2023); with a factor of 1 the base is that of bloc97
        "ntk": {"rope_type": "dynamic", "factor": 1.0},
        "yarn": {"rope_type": "yarn", "factor": times, "original_max_position_embeddings": 64},
        "llama3": {
            "rope_type": "llama3",
            "factor": times,
            "original_max_position_embeddings": 64,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
        },
    }[kind]
    theirs = SimpleNamespace(
        rope_parameters={"rope_theta": theta, **asked},
        head_dim=head_dim,
        hidden_size=2 * head_dim,
        num_attention_heads=2,
        max_position_embeddings=64,
        standardize_rope_params=lambda: None,
    )
    expected, factor = functions[asked["rope_type"]](theirs, torch.device("cpu"), seq_len=64 * times)
    ours = frequencies(head_dim, last.rope_theta, last.rope_scaling)
    assert torch.allclose(ours, expected, rtol=1e-5, atol=0)
    assert magnitude(last.rope_scaling) == pytest.approx(factor, rel=1e-9)
    assert last.context == 64 * times


def test_factors_are_of_the_first_context_and_nothing_said_goes_on_as_before() -> None:
    made = shapes(
        [
            {},
            {"context": 128, "rope": "yarn"},
            {"weights": {"a": 1}},
            {"context": 256, "rope": "yarn"},
            {"context": 512},
            {"context": 32},
            {"context": 1024, "rope": {"theta": 5e5}},
            {"context": 2048, "rope": {"scaling": {"rope_type": "linear", "factor": 1}}},
        ]
    )
    assert [shape.context for shape in made] == [64, 128, 128, 256, 512, 512, 1024, 2048]
    assert [shape.rope_theta for shape in made] == [1e4] * 6 + [5e5] * 2
    factors = [None if shape.rope_scaling is None else shape.rope_scaling.factor for shape in made]
    assert factors == [None, 2, 2, 4, 4, 4, 4, 1]
    assert made[3].rope_scaling == RopeScaling(rope_type="yarn", factor=4, original_max_position_embeddings=64)
    assert torch.equal(frequencies(32, 5e5, made[-1].rope_scaling), frequencies(32, 5e5))


def test_learned_positions_are_there_for_the_longest_context_from_the_beginning() -> None:
    made = shapes([{}, {"context": 256}, {"context": 128}], model={**MODEL, "positions": "learned"})
    assert [shape.context for shape in made] == [256, 256, 256]


@pytest.mark.parametrize(
    ("rope", "kind", "context", "factor", "before"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}, "yarn", 256, 16, 16),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 32}, "llama3", 128, 4, 32),
        ({"rope_type": "linear", "factor": 2.0}, "linear", 128, 4, 8192),
        ({"rope_type": "dynamic", "factor": 2.0}, "yarn", 128, 2, 64),
        ({"rope_type": "default"}, "yarn", 128, 2, 64),
    ],
    ids=lambda value: value["rope_type"] if isinstance(value, dict) else "",
)
def test_a_model_that_was_stretched_is_stretched_from_its_own_original_context(
    foreign: Callable[..., tuple[Any, Path]], rope: dict[str, Any], kind: str, context: int, factor: float, before: int
) -> None:
    if rope["rope_type"] == "llama3":
        rope |= {"low_freq_factor": 1.5, "high_freq_factor": 3.0}
    _, folder = foreign("llama", rope_parameters={"rope_theta": 700.0, **rope})
    first, last = shapes([{}, {"context": context, "rope": kind}], context=32, model={"init_from": str(folder)})
    assert (first.context, last.context, last.rope_theta) == (64, context, 700.0)
    assert last.rope_scaling is not None and last.rope_scaling.factor == factor
    assert last.rope_scaling.original_max_position_embeddings == before
    if kind == "llama3":
        assert (last.rope_scaling.low_freq_factor, last.rope_scaling.high_freq_factor) == (1.5, 3.0)


CANNOT = [
    ("[{}, {context: 128, rope: yarn, weights: {a: 1}}, {rope: yarn}]", "", "where the context does"),
    ("[{rope: yarn}]", "", "nothing to stretch: the model knows 64 tokens, and this phase has 64"),
    ("[{}, {context: 32, rope: linear}]", "", "the model knows 64 tokens, and this phase has 32"),
    ("[{}, {context: 128, rope: {theta: 1e6}}]", "positions: learned", "so there are no frequencies"),
    ("[{}, {context: 128, rope: yarn}]", "rope_scaling: {rope_type: linear, factor: 2}", "by 'linear' already"),
    ("[{}, {context: 128, rope: ntk}]", "head_dim: 2", "heads of 2"),
    (
        "[{}, {context: 128, rope: yarn}]",
        "rope_scaling: {rope_type: yarn, factor: 2, original_max_position_embeddings: 256}",
        "the model knows 256 tokens",
    ),
]


@pytest.mark.parametrize(("phases", "model", "said"), CANNOT, ids=[said for _, _, said in CANNOT])
def test_what_cannot_be_is_said_with_its_place(tmp_path: Path, phases: str, model: str, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"data: x\nsteps: 9\ncontext: 64\nphases: {phases}\nmodel: {{{model}}}\n")
    file = ConfigFile.read(path)
    (line,) = file.error(positions.problems(file.load(TrainConfig))).lines
    column = path.read_text().splitlines()[3].rindex("rope:") + 1
    assert line.startswith(f"{path}:4:{column}: ") and said in line


@pytest.mark.parametrize(
    ("rope", "said"),
    [
        ("yarm", "'yarm' is not allowed; did you mean 'yarn'?"),
        ({}, "give theta, scaling, or both"),
        ({"theta": 0.5}, "greater than 1"),
        ({"scaling": {"rope_type": "yarn", "factor": 4}}, "say from which context it stretches"),
        ({"scaling": {"rope_type": "yarn", "factor": 0.5, "original_max_position_embeddings": 64}}, "equal to 1"),
    ],
)
def test_settings_that_say_nothing_or_too_little(tmp_path: Path, rope: Any, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"data": "x", "steps": 9, "phases": [{"context": 128, "rope": rope}]}))
    with pytest.raises(ConfigError) as refused:
        ConfigFile.read(path).load(TrainConfig)
    assert said in str(refused.value)


@pytest.mark.parametrize(("kind", "rope"), [("gpt2", {}), ("llama", {"rope_type": "dynamic", "factor": 2.0})])
def test_contexts_that_a_model_cannot_read_are_refused(
    foreign: Callable[..., tuple[Any, Path]], kind: str, rope: dict[str, Any]
) -> None:
    _, folder = foreign(kind, **({"rope_parameters": {"rope_theta": 1e4, **rope}} if rope else {}))
    model = {"init_from": str(folder)}
    assert [shape.context for shape in shapes([{}, {"context": 32}], model=model)] == [64, 64]
    refused: list[tuple[list[dict[str, Any]], dict[str, Any], tuple[str | int, ...]]] = [
        ([{}, {"context": 128}], {}, ("phases", 1, "context")),
        ([{}], {"context": 128}, ("context",)),
        ([{}], {"evaluation": {"context": 128}}, ("evaluation", "context")),
    ]
    for phases, changes, place in refused:
        (problem,) = positions.problems(config(phases, **{"model": model, **changes}))
        assert problem.place == place and "64" in problem.message and "context is 128" in problem.message
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (problem,) = positions.problems(config([{}], model=model))
    assert problem.place == ("model", "init_from") and "bert" in problem.message


def hidden(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    places = torch.arange(tokens.shape[1])[None]
    with torch.no_grad():
        found: torch.Tensor = model(tokens, places, document_mask(torch.zeros_like(tokens)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_becomes_longer_is_one_that_was_made_so(kind: str) -> None:
    first, last = shapes([{}, {"context": 256, "rope": kind}])
    model, other = Decoder.fresh(first, 1), Decoder.fresh(last, 1)
    tokens = torch.arange(50)[None]
    before = hidden(model, tokens)
    model.become(last)
    assert model.shape == last
    assert torch.equal(hidden(model, tokens), hidden(other, tokens))
    assert (hidden(model, tokens) - before).abs().max() > 1e-3
    model.become(first)
    assert torch.equal(hidden(model, tokens), before)


def test_what_was_compiled_does_not_contain_the_frequencies() -> None:
    from torch._dynamo.testing import CompileCounter

    first, last = shapes([{}, {"context": 256, "rope": "yarn"}])
    model, counter = Decoder.fresh(first, 1), CompileCounter()
    compiled = torch.compile(model, dynamic=False, backend=counter)
    tokens = torch.arange(50)[None]
    for shape in (first, last, first):
        model.become(shape)
        assert torch.allclose(hidden(compiled, tokens), hidden(model, tokens), atol=1e-6)
    assert counter.frame_count == 1


def test_nothing_but_positions_can_change() -> None:
    model = Decoder.fresh(Shape.of(ModelSettings(**MODEL), 128, 64), 1)
    for change in ({"layers": 2}, {"vocabulary": 256}, {"tied": False, "context": 128}):
        with pytest.raises(ValueError, match="nothing else of its shape"):
            model.become(model.shape.model_copy(update=change))
    learned = Decoder.fresh(Shape.of(ModelSettings(**MODEL, positions="learned"), 128, 64), 1)
    with pytest.raises(ValueError, match="nothing else of its shape"):
        learned.become(learned.shape.model_copy(update={"context": 128}))
