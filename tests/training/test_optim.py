"""What holds for every optimizer: groups, steps that are left out, state in a file, float32 masters, and learning."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipeline.configfile import ConfigError, ConfigFile
from training.config import TrainConfig
from training.model import Decoder, Shape, document_mask
from training.optim import Optimizer, optimizer_of, optimizer_tensors, restore_optimizer, set_rate
from training.schedule import learning_rate
from training.steps import Steps

SHAPE = Shape(
    vocabulary=64,
    context=24,
    layers=2,
    width=32,
    heads=2,
    kv_heads=1,
    head_dim=16,
    hidden=64,
    rope_theta=10_000.0,
    norm_eps=1e-5,
    tied=False,
)
LEARNED: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 1.0},
    "momentum": {"lr": 0.1, "weight_decay": 1e-4},
    "nesterov": {"lr": 0.1},
    "adagrad": {"lr": 0.05},
    "rmsprop": {"lr": 3e-3, "momentum": 0.3, "centered": True},
    "adam": {"lr": 0.01},
    "adamw": {"lr": 0.01},
    "muon": {"lr": 0.01},
}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def config_of(**settings: Any) -> TrainConfig:
    return TrainConfig.model_validate({"data": "run", "steps": 160, **settings})


def made(use: str, master: bool = False, device: str = "cpu", **more: Any) -> tuple[Decoder, Optimizer]:
    model = Decoder.fresh(SHAPE, 1).to(device)
    return model, optimizer_of(model, config_of(optimizer={"use": use, **LEARNED[use], **more}).optimizer, master)


def give_gradients(optimizer: Optimizer, step: int, value: float | None = None) -> None:
    generator = torch.Generator().manual_seed(step)
    for weight in optimizer.learned.values():
        drawn = torch.randn(weight.shape, generator=generator).to(weight)
        weight.grad = drawn if value is None else torch.full_like(drawn, value)


def everything(model: Decoder, optimizer: Optimizer) -> dict[str, torch.Tensor]:
    found = {**dict(model.named_parameters()), **optimizer_tensors(model, optimizer), **(optimizer.masters() or {})}
    return {name: tensor.detach().clone() for name, tensor in found.items()}


@pytest.mark.parametrize("use", LEARNED)
@pytest.mark.parametrize("master", [False, True])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_step_that_is_left_out_changes_nothing_ever(use: str, master: bool, device: str, value: float | None) -> None:
    """Neither before the first step nor later: the run is the one in which that step is not there at all."""
    (model, optimizer), (other, plain) = made(use, master, device), made(use, master, device)
    skip, go = torch.ones((), device=device), torch.zeros((), device=device)
    for step in range(5):
        if step in (0, 3):
            before = everything(model, optimizer)
            give_gradients(optimizer, 99, value)
            optimizer.step(skip)
            after = everything(model, optimizer)
            assert before.keys() == after.keys() and all(torch.equal(after[name], before[name]) for name in before)
        for one in (optimizer, plain):
            give_gradients(one, step)
        optimizer.step(go)
        plain.step()
    found, expected = everything(model, optimizer), everything(other, plain)
    assert not torch.equal(found["head.weight"], before["head.weight"])
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("use", LEARNED)
@pytest.mark.parametrize("master", [False, True])
def test_goes_on_from_its_tensors(use: str, master: bool) -> None:
    """Also from those of before the first step; what a checkpoint has of the weights are the masters."""
    for stopped in (0, 2):
        (model, optimizer), straight = made(use, master), []
        for step in range(4):
            if step == stopped:
                weights = {**model.state_dict(), **(optimizer.masters() or {})}
                saved = {name: tensor.clone() for name, tensor in optimizer_tensors(model, optimizer).items()}
                weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
            give_gradients(optimizer, step)
            optimizer.step()
            straight.append(everything(model, optimizer))
        other = Decoder.empty(SHAPE)
        other.load_state_dict(weights)
        resumed = optimizer_of(other, config_of(optimizer={"use": use, **LEARNED[use]}).optimizer, master)
        restore_optimizer(other, resumed, saved)
        for step in range(stopped, 4):
            give_gradients(resumed, step)
            resumed.step()
            found = everything(other, resumed)
            assert all(torch.equal(found[name], tensor) for name, tensor in straight[step].items())


def test_state_of_another_optimizer_is_refused() -> None:
    model, adam = made("adam")
    _, nesterov = made("nesterov")
    with pytest.raises(KeyError, match=r"another optimizer's: .*exp_avg"):
        restore_optimizer(model, nesterov, optimizer_tensors(model, adam))
    with pytest.raises(KeyError, match="another optimizer's"):
        restore_optimizer(model, adam, {})


@pytest.mark.parametrize("use", LEARNED)
def test_decay_goes_where_the_config_says(use: str) -> None:
    """Without gradients only decay moves a weight."""
    model = Decoder.fresh(SHAPE, 1)
    roles = model.roles()
    assert {roles["embedding.weight"], roles["head.weight"], roles["norm.weight"]} == {"embedding", "head", "norm"}
    for chosen in (None, ["embedding", "norm"], []):
        given = {} if chosen is None else {"decay": chosen}
        model, optimizer = made(use, weight_decay=0.1, **given)
        torch.nn.init.ones_(model.get_parameter("head.weight"))  # zeros do not show decay
        before = everything(model, optimizer)
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
        moved = {roles[name] for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
        assert moved == ({"matrix", "head"} if chosen is None else set(chosen))


@pytest.mark.parametrize("use", LEARNED)
def test_every_parameter_belongs_to_one_group(use: str) -> None:
    model, optimizer = made(use)
    grouped = Counter(id(weight) for group in optimizer.param_groups for weight in group["params"])
    assert grouped == {id(weight): 1 for weight in model.parameters()}


def test_set_rate_reaches_all_groups_and_keeps_tensors() -> None:
    _, optimizer = made("muon")
    rate = torch.tensor(1.0)
    optimizer.param_groups[0]["lr"] = rate
    set_rate(optimizer, 0.25)
    assert [float(group["lr"]) for group in optimizer.param_groups] == [0.25] * len(optimizer.param_groups)
    assert optimizer.param_groups[0]["lr"] is rate


@pytest.mark.parametrize("use", ["sgd", "momentum", "nesterov", "adam", "adamw", "muon"])
def test_rates_in_tensors_do_what_numbers_do(use: str) -> None:
    """As groups have them on a GPU, with and without a verdict on the step."""
    (model, optimizer), (other, plain) = made(use), made(use)
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(1.0)
    for step in range(6):
        for one in (optimizer, plain):
            set_rate(one, 0.01 / (1 + step))
            give_gradients(one, step)
        optimizer.step(torch.zeros(()) if step % 2 else None)
        plain.step()
    for found, expected in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_masters_keep_what_bfloat16_cannot() -> None:
    """Steps of a thousandth of a weight: alone each is rounded away."""
    model, optimizer = made("sgd", master=True, weight_decay=0.0, clip=None)
    masters = optimizer.masters()
    assert masters is not None and {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert model.radians.dtype == torch.float32  # positions are not weights
    set_rate(optimizer, 0.001)
    weight = model.get_parameter("norm.weight")
    for step in range(1, 21):
        weight.backward(torch.ones_like(weight))
        optimizer.step()
        optimizer.zero_grad()
        expected = torch.full((32,), 1 - 0.001 * step)
        assert torch.allclose(masters["norm.weight"], expected, atol=1e-6)
        assert torch.equal(weight, masters["norm.weight"].bfloat16())
    assert weight[0] == torch.tensor(0.98).bfloat16()


def test_gradients_of_micro_batches_are_added_in_float32() -> None:
    model, optimizer = made("sgd", master=True)
    weight = model.get_parameter("norm.weight")
    for value in (256.0, *[1.0] * 8):  # 256 + 1 is 256 in bfloat16
        weight.backward(torch.full_like(weight, value))
        assert weight.grad is None
    gradient = optimizer.learned["norm.weight"].grad
    assert gradient is not None and gradient.dtype == torch.float32 and (gradient == 264).all()
    optimizer.zero_grad()
    assert optimizer.learned["norm.weight"].grad is None


@pytest.mark.parametrize("use", LEARNED)
@pytest.mark.parametrize("master", [False, True])
def test_learns_what_no_table_of_pairs_can(use: str, master: bool) -> None:
    """Random sequences by heart. Knowing the token before, the next one has a conditional entropy, counted here, that a
    model whose blocks do not learn to look further back cannot get below; all of these end far below."""
    random = np.random.default_rng(0)
    data = torch.from_numpy(random.integers(0, 8, (8, 25)))
    inputs, targets = data[:, :-1], data[:, 1:]
    pairs = Counter(zip(inputs.flatten().tolist(), targets.flatten().tolist(), strict=True))
    firsts = Counter(inputs.flatten().tolist())
    floor = -sum(n * math.log(n / firsts[first]) for (first, _), n in pairs.items()) / inputs.numel()
    config = config_of(optimizer={"use": use, **LEARNED[use]}, schedule={"decay": 0.5, "shape": "linear"})
    model = Decoder.fresh(SHAPE, 1)
    optimizer = optimizer_of(model, config.optimizer, master)
    positions, mask = torch.arange(24).expand(8, 24), document_mask(torch.zeros(8, 24, dtype=torch.int32))
    sizes = Steps(config.batch, config.steps, config.context)
    for step in range(config.steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=master):
            logits = model.logits(inputs, positions, mask)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(optimizer.learned.values()), 1.0)
        set_rate(optimizer, learning_rate(config.schedule, config.optimizer, sizes, step))
        optimizer.step(torch.zeros(()))
        optimizer.zero_grad()
    assert floor > 1.8 and loss.item() < 0.1 * floor


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("{use: sgd, lr: 1, betas: [0.9, 0.95]}", "unknown key 'betas'; choose from: clip, decay, lr, scale"),
        ("{use: momentum, lr: 1, momentun: 0.9}", "unknown key 'momentun'; did you mean 'momentum'?"),
        ("{use: nesterov, lr: 1, dampening: 0.1}", "unknown key 'dampening'"),
        ("{use: adamw, momentum: 0.9}", "unknown key 'momentum'"),
        ("{eps: 1e-8, alpha: 0.9}", "unknown key 'alpha'"),
        ("{use: adam-w}", "'adam-w' is not allowed; did you mean 'adamw'?"),
        ("{use: sgd}", "'lr' is missing"),
        ("{decay: [matrices]}", "'matrices' is not allowed; did you mean 'matrix'?"),
        ("{use: adam, scale: {rule: linear, sequences: 8}}", "those of adam are not; take 'sqrt'"),
    ],
)
def test_what_a_rule_does_not_have_is_refused(tmp_path: Path, optimizer: str, message: str) -> None:
    (tmp_path / "run.yaml").write_text(f"data: run\nsteps: 3\noptimizer: {optimizer}\n")
    with pytest.raises(ConfigError) as error:
        ConfigFile.read(tmp_path / "run.yaml").load(TrainConfig)
    (line,) = error.value.lines
    assert "run.yaml:3:" in line and message in line


@pytest.mark.parametrize("use", LEARNED)
def test_settings_are_read_back(use: str) -> None:
    config = config_of(optimizer={"use": use, **LEARNED[use], "decay": ["embedding"], "clip": None})
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config
    assert TrainConfig.model_validate_json(config.model_dump_json()).optimizer.use == use


def test_scaling_by_the_size_of_the_batch_is_for_the_rules_that_it_was_derived_for() -> None:
    for use, given in LEARNED.items():
        scaled = {"use": use, **given, "scale": {"rule": "linear", "sequences": 8}}
        if use in ("sgd", "momentum", "nesterov"):
            assert config_of(optimizer=scaled).optimizer.scale is not None
        else:
            with pytest.raises(ValidationError, match="'linear' follows from steps as long as their gradients"):
                config_of(optimizer=scaled)
        scaled["scale"] = {"rule": "sqrt", "sequences": 8}
        assert config_of(optimizer=scaled).optimizer.scale is not None
