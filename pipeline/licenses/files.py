"""What a file such as LICENSE, COPYING or NOTICE says: the licences in it, and whether more is demanded beside them."""

import posixpath
import re
from collections.abc import Sequence
from functools import lru_cache

from pipeline.licenses.expressions import UNKNOWN, Expression, Named, all_of, leaves
from pipeline.licenses.phrases import phrases_in
from pipeline.licenses.table import SUCCESSORS, table
from pipeline.licenses.texts import Match, licenses_in
from pipeline.licenses.words import cleaned, places_of

LARGEST = 1 << 18
"""Characters of a licence file that are looked at: as many as are needed for a hundred licences."""

_NAME = re.compile(
    r"(?:.*[-_.])?(?:un)?licen[cs](?:es?|ing)(?:[-_.].*)?|copying(?:[-_.0-9].*)?|(?:mit|bsd|gpl|lgpl|agpl|apache|ofl)"
    r"(?:[-_.]?\d\S*)?(?:\.(?:txt|md))?"
)
_ASIDE = re.compile(r"(?:notices?|copyrights?|legal|patents?|third.?party.*|readme.licen[cs]es?)(?:[-_.].*)?")
_FOLDERS = ("licenses", "licences")
_WORDS = ("licen", "copying", "copyright", "notice", "legal", "patent", "party", "mit", "bsd", "gpl", "apache", "ofl")
_PROSE = ("", ".txt", ".md", ".markdown", ".rst", ".html", ".htm", ".adoc", ".org", ".rtf", ".text")
_CODE = re.compile(
    r"\.(?:py|pyi|js|mjs|ts|tsx|jsx|go|rs|c|h|cc|cpp|hpp|java|kt|rb|php|cs|swift|sh|ps1|json|ya?ml|toml|xml|csv|lock|png|svg"
    r"|jpe?g|gif|pdf|css|scss|spdx|tmpl|tpl|j2|in|m4|pl|pm|ex|exs|hs|ml|scala|vue|proto|sql|r|ipynb|class|pyc|sig|asc)$"
)
_DEMANDS = re.compile(
    r"commons clause|non.?commercial|commercial use|right to sell|prohibited|forbidden|proprietary|trade secret"
    r"|(?:do|does|shall|may|must|can) ?not (?:use(?! this file except)|sell|be sold|include)"
    r"|only (?:for|be used for) (?:academic|research|personal|educational|evaluation)"
)
_PEOPLE = re.compile(r"(?:authors?|contributors?|credits|thanks|maintainers|readme)(?:\..*)?")
_BEARERS = ("GPL-", "LGPL-", "AGPL-", "Apache-2.0", "QPL-", "EPL-", "SHL-")
_SHORT = 12  # words of a file that only points to another


def is_license_file(path: str) -> bool:
    """Whether a file by this name holds a licence, or notices that may."""
    parts = path.lower().rsplit("/", 2)
    name, folder = parts[-1], parts[-2] if len(parts) > 1 else ""
    if folder not in _FOLDERS and not any(word in name for word in _WORDS):
        return False
    if _CODE.search(name):
        return False
    return (
        bool(_NAME.fullmatch(name))
        or is_aside(path)
        or (folder in _FOLDERS and _is_prose(name) and not _PEOPLE.fullmatch(name))
    )


def is_aside(path: str) -> bool:
    """Whether a licence file is one of notices, which need not have a licence in it."""
    name = path.lower().rpartition("/")[2]
    return bool(_ASIDE.fullmatch(name)) and _is_prose(name)


def _is_prose(name: str) -> bool:
    suffix = posixpath.splitext(name)[1]
    return suffix in _PROSE or not suffix[1:].isalpha()


@lru_cache(maxsize=1024)
def license_of(text: str, *, aside: bool = False) -> Expression | None:
    """The licences in the text of a licence file, in their order; None if it only points elsewhere.

    What stands around the licences counts if it names another, or forbids something. A text that is no licence of the
    list is LicenseRef-unknown, but nothing in a file `aside`.
    """
    text = text[:LARGEST]
    found = licenses_in(text)
    parts = [expression] if (expression := named(found.matches)) is not None else []
    gnu = parts and all(leaf.id.startswith(("GPL-", "LGPL-", "AGPL-", "GFDL-")) for leaf in leaves(parts[0]))
    rest = "" if gnu else _rest(text, found.others)  # copies of these differ in advice that names their relatives
    if (phrase := phrases_in(rest)) is not None:
        parts.append(phrase)
    if found.matches and _DEMANDS.search(rest):
        parts.append(Named(UNKNOWN))
    if parts:
        return all_of(parts)
    return None if aside or found.words <= _SHORT else Named(UNKNOWN)


def named(matches: Sequence[Match]) -> Expression | None:
    """Licences that were found in one text, together; exceptions go with the licence before them, or after."""
    parts: list[Named] = []
    waiting: list[str] = []
    for match in matches:
        for name in _chosen(match.ids):
            entry = table().licenses[name]
            if not entry.exception:
                bears = waiting and name.startswith(_BEARERS)
                parts.append(Named(SUCCESSORS.get(name, name), waiting.pop() if bears else None))
            elif parts and parts[-1].exception is None and (entry.permissive or parts[-1].id.startswith(_BEARERS)):
                parts[-1] = Named(parts[-1].id, name)
            else:
                waiting.append(name)
    if waiting:
        parts.append(Named(UNKNOWN))
    return all_of(parts) if parts else None


def _chosen(ids: tuple[str, ...]) -> list[str]:
    """One name for each text: where a text does not tell versions apart, the narrower one."""
    by_text: dict[tuple[int, ...], list[str]] = {}
    for name in ids:
        by_text.setdefault(table().licenses[name].texts, []).append(name)
    return [min(names, key=lambda name: (not name.endswith("-only"), len(name), name)) for names in by_text.values()]


def _rest(text: str, others: Sequence[tuple[int, int]]) -> str:
    """The parts of a text that are outside of its licences, in small letters."""
    text = cleaned(text)
    places = places_of(text)
    return " ".join(word for start, end in others for word in text[places[start] : places[end]].split())
