"""What readers see of templates, as patterns: `{1}` and `{name}` are arguments, `[...]` is there if all in it are.

`{text|1}` is the first of the two that is not empty. The same patterns are what users write for templates of their own.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

_PART = re.compile(r"\{([^{}]*)\}|([\[\]])")


class Arguments:
    """The arguments of a template: by position, from 1 on, and by name; white space around them does not count."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.positional: list[str] = []
        self._named: dict[str, str] = {}
        for part in parts:
            name, equals, value = part.partition("=")
            if equals:
                self._named[name.strip().lower()] = value.strip()
            else:
                self.positional.append(part.strip())

    def __getitem__(self, key: int | str) -> str:
        """The value, empty if there is none; a position may also be written as a name, `1=a`."""
        if isinstance(key, int):
            given = self._named.get(str(key))
            if given is not None:
                return given
            return self.positional[key - 1] if key <= len(self.positional) else ""
        return self._named.get(key, "")

    def first(self, *keys: int | str) -> str:
        """The first value that is not empty."""
        return next((value for key in keys if (value := self[key])), "")

    def all(self) -> list[str]:
        """Values by position, those that are written as `1=a` among them, without empty ones at the end."""
        count = len(self.positional)
        while self._named.get(str(count + 1)):
            count += 1
        values = [self[i] for i in range(1, count + 1)]
        while values and not values[-1]:
            values.pop()
        return values


def fill(pattern: str, arguments: Arguments) -> str:
    """The pattern with its arguments."""
    out: list[list[str]] = [[]]
    empty = [False]
    for text, keys, bracket in _parts(pattern):
        out[-1].append(text)
        if bracket == "[":
            out.append([])
            empty.append(False)
        elif bracket == "]":
            inside = "".join(out.pop())
            out[-1].append("" if empty.pop() else inside)
        elif keys:
            value = arguments.first(*keys)
            empty[-1] |= not value
            out[-1].append(value)
    return "".join(out[0])


def problem(pattern: str) -> str | None:
    """What is wrong with a pattern; None if nothing is."""
    depth = 0
    for _, _, bracket in _parts(pattern):
        depth += (bracket == "[") - (bracket == "]")
        if depth < 0:
            break
    rest = _PART.sub("", pattern)
    if depth or "{" in rest or "}" in rest:
        return f"'{pattern}' has a bracket without its other half"
    return None


@lru_cache(maxsize=4096)
def _parts(pattern: str) -> tuple[tuple[str, tuple[int | str, ...], str], ...]:
    """Text, then the keys of an argument or a bracket, from left to right."""
    found: list[tuple[str, tuple[int | str, ...], str]] = []
    at = 0
    for match in _PART.finditer(pattern):
        keys = () if match[1] is None else tuple(_key(key) for key in match[1].split("|"))
        found.append((pattern[at : match.start()], keys, match[2] or ""))
        at = match.end()
    found.append((pattern[at:], (), ""))
    return tuple(found)


def _key(name: str) -> int | str:
    name = name.strip().lower()
    return int(name) if name.isdigit() else name


def table(shown: Mapping[str, str]) -> dict[str, str]:
    """Pattern by name, of names (with commas between them) by pattern."""
    return {" ".join(name.split()): pattern for pattern, names in shown.items() for name in names.split(",")}
