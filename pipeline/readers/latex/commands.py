"""Commands of running text: sections, captions, notes, links, files, definitions, conditionals."""

import posixpath
import re

from pipeline.readers.latex import names, titles
from pipeline.readers.latex.document import Document, Handler
from pipeline.readers.latex.environments import BEGIN_AND_END
from pipeline.readers.latex.output import Sink
from pipeline.readers.latex.references import REFERENCES, plain

_FILE = re.compile(r"\s*(?:\{([^{}]*)\}|([^\s{}\\%]+))")
_ESCAPE = re.compile(r"\\([%#&_~{}])")
_MAX_INPUTS = 2000


def _section(document: Document, word: str) -> None:
    source, numbering = document.scanner, document.numbering
    star = source.take("*")
    source.optional()
    level = names.SECTIONS[word]
    number = ""
    if not star and level <= numbering.depth and level > 0:
        number = numbering.step(word, word.capitalize())
    document.flush()

    def done(sink: Sink) -> None:
        title = " ".join(filter(None, (number, sink.inline())))
        if title:
            document.block(f"{'#' * heading_level(document, level)} {title}")

    document.capture(done)


def heading_level(document: Document, level: int) -> int:
    """The title of a paper is 1; below it come chapters where there are some, and else sections."""
    return max(2, min(6, level + 1 if document.numbering.chapters else level))


def _caption(document: Document, word: str) -> None:
    document.scanner.take("*")
    document.scanner.optional()
    if word == "captionof":
        document.scanner.argument()
    kind, number = "", ""
    if document.captions:
        kind = document.captions[-1][0]
        number = document.numbering.step(kind.lower(), kind) if kind else ""

    def done(sink: Sink) -> None:
        text = sink.inline()
        text = f"{kind} {number}: {text}" if number else text
        if not document.captions:
            document.write(f" {text} ")
        elif document.options.captions and text:
            document.captions[-1].append(text)

    document.capture(done)


def _footnote(document: Document, word: str) -> None:
    document.scanner.optional()
    document.note_count += word != "footnotetext"
    mark = f"[^{document.note_count}]"
    if word != "footnotetext":
        document.write(mark)

    def done(sink: Sink) -> None:
        if text := sink.inline():
            document.notes.append(f"{mark}: {text}")

    document.capture(done)


def _thanks(document: Document, word: str) -> None:
    document.capture(lambda sink: None)


def _label(document: Document, word: str) -> None:
    document.numbering.label(document.scanner.argument())


def _url(document: Document, word: str) -> None:
    if document.scanner.begins("{"):
        document.write(_ESCAPE.sub(r"\1", document.scanner.argument(raw=True)).strip())


def _href(document: Document, word: str) -> None:
    document.scanner.argument(raw=True)


def _verb(document: Document, word: str) -> None:
    source = document.scanner
    source.take("*")
    if word == "lstinline" or word == "mintinline":
        source.optional()
        if word == "mintinline":
            source.argument()
    delimiter = source.peek()
    if not delimiter or delimiter.isspace():
        return
    source.take(delimiter)
    text = source.until("}" if delimiter == "{" else delimiter)
    if text is not None and text.count("\n") <= 1:
        document.write(f"`{text}`")
    elif text is not None:
        source.push(text)  # no delimiter in this line: it was none


def _input(document: Document, word: str) -> None:
    """Read a file in place, as \\input, \\include, \\subfile, \\import and \\subimport do."""
    source = document.scanner
    folder = source.argument().strip() if word in ("import", "subimport", "includefrom", "subincludefrom") else ""
    found = source.match(_FILE)
    name = ((found[1] or found[2] or "") if found else "").strip().strip('"')
    if not name:
        return
    here = posixpath.dirname(source.file())
    tries = [posixpath.join(folder, name), posixpath.join(here, folder, name)]
    endings = ("",) if name.endswith((".tex", ".ltx", ".latex", ".bbl")) else (".tex", "", ".ltx", ".latex")
    read_in(document, [path + ending for path in dict.fromkeys(tries) for ending in endings])


def read_in(document: Document, paths: list[str]) -> bool:
    """Put the first of the files that is there before what follows; False, and counted, if none is."""
    if len(document.inputs) <= _MAX_INPUTS:
        for path in paths:
            path = posixpath.normpath(path)
            if document.scanner.reading(path):
                continue  # it would read itself for ever
            text = document.files.text(path)
            if text is not None:
                document.inputs.add(path)
                document.scanner.push(text + "\n", path)
                return True
    document.missing += 1
    return False


def _package(document: Document, word: str) -> None:
    """Read the definitions of packages that the paper brings along; others are not its own."""
    document.scanner.optional()
    for name in reversed(document.scanner.argument().split(",")):
        path = posixpath.normpath(f"{name.strip()}.sty")
        text = document.files.text(path) if path not in document.inputs else None
        if text is not None and len(document.inputs) <= _MAX_INPUTS:
            document.inputs.add(path)
            document.scanner.push(text + "\n", path)


def _class(document: Document, word: str) -> None:
    document.scanner.optional()
    document.scanner.argument()
    document.scanner.optional()


def _define(document: Document, word: str) -> None:
    kinds = {"renewcommand": "newcommand", "DeclareRobustCommand": "newcommand", "global": "", "long": ""}
    kinds |= {"RenewDocumentCommand": "NewDocumentCommand", "ProvideDocumentCommand": "NewDocumentCommand"}
    kinds |= {"DeclareDocumentCommand": "NewDocumentCommand", "DeclarePairedDelimiterX": "DeclarePairedDelimiter"}
    if kind := kinds.get(word, word):
        document.macros.define(kind, document.scanner)


