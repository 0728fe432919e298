"""What `gristmill extract` does: pages of files to text, or to JSON with what they say of themselves."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pipeline.accounting.escape import json_line, visible
from pipeline.configfile import nearest
from pipeline.extract.content import Content, Favor, Preset, content
from pipeline.extract.description import described
from pipeline.extract.metadata import metadata
from pipeline.extract.page import LONGEST_PAGE
from pipeline.readers import WarcReader, reader_for
from pipeline.readers.encoding import codec_named, utf8
from pipeline.warmup import key, once

Form = Literal["text", "markdown", "json"]

STDIN = "-"
_MODULES = ("pipeline.extract.content", "pipeline.extract.metadata")
_WHOLE_FILE = 1 << 62


class InputError(Exception):
    """A file that cannot be read, or a wish that cannot be fulfilled; the message says what to do."""


class Page(NamedTuple):
    """A page of a file, or what else a record of an archive is."""

    origin: str
    """The file; in an archive with the record's place, as `file#offset`."""
    html: bytes | None = None
    text: str | None = None
    url: str | None = None
    charset: str | None = None
    error: str | None = None


class Extraction:
    """The pages of some files, and the settings of the command; raises InputError where they cannot work."""

    def __init__(
        self, files: Sequence[str], preset: str, favor: str, form: str, encoding: str | None, url: str | None
    ) -> None:
        self.files = files
        self.preset: Preset = _chosen("--preset", preset, get_args(Preset))
        self.favor: Favor = _chosen("--favor", favor, get_args(Favor))
        self.form: Form = _chosen("--format", form, get_args(Form))
        self.encoding = None if encoding is None else _codec(encoding)
        self.url = url
        self.skipped = Counter[str]()
        """Records of archives that are no pages, by reason."""
        for file in files:
            _check(file)
        if len(files) > 1 or any(map(_is_archive, files)):
            if self.form != "json":
                raise InputError("several pages are written as --format json, a line for each")
            for option, value in (("--encoding", encoding), ("--url", url)):
                if value is not None:
                    raise InputError(f"{option} is for one page, not for several")

    def outputs(self, terminal: bool) -> Iterator[str]:
        """Yield what is to be printed: one text, or a line for each page.

        Args:
            terminal: whether it goes to one, which must not obey what a page says.
        """
        for page in self._pages():
            if self.form == "json":
                yield json_line(self._row(page))
            else:
                text = self._content(self._utf8(page)[0]).text
                yield visible(text) if terminal else text

    def _pages(self) -> Iterator[Page]:
        for file in self.files:
            if _is_archive(file):
                yield from self._archived(file)
            elif html := sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes():
                yield Page(file, html, url=self.url)
            else:
                raise InputError(f"{'standard input' if file == STDIN else file} is empty")

    def _archived(self, file: str) -> Iterator[Page]:
        reader = WarcReader()
        for split in reader.splits(Path(file).stat().st_size, file, _WHOLE_FILE):
            for record in reader.read(split, Counter()):
                if record.drop is not None:
                    self.skipped[record.drop] += 1
                    continue
                origin = f"{file}#{record.offset}"
                yield Page(origin, record.html, record.text, record.url, record.charset, record.error)

    def _utf8(self, page: Page) -> tuple[bytes, str]:
        assert page.html is not None
        if self.encoding is None:
            return utf8(page.html, page.charset)
        return page.html.decode(self.encoding, "replace").encode("utf-8", "replace"), self.encoding

    def _content(self, html: bytes) -> Content:
        if len(html) > LONGEST_PAGE:
            raise InputError(f"a page of {len(html):,} bytes: more than {LONGEST_PAGE:,} are not read")
        form: Literal["text", "markdown"] = "markdown" if self.form == "markdown" else "text"
        try:
            return content(html, preset=self.preset, favor=self.favor, format=form)
        except MemoryError as error:
            raise InputError(str(error) or "not enough memory for this page") from error

    def _row(self, page: Page) -> dict[str, Any]:
        """A page as JSON, under the names of shards and signals."""
        row: dict[str, Any] = {"origin": page.origin, "url": page.url}
        if page.error is not None:
            return row | {"error": page.error}
        if page.html is None:
            return row | {"text": page.text}
        html, encoding = self._utf8(page)
        text, confidence = self._content(html)
        about = {"encoding": encoding, "confidence": round(confidence, 4), **described(metadata(html, page.url))}
        return row | about | {"text": text}


def compile_once(say: Callable[[str], None]) -> None:
    """Have the extractor compiled, if it is not yet on this machine."""

    def compile_all() -> None:
        say("compiling the extractor, once on this machine: about a minute")
        content(b"<p>A page.")
        metadata(b"<p>A page.")

    once(compile_all, key(_MODULES, ["extract"]), "extractor")


def _is_archive(file: str) -> bool:
    return reader_for(file) == "warc"


def _check(file: str) -> None:
    """Raise InputError if a file is not there, cannot be read, is empty, or is of a kind that has no pages."""
    if file == STDIN:
        return
    path = Path(file)
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except FileNotFoundError:
        folder = path.parent
        near = get_close_matches(path.name, [other.name for other in folder.iterdir()] if folder.is_dir() else [], n=1)
        raise InputError(f"no file {file}" + (f"; did you mean '{near[0]}'?" if near else "")) from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    if empty:
        raise InputError(f"{file} is empty")
    if reader_for(file) not in (None, "html", "warc"):
        raise InputError(f"{file}: pages are in HTML files and web archives")


def _chosen(option: str, word: str, choices: Sequence[str]) -> Any:
    if word not in choices:
        raise InputError(f"{option}: there is no '{word}'; {nearest(word, choices)}")
    return word


def _codec(name: str) -> str:
    found = codec_named(name)
    if found is None:
        raise InputError(f"--encoding: there is no '{name}'")
    return found
