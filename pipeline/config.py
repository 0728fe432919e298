"""The settings of a curation run: YAML under configs/curate/ -> frozen models, with every error at its place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.configfile import ConfigFile, Problem, nearest

if TYPE_CHECKING:
    from filters.base import Step
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


class _Raw(BaseModel):
    """The file as it is written; sources and steps get their own models by their `use`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: str | None = None
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


@dataclass(frozen=True)
class Source:
    """One named source: its files, how they are read, and under which licence they come."""

    paths: tuple[str, ...]
    license: str | None
    reader: "Reader"


@dataclass(frozen=True)
class CurateConfig:
    """A curation run. Everything here can change the output, except `out`."""

    file: ConfigFile
    out: str | None
    sources: Mapping[str, Source]
    steps: Mapping[str, "Step"]
    only: Mapping[str, tuple[str, ...]]
    """Steps that concern some sources alone, with those sources."""
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

    def resolved(self) -> dict[str, Any]:
        """Every setting with its value, defaults included, as it is kept in `run.json`."""
        from pipeline.steps import describe

        return {
            "sources": {
                name: {
                    "paths": list(source.paths),
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
        }


def _settings(entry: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = entry["settings"]
    return settings


def load(file: ConfigFile) -> CurateConfig:
    """Validate a curation config; raises ConfigError with all problems of all sources and steps."""
    raw, problems = file.parse(_Raw, file.values)
    if raw is None:
        # What pydantic could not take as a whole is still looked at in parts, so that all errors show at once.
        sources, steps = file.values.get("sources"), file.values.get("steps")
        whole = {place for problem in problems if (place := problem.place)}
        if isinstance(sources, dict) and not any(place[:1] == ("sources",) for place in whole):
            problems += _sources(file, sources)[1]
        if isinstance(steps, dict) and not any(place[:1] == ("steps",) for place in whole):
            problems += _steps(file, steps, list(sources) if isinstance(sources, dict) else [], None, None)[2]
        raise file.error(problems)
    sources, source_problems = _sources(file, raw.sources)
    steps, only, step_problems = _steps(file, raw.steps, list(raw.sources), raw.languages, raw.segmenter)
    if problems := source_problems + step_problems:
        raise file.error(problems)
    settings = {key: getattr(raw, key) for key in _Raw.model_fields if key not in ("sources", "steps")}
    return CurateConfig(file=file, sources=sources, steps=steps, only=only, **settings)


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
        paths = settings.pop("paths", None)
        paths = [paths] if isinstance(paths, str) else paths
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
            problems.append(Problem((*at, "paths"), f"source '{name}' needs paths: a list of files, patterns or URLs"))
            continue
        license_name = settings.pop("license", None)
        if license_name is not None and not isinstance(license_name, str):
            problems.append(Problem((*at, "license"), f"license: a text, found {license_name!r}"))
        use = settings.pop("use", "auto")
        if use == "auto":
            kinds = {reader_for(path) for path in paths}
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
            sources[name] = Source(tuple(paths), license_name, reader)
    return sources, problems


def _steps(
    file: ConfigFile,
    raw: Mapping[str, Any],
    sources: list[str],
    languages: tuple[str, ...] | None,
    segmenter: str | None,
) -> tuple[dict[str, "Step"], dict[str, tuple[str, ...]], list[Problem]]:
    from pipeline.steps import STEPS, Stages

    steps: dict[str, Step] = {}
    only: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for name, entry in raw.items():
        at = ("steps", name)
        if entry is not None and not isinstance(entry, dict):
            problems.append(Problem(at, f"step '{name}': settings are a mapping, found {entry!r}"))
            continue
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            problems.append(Problem(at, f"'{name}': a step's name becomes a column: letters, digits and '_'"))
        settings = dict(entry or {})
        use = settings.pop("use", name)
        if use not in STEPS:
            where = (*at, "use") if entry and "use" in entry else at
            problems.append(Problem(where, f"unknown step '{use}'; {nearest(str(use), list(STEPS))}"))
            continue
        if use == "language" and languages is not None:
            settings.setdefault("languages", languages)
        if "segmenter" in STEPS[use].model_fields and segmenter is not None:
            settings.setdefault("segmenter", segmenter)
        if "sources" in settings:
            wanted = settings.pop("sources")
            wanted = wanted if isinstance(wanted, list) else [wanted]
            for i, source in enumerate(wanted):
                if source not in sources:
                    hint = nearest(str(source), sources)
                    problems.append(Problem((*at, "sources", i), f"step '{name}': no source '{source}'; {hint}"))
            only[name] = tuple(str(source) for source in wanted)
            if use in ("minhash", "exact"):
                problems.append(Problem((*at, "sources"), "deduplication is across all sources"))
        step, wrong = file.parse(STEPS[use], settings, at)
        problems += wrong
        if step is not None:
            steps[name] = step
    if not problems:
        try:
            Stages.of(steps)
        except ValueError as error:
            problems.append(Problem(("steps",), f"steps: {error}"))
        if languages is not None and not any("languages" in type(step).model_fields for step in steps.values()):
            problems.append(
                Problem(("languages",), "languages: no step identifies languages; add 'language: {}' to steps")
            )
        if segmenter is not None and not any("segmenter" in type(step).model_fields for step in steps.values()):
            problems.append(Problem(("segmenter",), "segmenter: no step counts words"))
    return steps, only, problems
