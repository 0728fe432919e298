"""Lists of references: not kept, but read, so that citations can be printed as the paper prints them."""

import re
from typing import NamedTuple

_ITEM = re.compile(r"\\bibitem\s*(?:%[^\n]*\n\s*)?")
_KEY = re.compile(r"\s*(?:%[^\n]*\n\s*)*\{([^{}]{1,400})\}")
_BRACE = re.compile(r"\\[\s\S]|[{}\]]")
_YEAR = re.compile(r"\(\s{0,3}((?:\d{4}|in press|in prep|submitted|to appear|n\.?d\.?)[a-z]?)[^()]{0,20}\)")
_CITENAME = re.compile(r"\\citename\s{0,3}\{([^{}]{0,300}?),?\s?\}\s{0,3}(\w{1,20})")
_AUTHORYEAR = re.compile(r"\\citeauthoryear\s{0,3}\{([^{}]{0,300})\}\s{0,3}\{[^{}]{0,300}\}\s{0,3}\{([^{}]{0,40})\}")
_PERCENT = re.compile(r"%[^\n]*\n\s*")
_MAX_LABEL = 600
_MAX_UNCLOSED = 1000


class Entry(NamedTuple):
    number: int
    label: str
    """As it is printed, in TeX, where the list gives one."""
    author: str
    year: str


class Bibliography:
    """The entries of all lists of a paper, by key."""

    def __init__(self, texts: list[str]) -> None:
        self.entries: dict[str, Entry] = {}
        unclosed = 0
        for text in texts:
            for match in _ITEM.finditer(text):
                label, at = _label(text, match.end()) if unclosed < _MAX_UNCLOSED else ("", match.end())
                unclosed += at == match.end() and text.startswith("[", at)
                if found := _KEY.match(text, at):
                    self._add(found[1].strip(), label)

    def _add(self, key: str, label: str) -> None:
        label = _PERCENT.sub("", label).strip()
        author = year = ""
        if found := _CITENAME.search(label) or _AUTHORYEAR.search(label):
            author, year = found[1], found[2]
        elif found := _YEAR.search(label):
            author, year = label[: found.start()].strip().removeprefix("{"), found[1]
        self.entries.setdefault(key, Entry(len(self.entries) + 1, label, _balanced(author), year.strip("{}")))


def _label(text: str, at: int) -> tuple[str, int]:
    """The argument in brackets at `at`, if there is one, and where it ends."""
    if not text.startswith("[", at):
        return "", at
    depth = 0
    for match in _BRACE.finditer(text, at + 1, at + _MAX_LABEL):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "]" and depth <= 0:
            return text[at + 1 : match.start()], match.end()
    return "", at


def _balanced(text: str) -> str:
    """Without the braces that a cut has left without their other."""
    if text.count("{") == text.count("}"):
        return text
    return text.replace("{", "").replace("}", "")
