"""The compiled pass that finds where a page says something about itself: its title, its authors, its date and so on.

It knows neither tree nor nesting: it steps from tag to tag, over comments, scripts and the like, and notes where the
values stand. So it is linear in the page, and what it notes is bounded for each kind of tag; more of one kind than
there is room for is passed over.
"""

import numpy as np

from filters.hashing import U64, Bytes, Ints, inlined, kernel
from pipeline.extract.tag_bytes import (
    comment_end,
    contains,
    end_tag,
    ends_name,
    is_letter,
    is_space,
    next_byte,
    packed,
    word,
)

KINDS = (
    LANGUAGE,
    TITLE,
    HEADING,
    META,
    LINK,
    BASE,
    TIME,
    SCRIPT,
    ITEM,
    ITEM_TYPE,
    AUTHOR,
) = range(11)
"""`lang` of html; title and h1, with their content; meta (its `name`, `property` or `http-equiv`, and `content`); link
and a of some kinds (`rel` and `href`); `href` of base; `datetime` of time; content of scripts in JSON-LD; `itemprop` of
some names, with its value; `itemtype`; content of links to authors."""

ROOM = np.array([1, 1, 4, 512, 32, 1, 4, 64, 64, 16, 8], np.int64)
"""How many of each kind are noted."""
KIND, KEY, KEY_END, VALUE, VALUE_END, IS_CONTENT = range(6)
COLUMNS = 6
"""Of what is noted: its kind, first byte and end of its key, of its value, and whether that may hold tags."""

LONGEST_CONTENT = 4096
"""Bytes of a heading, an author or a title that are looked at."""

_LESS, _MORE, _SLASH, _BANG, _HYPHEN, _EQUALS, _QUESTION = b"<>/!-=?"
_QUOTE, _APOSTROPHE = b"\"'"
_OTHER = U64(0xFFFFFFFFFFFFFFFF)
"""In place of a name longer than any that counts."""


_HTML, _H1, _META, _LINK, _BASE, _A, _TIME = (
    word(name) for name in ("html", "h1", "meta", "link", "base", "a", "time")
)
_SCRIPT, _STYLE, _TITLE, _TEXTAREA, _IFRAME, _XMP, _SVG = (
    word(name) for name in ("script", "style", "title", "textarea", "iframe", "xmp", "svg")
)
_ATTRIBUTES = (
    "name",
    "property",
    "itemprop",
    "http-equiv",
    "content",
    "rel",
    "href",
    "lang",
    "type",
    "datetime",
    "itemtype",
)
_NAME, _PROPERTY, _ITEMPROP, _EQUIV, _CONTENT, _REL, _HREF, _LANG, _TYPE, _DATETIME, _ITEMTYPE = range(11)
_WORDS = np.array([word(name) for name in _ATTRIBUTES], np.uint64)
_SIZES = np.array([len(name) for name in _ATTRIBUTES], np.int64)
_MOST_ATTRIBUTES = len(_ATTRIBUTES)
_ITEMS = ("author", "creator", "headline", "datepublished", "datecreated", "inlanguage", "license", "publisher")
_ITEM_WORDS = np.array([word(name) for name in _ITEMS], np.uint64)
_ITEM_SIZES = np.array([len(name) for name in _ITEMS], np.int64)
_LD_JSON, _CANONICAL, _LICENSE, _AUTHOR, _OF_AUTHOR, _OF_AUTHORS = (
    np.frombuffer(name, np.uint8)
    for name in (b"ld+json", b"canonical", b"license", b"author", b"/author/", b"/authors/")
)
_LONGEST_WORDS = 256
"""Bytes of a `rel`, a `type` or an address in which words are looked for."""

SCRATCH = 2 * _MOST_ATTRIBUTES + len(KINDS)


