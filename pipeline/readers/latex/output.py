"""Text as it comes out: paragraphs with their white space put in order, lists, quotations and tables in Markdown."""

import re

BREAK, DROPPED, PLACE, BETWEEN, INDENT = "\x01", "\x02", "\x03", "\x04", "\x06"
"""Marks within a paragraph: a line break, something left out, the number of a reference that comes later (between two
of them), what stands between authors, a step of indentation. Sources are freed of these characters before."""

_DROPPED = re.compile(r"\s*\x02(?=[\s\x02]{0,20}(?:[.,;:!?)\]]|\Z))|\x02")
_BREAK = re.compile(r"[ \x01]*\x01 *")
_NESTED = re.compile(r"\n\n(?=(?:-|\d+\.) )")
_INNER = re.compile(r"\n(?=[^\n])")


def collapse(text: str) -> str:
    """A paragraph on one line, but for the line breaks that the author asked for."""
    if DROPPED in text:
        text = _DROPPED.sub("", text)
    text = " ".join(text.split())
    if BREAK in text:
        text = _BREAK.sub("\n", text).strip("\n")
    if INDENT in text:
        text = text.replace(INDENT, "  ")
    return text.replace(BETWEEN, ", ") if BETWEEN in text else text


class Sink:
    """What has been written: whole blocks, and the paragraph that is being written."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.line: list[str] = []

    def flush(self) -> bool:
        """End the paragraph; False if it was empty."""
        text = collapse("".join(self.line)) if self.line else ""
        self.line.clear()
        if text:
            self.blocks.append(text)
        return bool(text)

    def inline(self) -> str:
        """All of it in one line, for a heading, a caption, a cell."""
        self.flush()
        return " ".join(" ".join(self.blocks).split())

    def paragraphs(self) -> str:
        self.flush()
        return "\n\n".join(self.blocks)


class Items:
    """A list: which blocks of its sink begin an item, and the mark of each."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.sink = Sink()
        self._starts: list[tuple[int, str]] = []

    def begin(self, label: str | None) -> None:
        """Begin an item; `label` is what the author wrote as its mark."""
        self.sink.flush()
        number = len(self._starts) + 1
        if label is not None and (self.mark == ":" or label):
            mark = f"- {label}:" if self.mark == ":" else f"- {label}"
        else:
            mark = f"{number}." if self.mark == "1" else "-"
        self._starts.append((len(self.sink.blocks), mark))

    def render(self) -> str:
        self.sink.flush()
        blocks = self.sink.blocks
        if not self._starts:
            return "\n\n".join(blocks)
        ends = [*(start for start, _ in self._starts[1:]), len(blocks)]
        before = blocks[: self._starts[0][0]]
        items = []
        for (start, mark), end in zip(self._starts, ends, strict=True):
            body = _NESTED.sub("\n", "\n\n".join(blocks[start:end]))
            indent = "   " if mark.endswith(".") else "  "
            items.append(f"{mark} {_INNER.sub(chr(10) + indent, body)}".rstrip())
        return "\n\n".join([*before, "\n".join(items)]).strip("\n")


def quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in text.split("\n")) if text else ""


class Table:
    """Rows of cells. A cell is written into `sink`."""

    def __init__(self) -> None:
        self.sink = Sink()
        self.span = 0
        """Columns that the cell being written covers beside its own."""
        self._rows: list[list[str]] = []
        self._row: list[str] = []

    def cell(self) -> None:
        self._row.append(self.sink.inline().replace("|", "\\|"))
        self._row += [""] * self.span
        self.sink, self.span = Sink(), 0

    def row(self) -> None:
        self.cell()
        if any(self._row):
            self._rows.append(self._row)
        self._row = []

    def render(self) -> str:
        """In Markdown, the first row as its head; a table of one column or one row is no table, but lines."""
        self.row()
        width = max((len(row) for row in self._rows), default=0)
        if width < 2 or len(self._rows) < 2:
            return "\n".join(" ".join(cell for cell in row if cell).replace("\\|", "|") for row in self._rows)
        if width * len(self._rows) > 4 * sum(map(len, self._rows)):  # ragged beyond repair: do not fill it up
            return "\n".join(" | ".join(row) for row in self._rows)
        rows = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in self._rows]
        return "\n".join([rows[0], "|" + " --- |" * width, *rows[1:]])
