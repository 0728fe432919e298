"""Plugins: what is run is what was hashed, whatever lies about, and what is wrong with one is said."""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import plugins
from pipeline.plugins import PluginError
from pipeline.steps import Registry

FILTER = '''
"""One step."""
from __future__ import annotations
from collections.abc import Mapping
import polars as pl
from filters.base import Filter


class Length(Filter):
    """Length of the text."""

    least: int = {least}

    def signals(self) -> Mapping[str, pl.Expr]:
        return {{"chars": pl.col("text").str.len_chars()}}


STEPS = {{"length": Length}}
'''


@pytest.fixture(autouse=True)
def _leave_nothing_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.setattr(plugins, "_imported", {})
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def default_of(plugin: plugins.Plugin) -> object:
    return Registry.built_in().including(plugin).steps["length"]().model_dump()["least"]


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILTER.format(least=1))
    stamp = file.stat().st_mtime_ns
    first = plugins.load("mine.py", tmp_path)
    file.write_text(FILTER.format(least=2))
    os.utime(file, ns=(stamp, stamp))
    second = plugins.load("mine.py", tmp_path)
    assert first.sha256 != second.sha256
    assert (default_of(first), default_of(second)) == (1, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"], "nothing is written beside it"


def test_a_file_with_the_name_of_our_package_takes_nothing_over(tmp_path: Path) -> None:
    (tmp_path / "filters.py").write_text(FILTER.format(least=3))
    assert default_of(plugins.load("filters.py", tmp_path)) == 3
    assert sys.modules["filters"].__file__ != str(tmp_path / "filters.py")


def test_loaded_again_it_must_be_the_same(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILTER.format(least=1))
    plugin = plugins.load("mine.py", tmp_path)
    assert plugins.load_again(plugin.record()) == plugin
    file.write_text(FILTER.format(least=2))
    with pytest.raises(PluginError, match=r"mine\.py has changed since the run began"):
        plugins.load_again(plugin.record())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "their_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helper.py").write_text("LEAST = 1\n")
    (folder / "steps.py").write_text(FILTER.format(least=4))
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_the_hash_of_a_module_is_that_of_its_whole_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = plugins.load("their_package.steps", Path("anywhere"))
    assert default_of(plugin) == 4 and plugin.path == ""
    (package / "notes.txt").write_text("no code\n")
    assert plugins.load_again(plugin.record()) == plugin
    (package / "helper.py").write_text("LEAST = 2\n")
    with pytest.raises(PluginError, match="has changed since this process imported it"):
        plugins.load("their_package.steps", Path())
    monkeypatch.setattr(plugins, "_imported", {})  # as in a process that comes later
    with pytest.raises(PluginError, match="has changed since the run began"):
        plugins.load_again(plugin.record())


def test_installed_packages_offer_steps(package: Path) -> None:
    info = package.parent / "their_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[gristmill.steps]\nb = their_package.steps:STEPS\na = their_package.steps\n"
    )
    importlib.invalidate_caches()
    (good, whose), (bad, _) = plugins.installed()
    assert whose == "entry point 'a' of their-package 1.2"
    assert default_of(plugins.load_installed(good)) == 4
    with pytest.raises(PluginError, match="name the module alone"):
        plugins.load_installed(bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name\n", "line 1: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("\n\nx = 1 / 0\n", "line 3: ZeroDivisionError: division by zero"),
        ("x = (\n", "line 1: SyntaxError: '\\(' was never closed"),
        ("raise SystemExit('no')\n", "line 1: SystemExit: no"),
    ],
)
def test_what_stops_an_import_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(PluginError, match=f"mine.py: {message}$"):
        plugins.load("mine.py", tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("none.py", "none.py: No such file or directory"),
        ("my-filters.py", "the name of a plugin's file"),
        ("a/b", "'a/b' is neither a Python file"),
        ("no_such_package.steps", "No module named 'no_such_package'"),
    ],
)
def test_what_is_no_plugin(tmp_path: Path, given: str, message: str) -> None:
    (tmp_path / "my-filters.py").write_text("")
    with pytest.raises(PluginError, match=message):
        plugins.load(given, tmp_path)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("", "it must say which steps it has"),
        ("STEPS = [Length]", "it must say which steps it has"),
        ("STEPS = {'my.length': Length}", "the name of a step is letters, digits and '_'"),
        ("STEPS = {'length': int}", "'length' is no class derived from"),
        ("STEPS = {'gopher': Length}", "there is a step 'gopher' built in"),
        ("STEPS = {'other': Filter}", r"Filter lacks signals\(\)"),
        ("from filters import Gopher\nSTEPS = {'other': Gopher}", "Gopher is the step 'gopher' already"),
        ("STEPS = {'a': Length, 'b': Length}", "Length is the step 'a' already"),
        ("class Limited(Length):\n    max_drop: int = 1\nSTEPS = {'limited': Limited}", "every step has 'max_drop'"),
    ],
)
def test_steps_that_cannot_be(tmp_path: Path, end: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(FILTER.format(least=1).replace('STEPS = {"length": Length}', end))
    with pytest.raises(PluginError, match=f"^mine: .*{message}"):
        Registry.built_in().including(plugins.load("mine.py", tmp_path))


def test_two_plugins_do_not_share_a_step_or_a_name(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    files = ["one.py", "two.py", "deeper/one.py"]
    for i, name in enumerate(files):
        (tmp_path / name).write_text(FILTER.format(least=i))
    one, two, another = (plugins.load(name, tmp_path) for name in files)
    registry = Registry.built_in().including(one)
    assert registry.including(one) is registry
    with pytest.raises(PluginError, match="two: there is a step 'length' in one"):
        registry.including(two)
    with pytest.raises(PluginError, match="another plugin is called 'one'"):
        registry.including(another)
