"""One paper on its way from source to text: where its reader stands, what is open, what has been written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.readers.latex.bibliography import Bibliography
from pipeline.readers.latex.macros import Macros
from pipeline.readers.latex.numbering import Numbering
from pipeline.readers.latex.output import Items, Sink, Table
from pipeline.readers.latex.scanner import Scanner

DEEPEST = 30
"""Texts within texts, such as notes in captions in tables. What is deeper belongs to the text around it: every level
copies what is inside, and a hostile file has a hundred thousand."""


@dataclass(frozen=True)
class Options:
    """What of a paper is kept."""

    captions: bool = True
    tables: bool = True
    citations: bool = True
    authors: bool = True


class Files(Protocol):
    """The files of one paper, by their paths relative to its top."""

    def text(self, name: str) -> str | None:
        """The text of a file, None if there is none of that name."""


@dataclass
class Frame:
    """A group or an environment that is open, and what happens when it is closed."""

    name: str
    """Of an environment; nothing for a group."""
    close: Callable[[], None] | None = None
    sink: Sink | None = None
    """What was being written into when the frame began, where it has one of its own."""


class Document:
    """The state that all commands and environments work on."""

    def __init__(
        self, text: str, name: str, files: Files, options: Options, numbering: Numbering, bibliography: Bibliography,
        macros: Macros, budget: int,
    ) -> None:  # fmt: skip
        self.scanner = Scanner(text, name, budget)
        self.main = name
        self.files, self.options = files, options
        self.numbering, self.bibliography, self.macros = numbering, bibliography, macros
        self.frames: list[Frame] = []
        self.depth = 0
        """Frames that have a sink of their own."""
        self.tables: list[Table] = []
        self.lists: list[Items] = []
        self.captions: list[list[str]] = []
        """Of the floats that are open: all that is kept of them."""
        self.theorems: dict[str, tuple[str, str]] = {}
        """By environment: the counter (nothing: it has no number) and the name that is printed."""
        self.title = ""
        self.authors: list[str] = []
        self.abstract: list[str] = []
        """Of an abstract that comes before the document begins."""
        self.notes: list[str] = []
        self.note_count = 0
        self.in_body = False
        """Whether the document has begun; what comes before it is settings."""
        self.top = Sink()
        """What the document itself goes into; everything else is part of something."""
        self.sink = self.top
        self.inputs: set[str] = {name}
        self.missing = 0
        self.unresolved_citations = 0
        self.math_chars = 0

    def write(self, text: str) -> None:
        self.sink.line.append(text)

    def flush(self) -> None:
        """End the paragraph; footnotes come behind the one that they belong to."""
        if self.sink.flush() and self.notes and self.sink is self.top:
            self.sink.blocks += self.notes
            self.notes = []

    def block(self, text: str) -> None:
        """Write a block that is taken as it is."""
        self.flush()
        if text:
            self.sink.blocks.append(text)

    def open(self, name: str, close: Callable[[], None] | None = None, sink: Sink | None = None) -> None:
        """Open a frame; with `sink`, what comes is written there until it is closed."""
        frame = Frame(name, close)
        if sink is not None:
            frame.sink, self.sink = self.sink, sink
            self.depth += 1
        self.frames.append(frame)

    def close(self) -> None:
        """Close the innermost frame."""
        frame = self.frames.pop()
        if frame.sink is not None:
            self.sink = frame.sink
            self.depth -= 1
        if frame.close is not None:
            frame.close()

    def close_group(self) -> None:
        if self.frames and not self.frames[-1].name:
            self.close()

    def close_environment(self, name: str) -> bool:
        """Close the environment and all that was left open in it; False if it is not open."""
        for at in range(len(self.frames) - 1, max(-1, len(self.frames) - 200), -1):
            if self.frames[at].name == name:
                while len(self.frames) > at:
                    self.close()
                return True
        return False

    def capture(self, done: Callable[[Sink], None]) -> None:
        """Have the next argument written into a sink of its own, and `done` called with it at its end."""
        if not self.scanner.begins("{"):
            self.scanner.push("{" + self.scanner.argument() + "}")
        self.scanner.take("{")
        if self.depth >= DEEPEST:
            self.open("")
            return
        sink = Sink()
        self.open("", lambda: done(sink), sink)

    def drop_arguments(self, kinds: str) -> None:
        """Read arguments that are no text; see names.ARGUMENTS."""
        for kind in kinds:
            if kind == "*":
                self.scanner.take("*")
            elif kind == "o":
                self.scanner.optional()
            elif self.scanner.begins("{"):
                self.scanner.argument()

    def inner(self) -> bool:
        """Whether what is written is part of a line: a caption, a note, a cell."""
        return self.sink is not self.top and not (self.lists and self.lists[-1].sink is self.sink)


Handler = Callable[[Document, str], None]
"""What a command does; it is given its name."""
