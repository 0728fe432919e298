"""A server of files on the loopback address that can do what servers of large files do at bad times."""

import hashlib
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """A server of files on the loopback address, with ranges, and with the faults that a test asks for."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Any]] = {}
        """By path, for the next requests: a status to refuse with, `cut` with a number of bytes, or None."""
        self.always: dict[str, int] = {}
        self.ranges = True
        self.tags = True
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = self.connections = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up when they have what they want."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.asked[self.path] += 1
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            faults = server.faults.get(self.path)
            fault = faults.pop(0) if faults else server.always.get(self.path)
        try:
            self._answer(fault)
        finally:
            with server.lock:
                server.at_once -= 1

    def _answer(self, fault: Any) -> None:
        data = self.server.files.get(self.path)
        if isinstance(fault, int) or data is None:
            self.send_response(404 if data is None else fault)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        assert wanted
        start, end = int(wanted[1]), min(int(wanted[2]) + 1, len(data))
        if not self.server.ranges:
            start, end = 0, len(data)
            self.send_response(200)
        elif start >= len(data):
            self.send_response(416)
            end = start
            self.send_header("Content-Range", f"bytes */{len(data)}")
        else:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        if self.server.tags:
            self.send_header("ETag", f'"{hashlib.md5(data).hexdigest()}"')
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        body = data[start:end]
        if isinstance(fault, tuple):  # the connection ends early
            body = body[: fault[1]]
            self.close_connection = True
        self.wfile.write(body)
