"""What a page says about itself: title, author, date, language, address, licences, site and type.

A compiled pass notes the few tags that may say so (`metadata_kernels`), and only those are read here. That costs a
small part of what building a tree does; the price is that of the visible text nothing is looked at but headings and
links to authors.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

import polars as pl

from pipeline.extract import json_ld
from pipeline.extract.dates import day, day_in_path, searched
from pipeline.extract.json_ld import Linked, Thing
from pipeline.extract.notes import Notes, plain
from pipeline.extract.page_type import page_type

Dates = Literal["said", "full"]
"""Only what tags and the address say of dates; or, where they say nothing, htmldate's search through the page, too."""


class Metadata(NamedTuple):
    """What a page says about itself; None where it says nothing."""

    title: str | None = None
    """The main heading where the page declares it in some form, else what it declares without the name of the site."""
    author: str | None = None
    """Names, with `; ` between them."""
    date: str | None = None
    """The day of publication as YYYY-MM-DD; where only a later change is dated, the day of that."""
    language: str | None = None
    """As declared, in the form of BCP 47: `en`, `pt-BR`, `zh-Hant`."""
    canonical_url: str | None = None
    licenses: str | None = None
    """Addresses, with a space between them."""
    site: str | None = None
    page_type: str | None = None
    """One of `page_type.TYPES`."""
    broken_json: int = 0
    """Scripts of JSON-LD that are no JSON."""


LONGEST_NAME = 512
"""Characters of a title, of all authors, of a site's name; what is longer is cut."""
LONGEST_URL = 2048
"""Characters; a longer address is none."""
_LONGEST_AUTHOR = 128
_MOST_AUTHORS = 16
_MOST_LICENSES = 8

_ARTICLES = frozenset(
    "article newsarticle blogposting reportagenewsarticle analysisnewsarticle opinionnewsarticle backgroundnewsarticle "
    "reviewnewsarticle satiricalarticle advertisercontentarticle liveblogposting scholarlyarticle techarticle "
    "medicalscholarlyarticle socialmediaposting discussionforumposting question report recipe howto review".split()
)
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|[0-9]{3}))?(?:[-_.@].*)?", re.ASCII)
_SEPARATOR = re.compile(r"\s(?:[|·•»«›‹–—-]|::)\s|[|｜]")
_BY = re.compile(r"\A(?:(?:written|posted|words|article|story)\s+)?by\b[:\s]*", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"\w+")
_SPACE = re.compile(r"\s")

_TITLES = "og:title twitter:title citation_title dc.title dcterms.title parsely-title headline title".split()
_AUTHORS = (
    "author article:author citation_author dc.creator dcterms.creator parsely-author byl sailthru.author authors "
    "creator og:author book:author".split()
)
_PUBLISHED = (
    "article:published_time citation_publication_date citation_date parsely-pub-date sailthru.date dc.date.issued "
    "dcterms.issued dcterms.created dc.date.created dc.date dcterms.date datepublished rnews:datepublished pubdate "
    "publishdate publish-date publish_date publication_date bt:pubdate ptime og:published_time "
    "og:article:published_time article.published article_date_original displaydate originalpublicationdate "
    "cxenseparse:recs:publishtime date created".split()
)
_CHANGED = (
    "article:modified_time og:updated_time dcterms.modified dc.date.modified datemodified last-modified lastmod "
    "revised".split()
)


def metadata(html: bytes | str, url: str | None = None, dates: Dates = "said") -> Metadata:
    """Return what a page says about itself.

    Args:
        html: the page; bytes are UTF-8, and no bytes fail.
        url: its address, against which others are resolved.
        dates: how hard to look for a date.
    """
    page = html.encode("utf-8", "replace") if isinstance(html, str) else html
    notes = Notes(page)
    linked = json_ld.read(notes.scripts)
    main = _main(linked.things)
    site = _site(notes, linked, main)
    address = _split(url)
    date = _date(notes, main, address)
    if date is None and dates == "full":
        date = searched(page, url)
    items = [(named.rstrip("/").rpartition("/")[2].lower(),) for named in notes.item_types]
    things = [*(json_ld.types(thing) for thing in linked.things), *items]
    return Metadata(
        title=_title(notes, main, site),
        author=_author(notes, linked, main, site),
        date=date,
        language=_language(notes, main),
        canonical_url=_canonical(notes, url),
        licenses=_licenses(notes, linked, url),
        site=site,
        page_type=page_type(things, next(notes.meta("og:type"), None), notes.meta("generator"), address),
        broken_json=linked.broken,
    )


def table(
    pages: Sequence[bytes | str | None], urls: Sequence[str | None] | None = None, dates: Dates = "said"
) -> pl.DataFrame:
    """Return a column for each field of `Metadata`, a row for each page; nulls for a page that is None."""
    addresses = [None] * len(pages) if urls is None else urls
    nothing = (None,) * len(Metadata._fields)
    rows = [nothing if page is None else metadata(page, url, dates) for page, url in zip(pages, addresses, strict=True)]
    schema = {name: pl.Int64 if name == "broken_json" else pl.String for name in Metadata._fields}
    return pl.DataFrame(rows, schema, orient="row")


def _main(things: Sequence[Thing]) -> Sequence[Thing]:
    """Articles, postings and questions; without one, all that is described."""
    return [thing for thing in things if not _ARTICLES.isdisjoint(json_ld.types(thing))] or things


