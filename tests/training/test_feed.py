"""The feed: batches in order whoever makes them, each rank its rows, and what is told when a batch does not come."""

import ctypes
import faulthandler
import mmap
import os
import shutil
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.configfile import ConfigFile
from training.compute import Compute
from training.config import FeedingSettings
from training.documents import Documents
from training.feed import Feed, Portion, rows_of
from training.interruption import TrainingError
from training.loop import train
from training.metrics import Meter, read_journal
from training.order import Order
from training.packing import NO_LOSS, batch

CPU = Compute(torch.device("cpu"), torch.float32, False, False)
DUE = 60.0
"""Seconds after which a test has failed that waits for something to happen."""


def nothing(said: str, _: Mapping[str, Any]) -> None:
    raise AssertionError(said)


def with_settings(order: Order, **settings: Any) -> Order:
    feeding = FeedingSettings.model_validate(settings)
    return Order(order.config.model_copy(update={"feeding": feeding}), order.store)


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
        if calls > 6:
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


class Told:
    """What a feed tells of batches that do not come; on a busy machine also of some that nothing is wrong with."""

    def __init__(self, most: int, act: Callable[[], None], what: str = "source") -> None:
        """After being told so often that a batch is not there, each time with a `what`, it acts."""
        self.lines: list[str] = []
        self.events: list[Mapping[str, Any]] = []
        self._most, self._act, self._what = most, act, what

    def __call__(self, said: str, event: Mapping[str, Any]) -> None:
        self.lines.append(said)
        self.events.append(event)
        if self._what in event:
            self._most -= 1
            if not self._most:
                self._act()

    @property
    def about(self) -> list[tuple[Mapping[str, Any], str]]:
        """Events that say what is asked for, with their lines."""
        told = zip(self.events, self.lines, strict=True)
        return [(event, line) for event, line in told if self._what in event]


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


class Absent:
    """A page of memory that nobody can read before it is brought, by Linux's userfaultfd: a disk that hangs."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        """Skips the test where the kernel does not let this process have such pages."""
        self._libc, numbers = ctypes.CDLL(None, use_errno=True), {"x86_64": 323, "aarch64": 282}
        self._handle = self._libc.syscall(numbers.get(os.uname().machine, -1), os.O_CLOEXEC | os.O_NONBLOCK | 1)
        if self._handle < 0:
            pytest.skip("the kernel has no userfaultfd for this process")
        size = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(getattr(mmap, "MADV_NOHUGEPAGE", 15))
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._content = array.tobytes().ljust(size, b"\0")
        self.begin = size // 2 // mmap.PAGESIZE * mmap.PAGESIZE
        self.end = self.begin + mmap.PAGESIZE
        self.array = np.frombuffer(memory, array.dtype, array.size)
        for part in (slice(0, self.begin), slice(self.end, size)):
            memory[part] = self._content[part]
        self._control(0x3F, struct.pack("QQQ", 0xAA, 0, 0))  # UFFDIO_API
        self._control(0x00, struct.pack("QQQQ", self._start + self.begin, mmap.PAGESIZE, 1, 0))  # UFFDIO_REGISTER

    def bring(self) -> None:
        """The disk answers."""
        page = ctypes.create_string_buffer(self._content[self.begin : self.end], mmap.PAGESIZE)
        target = self._start + self.begin
        self._control(0x03, struct.pack("QQQQq", target, ctypes.addressof(page), mmap.PAGESIZE, 0, 0))  # UFFDIO_COPY
        os.close(self._handle)

    def _control(self, number: int, argument: bytes) -> None:
        request = 3 << 30 | len(argument) << 16 | 0xAA << 8 | number
        if self._libc.ioctl(
            self._handle, ctypes.c_ulong(request), ctypes.create_string_buffer(argument, len(argument))
        ):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """End the process if the body takes longer: where the interpreter stands still, nothing else can."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize("name", ["tokens", "offsets", "keys", "picks"])
@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
def test_what_a_disk_does_not_bring_is_named(stored: Callable[..., Any], packing: str, name: str) -> None:
    """A page fault that lasts: everything else goes on, and the document is found in the middle of compiled code."""
    texts = {"code": [f"def f{i}(x):\n    return x + {i}\n" * (i % 7 + 20) for i in range(80)]}
    sources = {"picked": {"of": "code", "where": {"tokens": [200, None]}}}
    phases = [{"weights": {"code": 1, "picked": 1}}]
    config, store = stored(
        texts, steps=40, context=128, packing=packing, fim={"code": {}}, sources=sources, phases=phases
    )
    order = Order(config, store)
    expected = [batch(order, n).inputs.tobytes() for n in range(40)]
    documents = store.train[int(name == "picks")]
    absent = Absent(getattr(documents, name))
    setattr(documents, name, absent.array)
    if name == "tokens":
        store.train[1].tokens = absent.array
    told = Told(2, absent.bring, "bytes" if name == "tokens" else "file")
    with at_most(DUE), Feed(with_settings(order, workers=2, patience=0.05), CPU, 0, 40, told) as feed:
        assert [portion.staged.inputs.numpy().tobytes() for portion, _ in feed] == expected
    assert len(told.about) >= 2
    for event, line in told.about:
        assert event["source"] in line and event["file"] in line
    if name != "tokens":
        assert str(documents.folder) in {event["file"] for event, _ in told.about}
        return
    for event, line in told.about:
        documents = store.train[store.sources.index(event["source"])]
        assert event["file"] == str(store.train[0].folder / "tokens.bin")
        begin, end = event["bytes"]
        assert begin < absent.end and end > absent.begin
        first, last = (int(at[0]) * 2 for at in documents.places(np.array([event["document"]])))
        assert first <= begin < end <= last
        assert event["id"] == documents.name(event["document"])
        assert event["shard"] == str(documents.shard(event["document"])[0])
        assert event["id"] in line and event["shard"] in line


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
