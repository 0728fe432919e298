"""A run folder read lazily: its steps, receipts, ledger and files; nothing here changes it.

Everything that explains a run (`stats`, `inspect`, `whatif`, the card, the report) goes through this one door. Ledger
rows stay on disk: queries give aggregates through polars' streaming engine, so memory does not grow with the run.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from filters.base import Range
from pipeline.accounting.escape import line
from pipeline.judge import Exceptions, breaks, by_column
from pipeline.schema import LEDGER

READ = -1
"""The place, before all steps, of what readers drop or cannot read."""

TAKEDOWN = "takedown"
"""The reason of documents that were kept, and taken out of the finished run later."""

BYTES_PER_TOKEN = 4
"""UTF-8 bytes of a token, about; what estimates of tokens divide by."""


class RunFolderError(Exception):
    """What was asked of a folder that is no run, or that the run cannot give; `str()` is ready to print."""


@dataclass(frozen=True)
class RunStep:
    """One step of a finished run as run.json states it."""

    name: str
    kind: str
    use: str
    gate: bool
    group: int
    keep: Mapping[str, Range]
    sources: tuple[str, ...] | None
    """The only sources whose documents go through it; None is all."""
    identifies_language: bool = False
    drops: bool = False
    """A transform that drops too: the signal `dropped` has its reasons, also for documents that were dropped before."""
    cuts: bool = False
    """It deduplicates parts of documents: the signal `cut` has the characters that it took from each."""

    def concerns(self) -> pl.Expr:
        """Whether a row of the ledger is of a source whose documents go through it."""
        return pl.lit(True) if self.sources is None else pl.col("source").is_in(self.sources)


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: the nearest known one, then all that there are."""
    known = list(known)
    near = get_close_matches(word, known, n=1)
    hint = f"; did you mean '{line(near[0])}'?" if near else ""
    return f"{hint} (there are: {', '.join(map(line, known)) or 'none'})"


def tokens(num_bytes: int) -> int:
    """Tokens that so many bytes of UTF-8 make, about: four bytes each."""
    return round(num_bytes / BYTES_PER_TOKEN)


