"""Kills a training run again and again, and compares what it comes to with a run that nobody disturbed.

    python tests/training/kills.py FOLDER --kills 50

Every second kill comes at a random moment, the others while a checkpoint is being written. The same command goes on
after each; when a run is complete although it was killed, the next begins. Prints a line of JSON: kills, how many of
them left a half-written checkpoint behind, complete runs, and what of them differs from the undisturbed run.
"""

import argparse
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipeline.configfile import ConfigFile
from pipeline.schema import SHARD
from training import checkpoint
from training.loop import train
from training.metrics import read_journal

CLOCK = ("tokens_per_second", "seconds", "waited")
SETTINGS: dict[str, Any] = {
    "steps": 40,
    "context": 32,
    "batch": {"sequences": 8, "micro": 4},
    "tokenizer": {"vocab_size": 400},
    "phases": [{"weights": {"a": [1, 3], "b": [2, 1]}}],
    "max_epochs": 100,
    "fim": {"a": {"rate": 0.5}},
    "model": {"layers": 2, "width": 128, "heads": 4, "kv_heads": 2, "hidden": 256},
    "optimizer": {"lr": 1e-2},
    "evaluation": {"every": 7, "holdout": 0.1, "tokens": 256},
    "checkpoint": {"every": 2, "keep": 3, "keep_every": 10},
    "guard": {"window": 8, "sigma": 1.5, "most_in_a_row": 30},  # so strict that it leaves out a step now and then
    "device": "cpu",
    "threads": 1,
}


def corpus(folder: Path) -> None:
    """Two sources of sentences."""
    draw = np.random.default_rng(0)
    words = ["one", "two", "three", "never", "always", "größer", "(", ")", "=", "return"]
    for source in ("a", "b"):
        (folder / "shards" / source).mkdir(parents=True)
        texts = [" ".join(draw.choice(words, size)) for size in draw.integers(5, 200, 80)]
        rows = [
            {**dict.fromkeys(SHARD.names), "id": f"{source}-{i}", "text": text, "source": source, "origin": "x#0"}
            for i, text in enumerate(texts)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=SHARD), folder / "shards" / source / "part-00000.parquet")


def begin(config: Path, out: Path) -> int:
    """Train in a fork of this process, which has imported everything and computed nothing; gives its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        train(ConfigFile.read(config, []), out)
        code = 0
    finally:
        os._exit(code)


def half_written(out: Path) -> bool:
    return any((out / "checkpoints").glob(".step-????????"))


def put_aside(out: Path) -> None:
    """Rename what kills left behind, to tell it from what the next run begins; it is in the way as much as before."""
    for path in (out / "checkpoints").glob(".step-????????"):
        path.rename(path.with_name(f"{path.name}-killed"))


def outcome(out: Path) -> dict[str, Any]:
    """Everything that a run comes to, but for what the clock says."""
    found: dict[str, Any] = {}
    for path in checkpoint.all_of(out / "checkpoints"):
        checkpoint.verify(path)
        for file in ("model", "optimizer", "guard"):
            found[f"{path.name}/{file}"] = (path / f"{file}.safetensors").read_bytes()
        state = checkpoint.read_state(path)
        found[f"{path.name}/state"] = {key: value for key, value in state.items() if key not in CLOCK}
    for name in ("metrics", "events", "evaluations"):
        rows = read_journal(out / f"{name}.jsonl")
        found[name] = [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder, draw = options.folder, random.Random(options.seed)
    corpus(folder / "data")
    config = folder / "train.yaml"
    config.write_text(yaml.safe_dump({"data": str(folder / "data"), **SETTINGS}))
    begun = time.monotonic()
    _, status = os.waitpid(begin(config, folder / "undisturbed"), 0)
    assert status == 0, "the undisturbed run failed"
    whole = time.monotonic() - begun
    expected = outcome(folder / "undisturbed")
    kills = while_saving = runs = 0
    differing: set[str] = set()
    while kills < options.kills:
        out = folder / f"killed-{runs}"
        complete = False
        while not complete:
            put_aside(out)
            child = begin(config, out)
            # a moment for half of the kills, and for the others the moment from which they wait for a checkpoint
            due = time.monotonic() + draw.uniform(0, whole)
            saving, pause = kills % 2 == 1, draw.choice([0.0, draw.uniform(0, 0.003)])
            done = 0
            while not done:
                if kills < options.kills and time.monotonic() > due and (not saving or half_written(out)):
                    time.sleep(pause)
                    break
                if not saving:
                    time.sleep(0.0005)
                done, status = os.waitpid(child, os.WNOHANG)
            if not done:
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                kills += 1
                while_saving += half_written(out)
            else:
                complete = True
                if os.waitstatus_to_exitcode(status):
                    differing.add("exit code")
        runs += 1
        found = outcome(out)
        differing |= {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}
    skipped = len(expected["events"])
    print(
        json.dumps(
            {
                "kills": kills,
                "while_saving": while_saving,
                "runs": runs,
                "skipped": skipped,
                "differing": sorted(differing),
            }
        )
    )


if __name__ == "__main__":
    main()
