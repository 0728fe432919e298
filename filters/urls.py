"""The parts of an address that lists name: host, registered domain, the domains between, and the URL without scheme."""

import re
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

_SCHEME = re.compile(r"(?:[a-z0-9+.-]*://)?(?://)?")
_AUTHORITY_END = re.compile(r"[/?#\\]")
_PORT = re.compile(r":\d*$")
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")

LONGEST_HOST = 253
"""Characters of a host name (RFC 1035). A longer one is no host: it is compared as it stands, without its parents."""


class Page(NamedTuple):
    """An address taken apart; all in small letters, hosts in Punycode, empty where there is none."""

    host: str
    """Without user, port and final dot."""
    domain: str
    """The registered domain, such as `example.co.uk`; of an address that has none, such as an IP address, the host."""
    between: tuple[str, ...]
    """Domains longer than the registered one: the host and its parents."""
    url: str
    """Host and path with query, without scheme, `www.`, fragment and final slash; empty if there is no path."""


def parse(url: str) -> Page:
    """Take an address apart; never fails, because crawls hold every kind of broken address."""
    host, tail = split(url)
    domain = registered_domain(host)
    between = [host] if host != domain else []
    while len(host) <= LONGEST_HOST and between and (parent := between[-1].partition(".")[2]) != domain:
        between.append(parent)
    return Page(host, domain, tuple(between), host.removeprefix("www.") + tail if tail else "")


def split(url: str) -> tuple[str, str]:
    """Return the host of an address and what follows it, as `Page` has them."""
    rest = _SCHEME.sub("", url.strip().lower(), count=1).partition("#")[0]
    end = _AUTHORITY_END.search(rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    return _punycode(_PORT.sub("", authority.rpartition("@")[2]).rstrip(".")), tail.rstrip("/")


def _punycode(host: str) -> str:
    if host.isascii() or len(host) > LONGEST_HOST:
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:  # no valid host name: it stands as it is, and matches what lists it as it is
        return host


def registered_domain(host: str) -> str:
    """Return the domain right under the public suffix, or the host if there is none."""
    from filters.suffixes import domain_start, rules

    data = np.frombuffer(host.encode(), np.uint8)
    known = rules()
    start = domain_start(data, 0, len(data), known.names, known.parents, known.exceptions, known.labels)
    return data[start:].tobytes().decode()


def hashes(keys: pl.Series) -> NDArray[np.uint64]:
    """Return 64-bit hashes of strings, the same on every machine."""
    from filters.hashing import hash_slices
    from filters.words import buffers

    answer: NDArray[np.uint64] = hash_slices(*buffers(keys))
    return answer


def squeeze(text: str) -> str:
    """Return the small letters and digits of a text, everything else left out."""
    return _NOT_PLAIN.sub("", text.lower())
