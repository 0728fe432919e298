"""Tables between `{|` and `|}` as HTML, line by line as MediaWiki reads them: whatever is missing, there is a table."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

_SPAN = re.compile(r"\b(colspan|rowspan)\s*=\s*[\"']?\s*(\d{1,3})", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_BOX = re.compile(
    r"\bclass\s*=[^|]*\b(?:infobox|navbox|vertical-navbox|sidebar|metadata|[actoif]?mbox)\b", re.IGNORECASE
)
_LEADING = re.compile(
    r"\s*+(?:(?:colspan|rowspan|style|class|v?align|bgcolor|width|height|scope|id|data-[\w-]{1,40})\s*+=\s*+"
    r"(?:\"[^\"]{0,500}\"|'[^']{0,500}'|[^\s\"'|]{1,100})\s*+)+",
    re.IGNORECASE,
)
"""Attributes without the bar that ends them, which was in a template of which nothing is known."""
_ATTRIBUTES = 1000
"""Characters of a cell before its bar that can be attributes; more are text."""


class Table(NamedTuple):
    html: str
    end: int
    """The number of the line after it."""


def begins(line: str) -> bool:
    """Whether a table begins with this line, also with one of its rows where its first line is missing."""
    return line.startswith(("{|", "|-", "|}", "|+")) or line.lstrip(" :").startswith("{|")


def table(lines: Sequence[str], start: int, content: Callable[[Sequence[str]], str]) -> Table:
    """The table that begins with a line.

    Args:
        content: makes HTML of the lines of a cell.
    """
    first = lines[start].lstrip(" :")
    attributes = first[2 : 2 + _ATTRIBUTES] if first.startswith("{|") else ""
    out = _Rows(content)
    at = start + 1 if first.startswith("{|") else start
    limit = _limit(lines, at)
    while at < limit:
        line = lines[at].strip()
        if line.startswith("{|"):
            end = _nested_end(lines, at, limit)
            out.more(lines[at:end])
            at = end
            continue
        at += 1
        if line.startswith("|}"):
            break
        if line.startswith("|-"):
            out.row(line[2 : 2 + _ATTRIBUTES])
        elif line.startswith("|+"):
            out.caption(line[2:])
        elif line.startswith(("|", "!")):
            out.cells(line)
        else:
            out.more([lines[at - 1]])
    if _BOX.search(attributes) or _HIDDEN.search(attributes):
        return Table("", at)
    return Table(out.html(), at)


def _limit(lines: Sequence[str], start: int) -> int:
    """The line after the table; where it has no end, the heading after it or the end of the page."""
    depth = 1
    for at in range(start, len(lines)):
        line = lines[at].lstrip()
        if line.startswith("{|"):
            depth += 1
        elif line.startswith("|}"):
            depth -= 1
            if depth == 0:
                return at + 1
    return next((at for at in range(start, len(lines)) if lines[at].startswith("==")), len(lines))


def _nested_end(lines: Sequence[str], start: int, limit: int) -> int:
    depth = 0
    for at in range(start, limit):
        line = lines[at].lstrip()
        depth += line.startswith("{|")
        depth -= line.startswith("|}")
        if depth == 0:
            return at + 1
    return limit


class _Rows:
    def __init__(self, content: Callable[[Sequence[str]], str]) -> None:
        self._content = content
        self._caption: list[str] | None = None
        self._rows: list[list[str]] = []
        self._hidden = False
        self._cell: list[str] | None = None
        self._tag = ""
        """The first tag of the cell that is being read."""

    def row(self, attributes: str) -> None:
        self._close()
        self._rows.append([])
        self._hidden = _HIDDEN.search(attributes) is not None

    def caption(self, text: str) -> None:
        self._close()
        self._caption = self._cell = [_without_attributes(text)[1]]
        self._tag = ""

    def cells(self, line: str) -> None:
        header = line[0] == "!"
        text = line[1:].replace("!!", "||") if header else line[1:]
        for cell in text.split("||"):
            self._close()
            attributes, shown = _without_attributes(cell)
            spans = "".join(f' {name.lower()}="{number}"' for name, number in _SPAN.findall(attributes))
            hidden = ' style="display:none"' if _HIDDEN.search(attributes) else ""
            self._tag = f"<{'th' if header else 'td'}{spans}{hidden}>"
            self._cell = [shown.strip()]

    def more(self, lines: Sequence[str]) -> None:
        """Lines that belong to the cell before them; what is before any cell shows outside of a browser's table."""
        if self._cell is not None:
            self._cell += lines
        elif any(line.strip() for line in lines):
            self._tag = "<td>"
            self._cell = list(lines)

    def html(self) -> str:
        self._close()
        rows = [row for row in self._rows if row]
        if not rows:
            return ""
        caption = self._content(self._caption) if self._caption else ""
        lines = (f"<tr>{''.join(row)}</tr>\n" for row in rows)
        return f"<table>{f'<caption>{caption}</caption>' if caption else ''}{''.join(lines)}</table>"

    def _close(self) -> None:
        cell, self._cell = self._cell, None
        if cell is None or not self._tag or self._hidden:
            return
        if not self._rows:
            self._rows.append([])
        self._rows[-1].append(f"{self._tag}{self._content(cell)}</{self._tag[1:3]}>")


def _without_attributes(cell: str) -> tuple[str, str]:
    attributes, bar, rest = cell.partition("|")
    if bar and len(attributes) <= _ATTRIBUTES:
        return attributes, rest
    leading = _LEADING.match(cell)
    return (leading[0], cell[leading.end() :]) if leading else ("", cell)
