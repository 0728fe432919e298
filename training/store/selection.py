"""Which documents of a curated source another one has, and how often, by columns of shards and signals of the ledger.

Shards are looked at one after the other, and of each only the columns that are asked for, so memory does not grow with
their number. A signal is a column of the shard, or else of the ledger of the run that made it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.configfile import ConfigError, Place, Problem, nearest
from training.config import SourceSettings, TrainConfig
from training.store.shards import Shard, opened

TOKENS = "tokens"
"""A signal that the token store knows: the length of a document's text."""
_BYTES_A_TOKEN = 4.0
_CLUSTER = "cluster_size"
_NUMBERS = "numbers: give a range, [low, high]"

Columns = Mapping[str, pa.Array]


def ledger(shard: Shard) -> Path:
    """The part of the ledger that has the rows of a shard; it need not be there."""
    path = Path(shard["path"])
    return path.parents[2] / "ledger" / path.parent.name / path.name


def asked(settings: SourceSettings) -> dict[str, tuple[str | int, ...]]:
    """The signals that make a source, and where its settings name them."""
    found: dict[str, tuple[str | int, ...]] = {signal: ("where", signal) for signal in settings.where}
    if settings.repeat is not None:
        found.setdefault(settings.repeat.by, ("repeat", "by"))
    if settings.order is not None:
        found.setdefault(settings.order.by, ("order", "by"))
    if settings.group is not None:
        found.setdefault(settings.group.by, ("group", "by"))
        if settings.group.path is not None:
            found.setdefault(settings.group.path, ("group", "path"))
    return found


def problems(config: TrainConfig, found: Mapping[str, list[Shard]]) -> list[Problem]:
    """Say what is wrong with sources that are made of others: names, signals that are not there, words for numbers.

    The schemas of shards and ledgers are all that is read.
    """
    wrong = []
    for name, settings in config.sources.items():
        at: Place = ("sources", name)
        if settings.of is None:
            continue
        if name in found:
            wrong.append(Problem(at, f"'{name}' is a curated source already; give this one another name"))
        elif settings.of not in found:
            hint = nearest(settings.of, list(found))
            wrong.append(Problem((*at, "of"), f"there is no curated source '{settings.of}'; {hint}"))
        else:
            for signal, place in asked(settings).items():
                if message := _lacking(signal, settings, found[settings.of]):
                    wrong.append(Problem((*at, *place), message))
    return wrong


def _lacking(signal: str, settings: SourceSettings, files: Iterable[Shard]) -> str | None:
    """What is wrong with a signal in the first shard that lacks it, or has it of another kind than is asked for."""
    words = signal in settings.where and _is_words(settings.where[signal])
    joined = settings.group is not None and signal in (settings.group.by, settings.group.path)
    if signal == TOKENS:
        return f"'{signal}' has {_NUMBERS}" if words or joined else None
    for shard in files:
        with opened(shard) as file:
            known = {field.name: field.type for field in file.schema_arrow if field.name != "text"}
        if ledger(shard).is_file():
            told = pq.read_schema(ledger(shard))
            known = {field.name: field.type for field in told if "." in field.name or field.name == _CLUSTER} | known
        if signal not in known:
            more = "" if ledger(shard).is_file() else "; its run has no ledger, where signals are"
            return f"{shard['name']} has no signal '{signal}'{more}; {nearest(signal, list(known))}"
        text = pa.types.is_string(known[signal]) or pa.types.is_large_string(known[signal])
        if joined and not text:
            return f"'{signal}' has no names by which documents could be joined"
        if text != (words or joined):
            return f"'{signal}' has {'words: give a list of those that are allowed' if text else _NUMBERS}"
    return None


def columns(shard: Shard, names: Iterable[str]) -> dict[str, pa.Array]:
    """Signals of a shard's rows, without tokens. Raises ConfigError where one is not there."""
    names = [name for name in names if name != TOKENS]
    with opened(shard) as file:
        here = [name for name in names if name in file.schema_arrow.names]
        table = file.read(columns=["id", *here])
    found = {name: table[name].combine_chunks() for name in here}
    rest = [name for name in names if name not in here]
    path = ledger(shard)
    if rest:
        if not path.is_file() or not set(rest) <= set(pq.read_schema(path).names):
            raise ConfigError([f"sources: {shard['path']} has no signal {', '.join(rest)}, and nor has its ledger"])
        told = pq.read_table(path, columns=["id", "verdict", *rest])
        told = told.filter(pc.equal(told["verdict"], "kept"))
        places = pc.index_in(table["id"].cast(pa.string()), value_set=told["id"].combine_chunks().cast(pa.string()))
        if places.null_count:
            raise ConfigError([f"sources: {path} does not have all documents of {shard['path']}; curate again"])
        found |= {name: told[name].take(places).combine_chunks() for name in rest}
    if _CLUSTER in found:  # a document without copies is in no cluster
        found[_CLUSTER] = pc.fill_null(found[_CLUSTER], 1)
    return found


def numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    """A signal as numbers; NaN where it was not measured."""
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def times(settings: SourceSettings, known: Columns, rows: int) -> npt.NDArray[np.int64]:
    """How often each of some documents comes in an epoch of a source; 0 is not at all."""
    chosen = np.ones(rows, bool)
    for signal, allowed in settings.where.items():
        if _is_words(allowed):
            chosen &= pc.is_in(known[signal], value_set=pa.array(allowed, known[signal].type)).to_numpy(False)
            continue
        low, high = allowed
        values = numbers(known[signal])
        chosen &= ~np.isnan(values)
        if low is not None:
            chosen &= values >= float(low)
        if high is not None:
            chosen &= values <= float(high)
    made = chosen.astype(np.int64)
    if settings.repeat is not None:
        starts, counts = zip(*settings.repeat.times, strict=True)
        values = numbers(known[settings.repeat.by])
        made *= np.where(np.isnan(values), 1, np.array([1, *counts])[np.searchsorted(starts, values, side="right")])
    return made


def share(settings: SourceSettings, files: Iterable[Shard]) -> float:
    """About which share of a curated source's text an epoch of one made of it has; copies count each time.

    By the bytes of texts that the ledger tells, where there is one, or else by documents. Where tokens are asked for,
    texts are read for their bytes if need be, and a token is taken to have four.
    """
    names = list(asked(settings))
    chosen = whole = 0.0
    for shard in files:
        sized = ledger(shard).is_file() and "bytes" in pq.read_schema(ledger(shard)).names
        known = columns(shard, [*names, "bytes"] if sized else names)
        with opened(shard) as file:
            rows = file.metadata.num_rows
            if TOKENS in names and not sized:
                known |= {"bytes": pc.binary_length(file.read(columns=["text"])["text"]).combine_chunks()}
        sizes = numbers(known["bytes"]) if "bytes" in known else np.ones(rows)
        known |= {TOKENS: pa.array(sizes / _BYTES_A_TOKEN)}
        chosen += float((sizes * times(settings, known, rows)).sum())
        whole += float(sizes.sum())
    return chosen / whole if whole else 0.0


def _is_words(allowed: tuple[Any, ...]) -> bool:
    return any(isinstance(item, str) for item in allowed)
