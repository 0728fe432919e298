"""The registry of steps: every name that may stand in `use:` under `steps:`, and how a list of steps runs in stages.

A run has at most three stages, because only two things force text to wait on disk: the costly reading of pages, which
a change of thresholds should not repeat, and deduplication, which must have seen every document.
"""

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from filters import FILTERS
from filters.base import LANGUAGE, Filter, Step, Transform
from filters.language import Language
from pipeline.blocks.classes import has_blocks
from pipeline.blocks.step import Datatrove
from pipeline.decontaminate.step import CutContamination, Decontaminate
from pipeline.dedup.base import Dedup, Documents
from pipeline.dedup.exact import Exact
from pipeline.dedup.jobs import KINDS
from pipeline.dedup.minhash import MinHash
from pipeline.dedup.same_url import SameUrl
from pipeline.dedup.spans.jobs import SPAN_KINDS
from pipeline.dedup.spans.lines import Lines
from pipeline.dedup.spans.sentences import Sentences
from pipeline.dedup.spans.step import SpanStep
from pipeline.dedup.spans.substrings import Substrings
from pipeline.extract.step import Extract
from pipeline.judge import ranges
from pipeline.normalize import Normalize
from pipeline.pii import Pii
from pipeline.plugins import Plugin, PluginError
from pipeline.told import Told

BUILT_IN: dict[str, type[Step]] = {
    **FILTERS,
    "extract": Extract,
    "normalize": Normalize,
    "same_url": SameUrl,
    "exact": Exact,
    "minhash": MinHash,
    "lines": Lines,
    "sentences": Sentences,
    "substrings": Substrings,
    "pii": Pii,
    "decontaminate": Decontaminate,
    "cut_contamination": CutContamination,
    "told": Told,
    "datatrove": Datatrove,
}

COMMON = ("use", "sources", "max_drop")
"""Keys that every step's entry in a config may have beside the settings of its class."""

STEP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""A step's name becomes part of a column."""

_uses: dict[type[Step], tuple[str, Plugin | None]] = {kind: (word, None) for word, kind in BUILT_IN.items()}
"""Every class that has been in a registry, with its name there and the plugin that it came from."""


@dataclass(frozen=True)
class Registry:
    """Every name that may stand in `use:`: the built-in steps and those of plugins."""

    steps: Mapping[str, type[Step]]
    plugins: Mapping[str, Plugin]
    """By the name under which `block:` finds their classes."""

    @classmethod
    def built_in(cls) -> "Registry":
        """The registry without any plugin."""
        return cls(BUILT_IN, {})

    def including(self, plugin: Plugin) -> "Registry":
        """The registry with the steps that a plugin names in `STEPS`; raises PluginError where that cannot be."""
        known = self.plugins.get(plugin.name)
        if known == plugin:
            return self
        if known is not None or plugin.name == "datatrove":
            raise PluginError(f"{plugin.path or plugin.name}: another plugin is called '{plugin.name}' already")
        found = _steps_of(plugin)
        for word, kind in found.items():
            if word in self.steps:
                whose = _uses[self.steps[word]][1]
                raise PluginError(
                    f"{plugin.name}: there is a step '{word}' {f'in {whose.name}' if whose else 'built in'}"
                )
            if _uses.setdefault(kind, (word, plugin)) != (word, plugin):
                raise PluginError(f"{plugin.name}: {kind.__name__} is the step '{_uses[kind][0]}' already")
        return Registry({**self.steps, **found}, {**self.plugins, plugin.name: plugin})

    def plugin(self, use: str) -> Plugin | None:
        """The plugin that a step came from."""
        return _uses[self.steps[use]][1]

    def make(self, use: str, settings: Mapping[str, Any]) -> Step:
        """A step of its settings."""
        return self.steps[use].model_validate(settings, context=self.plugins)


def _steps_of(plugin: Plugin) -> dict[str, type[Step]]:
    steps = getattr(plugin.module, "STEPS", None)
    if steps is None and has_blocks(plugin.module):
        return {}
    if not isinstance(steps, Mapping):
        raise PluginError(f"{plugin.name}: it must say which steps it has: STEPS = {{'name': Class}}")
    for word, kind in steps.items():
        if not isinstance(word, str) or not STEP_NAME.fullmatch(word):
            raise PluginError(f"{plugin.name}: STEPS: {word!r}: the name of a step is letters, digits and '_'")
        if not isinstance(kind, type) or not issubclass(kind, (Filter, Transform)):
            raise PluginError(
                f"{plugin.name}: STEPS: '{word}' is no class derived from filters.base.Filter or Transform"
            )
        if inspect.isabstract(kind):
            raise PluginError(f"{plugin.name}: {kind.__name__} lacks {', '.join(sorted(kind.__abstractmethods__))}()")
        if taken := [key for key in COMMON if key in kind.model_fields]:
            raise PluginError(
                f"{plugin.name}: {kind.__name__}: every step has '{taken[0]}'; name the setting otherwise"
            )
    return dict(steps)


def use_of(step: Step) -> str:
    """The name under which a step's class stands in `use:`."""
    return _uses[type(step)][0]


def depends_on(step: Step) -> dict[str, str]:
    """What besides its settings decides a step's results: what it says itself, and the code of its plugin."""
    plugin = plugin_of(step)
    return {**step.identity(), **({"plugin": plugin.sha256} if plugin else {})}


