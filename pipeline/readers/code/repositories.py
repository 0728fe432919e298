"""A repository as one document: its files one after the other, each under a line with its path."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pipeline.licenses.expressions import Expression, all_of
from pipeline.readers.code.judgement import Verdict
from pipeline.readers.code.order import dependency_order


@dataclass
class Document:
    """Files of a repository, joined."""

    text: str
    number: int
    """Of the first file, in the order of the tree."""
    paths: list[str] = field(default_factory=list)
    languages: dict[str, int] = field(default_factory=dict)
    licenses: list[Expression] = field(default_factory=list)
    by: set[str] = field(default_factory=set)

    @property
    def license(self) -> str | None:
        """All licences of its files together."""
        return str(all_of(self.licenses)) if self.licenses else None

    @property
    def language(self) -> str | None:
        """The one that most of the text is in."""
        return max(self.languages, key=lambda name: (self.languages[name], name)) if self.languages else None


def documents(files: Iterable[Verdict], header: str, limit: int) -> Iterator[Document]:
    """Join files in the order of their imports; a repository of over `limit` bytes becomes several documents, between
    files. The numbers of documents are those of files that stand in no other document."""
    found = {verdict.file.path: verdict for verdict in files}
    order = dependency_order(
        {
            path: (verdict.language.name if verdict.language else "", verdict.text or "")
            for path, verdict in found.items()
        }
    )
    parts: list[str] = []
    group: list[Verdict] = []
    size = 0
    for path in order:
        verdict = found[path]
        text = verdict.text or ""
        part = f"{header.replace('{path}', path)}{text if text.endswith(chr(10)) else text + chr(10)}"
        added = len(part.encode("utf-8", "replace")) + 1  # the empty line between files
        if group and size + added > limit:
            yield _joined(parts, group)
            parts, group, size = [], [], 0
        parts.append(part)
        group.append(verdict)
        size += added
    if group:
        yield _joined(parts, group)


def _joined(parts: list[str], group: list[Verdict]) -> Document:
    document = Document("\n".join(parts), min(verdict.file.number for verdict in group))
    for verdict in group:
        document.paths.append(verdict.file.path)
        if verdict.language is not None:
            name = verdict.language.name
            document.languages[name] = document.languages.get(name, 0) + len(verdict.text or "")
        if verdict.licensed is not None:
            document.licenses.append(verdict.licensed.expression)
            document.by.add(verdict.licensed.by)
    return document