def _said(things: Sequence[Thing], *keys: str) -> Iterator[str]:
    """What things have under these keys, in the order of the keys; nothing empty."""
    for key in keys:
        for thing in things:
            if (value := json_ld.first(thing.get(key))) and (text := plain(value)):
                yield text


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _title(notes: Notes, main: Sequence[Thing], site: str | None) -> str | None:
    declared = [*notes.meta("og:title"), *_said(main, "headline"), *notes.meta(*_TITLES[1:]), *notes.items("headline")]
    if notes.title:
        declared.append(notes.title)
    said = [f"{_words(title)} " for title in declared]
    headings = [heading for heading in notes.headings if site is None or _words(heading) != _words(site)]
    for heading in headings:
        words = f"{_words(heading)} "
        if words != " " and any(_is_title(words, title) for title in said):
            return heading[:LONGEST_NAME]
    if len(headings) == 1 and _rewords(headings[0], said):
        return headings[0][:LONGEST_NAME]
    return next((_without_site(title, site)[:LONGEST_NAME] for title in [*declared, *headings]), None)


def _is_title(heading: str, declared: str) -> bool:
    """Whether a heading is how a declared title starts, or most of it."""
    return declared.startswith(heading) or (f" {heading}" in f" {declared}" and 2 * len(heading) >= len(declared))


def _rewords(heading: str, said: Sequence[str]) -> bool:
    """Whether a heading says what is declared in other words, and not in some of them as the name of a section does."""
    words = _words(heading)
    if any(f" {words} " in f" {title}" for title in said):
        return False
    return not said or any(not set(words.split()).isdisjoint(title.split()) for title in said)


def _without_site(title: str, site: str | None) -> str:
    """The first part of a title that is not the site's name."""
    parts = (part.strip() for part in _SEPARATOR.split(title))
    return next((part for part in parts if part and (site is None or _words(part) != _words(site))), title)


def _author(notes: Notes, linked: Linked, main: Sequence[Thing], site: str | None) -> str | None:
    """The names in the first source that has any; organisations, and the site itself, only if there is no other."""
    by = next((said for thing in main if (said := thing.get("author") or thing.get("creator"))), None)
    persons, organisations = json_ld.names(by, linked)
    # Later items and links are the authors of comments, and of other articles.
    first_item, first_link = islice(notes.items("author", "creator"), 1), islice(notes.authors, 1)
    instead = None
    for names in (persons, notes.meta(*_AUTHORS), first_item, first_link, organisations):
        found: dict[str, str] = {}
        for name in (_BY.sub("", plain(name)) for name in names):
            if len(name) <= _LONGEST_AUTHOR and _LETTER.search(name) and "://" not in name and name[0] != "@":
                found.setdefault(_words(name), name)
        text = "; ".join(islice(found.values(), _MOST_AUTHORS))[:LONGEST_NAME]
        if text and (site is None or list(found) != [_words(site)]):
            return text
        instead = instead or text or None
    return instead


def _date(notes: Notes, main: Sequence[Thing], url: SplitResult | None) -> str | None:
    sources = (
        _said(main, "datePublished", "dateCreated", "uploadDate"),
        notes.meta(*_PUBLISHED),
        notes.items("datepublished", "datecreated"),
        [] if url is None else [day_in_path(url.path) or ""],
        notes.times,
        _said(main, "dateModified"),
        notes.meta(*_CHANGED),
    )
    return next((found for source in sources for text in source if (found := day(text))), None)


def _language(notes: Notes, main: Sequence[Thing]) -> str | None:
    sources = (
        notes.languages,
        notes.meta("content-language", "language", "dc.language", "dcterms.language"),
        _said(main, "inLanguage"),
        notes.items("inlanguage"),
        notes.meta("og:locale"),
    )
    for text in (text for source in sources for text in source):
        if (found := _LANGUAGE.fullmatch(text.replace(";", ",").partition(",")[0].strip())) and found[1] != "und":
            parts = (found[1].lower(), (found[2] or "").title(), (found[3] or "").upper())
            return "-".join(part for part in parts if part)
    return None


def _canonical(notes: Notes, url: str | None) -> str | None:
    links = (link for source in (notes.links("canonical"), notes.meta("og:url")) for link in source)
    return next((address for link in links if (address := _absolute(link, notes.base, url))), None)


def _licenses(notes: Notes, linked: Linked, url: str | None) -> str | None:
    links = (
        *notes.links("license"),
        *notes.items("license"),
        *notes.meta("dcterms.license", "dcterms.rights", "dc.rights", "cc:license"),
        *(address for thing in linked.things for address in json_ld.addresses(thing.get("license"))),
    )
    # What is no address at all, such as a note of copyright, must not become one below the page's own.
    found = dict.fromkeys(_absolute(link, notes.base, url) for link in links if not _SPACE.search(link))
    return " ".join(islice((address for address in found if address), _MOST_LICENSES)) or None


def _site(notes: Notes, linked: Linked, main: Sequence[Thing]) -> str | None:
    sites = [thing for thing in linked.things if "website" in json_ld.types(thing)]
    publishers = (name for thing in main for names in json_ld.names(thing.get("publisher"), linked) for name in names)
    sources = (
        notes.meta("og:site_name"),
        _said(sites, "name"),
        map(plain, publishers),
        notes.meta("application-name", "dc.publisher", "citation_journal_title"),
    )
    return next((name[:LONGEST_NAME] for source in sources for name in source if name), None)


def _split(url: str | None) -> SplitResult | None:
    try:
        return urlsplit(url) if url else None
    except ValueError:
        return None


def _absolute(link: str, base: str | None, url: str | None) -> str | None:
    """The whole address of a link of the web, None if it is none."""
    if len(link) > LONGEST_URL:
        return None
    try:
        if url:
            link = urljoin(urljoin(url, base) if base else url, link)
        parts = urlsplit(link)
        address = _SPACE.sub("%20", parts.geturl())
        address.encode()  # no half of a surrogate pair
    except ValueError:
        return None
    return address if parts.scheme in ("http", "https") and parts.netloc and len(address) <= LONGEST_URL else None
