"""What stands above a paper: its title, its authors, its abstract."""

import re

from pipeline.readers.latex import names
from pipeline.readers.latex.document import Document
from pipeline.readers.latex.output import BREAK, Sink, collapse

_AUTHORS = re.compile(r"\x04|\n|,|;|\band\b")
_MARKS = re.compile(r"\$[^$]*\$|\[\d+\]|[*†‡§¶\d^]+")
_ALONE = re.compile(r"\W*\Z")


def title(document: Document, word: str) -> None:
    document.scanner.optional()

    def done(sink: Sink) -> None:
        document.title = document.title or sink.inline()

    document.capture(done)


def author(document: Document, word: str) -> None:
    document.scanner.optional()

    def done(sink: Sink) -> None:
        document.authors += _names("\n".join(filter(None, (*sink.blocks, _open_line(sink)))))

    document.capture(done)


def _open_line(sink: Sink) -> str:
    """The paragraph that is being written, with line breaks as they are and authors still apart."""
    return "".join(sink.line).replace(BREAK, "\n")


def _names(text: str) -> list[str]:
    """The names in an author field. Of authors that stand apart, the first line of each; else the first line alone."""
    parts = text.split("\x04")
    firsts = [next((line for line in part.split("\n") if line.strip(" ,{}")), "") for part in parts]
    found = [collapse(name).strip(" ,~") for first in firsts for name in _AUTHORS.split(_MARKS.sub("", first))]
    return [name for name in found if name and "@" not in name and not _ALONE.match(name) and len(name) <= 80]


def _abstract(document: Document, word: str) -> None:
    if not document.scanner.begins("{"):
        return

    def done(sink: Sink) -> None:
        blocks = [f"## {names.HEADED[word]}", sink.paragraphs()]
        if document.in_body and document.sink is document.top:
            document.flush()
            document.top.blocks += blocks
        else:
            document.abstract += blocks

    document.capture(done)


def headed(document: Document, word: str) -> None:
    if word in ("abstract", "summary"):
        _abstract(document, word)
    else:
        document.block(f"## {names.HEADED[word]}")
