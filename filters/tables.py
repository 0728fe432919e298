"""Tables that are the same in every process, such as what each character is: made once on a machine, and kept.

To ask Python about a quarter of a million characters takes a tenth of a second, which every worker would spend. Tables
lie in the cache of this user by what they follow from: the sources of their module, and the versions of Python, NumPy
and polars, which each bring a version of Unicode. Where that cannot be written, each process makes its own.
"""

import contextlib
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
import polars as pl

from filters import assets, compiled

T = TypeVar("T")

_KEPT = 4
"""Files of a table, the newest: of installations that share a cache, and of edits that are taken back."""


def kept(make: Callable[[], T]) -> Callable[[], T]:
    """Keep what a function returns: an array, or a named tuple of arrays and whole numbers, none of them writeable."""

    @cache
    def table() -> T:
        kind: Any = get_type_hints(make)["return"]
        file = _file(make)
        found = _read(file, kind)
        if found is None:
            found = make()
            _write(file, found)
        for part in found if isinstance(found, tuple) else (found,):
            if isinstance(part, np.ndarray):
                part.flags.writeable = False
        answer: T = found
        return answer

    table.__doc__ = make.__doc__
    return table


def _file(make: Callable[[], Any]) -> Path:
    versions = f"{sys.version_info[0]}.{sys.version_info[1]}-{unicodedata.unidata_version}-{pl.__version__}"
    name = f"{make.__module__}.{make.__name__}-{compiled.digest(make.__module__)}-{versions}.npz"
    return assets.folder() / "tables" / name


def _read(file: Path, kind: Any) -> Any:
    """A table as it was kept; None if there is none, or not a whole one."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as parts:
            if not hasattr(kind, "_fields"):
                return parts["table"]
            return kind(**{name: _plain(parts[name]) for name in kind._fields})
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _plain(part: Any) -> Any:
    return part if part.ndim else part.item()


def _write(file: Path, table: Any) -> None:
    parts = table._asdict() if hasattr(table, "_asdict") else {"table": table}
    with contextlib.suppress(OSError):
        with assets.replacing(file) as place:
            np.savez(place, **parts)
        same = file.parent.glob(f"{file.name.partition('-')[0]}-*")
        for old in sorted(same, key=lambda other: other.stat().st_mtime, reverse=True)[_KEPT:]:
            old.unlink(missing_ok=True)
