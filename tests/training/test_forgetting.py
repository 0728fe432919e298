"""Continued pretraining: replay has its share at every moment, forgetting is measured from step 0 and can end a run."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from pipeline.configfile import ConfigError, ConfigFile
from training import checkpoint, cli, generate, hf
from training.config import TrainConfig
from training.evaluation import Forgetting, ForgettingError, table, unmeasurable
from training.loop import train
from training.metrics import read_journal
from training.order import Order, feasibility

BASE: dict[str, Any] = {
    "steps": 30,
    "context": 64,
    "batch": {"sequences": 4},
    "tokenizer": {"vocab_size": 512},
    "phases": [{"weights": {"code": 1, "prose": 1}}],
    "max_epochs": 50,
    "model": {"layers": 1, "width": 32, "heads": 4, "kv_heads": 2, "hidden": 64},
    "optimizer": {"lr": 1e-2},
    "evaluation": {"holdout": 0.1, "tokens": 1024},
    "device": "cpu",
    "compile": False,
}


@pytest.fixture(scope="module")
def base(curated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Hugging Face folder of a model that has seen both sources."""
    folder = tmp_path_factory.mktemp("base")
    path = folder / "base.yaml"
    path.write_text(yaml.safe_dump({"data": str(curated), **BASE}))
    train(ConfigFile.read(path), folder / "run")
    hf.export(*generate.load(folder / "run"), folder / "exported")
    return folder / "exported"


@pytest.fixture
def config(tmp_path: Path, curated: Path, base: Path) -> Callable[..., Path]:
    """Write a config that goes on with `code` alone, at a rate that makes the model forget `prose`."""

    def write(continuing: Any, **changes: Any) -> Path:
        settings = {
            **BASE,
            "data": str(curated),
            "steps": 20,
            "tokenizer": {},
            "phases": [{"weights": {"code": 1}}],
            "model": {"init_from": str(base)},
            "schedule": {"warmup": 0.1, "decay": 0.5},
            "evaluation": {**BASE["evaluation"], "every": 4},
            "continuing": continuing,
            **changes,
        }
        path = tmp_path / "continue.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in settings.items() if value is not None}))
        return path

    return write


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    app = typer.Typer()
    cli.register(app)
    return app


def evaluations(out: Path) -> list[dict[str, Any]]:
    return list(read_journal(out / "evaluations.jsonl"))


def test_a_limit_ends_the_run_with_its_checkpoint_and_raising_it_goes_on(
    config: Callable[..., Path], app: typer.Typer, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ["train", str(config({"limit": {"prose": 0.02}})), "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 3, result.output
    rows = evaluations(out)
    step, change = rows[-1]["step"], rows[-1]["change"]["prose"]
    assert 0 < step < 20 and change > 0.02
    assert all(row["change"]["prose"] <= 0.02 for row in rows[:-1])
    for row in rows:
        for source in ("code", "prose"):
            assert row["change"][source] == pytest.approx(row["loss"][source] / rows[0]["loss"][source] - 1, abs=1e-12)
    assert f"step {step}" in result.stderr and f"{change:+.2%}" in result.stderr and "+2.00%" in result.stderr
    newest = checkpoint.latest(out / "checkpoints")
    assert newest is not None and newest.name == f"step-{step:08d}"

    again = CliRunner().invoke(app, command)  # nothing has changed, so it stops where it is
    assert again.exit_code == 3 and f"step {step}" in again.stderr
    assert evaluations(out) == rows
    further = CliRunner().invoke(app, [*command, "--set", "continuing.limit.prose=100"])
    assert further.exit_code == 0, further.output
    assert evaluations(out)[: len(rows)] == rows and evaluations(out)[-1]["step"] == 20
    final = evaluations(out)[-1]
    assert f"{final['change']['prose']:+.2%}" in further.stdout and "change" in further.stdout


def test_with_replay_less_is_forgotten(config: Callable[..., Path], tmp_path: Path) -> None:
    changes = {}
    for name, replay in (("without", None), ("with", {"sources": ["prose"], "share": 0.5})):
        file = ConfigFile.read(config({"replay": replay}))
        train(file, tmp_path / name)
        changes[name] = evaluations(tmp_path / name)[-1]["change"]["prose"]
    assert changes["with"] < 0.5 * changes["without"]


@pytest.mark.parametrize("share", [0.05, 0.25, 1 / 3, 0.9])
def test_replay_has_its_share_at_every_moment_whatever_the_phases_say(stored: Callable[..., Any], share: float) -> None:
    texts = {
        name: [f"{name} {i} " * (i % 9 + 1) for i in range(count)]
        for name, count in (("a", 30), ("b", 50), ("old", 40), ("older", 10))
    }
    config, store = stored(
        texts,
        steps=60,
        phases=[{"share": 1, "weights": {"a": [1, 0], "b": [0, 3]}}, {"share": 2, "weights": "auto"}],
        model={"init_from": "somewhere"},
        continuing={"replay": {"sources": ["older", "old"], "share": share}},
    )
    order = Order(config, store)
    slots, per_step = 60 * 4, 4
    old = [store.sources.index(name) for name in ("old", "older")]
    sizes = [store.train[i].count_tokens for i in old]
    seen: Counter[int] = Counter()
    for n in range(60):
        seen.update(plan.source for plan in order.step(n))
        done = (n + 1) * per_step
        for source, size in zip(old, sizes, strict=True):
            assert abs(seen[source] - share * size / sum(sizes) * done) < 1
    assert sum(seen.values()) == slots
    new = [store.sources.index(name) for name in ("a", "b")]
    assert all(seen[source] > 0 for source in new)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {}}, "nothing to continue"),
        ({"phases": [{"weights": {"new": 1, "old": 1}}]}, "old has its share from continuing.replay"),
        ({"continuing": {"limit": 0.1}}, "name sources"),
        ({"continuing": {"replay": {"sources": ["old"], "share": 1.0}}}, "less than 1"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], said: str) -> None:
    settings = {
        "data": "x",
        "steps": 1,
        "model": {"init_from": "y"},
        "continuing": {"replay": {"sources": ["old"]}, "limit": 0.02},
    }
    assert TrainConfig.model_validate(settings).continuing is not None
    with pytest.raises(ValueError, match=said):
        TrainConfig.model_validate({**settings, **changes})