def plugin_of(step: Step) -> Plugin | None:
    """The plugin that a step, or the block in it, came from."""
    return _uses[type(step)][1] or (step.plugin if isinstance(step, Datatrove) else None)


Steps = Mapping[str, Step]


@dataclass(frozen=True)
class Stages:
    """Steps split at the points where documents wait on disk. The order inside and across is that of the config."""

    read: Steps
    """Up to the last step that needs the page itself."""
    judge: Steps
    """From there to deduplication; empty where no step reads pages, everything then belongs to `read`."""
    dedup: Mapping[str, Documents]
    """The steps that deduplicate whole documents: what one drops takes no part in the next."""
    spans: Mapping[str, SpanStep]
    """The steps that deduplicate parts of the documents which those have left; all see the texts before any cut."""
    finish: Steps
    """What runs on the survivors."""

    @property
    def last_dedup(self) -> str | None:
        """The step after which clusters are complete."""
        return list(self.dedup)[-1] if self.dedup else None

    @classmethod
    def of(cls, steps: Steps) -> "Stages":
        """Split steps; raises ValueError if their order cannot work."""
        names = list(steps)
        barriers = [name for name in names if isinstance(steps[name], Dedup)]
        end = names.index(barriers[0]) if barriers else len(names)
        between = [name for name in names[end : end + len(barriers)] if name not in barriers]
        if between:
            raise ValueError(
                f"'{between[0]}' stands between '{barriers[0]}' and '{barriers[-1]}': steps of deduplication follow "
                "one another, since all look at the same text; put it before or after them"
            )
        parts = [name for name in barriers if isinstance(steps[name], SpanStep)]
        if parts and (whole := [name for name in barriers[barriers.index(parts[0]) :] if name not in parts]):
            raise ValueError(
                f"'{whole[0]}' drops whole documents and must come before '{parts[0]}', which cuts parts of the others"
            )
        late = [name for name in names[end:] if steps[name].reads == "html"]
        if late:
            raise ValueError(f"'{late[0]}' reads pages and must come before '{barriers[0]}'")
        identified = [i for i, name in enumerate(names) if isinstance(steps[name], Language)]
        for name, step in steps.items():
            single = isinstance(step, Filter) and any(LANGUAGE in key for key in step.keep)
            if single and identified and names.index(name) < identified[0]:
                raise ValueError(
                    f"'{name}' has ranges for single languages: '{names[identified[0]]}' must come before it"
                )
        pages = max((i for i in range(end) if steps[names[i]].reads == "html"), default=-1)
        cut = pages + 1 if 0 <= pages < end - 1 else end

        def part(first: int, last: int) -> dict[str, Step]:
            return {name: steps[name] for name in names[first:last]}

        dedup = {name: step for name in barriers if isinstance(step := steps[name], Documents)}
        spans = {name: step for name in parts if isinstance(step := steps[name], SpanStep)}
        return cls(part(0, cut), part(cut, end), dedup, spans, part(end + len(barriers), len(names)))


def dropped_for(dedup: str) -> str:
    """The reason of documents that a step of deduplication drops."""
    return f"dedup.{dedup}"


def dedup_stages(steps: Iterable[str]) -> list[str]:
    """The stages of steps of deduplication, in their order."""
    return [f"{name}.{kind}" for name in steps for kind in KINDS]


def span_stages(steps: Mapping[str, SpanStep]) -> list[str]:
    """The stages of steps that deduplicate parts of documents."""
    return [f"{name}.{kind}" for name, step in steps.items() for kind in SPAN_KINDS[step.rounds]]


def concerning(source: str | None, steps: Steps, only: Mapping[str, tuple[str, ...]]) -> Steps:
    """The steps that a source's documents go through; `only` names the sources of those that are not for all."""
    return {name: step for name, step in steps.items() if source in only.get(name, (source,))}


def groups(steps: Steps) -> list[dict[str, Step]]:
    """Steps in groups: a transform alone, or the filters that are measured before the next drop.

    A group of filters ends at a transform and after a gate.
    """
    result: list[dict[str, Step]] = []
    open_group = False
    for name, step in steps.items():
        if isinstance(step, Filter) and open_group:
            result[-1][name] = step
        else:
            result.append({name: step})
        open_group = isinstance(step, Filter) and not step.gate
    return result


def describe(name: str, step: Step) -> dict[str, object]:
    """A step as it stands in `run.json`: enough to read the ledger without this version of the code."""
    changes = isinstance(step, (Transform, SpanStep))
    kind = "transform" if changes else "filter" if isinstance(step, Filter) else "dedup"
    settings = step.model_dump(mode="json")
    entry: dict[str, object] = {"name": name, "kind": kind, "use": use_of(step), "settings": settings}
    if isinstance(step, Filter):
        entry["gate"] = step.gate
        entry["keep"] = {key.removeprefix(f"{name}."): list(ends) for key, ends in ranges({name: step}).items()}
        entry["identifies_language"] = isinstance(step, Language)
    elif isinstance(step, Transform):
        entry["drops"] = step.drops
    elif isinstance(step, SpanStep):
        entry["drops"] = entry["cuts"] = True
    elif isinstance(step, MinHash):
        entry["match_probability"] = step.curve()
    return entry
