"""The licence that the metadata of a package declares: Python, npm, Cargo, Composer, Ruby, Maven, R, Haskell, Perl."""

import configparser
import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from email.parser import HeaderParser
from typing import Any, NamedTuple

from pipeline.licenses.expressions import Expression, all_of, any_of
from pipeline.licenses.names import expression_of

LARGEST = 1 << 20
"""Bytes of a file of metadata that are read."""


class Declared(NamedTuple):
    """What the metadata of a package says."""

    expression: Expression
    exact: bool
    """It is an SPDX expression or names one licence, not only a family such as BSD."""


def is_manifest(path: str) -> bool:
    """Whether a file by this name is metadata of a package that may name a licence."""
    return _reader(path) is not None


def declared_in(path: str, text: str) -> Declared | None:
    """The licence in the metadata; None if there is none, if it is unknown, or if the file is damaged."""
    reader = _reader(path)
    if reader is None:
        return None
    try:
        values = [value for value in reader(text[:LARGEST]) if isinstance(value, str)]
    except (ValueError, RecursionError, configparser.Error, KeyError, TypeError, AttributeError):
        return None  # damaged metadata declares nothing; the file itself is read as any other
    found = [expression for value in values if (expression := expression_of(value)) is not None]
    if not found:
        return None
    exact = [expression for expression in found if "LicenseRef-" not in str(expression)]
    return Declared((exact or found)[0] if len(values) == 1 else all_of(exact or found), bool(exact))


def _reader(path: str) -> Callable[[str], Iterable[Any]] | None:
    name = path.rpartition("/")[2]
    return _BY_NAME.get(name) or _BY_SUFFIX.get(posixpath.splitext(name)[1].lower())


def _pyproject(text: str) -> Iterable[Any]:
    values = tomllib.loads(text)
    project = values.get("project", {})
    license = project.get("license")
    if isinstance(license, Mapping):
        license = license.get("text") if "file" not in license else None
    if license is None:
        license = values.get("tool", {}).get("poetry", {}).get("license")
    return [license] if license else _classifiers(project.get("classifiers", []))


def _cargo(text: str) -> Iterable[Any]:
    values = tomllib.loads(text)
    return [values.get("package", {}).get("license") or values.get("workspace", {}).get("package", {}).get("license")]


def _setup_cfg(text: str) -> Iterable[Any]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    if not parser.has_section("metadata"):
        return []
    metadata = parser["metadata"]
    license = metadata.get("license_expression") or metadata.get("license")
    return [license] if license else _classifiers(metadata.get("classifiers", "").splitlines())


def _setup_py(text: str) -> Iterable[Any]:
    license = re.findall(r"\blicense(?:_expression)?\s*=\s*[\"']([^\"'\n]{1,200})[\"']", text)
    return license[:1] or _classifiers(re.findall(r"[\"'](License ::[^\"'\n]{1,200})[\"']", text))


def _core_metadata(text: str) -> Iterable[Any]:
    headers = HeaderParser().parsestr(text)
    if license := headers.get("License-Expression"):
        return [license]
    classified = list(_classifiers(headers.get_all("Classifier", [])))
    license = headers.get("License", "")
    if license and len(license) < 200 and expression_of(license) is not None:
        return [license]
    return classified


def _classifiers(lines: Iterable[Any]) -> Iterable[str]:
    for line in lines:
        parts = [part.strip() for part in str(line).split("::")]
        if parts[0] == "License" and parts[-1] != "OSI Approved":
            yield parts[-1]


def _json(text: str) -> Iterable[Any]:
    values = json.loads(text)
    if not isinstance(values, Mapping):
        return []
    license = values.get("license") or values.get("licenses")
    if isinstance(license, Mapping):
        license = license.get("type")
    if isinstance(license, list):  # a choice, in old files of npm and in those of Composer
        names = [entry.get("type") if isinstance(entry, Mapping) else entry for entry in license]
        found = [expression_of(name) for name in names if isinstance(name, str)]
        return [] if not found or None in found else [str(any_of(one for one in found if one is not None))]
    return [license]


def _patterns(*patterns: str) -> Callable[[str], Iterable[Any]]:
    compiled = [re.compile(pattern, re.MULTILINE | re.DOTALL) for pattern in patterns]

    def read(text: str) -> Iterable[Any]:
        return [found for pattern in compiled for found in pattern.findall(text)][:8]

    return read


_PYTHON_METADATA = _core_metadata
_BY_NAME: dict[str, Callable[[str], Iterable[Any]]] = {
    "pyproject.toml": _pyproject,
    "Cargo.toml": _cargo,
    "setup.cfg": _setup_cfg,
    "setup.py": _setup_py,
    "PKG-INFO": _PYTHON_METADATA,
    "METADATA": _PYTHON_METADATA,
    "package.json": _json,
    "bower.json": _json,
    "composer.json": _json,
    "META.json": _json,
    "pom.xml": _patterns(r"<license>\s*<name>([^<]{1,200})</name>"),
    "DESCRIPTION": _patterns(r"^License:[ \t]*([^\n]{1,200})"),
}
_BY_SUFFIX: dict[str, Callable[[str], Iterable[Any]]] = {
    ".gemspec": _patterns(r"\.licenses?\s*=\s*\[?\s*[\"']([^\"'\n]{1,200})[\"']"),
    ".podspec": _patterns(r"\.license\s*=\s*\{?\s*(?::type\s*=>\s*)?[\"']([^\"'\n]{1,200})[\"']"),
    ".cabal": _patterns(r"(?i:^license:)[ \t]*([^\n]{1,200})"),
    ".opam": _patterns(r"^license:\s*\"([^\"\n]{1,200})\""),
}
