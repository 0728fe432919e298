"""The places that the compiled pass noted in a page, decoded where somebody asks for them."""

import re
from collections.abc import Iterator
from functools import cached_property
from html import unescape
from html.entities import html5

import numpy as np

from pipeline.extract import metadata_kernels as kernels

_LONGEST_KEY = 64
_LONGEST_VALUE = 4096
"""Bytes of a name, and of a value, that are read."""

_DUBLIN_CORE = ("dc:", "dcterms:")  # both marks are in use

_REFERENCE = re.compile(r"&(#[0-9]++;?|#[xX][0-9a-fA-F]++;?|[A-Za-z][A-Za-z0-9]*+(?:;|(?!=)))")
_TWICE = re.compile(r"&(?:#\w{1,8}|[A-Za-z]{2,8});")
_TAG = re.compile(r"<(/?)([A-Za-z0-9]*)[^<>]*>?")
_NEXT_HEADING = re.compile(rb"</?h[1-6]", re.IGNORECASE)  # any end tag of a heading ends any heading
_IN_LINE = frozenset(
    "a abbr b bdi bdo big cite code em font i kbd mark q s small span strong sub sup tt u var wbr".split()
)
_UNSEEN = frozenset("script style svg template button".split())
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\xad\ud800-\udfff]")
"""And halves of surrogate pairs, which escapes in JSON-LD may be."""
_NAME = re.compile(
    r"""<(?=[^<>]*>)[^<>]*\bitemprop\s*=\s*["']?name\b(?:[^<>]*\bcontent\s*=\s*["']([^"'<>]*))?[^<>]*>([^<]*)""",
    re.IGNORECASE,
)


class Notes:
    """What a page in UTF-8 says where; broken bytes become U+FFFD."""

    def __init__(self, page: bytes) -> None:
        rows = np.empty((int(kernels.ROOM.sum()), kernels.COLUMNS), np.int64)
        count = kernels.find(np.frombuffer(page, np.uint8), kernels.ROOM, np.empty(kernels.SCRATCH, np.int64), rows)
        self._rows: dict[int, list[tuple[str, bytes, bool]]] = {}
        for kind, key, key_end, value, value_end, is_content in rows[:count].tolist():
            end = value_end if kind == kernels.SCRIPT else min(value_end, value + _LONGEST_VALUE)
            name = page[key : min(key_end, key + _LONGEST_KEY)].decode("utf-8", "replace").strip().lower()
            if name.startswith(_DUBLIN_CORE):
                name = name.replace(":", ".", 1)
            self._rows.setdefault(kind, []).append((name, page[value:end], bool(is_content)))

    @cached_property
    def _meta(self) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for name, value, _ in self._rows.get(kernels.META, ()):
            found.setdefault(name, []).append(value)
        return found

    def meta(self, *names: str) -> Iterator[str]:
        """What meta tags of these names say, in the order of the names; nothing empty."""
        for name in names:
            for value in self._meta.get(name, ()):
                if text := plain(attribute(value)):
                    yield text

    def items(self, *names: str) -> Iterator[str]:
        """What microdata says of the properties of these names, in the order of the names; nothing empty."""
        for name in names:
            for key, value, is_content in self._rows.get(kernels.ITEM, ()):
                if key == name and (text := _item(value) if is_content else plain(attribute(value))):
                    yield text

    def links(self, relation: str) -> Iterator[str]:
        """Addresses of links of a relation, as they are written."""
        for relations, value, _ in self._rows.get(kernels.LINK, ()):
            if relation in relations.split():
                yield attribute(value).strip()

    @cached_property
    def headings(self) -> list[str]:
        """Texts of the first h1; nothing empty."""
        found = (_NEXT_HEADING.split(value, maxsplit=1)[0] for _, value, _ in self._rows.get(kernels.HEADING, ()))
        return [text for value in found if (text := content(value))]

    @cached_property
    def title(self) -> str | None:
        """Text of the title."""
        for _, value, _ in self._rows.get(kernels.TITLE, ()):
            return plain(unescape(_decoded(value))) or None
        return None

    @property
    def authors(self) -> Iterator[str]:
        """Texts of links to authors."""
        return self._contents(kernels.AUTHOR)

    @property
    def languages(self) -> Iterator[str]:
        return self._attributes(kernels.LANGUAGE)

    @property
    def times(self) -> Iterator[str]:
        return self._attributes(kernels.TIME)

    @property
    def item_types(self) -> Iterator[str]:
        return self._attributes(kernels.ITEM_TYPE)

    @property
    def base(self) -> str | None:
        return next(self._attributes(kernels.BASE), None)

    @property
    def scripts(self) -> Iterator[bytes]:
        """Contents of scripts that should be JSON-LD."""
        return (value for _, value, _ in self._rows.get(kernels.SCRIPT, ()))

    def _attributes(self, kind: int) -> Iterator[str]:
        return (text for _, value, _ in self._rows.get(kind, ()) if (text := attribute(value).strip()))

    def _contents(self, kind: int) -> Iterator[str]:
        return (text for _, value, _ in self._rows.get(kind, ()) if (text := content(value)))


def _decoded(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def attribute(value: bytes) -> str:
    """Decode the value of an attribute, where `&copy=1` is no reference to a character, and `&copyright` neither."""
    text = _decoded(value)
    return _REFERENCE.sub(_referred, text) if "&" in text else text


def _referred(found: re.Match[str]) -> str:
    if found[1][0] == "#":
        return unescape(found[0])
    return html5.get(found[1], found[0])


def content(value: bytes) -> str:
    """Return the text of markup: what is in line stays together, everything else is apart."""
    text = _decoded(value)
    if "<" in text:
        text = "".join(_without_tags(text))
    return plain(unescape(text))


def _without_tags(text: str) -> Iterator[str]:
    at, unseen = 0, ""
    for tag in _TAG.finditer(text):
        closes, name = tag[1], tag[2].lower()
        if not unseen:
            yield text[at : tag.start()]
            if name not in _IN_LINE and not tag[0].startswith("<!"):
                yield " "
            if name in _UNSEEN and not closes and not tag[0].endswith("/>"):
                unseen = name
        elif closes and name == unseen:
            unseen = ""
        at = tag.end()
    if not unseen:
        yield text[at:]


def _item(value: bytes) -> str:
    """The text of an item, or of the `name` in it where it is a thing."""
    if found := _NAME.search(_decoded(value)):
        return plain(unescape(found[1] or found[2]))
    return content(value)


def plain(text: str) -> str:
    """Return a value as text of one line: many pages escape it twice, or leave markup in it. A long one is cut."""
    text = text[:_LONGEST_VALUE]
    if "&" in text and _TWICE.search(text):
        text = unescape(text)
    if "<" in text:
        text = "".join(_without_tags(text))
    return " ".join(_CONTROLS.sub("", text).split())
