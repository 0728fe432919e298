"""From a curated run to a model that others open, through the command line; and the demo, which is the whole way."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def trained(finished: Path, recipes: Path, gristmill: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps of the tiny recipe on the small corpus."""
    run = tmp_path_factory.mktemp("trained") / "run"
    small = ["steps=4", "context=64", "tokenizer.vocab_size=512", "fim={code: {rate: 0.9}}", "threads=1"]
    overrides = [word for setting in (f"data={finished}", *small) for word in ("--set", setting)]
    gristmill("train", recipes.parent / "train" / "tiny.yaml", "--out", run, *overrides)
    return run


def test_a_journal_of_every_step(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["tokens"] for line in lines] == [16 * 64 * step for step in (1, 2, 3, 4)]
    for line in lines:
        assert {"step", "tokens", "loss", "loss_by_source", "lr"} <= set(line)
        whole = sum(line["targets_by_source"][name] * loss for name, loss in line["loss_by_source"].items())
        assert whole / sum(line["targets_by_source"].values()) == pytest.approx(line["loss"], rel=1e-6)


def test_a_step_leads_back_to_records(trained: Path, finished: Path, gristmill: Run) -> None:
    import polars as pl

    pieces = json.loads(gristmill("trace", trained, "--step", "2", "--json").stdout)
    ledger = pl.read_parquet(finished / "ledger/**/*.parquet").filter(verdict="kept")
    origins = dict(ledger.select("id", "origin").iter_rows())
    assert len(pieces) >= 16 and all(origins[piece["id"]] == piece["origin"] for piece in pieces)
    visits = json.loads(gristmill("trace", trained, "--doc", pieces[0]["id"], "--json").stdout)
    assert 2 in [visit["step"] for document in visits for visit in document["visits"]]


def test_transformers_opens_what_is_exported(trained: Path, gristmill: Run, tmp_path: Path) -> None:
    from training import generate

    gristmill("export", trained, tmp_path / "exported")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "exported").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    model, own_tokenizer = generate.load(trained)
    text = "def add(first, second):\n    return first + second\n"
    ids = own_tokenizer.encode(text)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids
    tokens = torch.tensor([ids])
    with torch.inference_mode():
        hidden = model(tokens, torch.arange(len(ids))[None], generate.document_mask(torch.zeros_like(tokens)))
        ours = torch.nn.functional.linear(hidden, model.output)[..., : own_tokenizer.vocab_size]
        assert (ours - theirs(tokens).logits[..., : own_tokenizer.vocab_size]).abs().max() < 1e-4


def test_the_demo_goes_the_whole_way(gristmill: Run, tmp_path: Path) -> None:
    done = gristmill("demo", "--out", tmp_path / "demo", "--workers", "2", "--steps", "3")
    for source in ("web", "code", "docs"):
        assert f"source {source}" in done.stdout
    assert "validation loss" in done.stdout and "class Point:" in done.stdout
    for path in ("curated/report.html", "curated/shards", "model/checkpoints", "model/metrics.jsonl"):
        assert (tmp_path / "demo" / path).exists()
