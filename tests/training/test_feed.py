"""The feed: batches in order whoever makes them, each rank its rows, and what is told when a batch does not come."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hanging_disk
import numpy as np
import pytest
import yaml
from hanging_disk import CPU, Told, with_settings
from hypothesis import given
from hypothesis import strategies as st

from pipeline.configfile import ConfigFile
from training.compute import Compute
from training.feed import Feed, Portion, rows_of
from training.interruption import TrainingError
from training.loop import train
from training.metrics import Meter, read_journal
from training.order import Order
from training.packing import NO_LOSS, batch
from training.store.documents import Documents

DUE = 60.0
"""Seconds after which a test has failed that waits for something to happen."""


def nothing(said: str, _: Mapping[str, Any]) -> None:
    raise AssertionError(said)


@pytest.fixture(scope="module")
def order(stored: Callable[..., Any]) -> Order:
    texts = {
        "code": [f"def f{i}(x):\n    return x + {i}\n" * (i % 7 + 1) for i in range(40)],
        "prose": [f"Sentence {i}. " * (i % 30) for i in range(30)],
    }
    phases = [{"weights": {"code": [1, 0], "long": 1, "prose": 1}}]
    sources = {"long": {"of": "prose", "where": {"tokens": [40, None]}}}
    batches = {"sequences": 6, "ramp": {"start": 2, "share": 0.5}}
    config, store = stored(texts, steps=30, context=48, batch=batches, fim={"code": {}}, phases=phases, sources=sources)
    return Order(config, store)


def same(portion: Portion, order: Order, rows: slice | None = None) -> None:
    made = batch(order, portion.step, rows)
    for name in ("inputs", "targets", "segments", "positions"):
        assert np.array_equal(getattr(portion.staged, name).numpy(), getattr(made, name))
    assert portion.sources.tolist() == made.sources.tolist()
    assert portion.targets.tolist() == (made.targets != NO_LOSS).sum(axis=1).tolist()
    assert portion.digest == order.digest(portion.step)
    assert portion.passes == order.passes_before(portion.step + 1)


@pytest.mark.parametrize(("workers", "ahead"), [(0, 1), (1, 1), (1, 5), (4, 1), (4, 3), (4, 100)])
def test_batches_come_in_order_whoever_makes_them(order: Order, workers: int, ahead: int) -> None:
    for start, stop in ((0, 30), (7, 12), (4, 4)):
        with Feed(with_settings(order, workers=workers, ahead=ahead), CPU, start, stop, nothing) as feed:
            portions = [portion for portion, _ in feed]
        assert [portion.step for portion in portions] == list(range(start, stop))
        for portion in portions:
            same(portion, order)


@pytest.mark.parametrize("packing", ["concatenate", "best_fit", "buckets"])
def test_threads_share_an_order(order: Order, packing: str) -> None:
    """All that is remembered in an order is asked for by several threads at once, far from each other."""
    config = order.config.model_copy(update={"packing": packing})
    order, shared = Order(config, order.store), Order(config, order.store)
    expected = [batch(order, n).inputs.tobytes() for n in range(30)]
    wrong: list[int] = []

    def ask(number: int) -> None:
        for n in np.random.default_rng(number).permutation(30).tolist():
            if batch(shared, n).inputs.tobytes() != expected[n] or shared.digest(n) != order.digest(n):
                wrong.append(n)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class Counted(Feed):
    """Notes which steps were begun."""

    def __init__(self, *arguments: Any) -> None:
        self.begun: list[int] = []
        super().__init__(*arguments)

    def _made(self, reading: Any) -> Portion:
        self.begun.append(reading.step)
        return super()._made(reading)

    def rest(self) -> list[int]:
        """What was begun, when all threads wait for something to do."""
        due = time.monotonic() + DUE
        while not (self._next > self._asked and not self._due(self._next) and len(self.begun) == self._next):
            assert time.monotonic() < due
            time.sleep(0.001)
        return sorted(self.begun)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"workers": 0, "ahead": 9}, 0),
        ({"workers": 1, "ahead": 1}, 1),
        ({"workers": 3, "ahead": 2}, 2),
        ({"workers": 2, "ahead": 9, "memory": 1e-12}, 1),
        # Steps of 2 sequences of 48 tokens, 28 bytes each: three of them ahead, and not four.
        ({"workers": 4, "ahead": 9, "memory": 3.5 * 2 * 48 * 28 / 2**30}, 3),
    ],
)
def test_no_more_is_made_ahead_than_there_is_room_for(order: Order, settings: dict[str, Any], most: int) -> None:
    with Counted(with_settings(order, **settings), CPU, 0, 30, nothing) as feed:
        for portion, _ in feed:
            assert feed.rest() == list(range(portion.step + most + 1))
            if portion.step == 2:
                break


@given(st.integers(0, 300), st.integers(1, 70))
def test_the_ranks_rows_are_the_step(rows: int, world: int) -> None:
    shares = [range(rows)[rows_of(rows, rank, world)] for rank in range(world)]
    assert [row for share in shares for row in share] == list(range(rows))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("world", [2, 3, 5])
def test_each_rank_gets_its_rows(order: Order, world: int) -> None:
    for rank in range(world):
        with Feed(order, CPU, 0, 30, nothing, rank=rank, world=world) as feed:
            for portion, _ in feed:
                same(portion, order, rows_of(order.steps.rows(portion.step), rank, world))


def test_waiting_is_the_whole_making_without_workers_and_nothing_where_it_is_there(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that only goes on while a batch is made."""
    now, making = 0.0, Feed._made

    def made(self: Feed, reading: Any) -> Portion:
        nonlocal now
        now += 7.0
        return making(self, reading)

    monkeypatch.setattr(Feed, "_made", made)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    with Feed(with_settings(order, workers=0), CPU, 0, 4, nothing) as feed:
        assert [waited for _, waited in feed] == [7.0] * 4
    waits = []
    with Counted(with_settings(order, workers=1, ahead=1), CPU, 0, 4, nothing) as feed:
        for _, waited in feed:
            waits.append(waited)
            if len(waits) < 4:
                due = time.monotonic() + DUE
                while not feed._there(len(waits)) and time.monotonic() < due:
                    time.sleep(0.001)
    assert waits[1:] == [0.0] * 3


