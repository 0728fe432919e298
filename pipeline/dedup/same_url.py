"""Deduplication by address: pages that were fetched from one URL, however it was written, are one document."""

import re
from collections.abc import Iterator, Set
from typing import ClassVar
from urllib.parse import quote, unquote_to_bytes

import polars as pl

from filters import urls
from pipeline.dedup.alphabet import alphabet
from pipeline.dedup.base import Documents, Signed
from pipeline.dedup.kernels import text_hashes
from pipeline.dedup.minhash import utf8
from pipeline.dedup.proof.sample import mixed

_TRACKING = re.compile(
    r"(?:utm_\w+|(?:fb|g|ms|dc|y|tw|tt)clid|(?:gb|wb)raid|gclsrc|mc_[ce]id|mkt_tok|_hs(?:enc|mi)|_ga|_gl|igshid|igsh"
    r"|ref_src|ref_url|phpsessid|jsessionid|aspsessionid\w*|sessionid)",
    re.IGNORECASE,
)
"""Parameters that tell who came from where, or whose session it is, and not which page is meant."""

_SESSION = re.compile(r";(?:jsessionid|phpsessid)=[^/]*", re.IGNORECASE)
_HEAD = re.compile(r"(?:(?P<scheme>[a-z][a-z0-9+.-]*):(?=/))?/*(?P<authority>[^/?#\\]*)", re.IGNORECASE)
_WWW, _SPACE = re.compile(r"^(?:www\.)+"), re.compile(r"\s")
_PORT = re.compile(r":0*(?P<port>\d+)$")
_DEFAULT_PORTS = {"http": "80", "https": "443", "ftp": "21"}
_IGNORED = str.maketrans("", "", "\t\r\n")
_IN_PATH, _IN_QUERY = "!$&'()*+,;=:@", "!$'()*,;:@/?"
"""What stands as it is beside letters, digits and `-._~`: all that RFC 3986 allows there, but for what divides."""


class SameUrl(Documents):
    """Find documents that were fetched from one URL; those without one are nobody's duplicates.

    URLs are compared without scheme, user, `www.`, default port, final slash, fragment, and parameters of tracking and
    sessions; with hosts in small letters and Punycode, the query sorted, percent-encoding in one form (RFC 3986,
    section 6.2.2) and `.` and `..` resolved. A fragment that begins with `!` names a page, and stays.
    """

    source: ClassVar[str] = (
        "Bar-Yossef, Keidar and Schonfeld 2009, Do Not Crawl in the DUST: Different URLs with Similar Text; "
        "Berners-Lee, Fielding and Masinter 2005, RFC 3986, section 6.2"
    )
    reads: ClassVar[str] = "url"

    def band_count(self) -> int:
        return 1

    def sign(self, column: pl.Series) -> Signed:
        data, offsets = utf8(pl.Series([canonical(url) if url else "" for url in column], dtype=pl.String))
        keys, found = text_hashes(data, offsets, alphabet(), False)
        return Signed(keys.reshape(-1, 1), found, sample=mixed(keys) if self.proof else None)

    def features(self, value: str) -> Set[str]:
        return {canonical(value)}


def canonical(url: str) -> str:
    """The form that is the same for all ways to write one address; empty for what names no host."""
    url = url.strip().translate(_IGNORED)
    head = _HEAD.match(url)
    assert head is not None  # it matches nothing, too
    host = urls.split(url)[0]
    if not host or _SPACE.search(host):
        return ""
    scheme = (head["scheme"] or "http").lower()
    port = _PORT.search(head["authority"])
    where = _WWW.sub("", host)
    if port and port["port"] != _DEFAULT_PORTS.get(scheme):
        where += f":{port['port']}"
    rest, _, fragment = url[head.end() :].partition("#")
    path, _, query = rest.partition("?")
    where += _path(_SESSION.sub("", path.replace("\\", "/")))
    if parameters := sorted(_parameters(query)):
        where += f"?{'&'.join(parameters)}"
    return f"{where}#{fragment}" if fragment.startswith("!") else where


def _path(path: str) -> str:
    found: list[str] = []
    for segment in path.split("/"):
        plain = quote(unquote_to_bytes(segment), _IN_PATH)
        if plain == "..":
            del found[max(1, len(found) - 1) :]
        elif plain != ".":
            found.append(plain)
    return "/".join(found).rstrip("/")


def _parameters(query: str) -> Iterator[str]:
    for parameter in query.split("&"):
        name, _, value = (
            quote(unquote_to_bytes(part.replace("+", " ")), _IN_QUERY) for part in parameter.partition("=")
        )
        if parameter and not _TRACKING.fullmatch(name):
            yield f"{name}={value}" if value else name
