"""Rotary frequencies against transformers' own functions, over their settings."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.config.rope import RopeScaling
from training.model.rope import frequencies, magnitude, rotate, rotations

FACTORS = st.floats(1.0, 64.0)
HEADS = st.sampled_from([8, 64, 96, 128])
THETAS = st.floats(100.0, 1e7)
CONTEXTS = st.sampled_from([16, 4096, 8192, 32_768])


def theirs(head_dim: int, theta: float, scaling: RopeScaling) -> tuple[torch.Tensor, float]:
    """Frequencies and factor of attention by the function that transformers has for this kind."""
    functions = pytest.importorskip("transformers.modeling_rope_utils", reason="the opponent").ROPE_INIT_FUNCTIONS
    parameters = {"rope_theta": theta, **scaling.model_dump(exclude_none=True)}
    config = SimpleNamespace(
        rope_parameters=parameters,
        head_dim=head_dim,
        hidden_size=4 * head_dim,
        num_attention_heads=4,
        max_position_embeddings=4096,
        standardize_rope_params=lambda: None,
    )
    found: tuple[torch.Tensor, float] = functions[scaling.rope_type](config, torch.device("cpu"))
    return found


def same(head_dim: int, theta: float, scaling: RopeScaling) -> None:
    expected, factor = theirs(head_dim, theta, scaling)
    assert torch.allclose(frequencies(head_dim, theta, scaling), expected, rtol=1e-5, atol=0)
    assert magnitude(scaling) == pytest.approx(factor, rel=1e-9)


@given(HEADS, THETAS, FACTORS, st.sampled_from(["linear", "dynamic"]))
def test_linear_and_dynamic(head_dim: int, theta: float, factor: float, kind: Any) -> None:
    same(head_dim, theta, RopeScaling(rope_type=kind, factor=factor))


@given(HEADS, THETAS, FACTORS, st.floats(0.1, 3.0), st.floats(3.5, 20.0), CONTEXTS)
def test_llama3(head_dim: int, theta: float, factor: float, low: float, high: float, context: int) -> None:
    scaling = RopeScaling(
        rope_type="llama3",
        factor=factor,
        low_freq_factor=low,
        high_freq_factor=high,
        original_max_position_embeddings=context,
    )
    same(head_dim, theta, scaling)


@given(
    HEADS,
    THETAS,
    FACTORS,
    st.floats(8.0, 64.0),
    st.floats(0.5, 4.0),
    CONTEXTS,
    st.booleans(),
    st.none() | st.floats(0.5, 2.0),
    st.none() | st.floats(0.1, 2.0),
    st.none() | st.floats(0.1, 2.0),
)
def test_yarn(
    head_dim: int,
    theta: float,
    factor: float,
    fast: float,
    slow: float,
    context: int,
    truncate: bool,
    attention: float | None,
    mscale: float | None,
    mscale_all: float | None,
) -> None:
    scaling = RopeScaling(
        rope_type="yarn",
        factor=factor,
        beta_fast=fast,
        beta_slow=slow,
        original_max_position_embeddings=context,
        truncate=truncate,
        attention_factor=attention,
        mscale=mscale,
        mscale_all_dim=mscale_all,
    )
    same(head_dim, theta, scaling)


def test_turned_by_the_same_angle_products_depend_on_the_distance_alone() -> None:
    """Su et al. 2021, equation 16; the factor of attention enters by its square."""
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.randn(1, 1, 1, 16, generator=generator) for _ in range(2))
    radians = frequencies(16, 100.0)

    def product(at: int, other: int, factor: float = 1.0) -> float:
        turned = [
            rotate(vector, *rotations(torch.tensor([[place]]), radians, factor))
            for vector, place in ((query, at), (key, other))
        ]
        return float((turned[0] * turned[1]).sum())

    assert product(3, 3) == pytest.approx(float((query * key).sum()), rel=1e-5)
    assert product(9, 4) == pytest.approx(product(105, 100), rel=1e-4)
    assert product(9, 4, 1.5) == pytest.approx(2.25 * product(9, 4), rel=1e-5)
