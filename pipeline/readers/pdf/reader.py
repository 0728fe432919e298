"""PDF files that have a text layer; scanned pages have none, and are dropped, not read by eye."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import ByteSize, Field

from pipeline.readers.base import MiB, Reader, Record, Split, open_binary
from pipeline.readers.records import PAYLOAD

_DATE = re.compile(r"D:(\d{4})(\d{2})?(\d{2})?")
_SURROGATE = re.compile("[\ud800-\udfff]")


class PdfReader(Reader):
    """PDF files with a text layer, by PDFium in a process of its own (extra [pdf]). A file is one record, at offset 0.

    Running heads and page numbers go, words that were broken and lines are joined. The order of the text is that of
    the file; tables and formulas come as their characters.
    """

    use: Literal["pdf"] = "pdf"
    version: ClassVar[int] = 1
    signals: ClassVar[Mapping[str, type]] = {
        "pages": int,
        "pages_without_text": int,
    }
    units: ClassVar[Mapping[str, str]] = {"pages": "pages", "pages_without_text": "pages"}

    max_pages: int = Field(default=2000, ge=1)
    """A file with more pages becomes the error `read.too_large`."""
    seconds: float = Field(default=60.0, gt=0)
    """Processor time that a file may take, else the error `read.timeout`."""
    memory: ByteSize = Field(default=ByteSize(1024 * MiB), ge=128 * MiB)
    """What its process may use, else `read.memory`."""
    chars_per_page: int = Field(default=20, ge=1)
    """Characters a page on average below which there is no text layer, only a scan with a stamp on it."""

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        _require_pdfium()
        return [Split(path, 0, size)] if size else []

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        from pipeline.child import child
        from pipeline.readers.pdf.layout import text_of
        from pipeline.readers.pdf.process import Parser

        _require_pdfium()
        with open_binary(split.path) as file:
            data = file.read(self.max_record_bytes + 1)
        record = Record(0, doc_id=posixpath.basename(split.path), content_type="application/pdf")
        if len(data) > self.max_record_bytes:
            yield record._replace(html=data[:PAYLOAD], error="read.too_large")
            return
        if b"%PDF-" not in data[:1024]:
            yield record._replace(drop="read.content_type", content_type=None)
            return
        limits = {"seconds": self.seconds, "memory": int(self.memory), "pages": self.max_pages}
        parsed = child(Parser, {**limits, "chars": int(self.max_record_bytes)}).parse(data)
        error = parsed.error or ("too_large" if parsed.page_count > self.max_pages else None)
        if error is not None:
            yield record._replace(html=data[:PAYLOAD], error=f"read.{error}")
            return
        pages = [_SURROGATE.sub("\ufffd", page) for page in parsed.pages]
        found = _DATE.match(parsed.about.get("CreationDate", ""))
        signals = {
            "pages": parsed.page_count,
            "pages_without_text": sum(not page.strip() for page in pages),
        }
        record = record._replace(
            title=parsed.about.get("Title"),
            author=parsed.about.get("Author"),
            date="-".join(filter(None, found.groups())) if found else None,
            signals=signals,
        )
        if sum(len(page.strip()) for page in pages) < self.chars_per_page * max(1, parsed.page_count):
            yield record._replace(drop="read.no_text_layer")
        elif parsed.failed:
            yield record._replace(html=data[:PAYLOAD], error="read.corrupt")
        else:
            text = text_of(pages)
            yield record._replace(text=text) if text else record._replace(drop="read.empty")


def _require_pdfium() -> None:
    import importlib.util

    if importlib.util.find_spec("pypdfium2") is None:
        raise ValueError("reading PDF needs the extra [pdf]: pip install 'gristmill[pdf]'")
