"""The programming language of a file: by its name, by its extension, and where these do not tell, by its content.

Names, extensions and interpreters are those of linguist 9.5 (833 languages), in a table beside this file. The order is:
a whole file name, the longest extension that is known, and for extensions of several languages an editor's line, the
rules of `heuristics`, and last the language that most such files have. Without a known name: the interpreter on the
first line, an editor's line, an XML declaration. There is no statistical guess: a file that nothing tells has no
language.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

from pipeline.readers.code.heuristics import is_open, told_apart

TABLE = Path(__file__).with_name("languages.json")
HEAD = 32 << 10
"""Bytes of a file that are looked at."""

_LONGEST = 64  # characters of a name that can be an extension

Kind = Literal["programming", "markup", "data", "prose"]
KINDS: tuple[Kind, ...] = ("programming", "markup", "data", "prose")

_VARIANTS = frozenset(
    {"OASv2-json", "OASv3-json", "OASv2-yaml", "OASv3-yaml", "MiniYAML", "Ecmarkup", "Adblock Filter List"}
)
"""Languages that are another one, used for one purpose; files have the other's name."""

_SHEBANG = re.compile(rb"#!\s*(\S+)(?:[ \t]+([^\r\n]*))?")
_EMACS = re.compile(rb"-\*-(?:.*?\bmode:\s*([\w+#-]+)|[ \t]*([\w+#-]+)[ \t]*-\*-)", re.IGNORECASE)
_VIM = re.compile(rb"(?:\bvim?|\bex):.{0,80}?\b(?:ft|filetype|syntax)=([\w+#]+)")
_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml[ \t]")


@dataclass(frozen=True)
class Language:
    """A language as linguist calls it."""

    name: str
    kind: Kind


class Languages:
    """All languages, by everything that can tell one."""

    def __init__(self, raw: Mapping[str, list[str | list[str]]]) -> None:
        self.by_name = {name: Language(name, cast(Kind, row[0])) for name, row in raw.items()}
        self.by_file: dict[str, list[str]] = defaultdict(list)
        self.by_extension: dict[str, list[str]] = defaultdict(list)
        self.by_interpreter: dict[str, list[str]] = defaultdict(list)
        self.by_alias = {name.lower(): name for name in raw}
        for name, row in raw.items():
            lists = [entry for entry in row[1:] if isinstance(entry, list)]
            extensions, files, interpreters, aliases = [*lists, *([[]] * 4)][:4]
            for found, keys in (
                (self.by_extension, [extension.lower() for extension in extensions]),
                (self.by_file, files),
                (self.by_interpreter, interpreters),
            ):
                for key in dict.fromkeys(keys):
                    if name not in _VARIANTS:
                        found[key].append(name)
            for alias in aliases:
                self.by_alias.setdefault(alias.lower(), name)


@lru_cache(maxsize=1)
def languages() -> Languages:
    """The table, read once."""
    return Languages(json.loads(TABLE.read_text(encoding="utf-8")))


def language_named(name: str) -> Language | None:
    """A language by its name or one of its aliases, in any mixture of capitals and small letters."""
    table = languages()
    return table.by_name.get(table.by_alias.get(name.lower(), ""))


@lru_cache(maxsize=1 << 16)
def candidates(name: str) -> tuple[str, tuple[str, ...]]:
    """The extension of a file name that tells something, and the languages that files of such a name may have."""
    table = languages()
    if found := table.by_file.get(name):
        return "", tuple(found)
    low = name[-_LONGEST:].lower()
    at = low.find(".")
    while at >= 0:
        if found := table.by_extension.get(low[at:]):
            return low[at:], tuple(found)
        at = low.find(".", at + 1)
    return "", ()


def language_by_name(path: str) -> Language | None:
    """The language, where the name of the file alone tells it."""
    extension, names = candidates(path.rpartition("/")[2])
    return languages().by_name[names[0]] if len(names) == 1 and not is_open(extension) else None


def language_of(path: str, data: bytes) -> Language | None:
    """The language of a file with this name and content; None if neither tells it."""
    extension, names = candidates(path.rpartition("/")[2])
    head = data[:HEAD]
    if len(names) != 1 or is_open(extension):
        name = _told(extension, names, head)
    else:
        name = names[0]
    return languages().by_name.get(name or "")


def _told(extension: str, names: tuple[str, ...], head: bytes) -> str | None:
    """The one of several languages, or any if there is none to choose from, that the content tells."""
    found = _shebang(head) if head.startswith(b"#!") else ()
    if not names:
        found = found or _editor(head)
        return found[0] if found else "XML" if _XML.match(head) else None
    for name in (*found, *_editor(head)):
        if name in names:
            return name
    return told_apart(extension, head) or (None if is_open(extension) else names[0])


def _shebang(head: bytes) -> tuple[str, ...]:
    match = _SHEBANG.match(head)
    if match is None:
        return ()
    program = match[1].rsplit(b"/", 1)[-1].decode("utf-8", "replace")
    if program == "env":
        words = (match[2] or b"").decode("utf-8", "replace").split()
        words = [word for word in words if not word.startswith("-") and "=" not in word]
        program = words[0].rsplit("/", 1)[-1] if words else ""
    table = languages().by_interpreter
    for name in (program, program.rstrip("0123456789.-"), re.sub(r"\.\d+$", "", program)):
        if name in table:
            return tuple(table[name])
    return ()


def _editor(head: bytes) -> tuple[str, ...]:
    """What a line for Emacs or Vim in the first lines says."""
    top = head[:1024]
    if b"-*-" not in top and b"ft=" not in top and b"filetype=" not in top and b"syntax=" not in top:
        return ()
    match = _EMACS.search(top) or _VIM.search(top)
    if match is None:
        return ()
    alias = next(group for group in match.groups() if group).decode("ascii", "replace").lower()
    name = languages().by_alias.get(alias) or languages().by_alias.get(alias.removesuffix("-mode"))
    return (name,) if name else ()
