"""Every rule for 100 steps beside the update of its paper written out in NumPy, with a rate that changes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from training.config import TrainConfig
from training.model import Decoder, Shape
from training.optim import Optimizer, optimizer_of, set_rate

Array = npt.NDArray[np.float64]
Rule = Callable[[Array, float], Iterator[Any]]
STEPS = 100
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


def settings_of(**optimizer: Any) -> Any:
    return TrainConfig.model_validate({"data": "run", "steps": 1, "optimizer": optimizer}).optimizer


def sgd(w: Array, decay: float) -> Iterator[Array]:
    """Robbins and Monro 1951. Rules are generators: they are sent (rate, gradient), and change w in place."""
    while True:
        rate, g = yield w
        w -= rate * (g + decay * w)


def momentum(w: Array, decay: float, mu: float = 0.9, dampening: float = 0.0) -> Iterator[Array]:
    """Polyak 1964."""
    v = np.zeros_like(w)
    while True:
        rate, g = yield w
        v = mu * v + (1 - dampening) * (g + decay * w)
        w -= rate * v


def nesterov(w: Array, decay: float, mu: float = 0.8) -> Iterator[Array]:
    """Sutskever et al. 2013, in terms of the point that is looked ahead to (Bengio et al. 2013)."""
    v = np.zeros_like(w)
    while True:
        rate, g = yield w
        g = g + decay * w
        v = mu * v + g
        w -= rate * (g + mu * v)


def adagrad(w: Array, decay: float, start: float = 0.1, eps: float = 1e-10) -> Iterator[Array]:
    """Duchi et al. 2011, the diagonal form."""
    s = np.full_like(w, start)
    while True:
        rate, g = yield w
        g = g + decay * w
        s += g**2
        w -= rate * g / (np.sqrt(s) + eps)


def rmsprop(w: Array, decay: float, alpha: float = 0.9, eps: float = 1e-8) -> Iterator[Array]:
    """Tieleman and Hinton 2012, lecture 6.5."""
    s = np.zeros_like(w)
    while True:
        rate, g = yield w
        g = g + decay * w
        s = alpha * s + (1 - alpha) * g**2
        w -= rate * g / (np.sqrt(s) + eps)


def centered(w: Array, decay: float, alpha: float = 0.95, mu: float = 0.5, eps: float = 1e-4) -> Iterator[Array]:
    """Graves 2013, equations 38 to 41, but for eps, which stands outside of the root."""
    s, mean, step = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    while True:
        rate, g = yield w
        g = g + decay * w
        s = alpha * s + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        step = mu * step + g / (np.sqrt(s - mean**2) + eps)
        w -= rate * step


def adam(w: Array, decay: float, one: float = 0.8, two: float = 0.99, eps: float = 1e-6) -> Iterator[Array]:
    """Kingma and Ba 2015, algorithm 1."""
    m, v, t = np.zeros_like(w), np.zeros_like(w), 0
    while True:
        rate, g = yield w
        g, t = g + decay * w, t + 1
        m = one * m + (1 - one) * g
        v = two * v + (1 - two) * g**2
        w -= rate * (m / (1 - one**t)) / (np.sqrt(v / (1 - two**t)) + eps)


def adamw(w: Array, decay: float, one: float = 0.9, two: float = 0.95, eps: float = 1e-8) -> Iterator[Array]:
    """Loshchilov and Hutter 2019, algorithm 2, whose schedule's factor is in the rate here."""
    m, v, t = np.zeros_like(w), np.zeros_like(w), 0
    while True:
        rate, g = yield w
        t += 1
        m = one * m + (1 - one) * g
        v = two * v + (1 - two) * g**2
        w -= rate * ((m / (1 - one**t)) / (np.sqrt(v / (1 - two**t)) + eps) + decay * w)


def muon(w: Array, decay: float, mu: float = 0.95, look_ahead: bool = True) -> Iterator[Array]:
    """Jordan et al. 2024, with the length and the decay of Liu et al. 2025, equation 4."""
    b = np.zeros_like(w)
    while True:
        rate, g = yield w
        b = mu * b + g
        x = g + mu * b if look_ahead else b
        x = x / np.linalg.norm(x)  # of Frobenius
        for _ in range(5):
            x = 3.4445 * x - 4.7750 * (x @ x.T) @ x + 2.0315 * (x @ x.T) @ (x @ x.T) @ x
        w -= rate * (0.2 * np.sqrt(max(w.shape)) * x + decay * w)


CASES: dict[str, tuple[dict[str, Any], Rule]] = {
    "sgd": ({"use": "sgd"}, sgd),
    "sgd with decay": ({"use": "sgd", "weight_decay": 0.1}, sgd),
    "momentum": ({"use": "momentum"}, momentum),
    "momentum, dampened": (
        {"use": "momentum", "momentum": 0.7, "dampening": 0.7, "weight_decay": 0.1},
        lambda w, decay: momentum(w, decay, 0.7, 0.7),
    ),
    "nesterov": ({"use": "nesterov", "momentum": 0.8, "weight_decay": 0.1}, nesterov),
    "adagrad": ({"use": "adagrad", "initial": 0.1, "weight_decay": 0.1}, adagrad),
    "rmsprop": ({"use": "rmsprop", "weight_decay": 0.1}, rmsprop),
    "rmsprop, centered": ({"use": "rmsprop", "alpha": 0.95, "momentum": 0.5, "eps": 1e-4, "centered": True}, centered),
    "adam": ({"use": "adam", "betas": [0.8, 0.99], "eps": 1e-6, "weight_decay": 0.1}, adam),
    "adamw": ({"use": "adamw"}, adamw),
    "muon": ({"use": "muon"}, muon),
    "muon without nesterov": (
        {"use": "muon", "nesterov": False, "momentum": 0.9},
        lambda w, decay: muon(w, decay, 0.9, look_ahead=False),
    ),
}


