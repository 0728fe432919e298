"""The address rules of FineWeb: listed hosts and URLs, and words in addresses."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BeforeValidator, FilePath, field_validator

from filters import assets, blocklist, lists, urls
from filters.base import Filter, Range
from filters.memory import Memory
from filters.words import buffers

if TYPE_CHECKING:
    from filters.phrases import Phrases

Flags = NDArray[np.bool_]
Hashes = NDArray[np.uint64]


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


class Hashed(NamedTuple):
    """The parts of the addresses of a batch that lists can name, as 64-bit hashes."""

    domains: Hashes
    """Registered domains, shape [addresses]."""
    urls: Hashes
    """URLs without scheme, shape [addresses]."""
    between: Hashes
    """Hosts and their parents below the registered domain, of all addresses."""
    owner: NDArray[np.int64]
    """The row of each of `between`."""


class Url(Filter):
    """Addresses of unwanted pages, by the lists and words of FineWeb (Penedo et al. 2024, section 3.3) and the rules of
    RefinedWeb (Penedo et al. 2023, appendix G.1).

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
    version: ClassVar[int] = 2
    source: ClassVar[str] = (
        "Penedo et al. 2024, The FineWeb Datasets, section 3.3; "
        "Penedo et al. 2023, The RefinedWeb Dataset for Falcon LLM, appendix G.1"
    )
    units: ClassVar[Mapping[str, str]] = {
        "domain_listed": "0 or 1",
        "subdomain_listed": "0 or 1",
        "url_listed": "0 or 1",
        "banned_words": "different words",
        "soft_banned_words": "different words",
        "banned_subwords": "0 or 1",
    }

    integrated: bool = True
    """Use the lists that come with datatrove: 4.5 million hosts and URLs, and three lists of words."""
    domains: tuple[str, ...] = ()
    """More hosts and URLs; a registered domain stands for all hosts below it."""
    lists: Annotated[tuple[FilePath, ...], BeforeValidator(_one_or_more)] = ()
    """Files with more hosts and URLs, one to a line; lines that begin with `#` are comments."""
    words: tuple[str, ...] = ()
    """More banned words: letters a-z and digits."""
    soft_words: tuple[str, ...] = ()
    """More words that are bad only together."""
    subwords: tuple[str, ...] = ()
    """More banned parts of words."""
    gate: bool = True

    defaults: ClassVar[Mapping[str, Range]] = {
        "domain_listed": (None, 0),
        "subdomain_listed": (None, 0),
        "url_listed": (None, 0),
        "banned_words": (None, 0),
        "soft_banned_words": (None, 1),
        "banned_subwords": (None, 0),
    }

    @field_validator("domains")
    @classmethod
    def _hosts(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        if nameless := [entry for entry in entries if not urls.split(entry)[0]]:
            raise ValueError(f"'{nameless[0]}' names no host")
        return entries

    @field_validator("words", "soft_words", "subwords")
    @classmethod
    def _plain_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if odd := [word for word in words if not re.fullmatch("[a-zA-Z0-9]+", word)]:
            raise ValueError(f"'{odd[0]}' can be no word of an address: words are letters a-z and digits")
        return tuple(word.lower() for word in words)

    def identity(self) -> Mapping[str, str]:
        known = {"lists": blocklist.sha256()} if self.integrated else {}
        given = {str(path): assets.file_sha256(path) for path in self.lists}
        return {**known, **given, "tld": version("tld")}

    def signals(self) -> Mapping[str, pl.Expr]:
        return {
            "domain_listed": _signal(lambda url: self._listed(_hashed(url).domains)),
            "subdomain_listed": _signal(self._subdomain_listed),
            "url_listed": _signal(lambda url: self._listed(_hashed(url).urls)),
            "banned_words": _signal(lambda url: self._words(url, "banned_words", self.words)),
            "soft_banned_words": _signal(lambda url: self._words(url, "soft_banned_words", self.soft_words)),
            "banned_subwords": _signal(self._subwords),
        }

    def _listed(self, hashes: Hashes) -> Flags:
        from filters.url_kernels import among

        found = among(hashes, _given(self.domains, tuple(map(lists.stamp, self.lists))))
        return found | among(hashes, blocklist.hashes()) if self.integrated else found

    def _subdomain_listed(self, url: pl.Series) -> Flags:
        page = _hashed(url)
        found = np.zeros(len(url), np.bool_)
        found[page.owner[self._listed(page.between)]] = True
        return found

    def _words(self, url: pl.Series, name: str, more: tuple[str, ...]) -> NDArray[np.int64]:
        from filters.url_kernels import listed_words

        return listed_words(*_small(url), _table(self._integrated(name), more))

    def _subwords(self, url: pl.Series) -> Flags:
        from filters import phrases
        from filters.url_kernels import squeeze

        trie = _trie(self._integrated("banned_subwords"), self.subwords)
        return phrases.places(trie, *squeeze(*_small(url)), whole=False) > 0

    def _integrated(self, name: str) -> tuple[str, ...]:
        return blocklist.words(name) if self.integrated else ()


_small_letters: Memory[tuple[NDArray[np.uint8], NDArray[np.int64]]] = Memory()
_parts: Memory[Hashed] = Memory()
_missing: Memory[pl.Series] = Memory()


def _blank(url: pl.Series) -> pl.Series:
    return url.is_null() | ~url.str.contains(r"\S")


def _small(url: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return _small_letters.recall(url, lambda column: buffers(column.str.to_lowercase()))


def _hashed(url: pl.Series) -> Hashed:
    return _parts.recall(url, _hash)


def _hash(url: pl.Series) -> Hashed:
    from filters import suffixes
    from filters.url_kernels import take_apart

    rules = suffixes.rules()
    domains, pages, between, owner, odd = take_apart(
        *_small(url), rules.names, rules.parents, rules.exceptions, rules.labels
    )
    if odd.any():
        rows = np.flatnonzero(odd)
        taken = [urls.parse(address) for address in url.gather(rows)]
        names = [(row, name) for row, page in zip(rows, taken, strict=True) for name in page.between]
        domains[rows] = _hashes(page.domain for page in taken)
        pages[rows] = _hashes(page.url for page in taken)
        between = np.concatenate([between, _hashes(name for _, name in names)])
        owner = np.concatenate([owner, np.array([row for row, _ in names], np.int64)])
    return Hashed(domains, pages, between, owner)


def _hashes(keys: Iterable[str]) -> Hashes:
    return urls.hashes(pl.Series(list(keys), dtype=pl.String))


@cache
def _given(domains: tuple[str, ...], files: tuple[lists.Stamp, ...]) -> Hashes:
    """Return the sorted hashes of the hosts and URLs that the config names."""
    entries = list(domains)
    for path, _ in files:
        for number, entry in lists.entries(path).items():
            if not urls.split(entry)[0]:
                raise assets.AssetError(f"{path}:{number}: '{entry}' names no host")
            entries.append(entry)
    return np.unique(blocklist.hash_entries(pl.Series(entries, dtype=pl.String)))


@cache
def _table(*listed: tuple[str, ...]) -> Hashes:
    from filters.hashing import table

    return table(_hashes({word for words in listed for word in words}))


@cache
def _trie(*listed: tuple[str, ...]) -> "Phrases":
    from filters.phrases import phrases

    return phrases(word for words in listed for word in words)


def _signal(compute: Callable[[pl.Series], Any]) -> pl.Expr:
    """Return an expression over the column `url`: a whole number, null where there is no address."""

    def evaluate(url: pl.Series) -> pl.Series:
        column, missing = pl.Series(url.name, compute(url)).cast(pl.Int64), _missing.recall(url, _blank)
        return column.set(missing, None) if missing.any() else column

    return pl.col("url").map_batches(evaluate, return_dtype=pl.Int64)
