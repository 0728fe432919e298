"""What a page says about itself in JSON-LD, by the vocabulary of schema.org.

Only `json` reads it. A script that is no JSON is counted and gives nothing: what is guessed from broken data cannot be
told from what was said.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

MOST_BYTES = 1 << 20
"""A longer script is not read, and counts as broken."""
_MOST_THINGS = 256
_MOST_NAMES = 32

_OPENING, _CLOSING = ("/*", "//", "<!--", "<![CDATA[", "*/"), ("*/", "]]>", "-->", "//", "/*", ";")
_VOCABULARY = re.compile(r"\A(?:https?://(?:www\.)?schema\.org/|schema:)", re.IGNORECASE)

Thing = Mapping[str, Any]


class Linked(NamedTuple):
    """The things that the scripts of a page describe, in their order."""

    things: Sequence[Thing]
    """Those at the top, in `@graph`, and the main entity of each; not what only belongs to one of them."""
    by_id: Mapping[str, Thing]
    broken: int
    """Scripts that are no JSON."""


def read(scripts: Iterable[bytes]) -> Linked:
    """Read the contents of scripts."""
    things: list[Thing] = []
    broken = 0
    for script in scripts:
        try:
            _gather(_parse(script), things)
        except (ValueError, RecursionError):
            broken += 1
    by_id = {str(thing["@id"]): thing for thing in reversed(things) if isinstance(thing.get("@id"), str)}
    return Linked(things, by_id, broken)


def _parse(script: bytes) -> Any:
    if len(script) > MOST_BYTES:
        raise ValueError
    text = script.decode("utf-8", "replace")
    try:
        return json.loads(text, strict=False)  # line ends in strings are common
    except ValueError:
        return json.loads(_unwrapped(text), strict=False)


def _unwrapped(text: str) -> str:
    """Without the comment or section of character data that hides a script from old browsers, and a last semicolon."""
    text = text.strip()
    for mark in _OPENING:
        text = text.removeprefix(mark).lstrip()
    for mark in _CLOSING:
        text = text.removesuffix(mark).rstrip()
    return text


def _gather(value: Any, things: list[Thing]) -> None:
    waiting = [value]
    while waiting and len(things) < _MOST_THINGS:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value[_MOST_THINGS - 1 :: -1])
        elif isinstance(value, dict):
            if "@type" in value:
                things.append(value)
            if "mainEntity" in value and "faqpage" not in types(value):  # whose questions nobody asked
                waiting.append(value["mainEntity"])
            if "@graph" in value:
                waiting.append(value["@graph"])


def types(thing: Thing) -> tuple[str, ...]:
    """The types of a thing, in small letters, without the address of the vocabulary."""
    said = thing.get("@type")
    return tuple(
        _VOCABULARY.sub("", name).lower()
        for name in (said if isinstance(said, list) else [said])
        if isinstance(name, str)
    )


def first(value: Any) -> str | None:
    """A value that is a text, or the first text among several."""
    for one in value[:_MOST_NAMES] if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            one = one.get("@value")
        if isinstance(one, str) and one.strip():
            return one
    return None


def names(value: Any, linked: Linked) -> tuple[list[str], list[str]]:
    """Names of persons, and of organisations; they may be texts, things, or references to things."""
    persons: list[str] = []
    organisations: list[str] = []
    name: str | None
    for one in value[:_MOST_NAMES] if isinstance(value, list) else [value]:
        if isinstance(one, dict) and "name" not in one and isinstance(one.get("@id"), str):
            one = linked.by_id.get(one["@id"], one)
        if isinstance(one, dict):
            parts = [first(one.get(part)) for part in ("givenName", "familyName")]
            name = first(one.get("name")) or " ".join(part for part in parts if part)
        else:
            name = first(one)
        if name:
            is_person = not isinstance(one, dict) or not {"organization", "corporation"}.intersection(types(one))
            (persons if is_person else organisations).append(name)
    return persons, organisations


def addresses(value: Any) -> list[str]:
    """Addresses of things that may be texts or things."""
    found = []
    for one in value[:_MOST_NAMES] if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            one = first(one.get("url")) or first(one.get("@id"))
        if isinstance(one, str):
            found.append(one)
    return found
