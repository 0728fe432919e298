"""The input files of a source: lists, patterns, folders and URLs resolved to files with their size and stamp.

What lies elsewhere is looked up by sixteen requests at a time, and in a store that can list its folders folder by
folder: a crawl has 90,000 files. A selection from a list is made before anything is asked about its files.
"""

import gzip
import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import track

from pipeline.config import Listed, Source
from pipeline.configfile import Place, Problem, nearest
from pipeline.readers import reader_for
from pipeline.readers.base import Reader, open_binary
from pipeline.readers.remote import TRIES_AT_FIRST, facts, is_remote, persist
from pipeline.readers.stores import HTTP, Facts, RemoteError, facts_of, filesystem

AT_A_TIME = 16
"""Requests; Common Crawl's front serves some thousand a second to all of its users together."""
_FOLDER = 8
"""So many files of one folder are looked up by listing it."""
_LIST_BYTES = 1 << 30
_FAILURES = 10
"""After which no more files are looked up: the rest would fail alike."""


@dataclass(frozen=True)
class InputFile:
    """One file of a source. `name` is its path below the part of the pattern that has no wildcards, or as a list gives
    it: it goes into ids and origins, so that a run can be repeated where the data lies elsewhere."""

    name: str
    path: str
    size: int
    stamp: str
    """Changes when the file does: time of modification, or the store's own tag."""


class Found(NamedTuple):
    """What the paths of a source name."""

    files: list[InputFile]
    problems: list[Problem]
    left_out: int
    """Files in folders that the reader does not take by their names."""


@runtime_checkable
class TakesFolders(Protocol):
    """A reader for which a folder is one input, not a place to look for files."""

    def takes_folder(self, path: str) -> tuple[int, str]:
        """The size and the stamp of a folder; raises ValueError if it cannot be read."""


class _Named(NamedTuple):
    """A file that is named, before or after it was looked up."""

    place: Place
    name: str
    path: str
    facts: Facts | Exception | None


