"""Where compiled functions are kept: in a folder for each module, named by its source and those of all that it imports.

numba by itself keeps them beside the sources and looks at the file of a function only: after an upgrade it calls what
was compiled with the constants and helpers of other files, or fails because a type is not there any more. With names
that follow from the sources there is nothing stale, and packages that nobody can write to are no trouble. The price is
that a change of a module at the bottom compiles all again that stand on it.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import caching, config

from filters import assets

F = TypeVar("F", bound=Callable[..., Any])
_njit: Any = numba.njit
_settings: Any = config

_ROOT = Path(__file__).parent.parent
_IMPORT = re.compile(r"^(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]*\)|.*)|import[ \t]+([\w.]+))", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?:[ \t]+as[ \t]+\w+)?[ \t]*(?:,|\)|$)", re.MULTILINE)
_KEPT = 4
"""Folders of a module, the newest: of installations that share a cache, and of edits that are taken back."""


def compiled(function: F) -> F:
    """Compile a function that runs without the interpreter's lock, and keep the result."""
    made: F = _njit(cache=True, nogil=True)(function)
    return made


def folder() -> Path:
    """Return where the folders of all modules are: NUMBA_CACHE_DIR, or in the cache of this user."""
    return Path(_settings.CACHE_DIR) if _settings.CACHE_DIR else assets.folder() / "compiled"


@cache
def digest(*modules: str) -> str:
    """Return what the code compiled of modules depends on, as a hash: sources, compiler, and the way of compiling."""
    sources = [(name, _hash(name)) for name in sorted(_closure(modules))]
    parts = (numba.__version__, np.__version__, _settings.BOUNDSCHECK, sources)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _closure(modules: tuple[str, ...]) -> set[str]:
    """The modules and all of ours that they import, directly or not."""
    found: set[str] = set()
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += imports(name) if name != __name__ else ()
    return found


@cache
def _file(module: str) -> Path | None:
    """The file of a module of ours; None if it is none."""
    place = _ROOT.joinpath(*module.split("."))
    if place.parent == _ROOT and not (place / "__init__.py").is_file():
        return None
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


@cache
def _source(module: str) -> str:
    file = _file(module)
    assert file is not None
    return file.read_text(encoding="utf-8")


@cache
def _hash(module: str) -> str:
    return hashlib.sha256(_source(module).encode()).hexdigest()


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules of ours that a module imports when it is itself imported."""
    found = set()
    for package, names, plain in _IMPORT.findall(_source(module)):
        wanted = [plain] if plain else [f"{package}.{name}" for name in _NAME.findall(names)]
        for name in wanted:
            if _file(name) is not None:
                found.add(name)
            elif package and _file(package) is not None:
                found.add(package)
    return frozenset(found)


class _Locator:
    """What numba calls a locator: it says where a function of ours is kept; of others numba decides."""

    def __init__(self, function: FunctionType, file: str, place: Path) -> None:
        self._py_file, self._lineno = file, function.__code__.co_firstlineno  # numba's warnings name them
        self._place = place

    @classmethod
    def from_function(cls, function: FunctionType, file: str) -> "_Locator | None":
        place = _place(function.__module__, file)
        return None if place is None else cls(function, file, place)

    def get_cache_path(self) -> str:
        return str(self._place)

    def get_source_stamp(self) -> str:
        return self._place.name

    def get_disambiguator(self) -> str:
        return str(self._lineno)

    def ensure_cache_path(self) -> None:
        self._place.mkdir(parents=True, exist_ok=True)


@cache
def _place(module: str, file: str) -> Path | None:
    """Make the folder of a module, and remove old ones; None if the file is not of ours, or the folder for others."""
    known = _file(module)
    if known is None or str(known) != file:
        return None
    place = folder() / f"{module}-{digest(module)}"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir()
    except FileExistsError:
        return place if os.access(place, os.W_OK) else None
    except OSError:
        return None
    with contextlib.suppress(FileNotFoundError):  # another process removes the same
        others = sorted(place.parent.glob(f"{module}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[_KEPT:]:
            shutil.rmtree(path, ignore_errors=True)
    return place


_locators: Any = caching.CacheImpl._locator_classes
_locators.insert(0, _Locator)
