"""Headings, lists, indented lines, tables and paragraphs: wikitext line by line to blocks of HTML.

By then templates and links are gone, so that only the first characters of a line say what it is.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.readers.wikitext import tables

_HEADING = re.compile(r"(={1,6})(.+?)(={1,6})$")
_MARKS = re.compile(r"[*#:;]+")
_BLOCK = re.compile(
    r"<(?:/?(?:table|tr|td|th|caption|div|ul|ol|li|dl|dt|dd|blockquote|center|p|h[1-6]|hr|pre)\b)", re.I
)
_DEEPEST = 20
"""Of tables in tables and lists in lists; what is deeper becomes paragraphs."""


class Block(NamedTuple):
    html: str
    level: int = 0
    """Of a heading; 0 of everything else."""


def blocks(lines: Sequence[str]) -> list[Block]:
    """The blocks of a text, from the first to the last."""
    return _Blocks(0).read(lines)


class _Blocks:
    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._out: list[Block] = []
        self._paragraph: list[str] = []
        self._indented: list[str] = []
        self._list: list[str] = []
        """HTML of the list that has begun."""
        self._marks = ""

    def read(self, lines: Sequence[str]) -> list[Block]:
        at = 0
        while at < len(lines):
            line = lines[at]
            at += 1
            first = line[:1]
            if first == "=" and (heading := _HEADING.match(line.rstrip())) is not None:
                self._flush()
                level = min(len(heading[1]), len(heading[3]))
                self._out.append(Block(heading[2].strip().strip("="), level))
            elif first and first in "*#:;" and not (first == ":" and tables.begins(line)):
                self._item(line)
            elif self._depth < _DEEPEST and first and first in "{|: " and tables.begins(line):
                self._flush()
                found = tables.table(lines, at - 1, self._cell)
                self._out.append(Block(found.html))
                at = max(found.end, at)
            elif first == " " and line.strip() and not self._paragraph and not _BLOCK.search(line):
                self._end_list()
                self._indented.append(line[1:])
            elif not line.strip():
                self._flush()
            elif line.startswith("----"):
                self._flush()  # a line across the page, and what is behind it
                self._paragraph += filter(None, [line.strip("-").strip()])
            else:
                self._end_list()
                self._end_indented()
                self._paragraph.append(line)
        self._flush()
        return self._out

    def _cell(self, lines: Sequence[str]) -> str:
        """The content of a cell, whose first line is behind the mark of the cell and thus no item of a list."""
        if len(lines) == 1:
            return lines[0]
        inside = _Blocks(self._depth + 1)
        if lines[0].strip():
            inside._paragraph.append(lines[0])
        return "".join(f"<p>{block.html}</p>" if block.level else block.html for block in inside.read(lines[1:]))

    def _flush(self) -> None:
        self._end_list()
        self._end_indented()
        if self._paragraph:
            text = "\n".join(self._paragraph)
            self._out.append(Block(text if _BLOCK.match(text) else f"<p>{text}</p>"))
            self._paragraph = []

    def _end_indented(self) -> None:
        """Lines that begin with a space are shown as they are; a single one is mostly a slip of the hand."""
        if self._indented:
            text = "\n".join(self._indented)
            self._out.append(Block(f"<pre>\n{text}\n</pre>" if len(self._indented) > 1 else f"<p>{text}</p>"))
            self._indented = []

    # Lists ----------------------------------------------------------------------------------------------------------

    def _item(self, line: str) -> None:
        found = _MARKS.match(line)
        assert found is not None
        given, text = found[0], line[found.end() :].strip()
        marks = self._without_indentation(given)[:_DEEPEST]
        if self._paragraph or self._indented or (self._list and not marks):
            self._flush()
        if not marks:
            if text:
                self._out.append(Block(f"<p>{text}</p>"))
            return
        if len(marks) < len(given) and marks == self._marks and given[-1] == ":":
            self._list.append(f"<p>{text}</p>")  # more of the item before
            return
        self._open(marks)
        if marks[-1] == ";":
            term, colon, rest = _split_term(text)
            self._list.append(term)
            if colon:
                self._open(marks[:-1] + ":")
                self._list.append(rest)
        else:
            self._list.append(text)

    def _without_indentation(self, given: str) -> str:
        """The marks without colons that only indent: those that describe no term."""
        marks = ""
        for mark in given:
            place = len(marks)
            described = self._marks[:place] == marks and self._marks[place : place + 1] in (";", ":")
            if mark != ":" or (described and self._marks):
                marks += mark
        return marks

    def _open(self, marks: str) -> None:
        """Go from the list that has begun to an item with these marks."""
        common = 0
        for old, new in zip(self._marks, marks, strict=False):
            if _LISTS[old] != _LISTS[new]:
                break
            common += 1
        while len(self._marks) > common:
            self._close_one()
        if common == len(marks):
            self._list.append(f"</{_ITEMS[self._marks[-1]]}><{_ITEMS[marks[-1]]}>")
            self._marks = marks
            return
        for mark in marks[common:]:
            self._list.append(f"<{_LISTS[mark]}><{_ITEMS[mark]}>")
        self._marks = marks

    def _close_one(self) -> None:
        mark = self._marks[-1]
        self._list.append(f"</{_ITEMS[mark]}></{_LISTS[mark]}>")
        self._marks = self._marks[:-1]

    def _end_list(self) -> None:
        while self._marks:
            self._close_one()
        if self._list:
            self._out.append(Block("".join(self._list)))
            self._list = []


_LISTS = {"*": "ul", "#": "ol", ";": "dl", ":": "dl"}
_ITEMS = {"*": "li", "#": "li", ";": "dt", ":": "dd"}


def _split_term(text: str) -> tuple[str, bool, str]:
    """A term and what describes it on the same line, after ` : `."""
    at = text.find(" :")
    return (text, False, "") if at < 1 else (text[:at], True, text[at + 2 :])
