"""Source code: folders, git repositories and archives, file by file or a repository at a time.

A folder given as a path is one repository, whatever is in it: `repos/*` names the repositories in a folder.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ByteSize, Field

from pipeline.configfile import nearest
from pipeline.licenses.expressions import Allowed
from pipeline.licenses.scopes import Scopes, tells_license
from pipeline.readers.base import Reader, Record, Split
from pipeline.readers.code.archives import ZIP, is_archive
from pipeline.readers.code.binaries import read_text
from pipeline.readers.code.git import GitTree, git_folder
from pipeline.readers.code.judgement import Drop, Judge, Verdict
from pipeline.readers.code.languages import KINDS, Kind, language_named, languages
from pipeline.readers.code.repositories import documents
from pipeline.readers.code.tars import TarTree
from pipeline.readers.code.trees import FolderTree, Tree, Unreadable, cuts
from pipeline.readers.code.zips import ZipTree
from pipeline.readers.records import PAYLOAD

_EARLY_BYTES = 1 << 20


def _known(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The languages as linguist writes them."""
    found = []
    for name in names or ():
        language = language_named(name)
        if language is None:
            raise ValueError(f"unknown language '{name}'; {nearest(name, list(languages().by_name))}")
        found.append(language.name)
    return tuple(found) if names is not None else None


def _wanted_licenses(names: tuple[str, ...]) -> tuple[str, ...]:
    Allowed(names)
    return names


def _with_path(header: str) -> str:
    if "{path}" not in header:
        raise ValueError("a header names the file: write {path} into it")
    return header


