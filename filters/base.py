"""What a step of curation is: a filter measures named signals and keeps ranges of them, a transform changes text.

The two are apart on purpose. A filter never changes a document and a transform never drops one, so that every drop is
explained by a number in a column and a range in the config, and thresholds can be tried again without the text.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, field_serializer, model_validator

Range = tuple[float | None, float | None]
"""Both ends are included; None leaves an end open."""


class Step(BaseModel, ABC):
    """One named entry under `steps:` of a config; frozen, so it can be hashed into fingerprints and sent to workers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads: ClassVar[str] = "text"
    """The document column that must be there before this step: `text`, `html` or `url`."""

    source: ClassVar[str] = ""
    """Where the rules come from: author, year, title and section."""

    units: ClassVar[Mapping[str, str]] = {}
    """Every signal with its unit: words, characters, lines, share, probability, count, "0 or 1", label, ..."""

    version: ClassVar[int] = 1
    """Raised when the same settings give other results than before, so that runs made earlier become stale."""

    def identity(self) -> Mapping[str, str]:
        """What besides the settings decides the results: hashes of models and lists, versions of libraries."""
        return {}


class Filter(Step):
    """Named measurements of a document, and the range that each must stay in.

    `keep` given in a config is laid over the class's own ranges: naming one signal does not switch the others off;
    `null` does, for that one. Naming a signal that the filter does not have is an error.
    """

    keep: Mapping[str, Range] = {}
    gate: bool = False
    """Judge at once: documents that this filter drops are not measured by the filters after it."""

    defaults: ClassVar[Mapping[str, Range]] = {}

    @abstractmethod
    def signals(self) -> Mapping[str, pl.Expr]:
        """Expressions over the columns `text` and `url`, by name of signal, in the order in which ranges are tried."""

    @field_serializer("keep")
    def _with_what_is_off(self, keep: Mapping[str, Range]) -> dict[str, Range | None]:
        return {**dict.fromkeys(self.defaults), **keep}  # read back, a default that is off must stay off

    @model_validator(mode="before")
    @classmethod
    def _lay_over_defaults(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("keep", {}), Mapping):
            return data  # the field's own validation says what is wrong
        ranges = {**cls.defaults, **data.get("keep", {})}
        return {**data, "keep": {name: bounds for name, bounds in ranges.items() if bounds is not None}}

    @model_validator(mode="after")
    def _known_and_possible(self) -> Self:
        names = list(self.signals())
        for name, (low, high) in self.keep.items():
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else f"; signals: {', '.join(names)}"
                raise ValueError(f"unknown signal '{name}' in keep{hint}")
            if low is not None and high is not None and low > high:
                raise ValueError(
                    f"keep.{name}: the lower end {low} is above the upper end {high}, nothing would be kept"
                )
        return self


class Transform(Step):
    """A change of text that keeps every row and its place. What it changed is a signal."""

    @abstractmethod
    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        """Return the same rows in the same order, with `text` changed and signal columns `<name>.<signal>` added.

        A row that cannot be handled gets its reason in the column `error`, such as `extract.timeout`; the task puts it
        into quarantine, and the other rows go on.
        """
