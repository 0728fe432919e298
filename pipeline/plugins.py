"""A user's own code: a plugin is found, hashed and imported; the hash is part of what its steps depend on.

A plugin is a Python file or an importable module. A file is run from the very bytes that were hashed, under a name of
its own: neither a compiled copy that is older nor another file of the same name can take its place. The price is that
a file cannot import what lies beside it; what needs several files is a package, and hashed with all of them.
"""

import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.abc import ExecutionLoader
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from importlib.metadata import EntryPoint, entry_points
from importlib.util import decode_source, find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

GROUP = "gristmill.steps"
"""Entry points of installed packages; each names a module with steps."""

_WORDS = 400
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_imported: dict[str, str] = {}
"""Modules with the hash that their package had when it was imported: an edit since then has not been seen."""


class PluginError(Exception):
    """A plugin that cannot be used; the message names it and says why, in one line."""


@dataclass(frozen=True)
class Plugin:
    """A module of the user's, with the hash of its source."""

    name: str
    """The dotted name of the module, or that of the file without its suffix: what a class in it is found under."""
    path: str
    """The file; nothing for a module, which every worker finds by its name."""
    sha256: str
    module: ModuleType = field(repr=False, compare=False)

    def record(self) -> dict[str, str]:
        """What a worker needs to load the same plugin."""
        return {"name": self.name, "path": self.path, "sha256": self.sha256}


def load(given: str, folder: Path) -> Plugin:
    """Import a file (`.py`, relative to a folder) or a module; raises PluginError."""
    if given.endswith(".py"):
        return _load_file((folder / given).absolute())
    if not _MODULE.fullmatch(given):
        raise PluginError(f"'{given}' is neither a Python file (*.py) nor the name of a module")
    return _load_module(given)


def load_again(record: Mapping[str, str]) -> Plugin:
    """Import a plugin in another process; raises PluginError if it is not what it was when the run began."""
    plugin = _load_file(Path(record["path"])) if record["path"] else _load_module(record["name"])
    if plugin.sha256 != record["sha256"]:
        raise PluginError(
            f"{record['path'] or record['name']} has changed since the run began; give the same command again"
        )
    return plugin


def installed() -> Iterator[tuple[EntryPoint, str]]:
    """The entry points of installed packages, in the order of their names, each with who brought it."""
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        whose = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
        yield entry, f"entry point '{entry.name}'{whose}"


def load_installed(entry: EntryPoint) -> Plugin:
    """Import the module that an entry point names; raises PluginError."""
    if entry.attr:
        raise PluginError(f"'{entry.value}': name the module alone, its steps are those in STEPS")
    return _load_module(entry.module)


def why(error: BaseException, path: str | None = None) -> str:
    """An exception in a line, with the last line of a plugin's file that led to it."""
    words = " ".join(traceback.format_exception_only(error)[-1].split())[:_WORDS]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if isinstance(error, SyntaxError) and error.filename == path:
        lines.append(error.lineno)
    return f"line {lines[-1]}: {words}" if lines else words


class _Source(ExecutionLoader):
    """Runs bytes that are in memory, and says which file they are of."""

    def __init__(self, path: Path, source: bytes) -> None:
        self._path, self._source = path, source

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_source(self, fullname: str) -> str:
        return decode_source(self._source)


def _load_file(path: Path) -> Plugin:
    if not re.fullmatch(r"[A-Za-z]\w*", path.stem, re.ASCII):
        raise PluginError(f"{path}: the name of a plugin's file is letters, digits and '_'")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PluginError(f"{path}: {error.strerror}") from error
    sha256 = hashlib.sha256(source).hexdigest()
    place = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()
    name = f"gristmill_plugin_{path.stem}_{place[:12]}_{sha256[:12]}"
    if name not in sys.modules:
        spec = spec_from_loader(name, _Source(path, source))
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise PluginError(f"{path}: {why(error, str(path))}") from error
    return Plugin(path.stem, str(path), sha256, sys.modules[name])


def _load_module(name: str) -> Plugin:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise PluginError(f"module '{name}': {why(error)}") from error
    sha256 = _hash(name)
    if _imported.setdefault(name, sha256) != sha256:
        raise PluginError(f"module '{name}' has changed since this process imported it; start again")
    return Plugin(name, "", sha256, module)


def _hash(name: str) -> str:
    """The hash of all code of the package that a module belongs to: of the outermost one that has an `__init__`."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        spec = find_spec(".".join(parts[:end]))
        if spec is not None and spec.origin is not None and spec.has_location:
            break
    else:
        raise PluginError(f"module '{name}' has no file")
    origin = Path(spec.origin)
    files = {origin.name: origin}
    if spec.submodule_search_locations is not None:
        code = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
        found = (path for path in origin.parent.rglob("*") if path.name.endswith(code))
        files = {path.relative_to(origin.parent).as_posix(): path for path in found}
    digest = hashlib.sha256()
    for relative in sorted(files):
        digest.update(f"{relative}\0{hashlib.sha256(files[relative].read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
