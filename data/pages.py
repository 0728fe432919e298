"""Writes documentation of Python as web pages, with the interpreter's own pydoc: modules, and topics of the language.

A program of its own, run by `corpus.py`, because it imports every module that it documents: a module that prints, hangs
or changes the interpreter harms nothing outside. Arguments are names of modules; each gives one line of JSON,
`{"module", "pages": [[path, html]...]}` or `{"module", "error"}`; `pydoc_data.topics` gives the topics of the language.

Instead of pydoc's own layout (tables, every space a `&nbsp;`), paragraphs and headings are marked as a web site would
mark them, so that the extraction of main text meets what it meets on the web.
"""

import faulthandler
import html
import importlib
import inspect
import json
import os
import pydoc
import re
import sys
import textwrap
import types
from typing import Any, TextIO

SECONDS = 20
"""A module that takes longer ends the program; the caller goes on with the next one."""

TOPICS = "pydoc_data.topics"

OWN_PAGE = 6_000
"""A class with more HTML than this gets a page of its own."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ORDER = re.compile(r"<dl><dt>Method resolution order:</dt>.*?</dl>\n", re.DOTALL)
_GROUP = re.compile(r"([\w ]+) defined here:<br>\n")
_WRAPPED = re.compile(
    r'<p><span class="code">(.*?)</span></p>|<span class="code">(.*?)(?:<br>&nbsp;)?</span>', re.DOTALL
)
_BULLET = re.compile(r"^[ \t]*[-*] +", re.MULTILINE)
_UNDERLINE = re.compile(r"([*=~^\"-])\1+")
_CODE = re.compile(r"^( {3,}|\t|>>> |\.\.\. )")


_all_attributes = pydoc.classify_class_attrs


def _own_attributes(object: object) -> list[tuple[str, str, type, str]]:
    """Attributes that the class itself defines and documents: what it inherits stands on another page."""
    listed = []
    for name, kind, home, value in _all_attributes(object):
        hidden = name.startswith("_") and not (name.startswith("__") and inspect.isfunction(value) and value.__doc__)
        if home is object and not hidden and not isinstance(value, types.WrapperDescriptorType):
            listed.append((name, kind, home, value))
    return listed


class Pages(pydoc.HTMLDoc):
    """pydoc's HTML writer with the markup of an ordinary web page; collects the pages that one module makes."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[str, str]] = []

    def write(self, module: types.ModuleType) -> list[tuple[str, str]]:
        """Return the pages of a module, as (path, HTML): its own and those of its larger classes."""
        if module.__name__ == TOPICS:
            return [self._page("reference", topic, self.markup(text)) for topic, text in sorted(module.topics.items())]
        self.made = []
        contents = self.document(module, module.__name__)
        return [self._page("library", module.__name__, contents), *self.made]

    def _page(self, folder: str, name: str, contents: str) -> tuple[str, str]:
        """Lay a page out as the web does, with navigation and a footer around what the page is about."""
        contents = _GROUP.sub(r"<h4>\1</h4>\n", _ORDER.sub("", contents)).replace("<hr>\n", "")
        contents = _WRAPPED.sub(lambda found: found[1] or found[2] or "", contents)
        parents = name.split(".")[:-1]
        crumbs = "".join(f'<a href="{".".join(parents[: i + 1])}.html">{part}</a> / ' for i, part in enumerate(parents))
        body = (
            f'<nav><a href="index.html">Index</a> / {crumbs}{name}</nav>\n'
            f"<main><article>\n{contents}\n</article></main>\n"
            '<footer><a href="index.html">Index</a> <a href="license.html">Copyright and licence</a></footer>'
        )
        page = (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(name)}</title></head>\n'
            f"<body>\n{body}\n</body></html>\n"
        )
        for private, public in ((sys.executable, "python3"), (sys.prefix, "/usr"), (sys.base_prefix, "/usr")):
            page = page.replace(private, public)
        return f"{folder}/{name}", _ADDRESS.sub("", page)

    def markup(self, text: str, escape: Any = None, funcs: Any = {}, classes: Any = {}, methods: Any = {}) -> str:  # noqa: B006  # pydoc's signature
        parts = []
        for block in re.split(r"\n[ \t]*\n", text.strip("\n")):
            lines = block.split("\n")
            if len(lines) == 2 and _UNDERLINE.fullmatch(lines[1]):
                level = "h1" if lines[1][0] == "*" else "h2"
                parts.append(f"<{level}>{html.escape(lines[0])}</{level}>")
            elif _BULLET.match(block):
                items = (" ".join(item.split()) for item in _BULLET.split(block)[1:])
                parts.append("<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>")
            elif all(_CODE.match(line) for line in lines):
                parts.append(f"<pre>{html.escape(textwrap.dedent(block))}</pre>")
            elif joined := " ".join(line.strip() for line in lines).strip():
                parts.append(f"<p>{super().markup(joined, self.escape, funcs, classes, methods)}</p>")
        return "\n".join(parts)

    def heading(self, title: str, extras: str = "") -> str:
        return f"<h1>{title}</h1>\n"

    def section(self, title: str, cls: str, contents: str, *layout: Any, **more: Any) -> str:
        if cls in ("pkg-content", "data"):
            return ""  # lists of names and values, which differ from machine to machine
        prelude = layout[1] if len(layout) > 1 else ""
        level = "h3" if cls == "title" else "h2"
        return f"<{level}>{title}</{level}>\n{prelude}\n{contents}\n"

    def bigsection(self, title: str, cls: str, *rest: Any) -> str:
        return self.section(title, cls, *rest)

    def formattree(self, *tree: Any) -> str:
        return ""

    def docother(self, object: Any, name: str | None = None, *context: Any) -> str:
        return f"<strong>{name}</strong>" if name else ""

    def docclass(self, object: Any, name: str | None = None, mod: Any = None, *links: Any) -> str:
        # A class that was only imported stands on the pages of its own module, unless that one is private.
        home = mod if "._" in f".{object.__module__}" else object.__module__
        if home == mod:
            whole = super().docclass(object, name, mod, *links)
            if len(whole) <= OWN_PAGE:
                return whole
            page = whole.replace("<h3>", "<h1>", 1).replace("</h3>", "</h1>", 1)
            self.made.append(self._page("library", f"{mod}.{object.__name__}", page))
        first = (inspect.getdoc(object) or "").split("\n\n")[0]
        link = f'<a href="{home}.{object.__name__}.html">class {object.__name__}</a>'
        return f"<h3>{link}</h3>\n<p>{html.escape(first)}</p>\n"


def main(modules: list[str], out: TextIO) -> None:
    pydoc.classify_class_attrs = _own_attributes
    writer = Pages()
    for name in modules:
        faulthandler.dump_traceback_later(SECONDS, exit=True)  # ends the process even when it is stuck in C
        answer: dict[str, object] = {"module": name}
        try:
            answer["pages"] = writer.write(importlib.import_module(name))
        except (Exception, SystemExit) as error:
            # Anything may come out of importing and inspecting three hundred strangers: it is told, the next is tried.
            answer["error"] = f"{type(error).__name__}: {error}"
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    # What modules print on being imported must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    main(sys.argv[1:], answers)
