"""Pages to main text: by compiled code in this process, or by extractors of others under limits of time and memory."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

import polars as pl
from pydantic import ByteSize, Field, model_validator

from filters.base import Transform
from pipeline.child import child
from pipeline.extract.supervisor import Outcome, Supervisor
from pipeline.readers.encoding import utf8
from pipeline.schema import DESCRIPTION

if TYPE_CHECKING:
    from pipeline.extract.metadata import Metadata

_PACKAGES = {"trafilatura": ("trafilatura", "lxml", "justext"), "resiliparse": ("resiliparse",)}
_DIGITS = 4
"""Of the confidence: more would say nothing, and might not be the same on every machine."""


class _Page(NamedTuple):
    """What was found in a page, or why there is nothing."""

    text: str | None = None
    error: str | None = None
    encoding: str | None = None
    html_bytes: int | None = None
    confidence: float | None = None
    engine: str | None = None
    broken_json: int | None = None


_COLUMNS = pl.Schema(
    {
        **dict.fromkeys(_Page._fields, pl.String),
        "html_bytes": pl.Int64,
        "confidence": pl.Float64,
        "broken_json": pl.Int64,
    }
)


class Extract(Transform):
    """The main text of web pages. Documents that are text already stay as they are.

    The engine `gristmill` is compiled code, and knows main text by what was learned from pages that people annotated.
    `trafilatura` and `resiliparse` work in a process of their own. The text of a page depends on nothing but the page;
    trafilatura's deduplication, which leaves out what the pages before it had, is therefore off and left to the steps
    made for it.

    Signals: `encoding` the page was read in, `html_bytes` it had, `chars` of text found, `engine` that found it, and
    the `confidence` of `gristmill`: how good it expects its own text to be, as F1 of the words. With `metadata`, how
    many descriptions in the page cannot be read (`broken_json`).

    A page without main text gets an empty one. A page that takes too much time or memory, or that the extractor cannot
    handle, goes into quarantine as `timeout`, `memory`, `crash` or `error`.
    """

    reads: ClassVar[str] = "html"
    source: ClassVar[str] = (
        "van Rijsbergen 1979, Information Retrieval, chapter 7 (gristmill's choice by the F-measure that is expected); "
        "Barbaresi 2021, Trafilatura: A Web Scraping Library and Command-Line Tool for Text Discovery and Extraction; "
        "Bevendorff et al. 2018, Elastic ChatNoir (resiliparse)"
    )
    units: ClassVar[Mapping[str, str]] = {
        "encoding": "name",
        "html_bytes": "bytes",
        "chars": "characters",
        "confidence": "F1",
        "engine": "name",
        "broken_json": "count",
    }
    version: ClassVar[int] = 2

    engine: Literal["gristmill", "trafilatura", "resiliparse"] = "gristmill"
    """`resiliparse` is about ten times as fast as `trafilatura` and lets more boilerplate in; `gristmill` is faster
    than both, and finds the main text at least as well as `trafilatura`."""
    preset: Literal["fast", "balanced", "quality"] = "balanced"
    """How closely `gristmill` looks at each part of a page."""
    favor: Literal["precision", "balanced", "recall"] | None = None
    """What counts more where both cannot be had: that nothing else gets in, or that nothing is left out. Unless it is
    set, `gristmill` favors neither, and `trafilatura` precision."""
    format: Literal["text", "markdown"] = "text"
    """Markdown tells headings, lists, tables, quotes and code from the text around them."""
    emphasis: bool = False
    """Mark it, too, in the Markdown of `gristmill`; that of `trafilatura` always does."""
    fallback: float = Field(default=0.0, ge=0, le=1)
    """Pages of which `gristmill` is less confident get the text of `trafilatura`, if that finds any."""
    main_content: bool = True
    """Without it, all visible text of the page: quick, and enough to tell its language."""
    metadata: bool = False
    """Fill the columns of shards with what pages say of themselves: title, author, day of publication and so on."""
    dates: Literal["said", "full"] = "said"
    """Where neither tags nor the address tell the day of publication, leave it open, or let htmldate search the page,
    which takes many times longer."""
    seconds: float = Field(default=20.0, gt=0)
    """Of processor time for each page in a process of its own, so that a busy machine does not change the result. What
    is compiled needs no limit, its time is linear in the page."""
    memory: ByteSize = Field(default=ByteSize(1 << 30), ge=512 << 20)
    """Of address space for that process, of which about 300 MiB are its own."""
    comments: bool = False
    tables: bool = True
    fast: bool = False
    """trafilatura without its fallback extractors."""
    pages_per_process: int = Field(default=200, ge=1)

    @model_validator(mode="after")
    def _settings_that_act(self) -> Self:
        for name, (acts, how) in self._acting().items():
            if not acts and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} does nothing with {how}; leave it out")
        return self

    def _acting(self) -> Mapping[str, tuple[bool, str]]:
        """Settings that act in some cases only: whether this is one, and what it depends on."""
        how = f"engine {self.engine}" if self.main_content else f"engine {self.engine} and main_content: false"
        ours = self.engine == "gristmill"
        our_main, their_main = ours and self.main_content, self.engine == "trafilatura" and self.main_content
        outside = not ours or self.fallback > 0 or self._searches_dates()
        return {
            "preset": (our_main, how),
            "favor": (our_main or their_main, how),
            "format": (ours or their_main, how),
            "emphasis": (ours and self.format == "markdown", "format: text" if ours else how),
            "fallback": (our_main, how),
            "dates": (self.metadata, "metadata: false"),
            "comments": (their_main or self.engine == "resiliparse", how),
            **dict.fromkeys(("tables", "fast"), (their_main, how)),
            **dict.fromkeys(("seconds", "memory", "pages_per_process"), (outside, how)),
        }

    def _searches_dates(self) -> bool:
        return self.metadata and self.dates == "full"

    def identity(self) -> Mapping[str, str]:
        packages = list(_PACKAGES.get("trafilatura" if self.fallback else self.engine, ()))
        if self._searches_dates():
            packages.append("htmldate")
        found = {name: version(name) for name in packages}
        if self.engine == "gristmill" and self.main_content:
            from pipeline.extract.trees import model

            found["model"] = model().digest
        return found

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        from pipeline.extract.description import described

        pages: list[_Page] = []
        descriptions: list[dict[str, str | None]] = []
        columns = (docs[column].to_list() for column in ("html", "charset", "url", "error"))
        for html, charset, url, error in zip(*columns, strict=True):
            if html is None or error is not None:
                pages.append(_Page())
                descriptions.append({})
                continue
            page, encoding = utf8(html, charset)
            found = self._page(page, url)._replace(encoding=encoding, html_bytes=len(html))
            if self.metadata:
                said = self._said(page, url)
                found = found._replace(broken_json=said.broken_json)
                descriptions.append(described(said))
            pages.append(found)
        table = pl.DataFrame(pages, _COLUMNS, orient="row")
        docs = docs.with_columns(
            text=pl.coalesce(table["text"], pl.col("text")),
            error=pl.coalesce(f"{name}." + table["error"], pl.col("error")),
        )
        table = table.with_columns(chars=docs["text"].str.len_chars().cast(pl.Int64))
        docs = docs.with_columns(table[signal].alias(f"{name}.{signal}") for signal in self.units)
        if not self.metadata:
            return docs
        about = pl.DataFrame(descriptions, dict.fromkeys(DESCRIPTION.names, pl.String), orient="row")
        return docs.with_columns(pl.coalesce(column, column.name) for column in about)

    def warm_up(self) -> None:
        """Have compiled what pages go through."""
        from pipeline.extract.metadata import metadata

        if self.engine == "gristmill":
            self.model_copy(update={"fallback": 0.0})._page(b"<p>A page.", None)
        if self.metadata:
            metadata(b"<p>A page.")

    def main_text(self, page: bytes | str, url: str | None = None) -> Outcome:
        """The main text of one page, in UTF-8 or decoded."""
        found = self._page(page.encode("utf-8", "replace") if isinstance(page, str) else page, url)
        return Outcome(found.text or "", found.error)

    def _page(self, page: bytes, url: str | None) -> _Page:
        if self.engine != "gristmill":
            outcome = self._sandbox(self.engine).extract(page, url)
            return _Page(error=outcome.error) if outcome.error else _Page(outcome.text, engine=self.engine)
        from pipeline.extract.content import content
        from pipeline.extract.page import LONGEST_PAGE, whole_text

        if len(page) > LONGEST_PAGE:
            return _Page(error="memory")
        try:
            if not self.main_content:
                return _Page(whole_text(page, self.format, emphasis=self.emphasis, keep=True), engine=self.engine)
            text, confidence = content(
                page,
                preset=self.preset,
                favor=self.favor or "balanced",
                format=self.format,
                emphasis=self.emphasis,
            )
        except MemoryError:
            return _Page(error="memory")
        confidence = round(confidence, _DIGITS)
        if confidence < self.fallback:
            outcome = self._sandbox("trafilatura").extract(page, url)
            if outcome.text:
                return _Page(outcome.text, confidence=confidence, engine="trafilatura")
        return _Page(text, confidence=confidence, engine=self.engine)

    def _sandbox(self, engine: str) -> Supervisor:
        return child(
            Supervisor,
            {
                "engine": engine,
                "seconds": self.seconds,
                "memory": int(self.memory),
                "pages": self.pages_per_process,
                "favor": self.favor or ("precision" if self.engine == "trafilatura" else "balanced"),
                "format": self.format,
                "main_content": self.main_content,
                "comments": self.comments,
                "tables": self.tables,
                "fast": self.fast,
            },
        )

    def _said(self, page: bytes, url: str | None) -> "Metadata":
        from pipeline.extract.metadata import metadata

        found = metadata(page, url)
        if found.date is None and self.dates == "full":
            found = found._replace(date=self._sandbox("htmldate").extract(page, url).text or None)
        return found
