"""Public suffixes, such as `co.uk`, as hashes: where in a host the registered domain starts.

The rules are the public part of publicsuffix.org's list as it lies in the package `tld`, whose code is not used: it
keeps the rules as Python objects and takes twenty times as long, and an outdated file may never be fetched anew here.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.assets import AssetError
from filters.hashing import I64, U64, Bytes, Hashes, hash_slices, hash_token, inlined, kernel, table
from filters.words import buffers

_DOT = 0x2E


class Rules(NamedTuple):
    """Tables of hashes, as `hashing.table` makes them."""

    names: Hashes
    """Suffixes: `com`, `co.uk`."""
    parents: Hashes
    """What every name of one label is a suffix of: `ck` for the rule `*.ck`."""
    exceptions: Hashes
    """Names that are no suffixes though a parent says so: `www.ck` for the rule `!www.ck`."""
    labels: int
    """The most labels that a suffix has."""


@inlined
def slot(hashes: Hashes, key: np.uint64) -> int:
    """Return the place of a hash in a table as `hashing.table` makes it, -1 if it is not there."""
    mask = U64(len(hashes) - 1)
    at = key & mask
    while hashes[at] != key and hashes[at] != 0:
        at = (at + U64(1)) & mask
    return I64(at) if hashes[at] == key else -1


@kernel
def domain_start(
    data: Bytes, first: int, last: int, names: Hashes, parents: Hashes, exceptions: Hashes, labels: int
) -> int:
    """Return where in a host, `data[first:last]`, the registered domain starts; `first` if it has none.

    Of the rules that hold for a host the longest counts, but for exceptions, which shorten it by a label.
    """
    suffix, before, above, end = -1, -1, U64(0), last + 1
    for label in range(labels):
        at = end - 1
        while at > first and data[at - 1] != _DOT:
            at -= 1
        name = hash_token(data, at, last)
        if slot(exceptions, name) >= 0:
            suffix = before
            break
        if slot(names, name) >= 0 or (label > 0 and slot(parents, above) >= 0):
            suffix = at
        if at == first:
            break
        before, above, end = at, name, at
    if suffix < first + 2:
        return first
    at = suffix - 1
    while at > first and data[at - 1] != _DOT:
        at -= 1
    return at if at < suffix - 1 else first


def path() -> Path:
    """Return the file with the rules."""
    spec = importlib.util.find_spec("tld")
    folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path("tld")
    return folder / "res" / "effective_tld_names.dat.txt"


@cache
def rules() -> Rules:
    """Return the rules; raises AssetError if the package `tld` does not have them."""
    try:
        lines = path().read_text(encoding="utf-8").partition("===BEGIN PRIVATE DOMAINS===")[0].splitlines()
    except OSError as error:
        remedy = "pip install --force-reinstall --no-deps tld"
        raise AssetError(f"{path()}: {error.strerror}; {remedy}") from None
    written = [line.split()[0] for line in lines if line.strip() and not line.startswith("//")]
    encoded = [rule if rule.isascii() else rule.encode("idna").decode("ascii") for rule in written]

    def hashed(marker: str) -> Hashes:
        names = [rule.removeprefix(marker) for rule in encoded if rule.startswith(marker)]
        return table(hash_slices(*buffers(pl.Series(names, dtype=pl.String))))

    plain = [rule for rule in encoded if not rule.startswith(("*", "!"))]
    return Rules(
        names=table(hash_slices(*buffers(pl.Series(plain, dtype=pl.String)))),
        parents=hashed("*."),
        exceptions=hashed("!"),
        labels=max(rule.count(".") + 1 for rule in encoded),
    )
