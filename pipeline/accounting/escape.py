"""How text from outside is shown, so that a document can neither command the terminal nor add markup to a page.

Ids, URLs, names of sources and texts come from strangers. Rich markup is avoided by building `rich.text.Text`, HTML
is escaped by jinja2; what is left is done here: control sequences, and Markdown.
"""

import json
import re
from typing import Any

from rich.text import Text

_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, separators of lines, halves of surrogate pairs, and marks that make a terminal or a browser show text in
another order than it is stored (CVE-2021-42574)."""

_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!$])")


def visible(text: str, keep: str = "\n\t") -> str:
    r"""Spell out characters that a terminal obeys instead of showing, save those in `keep`.

    >>> visible("a\x1b[31mb\u202ec")
    'a\\x1b[31mb\\u202ec'
    """

    def spelled(found: re.Match[str]) -> str:
        return found[0] if found[0] in keep else found[0].encode("unicode_escape", "surrogatepass").decode("ascii")

    return _HIDDEN.sub(spelled, text)


def line(text: str) -> str:
    r"""Text on one line: line breaks and tabs are spelled out too.

    >>> line("two\nlines")
    'two\\nlines'
    """
    return visible(text, keep="")


def json_line(value: Any) -> str:
    r"""A value as JSON on one line, in which the same characters are spelled out as JSON has it.

    >>> json_line({"a": "\x9b1m\u202eb"})
    '{"a": "\\u009b1m\\u202eb"}'
    """
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def cell(value: object, style: str = "") -> Text:
    """A value as a cell of a rich table: on one line and never read as rich markup."""
    return Text(line(str(value)), style=style)


def markdown(text: str) -> str:
    r"""Text on one line that Markdown and the HTML inside it show as it is, also between the bars of a table.

    >>> markdown("a|b <script> [x](http://y)")
    'a\\|b &lt;script&gt; \\[x\\](http:\\//y)'
    """
    plain = _MARKDOWN.sub(r"\\\1", line(text).replace("&", "&amp;"))
    return plain.replace("<", "&lt;").replace(">", "&gt;").replace("://", ":\\//").replace("www.", "www\\.")
