"""A paper's TeX source to Markdown: tokens one after another, each to what it means for the text."""

import re
from typing import NamedTuple

from pipeline.readers.latex import mathematics, names, scanner
from pipeline.readers.latex.bibliography import Bibliography
from pipeline.readers.latex.commands import COMMANDS, CORE, condition
from pipeline.readers.latex.document import Document, Files, Options
from pipeline.readers.latex.environments import Stop, cell, row
from pipeline.readers.latex.macros import Macros
from pipeline.readers.latex.numbering import Numbering
from pipeline.readers.latex.output import BREAK, INDENT

_CHAPTERS = re.compile(r"^[^%\n]*\\chapter\b", re.MULTILINE)
_PREAMBLE = re.compile(r"^[^%\n]*\\begin\s*\{document\}", re.MULTILINE)
_STRENGTH = re.compile(r"\*?\s*(?:\[[^\][\n]{0,30}\])?")
_ENVIRONMENTS = frozenset(
    (
        *names.MATH,
        *names.VERBATIM,
        *names.LEFT_OUT,
        *names.FLOATS,
        *names.TABLES,
        *names.TABULAR,
        *names.LISTS,
        "document",
    )
)
_LEAST_BUDGET = 4 << 20


class Paper(NamedTuple):
    """What became of a source."""

    text: str
    title: str
    authors: str
    files: int
    macros: int
    missing_inputs: int
    unresolved: int
    """References and citations that lead nowhere."""
    math_share: float


def convert(main: str, files: Files, options: Options, bibliographies: list[str]) -> Paper:
    """Return the text of the paper whose main file is `main`.

    Args:
        bibliographies: texts with \\bibitem commands; that of the main file is looked at anyway.

    Raises:
        TooMuchExpansion: its macros expand beyond 16 times its size, and beyond 4 MiB.
        ValueError: there is no such file.
    """
    text = files.text(main)
    if text is None:
        raise ValueError(f"no file {main}")
    document = Document(
        text,
        main,
        files,
        options,
        Numbering(bool(_CHAPTERS.search(text))),
        Bibliography([text, *bibliographies]),
        Macros(CORE, _ENVIRONMENTS),
        max(_LEAST_BUDGET, 16 * len(text)),
    )
    document.in_body = not _PREAMBLE.search(text)
    document.scanner.package = not document.in_body
    try:
        _run(document)
    except Stop:
        document.scanner.stop()
    return _finish(document)


def _run(document: Document) -> None:
    source = document.scanner
    while not source.done:
        plain, kind, value = source.token()
        if plain:
            document.write(_typography(plain))
        if kind == scanner.WORD:
            _word(document, value)
        elif kind == scanner.SYMBOL:
            _symbol(document, value)
        elif kind == scanner.LINE:
            if value.count("\n") > 1:
                document.flush()
            else:
                document.write(" ")
        elif kind == scanner.COMMENT:
            if value.count("\n") > 1:
                document.flush()
        elif kind == scanner.OTHER:
            _other(document, value)


def _typography(text: str) -> str:
    """Quotation marks and dashes, which TeX writes with ASCII characters."""
    if "`" in text:
        text = text.replace("``", "“").replace("`", "‘")
    if "'" in text:
        text = text.replace("''", "”").replace("'", "’")
    if "--" in text:
        text = text.replace("---", "—").replace("--", "–")
    return text


def _other(document: Document, sign: str) -> None:
    if sign == "{":
        document.open("")
    elif sign == "}":
        document.close_group()
    elif sign == "$":
        if document.scanner.take("$"):
            mathematics.display(document, "$$")
        else:
            mathematics.inline(document, "$")
    elif sign == "~":
        document.write(" ")
    else:
        cell(document)


def _symbol(document: Document, sign: str) -> None:
    if sign == "\\":
        document.scanner.match(_STRENGTH)
        if not row(document):
            document.write(BREAK)
    elif sign == "(":
        mathematics.inline(document, "\\)")
    elif sign == "[":
        mathematics.display(document, "\\]")
    elif sign in names.ACCENTS:
        _accent(document, sign)
    else:
        document.write(names.CONTROL.get(sign, ""))


def _accent(document: Document, accent: str) -> None:
    letter = document.scanner.argument()
    if letter.startswith("\\") and letter not in ("\\i", "\\j"):
        document.scanner.push(letter + " ")
        return
    document.write(names.accented(accent, letter))


def _word(document: Document, word: str) -> None:
    source, macros = document.scanner, document.macros
    if word in CORE:
        COMMANDS[word](document, word)
    elif word in macros.commands:
        macros.expand(macros.commands[word], source)
    elif word in COMMANDS:
        COMMANDS[word](document, word)
    elif word in names.SYMBOLS:
        _write_symbol(document, word)
    elif word in names.ARGUMENTS:
        document.drop_arguments(names.ARGUMENTS[word])
    elif word in names.ACCENTS:
        _accent(document, word)
    elif word in names.DIMENSIONS:
        source.match(names.DIMENSION)
        if word == "vskip":
            document.flush()
    elif condition(document, word):
        pass
    elif _in_algorithm(document) and word.lower() in names.ALGORITHM:
        _algorithm(document, word.lower())
    elif word in ("tabularnewline", "startdata", "enddata", "endhead", "endfirsthead", "endfoot", "endlastfoot"):
        row(document)
    elif macros.switches and word.endswith(("true", "false")):
        _switch(document, word)
    elif source.peek() == "[":
        _unknown(document)


def _write_symbol(document: Document, word: str) -> None:
    text = names.SYMBOLS[word]
    if text == BREAK:
        if not row(document):
            document.write(BREAK)
    elif text == "\n\n":
        document.flush()
    else:
        document.write(text)


def _switch(document: Document, word: str) -> None:
    value = word.endswith("true")
    name = word.removesuffix("true" if value else "false")
    if name in document.macros.switches:
        document.macros.switches[name] = value


def _unknown(document: Document) -> None:
    """Leave out the options of a command that nobody knows, if it has an argument besides them."""
    source = document.scanner
    options = source.optional()
    if options is not None and source.peek() != "{":
        source.push(f"[{options}]")


def _in_algorithm(document: Document) -> bool:
    return any(frame.name.lower().startswith("algorithm") for frame in document.frames[-20:])


def _algorithm(document: Document, word: str) -> None:
    text = names.ALGORITHM[word]
    if text.startswith(BREAK):
        depth = sum(frame.name == "" for frame in document.frames[-20:])
        text = BREAK + INDENT * depth + text[1:]
    document.scanner.optional()
    document.write(text)


def _finish(document: Document) -> Paper:
    while document.frames:
        document.close()
    document.flush()
    document.top.blocks += document.notes
    authors = ", ".join(dict.fromkeys(document.authors))
    head = [f"# {document.title}"] if document.title else []
    if authors and document.options.authors:
        head.append(authors)
    text = "\n\n".join([*head, *document.abstract, *document.top.blocks])
    text = document.numbering.resolve(text)
    text = re.sub(r"[ \t]*\x02(?=[.,;:!?)\]])|\x02", "", text)
    unresolved = document.numbering.unresolved + document.unresolved_citations
    return Paper(
        text,
        document.title,
        "; ".join(dict.fromkeys(document.authors)),
        len(document.inputs),
        document.macros.expanded,
        document.missing,
        unresolved,
        round(document.math_chars / max(1, len(text)), 4),
    )
