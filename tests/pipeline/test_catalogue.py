"""The catalogue of steps: what it says of a step is what the step does."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from filters.base import LANGUAGE, OFF, Filter, Step, Transform
from pipeline.catalogue import Entry, catalogue, render
from pipeline.cli import app
from pipeline.configfile import ConfigError
from pipeline.passage import signal_schema
from pipeline.steps import Registry

STEPS = Registry.built_in().steps


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Step]:
    """Make a step with its defaults, and with a value for what it requires."""
    words = tmp_path_factory.mktemp("lists") / "en"
    words.write_text("bad", encoding="utf-8")
    items = words.with_name("set.jsonl")
    items.write_text('{"question": "one two three four five"}', encoding="utf-8")
    evaluation = {"sets": {"mine": {"paths": str(items), "question": "question"}}}
    required: dict[str, dict[str, Any]] = {
        "decontaminate": evaluation,
        "cut_contamination": evaluation,
        "bad_words": {"lists": words},
        "datatrove": {"block": "datatrove.pipeline.filters.GopherQualityFilter"},
    }
    return lambda name: STEPS[name].model_validate(required.get(name, {}))


@pytest.mark.parametrize("name", [name for name, kind in STEPS.items() if issubclass(kind, (Filter, Transform))])
def test_signals_are_the_columns_that_a_step_adds(name: str, make: Callable[[str], Step]) -> None:
    [entry] = catalogue(name)
    added = [column.removeprefix(f"{name}.") for column in signal_schema({name: make(name)})]
    assert list(entry.signals) == added
    assert list(STEPS[name].units) == added
    assert all(signal.unit for signal in entry.signals.values())


@pytest.mark.parametrize("name", [name for name, kind in STEPS.items() if issubclass(kind, Filter)])
def test_every_filter_has_a_source_and_its_ranges(name: str, make: Callable[[str], Step]) -> None:
    step = make(name)
    assert isinstance(step, Filter)
    [entry] = catalogue(name)
    assert any(character.isdigit() for character in entry.source)  # a year at least
    ranges = {signal: value.keep for signal, value in entry.signals.items() if value.keep}
    for signal, value in entry.signals.items():
        ranges |= {f"{signal}{LANGUAGE}{language}": ends for language, ends in value.languages.items()}
    assert ranges == {key: ends for key, ends in step.keep.items() if ends != OFF or LANGUAGE in key}


@pytest.mark.parametrize("name", STEPS)
def test_settings_are_those_that_a_config_can_have(name: str, make: Callable[[str], Step]) -> None:
    [entry] = catalogue(name)
    settings = {key: value.default for key, value in entry.settings.items() if not value.required}
    written = make(name).model_dump(mode="json")
    assert settings == {key: written[key] for key in settings}
    assert set(entry.settings) == set(written) - {"keep", "gate"}
    asking = ("bad_words", "datatrove", "decontaminate", "cut_contamination")
    assert (name in asking) == any(value.required for value in entry.settings.values())


def test_what_a_setting_does_is_what_stands_below_it() -> None:
    settings = catalogue("minhash")[0].settings
    assert settings["shingle"].text == "Words or characters in a shingle. Longer ones see fewer documents as similar."
    assert settings["rows"].text == ""
    assert catalogue("code_html")[0].gate is False
    assert catalogue("url")[0].gate is True


def shown(entries: list[Entry], detail: bool) -> list[str]:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(entries, detail))
    return console.export_text().splitlines()


def test_a_hundred_columns_are_enough() -> None:
    whole = shown(catalogue(), detail=False)
    assert all(len(line.rstrip()) <= 100 for line in whole)
    for entry in catalogue():
        assert any(line.split()[:2] == [entry.name, entry.kind] for line in whole)
        lines = shown([entry], detail=True)
        assert all(len(line.rstrip()) <= 100 for line in lines)
        words = {word for line in lines for word in line.split()}
        assert {f"{entry.name}.{signal}" for signal in entry.signals} <= words
        assert set(entry.settings) <= words
        assert set(entry.source.split()) <= words


def test_a_docstring_takes_the_width_there_is() -> None:
    lines = [line.rstrip() for line in shown(catalogue("url"), detail=True)]
    first = next(number for number, line in enumerate(lines) if line.startswith("Addresses of"))
    last = lines.index("", first)
    assert " ".join(lines[first:last]) == " ".join(catalogue("url")[0].text.split("\n\n")[0].split())
    assert all(len(line) > 80 for line in lines[first : last - 1])
    assert "    soft_banned_words: the same of words that are bad only together." in lines


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["filters", *arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_json() -> None:
    everything = run("--json")
    assert [entry["name"] for entry in everything] == list(STEPS)
    [gopher] = run("gopher", "--json")
    assert gopher["kind"] == "filter"
    assert gopher["signals"]["words"] == {"unit": "words", "keep": [50, 100000], "languages": {}}
    assert gopher["source"].startswith("Rae et al. 2021")
    [data] = run("characters", "--json")
    assert data["signals"]["digits"]["keep"] is None


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="no step 'gohper'.*gopher"):
        catalogue("gohper")


PLUGIN = '''
import polars as pl
from filters import Filter

class Plain(Filter):
    """Says nothing of units."""
    least: int = 3
    """How many."""
    defaults = {"chars": (1, None), "chars@de": (2, None)}
    def signals(self):
        return {"chars": pl.col("text").str.len_chars(), "bytes": pl.col("text").str.len_bytes()}

class Needs(Plain):
    most: int

STEPS = {"plain": Plain, "needs": Needs}
'''


def test_steps_of_a_plugin(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN, encoding="utf-8")
    [plain] = catalogue("plain", [str(path)])
    assert {name: signal.keep for name, signal in plain.signals.items()} == {"chars": (1, None), "bytes": None}
    assert plain.signals["chars"].languages == {"de": (2, None)}
    assert plain.settings["least"].text == "How many."
    [needs] = catalogue("needs", [str(path)])
    assert list(needs.signals) == ["chars"]
    assert needs.settings["most"].required
    assert needs.settings["least"].text == "How many."
