"""A process of its own for code that may crash, hang or run out of memory: what both ends of its pipes have in common.

The child is a file that is run by itself, so that it begins with nothing imported but what it needs. A message is a
length (4 bytes, little-endian) and that many bytes; of an answer the first is its status.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from struct import Struct
from typing import Any, ClassVar, TypeVar

FINE, ERROR, MEMORY, TIMEOUT, CRASH, READY, BROKEN = range(7)
"""What an answer says; the last two only at the start: the child is ready, or cannot start and says why."""

WORDS = {ERROR: "error", MEMORY: "memory", TIMEOUT: "timeout", CRASH: "crash"}

LENGTH = Struct("<I")

_START_SECONDS = 300.0


# --- both ends ------------------------------------------------------------------------------------------------------


def read_exactly(file: int, size: int) -> bytes:
    """Read from a pipe; raises EOFError where it ends first."""
    data = bytearray()
    while len(data) < size:
        part = os.read(file, min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def write_all(file: int, data: bytes) -> None:
    """Write to a pipe, however little it takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def message(body: bytes) -> bytes:
    """A body with its length."""
    return LENGTH.pack(len(body)) + body


def answer(status: int, body: bytes) -> bytes:
    """The message of an answer."""
    return message(bytes((status,)) + body)


# --- in the child ---------------------------------------------------------------------------------------------------


def own_pipes() -> tuple[int, int]:
    """Where requests come from and answers go to; whatever a library prints then goes nowhere."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    return requests, answers


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends; elsewhere than on Linux the end of the pipe does."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


# --- in the parent --------------------------------------------------------------------------------------------------


class _Hanging(Exception):
    """No answer came, though the child cannot have used up its processor time."""


class Child:
    """One child, started with the first request and again whenever it is lost."""

    program: ClassVar[str]
    """The file that it runs."""
    purpose: ClassVar[str]

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        # For what hangs without computing; several times the limit, since a busy machine stretches it.
        self._patience = 60.0 + 20.0 * float(settings["seconds"])
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; CRASH or TIMEOUT with no body if there is none.

        Raises RuntimeError if the child cannot be started.
        """
        process = self._running()
        assert process.stdin is not None
        try:
            write_all(process.stdin.fileno(), message(body))
            return self._receive(process, self._patience)
        except (EOFError, BrokenPipeError):
            self.close()
            return CRASH, b""
        except _Hanging:
            self.close()
            return TIMEOUT, b""

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        settings = json.dumps({**self._settings, "parent": os.getpid()})
        # -P: a file of the user's that happens to be called like a library must not be imported.
        command = [sys.executable, "-P", self.program, settings]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        try:
            status, body = self._receive(self._process, _START_SECONDS)
        except (EOFError, _Hanging):
            status, body = BROKEN, b"it ended, or did not answer"
        if status != READY:
            self.close()
            raise RuntimeError(f"the process for {self.purpose} cannot start: {body.decode('utf-8', 'replace')}")
        return self._process

    def _receive(self, process: "subprocess.Popen[bytes]", patience: float) -> tuple[int, bytes]:
        deadline = time.monotonic() + patience
        size = LENGTH.unpack(self._read(process, LENGTH.size, deadline))[0]
        body = self._read(process, size, deadline)
        if not body or body[0] > BROKEN:
            raise EOFError  # what it says is no answer, so nothing that follows can be one
        return body[0], body[1:]

    def _read(self, process: "subprocess.Popen[bytes]", size: int, deadline: float) -> bytes:
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        data = bytearray()
        while len(data) < size:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise _Hanging
            part = os.read(process.stdout.fileno(), min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def close(self) -> None:
        """End the child and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it had ended by itself
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        process.wait()


_children: dict[tuple[int, type[Child], str], Child] = {}
_Kind = TypeVar("_Kind", bound=Child)


def child(kind: type[_Kind], settings: Mapping[str, Any]) -> _Kind:
    """The child of a kind with these settings, one for each process: a fork must not speak into its parent's pipes."""
    key = (os.getpid(), kind, json.dumps(settings, sort_keys=True))
    if key not in _children:
        _children[key] = kind(settings)
    found = _children[key]
    assert isinstance(found, kind)
    return found


@atexit.register
def _close_all() -> None:
    for (owner, _, _), running in _children.items():
        if owner == os.getpid():
            running.close()
