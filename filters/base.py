"""What a step of curation is: a filter measures named signals and keeps ranges of them, a transform changes text.

The two are apart on purpose. A filter never changes a document and a transform never drops one, so that every drop is
explained by a number in a column and a range in the config, and thresholds can be tried again without the text. Only
code of others that gives a verdict without a number is a transform that drops (`Transform.drops`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, model_validator

Range = tuple[float | None, float | None]
"""Both ends are included; None leaves an end open."""

OFF: Range = (None, None)
"""The range that every document is in."""


class Step(BaseModel, ABC):
    """One named entry under `steps:` of a config; frozen, so it can be hashed into fingerprints and sent to workers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: ClassVar[str] = ""
    """Where the rules come from: author, year, title and section."""

    units: ClassVar[Mapping[str, str]] = {}
    """Every signal with its unit: words, characters, lines, share, probability, count, "0 or 1", label, ..."""

    version: ClassVar[int] = 1
    """Raised when the same settings give other results than before, so that runs made earlier become stale."""

    @property
    def reads(self) -> str:
        """The document column that must be there before this step: `text`, `html` or `url`."""
        return "text"

    def identity(self) -> Mapping[str, str]:
        """What besides the settings decides the results: hashes of models and lists, versions of libraries."""
        return {}


LANGUAGE = "@"
"""Stands between a signal and the language that its range is for, as in `words@de`."""


class Filter(Step):
    """Named measurements of a document, and the range that each must stay in.

    `keep` given in a config is laid over the class's own ranges: naming one signal does not switch the others off;
    `null` or `[null, null]` does, for that one. Naming a signal that the filter does not have is an error.

    A range for documents of one language stands under `signal@language`, such as `words@de`; the range of `words` is
    then for all others. Naming `words` alone replaces the class's ranges for single languages too.
    """

    keep: Mapping[str, Range] = {}
    gate: bool = False
    """Judge at once: documents that this filter drops are not measured by the filters after it."""

    defaults: ClassVar[Mapping[str, Range]] = {}

    @abstractmethod
    def signals(self) -> Mapping[str, pl.Expr]:
        """Expressions over the columns `text`, `url` and `language`, by name of signal, in the order of trial."""

    @classmethod
    def default_ranges(cls, settings: Mapping[str, Any]) -> Mapping[str, Range]:
        """The ranges of a filter with these settings, as they are given, if its `keep` names none."""
        return cls.defaults

    @model_validator(mode="before")
    @classmethod
    def _lay_over_defaults(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("keep", {}), Mapping):
            return data  # the field's own validation says what is wrong
        given = data.get("keep", {})
        ranges = cls.default_ranges(data)
        kept = {key: ends for key, ends in ranges.items() if key.partition(LANGUAGE)[0] not in given}
        return {**data, "keep": {key: OFF if ends is None else ends for key, ends in {**kept, **given}.items()}}

    @model_validator(mode="after")
    def _known_and_possible(self) -> Self:
        names = list(self.signals())
        for key, (low, high) in self.keep.items():
            name, at, language = key.partition(LANGUAGE)
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else f"; signals: {', '.join(names)}"
                raise ValueError(f"unknown signal '{name}' in keep{hint}")
            if at and not language:
                raise ValueError(f"keep.{key}: name a language after '{LANGUAGE}', such as {name}{LANGUAGE}de")
            if low is not None and high is not None and low > high:
                raise ValueError(
                    f"keep.{key}: the lower end {low} is above the upper end {high}, nothing would be kept"
                )
        return self


class Transform(Step):
    """A change of text that keeps every row and its place. What it changed is a signal."""

    drops: ClassVar[bool] = False
    """Whether it may give documents a reason to be dropped."""

    @abstractmethod
    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        """Return the same rows in the same order, with `text` changed and signal columns `<name>.<signal>` added.

        A row that cannot be handled gets its reason in the column `error`, such as `extract.timeout`; the task puts it
        into quarantine, and the other rows go on. A text that is empty afterwards is dropped as `<name>.empty`. With
        `drops`, a row may get a reason in the column `reason`, such as `<name>.short`, and is then dropped for it; the
        signal `<name>.dropped`, which has that reason, is added for it.
        """
