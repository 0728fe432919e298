"""The address rules of FineWeb: listed hosts and URLs, and words in addresses."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BeforeValidator, FilePath

from filters import assets, blocklist, urls
from filters.base import Filter, Range
from filters.memory import Memory

Flags = NDArray[np.bool_]


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


class Hashed(NamedTuple):
    """The parts of the addresses of a batch that lists can name, as 64-bit hashes."""

    domains: NDArray[np.uint64]
    """Registered domains, shape [addresses]."""
    between: NDArray[np.uint64]
    """Hosts and their parents below the registered domain, of all addresses."""
    owner: NDArray[np.int64]
    """The row of each of `between`."""
    urls: NDArray[np.uint64]
    """URLs without scheme, shape [addresses]."""


class Url(Filter):
    """Addresses of unwanted pages, by the lists and words of FineWeb (Penedo et al. 2024, section 3.3; the rules are
    those of RefinedWeb, Penedo et al. 2023, appendix G.1).

    Capitals and small letters are the same, and hosts are compared in Punycode. A document without an address has null
    signals and passes.

    Signals:
        domain_listed, subdomain_listed, url_listed: 1 if the registered domain is listed; the host or a parent of it
            below that; the URL without its scheme.
        banned_words: how many of the banned words stand in the address as words.
        soft_banned_words: the same of words that are bad only together.
        banned_subwords: 1 if one of the banned parts of words is anywhere in the letters and digits of the address.
    """

    reads: ClassVar[str] = "url"

    integrated: bool = True
    """Use the lists that come with datatrove: 4.5 million hosts and URLs, and three lists of words."""
    domains: tuple[str, ...] = ()
    """More hosts; a registered domain stands for all hosts below it."""
    lists: Annotated[
        tuple[FilePath, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
    ] = ()
    """Files with more hosts and URLs, one to a line; lines that begin with `#` are comments."""
    gate: bool = True

    defaults: ClassVar[Mapping[str, Range]] = {
        "domain_listed": (None, 0),
        "subdomain_listed": (None, 0),
        "url_listed": (None, 0),
        "banned_words": (None, 0),
        "soft_banned_words": (None, 1),
        "banned_subwords": (None, 0),
    }

    def identity(self) -> Mapping[str, str]:
        known = {"lists": blocklist.sha256()} if self.integrated else {}
        given = {str(path): assets.file_sha256(path) for path in self.lists}
        return {**known, **given, "tld": version("tld")}

    def signals(self) -> Mapping[str, pl.Expr]:
        return {
            "domain_listed": _signal(lambda url: self._listed(_hashed(url).domains)),
            "subdomain_listed": _signal(self._subdomain_listed),
            "url_listed": _signal(lambda url: self._listed(_hashed(url).urls)),
            "banned_words": _signal(lambda url: self._words(url, "banned_words")),
            "soft_banned_words": _signal(lambda url: self._words(url, "soft_banned_words")),
            "banned_subwords": _signal(self._subwords),
        }

    def _listed(self, hashes: NDArray[np.uint64]) -> Flags:
        found = _among(hashes, _given(self.domains, tuple((path, path.stat().st_mtime_ns) for path in self.lists)))
        return found | _among(hashes, blocklist.hashes()) if self.integrated else found

    def _subdomain_listed(self, url: pl.Series) -> Flags:
        page = _hashed(url)
        found = np.zeros(len(url), np.bool_)
        found[page.owner[self._listed(page.between)]] = True
        return found

    def _words(self, url: pl.Series, name: str) -> pl.Series:
        listed = self._listed_words(name)
        words = url.str.to_lowercase().str.extract_all("[a-z0-9]+").list.unique()
        return words.list.eval(pl.element().is_in(listed.implode())).list.sum()

    def _subwords(self, url: pl.Series) -> pl.Series:
        squeezed = url.str.to_lowercase().str.replace_all("[^a-z0-9]+", "")
        return squeezed.str.contains_any(self._listed_words("banned_subwords").implode())

    def _listed_words(self, name: str) -> pl.Series:
        return pl.Series(blocklist.words(name) if self.integrated else (), dtype=pl.String)


_memory: Memory[Hashed] = Memory()


def _hashed(url: pl.Series) -> Hashed:
    return _memory.recall(url, _hash)


def _hash(url: pl.Series) -> Hashed:
    pages = [urls.parse(value) for value in url.fill_null("")]
    between = [(row, name) for row, page in enumerate(pages) for name in page.between]

    def hashes(keys: list[str]) -> NDArray[np.uint64]:
        return urls.hashes(pl.Series(keys, dtype=pl.String))

    return Hashed(
        domains=hashes([page.domain for page in pages]),
        between=hashes([name for _, name in between]),
        owner=np.array([row for row, _ in between], np.int64),
        urls=hashes([page.url for page in pages]),
    )


@cache
def _given(domains: tuple[str, ...], lists: tuple[tuple[Path, int], ...]) -> NDArray[np.uint64]:
    """Return the sorted hashes of what the config names: hosts, and files with the time of their last change."""
    lines = list(domains)
    for path, _ in lists:
        lines += path.read_text(encoding="utf-8").splitlines()
    return np.unique(blocklist.hash_entries(pl.Series(lines, dtype=pl.String)))


def _among(hashes: NDArray[np.uint64], listed: NDArray[np.uint64]) -> Flags:
    if not len(listed):
        return np.zeros(len(hashes), np.bool_)
    places = np.minimum(np.searchsorted(listed, hashes), len(listed) - 1)
    answer: Flags = listed[places] == hashes
    return answer


def _signal(compute: Callable[[pl.Series], Any]) -> pl.Expr:
    """Return an expression over the column `url`: a whole number, null where there is no address."""

    def evaluate(url: pl.Series) -> pl.Series:
        column = pl.Series(url.name, compute(url)).cast(pl.Int64)
        return column.set(url.is_null() | (url.str.strip_chars() == ""), None)

    return pl.col("url").map_batches(evaluate, return_dtype=pl.Int64)
