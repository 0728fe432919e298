"""Books: EPUB and plain text, among it that of Project Gutenberg, as one document a book or a chapter."""

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import BinaryIO, ClassVar, Literal

from pipeline.readers.base import Reader, Record, Split, open_binary
from pipeline.readers.books import gutenberg
from pipeline.readers.books.chapters import is_heading, split_at, with_headings
from pipeline.readers.encoding import decode, is_blank
from pipeline.readers.prose import blocks_of
from pipeline.readers.records import PAYLOAD
from pipeline.readers.runs import Run, codec_of
from pipeline.readers.windows import Window, window


class BooksReader(Reader):
    """Books: .epub, and plain text, which may be packed with gzip, zstd or LZ4.

    A file is one split. Chapters are headings in Markdown; with `per: chapter` each is a document, and the offset is
    its number. Covers and tables of contents of an EPUB are left out, and so are header, licence and credits of
    Project Gutenberg. A book with a document that cannot be read is an error; by chapters, that chapter alone is.
    """

    use: Literal["books"] = "books"
    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".txt.gz", ".txt.zst", ".txt.lz4")
    renders_html: ClassVar[bool] = True
    signals: ClassVar[Mapping[str, type]] = {
        "chapter": str,
        "chapters": int,
        "gutenberg": bool,
    }
    units: ClassVar[Mapping[str, str]] = {"chapters": "chapters"}

    per: Literal["book", "chapter"] = "book"
    """What a document is."""
    join_lines: bool = True
    """Join lines that are broken to fit a width; verse and tables keep theirs."""
    find_chapters: bool = True
    """Look for headings in plain text."""
    gutenberg: bool = True
    """Remove what Project Gutenberg puts around and into a text."""

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        return [Split(path, 0, size)] if size else []

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        with open_binary(split.path) as file:
            head = file.read(4)
            file.seek(0)
            records = self._epub(file) if head.startswith(b"PK") else self._text(file, split.path)
            for record in records:
                yield record if record.doc_id else record._replace(doc_id=posixpath.basename(split.path))

    def _text(self, file: BinaryIO, path: str) -> Iterator[Record]:
        raw = window(file)
        codec = codec_of(raw, path)
        run = None if codec is None else Run(raw, codec, 0, lambda head: False)
        data = (raw if run is None else Window(run)).peek(0, self.max_record_bytes + 1)
        if run is not None and run.damage is not None:
            yield Record(0, html=data[:PAYLOAD], error=f"read.{run.damage.what}")
        elif len(data) > self.max_record_bytes:
            yield Record(0, html=data[:PAYLOAD], error="read.too_large")
        elif is_blank(data):
            yield Record(0, drop="read.empty")
        elif b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
            yield Record(0, drop="read.content_type")
        else:
            yield from self._plain(data)

    def _plain(self, data: bytes) -> Iterator[Record]:
        text = decode(data, gutenberg.declared_encoding(data))[0]
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
        work = gutenberg.strip(text) if self.gutenberg else gutenberg.Work(text, False)
        blocks = blocks_of(work.text, self.join_lines, is_heading)
        if self.find_chapters:
            blocks = with_headings(blocks)
        record = Record(
            0,
            url=f"https://www.gutenberg.org/ebooks/{work.number}" if work.number else None,
            date=work.date,
            language=work.language,
            doc_id=work.number,
            title=work.title,
            author=work.author,
            license=work.license,
        )
        signals = {"gutenberg": work.is_gutenberg}
        yield from self._documents(record, signals, "\n\n".join(blocks))

    def _epub(self, file: BinaryIO) -> Iterator[Record]:
        from pipeline.readers.books.epub import EpubError, read_epub

        try:
            book = read_epub(file, self.max_record_bytes)
        except EpubError as error:
            file.seek(0)
            yield Record(0, html=file.read(PAYLOAD), error=f"read.{error.what}")
            return
        record = Record(
            0,
            url=book.url,
            date=book.date,
            language=book.language,
            doc_id=book.identifier,
            title=book.title,
            author=book.authors,
            license=book.rights,
        )
        texts = [part.text for part in book.parts]
        is_gutenberg = False
        if self.gutenberg and any("PROJECT GUTENBERG" in text.upper() for text in [*texts[:2], *texts[-2:]]):
            texts, is_gutenberg = gutenberg.strip_parts(texts), True
        signals = {"gutenberg": is_gutenberg}
        broken = [part.error for part in book.parts if part.error]
        if broken and self.per == "book":
            data = "\n\n".join(texts).encode("utf-8", "replace")[:PAYLOAD]
            yield record._replace(html=data, error=f"read.{broken[0]}", signals=signals)
            return
        yield from self._documents(record, signals, "\n\n".join(filter(None, texts)))
        for number, what in enumerate(broken):
            yield record._replace(offset=(1 << 32) + number, html=b"", error=f"read.{what}", signals=signals)

    def _documents(self, record: Record, signals: Mapping[str, bool], text: str) -> Iterator[Record]:
        chapters = split_at(text)
        count = sum(chapter.title is not None for chapter in chapters)
        if not text.strip():
            yield record._replace(drop="read.empty", signals=signals)
        elif self.per == "book":
            yield record._replace(text=text, signals={**signals, "chapters": count})
        else:
            for number, chapter in enumerate(chapters):
                told = {**signals, "chapters": count, "chapter": chapter.title}
                yield record._replace(offset=number, text=chapter.text, signals=told)
