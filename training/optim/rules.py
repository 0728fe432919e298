"""The optimizer that a config names, made of torch's own: each rule with its numbers, on the groups that it changes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from training.config import OptimizerSettings
from training.config.optimizer import Adagrad, Adam, AdamW, Momentum, Muon, Nesterov, RmsProp, Role, Sgd
from training.model import Decoder
from training.optim import muon
from training.optim.optimizer import Optimizer, masters_of

Group = dict[str, Any]


def optimizer_of(model: Decoder, settings: OptimizerSettings, master: bool = False) -> Optimizer:
    """The optimizer that the settings name, for a model that is on its device.

    With `master` the model's weights become bfloat16, and the rule changes float32 copies that they are the rounding
    of: a change that is too small for eight bits of mantissa is not lost (Micikevicius et al. 2018). The model is given
    in float32, as checkpoints have it.
    """
    weights = dict(model.named_parameters())
    learned: dict[str, Tensor] = masters_of(weights) if master else dict(weights)
    roles = model.roles()
    rest = {name: role for name, role in roles.items() if not isinstance(settings, Muon) or role != "matrix"}
    parts = [_rule(settings, _groups(learned, rest, settings))]
    if isinstance(settings, Muon):
        matrices = _groups(learned, {name: role for name, role in roles.items() if name not in rest}, settings)
        parts.append(muon.Muon(matrices, settings.lr, settings.momentum, settings.nesterov, settings.iterations))
    return Optimizer(parts, learned, weights if master else None)


def _groups(learned: dict[str, Tensor], roles: dict[str, Role], settings: OptimizerSettings) -> list[Group]:
    """The parameters with these roles that decay, and those that do not."""
    groups = []
    for decays in (True, False):
        chosen = [learned[name] for name, role in roles.items() if (role in settings.decay) == decays]
        if chosen:
            device = chosen[0].device
            rate = torch.tensor(settings.lr, device=device) if device.type == "cuda" else settings.lr
            groups.append({"params": chosen, "lr": rate, "weight_decay": settings.weight_decay if decays else 0.0})
    return groups


def _rule(settings: OptimizerSettings, groups: list[Group]) -> torch.optim.Optimizer:
    """Torch's optimizer for a rule (for Muon, for what is left to AdamW), with the state that the first step finds.

    Torch makes state in the first step, and its fused SGD never fills a buffer that it makes in a step left out.
    """
    lr = settings.lr
    match settings:
        case Sgd():
            return torch.optim.SGD(groups, lr=lr, fused=True)
        case Momentum() | Nesterov():
            made = torch.optim.SGD(
                groups,
                lr=lr,
                momentum=settings.momentum,
                dampening=settings.dampening if isinstance(settings, Momentum) else 0.0,
                nesterov=isinstance(settings, Nesterov),
                fused=True,
            )
            return _with_state(made, ["momentum_buffer"])
        case Adagrad():
            return torch.optim.Adagrad(
                _plain(groups),
                lr=lr,
                eps=settings.eps,
                initial_accumulator_value=settings.initial,
                fused=True if _on_cpu(groups) else None,
            )
        case RmsProp():
            scaled = torch.optim.RMSprop(
                _plain(groups),
                lr=lr,
                alpha=settings.alpha,
                eps=settings.eps,
                momentum=settings.momentum,
                centered=settings.centered,
            )
            names = {"square_avg": True, "momentum_buffer": settings.momentum > 0, "grad_avg": settings.centered}
            return _with_state(scaled, [name for name, used in names.items() if used], torch.device("cpu"))
        case Adam():
            adam = torch.optim.Adam(groups, lr=lr, betas=settings.betas, eps=settings.eps, fused=True)
        case AdamW() | Muon():
            adam = torch.optim.AdamW(groups, lr=lr, betas=settings.betas, eps=settings.eps, fused=True)
    return _with_state(adam, ["exp_avg", "exp_avg_sq"], groups[0]["params"][0].device)


def _on_cpu(groups: list[Group]) -> bool:
    return all(weight.device.type == "cpu" for group in groups for weight in group["params"])


def _plain(groups: list[Group]) -> list[Group]:
    """The groups with their rate as a number, for kernels that take no tensor."""
    return [{**group, "lr": float(group["lr"])} for group in groups]


def _with_state(
    made: torch.optim.Optimizer, names: Sequence[str], counts_on: torch.device | None = None
) -> torch.optim.Optimizer:
    """Fill in moments of 0, and counts of steps where the rule has them."""
    for group in made.param_groups:
        for weight in group["params"]:
            made.state[weight] = {name: torch.zeros_like(weight) for name in names}
            if counts_on is not None:
                made.state[weight]["step"] = torch.zeros((), device=counts_on)
    return made
