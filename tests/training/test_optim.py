"""AdamW against the rule of its paper written out in NumPy, and its state through a round trip."""

import numpy as np
import pytest
import torch

from training.config import OptimizerSettings
from training.model import Decoder, Shape
from training.optim import optimizer_of, optimizer_tensors, restore_optimizer

SHAPE = Shape(
    vocabulary=64,
    context=16,
    layers=1,
    width=16,
    heads=2,
    kv_heads=1,
    head_dim=8,
    hidden=24,
    rope_theta=10_000.0,
    norm_eps=1e-5,
    tied=False,
)
SETTINGS = OptimizerSettings(lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)


def gradients(model: Decoder, step: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(step)
    return {name: random.normal(size=weight.shape).astype(np.float32) for name, weight in model.named_parameters()}


def test_equals_decoupled_weight_decay_in_numpy() -> None:
    model = Decoder.fresh(SHAPE, 1)
    optimizer = optimizer_of(model, SETTINGS)
    values = {name: weight.detach().numpy().astype(np.float64) for name, weight in model.named_parameters()}
    first = {name: np.zeros_like(value) for name, value in values.items()}
    second = {name: np.zeros_like(value) for name, value in values.items()}
    for step in range(1, 6):
        rate = 0.01 / step
        given = gradients(model, step)
        for name, weight in model.named_parameters():
            weight.grad = torch.from_numpy(given[name].copy())
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        for name, gradient in given.items():
            decayed = values[name].ndim == 2 and name != "embedding.weight"
            values[name] *= 1 - rate * (0.1 if decayed else 0.0)
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.95 * second[name] + 0.05 * gradient.astype(np.float64) ** 2
            mean, spread = first[name] / (1 - 0.9**step), second[name] / (1 - 0.95**step)
            values[name] -= rate * mean / (np.sqrt(spread) + 1e-8)
    for name, weight in model.named_parameters():
        assert np.allclose(weight.detach().numpy(), values[name], atol=1e-6), name


def test_muon_steps_are_orthogonal_and_of_adamw_size() -> None:
    """Jordan et al. 2024: the step of a matrix is its momentum with all singular values near 1; Liu et al. 2025: times
    0.2 sqrt(max(rows, columns)) of the rate. What is no matrix of a layer moves as under AdamW."""
    muon, adamw = Decoder.fresh(SHAPE, 1), Decoder.fresh(SHAPE, 1)
    settings = SETTINGS.model_copy(update={"weight_decay": 0.0})
    before = {name: weight.detach().clone() for name, weight in muon.named_parameters()}
    given = gradients(muon, 1)
    for model, use in ((muon, "muon"), (adamw, "adamw")):
        for name, weight in model.named_parameters():
            weight.grad = torch.from_numpy(given[name].copy())
        optimizer_of(model, settings.model_copy(update={"use": use})).step()
    for (name, weight), other in zip(muon.named_parameters(), adamw.parameters(), strict=True):
        if name.startswith("blocks.") and weight.ndim == 2:
            change = (before[name] - weight).detach() / (0.01 * 0.2 * max(weight.shape) ** 0.5)
            values = torch.linalg.svdvals(change)
            assert 0.6 < values.median() and values.max() < 1.4, name  # five iterations leave the smallest behind
            momentum = torch.from_numpy(given[name])
            assert torch.nn.functional.cosine_similarity(change.flatten(), momentum.flatten(), dim=0) > 0.5
        else:
            assert torch.equal(weight, other), name


@pytest.mark.parametrize("use", ["adamw", "muon"])
def test_state_goes_through_tensors_unchanged(use: str) -> None:
    settings = SETTINGS.model_copy(update={"use": use})
    model, other = Decoder.fresh(SHAPE, 1), Decoder.fresh(SHAPE, 1)
    optimizer, restored = optimizer_of(model, settings), optimizer_of(other, settings)
    for step in range(4):
        if step == 2:
            other.load_state_dict(model.state_dict())
            restore_optimizer(other, restored, {k: v.clone() for k, v in optimizer_tensors(model, optimizer).items()})
        for trained, its_optimizer in ((model, optimizer), (other, restored))[: 2 if step >= 2 else 1]:
            given = gradients(trained, step)
            for name, weight in trained.named_parameters():
                weight.grad = torch.from_numpy(given[name].copy())
            its_optimizer.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
