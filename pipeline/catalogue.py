"""Every step that a config can use, described from its own class: what it is, its signals, ranges, settings and source.

Nothing is written down twice: signals come from `units`, ranges from `defaults`, what a setting does from the text
below it in the class, which Python does not keep and is therefore read from the source.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from filters.base import LANGUAGE, OFF, Filter, Range, Step
from pipeline.accounting.tables import interval, table
from pipeline.configfile import ConfigError, nearest
from pipeline.dedup.base import Dedup
from pipeline.dedup.minhash import MinHash
from pipeline.entries import registry
from pipeline.steps import COMMON

_LONGEST_DEFAULT = 60


@dataclass(frozen=True)
class Signal:
    """What a step measures, or says of what it did."""

    unit: str
    keep: Range | None
    """The range that it must stay in by default; None if it is only measured."""
    languages: Mapping[str, Range]
    """The default ranges for documents of single languages."""


@dataclass(frozen=True)
class Setting:
    """A key under the name of a step in a config."""

    default: Any
    required: bool
    text: str


@dataclass(frozen=True)
class Entry:
    """One step of the registry."""

    name: str
    kind: str
    text: str
    source: str
    gate: bool
    signals: Mapping[str, Signal]
    settings: Mapping[str, Setting]
    match_probability: Mapping[str, Mapping[str, float]]
    """By preset, the chance that two documents are compared, by their Jaccard similarity."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def catalogue(name: str | None = None, plugins: Sequence[str] = ()) -> list[Entry]:
    """All steps, or the one that is asked for; raises ConfigError for a name or a plugin that does not exist.

    Args:
        plugins: files, relative to the working folder, and modules with steps of the user's own.
    """
    known, wrong = registry(plugins, Path())
    if wrong:
        raise ConfigError([message for _, message in wrong])
    if name is not None and name not in known.steps:
        raise ConfigError([f"no step '{name}'; {nearest(name, list(known.steps))}"])
    return [_entry(word, kind) for word, kind in known.steps.items() if name in (None, word)]


def _entry(word: str, kind: type[Step]) -> Entry:
    texts = _texts(kind)
    required = [key for key, field in kind.model_fields.items() if field.is_required()]
    step = None if required else kind()
    values = step.model_dump(mode="json") if step else _defaults(kind)
    return Entry(
        name=word,
        kind="filter" if issubclass(kind, Filter) else "deduplication" if issubclass(kind, Dedup) else "transform",
        text=inspect.cleandoc(kind.__doc__ or ""),
        source=kind.source,
        gate=bool(values.get("gate", False)),
        signals=_signals(kind, step),
        settings={
            key: Setting(values.get(key), key in required, texts.get(key, ""))
            for key in kind.model_fields
            if key not in Filter.model_fields
        },
        match_probability=kind.curves() if issubclass(kind, MinHash) else {},
    )


def _defaults(kind: type[Step]) -> dict[str, Any]:
    """The defaults of a class of which nothing can be made without settings."""
    fields = {key: field for key, field in kind.model_fields.items() if not field.is_required()}
    return {key: to_jsonable_python(field.get_default(call_default_factory=True)) for key, field in fields.items()}


def _signals(kind: type[Step], step: Step | None) -> dict[str, Signal]:
    """The signals of a step, or of a class of which nothing can be made without settings."""
    ranges = step.keep if isinstance(step, Filter) else kind.default_ranges({}) if issubclass(kind, Filter) else {}
    names = list(kind.units)
    if not names:  # a plugin need not say in which units it measures
        names = list(step.signals()) if isinstance(step, Filter) else [key.partition(LANGUAGE)[0] for key in ranges]
    kept: dict[str, Range] = {}
    languages: dict[str, dict[str, Range]] = {name: {} for name in names}
    for key, ends in ranges.items():
        signal, _, language = key.partition(LANGUAGE)
        if language:
            languages[signal][language] = ends
        elif ends != OFF:
            kept[signal] = ends
    return {name: Signal(kind.units.get(name, ""), kept.get(name), languages[name]) for name in languages}


