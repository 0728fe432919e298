"""The settings of a curation run: YAML under configs/curate/ -> frozen models, with every error at its place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.configfile import ConfigFile, Place, Problem, nearest

if TYPE_CHECKING:
    from filters.base import Step
    from pipeline.plugins import Plugin
    from pipeline.readers.base import Reader

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _bytes(value: Any) -> Any:
    """`64MiB` -> 67108864; numbers pass."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)
        if not match or match[2].upper() not in _UNITS:
            raise ValueError(f"'{value}' is no size; write it as 64MiB, 500MB or a number of bytes")
        return int(float(match[1]) * _UNITS[match[2].upper()])
    return value


def _installed(segmenter: str) -> str:
    from filters.words import installed

    return installed(segmenter)


Size = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]


class Guard(BaseModel):
    """Shares of a source's records above which a run ends with exit code 3, before anybody trains on what is left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dropped: Annotated[float, Field(ge=0, le=1)] = 1.0
    quarantined: Annotated[float, Field(ge=0, le=1)] = 1.0


class WorkerLimits(BaseModel):
    """What ends a worker, so that the record to blame is looked for and isolated; the run goes on without it.

    Generous by default: work that is only slow must not get here, and what a step leaves to a process of its own has
    limits of its own. Receipts name the records, so a change makes nothing stale.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: Annotated[float, Field(gt=0)] = 180.0
    """Of processor time for one record. A batch may take ten times that, and either four times as long on the clock."""
    memory: Size = 8 * 2**30
    """Resident, without what processes share."""
    isolate: Annotated[int, Field(ge=0)] = 10
    """Records of one task. Where there are more it fails: something else is wrong than those records."""


class _Raw(BaseModel):
    """The file as it is written; sources and steps get their own models by their `use`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: str | None = None
    plugins: tuple[str, ...] = ()
    sources: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    languages: tuple[str, ...] | None = None
    segmenter: Annotated[Literal["characters", "icu"], AfterValidator(_installed)] | None = None
    steps: dict[str, dict[str, Any] | None] = {}
    measure: Literal["needed", "all"] = "needed"
    limit: Annotated[int, Field(ge=1)] | None = None
    split_bytes: Size = 16 * 2**20
    batch_bytes: Size = 32 * 2**20
    batch_records: Annotated[int, Field(ge=1)] = 1000
    shard_bytes: Size = 256 * 2**20
    guard: Guard = Guard()
    worker: WorkerLimits = WorkerLimits()


class Listed(BaseModel):
    """Files that a file lists, a path a line, plain or packed with gzip; Common Crawl has such lists of each crawl."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listed: Annotated[str, Field(min_length=1)]
    base: str | None = None
    """What stands before paths that are no URLs; the folder of the list if not given."""
    take: Annotated[int, Field(ge=1)] | None = None
    """So many of them, evenly spread over the list; all if not given."""


@dataclass(frozen=True)
class Source:
    """One named source: its files, how they are read, and under which licence they come."""

    paths: tuple[str, ...] | Listed
    license: str | None
    reader: "Reader"


@dataclass(frozen=True)
class CurateConfig:
    """A curation run. Everything here can change the output, except `out` and what stops a run or a worker: `guard`,
    `max_drop`, `worker`."""

    file: ConfigFile
    out: str | None
    sources: Mapping[str, Source]
    steps: Mapping[str, "Step"]
    only: Mapping[str, tuple[str, ...]]
    """Steps that concern some sources alone, with those sources."""
    max_drop: Mapping[str, Mapping[str, float]]
    """By step and source: the share of the documents into it that may be lost in it."""
    plugins: tuple["Plugin", ...]
    """Those that the file names, and installed ones that the steps need."""
    languages: tuple[str, ...] | None
    segmenter: Literal["characters", "icu"] | None
    """What a word is in scripts without spaces, for every step of words that does not say it itself."""
    measure: Literal["needed", "all"]
    limit: int | None
    split_bytes: int
    batch_bytes: int
    batch_records: int
    shard_bytes: int
    guard: Guard
    worker: WorkerLimits

    def resolved(self) -> dict[str, Any]:
        """Every setting with its value, defaults included, as it is kept in `run.json`."""
        from pipeline.steps import describe

        return {
            "plugins": [plugin.record() for plugin in self.plugins],
            "sources": {
                name: {
                    "paths": list(source.paths) if isinstance(source.paths, tuple) else source.paths.model_dump(),
                    "license": source.license,
                    **source.reader.model_dump(mode="json"),
                }
                for name, source in self.sources.items()
            },
            "languages": list(self.languages) if self.languages else None,
            "segmenter": self.segmenter,
            "steps": {
                name: {
                    "use": (entry := describe(name, step))["use"],
                    **({"sources": list(self.only[name])} if name in self.only else {}),
                    **({"max_drop": dict(self.max_drop[name])} if name in self.max_drop else {}),
                    **_settings(entry),
                }
                for name, step in self.steps.items()
            },
            "measure": self.measure,
            "limit": self.limit,
            "split_bytes": self.split_bytes,
            "batch_bytes": self.batch_bytes,
            "batch_records": self.batch_records,
            "shard_bytes": self.shard_bytes,
            "guard": self.guard.model_dump(),
            "worker": self.worker.model_dump(),
        }


