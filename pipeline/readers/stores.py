"""Where files lie that are not on this machine: HTTP(S) by urllib3, everything else by fsspec.

A store tells the size of a file and what marks its version, and gives it in pieces. HTTP does not go through fsspec:
its client would be one more dependency, and asks for each few megabytes anew, which a busy server may refuse each time;
here one request brings as much as is read of it. Stores try once; who uses them tries again (remote.py).
"""

import re
from collections.abc import Generator
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import fsspec
import urllib3

PIECE = 256 << 10
HTTP = ("http://", "https://")
_TIMEOUT = urllib3.Timeout(connect=10, read=40)
_ONCE = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
_CONNECTIONS = 16
_FOR_NOW = {403, 408, 425, 429}
"""Answers that can be another one later; 403 is how Common Crawl's front answers those who ask too often."""


class RemoteError(Exception):
    """A file that lies elsewhere cannot be read now, or not at all. No OSError: to readers those mean damage."""


class Refused(Exception):
    """A server that does not want to answer now."""

    def __init__(self, what: str, retry_after: float | None) -> None:
        super().__init__(what)
        self.retry_after = retry_after
        """Seconds, if it says so."""


class Facts(NamedTuple):
    """The size of a file in bytes, and what changes when the file does (empty if the store tells nothing)."""

    size: int
    stamp: str


class Store(Protocol):
    """One file elsewhere. Raises FileNotFoundError if it is not there, RemoteError where trying again is of no use."""

    most: int
    """The largest number of bytes to ask for at once."""

    def facts(self) -> Facts: ...

    def pieces(self, start: int, end: int, known: Facts) -> Generator[bytes]:
        """The bytes from `start` on, up to `end` or beyond; raises RemoteError if the file is not the `known` one."""


class HttpStore:
    """A file by HTTP. Pieces come as they arrive; a request that is given up takes its connection with it."""

    most = 1 << 60

    def __init__(self, url: str) -> None:
        self._url = url

    def facts(self) -> Facts:
        """Asked for with the first byte: HEAD is not allowed everywhere, and lacks the size in some places."""
        response = self._get(0, 1)
        try:
            if response.status == 206:
                response.read(1)  # all of it, so that the connection serves for the next file
            return self._facts(response, 0)
        finally:
            response.close()

    def pieces(self, start: int, end: int, known: Facts) -> Generator[bytes]:
        response = self._get(start, end)
        try:
            if (found := self._facts(response, start)) != known:
                raise changed(self._url, known, found)
            if response.status == 416:
                raise RemoteError(f"{self._url}: its server refuses to give bytes {start} to {end}, which the file has")
            left = (known.size if response.status == 200 else end) - start
            while left > 0:
                piece = response.read(min(PIECE, left), decode_content=False)
                if not piece:
                    raise ConnectionError(f"the connection ended {left} bytes early")
                left -= len(piece)
                yield piece
        finally:
            response.close()

    def _get(self, start: int, end: int) -> urllib3.BaseHTTPResponse:
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity", "User-Agent": "gristmill"}
        address = urlsplit(self._url)
        proxy = None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)
        response = _connections(proxy).request(
            "GET", self._url, headers=headers, preload_content=False, retries=_ONCE, timeout=_TIMEOUT
        )
        if response.status in (200, 206) or (response.status == 416 and _total(response) is not None):
            return response  # 416: the file is empty, or shorter than it was
        response.close()
        if response.status in (404, 410):
            raise FileNotFoundError(self._url)
        what = f"HTTP {response.status} {response.reason or ''}".strip()
        if response.status in _FOR_NOW or response.status >= 500:
            raise Refused(what, _retry_after(response))
        raise RemoteError(f"{self._url}: {what}")

    def _facts(self, response: urllib3.BaseHTTPResponse, start: int) -> Facts:
        stamp = response.headers.get("ETag", "").removeprefix("W/") or response.headers.get("Last-Modified", "")
        if response.status == 200:
            if start:
                raise RemoteError(
                    f"{self._url}: its server gives no parts of a file, and this needs one; set split_bytes to more "
                    "than the file has, so that it is read in one go, or download it first"
                )
            size = response.headers.get("Content-Length", "")
            if not size.isdecimal():
                raise RemoteError(f"{self._url}: its server does not tell its size; download it first")
            return Facts(int(size), stamp)
        total = _total(response)
        first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if total is None or (response.status == 206 and (first is None or int(first[1]) != start)):
            raise RemoteError(f"{self._url}: its server answers with another part of the file than was asked for")
        return Facts(total, stamp)


class FsspecStore:
    """A file in any store that fsspec knows. A piece is what one request brings, hence at most 16 MiB of memory."""

    most = 16 << 20

    def __init__(self, path: str) -> None:
        self._path = path
        self._system, self._name = filesystem(path)
        self._found: Facts | None = None

    def facts(self) -> Facts:
        self._found = facts_of(self._system.info(self._name))
        return self._found

    def pieces(self, start: int, end: int, known: Facts) -> Generator[bytes]:
        if (self._found or self.facts()) != known:
            raise changed(self._path, known, self._found or known)
        data = self._system.cat_file(self._name, start=start, end=end)
        if len(data) != end - start:
            self._found = None  # shorter than it was, or cut off: the next try looks
            raise ConnectionError(f"{len(data)} bytes came instead of {end - start}")
        yield data


def store_for(path: str) -> Store:
    """The store of a URL."""
    return HttpStore(path) if path.startswith(HTTP) else FsspecStore(path)


def filesystem(path: str) -> tuple[Any, str]:
    """fsspec's file system for a path or URL, and the path in it; raises RemoteError if its package is not there."""
    try:
        system, name = fsspec.core.url_to_fs(path)
    except ImportError as error:
        extra = "pip install 'gristmill[s3]'" if path.startswith(("s3://", "s3a://")) else error
        raise RemoteError(f"{path}: reading this needs a package that is not installed: {extra}") from error
    except ValueError as error:
        raise RemoteError(f"{path}: {error}") from error
    return system, name


def facts_of(info: dict[str, Any]) -> Facts:
    """What fsspec tells of a file."""
    keys = ("ETag", "etag", "mtime_ns", "mtime", "LastModified", "last_modified", "created")
    stamps = (info.get(key) for key in keys)
    return Facts(int(info["size"] or 0), str(next(filter(None, stamps), "")))


def changed(path: str, known: Facts, found: Facts) -> RemoteError:
    """The error for a file that is not what it was."""
    return RemoteError(
        f"{path} has changed: it was {known.size} bytes ({known.stamp or 'no tag'}), now {found.size} "
        f"({found.stamp or 'no tag'}); the same command plans again with what is there now"
    )


def _total(response: urllib3.BaseHTTPResponse) -> int | None:
    found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _retry_after(response: urllib3.BaseHTTPResponse) -> float | None:
    try:
        return urllib3.Retry().get_retry_after(response)
    except urllib3.exceptions.InvalidHeader:
        return None


@lru_cache(maxsize=8)
def _connections(proxy: str | None) -> urllib3.PoolManager:
    if proxy:
        return urllib3.ProxyManager(proxy, maxsize=_CONNECTIONS)
    return urllib3.PoolManager(maxsize=_CONNECTIONS)
