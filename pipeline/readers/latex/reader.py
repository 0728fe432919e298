"""Papers in LaTeX: single files, folders, arXiv's e-prints, and the archives in which arXiv gives e-prints out.

A paper is one record, however many files it is made of.
"""

import io
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import BinaryIO, ClassVar, Literal

from pipeline.readers import tar
from pipeline.readers.base import Reader, Record, Split, open_binary
from pipeline.readers.latex import papers
from pipeline.readers.latex.convert import convert
from pipeline.readers.latex.document import Files, Options
from pipeline.readers.latex.scanner import TooMuchExpansion
from pipeline.readers.records import PAYLOAD
from pipeline.readers.runs import Run, codec_of
from pipeline.readers.windows import Window, window

_NUMBER = r"(?:[a-z-]+(?:\.[A-Z]{2})?/?\d{7}|\d{4}\.\d{4,5})(?:v\d+)?"
_EPRINT = re.compile(rf"(?:^|/)({_NUMBER})(?:\.(?:tar\.gz|tgz|tar|gz|pdf|tex))?$")
_OLD = re.compile(r"([a-z-]+(?:\.[A-Z]{2})?)/?(\d{7})")


class LatexReader(Reader):
    r"""LaTeX as Markdown with its mathematics as TeX: .tex files, packed papers, and archives of packed papers.

    In a folder every .tex file that begins a document is one; what such files read in is counted as `part`. An archive
    is one paper, unless its first file is named by an arXiv identifier: then every file in it is an e-print. Only plain
    (not packed) archives of e-prints can be split. The offset is that of a member in its unpacked archive, else 0.

    What is drawn, lists of references, comments and the preamble are left out; macros with plain arguments are
    expanded, citations and references are printed as LaTeX prints them, labels of equations become \tag.
    """

    use: Literal["latex"] = "latex"
    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".ltx", ".latex", ".gz", ".tgz", ".tar", ".tar.zst", ".tar.lz4")
    signals: ClassVar[Mapping[str, type]] = {
        "files": int,
        "macros_expanded": int,
        "missing_inputs": int,
        "unresolved": int,
        "math_share": float,
    }
    units: ClassVar[Mapping[str, str]] = {
        "files": "files",
        "macros_expanded": "expansions",
        "missing_inputs": "files",
        "unresolved": "references and citations",
        "math_share": "share of characters",
    }

    captions: bool = True
    """Keep the captions of figures, tables and algorithms; figures themselves are always left out."""
    tables: bool = True
    """Keep tables, in Markdown."""
    citations: bool = True
    """Print citations as [3] or (Name, 2020) where the list of references is there; false leaves all of them out."""
    authors: bool = True
    """Print the authors below the title."""

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        if size > split_bytes:
            with open_binary(path) as file:
                raw = window(file)
                if codec_of(raw, path) is None and tar.is_header(raw.peek(0, tar.BLOCK)) and _holds_papers(raw):
                    return _member_splits(raw, path, size, split_bytes)
        return [Split(path, 0, size)] if size else []

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        with open_binary(split.path) as file:
            raw = window(file)
            codec = codec_of(raw, split.path)
            run = None if codec is None else Run(raw, codec, 0, lambda head: False)
            inner = raw if run is None else Window(run)
            archive = tar.is_header(inner.peek(0, tar.BLOCK))
            if archive and (split.start > 0 or _holds_papers(inner)):
                yield from self._members(inner, run, split, ignored)
            elif archive or run is not None:
                files, wrong = papers.unpack(window(file), split.path, self.max_record_bytes)
                yield self._named(split.path, self._paper(0, files, wrong))
            else:
                yield from self._plain(file, split, ignored)

    def _plain(self, file: BinaryIO, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        """A single .tex file: a paper with what lies beside it, or a part of one."""
        file.seek(0)
        data = file.read(self.max_record_bytes + 1)
        if len(data) > self.max_record_bytes:
            yield Record(0, html=data[:PAYLOAD], error="read.too_large")
        elif not data.strip():
            yield Record(0, drop="read.empty")
        elif papers.is_withdrawn(data):
            yield self._named(split.path, Record(0, drop="read.withdrawn"))
        elif not papers.is_tex(data):
            yield self._named(split.path, Record(0, drop="read.no_source"))
        else:
            folder = papers.Folder(split.path, self.max_record_bytes)
            if not papers.is_whole(data) and not self._lone(data, folder):
                ignored["part"] += 1
                return
            yield self._named(split.path, self._record(0, [folder.main], folder, folder.bibliography(), data))

    def _lone(self, data: bytes, folder: papers.Folder) -> bool:
        """Whether a subfile is a document of its own: its main file is not there, or does not read it in."""
        parent = papers.parent_of(data)
        return parent is not None and not any(folder.read_by(name) for name in (parent, f"{parent}.tex"))

    def _members(self, inner: Window, run: Run | None, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        """An archive of papers."""
        end = split.end if run is None else None
        last, told = 0, False
        for entry in tar.entries(inner, split.start, end):
            last, told = entry.start, entry.error is not None
            if entry.error is not None:
                yield Record(entry.offset, html=inner.peek(entry.offset, tar.BLOCK), error=f"read.{entry.error}")
            elif not entry.file:
                ignored["folder"] += 1
            elif not _EPRINT.search(entry.name):
                ignored["other"] += 1
            elif entry.size > self.max_record_bytes:
                yield self._named(entry.name, Record(entry.offset, html=b"", error="read.too_large"))
            else:
                data = inner.peek(entry.start, entry.size)
                if len(data) < entry.size:
                    what = run.damage.what if run is not None and run.damage is not None else "truncated"
                    yield self._named(entry.name, Record(entry.offset, html=data[:PAYLOAD], error=f"read.{what}"))
                    return
                yield self._named(entry.name, self._eprint(entry.offset, data))
        if run is not None and run.damage is not None and not told:
            yield Record(last + 1, html=b"", error=f"read.{run.damage.what}")

    def _eprint(self, offset: int, data: bytes) -> Record:
        if data.startswith(b"%PDF"):
            return Record(offset, drop="read.no_source")
        files, wrong = papers.unpack(window(io.BytesIO(data)), "", self.max_record_bytes)
        return self._paper(offset, files, wrong)

    def _paper(self, offset: int, files: dict[str, bytes], wrong: str | None) -> Record:
        first = next(iter(files.values()), b"")
        if wrong is not None:
            return Record(offset, html=first[:PAYLOAD], error=f"read.{wrong}")
        if len(files) == 1 and papers.is_withdrawn(first):
            return Record(offset, drop="read.withdrawn")
        mains = papers.main_files(files)
        if not mains or not any(papers.is_tex(files[main]) for main in mains):
            return Record(offset, drop="read.no_source")
        lists = [papers.read_text(files[name]) for name in sorted(files) if name.endswith(".bbl")]
        return self._record(offset, mains, papers.Archive(files), lists, files[mains[0]])

    def _record(self, offset: int, mains: list[str], files: Files, lists: list[str], data: bytes) -> Record:
        options = Options(self.captions, self.tables, self.citations, self.authors)
        try:
            made = [convert(main, files, options, lists) for main in mains]
        except TooMuchExpansion:
            return Record(offset, html=data[:PAYLOAD], error="read.expansion")
        text = "\n\n".join(paper.text for paper in made if paper.text)
        first = made[0]
        signals: dict[str, int | float] = {
            "files": sum(paper.files for paper in made),
            "macros_expanded": sum(paper.macros for paper in made),
            "missing_inputs": sum(paper.missing_inputs for paper in made),
            "unresolved": sum(paper.unresolved for paper in made),
            "math_share": first.math_share,
        }
        record = Record(offset, title=first.title or None, author=first.authors or None, signals=signals)
        return record._replace(text=text) if text.strip() else record._replace(drop="read.empty")

    def _named(self, path: str, record: Record) -> Record:
        """Add what an arXiv identifier in the name tells: the address, and the month of submission."""
        found = _EPRINT.search(path)
        if found is None:
            return record._replace(doc_id=posixpath.basename(path))
        number = found[1]
        if old := _OLD.match(number):
            number = number.replace(old[0], f"{old[1]}/{old[2]}", 1)
            digits = old[2]
        else:
            digits = number
        year, month = digits[:2], digits[2:4]
        century = "19" if int(year) >= 91 else "20"
        date = f"{century}{year}-{month}" if "01" <= month <= "12" else None
        return record._replace(doc_id=number, url=f"https://arxiv.org/abs/{number}", date=date)


def _holds_papers(raw: Window) -> bool:
    """Whether the first file of an archive is an e-print."""
    first = next((entry for entry in tar.entries(raw) if entry.file or entry.error), None)
    return first is not None and _EPRINT.search(first.name) is not None


def _member_splits(raw: Window, path: str, size: int, split_bytes: int) -> list[Split]:
    """Cut an archive where members begin."""
    splits: list[Split] = []
    begin = 0
    for entry in tar.entries(raw):
        if entry.error is None and entry.offset - begin >= split_bytes:
            splits.append(Split(path, begin, entry.offset))
            begin = entry.offset
    return [*splits, Split(path, begin, size)]
