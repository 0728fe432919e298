"""How the table of languages is made from linguist's, which GitHub uses; not needed to read code.

    python -m pipeline.readers.code.make_languages linguist-languages-9.5.0.tgz

The package, as npm fetches it, has linguist's languages.yml as JavaScript objects, one file a language. Names,
extensions, file names and interpreters are facts; linguist is under the MIT License, copyright GitHub, Inc.
"""

import ast
import hashlib
import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

from pipeline.readers.code.languages import TABLE

_SHA256 = "395ac8b6c5df87b6d0a92b7557c4046685f5b00e6abeaecbb6945195eb233c8d"
_KEY = re.compile(r"^(\s*)(\w+):", re.MULTILINE)
_FIELDS = ("extensions", "filenames", "interpreters", "aliases")


def make(package: Path) -> str:
    """The table as JSON, a language a line; raises ValueError for another package than the one it was made from."""
    if hashlib.sha256(package.read_bytes()).hexdigest() != _SHA256:
        raise ValueError(f"{package}: not the package that the table is made from")
    rows = {}
    with tarfile.open(package) as archive:
        for member in archive:
            if re.fullmatch(r"package/data/[^/]+\.m?js", member.name) and (file := archive.extractfile(member)):
                entry = _parsed(file.read().decode())
                lists = [sorted(set(entry.get(field, ()))) for field in _FIELDS]
                while lists and not lists[-1]:
                    lists.pop()
                rows[entry["name"]] = [entry["type"], *lists]
    lines = ",\n".join(
        f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in sorted(rows.items())
    )
    return f"{{\n{lines}\n}}\n"


def _parsed(script: str) -> dict[str, Any]:
    body = script[script.index("{") : script.rindex("}") + 1]
    body = _KEY.sub(r'\1"\2":', body).replace(": true,", ": True,").replace(": false,", ": False,")
    entry: dict[str, Any] = ast.literal_eval(body)
    return entry


if __name__ == "__main__":
    text = make(Path(sys.argv[1]))
    TABLE.write_text(text, encoding="utf-8")
    print(f"{TABLE.name}: {text.count(chr(10)) - 2} languages, {len(text)} bytes")
