"""Folders of HTML files, as a mirror of a site or an export leaves them: a page a file, for the step `extract`."""

import posixpath
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import quote

from pydantic import model_validator

from pipeline.readers import http
from pipeline.readers.base import Reader, Record, Split, open_binary
from pipeline.readers.encoding import decode, is_blank
from pipeline.readers.records import PAYLOAD
from pipeline.readers.runs import Run, codec_of
from pipeline.readers.windows import Window, window

_HEAD = 4096
_INDEX = ("index.html", "index.htm", "index.xhtml")


class HtmlReader(Reader):
    """Files of HTML, XHTML or plain text, plain or packed with gzip, zstd or LZ4. A file is one record, at offset 0.

    What is something else by its first bytes (an image, a PDF) is dropped as `content_type`.
    """

    use: Literal["html"] = "html"
    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".shtml", ".php", ".asp", ".aspx", ".jsp")

    root: str | None = None
    """The folder that `base` stands for; a file's address is the base and its path below the root."""
    base: str | None = None
    """The address of the root, such as https://example.org/; of a mirror whose folders are hosts, https://."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.root is None) != (self.base is None):
            raise ValueError("root and base go together: the folder, and the address that it stands for")
        return self

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        self._url(path)
        return [Split(path, 0, size)] if size else []

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        with open_binary(split.path) as file:
            raw = window(file)
            codec = codec_of(raw, split.path)
            run = None if codec is None else Run(raw, codec, 0, lambda head: False)
            data = (raw if run is None else Window(run)).peek(0, self.max_record_bytes + 1)
        record = Record(0, url=self._url(split.path))
        if run is not None and run.damage is not None:
            yield record._replace(html=data[:PAYLOAD], error=f"read.{run.damage.what}")
        elif len(data) > self.max_record_bytes:
            yield record._replace(html=data[:PAYLOAD], error="read.too_large")
        elif is_blank(data):
            yield record._replace(drop="read.empty")
        else:
            yield self._page(record, data)

    def _page(self, record: Record, data: bytes) -> Record:
        head = decode(data[:_HEAD])[0].encode()  # in UTF-16 no tag would be seen
        content_type = "application/pdf" if data.startswith(b"%PDF-") else http.media_type(None, head)[0]
        record = record._replace(content_type=content_type)
        if content_type in ("text/html", "application/xhtml+xml"):
            return record._replace(html=data)
        if content_type == "text/plain":
            return record._replace(text=decode(data)[0])
        return record._replace(drop="read.content_type")

    def _url(self, path: str) -> str | None:
        """The address of a file; raises ValueError if it does not lie under the root."""
        if self.root is None or self.base is None:
            return None
        root = self.root if "://" in self.root else str(Path(self.root).absolute())
        if not path.startswith(root.rstrip("/") + "/"):
            raise ValueError(f"it is not under the root {root}")
        relative = path[len(root.rstrip("/")) + 1 :]
        folder, name = posixpath.split(relative)
        if name.lower() in _INDEX:
            relative = f"{folder}/" if folder else ""
        base = self.base if self.base.endswith("/") else self.base + "/"
        return base + quote(relative)