def trained(optimizer: Optimizer, rule: Rule, rest: Rule, decay: float) -> Iterator[tuple[str, Array, Array]]:
    """Take the steps on both sides: gives each parameter's name, what became of it, and what the rule says."""
    expected = {name: w.detach().numpy().astype(np.float64) for name, w in optimizer.learned.items()}
    rules = {}
    for name, w in expected.items():
        matrix = w.ndim == 2 and name.startswith("blocks.")
        rules[name] = (rule if matrix else rest)(w, decay if matrix or name == "head.weight" else 0.0)
        next(rules[name])
    random = np.random.default_rng(0)
    for step in range(STEPS):
        rate = 0.03 / (1 + step / 20)
        for name, w in optimizer.learned.items():
            g = torch.from_numpy(random.normal(0.3, 1, w.shape)).to(w.dtype)
            w.grad = g.clone()
            rules[name].send((rate, g.numpy().astype(np.float64)))  # type: ignore[attr-defined]
        set_rate(optimizer, rate)
        optimizer.step()
    for name, w in optimizer.learned.items():
        yield name, w.detach().numpy(), expected[name]


@pytest.mark.parametrize("case", CASES)
def test_equals_its_rule(case: str) -> None:
    given, rule = CASES[case]
    settings = settings_of(**{"lr": 1.0, **given})
    model = Decoder.fresh(SHAPE, 1).double()
    before = [weight.detach().clone() for weight in model.parameters()]
    optimizer = optimizer_of(model, settings)
    for name, found, expected in trained(
        optimizer, rule, adamw if settings.use == "muon" else rule, settings.weight_decay
    ):
        assert np.allclose(found, expected, rtol=1e-7, atol=1e-10), name
    for old, new in zip(before, model.parameters(), strict=True):
        assert (new - old).abs().mean() > 0.01  # the steps were no trifles


@pytest.mark.parametrize("case", CASES)
def test_equals_its_rule_in_float32(case: str) -> None:
    """A hundred roundings to 24 bits keep the weights within 1e-6 of what exact arithmetic gives, as a whole.

    Muon's products are rounded to the 8 bits of bfloat16 where the machine computes in it.
    """
    given, rule = CASES[case]
    settings = settings_of(**{"lr": 1.0, **given})
    optimizer = optimizer_of(Decoder.fresh(SHAPE, 1), settings)
    rest = adamw if settings.use == "muon" else rule
    for name, found, expected in trained(optimizer, rule, rest, settings.weight_decay):
        bound = 5e-3 if settings.use == "muon" and name.startswith("blocks.") else 1e-6
        assert np.linalg.norm(found - expected) <= bound * np.linalg.norm(expected), name


def test_nesterov_is_that_of_sutskever() -> None:
    """v' = mu v - rate grad(w + mu v), w' = w + v' (Sutskever et al. 2013, equations 3 and 4), on a quadratic."""
    model = Decoder.fresh(SHAPE, 1).double()
    optimizer = optimizer_of(model, settings_of(use="nesterov", lr=0.02, momentum=0.9))
    weight = optimizer.learned["head.weight"]
    random = np.random.default_rng(0)
    curvature, lowest = random.uniform(0.1, 10, weight.shape), random.normal(size=weight.shape)
    w, v = weight.detach().numpy().copy(), np.zeros(weight.shape)
    for _ in range(STEPS):
        weight.grad = torch.from_numpy(curvature * (weight.detach().numpy() - lowest))
        optimizer.step()
        v = 0.9 * v - 0.02 * curvature * (w + 0.9 * v - lowest)
        w = w + v
        assert np.allclose(weight.detach().numpy(), w + 0.9 * v, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(24, 16), (16, 24), (16, 16)])
def test_muon_is_torch_s_but_for_its_precision(shape: tuple[int, int]) -> None:
    """torch.optim.Muon rounds to bfloat16 after each product, which has 8 bits."""
    from training.optim.muon import Muon

    torch.manual_seed(0)
    ours = [torch.randn(shape) for _ in range(3)]
    theirs = [weight.clone() for weight in ours]
    batched = Muon([{"params": ours, "weight_decay": 0.1}], lr=0.02, momentum=0.95, nesterov=True, iterations=5)
    single = torch.optim.Muon(theirs, lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    before = [weight.clone() for weight in ours]
    for _ in range(10):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(shape)
            b.grad = a.grad.clone()
        batched.step()
        single.step()
    for old, a, b in zip(before, ours, theirs, strict=True):
        assert (a - b).norm() < 0.02 * (a - old).norm()


def test_muon_steps_are_orthogonal_and_as_long_as_those_of_adamw() -> None:
    """Five iterations bring singular values that are not tiny to about 1, so that the root mean square is near 0.2."""
    model = Decoder.fresh(SHAPE, 1)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = optimizer_of(model, settings_of(use="muon", lr=0.01, weight_decay=0.0))
    torch.manual_seed(0)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape)
    optimizer.step()
    for name, weight in model.named_parameters():
        change = (before[name] - weight.detach()) / 0.01
        if name.startswith("blocks.") and weight.ndim == 2:
            values = torch.linalg.svdvals(change / (0.2 * max(weight.shape) ** 0.5))
            assert 0.6 < values.median() and values.max() < 1.3, name
            assert 0.15 < change.square().mean().sqrt() < 0.22, name
        else:
            assert torch.allclose(change.abs(), torch.ones(()), atol=1e-3), name  # the first step of Adam
