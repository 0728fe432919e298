"""EPUB: the documents of a book in the order in which they are read, as Markdown, and what its package says of it.

Formats: EPUB 3.3 (W3C 2023), Open Publication Format 2.0.1 (IDPF 2010), Open Container Format 3.0.
"""

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import unquote

from lxml import etree

from pipeline.extract.page import whole_text
from pipeline.readers.encoding import decode

_DOCUMENTS = frozenset(("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"))
_FONT_ONLY = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
"""Algorithms that only make fonts unusable elsewhere (EPUB 3.3, section 4.4); what else is encrypted cannot be read."""
_NOT_TEXT = frozenset(("cover", "toc", "landmarks", "page-list", "loi", "lot", "copyright-page-image", "index-toc"))
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_EMPTY = re.compile(r"<([A-Za-z][A-Za-z0-9:]*)((?:\s[^<>]*)?)/>")
_PAGE_NUMBER = re.compile(
    r"<(span|div|a|p)\b[^<>]{0,300}?(?:pagebreak|class=\"[^\"<>]{0,100}page-?(?:num|no))[^<>]{0,300}>[^<>]{0,20}"
    r"(?:<a\b[^<>]{0,300}>[^<>]{0,20}</a>\s{0,5})?</\1>",
    re.IGNORECASE,
)
_NOTE = re.compile(r"(<a\b[^<>]{0,300}?noteref[^<>]{0,300}>\s{0,20}(?:<sup\b[^<>]{0,300}>)?)([^<>\[\]\s]{1,8})(?=<)")
_LINK = re.compile(
    r"<a\b[^<>]{0,300}?\bhref\s?=\s?[\"'](?!https?:)[^<>]{0,500}>((?:[^<]|<(?!/a>)){0,500})</a>", re.IGNORECASE
)
_TAG = re.compile(r"<[^<>]*>")
_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
_LISTED = 5
_LISTED_SHARE = 0.7


class EpubError(Exception):
    """Why a file is no book that can be read; `what` is the end of the reason."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Part(NamedTuple):
    """One document of a book."""

    text: str
    error: str | None = None
    """Why it could not be read."""


class Book(NamedTuple):
    title: str | None
    authors: str | None
    language: str | None
    date: str | None
    rights: str | None
    identifier: str | None
    url: str | None
    parts: list[Part]


def read_epub(file: BinaryIO, limit: int) -> Book:
    """Return a book; raises EpubError where there is none.

    Args:
        limit: bytes that its documents may unpack to in all.
    """
    try:
        archive = _Archive(zipfile.ZipFile(file), limit)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, EOFError, OSError):
        raise EpubError("zip") from None
    package_path = _package_path(archive)
    package = _parse(archive.read(package_path))
    if package is None:
        raise EpubError("package")
    base = posixpath.dirname(package_path)
    manifest = {}
    for item in _all(package, "item"):
        path = _resolve(base, item.get("href", ""))
        manifest[item.get("id", "")] = (path, item.get("media-type", ""), item.get("properties", "").split())
    spine = [manifest[ref] for item in _all(package, "itemref") if (ref := item.get("idref", "")) in manifest]
    if not spine:
        raise EpubError("package")
    locked = _encrypted(archive)
    if any(path in locked for path, _, _ in spine):
        raise EpubError("encrypted")
    labels, skipped = _navigation(archive, package, base, manifest)
    parts = []
    for path, kind, properties in dict.fromkeys((path, kind, tuple(rest)) for path, kind, rest in spine):
        if path not in skipped and "nav" not in properties and kind in _DOCUMENTS:
            parts.append(_part(archive, path, labels.get(path)))
    return Book(**_metadata(package), parts=[part for part in parts if part.text or part.error])


class _Archive:
    """Members of a zip file, all together of bounded size."""

    def __init__(self, file: zipfile.ZipFile, limit: int) -> None:
        self._file, self._left = file, limit
        self.names = {info.filename: info for info in file.infolist()}
        self._folded = {name.lower(): info for name, info in self.names.items()}

    def has(self, name: str) -> bool:
        return name in self.names

    def read(self, name: str) -> bytes:
        """The bytes of a member; raises EpubError where it is not there, damaged, encrypted or too large."""
        info = self.names.get(name) or self._folded.get(name.lower())
        if info is None:
            raise EpubError("missing_member")
        if info.flag_bits & 1:
            raise EpubError("encrypted")
        if info.file_size > self._left:
            raise EpubError("too_large")
        try:
            with self._file.open(info) as member:
                data = member.read(self._left + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError):
            raise EpubError("corrupt") from None
        self._left -= len(data)
        if self._left < 0:
            raise EpubError("too_large")
        return data


def _parse(data: bytes) -> Any:
    """The root of an XML document, mended where it can be; None if there is none. Entities are left unexpanded."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _all(root: Any, name: str) -> Iterator[Any]:
    """Elements by their name, in whatever namespace."""
    return iter(root.iter(f"{{*}}{name}"))


def _resolve(base: str, href: str) -> str:
    """The path of a member that a document in `base` names; nothing if it leads out of the archive."""
    path = posixpath.normpath(posixpath.join(base, unquote(href.partition("#")[0])))
    return "" if path.startswith(("..", "/")) else path