class RunFolder:
    """A finished or partly finished run. Raises RunFolderError where `path` is none or cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.meta = self._json(self.path / "run.json")
        only = (self.meta.get("config") or {}).get("steps") or {}
        try:
            self.steps = tuple(_step(entry, only) for entry in self.meta["steps"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunFolderError(f"{self.path / 'run.json'}: its steps cannot be read ({error!r})") from error
        self._places = {step.name: place for place, step in enumerate(self.steps)}

    def _json(self, path: Path) -> dict[str, Any]:
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunFolderError(f"{self.path}: not a run: it has no {path.relative_to(self.path)}") from error
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{path}: cannot be read ({error})") from error
        if not isinstance(value, dict):
            raise RunFolderError(f"{path}: expected an object, found {type(value).__name__}")
        return value

    def setting(self, name: str) -> Any:
        """A top-level setting of the run, or else of its config; None where neither has it."""
        config = self.meta.get("config")
        return self.meta.get(name, config.get(name) if isinstance(config, Mapping) else None)

    @cached_property
    def licenses(self) -> dict[str, str | None]:
        """The licence of each source of the config, in its order; None where it gives none."""
        licenses = self.meta.get("licenses", {})
        return {str(name): licenses.get(name) for name in self.setting("sources") or ()}

    @cached_property
    def sources(self) -> list[str]:
        """Names of all sources: those of the config in its order, then any others that the folder holds."""
        names: dict[str, None] = dict.fromkeys(self.licenses)
        for kind in ("ledger", "shards", "quarantine", "dropped", "cut"):
            root = self.path / kind
            names |= dict.fromkeys(
                sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else ()
            )
        return list(names)

    def files(self, kind: str, source: str | None = None) -> list[Path]:
        """The Parquet files of `ledger`, `shards`, `dropped`, `cut` or `quarantine`, sources in order, then by name."""
        names = self.sources if source is None else [source]
        return [path for name in names for path in sorted((self.path / kind / name).glob("*.parquet"))]

    def scan(self, kind: str, source: str | None = None) -> pl.LazyFrame | None:
        """All rows of a kind of file, or None where there is no file; files may differ in their signal columns."""
        groups: list[tuple[pa.Schema, list[Path]]] = []
        for path in self.files(kind, source):
            _, schema = footer(path)
            for known, members in groups:
                if known.equals(schema):
                    members.append(path)
                    break
            else:
                groups.append((schema, [path]))
        if not groups:
            return None
        frames = [pl.scan_parquet(members, glob=False, hive_partitioning=False) for _, members in groups]
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")

    def ledger(self) -> pl.LazyFrame:
        """One row a record; raises RunFolderError where the run has not got that far."""
        frame = self.scan("ledger")
        if frame is None:
            raise RunFolderError(
                f"{self.path}: no ledger yet: the run has not finished judging; run the same command again"
            )
        return frame

    @cached_property
    def signals(self) -> dict[str, pl.DataType]:
        """Columns `<step>.<signal>` of the ledger with their types: those of readers first, then in the order of the
        steps, and as measured."""
        frame = self.scan("ledger")
        schema = frame.collect_schema() if frame is not None else pl.Schema()
        places = {"read": READ, **self._places}
        found = [name for name in schema if name not in LEDGER.names]
        found.sort(key=lambda name: places.get(self.owner(name) or name.partition(".")[0], len(self.steps)))
        return {name: schema[name] for name in found}

    def ranges(self) -> dict[str, Range]:
        """The ranges, as `judge.ranges` gives them: by signal column, some with `@language` after it."""
        return {f"{step.name}.{key}": ends for step in self.steps for key, ends in step.keep.items()}

    def language(self, column: str) -> pl.Expr:
        """The language of a row of the ledger when a signal was judged: what the last step before had found."""
        place = self._places.get(self.owner(column) or "", len(self.steps) - 1)
        found = pl.col("language")
        for step in self.steps[: place + 1]:
            if step.identifies_language:
                found = pl.when(step.concerns()).then(f"{step.name}.label").otherwise(found)
        return found

    @cached_property
    def languages(self) -> frozenset[str]:
        """Every language that a range can be for: what sources say and steps found."""
        labels = [f"{step.name}.label" for step in self.steps if step.identifies_language]
        columns = ["language", *(label for label in labels if label in self.signals)]
        found = [self.ledger().select(pl.col(column).unique()).collect(engine="streaming") for column in columns]
        return frozenset(value for frame in found for value in frame.to_series() if value is not None)

    def broken(self, column: str, bounds: Exceptions) -> pl.Expr:
        """Whether a row of the ledger lies outside the range that holds for its language."""
        if not any(bounds):
            return breaks(column, bounds, pl.col("language"))
        here = {name: ends for name, ends in bounds.items() if name is None or name in self.languages}
        return breaks(column, here, self.language(column))

    def range(self, column: str, row: Mapping[str, Any]) -> Range | None:
        """The range that holds for a row of the ledger; None where there is none, or the row is not known."""
        bounds = by_column(self.ranges()).get(column, {})
        if not any(bounds):
            return bounds.get(None)
        if not row:
            return None
        language = row.get("language")
        for step in self.steps[: self._places[self.owner(column) or ""] + 1]:
            if step.identifies_language and (step.sources is None or row["source"] in step.sources):
                language = row.get(f"{step.name}.label")
        return bounds.get(language, bounds.get(None))

    def owner(self, column: str) -> str | None:
        """The step that measured a signal; names of steps may hold dots, so the longest that fits."""
        fitting = [step.name for step in self.steps if column.startswith(f"{step.name}.")]
        return max(fitting, key=len, default=None)

    def receipts(self) -> Iterator[dict[str, Any]]:
        """The receipts of all finished tasks, by name of task."""
        for path in sorted((self.path / "receipts").glob("*.json")):
            yield self._json(path)

    def place(self, reason: str) -> int | None:
        """Where in the steps a reason strikes: READ for readers, None where no step of the run gives such a reason."""
        if reason.startswith("read.") or reason == "read":
            return READ
        owner = reason if reason in self._places else self.owner(reason)
        if owner is not None:
            return self._places[owner]
        head, _, tail = reason.partition(".")
        places = [
            (place, step)
            for place, step in enumerate(self.steps)
            if (head == "dedup" and step.kind == "dedup") or (step.kind != "filter" and step.use == head)
        ]
        named = [place for place, step in places if step.name == tail]
        exact = named or [place for place, step in places if step.use == tail]
        return next(iter(exact or [place for place, _ in places]), None)


def footer(path: Path) -> tuple[int, pa.Schema]:
    """The number of rows and the schema of a Parquet file; RunFolderError names a file that is not whole."""
    try:
        with pq.ParquetFile(path) as file:
            return file.metadata.num_rows, file.schema_arrow.remove_metadata()
    except (OSError, pa.ArrowInvalid) as error:
        raise RunFolderError(f"{path}: not a whole Parquet file ({line(str(error))})") from error


def _step(entry: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]) -> RunStep:
    name = str(entry["name"])
    only = settings.get(name, {}).get("sources")
    return RunStep(
        name=name,
        kind=str(entry["kind"]),
        use=str(entry["use"]),
        gate=bool(entry.get("gate", False)),
        group=int(entry.get("group", 0)),
        keep={str(signal): (low, high) for signal, (low, high) in entry.get("keep", {}).items()},
        sources=None if only is None else tuple(only),
        identifies_language=bool(entry.get("identifies_language", False)),
        drops=bool(entry.get("drops", False)),
        cuts=bool(entry.get("cuts", False)),
    )
