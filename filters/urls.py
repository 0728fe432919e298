"""The parts of an address that lists name: host, registered domain, the domains between, and the URL without scheme."""

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

_AUTHORITY_END = re.compile(r"[/?#\\]")
_PORT = re.compile(r":\d*$")
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


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
    rest = url.strip().lower()
    scheme = rest.find("://")
    if scheme >= 0:
        rest = rest[scheme + 3 :]
    rest = rest.removeprefix("//").partition("#")[0]
    end = _AUTHORITY_END.search(rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    host = _punycode(_PORT.sub("", authority.rpartition("@")[2]).rstrip("."))
    domain = registered_domain(host)
    between = []
    label = host
    while len(label) > len(domain) and label.endswith(domain):
        between.append(label)
        label = label.partition(".")[2]
    tail = tail.rstrip("/")
    return Page(host, domain, tuple(between), host.removeprefix("www.") + tail if tail else "")


def _punycode(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:  # no valid host name: it stands as it is, and matches what lists it as it is
        return host


@lru_cache(1 << 14)
def registered_domain(host: str) -> str:
    """Return the domain under the public suffix (publicsuffix.org, public part, as packaged in `tld`), or the host."""
    from tld import get_tld

    known = get_tld(f"http://{host}", fail_silently=True, as_object=True, search_private=False) if host else None
    domain = getattr(known, "fld", None)
    return domain if domain and host.endswith(domain) else host


def hashes(keys: pl.Series) -> NDArray[np.uint64]:
    """Return 64-bit hashes of strings, the same on every machine."""
    from filters.hashing import hash_slices
    from filters.words import buffers

    answer: NDArray[np.uint64] = hash_slices(*buffers(keys))
    return answer


def squeeze(text: str) -> str:
    """Return the small letters and digits of a text, everything else left out."""
    return _NOT_PLAIN.sub("", text.lower())
