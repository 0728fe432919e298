"""The input files of a source: patterns, folders and URLs resolved to files with their size and stamp."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

import fsspec

from pipeline.config import Source
from pipeline.configfile import Problem, nearest
from pipeline.readers import reader_for


@dataclass(frozen=True)
class InputFile:
    """One file of a source. `name` is its path below the part of the pattern that has no wildcards: it goes into ids
    and origins, so that a run can be repeated where the data lies elsewhere."""

    name: str
    path: str
    size: int
    stamp: str
    """Changes when the file does: time of modification, or the store's own tag."""


@runtime_checkable
class TakesFolders(Protocol):
    """A reader for which a folder is one input, not a place to look for files."""

    def takes_folder(self, path: str) -> tuple[int, str]:
        """The size and the stamp of a folder; raises ValueError if it cannot be read."""


def find_files(name: str, source: Source) -> tuple[list[InputFile], list[Problem]]:
    """The files that a source's paths name, in the order of the paths and by name within a pattern."""
    files: dict[str, InputFile] = {}
    problems: list[Problem] = []
    folders = source.reader if isinstance(source.reader, TakesFolders) else None
    for i, pattern in enumerate(source.paths):
        place = ("sources", name, "paths", i)
        filesystem, stripped = fsspec.core.url_to_fs(pattern)
        try:
            if folders is None and filesystem.isdir(stripped):
                base = stripped
                found = [path for path in filesystem.find(stripped) if reader_for(path) == source.reader.use]
            else:
                base = _fixed_part(stripped)
                found = filesystem.glob(stripped) if _has_wildcard(stripped) else [stripped]
                found = [path for path in found if folders is not None or not filesystem.isdir(path)]
            infos = {path: filesystem.info(path) for path in sorted(found)}
        except FileNotFoundError:
            near = _neighbours(filesystem, stripped)
            hint = (
                f"; {nearest(PurePosixPath(stripped).name, near)}"
                if near
                else "; its folder does not exist or is empty"
            )
            problems.append(Problem(place, f"source '{name}': no file {pattern}{hint}"))
            continue
        except OSError as error:
            problems.append(Problem(place, f"source '{name}': {pattern}: {error}"))
            continue
        if not infos:
            problems.append(Problem(place, f"source '{name}': no file matches {pattern}"))
        for path, info in infos.items():
            local = "file" in (
                filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)
            )
            full = str(Path(path).absolute()) if local else filesystem.unstrip_protocol(path)
            relative = path.removeprefix(base).lstrip("/") or PurePosixPath(path).name
            if folders is not None and info["type"] == "directory":
                try:
                    size, tag = folders.takes_folder(full)
                except (ValueError, OSError) as error:
                    problems.append(Problem(place, f"source '{name}': {full}: {error}"))
                    continue
                info = {"size": size, "ETag": tag}
            stamp = info.get("ETag") or info.get("mtime_ns") or info.get("mtime") or info.get("LastModified") or ""
            files.setdefault(full, InputFile(relative, full, int(info["size"] or 0), str(stamp)))
    names = [file.name for file in files.values()]
    if len(set(names)) < len(names):  # two folders with equal names inside: only the full path tells them apart
        return [InputFile(file.path, file.path, file.size, file.stamp) for file in files.values()], problems
    return list(files.values()), problems


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