def _settings(entry: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = entry["settings"]
    return settings


def load(file: ConfigFile) -> CurateConfig:
    """Validate a curation config; raises ConfigError with all problems of all sources and steps."""
    from pipeline.dedup.preference import problems as unknown_preferences
    from pipeline.entries import Entries, registry
    from pipeline.told import problems as unknown_signals

    raw, problems = file.parse(_Raw, file.values)
    # What pydantic could not take as a whole is still looked at in parts, so that all errors show at once.
    whole = {problem.place[0] for problem in problems if problem.place}
    values = {key: value for key, value in file.values.items() if key not in whole} if raw is None else vars(raw)
    sources, steps = values.get("sources"), values.get("steps")
    readers, wrong = _sources(file, sources) if isinstance(sources, dict) else ({}, [])
    problems += wrong
    named = values.get("plugins") or ()
    known, broken = registry(named, Path(file.name).parent)
    problems += [Problem(() if place is None else ("plugins", place), words) for place, words in broken]
    entries = Entries(file, known, list(sources or ()), partly=bool(broken) or "plugins" in whole)
    if isinstance(steps, dict):
        problems += entries.read(steps, raw.languages if raw else None, raw.segmenter if raw else None)
    if not problems:
        problems += unknown_signals(
            entries.steps, entries.only, {name: source.reader for name, source in readers.items()}
        )
        problems += unknown_preferences(
            entries.steps, [signal for source in readers.values() for signal in source.reader.told]
        )
    if raw is None or problems:
        raise file.error(problems)
    settings = {key: getattr(raw, key) for key in _Raw.model_fields if key not in ("sources", "steps", "plugins")}
    return CurateConfig(
        file=file,
        sources=readers,
        steps=entries.steps,
        only=entries.only,
        max_drop=entries.max_drop,
        plugins=entries.plugins(named),
        **settings,
    )


def _sources(file: ConfigFile, raw: Mapping[str, Any]) -> tuple[dict[str, Source], list[Problem]]:
    from pipeline.readers import READERS, reader_for

    sources: dict[str, Source] = {}
    problems: list[Problem] = []
    for name, entry in raw.items():
        at = ("sources", name)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            problems.append(
                Problem(at, f"'{name}': a source's name becomes a folder: letters, digits, '_', '-' and '.'")
            )
        settings = dict(entry)
        paths, wrong = _paths(file, name, settings.pop("paths", None))
        problems += wrong
        if paths is None:
            continue
        license_name = settings.pop("license", None)
        if license_name is not None and not isinstance(license_name, str):
            problems.append(Problem((*at, "license"), f"license: a text, found {license_name!r}"))
        use = settings.pop("use", "auto")
        if use == "auto":
            kinds = {None} if isinstance(paths, Listed) else {reader_for(path) for path in paths}
            if len(kinds) != 1 or None in kinds:
                found = ", ".join(sorted(str(kind) for kind in kinds if kind)) or "none"
                problems.append(
                    Problem((*at, "paths"), f"set use: to say how source '{name}' is read (by suffix: {found})")
                )
                continue
            use = kinds.pop()
        if use not in READERS:
            problems.append(Problem((*at, "use"), f"unknown reader '{use}'; {nearest(str(use), list(READERS))}"))
            continue
        reader, wrong = file.parse(READERS[use], {"use": use, **settings}, at)
        known = ["paths", "license"]
        for problem in wrong:  # the reader does not know the keys that every source has
            word = str(problem.place[-1])
            near = get_close_matches(word, known, n=1)
            if "unknown key" in problem.message and len(problem.place) == 3 and near:
                problem = Problem(problem.place, f"unknown key '{word}'; did you mean '{near[0]}'?")
            problems.append(problem)
        if reader is not None:
            sources[name] = Source(paths, license_name, reader)
    return sources, problems


_SECRET = re.compile(
    r"[?&](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|(?:access_)?token)=", re.I
)


def _paths(file: ConfigFile, name: str, value: Any) -> tuple[tuple[str, ...] | Listed | None, list[Problem]]:
    """What stands under `paths`; None with the reason if it cannot be used."""
    at = ("sources", name, "paths")
    paths: tuple[str, ...] | Listed | None
    addresses: list[tuple[Place, str]]
    if isinstance(value, dict):
        paths, problems = file.parse(Listed, value, at)
        addresses = [] if paths is None else [((*at, "listed"), paths.listed), ((*at, "base"), paths.base or "")]
    else:
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not value or not all(isinstance(path, str) and path for path in value):
            words = f"source '{name}' needs paths: a list of files, patterns or URLs, or listed: a file that lists them"
            return None, [Problem(at, words)]
        paths, problems = tuple(value), []
        addresses = [((*at, i), path) for i, path in enumerate(value)]
    for place, address in addresses:
        scheme, _, rest = address.partition("://")
        if re.match(r"[^/@]*:[^/@]*@", rest) or (scheme in ("http", "https") and _SECRET.search(rest)):
            words = f"source '{name}': an address with a password or signature in it would be written into run.json"
            problems.append(Problem(place, f"{words}; give them by the environment"))
    return (None if problems else paths), problems
