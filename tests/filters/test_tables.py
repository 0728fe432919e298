"""Kept tables: the second process reads what the first one made, and nothing damaged or outdated is ever taken."""

import importlib.util
import sys

import numpy as np
import pytest

from filters import assets, compiled, tables

SOURCE = '''
from typing import NamedTuple
import numpy as np
from filters.tables import kept

class Table(NamedTuple):
    numbers: np.ndarray
    most: int

calls = []

@kept
def one() -> np.ndarray:
    """One array."""
    calls.append("one")
    return np.arange(5)

@kept
def two() -> Table:
    calls.append("two")
    return Table(np.array([3, 4], np.uint8), 7)
'''


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Give a function that loads the module anew, as another process would."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stamp = ["first"]
    monkeypatch.setattr(compiled, "digest", lambda module: stamp[0])
    file = tmp_path / "some_tables.py"
    file.write_text(SOURCE)

    def again(version="first"):
        stamp[0] = version
        spec = importlib.util.spec_from_file_location("some_tables", file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "some_tables", module)
        spec.loader.exec_module(module)
        return module

    return again


def test_what_one_process_made_the_next_one_reads(load):
    first = load()
    made = first.one(), first.two()
    assert first.calls == ["one", "two"] and first.one() is made[0]
    second = load()
    assert second.one().tolist() == [0, 1, 2, 3, 4] and second.one().dtype == made[0].dtype
    assert second.two().numbers.tolist() == [3, 4] and second.two().numbers.dtype == np.uint8
    assert second.two().most == 7 and type(second.two()) is second.Table
    assert second.calls == []
    assert not first.one().flags.writeable and not second.two().numbers.flags.writeable
    assert second.one.__doc__ == "One array."


def test_other_sources_make_another_table_and_old_ones_go(load):
    for version in "abcdefg":
        module = load(version)
        module.one()
        assert module.calls == ["one"]
    kept = list((assets.folder() / "tables").iterdir())
    assert len(kept) == tables._KEPT and any("-g-" in file.name for file in kept)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_a_damaged_file_is_made_again(load, damage):
    load().two()
    (file,) = (assets.folder() / "tables").iterdir()
    file.write_bytes(file.read_bytes()[:100] if damage is None else damage)
    module = load()
    assert module.two().most == 7 and module.calls == ["two"]
    assert load().two().most == 7


def test_without_a_place_to_write_each_process_makes_its_own(load, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    module = load()
    assert module.one().tolist() == [0, 1, 2, 3, 4] and module.calls == ["one"]


def test_the_tables_of_characters_are_those_of_python():
    from filters.characters import zeros

    assert [chr(point) for point in zeros()[:2]] == ["0", "٠"]
