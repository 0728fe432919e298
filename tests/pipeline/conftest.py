"""Files elsewhere: a server, no time between tries, and an archive to read."""

import gzip
import random
import threading
from collections.abc import Iterator

import pytest
from file_server import Server

from pipeline.readers import remote


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time between tries."""
    monkeypatch.setattr(remote, "SECONDS", 0.0)


@pytest.fixture(scope="session")
def small_warc() -> bytes:
    """An archive of 40 pages, with a record about the crawl before them."""
    records = [("warcinfo", b"software: x")]
    for number in range(40):
        words = " ".join(
            random.Random(number).choices(["bees", "fly", "over", "many", "fields", "and", "woods"], k=2000)
        )
        page = f"<html><body><article><p>Page {number}: {words}.</p></article></body></html>"
        records.append(("response", f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{page}".encode()))
    return b"".join(
        gzip.compress(
            f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://example.org/{number}\r\n"
            f"Content-Length: {len(block)}\r\n\r\n".encode()
            + block
            + b"\r\n\r\n"
        )
        for number, (kind, block) in enumerate(records)
    )
