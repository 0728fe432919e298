"""Parallel corpora rendered through templates, several pairs to a document."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from pipeline.readers.base import Reader, Record, Split, byte_splits, open_binary
from pipeline.readers.parallel.names import LANGUAGES
from pipeline.readers.parallel.pairs import Pair, Stream, memory, moses, table

_PACKED = (".gz", ".zst", ".lz4")
_PLACES = re.compile(r"\{(\w*)\}")
_KNOWN = ("source", "target", "source_name", "target_name")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_SYLLABLES = re.compile("[\uac00-\ud7af]")
_SMOOTHING = 10
_SECTION = 64


def _template(text: str) -> str:
    unknown = [name for name in _PLACES.findall(text) if name not in _KNOWN]
    if unknown or "{source}" not in text or "{target}" not in text:
        raise ValueError("a template needs {source} and {target}, and may have {source_name} and {target_name}")
    return text


class ParallelReader(Reader):
    """Parallel corpora: Moses (two files, line by line), TMX, and tables with tabs; each plain or packed.

    Of Moses the files are those of the source language, such as `corpus.en`; the target is the file of the same name
    with the target's language, `corpus.de`. Files of the target that a pattern finds too are not read twice.

    Pairs are joined to documents until these have `document_chars`; each gets the template that a hash of its first
    pair chooses. Every pair that is left out is a record of its own with the reason. The offset is that of the first
    pair, in bytes of the unpacked file (of Moses: of the source). Plain tables can be split.
    """

    use: Literal["parallel"] = "parallel"
    version: ClassVar[int] = 1
    signals: ClassVar[Mapping[str, type]] = {
        "source_language": str,
        "target_language": str,
        "pairs": int,
        "length_ratio": float,
        "template": int,
    }
    units: ClassVar[Mapping[str, str]] = {"pairs": "pairs", "length_ratio": "longer side / shorter side"}

    source: str = Field(min_length=2)
    """The language of the source, as in the names of files and in TMX: en, pt-BR."""
    target: str = Field(min_length=2)
    format: Literal["auto", "moses", "tmx", "tsv"] = "auto"
    """auto: by the suffix .tmx or .tsv, else Moses."""
    columns: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (0, 1)
    """Of a table: the places of source and target, from 0."""
    templates: tuple[Annotated[str, AfterValidator(_template)], ...] = Field(
        default=(
            "{source_name}: {source}\n{target_name}: {target}",
            "{target_name}: {target}\n{source_name}: {source}",
            "{source}\n{target}",
            "{target}\n{source}",
        ),
        min_length=1,
    )
    document_chars: int = Field(default=2000, ge=1)
    """Characters from which on a document takes no more pairs; 1: a document a pair."""
    separator: str = "\n\n"
    """Between the pairs of a document."""
    drop_identical: bool = True
    """Leave out pairs whose sides are the same but for case and white space: nothing was translated."""
    max_ratio: float = Field(default=4.0, ge=1)
    """Leave out pairs of which one side is longer by more than that factor. Ideographs count as three characters,
    Korean syllables as two, and 10 are added to each side, since short sentences differ more."""
    min_chars: int = Field(default=2, ge=1)
    max_chars: int = Field(default=10_000, ge=1)
    """Leave out pairs with a side that is shorter or longer."""

    def takes(self, name: str) -> bool:
        suffixes = (".tmx", ".tsv") if self.format == "auto" else (f".{self.format}",)
        if self.format in ("auto", "moses"):
            suffixes = (*suffixes, f".{self.source.lower()}")
        return name.endswith(tuple(suffix + packed for suffix in suffixes for packed in ("", *_PACKED)))

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        kind = self._kind(path)
        if kind == "moses":
            partner, other = (
                self._partner(path, self.source, self.target),
                self._partner(path, self.target, self.source),
            )
            if partner is None and other is None:
                raise ValueError(f"its name has no '.{self.source}', so the file in '{self.target}' is not known")
            try:
                open_binary(partner or other or "").close()
            except OSError:
                raise ValueError(f"the file with the other language is not there: {partner or other}") from None
            if partner is None:
                return []  # it is read with its source
        if kind == "tsv" and size > split_bytes:
            with open_binary(path) as file:
                packed = Stream(file, path).packed
            if not packed:
                section = self._section
                parts = byte_splits(path, -(-size // section), max(1, split_bytes // section))
                return [Split(path, part.start * section, min(size, part.end * section)) for part in parts]
        return [Split(path, 0, size)] if size else []

    @property
    def _section(self) -> int:
        """Bytes of a table within which pairs are joined: documents must not depend on how a file is split."""
        return 1 if self.document_chars == 1 else _SECTION * self.document_chars

    def _kind(self, path: str) -> str:
        name = path.lower()
        for packed in _PACKED:
            name = name.removesuffix(packed)
        return self.format if self.format != "auto" else {"tmx": "tmx", "tsv": "tsv"}.get(name[-3:], "moses")

    def _partner(self, path: str, source: str, target: str) -> str | None:
        """The other file of a Moses pair: the last `.en` of its name made `.de`."""
        folder, _, name = path.rpartition("/")
        parts = name.split(".")
        places = [index for index, part in enumerate(parts) if index and part == source]
        if not places:
            return None
        parts[places[-1]] = target
        return f"{folder}/{'.'.join(parts)}" if folder else ".".join(parts)

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        kind = self._kind(split.path)
        with open_binary(split.path) as file:
            stream = Stream(file, split.path, max(split.start - 1, 0) if kind == "tsv" else 0)
            limit = self.max_record_bytes
            if kind == "moses":
                partner = self._partner(split.path, self.source, self.target)
                assert partner is not None
                with open_binary(partner) as other:
                    yield from self._documents(moses(stream, Stream(other, partner), limit), None)
            elif kind == "tmx":
                yield from self._documents(memory(stream, (self.source, self.target), limit), None)
            else:
                section = None if stream.packed else self._section
                rows = table(stream, split.start, split.end, self.columns, limit)
                yield from self._documents(rows, section)

    def _documents(self, pairs: Iterator[Pair], section: int | None) -> Iterator[Record]:
        """Join pairs; a document ends with its section, where there are such."""
        held: list[Pair] = []
        size = 0
        for pair in pairs:
            if held and section is not None and pair.offset // section != held[0].offset // section:
                yield self._document(held)
                held, size = [], 0
            if pair.error is not None:
                yield Record(pair.offset, html=pair.data, error=f"read.{pair.error}")
                continue
            if (reason := self._reason(pair)) is not None:
                text = f"{pair.source}\n{pair.target}".strip() or None
                yield self._described(Record(pair.offset, text=text, drop=f"read.{reason}"), [pair])
                continue
            held.append(pair)
            size += len(pair.source) + len(pair.target)
            if size >= self.document_chars:
                yield self._document(held)
                held, size = [], 0
        if held:
            yield self._document(held)

    def _reason(self, pair: Pair) -> str | None:
        """Why a pair is no good, if it is not."""
        if not pair.source or not pair.target:
            return "empty_pair"
        if self.drop_identical and pair.source.casefold().split() == pair.target.casefold().split():
            return "identical"
        sizes = len(pair.source), len(pair.target)
        if min(sizes) < self.min_chars or max(sizes) > self.max_chars:
            return "length"
        return "length_ratio" if _ratio(pair) > self.max_ratio else None

    def _document(self, pairs: list[Pair]) -> Record:
        first = pairs[0]
        digest = hashlib.blake2b(f"{first.source}\0{first.target}".encode(), digest_size=8).digest()
        choice = int.from_bytes(digest, "big") % len(self.templates)
        names = {"source_name": _name(self.source), "target_name": _name(self.target)}
        texts = [
            _fill(self.templates[choice], {**names, "source": pair.source, "target": pair.target}) for pair in pairs
        ]
        record = Record(first.offset, text=self.separator.join(texts), language=self.source)
        return self._described(record, pairs, choice)

    def _described(self, record: Record, pairs: list[Pair], template: int | None = None) -> Record:
        worst = max(map(_ratio, pairs))
        return record._replace(
            signals={
                "source_language": self.source,
                "target_language": self.target,
                "pairs": len(pairs),
                "length_ratio": round(worst, 4),
                "template": template,
            }
        )


def _fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its places filled, whatever braces the texts have."""
    return _PLACES.sub(lambda place: values[place[1]], template)


def _name(language: str) -> str:
    return LANGUAGES.get(language.replace("_", "-").split("-")[0].lower(), language)


def _ratio(pair: Pair) -> float:
    """How much longer the longer side is, with 10 added to each."""
    first, second = _length(pair.source) + _SMOOTHING, _length(pair.target) + _SMOOTHING
    return max(first, second) / min(first, second)


def _length(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text) + 2 * len(_WIDE.findall(text)) + len(_SYLLABLES.findall(text))
