"""What a source file says of its own licence: SPDX's tag, a notice in the comment on top, or a whole licence there."""

import re
from collections.abc import Iterator
from functools import lru_cache

from pipeline.licenses.expressions import UNKNOWN, Expression, Named, all_of, parse
from pipeline.licenses.files import named
from pipeline.licenses.phrases import HINTS, phrases_in
from pipeline.licenses.texts import licenses_in

HEAD = 8192
"""Bytes at the top of a file that are looked at."""

_HINTS = (*HINTS, "redistribut", "permission", "spdx", "as is", "as-is")

_TAG = re.compile(
    r"^[^\w\"'\n]{0,16}(?:rem |dnl |c )?SPDX-License-Identifier:[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE
)
_EXPRESSION = re.compile(
    r"[(\s]*[a-z0-9][\w.+:-]*[)\s]*(?:\b(?:and|or|with)\b[(\s]*[a-z0-9][\w.+:-]*[)\s]*)*", re.IGNORECASE
)
_LINE = (
    "#",
    "//",
    ";",
    "--",
    "%",
    "!",
    "'",
    "*",
    "dnl",
    "@rem",
    "rem ",
    "::",
    "\\",
    '"',
    "..",
    "C ",
    "c ",
    "<%#",
    "--",
)
_BLOCKS = {
    "/*": "*/",
    "<!--": "-->",
    "{-": "-}",
    "(*": "*)",
    '"""': '"""',
    "'''": "'''",
    "=begin": "=end",
    "=pod": "=cut",
    "#|": "|#",
    "<#": "#>",
    "--[[": "]]",
    "{#": "#}",
    "%{": "%}",
    "/+": "+/",
    "<%--": "--%>",
}
_STARTS = tuple(_BLOCKS)
_WHOLE = re.compile(
    r"permission is hereby granted|redistribution and use in source|permission to use, copy, modify"
    r"|this software is provided ['\"]as.is|everyone is permitted to copy and distribute"
)
"""How licences begin that are short enough to be written into each file."""


def notice_in(text: str) -> Expression | None:
    """The licence that stands in the first comments of a source file; None if none does."""
    head = text[:HEAD]
    low = head.lower()
    if not any(hint in low for hint in _HINTS):
        return None
    if tags := _TAG.findall(head):
        return _tagged(tags)
    return _read("\n".join(_comments(head)))


def _tagged(tags: list[str]) -> Expression:
    found = []
    for tag in tags[:8]:
        try:
            found.append(parse(match[0] if (match := _EXPRESSION.match(tag)) else tag))
        except ValueError:
            found.append(Named(UNKNOWN))
    return all_of(found)


def _read(comment: str) -> Expression | None:
    low = comment.lower()
    if not any(hint in low for hint in _HINTS):
        return None
    if start := _WHOLE.search(low):
        # From where the licence begins, so that files that differ in what they are about share one answer.
        found = _whole(" ".join(comment[start.start() :].split()[:700]))
        if found is not None:
            return found
    return phrases_in(comment)


@lru_cache(maxsize=8192)
def _whole(text: str) -> Expression | None:
    return named(licenses_in(text).matches)


def _comments(head: str) -> Iterator[str]:
    """The comments, strings and empty lines at the top, without what marks them, up to the first line of code."""
    close = ""
    for line in head.splitlines():
        bare = line.strip()
        if close:
            yield bare.replace(close, " ").strip("*#/ ")
            if close in bare:
                close = ""
        elif bare.startswith(_STARTS):
            opened = max((start for start in _STARTS if bare.startswith(start)), key=len)
            rest = bare[len(opened) :]
            yield rest.strip("*! ")
            if _BLOCKS[opened] not in rest:
                close = _BLOCKS[opened]
        elif not bare or bare.startswith(_LINE):
            yield bare.lstrip("#/;-%!*'\\\". ")
        elif bare.lower().startswith(("<?", "<!doctype", "#!", "package ", "use ", "unit ", "module ", "@charset")):
            continue  # such lines stand before the comment in some languages
        else:
            return
