"""What tells the languages apart that share an extension.

The table beside this file has a line for each pattern: extension, language, regular expression. The first whose pattern
is found decides. A line without a pattern names the language that most files with the extension have; with `-` a file
without a sign of one has no language, since its extension is in use for everything.
"""

import re
from collections import defaultdict
from functools import cache, lru_cache
from pathlib import Path

TABLE = Path(__file__).with_name("heuristics.tsv")


def told_apart(extension: str, head: bytes) -> str | None:
    """The language that the begin of a file shows, else the usual one; None if nothing can be said."""
    rules = _compiled(extension)
    # Patterns begin with the white space of a line: a thousand empty lines would be tried a thousand times each.
    text = b"\n".join(line for line in head.split(b"\n") if line.strip()) if rules else b""
    for language, pattern in rules:
        if pattern.search(text):
            return language
    return _rules()[1].get(extension)


def is_open(extension: str) -> bool:
    """Whether the extension says nothing without the content."""
    return extension in _rules()[2]


@lru_cache(maxsize=1)
def _rules() -> tuple[dict[str, list[tuple[str, str]]], dict[str, str], frozenset[str]]:
    patterns: dict[str, list[tuple[str, str]]] = defaultdict(list)
    usual: dict[str, str] = {}
    unclear: set[str] = set()
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        extension, language, *pattern = line.split("\t")
        if pattern:
            patterns[extension].append((language, pattern[0]))
        elif language == "-":
            unclear.add(extension)
        else:
            usual[extension] = language
    return patterns, usual, frozenset(unclear)


@cache
def _compiled(extension: str) -> tuple[tuple[str, re.Pattern[bytes]], ...]:
    patterns = _rules()[0].get(extension, ())
    return tuple((language, re.compile(pattern.encode(), re.MULTILINE)) for language, pattern in patterns)
