"""Days in the many forms in which pages write them, and htmldate's search for one."""

import re
from datetime import date

EARLIEST = 1990
LATEST = 2099
"""Years outside of which a date is a default or a slip. It is no clock, so that a page means the same in any year."""

_LONGEST = 64
_LARGEST = 4 << 20  # bytes of a page that is searched
_MONTHS = {name: month for month, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_NAME = "(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\\.?"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        r"(?<!\d)(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})(?!\d)",
        r"(?<!\d)(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?:T\d|\d{6}|(?!\d))",
        rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[- ]{{1,2}}(?:of )?{_NAME},?[- ](?P<year>\d{{4}})(?!\d)",
        rf"\b{_NAME} {{1,2}}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? {{1,2}}(?P<year>\d{{4}})(?!\d)",
        r"(?<!\d)(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})(?!\d)",
    )
)
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_SLASHED = re.compile(r"(?<!\d)(\d{1,2})([-/])(\d{1,2})\2(\d{4})(?!\d)", re.ASCII)
_IN_PATH = re.compile(r"/(\d{4})([-/]?)(\d{2})\2(\d{2})(?=[-/_]|\.\w{1,5}\Z|\Z)", re.ASCII)


def day(text: str) -> str | None:
    """Return the day of a date or time as YYYY-MM-DD, in the time zone it is written in; None without a whole one.

    Of 3/4/2020 nobody knows which is the month, so it is none; 30/4/2020 is one.
    """
    text = text[:_LONGEST]
    for form in _FORMS:
        if found := form.search(text):
            parts = found.groupdict()
            month = _MONTHS[parts["name"].lower()] if parts.get("name") else int(parts["month"])
            return _day(int(parts["year"]), month, int(parts["day"]))
    if found := _SLASHED.search(text):
        a, b, year = int(found[1]), int(found[3]), int(found[4])
        if a == b or max(a, b) > 12:
            return _day(year, min(a, b), max(a, b))
    return None


def day_in_path(path: str) -> str | None:
    """Return the day that the path of an address names, as in /2020/04/30/title."""
    found = _IN_PATH.search(path)
    return _day(int(found[1]), int(found[3]), int(found[4])) if found else None


def searched(page: bytes, url: str | None) -> str | None:
    """Return the day that htmldate (Barbaresi 2020) finds in a page in UTF-8, by its tree and without guessing."""
    from htmldate import find_date

    if len(page) > _LARGEST:
        return None
    text = _NOT_IN_XML.sub(" ", page.decode("utf-8", "replace"))
    try:
        found = find_date(
            text.encode(),  # an address in place of a page would be fetched, if it were no bytes
            extensive_search=False,
            original_date=True,
            url=url,
            min_date=f"{EARLIEST}-01-01",
            max_date=f"{LATEST}-12-31",
        )
    except ValueError:  # lxml reads references to control characters, and refuses to write them
        return None
    return day(found or "")


def _day(year: int, month: int, day: int) -> str | None:
    if not EARLIEST <= year <= LATEST:
        return None
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None
