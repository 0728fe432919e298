"""What the documents promise is there, and what is there is in the documents."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from pipeline.cli import app

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*") if path.is_file() and path.name != "README.md")


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that can be run, with its whole name, such as `assets fetch`."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield name, command
        return
    for word, subcommand in subcommands.items():
        yield from commands(subcommand, f"{name} {word}".strip())


COMMANDS = dict(commands(typer.main.get_command(app)))
DOCUMENTED = re.findall(r"^\| `gristmill ((?:[a-z]+ ?)+)", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme(name: str) -> None:
    assert name in [documented.strip() for documented in DOCUMENTED]


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_every_command_in_the_readme_exists(documented: str) -> None:
    assert documented.strip() in COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_does(name: str) -> None:
    assert COMMANDS[name].help
    unexplained = [param.name for param in COMMANDS[name].params if not getattr(param, "help", None)]
    assert not unexplained


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_recipe_is_listed_and_says_when_to_use_it(path: Path) -> None:
    listed = (ROOT / "configs" / "README.md").read_text()
    assert f"`{path.relative_to(ROOT / 'configs').as_posix()}`" in listed
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_links_between_files_lead_somewhere(document: str) -> None:
    path = ROOT / document
    targets = re.findall(r"\]\(([^)#:]+)[^):]*\)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_in_the_documents_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)", (ROOT / document).read_text()))
    assert named and named <= targets
