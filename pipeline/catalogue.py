"""Every step that a config can use, described from its own class: what it is, its signals, ranges and settings."""

import inspect
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from filters.base import Filter, Transform
from pipeline.accounting.tables import interval, table
from pipeline.configfile import ConfigError, nearest
from pipeline.steps import STEPS


@dataclass(frozen=True)
class Entry:
    """One step of the registry."""

    name: str
    kind: str
    text: str
    signals: dict[str, str]
    """Signal -> default range in short; empty where nothing is judged by default."""
    settings: dict[str, Any]
    """Setting -> default."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return vars(self)


def catalogue(name: str | None = None) -> list[Entry]:
    """All steps, or the one that is asked for; raises ConfigError for a name that does not exist."""
    if name is not None and name not in STEPS:
        raise ConfigError([f"no step '{name}'; {nearest(name, list(STEPS))}"])
    entries = []
    for word, kind in STEPS.items():
        if name is not None and word != name:
            continue
        step = kind()
        settings = {key: value for key, value in step.model_dump(mode="json").items() if key not in ("keep", "gate")}
        signals: dict[str, str] = {}
        if isinstance(step, Filter):
            signals = {signal: interval(step.keep[signal]) if signal in step.keep else "" for signal in step.signals()}
        role = "filter" if isinstance(step, Filter) else "transform" if isinstance(step, Transform) else "deduplication"
        entries.append(Entry(word, role, inspect.cleandoc(kind.__doc__ or ""), signals, settings))
    return entries


def render(entries: list[Entry], detail: bool) -> RenderableType:
    """A list, or everything about one step."""
    if not detail:
        rows = [(entry.name, entry.kind, _sentence(entry.text)) for entry in entries]
        return table("steps", ("step", "kind", "what it is"), rows, words=("kind", "what it is"))
    parts: list[RenderableType] = []
    for entry in entries:
        parts.append(Text(f"{entry.name} ({entry.kind})\n\n{entry.text}\n"))
        if entry.signals:
            signals = [(f"{entry.name}.{signal}", ends or "measured only") for signal, ends in entry.signals.items()]
            parts.append(table("signals", ("signal", "keep"), signals))
        if entry.settings:
            settings = [(key, str(value)) for key, value in entry.settings.items()]
            parts.append(table("settings", ("setting", "default"), settings, words=("default",)))
    return Group(*parts)


def _sentence(text: str) -> str:
    """The first sentence of a docstring; a full stop inside brackets does not end one."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    depth = 0
    for i, character in enumerate(paragraph):
        depth += (character in "([") - (character in ")]")
        if character == "." and not depth and paragraph[i + 1 : i + 2] in ("", " "):
            return paragraph[: i + 1]
    return paragraph
