"""Tests of a disk that does not answer, for a process of their own: `test_feed.py` runs it."""

import ctypes
import faulthandler
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from training.compute import Compute
from training.config import FeedingSettings
from training.feed import Feed
from training.order import Order
from training.packing import batch

CPU = Compute(torch.device("cpu"), torch.float32, False, False)
DUE = 60.0
"""Seconds after which a test has failed that waits for something to happen."""


def with_settings(order: Order, **settings: Any) -> Order:
    feeding = FeedingSettings.model_validate(settings)
    return Order(order.config.model_copy(update={"feeding": feeding}), order.store)


class Told:
    """What a feed tells of batches that do not come; on a busy machine also of some that nothing is wrong with."""

    def __init__(
        self, most: int, act: Callable[[], None], meant: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> None:
        """After being told so often of a source that does not come, each time of one that is `meant`, it acts."""
        self.lines: list[str] = []
        self.events: list[Mapping[str, Any]] = []
        self._most, self._act, self._meant = most, act, meant

    def __call__(self, said: str, event: Mapping[str, Any]) -> None:
        self.lines.append(said)
        self.events.append(event)
        if "source" in event and self._meant(event):
            self._most -= 1
            if not self._most:
                self._act()

    @property
    def about(self) -> list[tuple[Mapping[str, Any], str]]:
        """Events that were meant, with their lines."""
        told = zip(self.events, self.lines, strict=True)
        return [(event, line) for event, line in told if "source" in event and self._meant(event)]


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

    def meant(event: Mapping[str, Any]) -> bool:
        if name != "tokens":
            return event.get("file") == str(documents.folder)
        begin, end = event.get("bytes", (0, 0))
        return begin < absent.end and end > absent.begin

    told = Told(2, absent.bring, meant)
    with at_most(DUE), Feed(with_settings(order, workers=2, patience=0.05), CPU, 0, 40, told) as feed:
        assert [portion.staged.inputs.numpy().tobytes() for portion, _ in feed] == expected
    assert len(told.about) >= 2
    for event, line in told.about:
        assert event["source"] in line and event["file"] in line
    for event, line in told.about if name == "tokens" else ():
        documents = store.train[store.sources.index(event["source"])]
        assert event["file"] == str(store.train[0].folder / "tokens.bin")
        begin, end = event["bytes"]
        first, last = (int(at[0]) * 2 for at in documents.places(np.array([event["document"]])))
        assert first <= begin < end <= last
        assert event["id"] == documents.name(event["document"])
        assert event["shard"] == str(documents.shard(event["document"])[0])
        assert event["id"] in line and event["shard"] in line
