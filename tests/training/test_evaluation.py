"""Held-out loss by source and length against a plain sum over documents; samples; what the loop sees of it all."""

import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml

from pipeline.configfile import ConfigFile
from training.compute import Compute
from training.config import EvaluationSettings, ModelSettings
from training.evaluation import Evaluator, HeldOut, unmeasurable
from training.loop import train
from training.metrics import read_journal
from training.model import Decoder, Shape, document_mask

TINY = ModelSettings(layers=1, width=16, heads=2, kv_heads=1, hidden=32)
WORDS = "the cat sat on a mat and the dog ran off with größer Zahl"


def texts(count: int, longest: int) -> list[str]:
    """Documents of many lengths, the first one the longest."""
    words = WORDS.split()
    return [
        " ".join(words[(i * 7 + j) % len(words)] for j in range(1 + (longest * (i + 1)) // count)) for i in range(count)
    ]


@pytest.fixture
def held(stored: Callable[..., Any]) -> Any:
    """A store with many held-out documents of two sources, a random model for it, and where to compute."""
    evaluation = {"holdout": 0.5, "tokens": 100_000, "lengths": [10, 40]}
    made = {"code": texts(30, 120), "prose": texts(20, 30), "small": ["one"]}
    config, store = stored(made, context=16, evaluation=evaluation, batch={"sequences": 3}, device="cpu", compile=False)
    model = Decoder.fresh(Shape.of(TINY, store.tokenizer.vocab_size, config.context), 1)
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # so that tokens cost very different amounts
    return config, store, model, Compute.of(config)


def brute(config: Any, store: Any, model: Decoder, source: int, most: int | None = None) -> dict[str, list[float]]:
    """Of each class of lengths: summed loss, targets, tokens and bytes; every piece of a document is run alone."""
    documents, sums = store.held[source], defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
    position = 0
    for d in sorted(range(len(documents)), key=lambda d: documents.keys[d]):
        ids = documents.ids(d).tolist()
        length = len(ids) - 1
        name = "0-9" if length < 10 else "10-39" if length < 40 else "40+"
        shown = ids if most is None else ids[: max(most - position, 0)]
        start = 0
        while start < len(shown):
            size = min(config.context - position % config.context, len(shown) - start)
            piece, following = torch.tensor([shown[start : start + size]]), ids[start + 1 : start + size + 1]
            logits = model.logits(piece, torch.arange(size)[None], document_mask(torch.zeros_like(piece)))[0]
            nll = F.cross_entropy(
                logits[: len(following)].double(), torch.tensor(following, dtype=torch.long), reduction="sum"
            )
            sums[name][0] += float(nll) if following else 0.0
            sums[name][1] += len(following)
            start, position = start + size, position + size
        if shown:
            sums[name][2] += len(shown)
            sums[name][3] += len(store.tokenizer.decode([i for i in shown if i != store.tokenizer.end]).encode())
    return sums


def test_losses_equal_a_plain_sum_over_documents_run_alone(held: Any) -> None:
    config, store, model, compute = held
    row = HeldOut(store, config).measure(model, model, compute)
    assert model.training
    assert set(row["loss"]) == {"code", "prose"}  # the only document of the third source is trained on
    for number, source in enumerate(store.sources[:2]):
        with torch.no_grad():
            sums = brute(config, store, model, number)
        assert len(row["by_length"][source]) == len(sums) >= 2
        for name, (nll, targets, tokens, size) in sums.items():
            found = row["by_length"][source][name]
            assert found["tokens"] == targets
            assert found["loss"] == pytest.approx(nll / targets, rel=1e-6)
            assert found["bits_per_byte"] == pytest.approx(nll / targets * tokens / size / math.log(2), rel=1e-6)
        nll, targets, tokens, size = (sum(part) for part in zip(*sums.values(), strict=True))
        assert row["tokens"][source] == targets == store.held[number].count_tokens - len(store.held[number])
        assert row["loss"][source] == pytest.approx(nll / targets, rel=1e-6)
        assert (tokens, size) == (store.held[number].count_tokens, store.held[number].count_bytes)
        assert row["bits_per_byte"][source] == pytest.approx(nll / targets * tokens / size / math.log(2), rel=1e-6)


def test_a_limit_cuts_a_document_which_counts_with_its_whole_length(held: Any) -> None:
    config, store, model, compute = held
    for limit in (16, 48, 160):
        cut = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"tokens": limit})})
        row = HeldOut(store, cut).measure(model, model, compute)
        with torch.no_grad():
            sums = brute(config, store, model, 0, limit)
        assert {name: found["tokens"] for name, found in row["by_length"]["code"].items()} == {
            name: targets for name, (_, targets, _, _) in sums.items() if targets
        }
        total, targets = (sum(part[i] for part in sums.values()) for i in (0, 1))
        assert row["loss"]["code"] == pytest.approx(total / targets, rel=1e-6)


def test_neither_micro_batches_nor_the_padding_for_compiled_models_change_it(held: Any) -> None:
    config, store, model, compute = held
    expected = HeldOut(store, config).measure(model, model, compute)
    seen = set()

    def trunk(tokens: Any, *others: Any) -> Any:
        seen.add(tuple(tokens.shape))
        return model(tokens, *others)

    filled = HeldOut(store, config).measure(model, trunk, dataclasses.replace(compute, compile="model"))
    assert seen == {(3, 16)}
    single = config.model_copy(update={"batch": config.batch.model_copy(update={"micro": 1})})
    for other in (filled, HeldOut(store, single).measure(model, model, compute)):
        assert other["by_length"].keys() == expected["by_length"].keys()
        for source, loss in expected["loss"].items():
            assert other["loss"][source] == pytest.approx(loss, rel=1e-6)
            assert other["tokens"][source] == expected["tokens"][source]