@kernel
def find(data: Bytes, room: Ints, scratch: Ints, out: Ints) -> int:
    """Note where a page says something about itself.

    Args:
        data: the page in UTF-8, well-formed or not.
        room: shape [len(KINDS)], how many of each kind may be noted.
        scratch: shape [SCRATCH].
        out: shape [sum of room, COLUMNS], written.

    Returns:
        how many rows of `out` are written, in the order of the page.
    """
    values = scratch[: 2 * _MOST_ATTRIBUTES]
    counts = scratch[2 * _MOST_ATTRIBUTES :]
    for kind in range(len(room)):
        counts[kind] = 0
    at, last, found = 0, len(data), 0
    in_svg = False
    while True:
        at = next_byte(data, at, last, _LESS)
        if at + 1 >= last:
            return found
        mark = data[at + 1]
        if mark == _BANG and at + 3 < last and data[at + 2] == data[at + 3] == _HYPHEN:
            at = comment_end(data, at + 4, last)
            continue
        if mark == _SLASH or mark == _BANG or mark == _QUESTION:
            if packed(data, at + 2, last, 3) == _SVG:
                in_svg = False
            at = next_byte(data, at, last, _MORE)
            continue
        at += 1
        if not is_letter(mark):
            continue
        first = at
        while at < last and not ends_name(data[at]):
            at += 1
        size = at - first
        name = packed(data, first, last, size) if size <= 8 else _OTHER
        at, seen = _attributes(data, at, last, values)
        # What is in a tag that the page's end cuts off is not noted: a browser does not see the tag either.
        if at > last:
            return found
        found = _note(data, name, first, size, at, last, seen, values, in_svg, room, counts, out, found)
        if name == _SVG:
            in_svg = True
        elif _is_raw(name) and not (in_svg and name == _TITLE):
            at = end_tag(data, at, last, name, size)


@kernel
def _note(
    data: Bytes,
    name: np.uint64,
    first: int,
    size: int,
    at: int,
    last: int,
    seen: int,
    values: Ints,
    in_svg: bool,
    room: Ints,
    counts: Ints,
    out: Ints,
    found: int,
) -> int:
    """Note what a start tag holds; `at` is behind it, `seen` has a bit an attribute. Return how many rows exist."""
    if name == _META:
        if _has(seen, _CONTENT):
            for key in (_NAME, _PROPERTY, _EQUIV):
                if _has(seen, key):
                    found = _add(META, key, _CONTENT, values, room, counts, out, found)
    elif name == _LINK or name == _A:
        if _has(seen, _HREF):
            rel = _has(seen, _REL)
            begin, end = values[2 * _REL], min(values[2 * _REL + 1], values[2 * _REL] + _LONGEST_WORDS)
            if rel and (
                contains(data, begin, end, _LICENSE) or (name == _LINK and contains(data, begin, end, _CANONICAL))
            ):
                found = _add(LINK, _REL, _HREF, values, room, counts, out, found)
            elif name == _A and counts[AUTHOR] < room[AUTHOR]:
                to, to_end = values[2 * _HREF], min(values[2 * _HREF + 1], values[2 * _HREF] + _LONGEST_WORDS)
                if (rel and contains(data, begin, end, _AUTHOR)) or _is_of_author(data, to, to_end):
                    found = _add_content(data, AUTHOR, -1, name, size, at, last, values, room, counts, out, found)
    elif name == _SCRIPT:
        if _has(seen, _TYPE):
            begin, end = values[2 * _TYPE], min(values[2 * _TYPE + 1], values[2 * _TYPE] + _LONGEST_WORDS)
            if contains(data, begin, end, _LD_JSON) and counts[SCRIPT] < room[SCRIPT]:
                close = end_tag(data, at, last, name, size)
                found = _row(SCRIPT, 0, 0, at, close, 1, counts, out, found)
    elif name == _TITLE:
        if not in_svg:
            found = _add_content(data, TITLE, -1, name, size, at, last, values, room, counts, out, found)
    elif name == _H1:
        found = _add_content(data, HEADING, -1, name, size, at, last, values, room, counts, out, found)
    elif name == _TIME:
        if _has(seen, _DATETIME):
            found = _add(TIME, _DATETIME, _DATETIME, values, room, counts, out, found)
    elif name == _HTML:
        if _has(seen, _LANG):
            found = _add(LANGUAGE, _LANG, _LANG, values, room, counts, out, found)
    elif name == _BASE and _has(seen, _HREF):
        found = _add(BASE, _HREF, _HREF, values, room, counts, out, found)
    if _has(seen, _ITEMTYPE):
        found = _add(ITEM_TYPE, _ITEMTYPE, _ITEMTYPE, values, room, counts, out, found)
    if _has(seen, _ITEMPROP) and _is_item(data, values[2 * _ITEMPROP], values[2 * _ITEMPROP + 1], last):
        if _has(seen, _CONTENT):
            found = _add(ITEM, _ITEMPROP, _CONTENT, values, room, counts, out, found)
        elif _has(seen, _DATETIME):
            found = _add(ITEM, _ITEMPROP, _DATETIME, values, room, counts, out, found)
        elif name == _LINK or (name == _A and _starts(data, values[2 * _ITEMPROP], last, _LICENSE)):
            if _has(seen, _HREF):
                found = _add(ITEM, _ITEMPROP, _HREF, values, room, counts, out, found)
        elif name != _META:
            found = _add_content(data, ITEM, _ITEMPROP, name, size, at, last, values, room, counts, out, found)
    return found


