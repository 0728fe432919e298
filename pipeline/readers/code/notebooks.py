"""Jupyter notebooks as Markdown: their text, and their code in fences; outputs and settings are left out."""

import json
import re
from collections.abc import Mapping
from typing import Any

_RUNS = re.compile(r"`{3,}")


def read_notebook(text: str) -> str | None:
    """The cells of a notebook, format 3 or 4; None if it is damaged or none. Cells without text are left out."""
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(notebook, Mapping):
        return None
    language = _language(notebook)
    cells = notebook.get("cells")
    if cells is None:  # format 3
        sheets = notebook.get("worksheets")
        cells = [cell for sheet in sheets for cell in _list(sheet, "cells")] if isinstance(sheets, list) else None
    if not isinstance(cells, list):
        return None
    parts = [part for cell in cells if isinstance(cell, Mapping) and (part := _cell(cell, language))]
    return "\n\n".join(parts) + "\n" if parts else ""


def _cell(cell: Mapping[str, Any], language: str) -> str:
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str) or not (source := source.strip("\n").rstrip()):
        return ""
    kind = cell.get("cell_type")
    if kind == "heading":
        level = cell.get("level")
        return f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {source}"
    if kind != "code":
        return source
    magic = re.match(r"%%(\w+)", source)
    named = (
        magic[1]
        if magic and magic[1] in ("bash", "html", "javascript", "latex", "perl", "ruby", "sh", "sql")
        else language
    )
    fence = max([2, *map(len, _RUNS.findall(source))]) + 1
    return f"{'`' * fence}{named}\n{source}\n{'`' * fence}"


def _language(notebook: Mapping[str, Any]) -> str:
    metadata = notebook.get("metadata")
    for key, field in (("language_info", "name"), ("kernelspec", "language")):
        about = metadata.get(key) if isinstance(metadata, Mapping) else None
        name = about.get(field) if isinstance(about, Mapping) else None
        if isinstance(name, str) and re.fullmatch(r"[\w+#.-]{1,30}", name):
            return name.lower()
    return "python"


def _list(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, list) else []
