"""What holds for every file of the repository, so that nobody has to remember it."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "filters", "training")
TOP = {
    *PACKAGES,
    *("configs", "data", "tests", ".ci"),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"),
    *("pyproject.toml", "constraints.txt", "Makefile", ".gitignore"),
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Written so that this file does not match itself.
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|Users|work|farm|srv)/[\w.]")
REGISTRY = re.compile(r"py[p]i\.org|python[h]osted|deb\.debi[a]n|np[m]js|download\.py[t]orch")
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b")


@cache
def committed() -> tuple[Path, ...]:
    """Every file under version control, relative to the top."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs the repository: this is not a clone, or git is not installed")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in listed.split("\0") if name and (ROOT / (path := Path(name))).is_file())


def texts(*suffixes: str) -> Iterator[tuple[Path, str]]:
    for path in committed():
        if not suffixes or path.suffix in suffixes:
            try:
                yield path, (ROOT / path).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # not a text


def test_the_top_level_is_fixed() -> None:
    assert {path.parts[0] for path in committed()} == TOP


@pytest.mark.parametrize("pattern", [MACHINE, REGISTRY, UNFINISHED], ids=["machine paths", "registries", "unfinished"])
def test_no_file_speaks_of_a_machine_a_registry_or_work_left_over(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_every_python_file_says_what_it_is_for() -> None:
    silent = [str(path) for path, text in texts(".py") if not ast.get_docstring(ast.parse(text))]
    assert silent == []


def unsafe(node: ast.AST) -> str | None:
    """Name what is wrong with a piece of code: it runs what a file contains, or hides that something failed."""
    match node:
        case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
            return f"{name}()"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="pickle" | "dill" | "marshal" as module))):
            return module
        case ast.Call(func=ast.Attribute(value=ast.Name(id="yaml"), attr="load" | "load_all" | "unsafe_load" as name)):
            return f"yaml.{name}"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load")):
            return "torch.load"
        case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
            return "allow_pickle"
        case ast.ExceptHandler(type=None):
            return "a bare except"
        case ast.ExceptHandler(type=ast.Name(id="Exception" | "BaseException"), body=[ast.Pass() | ast.Continue()]):
            return "an exception that nobody hears of"
    return None


@pytest.mark.parametrize("package", [*PACKAGES, "data"])
def test_nothing_read_from_disk_is_run_and_no_failure_is_hidden(package: str) -> None:
    found = [
        f"{path}:{getattr(node, 'lineno', 0)}: {wrong}"
        for path, text in texts(".py")
        if path.parts[0] == package
        for node in ast.walk(ast.parse(text))
        if (wrong := unsafe(node))
    ]
    assert found == []


def test_the_wheel_takes_the_packages_their_types_and_the_recipes() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == list(PACKAGES)
    assert wheel["force-include"] == {"configs": "pipeline/configs", "data": "pipeline/data"}
    for package in PACKAGES:
        assert (ROOT / package / "__init__.py").is_file() and (ROOT / package / "py.typed").is_file()


def test_every_requirement_is_pinned_within_its_range() -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["ray"], *extras["train"], *extras["dev"]]
    for wish in map(Requirement, wanted):
        assert wish.specifier.contains(pins[canonicalize_name(wish.name)]), wish


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    heavy = ["torch", "ray", "polars", "trafilatura", "numba", "pyarrow", "transformers"]
    code = f"import sys, pipeline.cli; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
