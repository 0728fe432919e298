"""Dumps of Wikipedia and of any other MediaWiki: pages as text, with what their markup tells as signals."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from lxml import etree
from pydantic import Field, field_validator

from pipeline.readers.base import Reader, Record, Split
from pipeline.readers.elements import element_splits, elements
from pipeline.readers.pieces import head_of
from pipeline.readers.records import PAYLOAD
from pipeline.readers.wikitext import Site, convert, site_of
from pipeline.readers.wikitext.patterns import problem

_HEAD = 1 << 16  # wikis with many namespaces say 20 kB of themselves
_LARGEST = 8 << 20
"""Characters of wikitext; MediaWiki itself saves no page of over 2 MiB."""
_REDIRECT = re.compile(r"\s*#redirect\b", re.IGNORECASE)
_LIST = re.compile(
    r"(?:Lists? of|Liste d[eu']|Liste der|Liste von|Lista d[eioa]|Lijst van|Lista över|Seznam|Список)\b"
    r"|.*(?:一覧|列表|목록)$"
)
_COUNTS = {
    "links": "links to other pages that are seen",
    "external_links": "links to other sites",
    "references": "notes",
    "templates": "templates",
    "holes": "templates amid text of which nothing is known",
    "images": "images and other media",
    "categories": "categories",
    "language_links": "links to other languages",
    "tables": "tables",
    "formulas": "formulas",
    "sections": "headings that are kept",
}


class WikipediaReader(Reader):
    """XML dumps of MediaWiki, plain or packed with bzip2 ("multistream" or not), gzip or zstd: their current pages.

    Wikitext becomes Markdown with the title as its first heading: templates, references, images and categories are
    gone but for what is read in a sentence, tables and lists are kept, formulas stay TeX. Of a page with many revisions
    the last is taken. Redirects, and pages that are no wikitext, are dropped with a reason; pages of other namespaces
    are counted.

    A plain file is cut at any byte, one packed with bzip2 between its streams; other packed files are one split. The
    offset of a record is that of its page in a plain file; in a packed one it is the offset of the stream in which the
    page begins, times 2**20, and the number of the page among those that begin there.
    """

    use: Literal["wikipedia"] = "wikipedia"
    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".xml",)
    renders_html: ClassVar[bool] = True
    signals: ClassVar[Mapping[str, type]] = {
        "namespace": int,
        "bytes": int,
        **dict.fromkeys(_COUNTS, int),
        "disambiguation": bool,
        "stub": bool,
        "list": bool,
        "quality": str,
    }
    units: ClassVar[Mapping[str, str]] = {
        "namespace": "number",
        "bytes": "bytes of wikitext",
        **_COUNTS,
        "disambiguation": "whether the page only tells meanings of its title apart",
        "stub": "whether the page says that it is too short",
        "list": "whether the title says that it is a list",
        "quality": "featured or good, if the page says so",
    }

    namespaces: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Those to read: 0 has the articles; the talk page of a namespace is its number plus 1."""
    back_matter: bool = False
    """Keep sections that only list sources and other pages, such as `External links`."""
    templates: Mapping[str, str] = {}
    """What is seen of templates, by name: `{1}` and `{name}` are arguments, `{name|1}` the first of these that is not
    empty, and `[...]` is left out if an argument in it is empty. An empty text shows nothing."""

    @field_validator("templates")
    @classmethod
    def _patterns(cls, templates: Mapping[str, str]) -> Mapping[str, str]:
        for pattern in templates.values():
            if (wrong := problem(pattern)) is not None:
                raise ValueError(wrong)
        return {" ".join(name.replace("_", " ").lower().split()): pattern for name, pattern in templates.items()}

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        head = head_of(path, _HEAD) if size else b""
        if head and b"<mediawiki" not in head and b"<page>" not in head:
            raise ValueError("no dump of a MediaWiki in UTF-8: it has no <mediawiki> at its beginning")
        return element_splits(path, size, split_bytes)

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        site = site_of(head_of(split.path, _HEAD))
        for element in elements(split, b"<page>", b"</page>", self.max_record_bytes):
            if element.error is not None:
                yield Record(element.offset, html=element.data, error=f"read.{element.error}")
            elif (record := self._record(element.offset, element.data, site, ignored)) is not None:
                yield record

    def _record(self, offset: int, data: bytes, site: Site, ignored: Counter[str]) -> Record | None:
        try:
            # A parser for each page, since one keeps the names that it has seen. Without a DTD there are no entities.
            page = etree.fromstring(
                data, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True, encoding="utf-8")
            )
        except etree.XMLSyntaxError:
            return Record(offset, html=data[:PAYLOAD], error="read.xml")
        namespace = _number(page.findtext("ns"))
        if namespace is not None and namespace not in self.namespaces:
            ignored["namespace"] += 1
            return None
        title = (page.findtext("title") or "").strip()
        revisions = page.findall("revision")
        if not title or not revisions:
            return Record(offset, html=data[:PAYLOAD], error="read.page")
        revision = revisions[-1]
        record = Record(
            offset,
            url=site.url(title),
            date=revision.findtext("timestamp"),
            language=site.language,
            doc_id=page.findtext("id"),
            title=title,
            license=site.license,
        )
        source = revision.findtext("text") or ""
        if page.find("redirect") is not None or _REDIRECT.match(source):
            return record._replace(drop="read.redirect")
        if (revision.findtext("model") or "wikitext") != "wikitext":
            return record._replace(drop="read.content_type")
        if len(source) > _LARGEST:
            return record._replace(html=data[:PAYLOAD], error="read.too_large")
        if not source.strip():
            return record._replace(drop="read.empty")
        try:
            found = convert(
                source,
                site,
                title,
                namespace=namespace or 0,
                templates=self.templates,
                back_matter=self.back_matter,
            )
        except MemoryError:
            return record._replace(html=data[:PAYLOAD], error="read.too_large")
        signals: dict[str, int | float | bool | str | None] = {
            "namespace": namespace or 0,
            "bytes": len(source.encode()),
            **{name: found.counts[name] for name in _COUNTS},
            "disambiguation": "disambiguation" in found.marks,
            "stub": "stub" in found.marks,
            "list": _LIST.match(title) is not None,
            "quality": next((mark for mark in ("featured", "good") if mark in found.marks), None),
        }
        record = record._replace(signals=signals)
        if "\n" not in found.text:
            return record._replace(drop="read.empty")  # nothing but the title
        return record._replace(text=found.text)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\s*-?\d{1,9}\s*", text) else None