def test_unknown_sources_are_named_with_the_nearest(stored: Callable[..., Any]) -> None:
    texts = {"english": ["a b c " * 9] * 3, "german": ["d e f " * 9] * 3, "tiny": ["x"]}
    config, store = stored(
        texts,
        model={"init_from": "y"},
        phases=[{"weights": {"german": 1}}],
        continuing={"replay": {"sources": ["englisch"]}, "limit": {"germa": 0.1, "tiny": 0.1}},
    )
    (replay,) = feasibility(config, store)
    assert replay.place == ("continuing", "replay", "sources", 0) and "'english'" in replay.message
    unknown, unmeasured = unmeasurable(config, store)
    assert unknown.place == ("continuing", "limit", "germa") and "'german'" in unknown.message
    assert unmeasured.place == ("continuing", "limit", "tiny") and "held-out" in unmeasured.message


def test_limits_are_compared_with_step_0() -> None:
    config = TrainConfig.model_validate(
        {
            "data": "x",
            "steps": 1,
            "model": {"init_from": "y"},
            "continuing": {"replay": {"sources": ["b", "c"]}, "limit": 0.05},
        }
    )
    first = {"step": 0, "loss": {"a": 2.0, "b": 4.0, "c": 1.0}}
    forgetting = Forgetting(config, first)
    fine = {"step": 3, "loss": {"a": 3.0, "b": 4.2, "c": 0.5, "new": 1.0}}
    assert forgetting.row(fine) == pytest.approx({"a": 0.5, "b": 0.05, "c": -0.5})
    forgetting.check({**fine, "loss": {**fine["loss"], "b": 4.19}})
    with pytest.raises(ForgettingError, match=r"step 3.*b 4\.0000 -> 4\.2100 \(\+5\.25%.*\+5\.00%") as caught:
        forgetting.check({**fine, "loss": {**fine["loss"], "b": 4.21}})
    assert "a 2.0" not in str(caught.value)
    assert table([first]) == []
    assert [line.split() for line in table([first, {"step": 7, "loss": {"a": 3.0}}])] == [
        ["held-out", "loss", "step", "0", "step", "7", "change"],
        ["a", "2.0000", "3.0000", "+50.00%"],
    ]


def test_the_recipe_is_as_the_documents_say(base: Path, curated: Path) -> None:
    recipe = Path(__file__).parents[2] / "configs/train/continue.yaml"
    config = ConfigFile.read(recipe).load(TrainConfig)
    assert config.replay is not None and config.replay.share == 0.25
    assert config.continuing is not None and config.continuing.limits() == {"english": 0.02}
    with pytest.raises(ConfigError, match="runs/german"):
        train(ConfigFile.read(recipe), base.parent / "nothing")
    assert not json.loads((base / "config.json").read_text()).get("quantization_config")