def _package_path(archive: _Archive) -> str:
    if archive.has("META-INF/container.xml"):
        root = _parse(archive.read("META-INF/container.xml"))
        for rootfile in _all(root, "rootfile") if root is not None else ():
            if path := _resolve("", rootfile.get("full-path", "")):
                return path
    found = sorted(name for name in archive.names if name.lower().endswith(".opf"))
    if not found:
        raise EpubError("package")
    return found[0]


def _encrypted(archive: _Archive) -> set[str]:
    """The members that a reader without a key cannot read."""
    if not archive.has("META-INF/encryption.xml"):
        return set()
    root = _parse(archive.read("META-INF/encryption.xml"))
    found = set()
    for entry in _all(root, "EncryptedData") if root is not None else ():
        algorithm = next((method.get("Algorithm", "") for method in _all(entry, "EncryptionMethod")), "")
        if algorithm not in _FONT_ONLY:
            found |= {_resolve("", reference.get("URI", "")) for reference in _all(entry, "CipherReference")}
    return found


def _navigation(
    archive: _Archive, package: Any, base: str, manifest: dict[str, tuple[str, str, list[str]]]
) -> tuple[dict[str, str], set[str]]:
    """What the table of contents calls each document, and the documents that are covers and tables themselves."""
    labels: dict[str, str] = {}
    skipped: set[str] = set()
    for reference in _all(package, "reference"):
        if reference.get("type", "").lower() in _NOT_TEXT:
            skipped.add(_resolve(base, reference.get("href", "")))
    for path, kind, properties in manifest.values():
        is_nav, is_ncx = "nav" in properties, kind == "application/x-dtbncx+xml"
        if not (is_nav or is_ncx) or not archive.has(path):
            continue
        try:
            root = _parse(archive.read(path))
        except EpubError:
            continue  # without it the book has no labels, and nothing else is lost
        if root is None:
            continue
        folder = posixpath.dirname(path)
        if is_ncx:
            for point in _all(root, "navPoint"):
                label = " ".join("".join(text.itertext()) for text in point.findall("{*}navLabel"))
                for content in point.findall("{*}content"):
                    labels.setdefault(_resolve(folder, content.get("src", "")), " ".join(label.split()))
            continue
        for nav in _all(root, "nav"):
            kinds = nav.get("{http://www.idpf.org/2007/ops}type", "").split()
            for anchor in _all(nav, "a"):
                target = _resolve(folder, anchor.get("href", ""))
                if "landmarks" in kinds:
                    if _NOT_TEXT.intersection(anchor.get("{http://www.idpf.org/2007/ops}type", "").split()):
                        skipped.add(target)
                elif "toc" in kinds:
                    labels.setdefault(target, " ".join("".join(anchor.itertext()).split()))
    return labels, skipped


def _part(archive: _Archive, path: str, label: str | None) -> Part:
    try:
        text = text_of(decode(archive.read(path))[0])
    except EpubError as error:
        if error.what in ("too_large", "encrypted"):
            raise
        return Part("", error.what)
    except MemoryError as error:
        raise EpubError("too_large") from error
    if text and label and not _HEADING.search(text[:1000]):
        first = text.split("\n", 1)[0]
        same = first.strip().casefold() == label.casefold()
        text = f"## {first}{text[len(first) :]}" if same else f"## {label}\n\n{text}"
    return Part(text)


def text_of(page: str) -> str:
    """The Markdown of an XHTML document; nothing for one that is a list of links into the book."""
    page = _EMPTY.sub(lambda tag: tag[0] if tag[1].lower() in _VOID else f"<{tag[1]}{tag[2]}></{tag[1]}>", page)
    page = _NOTE.sub(r"\1[\2]", _PAGE_NUMBER.sub("", page))
    text = whole_text(page, "markdown").strip()
    links = [_TAG.sub("", link) for link in _LINK.findall(page)]
    if len(links) >= _LISTED and sum(len("".join(link.split())) for link in links) >= _LISTED_SHARE * len(
        "".join(text.split())
    ):
        return ""
    return text


def _metadata(package: Any) -> dict[str, str | None]:
    def values(name: str) -> list[str]:
        found = (" ".join("".join(element.itertext()).split()) for element in _all(package, name))
        return [value for value in found if value]

    creators = [
        " ".join("".join(element.itertext()).split())
        for element in _all(package, "creator")
        if element.get("{http://www.idpf.org/2007/opf}role", "aut") == "aut"
    ]
    identifiers = values("identifier")
    rights = values("rights") or [
        element.get("href") for element in _all(package, "link") if element.get("rel") == "dcterms:rights"
    ]
    languages = values("language")
    dates = values("date")
    return {
        "title": next(iter(values("title")), None),
        "authors": "; ".join(dict.fromkeys(filter(None, creators))) or None,
        "language": languages[0].split("-")[0].split("_")[0].lower() if languages else None,
        "date": dates[0] if dates else None,
        "rights": next(filter(None, rights), None),
        "identifier": identifiers[0] if identifiers else None,
        "url": next((value for value in identifiers if value.startswith(("http://", "https://"))), None),
    }
