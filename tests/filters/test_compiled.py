"""Compiled functions are kept by their sources: nothing stale is called, and what is there is not compiled again."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import filters
from filters import compiled

ROOT = Path(filters.__file__).parent.parent
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("filters", "pipeline")
    for path in sorted((ROOT / package).rglob("*.py"))
]

LOW = """
from typing import NamedTuple

class {kind}(NamedTuple):
    number: int

MORE = {more}
"""
HIGH = """
from filters.compiled import compiled
from filters.low import (
    MORE,
    {kind} as Kind,
)

@compiled
def added(kind):
    return kind.number + MORE

print(added(Kind(1)), len(added.stats.cache_hits))
"""


@pytest.mark.parametrize("module", MODULES)
def test_no_import_is_overlooked(module):
    """Python's own parser knows them all."""
    place = ROOT / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    names = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in inner.values()}
    assert names & set(MODULES) <= compiled.imports(module)


@pytest.fixture
def copy(tmp_path):
    """Another installation of the package; what `answer` gives is what `filters.high` says when it is run there."""

    class Copy:
        cache = tmp_path / "cache/gristmill/compiled"

        def __init__(self, name):
            self.folder = tmp_path / name / "filters"
            self.folder.mkdir(parents=True)
            for file in ("compiled.py", "assets.py"):
                (self.folder / file).write_text((ROOT / "filters" / file).read_text())
            (self.folder / "__init__.py").touch()

        def write(self, kind="Kind", more=1):
            (self.folder / "low.py").write_text(LOW.format(kind=kind, more=more))
            (self.folder / "high.py").write_text(HIGH.format(kind=kind))

        def answer(self):
            """What was added, and whether it had been compiled before."""
            # Python knows a changed source by its size and the second of its change, which may be the same here.
            environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
            environment.pop("NUMBA_CACHE_DIR", None)
            done = subprocess.run(
                [sys.executable, "-c", "import filters.high"],
                cwd=self.folder.parent,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert not done.returncode, done.stderr
            return tuple(map(int, done.stdout.split()))

        def kept(self):
            return sorted(path.name for path in self.cache.iterdir())

    return Copy


def test_a_change_in_another_file_is_seen(copy):
    here = copy("here")
    here.write(more=1)
    assert here.answer() == (2, 0)
    before = (here.folder / "high.py").read_bytes()
    here.write(more=5)
    assert (here.folder / "high.py").read_bytes() == before
    assert here.answer() == (6, 0)
    here.write(more=1)
    assert here.answer() == (2, 1), "an edit that is taken back finds what was compiled before it"
    here.write(kind="Other")
    assert here.answer() == (2, 0), "and types may be renamed"


def test_installations_share_what_is_the_same_and_packages_stay_as_they_are(copy):
    one, other = copy("one"), copy("other")
    one.write()
    other.write()
    assert one.answer() == (2, 0) and other.answer() == (2, 1)
    assert not [path for path in other.folder.rglob("*") if path.suffix in (".nbi", ".nbc")]


def test_old_results_do_not_pile_up(copy):
    """Of the module that was compiled; those of others stay."""
    here = copy("here")
    here.write()
    here.answer()
    (newest,) = here.kept()
    for n in range(6):
        for module in ("filters.high", "filters.higher"):
            (here.cache / f"{module}-{n}").mkdir()
            os.utime(here.cache / f"{module}-{n}", (n, n))
    here.write(more=2)
    assert here.answer() == (3, 0)
    kept = here.kept()
    assert len(kept) == 4 + 6 and {newest, "filters.high-5", "filters.high-4"} < set(kept)
