"""The other side of the sandbox: starts it, sends pages, and turns every way it can fail into one page's error."""

import atexit
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.extract import sandbox

_LOG = logging.getLogger(__name__)
_START_SECONDS = 300.0
_WORDS = {
    sandbox.ERROR: "error",
    sandbox.MEMORY: "memory",
    sandbox.TIMEOUT: "timeout",
    sandbox.CRASH: "crash",
}


class Outcome(NamedTuple):
    """The main text of a page, or why there is none."""

    text: str
    error: str | None
    """`timeout`, `memory`, `crash` or `error`."""
    detail: str = ""
    """What the extractor said of an `error`."""


class _Gone(Exception):
    """The process ended, or said something that is no message."""


class _Hanging(Exception):
    """No answer came, though the page cannot have used up its processor time."""


class Supervisor:
    """One sandbox, started with the first page and again whenever it is lost.

    What becomes of a page must not depend on those before it: a page that crashed or ran out of memory in a worker
    that had handled others is tried once more in a fresh one, and only that counts.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        # For pages that hang without computing; several times the limit, since a busy machine stretches it.
        self._patience = 60.0 + 20.0 * float(settings["seconds"])
        self._process: subprocess.Popen[bytes] | None = None

    def extract(self, page: bytes | str, url: str | None) -> Outcome:
        """The main text of a page, UTF-8 if it is bytes; raises RuntimeError only if the sandbox cannot be started."""
        address = (url or "").encode("utf-8", "replace")
        data = page if isinstance(page, bytes) else page.encode("utf-8", "replace")
        body = sandbox.LENGTH.pack(len(address)) + address + data
        status, handled, text = self._ask(body)
        if status in (sandbox.MEMORY, sandbox.CRASH) and handled != 1:
            status, handled, text = self._ask(body)
        if status == sandbox.TEXT:
            return Outcome(text.decode("utf-8"), None)
        detail = text.decode("utf-8", "replace")
        _LOG.debug("extraction of %s: %s %s", url, _WORDS[status], detail)
        return Outcome("", _WORDS[status], detail if status == sandbox.ERROR else "")

    def _ask(self, body: bytes) -> tuple[int, int, bytes]:
        """Status, number of pages of the worker (0: unknown), text."""
        process = self._running()
        assert process.stdin is not None
        try:
            sandbox.write_all(process.stdin.fileno(), sandbox.message(body))
            return self._receive(process, self._patience)
        except (_Gone, BrokenPipeError):
            self.close()
            return sandbox.CRASH, 0, b"the sandbox is gone"
        except _Hanging:
            self.close()
            return sandbox.TIMEOUT, 0, b"no answer"

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        settings = json.dumps({**self._settings, "parent": os.getpid()})
        # -P: a file of the user's that happens to be called like a library must not be imported.
        command = [sys.executable, "-P", str(Path(sandbox.__file__)), settings]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        try:
            status, _, text = self._receive(self._process, _START_SECONDS)
        except (_Gone, _Hanging):
            status, text = sandbox.BROKEN, b"it ended, or did not answer"
        if status != sandbox.READY:
            self.close()
            raise RuntimeError(f"the extraction process cannot start: {text.decode('utf-8', 'replace')}")
        return self._process

    def _receive(self, process: "subprocess.Popen[bytes]", patience: float) -> tuple[int, int, bytes]:
        deadline = time.monotonic() + patience
        size = sandbox.LENGTH.unpack(self._read(process, sandbox.LENGTH.size, deadline))[0]
        body = self._read(process, size, deadline)
        if len(body) < sandbox.HEADER.size or body[0] > sandbox.BROKEN:
            raise _Gone
        status, handled = sandbox.HEADER.unpack_from(body)
        return status, handled, body[sandbox.HEADER.size :]

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
                raise _Gone
            data += part
        return bytes(data)

    def close(self) -> None:
        """End the sandbox and all its workers."""
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


_supervisors: dict[tuple[int, str], Supervisor] = {}


def supervisor(settings: Mapping[str, Any]) -> Supervisor:
    """The sandbox with these settings, one a process: a fork must not speak into the pipes of its parent."""
    key = (os.getpid(), json.dumps(settings, sort_keys=True))
    if key not in _supervisors:
        _supervisors[key] = Supervisor(settings)
    return _supervisors[key]


@atexit.register
def _close_all() -> None:
    for (owner, _), running in _supervisors.items():
        if owner == os.getpid():
            running.close()
