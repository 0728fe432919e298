"""Macros that a paper defines, and their expansion: those with plain arguments, as most of them are."""

import re
from typing import NamedTuple

from pipeline.readers.latex.scanner import Scanner

_NAME = re.compile(r"\s*(?:\{\s*\\([A-Za-z@]+)\s*\}|\\([A-Za-z@]+))\s*")
_PARAMETERS = re.compile(r"((?:\s*#[1-9])*)\s*(?=\{)")
_UP_TO_BODY = re.compile(r"[^{}]{0,200}(?=\{)")
_LET = re.compile(r"\s*=?\s*(\\[A-Za-z@]+|\S)")
_NUMBER = re.compile(r"\s*\[\s*([0-9])\s*\]")
_PARAMETER = re.compile(r"#(#|[1-9])")
_COMMAND_AT_END = re.compile(r"\\[A-Za-z@]+\Z")
_XPARSE = re.compile(r"\s*(?:[mo]|O\{[^{}]*\})")
_MAX_BODY = 20_000


class Macro(NamedTuple):
    arguments: int
    default: str | None
    """Of the first argument, where it stands in brackets and may be left out."""
    body: str


class Environment(NamedTuple):
    begin: Macro
    end: str


class Macros:
    """What was defined so far. Names that the converter itself has a meaning for are never taken."""

    def __init__(self, taken: frozenset[str], environments_taken: frozenset[str]) -> None:
        self._taken, self._environments_taken = taken, environments_taken
        self.commands: dict[str, Macro] = {}
        self.environments: dict[str, Environment] = {}
        self.switches: dict[str, bool] = {}
        """Conditionals made by \\newif."""
        self.expanded = 0

    def define(self, kind: str, scanner: Scanner) -> None:
        """Read the definition behind a defining command."""
        if kind in ("def", "edef", "gdef", "xdef"):
            self._define_plain(scanner)
        elif kind == "let":
            self._define_alias(scanner)
        elif kind == "newif":
            if (name := self._name(scanner)) and name.startswith("if"):
                self.switches[name[2:]] = False
        elif kind in ("newenvironment", "renewenvironment", "NewDocumentEnvironment"):
            self._define_environment(scanner)
        elif kind == "DeclareMathOperator":
            star = "*" if scanner.take("*") else ""
            name = self._name(scanner)
            self._put(name, Macro(0, None, f"\\operatorname{star}{{{scanner.argument()}}}"))
        elif kind == "DeclarePairedDelimiter":
            name = self._name(scanner)
            left, right = scanner.argument(), scanner.argument()
            self._put(name, Macro(1, None, f"{left}#1{right}"))
        elif kind == "NewDocumentCommand":
            name = self._name(scanner)
            count, default = _xparse(scanner.argument())
            body = scanner.argument()
            if count >= 0:
                self._put(name, Macro(count, default, body))
        else:
            scanner.take("*")
            name = self._name(scanner)
            count, default = _counted(scanner)
            body = scanner.argument()
            if kind != "providecommand" or name not in self.commands:
                self._put(name, Macro(count, default, body))

    def _name(self, scanner: Scanner) -> str:
        found = scanner.match(_NAME)
        return (found[1] or found[2]) if found else ""

    def _put(self, name: str, macro: Macro) -> None:
        if name and name not in self._taken and len(macro.body) <= _MAX_BODY:
            self.commands[name] = macro

    def _define_plain(self, scanner: Scanner) -> None:
        name = self._name(scanner)
        found = scanner.match(_PARAMETERS)
        if found is None:  # arguments with delimiters, which only TeX itself can tell apart
            if scanner.match(_UP_TO_BODY) is not None:
                scanner.argument()
            return
        body = scanner.argument()
        self._put(name, Macro(found[1].count("#"), None, body))

    def _define_alias(self, scanner: Scanner) -> None:
        name = self._name(scanner)
        found = scanner.match(_LET)
        if found is None:
            return
        target = found[1].removeprefix("\\") if len(found[1]) > 1 else ""
        if name.startswith("if") and target in ("iftrue", "iffalse"):
            self.switches[name[2:]] = target == "iftrue"
        elif target in self.commands:
            self._put(name, self.commands[target])
        elif target != name:
            self._put(name, Macro(0, None, found[1]))

    def _define_environment(self, scanner: Scanner) -> None:
        name = scanner.argument().strip()
        count, default = _counted(scanner)
        begin, end = scanner.argument(), scanner.argument()
        if name and name not in self._environments_taken and len(begin) + len(end) <= _MAX_BODY:
            self.environments[name] = Environment(Macro(count, default, begin), end)

    def expand(self, macro: Macro, scanner: Scanner) -> bool:
        """Read the arguments and put the body before what follows; False if it is nested too deeply."""
        body = macro.body
        if macro.arguments:
            values: list[str] = []
            if macro.default is not None:
                given = scanner.optional()
                values.append(macro.default if given is None else given)
            while len(values) < macro.arguments:
                values.append(scanner.argument())
            body = _filled(body, values)
        elif "#" in body:
            body = _PARAMETER.sub("", body)
        if _COMMAND_AT_END.search(body) and scanner.peek().isalpha():
            body += " "
        self.expanded += 1
        return scanner.push(body)


def _counted(scanner: Scanner) -> tuple[int, str | None]:
    """The number of arguments, and the default of the first, in brackets."""
    scanner.skip_space()
    found = scanner.match(_NUMBER)
    if found is None:
        return 0, None
    return int(found[1]), scanner.optional()


def _xparse(arguments: str) -> tuple[int, str | None]:
    """The same of xparse's list of arguments; -1 if there are others than plain ones behind an optional first."""
    kinds = [kind.strip() for kind in _XPARSE.findall(arguments)]
    if "".join(kinds) != "".join(arguments.split()) or any(kind != "m" for kind in kinds[1:]) or len(kinds) > 9:
        return -1, None
    default = None
    if kinds and kinds[0] != "m":
        default = kinds[0][2:-1] if kinds[0].startswith("O") else ""
    return len(kinds), default


def _filled(body: str, values: list[str]) -> str:
    """The body with its arguments; a letter never comes to stand right behind a command."""
    out: list[str] = []
    at = 0
    for match in _PARAMETER.finditer(body):
        out.append(body[at : match.start()])
        at = match.end()
        if match[1] == "#":
            out.append("#")
            continue
        value = values[int(match[1]) - 1] if int(match[1]) <= len(values) else ""
        if value[:1].isalpha() and out[-1][-1:].isalpha() and _COMMAND_AT_END.search(out[-1]):
            out.append(" ")
        out.append(value)
    out.append(body[at:])
    return "".join(out)
