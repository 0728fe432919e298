"""A block of datatrove as a step: documents go through it in its own form, its decisions come back as ours."""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import polars as pl
from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator, model_validator

from filters.base import Transform
from pipeline.blocks import classes
from pipeline.child import child
from pipeline.extract.supervisor import Supervisor
from pipeline.plugins import Plugin, why
from pipeline.readers.encoding import utf8

if TYPE_CHECKING:
    from datatrove.data import Document

MEMORY = 2 << 30
"""Bytes of address space for the process in which an extractor works."""

_METADATA = ("url", "date", "doc_id", "source", "language")
_WORD = 60

_PROBE = "This is a page like many others.\nIt has two lines, and both of them end as sentences do.\n"
_PROBE_METADATA = {"url": "https://www.example.org/page", "source": "probe", "language": "en", "language_score": 0.9}


class Result(NamedTuple):
    """What a block made of a document: its text, the reason for which it is dropped, or what went wrong."""

    text: str | None
    reason: str | None = None
    error: str | None = None
    message: str | None = None


class Datatrove(Transform):
    """Any filter, formatter or extractor of datatrove (Penedo et al. 2024), or one derived from them in a plugin.

    A document that the block drops has the reason that it gives, in letters, digits and `_`, or `dropped` if it gives
    none. One at which it raises an exception goes into quarantine as `error`.

    A block may remember the documents before (which replacement comes next, a random generator); so that this does
    not depend on the number of workers, each part of a source has a block of its own. An extractor gets a process of
    its own for every page, and its `timeout` counts seconds of processor time; it ends as `timeout`, `memory` or
    `crash`. Texts of documents without a page stay as they are.

    Signals: whether the text was `changed`, the reason for which the document was `dropped`, the message of an `error`.
    """

    source: ClassVar[str] = "datatrove (Penedo et al. 2024), https://github.com/huggingface/datatrove"
    units: ClassVar[Mapping[str, str]] = {"changed": "0 or 1", "error": "message", "dropped": "reason"}
    drops: ClassVar[bool] = True

    block: str
    """The path of its class, such as `datatrove.pipeline.filters.C4QualityFilter`, or `my_blocks.Short` in a plugin."""
    arguments: dict[str, JsonValue] = Field({}, validate_default=True)
    """The arguments of its constructor."""

    _class: type[Any] = PrivateAttr()
    _plugin: Plugin | None = PrivateAttr(None)
    _live: tuple[int, Any] | None = PrivateAttr(None)
    """The ordinal of the last document that went through the block, and the block."""

    @field_validator("block")
    @classmethod
    def _exists(cls, block: str, info: ValidationInfo) -> str:
        classes.find(block, info.context or {})
        return block

    @field_validator("arguments")
    @classmethod
    def _accepted(cls, arguments: dict[str, JsonValue], info: ValidationInfo) -> dict[str, JsonValue]:
        if "block" in info.data:
            classes.arguments(classes.find(info.data["block"], info.context or {})[0], arguments)
        return arguments

    @model_validator(mode="after")
    def _found(self, info: ValidationInfo) -> Self:
        self._class, self._plugin = classes.find(self.block, info.context or {})
        return self

    @property
    def reads(self) -> str:
        return "html" if classes.kind(self._class) == "extractor" else "text"

    def identity(self) -> Mapping[str, str]:
        needed = getattr(self._class, "_requires_dependencies", ())
        packages = ["datatrove", *(entry if isinstance(entry, str) else entry[1] for entry in needed)]
        return {name: version(name) for name in packages}

    @property
    def plugin(self) -> Plugin | None:
        """The plugin that the block came from."""
        return self._plugin

    def try_out(self) -> None:
        """Make the block and give it a document; raises whatever goes wrong, such as a package that is missing."""
        if self.reads == "html":
            sandbox = self._sandbox()
            try:
                outcome = sandbox.extract(f"<html><body><article><p>{_PROBE}</p></article></body></html>", None)
            except RuntimeError as error:  # with the traceback of the other process: its last line says what it was
                raise RuntimeError(str(error).strip().splitlines()[-1]) from error
            finally:
                sandbox.close()
            if outcome.error:
                raise RuntimeError(outcome.detail or outcome.error)
        else:
            _ask(self._new(), [_document({"id": "probe", "text": _PROBE, **_PROBE_METADATA})])

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        results = list(self._pages(docs) if self.reads == "html" else self._documents(docs))
        texts = pl.Series("text", [result.text for result in results], pl.String)
        reasons = [result.reason and f"{name}.{result.reason}" for result in results]
        errors = [result.error and f"{name}.{result.error}" for result in results]
        return docs.with_columns(
            texts.ne_missing(docs["text"]).alias(f"{name}.changed"),
            pl.Series(f"{name}.error", [result.message for result in results], pl.String),
            pl.Series("reason", reasons, pl.String),
            pl.Series("error", errors, pl.String),
            texts,
        )

    def _new(self) -> Any:
        return self._class(**classes.arguments(self._class, self.arguments))

    def _documents(self, docs: pl.DataFrame) -> Iterator[Result]:
        if not docs.height:
            return
        first, last = docs["ordinal"][0], docs["ordinal"][-1]
        part, before = first >> 32, self._live[0] if self._live else None
        if self._live is None or before is None or before >> 32 != part or before >= first:
            self._live = last, self._new()
        block = self._live[1]
        self._live = last, block
        rows = docs.select("id", "text", *_METADATA, language_score=_language_score(docs)).to_dicts()
        size = getattr(block, "batch_size", 1)
        for start in range(0, len(rows), size):
            yield from _results(block, rows[start : start + size])

    def _pages(self, docs: pl.DataFrame) -> Iterator[Result]:
        sandbox = self._sandbox() if docs["html"].count() else None
        for text, html, charset, url in docs.select("text", "html", "charset", "url").iter_rows():
            if html is None or sandbox is None:
                yield Result(text)
                continue
            outcome = sandbox.extract(utf8(html, charset)[0], url)
            if outcome.error:
                yield Result(text, error=outcome.error, message=outcome.detail or outcome.error)
            else:
                yield Result(outcome.text)

    def _sandbox(self) -> Supervisor:
        settings = {
            "engine": "datatrove",
            "seconds": self._new().timeout,
            "memory": MEMORY,
            "pages": 1,
            "block": self.block,
            "arguments": self.arguments,
            "plugins": {self._plugin.name: self._plugin.record()} if self._plugin else {},
        }
        return child(Supervisor, settings)


