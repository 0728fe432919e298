"""Pages to main text: decoding, then extraction under limits of time and memory."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import ByteSize, Field, model_validator

from filters.base import Transform
from pipeline.extract.supervisor import Outcome, supervisor
from pipeline.readers.encoding import decode


class Extract(Transform):
    """The main text of web pages. Documents that are text already stay as they are.

    Signals: `encoding` the page was read in, `html_bytes` it had, `chars` of text found. A page without main text gets
    an empty one. A page that takes too much time or memory, or that the extractor cannot handle, goes into quarantine
    as `timeout`, `memory`, `crash` or `error`. The text of a page depends on nothing but the page; trafilatura's
    deduplication, which leaves out what the pages before it had, is therefore off and left to the steps made for it.
    """

    reads: ClassVar[str] = "html"
    source: ClassVar[str] = (
        "Barbaresi 2021, Trafilatura: A Web Scraping Library and Command-Line Tool for Text Discovery and Extraction; "
        "Bevendorff et al. 2018, Elastic ChatNoir (resiliparse)"
    )
    units: ClassVar[Mapping[str, str]] = {"encoding": "name", "html_bytes": "bytes", "chars": "characters"}
    version: ClassVar[int] = 1

    engine: Literal["trafilatura", "resiliparse"] = "trafilatura"
    """`trafilatura` finds the main text best; `resiliparse` is about ten times as fast and lets more boilerplate in."""
    seconds: float = Field(default=20.0, gt=0)
    """Of processor time for each page, so that a busy machine does not change the result."""
    memory: ByteSize = Field(default=ByteSize(1 << 30), ge=512 << 20)
    """Of address space for the process that parses, of which about 300 MiB are its own."""
    favor: Literal["precision", "recall", "balanced"] = "precision"
    main_content: bool = True
    """Without it, all visible text of the page: quick, and enough to tell its language."""
    comments: bool = False
    tables: bool = True
    fast: bool = False
    """trafilatura without its fallback extractors."""
    pages_per_process: int = Field(default=200, ge=1)

    @model_validator(mode="after")
    def _settings_that_act(self) -> Self:
        acting = {"favor", "tables", "fast", "comments"} if self.engine == "trafilatura" else {"comments"}
        if self.engine == "trafilatura" and not self.main_content:
            acting = set()
        for name in ("favor", "tables", "fast", "comments"):
            if name not in acting and getattr(self, name) != type(self).model_fields[name].default:
                how = f"engine {self.engine}" if self.main_content else f"engine {self.engine} and main_content: false"
                raise ValueError(f"{name} does nothing with {how}; leave it out")
        return self

    def identity(self) -> Mapping[str, str]:
        names = ("trafilatura", "lxml", "justext") if self.engine == "trafilatura" else ("resiliparse",)
        return {name: version(name) for name in names}

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        outcomes: list[Outcome | None] = []
        encodings: list[str | None] = []
        sizes: list[int | None] = []
        columns = (docs[column].to_list() for column in ("html", "charset", "url", "error"))
        for html, charset, url, error in zip(*columns, strict=True):
            if html is None or error is not None:
                outcomes.append(None)
                encodings.append(None)
                sizes.append(None)
                continue
            page, encoding = decode(html, charset)
            encodings.append(encoding)
            sizes.append(len(html))
            outcomes.append(self.main_text(page, url))
        texts = [None if outcome is None or outcome.error else outcome.text for outcome in outcomes]
        errors = [outcome and outcome.error and f"{name}.{outcome.error}" for outcome in outcomes]
        text = pl.Series("text", texts, pl.String)
        return docs.with_columns(
            text=pl.coalesce(text, pl.col("text")),
            error=pl.coalesce(pl.Series("error", errors, pl.String), pl.col("error")),
        ).with_columns(
            pl.Series(f"{name}.encoding", encodings, pl.String),
            pl.Series(f"{name}.html_bytes", sizes, pl.Int64),
            pl.col("text").str.len_chars().cast(pl.Int64).alias(f"{name}.chars"),
        )

    def main_text(self, page: str, url: str | None = None) -> Outcome:
        """The main text of one decoded page."""
        settings = {
            "engine": self.engine,
            "seconds": self.seconds,
            "memory": int(self.memory),
            "pages": self.pages_per_process,
            "favor": self.favor,
            "main_content": self.main_content,
            "comments": self.comments,
            "tables": self.tables,
            "fast": self.fast,
        }
        return supervisor(settings).extract(page, url)
