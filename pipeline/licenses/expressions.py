"""SPDX licence expressions: read, written in one form, and judged against a list of what is allowed.

An OR is allowed if one of its sides is, an AND if all are. An exception (WITH) only ever allows more, so a licence with
one is allowed where the licence alone is.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipeline.configfile import nearest
from pipeline.licenses.table import SUCCESSORS, License, table

UNKNOWN = "LicenseRef-unknown"
"""A licence is there, but it is none of the list."""

OTHERS = {
    "LicenseRef-BSD": True,
    "LicenseRef-public-domain": True,
    "LicenseRef-GPL": False,
    "LicenseRef-LGPL": False,
    "LicenseRef-AGPL": False,
    "LicenseRef-proprietary": False,
    UNKNOWN: False,
}
"""What people write without saying which: by name, and whether all that it can mean is permissive."""

LISTS: dict[str, Callable[[License], bool]] = {
    "permissive": lambda entry: entry.permissive and not entry.exception,
    "blue_oak": lambda entry: entry.blue_oak,
}
"""Lists that have names: that of The Stack v2 (Lozhkov et al. 2024: what the Blue Oak Council lists and what ScanCode
calls permissive or public domain), and the Blue Oak Council's alone."""

_TOKEN = re.compile(r"\s*(?:([()])|([A-Za-z0-9][A-Za-z0-9.:-]*\+?))")
_WITH = {
    "GPL-2.0-with-GCC-exception": ("GPL-2.0-or-later", "GCC-exception-2.0"),
    "GPL-2.0-with-autoconf-exception": ("GPL-2.0-only", "Autoconf-exception-2.0"),
    "GPL-2.0-with-bison-exception": ("GPL-2.0-or-later", "Bison-exception-2.2"),
    "GPL-2.0-with-classpath-exception": ("GPL-2.0-only", "Classpath-exception-2.0"),
    "GPL-2.0-with-font-exception": ("GPL-2.0-only", "Font-exception-2.0"),
    "GPL-3.0-with-GCC-exception": ("GPL-3.0-only", "GCC-exception-3.1"),
    "GPL-3.0-with-autoconf-exception": ("GPL-3.0-only", "Autoconf-exception-3.0"),
    "eCos-2.0": ("GPL-2.0-or-later", "eCos-exception-2.0"),
    "wxWindows": ("LGPL-2.0-or-later", "WxWindows-exception-3.1"),
}
_DEEP = 50


@dataclass(frozen=True)
class Named:
    """One licence, perhaps with an exception."""

    id: str
    exception: str | None = None

    def __str__(self) -> str:
        return self.id if self.exception is None else f"{self.id} WITH {self.exception}"


@dataclass(frozen=True)
class All:
    """Licences that hold together."""

    parts: tuple["Expression", ...]

    def __str__(self) -> str:
        return " AND ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)


@dataclass(frozen=True)
class AnyOf:
    """Licences of which one may be chosen."""

    parts: tuple["Expression", ...]

    def __str__(self) -> str:
        return " OR ".join(map(str, self.parts))


Expression = Named | All | AnyOf


def parse(text: str) -> Expression:
    """Read an expression; raises ValueError if it is none, or names what is no licence of the list.

    Identifiers come out as SPDX writes them, deprecated ones as what has replaced them.
    """
    tokens: list[str] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"'{text}' is no licence expression: '{text[at:].strip()[:20]}'")
        tokens.append(match[1] or match[2])
        at = match.end()
    tokens.reverse()
    found = _any_of(tokens, text, 0)
    if tokens:
        raise ValueError(f"'{text}' is no licence expression: '{tokens[-1]}' is out of place")
    return found


def all_of(parts: Iterable[Expression]) -> Expression:
    """The parts together, each once; a single one is itself."""
    flat = dict.fromkeys(leaf for part in parts for leaf in (part.parts if isinstance(part, All) else (part,)))
    return next(iter(flat)) if len(flat) == 1 else All(tuple(flat))


def any_of(parts: Iterable[Expression]) -> Expression:
    """The parts for choice, each once; a single one is itself."""
    flat = dict.fromkeys(leaf for part in parts for leaf in (part.parts if isinstance(part, AnyOf) else (part,)))
    return next(iter(flat)) if len(flat) == 1 else AnyOf(tuple(flat))