def _results(block: Any, rows: Sequence[Mapping[str, Any]]) -> Iterator[Result]:
    """What becomes of a batch of documents; where one of several raises an exception, each is tried alone."""
    documents = [_document(row) for row in rows]
    try:
        answers = _ask(block, documents)
    except (ImportError, OSError):
        raise  # a package or file that is missing is no fault of the document
    except Exception as error:  # whatever the block stumbles over is the document's fate, not the run's
        if len(rows) > 1:
            for row in rows:
                yield from _results(block, [row])
        else:
            yield Result(rows[0]["text"], error="error", message=why(error))
        return
    for row, document, (keeps, reason) in zip(rows, documents, answers, strict=True):
        before = row["text"]
        if not keeps:
            word = re.sub(r"\W+", "_", "" if reason is None else str(reason), flags=re.ASCII).strip("_")
            yield Result(before, reason=word[:_WORD] or "dropped")
        elif document.text == (before or ""):
            yield Result(before)
        else:
            wrong = _unfit(document.text)
            yield Result(before, error="error", message=wrong) if wrong else Result(document.text)


def _ask(block: Any, documents: "list[Document]") -> list[tuple[bool, str | None]]:
    """Whether each document is kept, and why not; their texts are changed in place."""
    if classes.kind(type(block)) == "filter":
        from datatrove.pipeline.filters.base_filter import get_filter_result

        return [get_filter_result(answer) for answer in block.filter_batch(documents)]
    for document in documents:
        document.text = block.format(document.text)
    return [(True, None)] * len(documents)


def _unfit(text: Any) -> str | None:
    """Why something cannot be the text of a document."""
    if not isinstance(text, str):
        return f"the text became {type(text).__name__}"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return why(error)
    return None


def _document(row: Mapping[str, Any]) -> "Document":
    from datatrove.data import Document

    known = {key: value for key, value in row.items() if key not in ("id", "text") and value is not None}
    return Document(row["text"] or "", row["id"], metadata=known)


def _language_score(docs: pl.DataFrame) -> pl.Expr:
    """The score of the step that found the language; null where the source said it."""
    steps = [column.removesuffix(".label") for column in reversed(docs.columns) if column.endswith(".label")]
    found = [
        pl.when(pl.col(f"{step}.label") == pl.col("language")).then(f"{step}.score")
        for step in steps
        if f"{step}.score" in docs.columns
    ]
    return pl.coalesce([*found, pl.lit(None, dtype=pl.Float64)])
