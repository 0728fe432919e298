"""Lists that users give as files: UTF-8, one entry to a line, blank lines and lines that begin with `#` left out."""

from pathlib import Path

from filters.assets import AssetError

Stamp = tuple[Path, int]
"""A file with the time of its last change, so that what is remembered of it is forgotten when it changes."""


def stamp(path: Path) -> Stamp:
    """Return a file with the time of its last change."""
    return path, path.stat().st_mtime_ns


def entries(path: Path) -> dict[int, str]:
    """Return the entries of a file, without white space at their ends, by number of line; raises AssetError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise AssetError(f"{path}: lists are UTF-8, and byte {error.start} is not") from None
    except OSError as error:
        raise AssetError(f"{path}: {error.strerror}") from None
    numbered = {number: line.strip() for number, line in enumerate(lines, 1)}
    return {number: line for number, line in numbered.items() if line and not line.startswith("#")}
