"""What becomes of a file of a repository: text with what is known of it, or the reason why it is none."""

from dataclasses import dataclass

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from pipeline.licenses.expressions import Allowed
from pipeline.licenses.scopes import Licensed, Scopes
from pipeline.readers.code.binaries import is_binary, is_binary_name, read_text
from pipeline.readers.code.generated import is_generated, is_generated_name, is_minified, is_pointer
from pipeline.readers.code.languages import Language, language_by_name, language_of
from pipeline.readers.code.notebooks import read_notebook
from pipeline.readers.code.trees import File
from pipeline.readers.code.vendored import is_vendored

_LONGER = 16  # a notebook is mostly pictures, which are left out: so many times the size of a file may be read


class Drop(BaseModel):
    """Which files are left out; everything that is false stays in, as far as it is text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vendored: bool = True
    """Dependencies that a project carries with it: node_modules, vendor, third_party, jQuery and the like."""
    generated: bool = True
    """Lock files, output of protobuf and other generators, source maps, bundles, files that say so."""
    minified: bool = True
    unknown: bool = True
    """Files whose language nothing tells."""
    data_lines: int | None = Field(default=512, ge=1)
    """Data (JSON, YAML, CSV) with more lines (Lozhkov et al. 2024, StarCoder 2, section 2.1); null for none."""
    data_bytes: ByteSize | None = Field(default=ByteSize(64 << 10), ge=1)
    """The same by size."""
    larger: ByteSize = Field(default=ByteSize(1 << 20), ge=1)
    """Files over this size."""


@dataclass(frozen=True)
class Verdict:
    """A file that was judged."""

    file: File
    text: str | None = None
    charset: str | None = None
    language: Language | None = None
    licensed: Licensed | None = None
    drop: str | None = None
    """The end of the reason: `vendored`, `generated` and so on."""
    error: str | None = None


@dataclass(frozen=True)
class Judge:
    """The rules of a reader, with the licences of one tree."""

    drop: Drop
    allowed: Allowed
    unlicensed: bool
    languages: frozenset[str] | None
    kinds: frozenset[str]
    scopes: Scopes

    def wanted(self, path: str, size: int) -> int:
        """How many bytes of a file are needed: none of one that its name or size drops."""
        if self._by_name(path, size) is not None:
            return 0
        return self._limit(path) + 1

    def verdict(self, file: File) -> Verdict:
        """Judge a file; its bytes are there if they were wanted."""
        if file.error is not None:
            return Verdict(file, error=file.error)
        reason = self._by_name(file.path, file.size)
        if reason is not None or file.data is None:
            return Verdict(file, language=language_by_name(file.path), drop=reason or "large")
        data = file.data
        if len(data) > self._limit(file.path):
            return Verdict(file, language=language_by_name(file.path), drop="large")
        if is_pointer(data):
            return Verdict(file, drop="pointer")
        if is_binary(data):
            return Verdict(file, drop="binary")
        language = language_of(file.path, data)
        text, charset = read_text(data)
        licensed = self.scopes.of(file.path, text)
        found = Verdict(file, text, charset, language, licensed)
        reason = self._by_content(found, data)
        if reason is None and language is not None and language.name == "Jupyter Notebook":
            cells = read_notebook(text)
            if cells is None:
                return Verdict(file, language=language, licensed=licensed, error="notebook")
            found = Verdict(file, cells, charset, language, licensed)
            reason = "large" if len(cells) > self.drop.larger else None
        if reason is None and not (found.text or "").strip():
            reason = "empty"
        return found if reason is None else Verdict(file, None, charset, language, licensed, reason)

    def _limit(self, path: str) -> int:
        return self.drop.larger * (_LONGER if path.endswith(".ipynb") else 1)

    def _by_name(self, path: str, size: int) -> str | None:
        if not size:
            return "empty"
        if self.drop.vendored and is_vendored(path):
            return "vendored"
        if is_binary_name(path):
            return "binary"
        if self.drop.generated and is_generated_name(path):
            return "generated"
        if not self._is_wanted(language_by_name(path), sure=False):
            return "language"
        return "large" if size > self._limit(path) else None

    def _is_wanted(self, language: Language | None, *, sure: bool) -> bool:
        if language is None:
            return not (sure and (self.drop.unknown or self.languages is not None))
        return language.kind in self.kinds and (self.languages is None or language.name in self.languages)

    def _by_content(self, found: Verdict, data: bytes) -> str | None:
        language, path = found.language, found.file.path
        if found.licensed is None:
            if not self.unlicensed:
                return "unlicensed"
        elif not self.allowed(found.licensed.expression):
            return "license"
        if not self._is_wanted(language, sure=True):
            return "language"
        if self.drop.generated and is_generated(path, data):
            return "generated"
        if self.drop.minified and is_minified(language, data):
            return "minified"
        if language is not None and language.kind == "data" and path.rpartition("/")[2] not in _MANIFESTS:
            lines, size = self.drop.data_lines, self.drop.data_bytes
            if (lines is not None and data.count(b"\n") >= lines) or (size is not None and len(data) > size):
                return "data"
        return None


_MANIFESTS = frozenset({"package.json", "composer.json", "pom.xml", "Cargo.toml", "pyproject.toml"})
"""Data that says what a repository is; however long, there is one of it."""
