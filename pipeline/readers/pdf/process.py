"""The other side of the parser's process: starts it, sends files, and turns every way it can fail into one error."""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.readers.pdf import parser

_START_SECONDS = 120.0
_WORDS = {parser.ERROR: "pdf", parser.TIMEOUT: "timeout", parser.MEMORY: "memory", parser.CRASH: "crash"}


class Parsed(NamedTuple):
    """The pages of a file, or why there are none."""

    pages: list[str]
    page_count: int
    """Pages of the file; fewer are read where it has more than allowed."""
    failed: int
    about: dict[str, str]
    error: str | None


class Parser:
    """One process, started with the first file and again whenever it is lost."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._patience = 30.0 + 20.0 * float(settings["seconds"])
        self._process: subprocess.Popen[bytes] | None = None

    def parse(self, data: bytes) -> Parsed:
        """Parse a file; raises RuntimeError if the process cannot be started."""
        process = self._running()
        assert process.stdin is not None
        try:
            parser.write_all(process.stdin.fileno(), parser.LENGTH.pack(len(data)) + data)
            status, body = self._receive(process, self._patience)
        except (EOFError, BrokenPipeError):
            self.close()
            return Parsed([], 0, 0, {}, "crash")
        except TimeoutError:
            self.close()
            return Parsed([], 0, 0, {}, "timeout")
        if status != parser.TEXT:
            return Parsed([], 0, 0, {}, _WORDS[status])
        found = json.loads(body)
        if "error" in found:
            return Parsed([], 0, 0, {}, found["error"])
        return Parsed(found["pages"], found["count"], found["failed"], found["about"], None)

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        # -P: a file of the user's that happens to be called like a library must not be imported.
        command = [sys.executable, "-P", str(Path(parser.__file__)), json.dumps(self._settings)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        try:
            status, body = self._receive(self._process, _START_SECONDS)
        except (EOFError, TimeoutError):
            status, body = parser.BROKEN, b"it ended, or did not answer"
        if status != parser.READY:
            self.close()
            raise RuntimeError(f"the process that parses PDF cannot start: {body.decode('utf-8', 'replace')}")
        return self._process

    def _receive(self, process: "subprocess.Popen[bytes]", patience: float) -> tuple[int, bytes]:
        deadline = time.monotonic() + patience
        status, size = parser.HEADER.unpack(self._read(process, parser.HEADER.size, deadline))
        return status, self._read(process, size, deadline)

    def _read(self, process: "subprocess.Popen[bytes]", size: int, deadline: float) -> bytes:
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        data = bytearray()
        while len(data) < size:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            part = os.read(process.stdout.fileno(), min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def close(self) -> None:
        """End the process and its children."""
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


_parsers: dict[tuple[int, str], Parser] = {}


def parser_for(settings: dict[str, Any]) -> Parser:
    """The process with these settings, one for each of ours: a fork must not speak into the pipes of its parent."""
    key = (os.getpid(), json.dumps(settings, sort_keys=True))
    if key not in _parsers:
        _parsers[key] = Parser(settings)
    return _parsers[key]


@atexit.register
def _close_all() -> None:
    for (owner, _), running in _parsers.items():
        if owner == os.getpid():
            running.close()
