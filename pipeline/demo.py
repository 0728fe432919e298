"""The whole way once, on a corpus made from the user's own Python installation: curate it, train on it, infill code."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline import config, resources, run
from pipeline.accounting.escape import visible
from pipeline.accounting.report import write_report
from pipeline.accounting.stats import render, stats
from pipeline.accounting.tables import table
from pipeline.configfile import ConfigFile
from pipeline.display import Display
from pipeline.engines import make_engine
from pipeline.write import write_text

PREFIX = """class Point:
    def __init__(self, name, value=None):
        self.name = name
"""
SUFFIX = """

    def __repr__(self):
        return self.name
"""


@dataclass(frozen=True)
class Trainer:
    """What the demo needs of the training half, which this half does not import."""

    train: Callable[[ConfigFile, Path], None]
    """Train by a config into a folder."""
    infill: Callable[[Path, str, str], str]
    """What the model of a folder writes between a prefix and a suffix."""


def demo(folder: Path, workers: int | None, steps: int | None, trainer: Trainer, console: Console) -> None:
    """Do everything in `folder`; what is there already is not done again. Results go to stdout, progress to stderr."""
    out = Console(highlight=False)
    recipes = resources.folder("configs")
    corpus = folder / "corpus"
    console.print("1/3 making the corpus from this Python installation")
    files = _corpus(corpus)

    console.print("2/3 curating it")
    overrides = [
        f"sources.{source}.paths={json.dumps([str(path) for path in paths])}" for source, paths in files.items()
    ]
    settings = config.load(ConfigFile.read(recipes / "curate" / "demo.yaml", overrides))
    curated = folder / "curated"
    display = Display(console)
    try:
        run.curate(settings, curated, lambda: make_engine("local", workers), display)
    finally:
        display.close()
    out.print(render(stats(curated)))
    report = curated / "report.html"
    write_text(report, write_report(curated))

    console.print("3/3 training a tokenizer and a model")
    model = folder / "model"
    overrides = [f"data={json.dumps(str(curated))}", *([f"steps={steps}"] if steps else [])]
    trainer.train(ConfigFile.read(recipes / "train" / "demo.yaml", overrides), model)
    losses = _losses(model)
    rows = [
        (source, f"{before:.3f}", f"{after:.3f}", f"{after / before - 1:+.0%}")
        for source, (before, after) in losses.items()
    ]
    out.print(table("validation loss", ("source", "at the start", "at the end", "change"), rows))
    middle = trainer.infill(model, PREFIX, SUFFIX)
    out.print("The model, small and only minutes old, fills the hole between the first lines and the last:\n")
    out.print(Text.assemble(PREFIX, (visible(middle), "bold green"), SUFFIX))
    out.print(
        f"report:      {report}\nshards:      {curated / 'shards'}\ncheckpoints: {model / 'checkpoints'}\n"
        f"next:        gristmill inspect {curated} --reason dedup.minhash   "
        f"gristmill whatif {curated} --set gopher.words=200:   gristmill trace {model} --step 7",
        soft_wrap=True,
    )


def _corpus(folder: Path) -> Mapping[str, list[Path]]:
    """Build the corpus, unless an earlier demo left it whole."""
    builder = resources.folder("data") / "corpus.py"
    spec = importlib.util.spec_from_file_location("gristmill_demo_corpus", builder)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{builder} cannot be loaded")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    listing = folder / "files.json"
    if not listing.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        built: Mapping[str, list[Path]] = module.build(folder)
        names = {source: [path.name for path in paths] for source, paths in built.items()}
        write_text(listing, json.dumps(names))
    names = json.loads(listing.read_text(encoding="utf-8"))
    return {source: [folder / name for name in found] for source, found in names.items()}


def _losses(model: Path) -> dict[str, tuple[float, float]]:
    """Validation loss of each source at the first and the last evaluation."""
    with (model / "evaluations.jsonl").open(encoding="utf-8") as file:
        evaluations = [json.loads(line) for line in file]
    first, last = evaluations[0]["loss"], evaluations[-1]["loss"]
    return {source: (first[source], last[source]) for source in sorted(last)}
