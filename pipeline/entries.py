"""The entries under `steps:` of a config: each by the class that its name or its `use` means, every error at its place.

Built-in steps and those of plugins are read alike. The steps of a plugin are also tried on no documents, so that an
error in one is said with its line in the config before anything is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filters.base import OFF, Filter, Step
from pipeline.configfile import ConfigFile, Place, Problem, nearest
from pipeline.dedup.base import Dedup
from pipeline.passage import signal_schema
from pipeline.plugins import Plugin, PluginError, installed, load, load_installed, why
from pipeline.steps import STEP_NAME, Registry, Stages, plugin_of


def registry(named: Iterable[str], folder: Path) -> tuple[Registry, list[tuple[int | None, str]]]:
    """The steps there are: built in, of installed packages, and of plugins by file (in a folder) or module.

    What is wrong with a plugin comes with its place among those named; None is an installed one.
    """
    known = Registry.built_in()
    wrong: list[tuple[int | None, str]] = []
    for entry, whose in installed():
        try:
            known = known.including(load_installed(entry))
        except PluginError as error:
            wrong.append((None, f"{whose}: {error}"))
    for place, given in enumerate(named):
        try:
            known = known.including(load(given, folder))
        except PluginError as error:
            wrong.append((place, f"plugin: {error}"))
    return known, wrong


@dataclass
class Entries:
    """The steps of a config. With `partly`, what some plugins offer is not known, and what is unknown is no error."""

    file: ConfigFile
    known: Registry
    sources: Sequence[str]
    partly: bool = False
    steps: dict[str, Step] = field(default_factory=dict)
    only: dict[str, tuple[str, ...]] = field(default_factory=dict)
    max_drop: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, raw: Mapping[str, Any], languages: tuple[str, ...] | None, segmenter: str | None) -> list[Problem]:
        """Read all entries; `languages` and `segmenter` go to the steps that have such settings and do not set them."""
        for name, entry in raw.items():
            self._read(name, entry, {"languages": languages, "segmenter": segmenter})
        if self.problems or self.partly:
            return self.problems
        try:
            Stages.of(self.steps)
        except ValueError as error:
            self._wrong(("steps",), f"steps: {error}")
        settings = {key for step in self.steps.values() for key in type(step).model_fields}
        if languages is not None and "languages" not in settings:
            self._wrong(("languages",), "languages: no step identifies languages; add 'language: {}' to steps")
        if segmenter is not None and "segmenter" not in settings:
            self._wrong(("segmenter",), "segmenter: no step counts words")
        return self.problems

    def _wrong(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place, message))

    def _read(self, name: str, entry: Any, shared: Mapping[str, Any]) -> None:
        at = ("steps", name)
        if entry is not None and not isinstance(entry, dict):
            self._wrong(at, f"step '{name}': settings are a mapping, found {entry!r}")
            return
        if not STEP_NAME.fullmatch(name):
            self._wrong(at, f"'{name}': a step's name becomes a column: letters, digits and '_'")
        if name == "read":
            self._wrong(at, "'read': call the step otherwise; the columns read.* have what readers tell")
        settings = dict(entry or {})
        use = settings.pop("use", name)
        kind = self.known.steps.get(use) if isinstance(use, str) else None
        if kind is None:
            if not self.partly:
                where = (*at, "use") if entry and "use" in entry else at
                self._wrong(where, f"unknown step '{use}'; {nearest(str(use), list(self.known.steps))}")
            return
        if self.partly and "block" in kind.model_fields:
            return  # it may be a block of the plugin
        for key, value in shared.items():
            if key in kind.model_fields and value is not None:
                settings.setdefault(key, value)
        if "sources" in settings:
            self._sources(name, settings.pop("sources"), issubclass(kind, Dedup))
        limit = settings.pop("max_drop", None)
        step = self._step(name, use, kind, settings)
        if step is not None:
            self.steps[name] = step
            if limit is not None:
                self._max_drop(name, step, limit)

    def _sources(self, name: str, wanted: Any, dedup: bool) -> None:
        at = ("steps", name, "sources")
        wanted = wanted if isinstance(wanted, list) else [wanted]
        for i, source in enumerate(wanted):
            if source not in self.sources:
                hint = nearest(str(source), self.sources)
                self._wrong((*at, i), f"step '{name}': no source '{source}'; {hint}")
        if dedup:
            self._wrong(at, "deduplication is across all sources")
        self.only[name] = tuple(str(source) for source in wanted)

    def _step(self, name: str, use: str, kind: type[Step], settings: Mapping[str, Any]) -> Step | None:
        at = ("steps", name)
        plugin = self.known.plugin(use)
        try:
            step, wrong = self.file.parse(kind, settings, at, context=self.known.plugins)
            self.problems += wrong
            if step is not None and plugin_of(step) is not None:
                signal_schema({name: step})
        except Exception as error:
            if plugin is None:
                raise
            self._wrong(at, f"step '{name}': {plugin.path or plugin.name}: {why(error, plugin.path)}")
            return None
        return step

    def _max_drop(self, name: str, step: Step, limit: Any) -> None:
        at = ("steps", name, "max_drop")
        concerned = [source for source in self.sources if source in self.only.get(name, (source,))]
        limits = limit if isinstance(limit, dict) else dict.fromkeys(concerned, limit)
        for source, share in limits.items():
            where = (*at, source) if isinstance(limit, dict) else at
            if source not in concerned:
                self._wrong(
                    where,
                    f"max_drop: step '{name}' gets nothing of a source '{source}'; {nearest(str(source), concerned)}",
                )
            elif isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
                self._wrong(where, f"max_drop: a share from 0 to 1, found {share!r}")
                return
        if isinstance(step, Filter) and all(ends == OFF for ends in step.keep.values()):
            self._wrong(at, f"max_drop: step '{name}' has no ranges and drops nothing")
        self.max_drop[name] = limits

    def plugins(self, named: Iterable[str]) -> tuple[Plugin, ...]:
        """The plugins that the run needs: those that the config names, and what else the steps come from."""
        wanted = {Path(given).stem if given.endswith(".py") else given for given in named}
        wanted |= {plugin.name for step in self.steps.values() if (plugin := plugin_of(step))}
        return tuple(plugin for plugin in self.known.plugins.values() if plugin.name in wanted)
