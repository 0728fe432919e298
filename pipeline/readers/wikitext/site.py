"""What a dump says of its wiki: language, addresses, names of namespaces, licence."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from lxml import etree

_INFO = re.compile(rb"<siteinfo>.*?</siteinfo>", re.DOTALL)
_LANGUAGE = re.compile(rb"<mediawiki\b[^>]*?\bxml:lang=\"([\w-]+)\"")
_CANONICAL = {
    "media": -2,
    "special": -1,
    "talk": 1,
    "user": 2,
    "user talk": 3,
    "project": 4,
    "project talk": 5,
    "file": 6,
    "image": 6,
    "file talk": 7,
    "image talk": 7,
    "mediawiki": 8,
    "mediawiki talk": 9,
    "template": 10,
    "template talk": 11,
    "help": 12,
    "help talk": 13,
    "category": 14,
    "category talk": 15,
}
"""Names that every wiki understands, beside its own (mediawiki.org, Help:Namespaces)."""

_SHARE_ALIKE = frozenset(
    {"wikipedia", "wiktionary", "wikibooks", "wikiquote", "wikisource", "wikiversity", "wikivoyage"}
)
"""Projects whose text has been under CC BY-SA 4.0 since June 2023 (Wikimedia Foundation, Terms of Use, section 7)."""


class Site(NamedTuple):
    language: str | None
    pages: str | None
    """The address of a page, up to its title."""
    namespaces: Mapping[str, int]
    """Number of a namespace by its names, in lower case."""

    def url(self, title: str) -> str | None:
        """The address of a page, written as MediaWiki does."""
        return self.pages and self.pages + quote(title.replace(" ", "_"), safe=";@$!*(),/~:")

    @property
    def license(self) -> str | None:
        """The licence of projects of Wikimedia; None for other wikis."""
        parts = (urlsplit(self.pages or "").hostname or "").split(".")
        return "CC-BY-SA-4.0" if parts[-1] == "org" and _SHARE_ALIKE.intersection(parts[-2:]) else None

    def namespace(self, name: str) -> int | None:
        """The number of a namespace; None if there is none of that name."""
        return self.namespaces.get(name.strip(" _").replace("_", " ").lower())


def site_of(head: bytes) -> Site:
    """Read the first bytes of a dump; what it does not say is None, and namespaces have their English names then."""
    language = _LANGUAGE.search(head)
    namespaces = dict(_CANONICAL)
    base = None
    if (found := _INFO.search(head)) is not None:
        try:
            info = etree.fromstring(found[0], etree.XMLParser(resolve_entities=False, no_network=True))
        except etree.XMLSyntaxError:
            info = etree.Element("siteinfo")
        base = info.findtext("base")
        for entry in info.iterfind("namespaces/namespace"):
            if entry.text and re.fullmatch(r"-?\d{1,9}", key := entry.get("key") or ""):
                namespaces[entry.text.lower()] = int(key)
    # The address is that of the main page, whatever it is called.
    pages = re.match(r"(https?://.*[/=])", base or "")
    return Site(language[1].decode() if language else None, pages[1] if pages else None, namespaces)