@pytest.mark.parametrize("workers", [0, 2])
def test_what_fails_says_step_and_source(order: Order, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    places, code = Documents.places, order.store.train[order.store.sources.index("code")]
    calls = 0

    def failing(self: Documents, documents: Any) -> Any:
        nonlocal calls
        calls += self is code
        if self is code and calls > 6:
            raise failures[-1]()
        return places(self, documents)

    monkeypatch.setattr(Documents, "places", failing)
    failures: list[Callable[[], Exception]] = [lambda: ValueError("there is no such place")]
    with Feed(with_settings(order, workers=workers), CPU, 0, 30, nothing) as feed, pytest.raises(ValueError) as raised:
        for _ in feed:
            pass
    assert str(raised.value) == "there is no such place"
    (note,) = raised.value.__notes__
    assert "the batch of step" in note and "source 'code'" in note
    calls = 0
    failures.append(lambda: OSError(5, "Input/output error", "tokens.bin"))
    with (
        Feed(with_settings(order, workers=workers), CPU, 0, 30, nothing) as feed,
        pytest.raises(TrainingError, match=r"batch of step \d+ cannot be made.*source 'code'.*Input/output error"),
    ):
        for _ in feed:
            pass


def never(gate: threading.Event, documents: Documents) -> Callable[[Documents, Any], Any]:
    """`Documents.places` on a disk that does not answer, before the gate is opened."""
    places = Documents.places

    def waiting(self: Documents, numbers: Any) -> Any:
        if self is documents:
            assert gate.wait(DUE)
        return places(self, numbers)

    return waiting


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_a_batch_that_does_not_come_is_told_again_and_again(
    order: Order, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, prose = threading.Event(), order.store.train[order.store.sources.index("prose")]
    monkeypatch.setattr(Documents, "places", never(gate, prose))
    told = Told(4, gate.set)
    with Feed(with_settings(order, workers=workers, patience=0.02), CPU, 0, 30, told) as feed:
        for portion, _ in feed:
            same(portion, order)
    step = told.about[-1][0]["step"]
    *waiting, arrived = [event for event in told.events if event["step"] == step]
    assert [event["event"] for event in waiting] == ["waiting"] * len(waiting) and arrived["event"] == "arrived"
    assert len(waiting) >= 2
    assert all(event["seconds"] >= 0.02 * 2**times for times, event in enumerate(waiting))
    for event, line in told.about:
        assert event["source"] in ("prose", "long")  # which is made of documents of prose
        folder = order.store.train[order.store.sources.index(event["source"])].folder
        assert event["file"] == str(folder)
        assert f"the batch of step {event['step']} is not there after 0 s" in line and str(folder) in line
    assert arrived["seconds"] >= waiting[-1]["seconds"]


def test_it_gives_up_where_it_is_told_to(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, code = threading.Event(), order.store.train[order.store.sources.index("code")]
    monkeypatch.setattr(Documents, "places", never(gate, code))
    told, patient = Told(0, gate.set), with_settings(order, patience=0.01, give_up=0.05)
    with (
        pytest.raises(TrainingError, match=r"batch of step \d+ is not there.*source 'code'.*feeding\.give_up"),
        Feed(patient, CPU, 0, 30, told) as feed,
    ):
        for _ in feed:
            pass
    assert len(told.events) > 1 and told.events[-1]["seconds"] >= 0.05
    gate.set()


def test_who_is_told_to_stop_does_not_wait_for_a_disk(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, code = threading.Event(), order.store.train[order.store.sources.index("code")]
    monkeypatch.setattr(Documents, "places", never(gate, code))
    stop = threading.Event()
    told = Told(1, stop.set)
    with Feed(with_settings(order, patience=0.01), CPU, 0, 30, told, stop.is_set) as feed:
        steps = [portion.step for portion, _ in feed]
    assert len(steps) + 1 == told.about[-1][0]["step"] < 30
    gate.set()


def test_a_disk_that_hangs_is_named(request: pytest.FixtureRequest) -> None:
    """In a process of its own, since where the interpreter stands still with the disk, nothing else can end it."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n0", str(Path(hanging_disk.__file__))]
    done = subprocess.run(command, cwd=request.config.rootpath, capture_output=True, text=True, timeout=600)
    if done.returncode == 0 and "passed" not in done.stdout:
        pytest.skip("the kernel has no userfaultfd for this process")
    assert done.returncode == 0, done.stdout + done.stderr


SETTINGS: dict[str, Any] = {
    "steps": 8,
    "context": 32,
    "batch": {"sequences": 4},
    "tokenizer": {"vocab_size": 400},
    "phases": [{"weights": {"code": 1, "prose": 1}}],
    "model": {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1, "hidden": 32},
    "evaluation": {"holdout": 0.1, "tokens": 256},
    "device": "cpu",
}


def steady(out: Path) -> list[dict[str, Any]]:
    clock = ("tokens_per_second", "seconds", "waited")
    return [
        {key: value for key, value in row.items() if key not in clock} for row in read_journal(out / "metrics.jsonl")
    ]


@pytest.mark.parametrize("lag", [0, 1])
def test_the_share_of_waiting_is_that_of_the_time_between_two_lines(
    tmp_path: Path, curated: Path, monkeypatch: pytest.MonkeyPatch, lag: int
) -> None:
    """On a clock on which a batch takes 9 s and a step 1 s, also where steps are told one late."""
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({"data": str(curated), **SETTINGS, "feeding": {"workers": 0}}))
    now, making, computing = 0.0, Feed._made, Compute.nll
    shares: list[float] = []

    def clock() -> float:
        nonlocal now
        now += 1e-6
        return now

    def made(self: Feed, reading: Any) -> Portion:
        nonlocal now
        now += 9.0
        return making(self, reading)

    def nll(*arguments: Any) -> Any:
        nonlocal now
        now += 1.0
        return computing(*arguments)

    monkeypatch.setattr(Feed, "_made", made)
    monkeypatch.setattr(Compute, "nll", nll)
    monkeypatch.setattr(Compute, "lag", lag)
    monkeypatch.setattr(Meter, "update", lambda *told: shares.append(told[-1]))
    monkeypatch.setattr(time, "perf_counter", clock)
    train(ConfigFile.read(path, []), tmp_path / "run")
    rows = [*read_journal(tmp_path / "run" / "metrics.jsonl")]
    assert [row["waited"] for row in rows] == [pytest.approx(9.0, abs=1e-3)] * 8
    assert rows[-1]["seconds"] == pytest.approx(80.0, abs=1e-2)
    # The first step's time has the wait for the second where it is told late, and the last one's then has none.
    expected = [0.9] * 8 if not lag else [18 / 20, *[0.9] * 6, 0.0]
    assert shares == [pytest.approx(share, abs=1e-3) for share in expected]


def test_a_run_tells_what_it_waits_for_ends_when_told_and_comes_to_the_same(
    tmp_path: Path, curated: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({"data": str(curated), **SETTINGS}))

    def file(**feeding: Any) -> ConfigFile:
        return ConfigFile.read(path, [f"feeding.{key}={value}" for key, value in feeding.items()])

    train(file(), tmp_path / "whole")
    assert [*read_journal(tmp_path / "whole" / "events.jsonl")] == []
    shutil.copytree(tmp_path / "whole" / "tokens", tmp_path / "run" / "tokens")
    shutil.copy(tmp_path / "whole" / "tokenizer.json", tmp_path / "run")
    run, places, asked, over = tmp_path / "run", Documents.places, 0, threading.Event()

    def told() -> list[dict[str, Any]]:
        return [event for event in read_journal(run / "events.jsonl") if "source" in event]

    def slow(self: Documents, documents: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked > 4:  # until it has been told twice, and then for ever
            due = time.monotonic() + DUE
            while len(told()) < 2:
                assert time.monotonic() < due
                time.sleep(0.005)
            os.kill(os.getpid(), signal.SIGTERM)
            assert over.wait(DUE)
        return places(self, documents)

    monkeypatch.setattr(Documents, "places", slow)
    outcome = train(file(workers=0, patience=0.01), run)
    over.set()
    monkeypatch.setattr(Documents, "places", places)
    assert outcome.interrupted and 0 < outcome.step < 8
    step = outcome.step + 1
    assert {(event["step"], event["event"]) for event in told()} == {(step, "waiting")}
    assert f"the batch of step {step} is not there after 0 s: " in capfd.readouterr().err
    assert train(file(workers=3, ahead=4), run).step == 8
    assert steady(run) == steady(tmp_path / "whole")
