"""The blocklist of FineWeb as sorted 64-bit hashes, memory-mapped, so that all workers of a machine share it.

The lists are those in datatrove's wheel: four and a half million hosts of the UT1 lists (University of Toulouse,
CC-BY-SA-4.0), URLs, and three lists of words. As text they need half a gigabyte in every process; hashed, 36 MB once.
"""

import importlib.util
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters import assets, urls
from filters.assets import AssetError

_FORMAT = 2
_MOST_BYTES = 1 << 30
_REMEDY = "pip install --force-reinstall --no-deps datatrove"


def _folder() -> Path:
    spec = importlib.util.find_spec("datatrove")
    if spec is None or not spec.submodule_search_locations:
        raise AssetError(f"the URL blocklist is in the package datatrove, which is not installed; {_REMEDY}")
    return Path(spec.submodule_search_locations[0]) / "assets"


@cache
def tarball() -> Path:
    """Return the archive with the lists; raises AssetError if datatrove does not have it."""
    found = sorted(_folder().glob("url_filterblacklists*.tar.gz"))
    if len(found) != 1:
        raise AssetError(f"{_folder()} has {len(found)} URL blocklists, expected one; {_REMEDY}")
    return found[0]


@cache
def sha256() -> str:
    """Return the SHA-256 of the archive."""
    return assets.file_sha256(tarball())


def path() -> Path:
    """Return the file of hashes, made from the archive on the first call on a machine (some seconds)."""
    target = assets.folder() / f"url-blocklist-{_FORMAT}-{sha256()[:16]}.npy"
    if not target.is_file():
        with assets.alone("url-blocklist"):
            if not target.is_file():
                listed = np.sort(np.concatenate([hash_entries(_member(name)) for name in ("domains", "urls")]))
                with assets.replacing(target) as file:
                    np.save(file, listed)
    return target


@cache
def hashes() -> NDArray[np.uint64]:
    """Return the sorted hashes of all listed hosts and URLs; the pages are shared between processes."""
    listed: NDArray[np.uint64] = np.load(path(), mmap_mode="r", allow_pickle=False)
    return listed


def _member(name: str) -> pl.Series:
    # Read in memory: nothing of the archive is written to disk, so no name in it can lead anywhere.
    with tarfile.open(tarball(), "r:gz") as archive:
        for member in archive:
            if member.isfile() and member.name == name and member.size <= _MOST_BYTES:
                stream = archive.extractfile(member)
                if stream is not None:
                    lines = pl.Series(stream.read().decode().splitlines(), dtype=pl.String).str.strip_chars()
                    return lines.filter((lines != "") & ~lines.str.starts_with("#"))
    raise AssetError(f"{tarball()} has no list '{name}'; {_REMEDY}")


def hash_entries(entries: pl.Series) -> NDArray[np.uint64]:
    """Return the hashes of hosts and URLs as lists name them; an entry without a host cannot be hashed."""
    # Nearly all entries are hosts in plain ASCII, which only need small letters; Python looks at the others.
    plain = entries.str.contains(r"^[a-zA-Z0-9_.-]+$")
    others = [urls.parse(entry) for entry in entries.filter(~plain)]
    keys = [page.url or page.host for page in others]
    return urls.hashes(pl.concat([entries.filter(plain).str.to_lowercase(), pl.Series(keys, dtype=pl.String)]))


@cache
def words(name: str) -> tuple[str, ...]:
    """Return one of the lists `banned_words`, `soft_banned_words`, `banned_subwords`: small letters and digits only."""
    file = _folder() / f"{name}.txt"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise AssetError(f"{file}: {error.strerror}; {_REMEDY}") from None
    return tuple(sorted({word for line in lines if not line.startswith("#") and (word := urls.squeeze(line))}))