@inlined
def _has(seen: int, attribute: int) -> bool:
    return seen >> attribute & 1 != 0


@kernel
def _add(kind: int, key: int, value: int, values: Ints, room: Ints, counts: Ints, out: Ints, found: int) -> int:
    """Note two attributes, if there is room."""
    if counts[kind] == room[kind]:
        return found
    return _row(
        kind, values[2 * key], values[2 * key + 1], values[2 * value], values[2 * value + 1], 0, counts, out, found
    )


@kernel
def _add_content(
    data: Bytes,
    kind: int,
    key: int,
    name: np.uint64,
    size: int,
    at: int,
    last: int,
    values: Ints,
    room: Ints,
    counts: Ints,
    out: Ints,
    found: int,
) -> int:
    """Note what is behind a tag up to the next end tag of its name, and the attribute `key` unless that is negative."""
    if counts[kind] == room[kind] or size > 8:
        return found
    end = end_tag(data, at, min(last, at + LONGEST_CONTENT), name, size)
    begin, close = (values[2 * key], values[2 * key + 1]) if key >= 0 else (0, 0)
    return _row(kind, begin, close, at, end, 1, counts, out, found)


@kernel
def _row(
    kind: int, key: int, key_end: int, value: int, value_end: int, content: int, counts: Ints, out: Ints, found: int
) -> int:
    counts[kind] += 1
    row = out[found]
    row[KIND], row[KEY], row[KEY_END], row[VALUE], row[VALUE_END] = kind, key, key_end, value, value_end
    row[IS_CONTENT] = content
    return found + 1


@kernel
def _attributes(data: Bytes, at: int, last: int, values: Ints) -> tuple[int, int]:
    """Read the attributes of a start tag, by the states of the standard's tokenizer.

    Returns:
        the place behind the tag, beyond the end of the page if the tag has no end; and a bit for each attribute of
        `_ATTRIBUTES` that the tag has, whose value `values` then holds. Of two of a name the first counts.
    """
    seen = 0
    while True:
        while at < last and (is_space(data[at]) or data[at] == _SLASH):
            at += 1
        if at >= last:
            return last + 1, seen
        if data[at] == _MORE:
            return at + 1, seen
        first = at
        at += 1  # an equals sign at the start belongs to the name
        while at < last and not ends_name(data[at]) and data[at] != _EQUALS:
            at += 1
        name_end = at
        while at < last and is_space(data[at]):
            at += 1
        begin = end = at
        if at < last and data[at] == _EQUALS:
            at += 1
            while at < last and is_space(data[at]):
                at += 1
            if at < last and (data[at] == _QUOTE or data[at] == _APOSTROPHE):
                begin = at + 1
                end = next_byte(data, begin, last, data[at])
                at = end + 1
            else:
                begin = at
                while at < last and not is_space(data[at]) and data[at] != _MORE:
                    at += 1
                end = at
        which = _attribute(data, first, name_end, last)
        if which >= 0 and not seen >> which & 1:
            seen |= 1 << which
            values[2 * which], values[2 * which + 1] = begin, end


@kernel
def _attribute(data: Bytes, first: int, end: int, last: int) -> int:
    """Return which of `_ATTRIBUTES` a name is, -1 if none; `xml:lang` is `lang`."""
    size = end - first
    if size < 3 or size > 10:
        return -1
    word = packed(data, first, last, min(size, 8))
    for i in range(_MOST_ATTRIBUTES):
        if word == _WORDS[i] and size == _SIZES[i]:
            return i
    return -1


@kernel
def _is_item(data: Bytes, first: int, end: int, last: int) -> bool:
    """Whether an `itemprop` is one of `_ITEMS`; of longer names only the first eight letters and the length count."""
    size = end - first
    if size < 6 or size > 13:
        return False
    word = packed(data, first, last, min(size, 8))
    for i in range(len(_ITEM_WORDS)):
        if word == _ITEM_WORDS[i] and size == _ITEM_SIZES[i]:
            return True
    return False


@inlined
def _is_raw(name: np.uint64) -> bool:
    """Whether what follows a tag is no markup up to its end tag."""
    found = name == _SCRIPT or name == _STYLE or name == _TITLE or name == _TEXTAREA
    return bool(found or name == _IFRAME or name == _XMP)


@kernel
def _is_of_author(data: Bytes, first: int, end: int) -> bool:
    """Whether an address is that of an author's page."""
    return contains(data, first, end, _OF_AUTHOR) or contains(data, first, end, _OF_AUTHORS)


@inlined
def _starts(data: Bytes, first: int, last: int, word: Bytes) -> bool:
    return contains(data, first, min(last, first + len(word)), word)