def sample_hash(file: InputFile) -> str:
    """SHA-256 of a file's size and of up to 16 MiB of it, evenly spread: all of a small file, little of a large one.

    Of a folder it is that of its stamp, which tells the files in it; so it is of a file elsewhere that has one, since
    16 requests for each of 90,000 files would be more than all others."""
    piece, pieces = 1 << 20, 16
    digest = hashlib.sha256(str(file.size).encode())
    if file.stamp if is_remote(file.path) else Path(file.path).is_dir():
        digest.update(file.stamp.encode())
        return digest.hexdigest()
    with open_binary(file.path) as stream:
        if file.size <= piece * pieces:
            digest.update(stream.read())
        else:
            for i in range(pieces):
                stream.seek((file.size - piece) * i // (pieces - 1))
                digest.update(stream.read(piece))
    return digest.hexdigest()


def find_files(name: str, source: Source) -> Found:
    """The files that a source's paths name, in the order of the paths and by name within a pattern."""
    problems: list[Problem] = []
    named: list[_Named] = []
    left_out = 0
    if isinstance(source.paths, Listed):
        place: Place = ("sources", name, "paths")
        try:
            named = [_Named((*place, "listed"), *entry, None) for entry in _entries(source.paths)]
        except (ValueError, OSError, RemoteError) as error:
            problems.append(Problem((*place, "listed"), f"source '{name}': {error}"))
    else:
        for i, pattern in enumerate(source.paths):
            place = ("sources", name, "paths", i)
            try:
                found, others = _matches(place, pattern, source.reader)
            except (ValueError, OSError, RemoteError) as error:
                problems.append(Problem(place, f"source '{name}': {error}"))
                continue
            if not found and not others:
                problems.append(Problem(place, f"source '{name}': no file matches {pattern}"))
            elif not found:
                use = source.reader.use
                problems.append(
                    Problem(place, f"source '{name}': none of the {others} files in {pattern} is one that {use} takes")
                )
            named += found
            left_out += others
    once: dict[str, _Named] = {}
    for entry in named:
        once.setdefault(entry.path, entry)
    files: dict[str, InputFile] = {}
    passed_over = 0
    for entry, told in zip(once.values(), _look_up(list(once.values())), strict=True):
        if told is None:
            passed_over += 1
        elif isinstance(told, Facts):
            files[entry.path] = InputFile(entry.name, entry.path, told.size, told.stamp)
        else:
            missing = isinstance(told, FileNotFoundError)
            problems.append(Problem(entry.place, f"source '{name}': {f'no file {entry.path}' if missing else told}"))
    if passed_over:
        problems.append(Problem(entry.place, f"source '{name}': {passed_over} more were not looked up"))
    names = [file.name for file in files.values()]
    if len(set(names)) < len(names):  # two folders with equal names inside: only the full path tells them apart
        files = {path: InputFile(path, path, file.size, file.stamp) for path, file in files.items()}
    return Found(list(files.values()), problems, left_out)


def _entries(paths: Listed) -> Iterator[tuple[str, str]]:
    """Name and path of each selected file of a list."""
    lines = list(dict.fromkeys(_lines(paths.listed)))
    if not lines:
        raise ValueError(f"{paths.listed} lists no files")
    if paths.take is not None:
        if paths.take > len(lines):
            raise ValueError(f"take: {paths.take}, but {paths.listed} lists {len(lines)} files")
        lines = [lines[len(lines) * i // paths.take] for i in range(paths.take)]
    base = paths.base if paths.base is not None else paths.listed.rpartition("/")[0] or "."
    for line in lines:
        if ".." in line.split("/"):
            raise ValueError(f"{paths.listed}: '{line}' leads out of {base}")
        if is_remote(line) or line.startswith("/"):
            if is_remote(paths.listed) and (not is_remote(line) or line.startswith(("file:", "local:"))):
                raise ValueError(
                    f"{paths.listed}: '{line}' is a file of this machine, which no list from elsewhere names"
                )
            yield _last(line), line
        elif is_remote(base):
            yield line, f"{base.rstrip('/')}/{line}"
        else:
            yield line, str(Path(base, line).absolute())


def _lines(listed: str) -> Iterator[str]:
    """The lines of a list, plain or packed with gzip, without blank ones."""
    try:
        with open_binary(listed) as file:
            data = file.read(_LIST_BYTES + 1)
        if data.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(_LIST_BYTES + 1)
        if len(data) > _LIST_BYTES:
            raise ValueError(f"{listed} is no list of files: it has more than {_LIST_BYTES >> 20} MiB")
        text = data.decode()
    except FileNotFoundError:
        raise ValueError(f"no file {listed}") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{listed} is no list of files, a path a line: {error}") from error
    yield from filter(None, map(str.strip, text.splitlines()))


def _matches(place: Place, pattern: str, reader: Reader) -> tuple[list[_Named], int]:
    """The files that a path, pattern, folder or URL stands for, and how many others the folder has."""
    if pattern.startswith(HTTP):
        if "*" in pattern:
            raise ValueError(f"{pattern}: HTTP has no folders that could be listed; name each file, or a list of them")
        return [_Named(place, _last(pattern), pattern, None)], 0
    system, stripped = filesystem(pattern)
    local = "file" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)
    whole = isinstance(reader, TakesFolders)

    def named(path: str, base: str, info: dict[str, Any]) -> _Named:
        full = str(Path(path).absolute()) if local else str(system.unstrip_protocol(path))
        told: Facts | Exception = facts_of(info)
        if isinstance(reader, TakesFolders) and info["type"] == "directory":
            try:
                told = Facts(*reader.takes_folder(full))
            except (ValueError, OSError) as error:
                told = ValueError(f"{full}: {error}")
        return _Named(place, path.removeprefix(base).lstrip("/") or PurePosixPath(path).name, full, told)

    def ask(action: Callable[[], Any]) -> Any:
        return action() if local else persist(pattern, action, TRIES_AT_FIRST)

    if not whole and ask(lambda: system.isdir(stripped)):
        inside = ask(lambda: system.find(stripped, detail=True))
        taken = [path for path in sorted(inside) if takes(reader, path)]
        return [named(path, stripped, inside[path]) for path in taken], len(inside) - len(taken)
    try:
        if _has_wildcard(stripped):
            found = ask(lambda: system.glob(stripped, detail=True))
        else:
            found = {stripped: ask(lambda: system.info(stripped))}
    except FileNotFoundError:
        near = _neighbours(system, stripped)
        hint = nearest(PurePosixPath(stripped).name, near) if near else "its folder does not exist or is empty"
        raise ValueError(f"no file {pattern}; {hint}") from None
    except OSError as error:
        raise ValueError(f"{pattern}: {error}") from error
    base = _fixed_part(stripped)
    return [named(path, base, found[path]) for path in sorted(found) if whole or found[path]["type"] != "directory"], 0


def takes(reader: Reader, path: str) -> bool:
    """Whether a reader takes a file that lies in a folder, by the file's name."""
    return reader.takes(PurePosixPath(path).name.lower()) or reader_for(path) == reader.use


def _look_up(named: Sequence[_Named]) -> Iterator[Facts | Exception | None]:
    """Size and stamp of each file, or why they cannot be had; None where it is not asked since too much failed."""
    unknown = [entry.path for entry in named if entry.facts is None]
    known = _by_folder(unknown)
    failed: list[str] = []

    def ask(path: str) -> Facts | Exception | None:
        if len(failed) >= _FAILURES:
            return None
        found = _facts(path)
        if isinstance(found, Exception):
            failed.append(path)
        return found

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        rest = [path for path in unknown if path not in known]
        asked = dict(zip(rest, _shown(pool.map(ask, rest), len(rest)), strict=True))
    return (entry.facts or known.get(entry.path) or asked[entry.path] for entry in named)


def _facts(path: str) -> Facts | Exception:
    try:
        return facts(path, TRIES_AT_FIRST) if is_remote(path) else facts_of(_local_info(path))
    except (OSError, RemoteError) as error:
        return error


def _local_info(path: str) -> dict[str, Any]:
    system, stripped = filesystem(path)
    info: dict[str, Any] = system.info(stripped)
    if info["type"] == "directory":
        raise IsADirectoryError(f"{path} is a folder")
    return info


def _by_folder(paths: Iterable[str]) -> dict[str, Facts]:
    """What stores that list their folders tell of files of which many are in one folder."""
    folders = Counter(path.rpartition("/")[0] for path in paths if is_remote(path) and not path.startswith(HTTP))
    many = [folder for folder, count in folders.items() if count >= _FOLDER]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return {path: found for entries in pool.map(_listing, many) for path, found in entries}


def _listing(folder: str) -> list[tuple[str, Facts]]:
    try:
        system, stripped = filesystem(folder)
        entries = persist(folder, lambda: system.ls(stripped, detail=True), TRIES_AT_FIRST)
    except (OSError, RemoteError):
        return []  # not all that may read files may list them; each is asked for then, and that tells what is wrong
    files = (entry for entry in entries if entry["type"] == "file")
    return [(f"{folder}/{entry['name'].rpartition('/')[2]}", facts_of(entry)) for entry in files]


Item = TypeVar("Item")


def _shown(items: Iterable[Item], count: int) -> Iterable[Item]:
    """The items, with a line of progress on a terminal if there are many."""
    console = Console(stderr=True)
    if count < 100 or not console.is_terminal:
        return items
    return track(items, "looking up files", count, console=console, transient=True)


def _last(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name or url


def _has_wildcard(path: str) -> bool:
    return any(character in path for character in "*?[")


def _fixed_part(path: str) -> str:
    """The folders before the first wildcard, or the folder of a plain path."""
    folders = []
    for part in path.split("/")[:-1]:
        if _has_wildcard(part):
            break
        folders.append(part)
    return "/".join(folders)


def _neighbours(filesystem: Any, path: str) -> list[str]:
    try:
        return [PurePosixPath(entry).name for entry in filesystem.ls(str(PurePosixPath(path).parent), detail=False)]
    except OSError:
        return []