def leaves(expression: Expression) -> Iterator[Named]:
    """Every licence that an expression names."""
    if isinstance(expression, Named):
        yield expression
    else:
        for part in expression.parts:
            yield from leaves(part)


class Allowed:
    """Which licences are wanted: names of LISTS, identifiers, patterns such as `BSD-*`, `any`, and pairs with WITH."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self._ids: set[str] = set()
        self._patterns: list[str] = []
        self._pairs: set[str] = set()
        self._any = False
        for name in wanted:
            self._add(name)

    def _add(self, name: str) -> None:
        entries = table().licenses.values()
        if name == "any":
            self._any = True
        elif name in LISTS:
            self._ids |= {entry.id for entry in entries if LISTS[name](entry)}
            self._ids |= {other for other, permissive in OTHERS.items() if permissive}
        elif any(character in name for character in "*?["):
            if not any(fnmatchcase(entry.id, name) for entry in entries):
                raise ValueError(f"no licence is called '{name}'")
            self._patterns.append(name)
        elif name in OTHERS:
            self._ids.add(name)
        else:
            try:
                found = parse(name)
            except ValueError:
                known = [*LISTS, "any", *(entry.id for entry in entries)]
                raise ValueError(f"unknown licence '{name}'; {nearest(name, known)}") from None
            if not isinstance(found, Named):
                raise ValueError(f"'{name}': name the licences one by one")
            if found.exception is None:
                self._ids.add(found.id)
            else:
                self._pairs.add(str(found))

    def __call__(self, expression: Expression) -> bool:
        """Whether somebody who keeps to these licences may use what comes under `expression`."""
        if isinstance(expression, All):
            return all(map(self, expression.parts))
        if isinstance(expression, AnyOf):
            return any(map(self, expression.parts))
        name = expression.id.removesuffix("+")
        return (
            self._any
            or name in self._ids
            or str(expression) in self._pairs
            or any(fnmatchcase(name, pattern) for pattern in self._patterns)
        )


def _any_of(tokens: list[str], text: str, depth: int) -> Expression:
    parts = [_all_of(tokens, text, depth)]
    while tokens and tokens[-1].upper() == "OR":
        tokens.pop()
        parts.append(_all_of(tokens, text, depth))
    return any_of(parts)


def _all_of(tokens: list[str], text: str, depth: int) -> Expression:
    parts = [_one(tokens, text, depth)]
    while tokens and tokens[-1].upper() == "AND":
        tokens.pop()
        parts.append(_one(tokens, text, depth))
    return all_of(parts)


def _one(tokens: list[str], text: str, depth: int) -> Expression:
    token = tokens.pop() if tokens else ""
    if token == "(" and depth < _DEEP:
        inner = _any_of(tokens, text, depth + 1)
        if not tokens or tokens.pop() != ")":
            raise ValueError(f"'{text}' is no licence expression: a bracket is not closed")
        return inner
    if token in ("", "(", ")") or token.upper() in ("AND", "OR", "WITH"):
        raise ValueError(f"'{text}' is no licence expression: a licence is missing")
    found = _named(token)
    if tokens and tokens[-1].upper() == "WITH":
        tokens.pop()
        exception = table().get(tokens.pop() if tokens else "")
        if exception is None or not exception.exception or found.exception:
            raise ValueError(f"'{text}' is no licence expression: no exception of the list after WITH")
        return Named(found.id, exception.id)
    return found


def _named(token: str) -> Named:
    if re.fullmatch(r"(?:DocumentRef-[\w.-]+:)?LicenseRef-[\w.-]+", token):
        return Named(token)
    entry = table().get(token)
    plus = ""
    if entry is None and token.endswith("+"):
        entry, plus = table().get(token[:-1]), "+"
    if entry is None or entry.exception:
        raise ValueError(f"'{token}' is no licence of the SPDX list")
    if entry.id in _WITH:
        return Named(*_WITH[entry.id])
    return Named(SUCCESSORS.get(entry.id, entry.id) + plus)