def _theorem(document: Document, word: str) -> None:
    """\\newtheorem{env}[counter]{Name}[within]"""
    source = document.scanner
    star = source.take("*")
    name = source.argument().strip()
    shared = source.optional()
    printed = plain(source.argument())
    within = source.optional()
    counter = "" if star else (shared or name).strip()
    if within and counter == name:
        document.numbering.nest(counter, within.strip())
    document.theorems[name] = (document.theorems.get(counter, (counter, ""))[0], printed)
    if word == "spnewtheorem":
        document.drop_arguments("mm")


def _condition(document: Document, word: str) -> None:
    """A conditional: what only TeX can decide counts as false."""
    if word in ("ifthenelse", "ifbool", "iftoggle"):
        document.drop_arguments("mm")  # the condition, and what holds if it is true
    elif word.startswith("ifstr") or word in ("ifdefempty", "ifblank"):
        document.drop_arguments("m")
    elif not (word == "iftrue" or document.macros.switches.get(word[2:], False)):
        document.scanner.skip_branch()


def _otherwise(document: Document, word: str) -> None:
    document.scanner.skip_branch()


def _number_within(document: Document, word: str) -> None:
    inner, outer = document.scanner.argument(), document.scanner.argument()
    document.numbering.nest(inner.strip(), outer.strip())


def _set_counter(document: Document, word: str) -> None:
    name, value = document.scanner.argument().strip(), document.scanner.argument().strip()
    if name == "secnumdepth" and value.lstrip("-").isdigit():
        document.numbering.depth = int(value) + 1


def _appendix(document: Document, word: str) -> None:
    document.numbering.appendix()


def _spanning(document: Document, word: str) -> None:
    count = document.scanner.argument().strip()
    document.scanner.argument()
    if document.tables and count.isdigit():
        document.tables[-1].span = min(int(count), 100) - 1


def _nothing(document: Document, word: str) -> None:
    """The command goes; what follows it stays."""


def _paragraph(document: Document, word: str) -> None:
    document.flush()


def _two_texts(document: Document, word: str) -> None:
    """\\texorpdfstring{TeX}{plain}: the first; \\acro-like pairs keep it too."""
    document.capture(lambda sink: _after_first(document, sink))


def _after_first(document: Document, sink: Sink) -> None:
    document.write(sink.inline())
    document.drop_arguments("m")


_CORE: dict[str, Handler] = {
    **{name: handler for name, handler in REFERENCES.items() if name not in ("fref", "sref", "tref", "thref", "Ref")},
    **BEGIN_AND_END,
    **dict.fromkeys(names.SECTIONS, _section),
    **dict.fromkeys(("abstract", "summary"), titles.headed),
    **dict.fromkeys(("caption", "captionof"), _caption),
    **dict.fromkeys(("footnote", "footnotetext"), _footnote),
    **dict.fromkeys(("verb", "lstinline", "mintinline", "Verb"), _verb),
    **dict.fromkeys(
        ("input", "include", "subfile", "import", "subimport", "subfileinclude", "includefrom", "subincludefrom"),
        _input,
    ),
    **dict.fromkeys(("usepackage", "RequirePackage"), _package),
    **dict.fromkeys(("documentclass", "documentstyle", "LoadClass"), _class),
    **dict.fromkeys(
        (
            *("newcommand", "renewcommand", "providecommand", "DeclareRobustCommand", "def", "edef", "gdef", "xdef"),
            *("let", "newif", "newenvironment", "renewenvironment", "DeclareMathOperator", "DeclarePairedDelimiter"),
            *("NewDocumentCommand", "RenewDocumentCommand", "ProvideDocumentCommand", "DeclareDocumentCommand"),
            *("global", "long"),
        ),
        _define,
    ),
    **dict.fromkeys(("newtheorem", "spnewtheorem", "newshadetheorem"), _theorem),
    **dict.fromkeys(("maketitle", "fi", "protect", "relax", "ensuremath"), _nothing),
    "title": titles.title,
    "author": titles.author,
    "thanks": _thanks,
    "label": _label,
    "href": _href,
    "url": _url,
    "par": _paragraph,
    "else": _otherwise,
    "or": _otherwise,
    "setcounter": _set_counter,
    "multicolumn": _spanning,
    "appendix": _appendix,
}
CORE = frozenset(_CORE)
"""What the converter does itself whatever a paper or its packages define under these names."""

COMMANDS: dict[str, Handler] = {
    **REFERENCES,
    **_CORE,
    **dict.fromkeys(("icmltitle", "Title"), titles.title),
    **dict.fromkeys(("Author", "authors", "icmlauthor", "IEEEauthorblockN"), titles.author),
    **dict.fromkeys(names.HEADED, titles.headed),
    **dict.fromkeys(("subcaption", "figcaption", "tablecaption", "tabcaption"), _caption),
    "endnote": _footnote,
    "texorpdfstring": _two_texts,
    **dict.fromkeys(("todo", "marginpar", "titlenote", "authornote"), _thanks),
    **dict.fromkeys(("path", "nolinkurl", "doi"), _url),
    **dict.fromkeys(("numberwithin", "counterwithin"), _number_within),
    **dict.fromkeys(("endgraf", "bigskip", "medskip", "smallskip", "newpage", "clearpage", "vfill"), _paragraph),
}
"""The same, where a paper's own definition comes first."""


def condition(document: Document, word: str) -> bool:
    """Deal with a command that looks like a conditional; False if it is none."""
    if not word.startswith("if") or word in ("iff",):
        return False
    _condition(document, word)
    return True
