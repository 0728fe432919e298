"""How text from outside is shown, so that a document can neither command the terminal nor add markup to a page.

Ids, URLs, names of sources and texts come from strangers. Rich markup is avoided by building `rich.text.Text`, HTML
is escaped by jinja2; what is left is done here: control sequences, and Markdown.
"""

import re
import unicodedata

from rich.text import Text

_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that make a terminal or a browser show text in another order than it is stored (CVE-2021-42574)."""

_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!$])")


def _hidden(char: str) -> bool:
    return char in _DIRECTION or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def visible(text: str, keep: str = "\n\t") -> str:
    r"""Spell out characters that a terminal obeys instead of showing, save those in `keep`.

    >>> visible("a\x1b[31mb\u202ec")
    'a\\x1b[31mb\\u202ec'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in keep or not _hidden(char) else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def line(text: str) -> str:
    r"""Text on one line: line breaks and tabs are spelled out too.

    >>> line("two\nlines")
    'two\\nlines'
    """
    return visible(text, keep="")


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
