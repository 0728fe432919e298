"""Steps are made of the same, byte for byte, whoever makes them: ranks, workers, micro batches, kills.

With all that makes it hard at once: fill-in-the-middle, documents that are fitted into sequences, sequences that become
longer in the middle of the run, and weights that move.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from elastic import CPU, digest, unheard

from training.compute import Staged
from training.config import TrainConfig
from training.feed import Feed, rows_of
from training.order import Order, Table
from training.packing import batch
from training.provenance.ledger import tables
from training.provenance.trace import Trace
from training.store.tokens import TokenStore

ROOT = Path(__file__).parents[2]
STEPS = 201
SETTINGS: dict[str, Any] = {
    "steps": STEPS,
    "context": 32,
    "packing": "best_fit",
    "batch": {"sequences": 8, "micro": 4},
    "fim": {"code": {"rate": 0.6, "cuts": "syntax"}, "prose": {"rate": 0.3, "level": "context"}},
    "phases": [
        {"share": 1, "weights": {"code": [1, 3], "prose": [2, 1]}},
        {"share": 1, "context": 64, "weights": {"code": {"from": 3, "to": 1, "shape": "cosine"}, "prose": 1}},
    ],
}


@pytest.fixture(scope="module")
def run(stored: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training run, as far as the order of training needs it."""
    folder = tmp_path_factory.mktemp("elastic")
    draw = random.Random(0)
    texts = {
        "code": [f"def f{i}(x):\n    return x + {i}\n" * draw.randint(1, 9) for i in range(90)],
        "prose": [f"Sentence {i} of größer. " * draw.randint(0, 20) for i in range(60)],
    }
    config, store = stored(texts, out=folder, **SETTINGS)
    write(folder, config)
    order = Order(config, store)
    assert [stage.context for stage in order.steps.stages] == [32, 64]
    assert min(order.passes_before(STEPS)) > 1.5  # epochs end in the middle of it
    return folder


def write(folder: Path, config: TrainConfig) -> None:
    (folder / "run.json").write_text(json.dumps({"config": config.model_dump(mode="json")}))


def opened(run: Path, **changes: Any) -> Order:
    """The order with other settings, with nothing in common with orders that were opened before."""
    trace = Trace(run)
    config = trace.order.config.model_dump(mode="json")
    for name, values in changes.items():
        config[name] = {**config[name], **values}
    return Order(TrainConfig.model_validate(config), TokenStore.open(run / "tokens", trace.store.tokenizer))


@pytest.fixture(scope="module")
def expected(run: Path) -> list[list[str]]:
    """Of each step, hashes of its order and its batch, made one after the other without a feed."""
    order = opened(run)
    return [[order.digest(n), digest(CPU.staged(batch(order, n)))] for n in range(STEPS)]


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize(("world", "micro"), [(1, 1), (1, 4), (2, 4), (4, 1)])
def test_ranks_workers_and_micro_batches_alter_nothing(
    run: Path, expected: list[list[str]], world: int, workers: int, micro: int
) -> None:
    order = opened(run, batch={"micro": micro}, feeding={"workers": workers, "ahead": 1 + workers})
    parts: list[list[Staged]] = [[] for _ in range(STEPS)]
    digests: list[set[str]] = [set() for _ in range(STEPS)]
    at_once = {order.steps.at_once(n) for n in range(STEPS)}
    for rank in range(world):
        with Feed(order, CPU, 0, STEPS, unheard, rank=rank, world=world) as feed:
            for portion, _ in feed:
                size = order.steps.at_once(portion.step)
                for first in range(0, len(portion.targets), size):  # as the loop takes them
                    parts[portion.step].append(Staged(*(part[first : first + size] for part in portion.staged)))
                digests[portion.step].add(portion.digest)
    assert at_once == {max(micro // 2, 1), micro}
    for n in range(STEPS):
        whole = Staged(*(torch.cat(tensors) for tensors in zip(*parts[n], strict=True)))
        assert [*digests[n], digest(whole)] == expected[n]


def test_the_ledger_is_the_same_for_ranks_and_micro_batches(run: Path) -> None:
    order = opened(run)
    whole = [order.table(n)[2] for n in range(STEPS)]
    for world, micro in ((1, 1), (2, 4), (4, 1)):
        other = opened(run, batch={"micro": micro})
        for n in range(STEPS):
            mine = []
            for rank in range(world):
                rows = rows_of(other.steps.rows(n), rank, world)
                table = other.table(n, rows)[2]
                table[:, Table.ROW] += rows.start
                mine.append(table)
            assert np.array_equal(np.concatenate(mine), whole[n])
    told = [row for _, table in tables(Trace(run), range(1, STEPS + 1)) for row in table.to_pylist()]
    assert [row["start"] for row in told] == [start for table in whole for start in table[:, Table.START].tolist()]


def test_any_step_is_the_same_to_who_begins_there(run: Path, expected: list[list[str]]) -> None:
    order = opened(run)
    for n in random.Random(1).sample(range(STEPS), 60):  # of one process, in any order
        assert [order.digest(n), digest(CPU.staged(batch(order, n)))] == expected[n]
    boundary = order.steps.stages[1].begin
    for n in (*random.Random(2).sample(range(STEPS), 10), boundary - 1, boundary, STEPS - 1):
        begun = opened(run)
        with Feed(begun, CPU, n, min(n + 3, STEPS), unheard) as feed:
            found = [[portion.digest, digest(portion.staged)] for portion, _ in feed]
        assert found == expected[n : n + 3]


def test_killed_processes_make_what_one_makes_that_nobody_disturbed(
    run: Path, expected: list[list[str]], tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "tests/training/elastic.py"), str(run), str(tmp_path / "lines")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(process["killed"] for process in told) >= 3 and not told[-1]["killed"]
    assert [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()] == expected