def test_classes_of_length_rise() -> None:
    assert EvaluationSettings(lengths=()).lengths == ()
    for lengths in ((10, 5), (5, 5)):
        with pytest.raises(ValueError, match="must rise"):
            EvaluationSettings(lengths=lengths)


@pytest.fixture
def sampling(stored: Callable[..., Any]) -> Callable[..., Any]:
    """A config with samples, its store, its model and where to compute."""

    def make(**samples: Any) -> Any:
        settings = {"prompts": ["the cat", "a<FILL>dog"], "tokens": 6, **samples}
        evaluation = {"holdout": 0.3, "every": 2, "samples": settings}
        config, store = stored(
            {"code": texts(20, 40)}, steps=5, context=32, evaluation=evaluation, device="cpu", compile=False
        )
        model = Decoder.fresh(Shape.of(TINY, store.tokenizer.vocab_size, config.context), 1)
        return config, store, model, Compute.of(config)

    return make


def test_evaluations_and_samples_are_due_when_asked(sampling: Callable[..., Any], tmp_path: Path) -> None:
    for every, steps in ((None, {0, 2, 4, 5}), (3, {0, 3, 5})):
        config, store, model, compute = sampling(every=every)
        with Evaluator(config, store, compute, model, model, tmp_path, -1) as evaluator:
            assert [step for step in range(6) if evaluator.due(step)] == sorted({0, 2, 4, 5} | steps)
            for step in range(6):
                assert (evaluator.at(step) is not None) == (step in {0, 2, 4, 5})
            evaluator.sync()
        rows = list(read_journal(tmp_path / "samples.jsonl"))
        assert [row["step"] for row in rows] == [step for step in sorted(steps) for _ in range(2)]
        assert {row["prompt"] for row in rows} == {"the cat", "a<FILL>dog"}
        assert all(0 <= row["tokens"] <= 6 and isinstance(row["text"], str) for row in rows)
        # the model did not change, so neither do the texts
        assert len({(row["prompt"], row["text"]) for row in rows}) == 2


def test_drawn_samples_are_the_same_again_and_differ_by_prompt(sampling: Callable[..., Any], tmp_path: Path) -> None:
    config, store, model, compute = sampling(temperature=1.0, prompts=["the cat", "the cat"])
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with Evaluator(config, store, compute, model, model, tmp_path / name, -1) as evaluator:
            evaluator.at(0)
        written.append([row["text"] for row in read_journal(tmp_path / name / "samples.jsonl")])
    assert written[0] == written[1] and written[0][0] != written[0][1]


def test_going_on_drops_what_is_done_again_and_keeps_step_0(sampling: Callable[..., Any], tmp_path: Path) -> None:
    config, store, model, compute = sampling()
    with Evaluator(config, store, compute, model, model, tmp_path, -1) as evaluator:
        first = evaluator.at(0)
        evaluator.at(2)
        evaluator.at(4)
    assert first is not None and set(first["change"].values()) == {0.0}
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    with Evaluator(config, store, compute, model, model, tmp_path, 2) as evaluator:
        row = evaluator.at(4)
    assert row is not None
    assert row["change"]["code"] == pytest.approx(row["loss"]["code"] / first["loss"]["code"] - 1)
    assert row["change"]["code"] != 0
    for name in ("evaluations", "samples"):
        steps = [json.loads(line)["step"] for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        assert sorted(set(steps)) == [0, 2, 4] and steps == sorted(steps)


def test_a_run_that_was_stopped_writes_the_same_samples_and_evaluations(curated: Path, tmp_path: Path) -> None:
    settings = {
        "data": str(curated),
        "steps": 6,
        "context": 32,
        "batch": {"sequences": 4},
        "tokenizer": {"vocab_size": 400},
        "model": {"layers": 1, "width": 32, "heads": 4, "kv_heads": 2, "hidden": 64},
        "evaluation": {
            "holdout": 0.1,
            "tokens": 256,
            "every": 3,
            "samples": {"prompts": ["import"], "tokens": 5, "every": 2, "temperature": 1.0},
        },
        "device": "cpu",
    }
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(settings))
    train(ConfigFile.read(path), tmp_path / "whole")
    for stop in (1, 4, None):
        train(ConfigFile.read(path), tmp_path / "parts", stop_after=stop)
    for name, steps in (("evaluations", [0, 3, 6]), ("samples", [0, 2, 4, 6])):
        rows = list(read_journal(tmp_path / "whole" / f"{name}.jsonl"))
        assert [row["step"] for row in rows] == steps
        assert list(read_journal(tmp_path / "parts" / f"{name}.jsonl")) == rows
    assert len({row["text"] for row in rows}) > 1  # the model changes, the draws do not


def test_what_cannot_be_measured_is_said_before_step_0(sampling: Callable[..., Any]) -> None:
    config, store, _, _ = sampling()
    assert unmeasurable(config, store) == []
    long = config.model_copy(
        update={"evaluation": EvaluationSettings.model_validate({"samples": {"prompts": ["fine", "a b " * 40]}})}
    )
    (problem,) = unmeasurable(long, store)
    assert problem.place == ("evaluation", "samples", "prompts", 1) and "at most 24" in problem.message
