"""The licence of each file of a source tree: its own, else that of the nearest folder above it that has one."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from pipeline.licenses.expressions import UNKNOWN, Expression, Named, all_of, leaves
from pipeline.licenses.files import is_aside, is_license_file, license_of
from pipeline.licenses.manifests import Declared, declared_in, is_manifest
from pipeline.licenses.notices import notice_in
from pipeline.licenses.phrases import phrases_in

_README = ("readme", "readme.md", "readme.rst", "readme.txt", "readme.markdown", "readme.org", "readme.adoc")
_AFTER_HEADING = 600
_SHORT = 600


class Licensed(NamedTuple):
    """The licence of a file, and where it was found."""

    expression: Expression
    by: str
    """`file` for its own text, `license` for a licence file, `metadata` of the package, `readme`."""


def tells_license(path: str) -> bool:
    """Whether the content of a file by this name is needed to know the licences of a tree."""
    name = path.rpartition("/")[2].lower()
    return is_license_file(path) or is_manifest(path) or name in _README or name.endswith(".license")


class Scopes:
    """The licences of a tree, from those of its files that `tells_license` names; paths have `/` between folders."""

    def __init__(self) -> None:
        self._own: dict[str, Expression] = {}
        self._folders: dict[str, _Folder] = defaultdict(_Folder)
        self._judged: dict[str, Licensed | None] = {}

    def add(self, path: str, text: str | None) -> None:
        """Take note of a file; without a text it was too large to be read, and its licence is unknown."""
        self._judged.clear()
        if path.endswith(".license"):  # REUSE: for a file beside it that has no comments
            if (own := notice_in(text or "")) is not None:
                self._own[path.removesuffix(".license")] = own
        elif is_license_file(path):
            found = Named(UNKNOWN) if text is None else license_of(text, aside=is_aside(path))
            if found is not None:
                short = text is not None and len(text) < _SHORT and found == Named(UNKNOWN)
                self._folders[_folder(path)].found.append((path, found, short))
        elif is_manifest(path):
            if text is not None and (declared := declared_in(path, text)) is not None:
                self._folders[_folder(path)].declared.append((path, declared))
        elif text is not None and (named := _in_readme(text)) is not None:
            self._folders[_folder(path)].readme = named

    def of(self, path: str, text: str) -> Licensed | None:
        """The licence of the file at `path` with this text; None if nothing says one."""
        if own := self._own.get(path) or notice_in(text):
            return Licensed(own, "file")
        folder = path.rpartition("/")[0] or "."
        if folder not in self._judged:
            self._judged[folder] = self._nearest(folder)
        return self._judged[folder]

    def root(self) -> Licensed | None:
        """The licence of the tree as a whole."""
        return self._nearest(".")

    def _nearest(self, folder: str) -> Licensed | None:
        for place in (folder, *map(str, PurePosixPath(folder).parents)):
            if place in self._folders and (found := self._folders[place].licensed()) is not None:
                return found
        return None


@dataclass
class _Folder:
    """What the files of one folder say; each with the path of the file that says it."""

    found: list[tuple[str, Expression, bool]] = field(default_factory=list)
    """Licence files; and whether it is a short text that is no licence."""
    declared: list[tuple[str, Declared]] = field(default_factory=list)
    readme: Expression | None = None

    def licensed(self) -> Licensed | None:
        """What they say together."""
        declared = self._metadata()
        sure = any(not short for _, _, short in self.found)
        # A short text beside licences says which of them is for what.
        found = [expression for _, expression, short in sorted(self.found, key=_path) if not (short and sure)]
        if not found:
            if declared is not None:
                return Licensed(declared.expression, "metadata")
            return None if self.readme is None else Licensed(self.readme, "readme")
        if declared is not None and declared.exact:
            if _covers(declared.expression, found):
                return Licensed(declared.expression, "license")  # it also tells choice from sum
            found.append(declared.expression)
        return Licensed(_without_companions(all_of(found)), "license")

    def _metadata(self) -> Declared | None:
        if not self.declared:
            return None
        found = [declared for _, declared in sorted(self.declared, key=_path)]
        exact = [declared for declared in found if declared.exact]
        return Declared(all_of(declared.expression for declared in exact or found), bool(exact))


def _path(entry: tuple[Any, ...]) -> str:
    return str(entry[0])


def _folder(path: str) -> str:
    """The folder whose files a licence file is about."""
    folder = PurePosixPath(path).parent
    if folder.name.lower() in ("licenses", "licences", "license"):
        folder = folder.parent
    if folder.name.endswith((".dist-info", ".egg-info")):
        folder = folder.parent
    return str(folder)


def _covers(declared: Expression, found: list[Expression]) -> bool:
    """Whether the metadata speaks of what the licence files have: of the first licence of each.

    What follows in a file are the licences of parts of others, which have their own in the tree.
    """
    names = {leaf.id.removesuffix("-only").removesuffix("-or-later") for leaf in leaves(declared)}
    firsts = [next(leaves(expression)).id for expression in found]
    return all(first.removesuffix("-only").removesuffix("-or-later") in names for first in firsts)


def _without_companions(expression: Expression) -> Expression:
    """Without the GPL that the LGPL is an addition to, and that stands beside it in COPYING."""
    parts = list(leaves(expression))
    if any(part.id.startswith("LGPL-3") for part in parts):
        kept = [part for part in parts if not part.id.startswith("GPL-3")]
        return all_of(kept)
    return expression


def _in_readme(text: str) -> Expression | None:
    """The licence in the section of a README that is about it."""
    low = text.lower()
    at = -1
    for heading in (
        "# license",
        "# licence",
        "# licensing",
        "\nlicense\n",
        "\nlicence\n",
        "\nlicensing\n",
        "== license",
    ):
        at = low.rfind(heading) if at < 0 else at
    if at < 0:
        return None
    section = text[at : at + _AFTER_HEADING].split("\n", 2)
    body = "\n".join(section[1:]) if len(section) > 1 else ""
    body = body.split("\n#", 1)[0]
    return phrases_in(f"license {body}")
