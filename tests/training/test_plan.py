"""The plan of a training run: what it says is what the run then does; advice is printed and sets nothing."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.configfile import ConfigFile
from training.advice import LEAST, PEAKS, advice, share_of_old_peak, usual_peak
from training.config import TrainConfig
from training.loop import train
from training.metrics import read_journal
from training.order import Order
from training.plan import make_plan
from training.store.tokens import prepare

SETTINGS: dict[str, Any] = {
    "steps": 20,
    "context": 64,
    "batch": {"sequences": 4},
    "tokenizer": {"vocab_size": 512},
    "phases": [{"weights": {"code": 1, "prose": 3}}, {"weights": {"code": [3, 0], "prose": [1, 1]}}],
    "max_epochs": 50,
    "model": {"layers": 1, "width": 32, "heads": 4, "kv_heads": 2, "hidden": 64},
    "optimizer": {"lr": 1e-2},
    "evaluation": {"holdout": 0.1, "tokens": 512},
    "device": "cpu",
    "compile": False,
}


@pytest.fixture
def recipe(tmp_path: Path, curated: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({"data": str(curated), **SETTINGS}))
    return path


def test_a_plan_of_stored_tokens_is_what_the_run_does(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    config = ConfigFile.read(recipe).load(TrainConfig)
    store = prepare(config, out)[1]
    before = sorted(path for path in out.rglob("*"))
    plan = make_plan(ConfigFile.read(recipe), out)
    assert sorted(path for path in out.rglob("*")) == before  # it changed nothing
    assert plan.exact and plan.problems == [] and plan.tokens == 20 * 4 * 64
    train(ConfigFile.read(recipe), out)
    rows = list(read_journal(out / "metrics.jsonl"))
    order = Order(config, store)
    seen = Counter(store.sources[row.source] for n in range(20) for row in order.step(n))
    assert {name: source.needed for name, source in plan.sources.items()} == {n: seen[n] * 64 for n in store.sources}
    for name, source in plan.sources.items():
        documents = store.train[store.sources.index(name)]
        assert source.tokens == documents.count_tokens
        assert source.epochs == pytest.approx(source.needed / documents.count_tokens, abs=64 / documents.count_tokens)
        assert plan.epochs(name)[-1] == pytest.approx(source.epochs) and source.most == 50
        assert source.share == pytest.approx(source.needed / plan.tokens)
    assert plan.parameters == json.loads((out / "run.json").read_text())["model"]["parameters"]
    by_step = {row["step"]: row for row in rows}
    assert plan.moments[0].step == 1 and plan.moments[-1].step == 20
    for moment in plan.moments:
        assert moment.lr == pytest.approx(by_step[moment.step]["lr"]) and moment.sequences == 4
        assert moment.context == 64
        assert sum(moment.shares.values()) == pytest.approx(1)
    assert plan.course.lr == pytest.approx([by_step[step]["lr"] for step in plan.course.steps])
    assert plan.course.tokens == [by_step[step]["tokens"] for step in plan.course.steps]
    for name in plan.sources:
        passes = [by_step[step]["epoch_by_source"][name] for step in plan.course.steps]
        assert plan.epochs(name) == pytest.approx(passes, abs=2 * 64 / plan.sources[name].tokens)
    assert plan.moments[0].shares == pytest.approx({"code": 0.25, "prose": 0.75})
    assert plan.moments[-1].shares["code"] == pytest.approx(0.15 / 1.15, abs=0.01)  # weights 0.15 and 1 in its middle


def test_without_tokens_it_estimates(recipe: Path, tmp_path: Path, byte_pairs: Path) -> None:
    exact = prepare(ConfigFile.read(recipe, [f"tokenizer.path={byte_pairs}"]).load(TrainConfig), tmp_path / "run")[1]
    plan = make_plan(ConfigFile.read(recipe, [f"tokenizer.path={byte_pairs}"]), tmp_path / "elsewhere")
    assert not plan.exact and not (tmp_path / "elsewhere").exists()
    for name, documents in zip(exact.sources, exact.train, strict=True):
        assert plan.sources[name].tokens == pytest.approx(documents.count_tokens, rel=0.15)
    # a store that is of other shards, or of another holdout, does not count
    other = make_plan(
        ConfigFile.read(recipe, [f"tokenizer.path={byte_pairs}", "evaluation.holdout=0.2"]), tmp_path / "run"
    )
    assert not other.exact


def test_the_command_says_what_train_would_refuse(recipe: Path, tmp_path: Path) -> None:
    run = CliRunner()
    fine = run.invoke(app, ["plan", str(recipe)])
    assert fine.exit_code == 0, fine.output
    assert "20 steps, 5,120 tokens" in fine.stdout and "about " in fine.stdout and "advice" not in fine.stdout
    assert "share of tokens by source" in fine.stdout and "AAAA" in fine.stdout
    made = json.loads(run.invoke(app, ["plan", str(recipe), "--json"]).stdout)
    assert made["exact"] is False and set(made["sources"]) == {"code", "prose"}
    series = made["series"]
    assert series["steps"] == list(range(1, 21)) and series["tokens"] == [256 * n for n in range(1, 21)]
    assert series["shares"]["code"][:10] == pytest.approx([0.25] * 10) and series["rows"] == [4] * 20
    for name, source in made["sources"].items():
        assert series["epochs"][name][-1] == pytest.approx(source["epochs"])
        assert series["read"][name][-1] == pytest.approx(source["needed"], abs=64)
    often = run.invoke(app, ["plan", str(recipe), "--set", "max_epochs=0.01"])
    assert often.exit_code == 2 and "epochs" in often.stderr and "20 steps" in often.stdout and "!!!" in often.stdout
    budget = run.invoke(app, ["plan", str(recipe), "--set", "phases=[{tokens: 1000000}]"])
    assert budget.exit_code == 2 and "take about" in budget.stderr
    assert "learning rate" in budget.stdout and "there can be no such mixture" in budget.stdout
    unknown = run.invoke(app, ["plan", str(recipe), "--set", "phases=[{weights: {cod: 1}}]"])
    assert unknown.exit_code == 2 and "did you mean 'code'?" in unknown.stderr
    limited = run.invoke(app, ["plan", str(recipe), "--limit", "3"], env={"TERM": "dumb", "COLUMNS": "200"})
    assert limited.exit_code == 2 and "--limit" in limited.stderr


def test_stages_and_rearranged_shares_are_in_the_plan(recipe: Path) -> None:
    phases = "phases=[{share: 1, weights: {code: 1, prose: 3}}, {share: 3, weights: {prose: 1}, context: 128}]"
    overrides = [phases, "batch={sequences: 8, ramp: {start: 4, share: 0.2}}", "fim={code: {rate: 0.7}}"]
    plan = make_plan(ConfigFile.read(recipe, overrides), None)
    first, second = plan.stages
    assert (first.step, first.context, first.rows[0]) == (1, 64, 4) and (second.context, second.rows) == (128, (4, 4))
    assert first.tokens + second.tokens == plan.tokens
    assert first.tokens == pytest.approx(plan.tokens / 4, abs=8 * 64)
    assert sum(source.needed for source in plan.sources.values()) == pytest.approx(plan.tokens, abs=4 * 128)
    assert {name: source.fim for name, source in plan.sources.items()} == {"code": 0.7, "prose": 0}
    # twice the context is 12 x layers x width x 64 operations more for each token of the second stage
    short = make_plan(ConfigFile.read(recipe, [phases.replace("128", "64"), *overrides[1:]]), None)
    assert len(short.stages) == 1
    assert plan.flops - short.flops == pytest.approx(12 * 1 * 32 * 64 * second.tokens)


def test_padding_is_in_the_plan_once_tokens_are_counted(recipe: Path, tmp_path: Path) -> None:
    overrides = ["packing=best_fit", "phases=[{weights: {code: 1, prose: 1}}, {weights: {prose: 1}, context: 32}]"]
    config = ConfigFile.read(recipe, overrides).load(TrainConfig)
    order = Order(config, prepare(config, tmp_path / "run")[1])
    plan = make_plan(ConfigFile.read(recipe, overrides), tmp_path / "run")
    code, prose = plan.sources["code"], plan.sources["prose"]
    assert code.padding == pytest.approx(order.padding(0, 0))
    first, second = plan.stages
    # half of the first stage's tokens are prose, and all of the second one's
    mean = (order.padding(1, 0) * first.tokens / 2 + order.padding(1, 1) * second.tokens) / prose.needed
    assert prose.padding == pytest.approx(mean)
    assert second.padding == pytest.approx(order.padding(1, 1)) and plan.packing == "best_fit"
    assert "packed by best_fit" in CliRunner().invoke(app, ["plan", str(recipe), "--set", "packing=best_fit"]).stdout
    estimate = make_plan(ConfigFile.read(recipe, overrides), None)
    assert estimate.stages[0].padding is None and estimate.sources["code"].padding is None


def test_the_command_draws_files(recipe: Path, tmp_path: Path) -> None:
    run = CliRunner()
    for name, root in (("plan.svg", "svg"), ("new/plan.html", "html")):
        done = run.invoke(app, ["plan", str(recipe), "--draw", str(tmp_path / name)])
        assert done.exit_code == 0 and f"drawn: {tmp_path / name}" in done.stderr
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.endswith(f"</{root}>") and "code" in text and "<polygon" in text
    path = tmp_path / "refused.svg"
    refused = run.invoke(app, ["plan", str(recipe), "--json", "--set", "max_epochs=0.01", "--draw", str(path)])
    assert refused.exit_code == 2 and json.loads(refused.stdout)["problems"]
    assert "cannot be done" in path.read_text(encoding="utf-8")
    quiet = {"TERM": "dumb", "COLUMNS": "200"}
    other = run.invoke(app, ["plan", str(recipe), "--draw", str(tmp_path / "plan.png")], env=quiet)
    assert other.exit_code == 2 and ".svg, .html" in other.stderr and not (tmp_path / "plan.png").exists()
    curation = Path(__file__).parents[2] / "configs" / "curate" / "web.yaml"
    none = run.invoke(app, ["plan", str(curation), "--draw", str(path)], env=quiet)
    assert none.exit_code == 2 and "curation has none" in none.stderr


def continued(**changes: Any) -> TrainConfig:
    settings = {"data": "x", "steps": 100, "context": 1000, "batch": {"sequences": 10}, "model": {"init_from": "y"}}
    return TrainConfig.model_validate({**settings, **changes})


def test_the_usual_peak_is_the_table_s_and_falls_with_size() -> None:
    for parameters, rate in PEAKS:
        assert usual_peak(int(parameters)) == pytest.approx(rate)
    sizes = [10**n for n in range(6, 13)]
    peaks = [usual_peak(size) for size in sizes]
    assert peaks == sorted(peaks, reverse=True)
    assert (usual_peak(10**6), usual_peak(10**12)) == (6e-4, 6e-5)
    assert 1.2e-4 < usual_peak(4_000_000_000) < 1.6e-4


def test_short_runs_are_advised_less() -> None:
    assert share_of_old_peak(10**9, 10**9) == 1 == share_of_old_peak(10**12, 10**9)
    assert share_of_old_peak(10**8, 10**9) == pytest.approx(0.1**0.25)
    assert share_of_old_peak(1000, 10**9) == LEAST


def test_advice_is_for_continued_runs_and_counts_their_tokens() -> None:
    assert advice(TrainConfig.model_validate({"data": "x", "steps": 1}), 10**6) == []
    lines = "\n".join(advice(continued(), 125_000_000))
    assert f"a peak rate of {6e-4 * (1e6 / 125e6) ** 0.25:.1e}" in lines
    assert "continuing.old_peak if it is known" in lines and "0.008 tokens a parameter" in lines
    assert "25 to 50 %" in lines
    known = continued(continuing={"old_peak": 2e-3, "replay": {"sources": ["old"]}})
    said = "\n".join(advice(known, 1_000_000))
    assert "a peak rate of 2.0e-03" in said and "replay" not in said and "tokens a parameter" not in said
    flat = continued(schedule={"use": "constant", "warmup": 0.0})
    assert "schedule.warmup" in "\n".join(advice(flat, 10**6)) and "falls to nothing" in "\n".join(advice(flat, 10**6))
    assert "none for the rate of sgd" in "\n".join(advice(continued(optimizer={"use": "sgd", "lr": 0.1}), 10**6))


def test_the_command_line_knows_one_plan() -> None:
    assert isinstance(app, typer.Typer)
    described = CliRunner().invoke(app, ["plan", "--help"]).stdout
    assert "configs/train/tiny.yaml" in described and "configs/curate/web.yaml" in described