def _texts(kind: type[Step]) -> dict[str, str]:
    """What stands below each setting in the class, or in the classes that it is derived from."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if not issubclass(owner, Step):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        except OSError:  # a class made without a source file
            continue
        assert isinstance(body, ast.ClassDef)
        for field, text in pairwise(body.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                if (
                    isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                    and isinstance(text.value.value, str)
                ):
                    found[field.target.id] = " ".join(text.value.value.split())
    return found


def render(entries: list[Entry], detail: bool) -> RenderableType:
    """A list, or everything about one step."""
    if not detail:
        rows = [(entry.name, entry.kind, _sentence(entry.text)) for entry in entries]
        return table("steps", ("step", "kind", "what it is"), rows, words=("kind", "what it is"))
    return Group(*(part for entry in entries for part in _detail(entry)))


def _detail(entry: Entry) -> Iterator[RenderableType]:
    yield Text(f"{entry.name} ({entry.kind}{', judged at once' if entry.gate else ''})\n")
    yield from _flow(entry.text)
    if entry.source:
        yield Padding(Text(f"Source: {entry.source}"), (1, 0, 0, 0))
    if entry.signals:
        columns, rows = ["signal", "unit", "keep"], []
        for name, signal in entry.signals.items():
            rows.append(
                [f"{entry.name}.{name}", signal.unit, interval(signal.keep) if signal.keep else "measured only"]
            )
        if any(signal.languages for signal in entry.signals.values()):
            columns.append("languages apart")
            for row, signal in zip(rows, entry.signals.values(), strict=True):
                row.append(str(len(signal.languages) or ""))
        yield Padding(table("signals", columns, rows, words=("unit", "keep")), (1, 0, 0, 0))
    if entry.settings:
        settings = [(key, _default(setting), setting.text) for key, setting in entry.settings.items()]
        shown = table("settings", ("setting", "default", "what it does"), settings, words=("default", "what it does"))
        yield Padding(shown, (1, 0, 0, 0))
    if entry.match_probability:
        yield Padding(curves_table("preset", entry.match_probability), (1, 0, 0, 0))
    common = (*COMMON, *Filter.model_fields) if entry.kind == "filter" else COMMON
    yield Text(f"Every {'filter' if entry.kind == 'filter' else 'step'} has also: {', '.join(common)}.")


def curves_table(first: str, curves: Mapping[str, Mapping[str, float]]) -> RenderableType:
    """How likely documents are to be compared: a row for each preset or step, a column for each Jaccard similarity."""
    similarities = list(next(iter(curves.values())))
    rows = [(name, *(f"{curve[similarity]:.4f}" for similarity in similarities)) for name, curve in curves.items()]
    return table("chance that documents meet, by their Jaccard similarity", (first, *similarities), rows)


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    written = "none" if setting.default in (None, [], {}, "") else str(setting.default)
    if len(written) <= _LONGEST_DEFAULT or not isinstance(setting.default, (list, dict)):
        return written
    return f"{len(setting.default)} entries"


def _flow(text: str) -> Iterator[RenderableType]:
    """A docstring as paragraphs that take the width there is; an indented line begins one, a deeper one goes on."""
    parts: list[tuple[int, str]] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if parts and parts[-1][1] and line.strip() and (indent > 4 or indent == parts[-1][0] == 0):
            parts[-1] = parts[-1][0], f"{parts[-1][1]} {line.strip()}"
        else:
            parts.append((indent, line.strip()))
    return (Padding(Text(words), (0, 0, 0, indent)) for indent, words in parts)


def _sentence(text: str) -> str:
    """The first sentence of a docstring; a full stop inside brackets does not end one."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    depth = 0
    for i, character in enumerate(paragraph):
        depth += (character in "([") - (character in ")]")
        if character == "." and not depth and paragraph[i + 1 : i + 2] in ("", " "):
            return paragraph[: i + 1]
    return paragraph
