"""What archives of source code have in common: their names, the paths in them, and when one is a bomb."""

from pathlib import PurePosixPath

from pipeline.readers import tar
from pipeline.readers.code.trees import File
from pipeline.readers.code.vendored import is_hidden

ZIP = (".zip", ".whl", ".egg", ".jar", ".nupkg", ".vsix", ".xpi", ".aar")
TAR = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.lz4", ".crate")

_LONGEST = 4096
_BOMB = 250
_ALWAYS = 256 << 20


def is_archive(path: str) -> bool:
    """Whether a file is an archive, by its name."""
    return path.lower().endswith((*ZIP, *TAR))


def stem(path: str) -> str:
    """The name of an archive without folders and suffixes."""
    name = PurePosixPath(path).name
    suffixes = [suffix for suffix in (*ZIP, *TAR) if name.lower().endswith(suffix)]
    return name[: len(name) - max(map(len, suffixes), default=0)]


def budget(size: int) -> int:
    """How many bytes an archive of `size` may unpack to: 250 times as many, and 256 MiB in any case."""
    return max(_ALWAYS, _BOMB * size)


def top_of(name: str) -> str:
    """The folder at the top that a path is in; empty if it is in none."""
    name = name.removeprefix("./")
    return name.split("/", 1)[0] if "/" in name else ""


def only_top(tops: set[str]) -> str | None:
    """The one folder that everything is in; None if there is more than one, or a file beside it."""
    return next(iter(tops)) or None if len(tops) == 1 else None


def member(number: int, name: str, size: int, top: str | None) -> File:
    """A file of an archive, with its path below the top folder; one that leads out of the archive is an error."""
    path = below(name, top)
    if path is None:
        return File(number, name, size, error="path")
    return File(number, path, size, other="hidden" if is_hidden(path) else None)


def below(name: str, top: str | None) -> str | None:
    """A name as a path below the top folder; None if it is absolute, leads out of the archive or is no path at all."""
    path = tar.inside(name) if len(name) <= _LONGEST else None
    if path is not None and top is not None and path.startswith(f"{top}/"):
        return path[len(top) + 1 :]
    return path
