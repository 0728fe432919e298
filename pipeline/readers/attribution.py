"""Whose posts of Stack Exchange these are, and under which licence: CC BY-SA wants both to be said."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

_SITE = re.compile(r"(?:[\w-]+\.)+[a-z]{2,}")
_VERSIONS = (("2018-05-02", "CC-BY-SA-4.0"), ("2011-04-08", "CC-BY-SA-3.0"), ("", "CC-BY-SA-2.5"))
"""The licence of a contribution by its date (stackoverflow.com/help/licensing), where the dump does not give it."""


def site_of(given: str | None, path: str) -> str | None:
    """The site that a file is of: as given, or by the name of its folder, or of the file up to a hyphen."""
    place = PurePosixPath(path)
    named = (given, place.parent.name, place.name.rpartition("-Posts")[0])
    return next((name for name in named if name and _SITE.fullmatch(name)), None)


def license_of(posts: Iterable[Mapping[str, str]]) -> str:
    """The licences of posts as an SPDX expression: all of them hold for what is made of all the posts."""
    names = set()
    for post in posts:
        given = post.get("ContentLicense", "").strip().replace(" ", "-")
        names.add(given or next(name for date, name in _VERSIONS if post.get("CreationDate", "") >= date))
    return " AND ".join(sorted(names))


def authors_of(posts: Iterable[Mapping[str, str]], site: str | None) -> str:
    """The addresses of the authors in the order of their posts, or their names if they have left the site."""
    found = []
    for post in posts:
        number = post.get("OwnerUserId")
        if number is None:
            found.append(post.get("OwnerDisplayName", ""))
        else:
            found.append(f"https://{site}/users/{number}" if site else f"user {number}")
    return "; ".join(dict.fromkeys(filter(None, found)))