class CodeReader(Reader):
    """Source code with its path, language and licence: from folders, git repositories (the files of one commit), and
    archives (zip, wheels, tar packed with gzip, zstd, bzip2, xz or lz4).

    A record is a file, and its offset the file's number in its repository; with `context: repository` it is a
    repository, or a part of a large one, and its offset the lowest number of its files. Folders, git repositories and
    zip archives are cut between files, a tar archive is one split. Every file is accounted for: as a record with a
    text, with the reason why it is left out, or with an error; of `context: repository`, what is left out is counted.
    """

    use: Literal["code"] = "code"
    version: ClassVar[int] = 1
    signals: ClassVar[Mapping[str, type]] = {
        "repository": str,
        "revision": str,
        "path": str,
        "language": str,
        "kind": str,
        "license_by": str,
        "files": int,
    }
    units: ClassVar[Mapping[str, str]] = {
        "kind": "programming, markup, data or prose",
        "license_by": "file, license, metadata or readme",
        "files": "files",
    }

    context: Literal["file", "repository"] = "file"
    licenses: Annotated[tuple[str, ...], AfterValidator(_wanted_licenses)] = ("permissive",)
    """SPDX identifiers, patterns such as `BSD-*`, `any`, and the lists `permissive` (that of The Stack v2) and
    `blue_oak`."""
    unlicensed: bool = False
    """Keep files for which no licence is found."""
    languages: Annotated[tuple[str, ...] | None, AfterValidator(_known)] = None
    """By linguist's names or aliases; null for all."""
    kinds: tuple[Kind, ...] = KINDS
    drop: Drop = Drop()
    revision: str = Field(default="HEAD", pattern=r"^[A-Za-z0-9_][\w./-]*$")
    """Of git repositories: the commit, branch or tag that is read."""
    header: Annotated[str, AfterValidator(_with_path)] = "=== {path} ===\n"
    """What stands above each file with `context: repository`."""
    document_bytes: ByteSize = Field(default=ByteSize(4 << 20), ge=1 << 10)
    """With `context: repository`, where the text of a larger repository is cut, between files."""

    def takes_folder(self, path: str) -> tuple[int, str]:
        """The size of a folder, and what changes when a file in it does: it is read as one input (see `inputs`)."""
        try:
            tree = self._folder(path)
        except Unreadable as unreadable:
            return 1, str(unreadable)
        with closing(tree):
            return sum(tree.sizes()), tree.stamp()

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        if not size:
            return []
        try:
            tree = self._opened(path)
        except Unreadable:
            return [Split(path, 0, 1)]
        with closing(tree):
            sizes = tree.sizes()
            if sizes is None:
                return [Split(path, 0, size)]
            if self.context == "repository" or not sizes:
                return [Split(path, 0, max(1, len(sizes)))]
            return [Split(path, start, end) for start, end in cuts(sizes, split_bytes)]

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        try:
            tree = self._opened(split.path)
        except Unreadable as unreadable:
            yield Record(0, html=b"", error=f"read.{unreadable}")
            return
        with closing(tree):
            judge = self._judge(tree)
            verdicts = self._verdicts(tree, judge, split, ignored)
            if self.context == "file":
                for verdict in verdicts:
                    yield self._record(tree, verdict)
            else:
                yield from self._repository(tree, verdicts, ignored)

    def _folder(self, path: str) -> FolderTree | GitTree:
        if "://" in path:
            raise ValueError("a folder at a URL cannot be read; name archives there")
        folder = git_folder(path)
        return FolderTree(path, _early) if folder is None else GitTree(path, _early, folder, self.revision)

    def _opened(self, path: str) -> Tree:
        if "://" not in path and Path(path).is_dir():
            return self._folder(path)
        if not is_archive(path):
            raise ValueError("no folder and no archive of source code")
        return ZipTree(path, _early) if path.lower().endswith(ZIP) else TarTree(path, _early)

    def _judge(self, tree: Tree) -> Judge:
        scopes = Scopes()
        for file in tree.early():
            scopes.add(file.path, None if file.data is None else read_text(file.data)[0])
        names = None if self.languages is None else frozenset(self.languages)
        return Judge(self.drop, Allowed(self.licenses), self.unlicensed, names, frozenset(self.kinds), scopes)

    def _verdicts(self, tree: Tree, judge: Judge, split: Split, ignored: Counter[str]) -> Iterator[Verdict]:
        for file in tree.walk(judge.wanted, split.start, split.end):
            if file.other is not None:
                ignored[file.other] += 1
            else:
                yield judge.verdict(file)

    def _record(self, tree: Tree, verdict: Verdict) -> Record:
        file, language, licensed = verdict.file, verdict.language, verdict.licensed
        record = Record(
            file.number,
            text=verdict.text if verdict.error is None else None,
            date=tree.date,
            charset=verdict.charset,
            doc_id=f"{tree.name}/{file.path}" if file.path else tree.name,
            license=None if licensed is None else str(licensed.expression),
            signals={
                "repository": tree.name,
                "revision": tree.revision,
                "path": file.path or None,
                "language": None if language is None else language.name,
                "kind": None if language is None else language.kind,
                "license_by": None if licensed is None else licensed.by,
            },
        )
        if verdict.error is not None:
            return record._replace(html=(file.data or b"")[:PAYLOAD], error=f"read.{verdict.error}")
        return record if verdict.drop is None else record._replace(drop=f"read.{verdict.drop}")

    def _repository(self, tree: Tree, verdicts: Iterator[Verdict], ignored: Counter[str]) -> Iterator[Record]:
        kept = []
        for verdict in verdicts:
            if verdict.error is not None:
                yield self._record(tree, verdict)
            elif verdict.drop is not None:
                ignored[verdict.drop] += 1
            else:
                kept.append(verdict)
        for document in documents(kept, self.header, self.document_bytes):
            yield Record(
                document.number,
                text=document.text,
                date=tree.date,
                doc_id=tree.name,
                license=document.license,
                signals={
                    "repository": tree.name,
                    "revision": tree.revision,
                    "path": document.paths[0] if len(document.paths) == 1 else None,
                    "language": document.language,
                    "kind": None if document.language is None else languages().by_name[document.language].kind,
                    "license_by": "; ".join(sorted(document.by)) or None,
                    "files": len(document.paths),
                },
            )


def _early(path: str, size: int) -> int:
    """How much of a file is needed to know the licences of a tree."""
    return _EARLY_BYTES if 0 < size <= _EARLY_BYTES and tells_license(path) else 0
