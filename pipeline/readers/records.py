"""WARC and ARC records cut out of text that may be damaged: damage ends where the next header begins.

Formats: ISO 28500:2017 (WARC 1.1); Burner and Kahle, "Arc File Format" (1996).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.readers.runs import Run
from pipeline.readers.windows import CHUNK, Window

PAYLOAD = 1 << 20
"""Bytes of a damaged record that are kept for inspection."""

MAX_HEADER = 1 << 20
_OVERLAP = 16 << 10  # longer than any first line of a header
_MAX_LIES = 8

_ARC_LINE = (
    rb"(?P<url>[A-Za-z][A-Za-z0-9+.-]*:[^\r\n]*) (?P<ip>\d{1,3}(?:\.\d{1,3}){3}) (?P<date>\d{8,})"
    rb" (?P<rest>(?:[^\r\n]* )?)(?P<length>-?\w+)[ \t]*\r?\n"
)
_START = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\n|" + _ARC_LINE)
_RESUME = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\n[A-Za-z-]+[ \t]*:|(?<=\n)" + re.sub(rb"\?P<\w+>", b"?:", _ARC_LINE))
_ARC = re.compile(_ARC_LINE)
_HEADER_END = re.compile(rb"\r?\n\r?\n|(?P<nested>\nWARC/\d+\.\d+[ \t]*\r?\n)")
_FIELD = re.compile(rb"^([^:\s][^:\r\n]*?)[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t]+[^\r\n]+)*)", re.MULTILINE)


def begins_record(head: bytes) -> bool:
    """Whether a WARC or ARC record begins these bytes."""
    return _START.match(head) is not None


def fields(block: bytes) -> dict[str, str]:
    """`Name: value` lines by lower-case name; the first of a name counts, folded lines are joined."""
    found: dict[str, str] = {}
    for name, value in _FIELD.findall(block):
        if b"\n" in value:
            value = b" ".join(value.split())
        found.setdefault(name.decode("latin-1").lower(), value.decode("utf-8", "replace").strip())
    return found


class Framed(NamedTuple):
    """One record, or one stretch of damage, at `position` of its run."""

    position: int
    headers: dict[str, str]
    """By lower-case name; of damage those that could be read, or none."""
    block: bytes
    """The record's content; where there is an `error`, the first MiB of all its bytes."""
    error: str | None


class _Header(NamedTuple):
    fields: dict[str, str]
    end: int
    length: int


def frame(text: Window, run: Run | None, limit: int) -> Iterator[Framed]:
    """Yield the records of a run (None: of a plain file), and damage, in the order in which they lie.

    A record counts as whole when its length leads to the next record or to the end. If not, its length is wrong, and
    the next header is looked for from its own header on, since a length that is too large would swallow good records.
    A record larger than `limit` is stepped over. Damage that hit no record has the position -1 and no bytes.

    Coming back from where a wrong length led means to unpack the run again from its start. Lengths over `limit` that
    proved wrong are therefore followed only so many times in a run, and then no more.
    """
    position = lies = 0
    told = False
    if run is not None and run.lost:
        position = _resume(text, 0, None)
        told = position < 0  # the damage before this run is known already, and it goes on
    while position >= 0:
        position = _blank(text, position)
        text.release(position)
        if not text.peek(position, 1):
            break
        header = _header(text, position)
        if isinstance(header, str):
            position, damage = _skip(text, run, position, {}, position + 1, header)
            yield damage
            told = position < 0
            continue
        end = header.end + header.length
        large = header.length > limit
        if large and lies == _MAX_LIES:
            position, damage = _skip(text, run, position, header.fields, header.end, "length")
            yield damage
            told = position < 0
            continue
        head = text.peek(position, PAYLOAD) if large else b""  # before the window moves on
        whole = header.length == 0 or (bool(text.peek(end - 1, 1)) if large else text.hold(header.end, header.length))
        after = _blank(text, end) if whole else end
        ahead = text.peek(after, _OVERLAP)
        if whole and (not ahead or begins_record(ahead)):
            if run is not None and run.damage is not None and run.damaged_from < end and not ahead:
                head = head or text.peek(position, min(PAYLOAD, end - position))
                yield Framed(position, header.fields, head, run.damage.what)
                told = True
            elif large:
                yield Framed(position, header.fields, head, "too_large")
            else:
                yield Framed(position, header.fields, text.peek(header.end, header.length), None)
            position = after
            continue
        lies += large
        ended = whole and not large and text.peek(end, after - end).count(b"\n") >= 2
        if ended and not -1 < _resume(text, header.end, end) < end:
            yield Framed(position, header.fields, text.peek(header.end, header.length), None)
            position, damage = _skip(text, run, after, {}, after, "garbage")  # it ends as it should; this does not
        else:
            position, damage = _skip(text, run, position, header.fields, header.end, "length")
            if position < 0 and not whole and damage.error == "length":
                damage = damage._replace(error="truncated")
        yield damage
        told = position < 0
    if run is not None and run.damage is not None and not told:
        yield Framed(-1, {}, b"", run.damage.what)


def _skip(
    text: Window, run: Run | None, position: int, headers: dict[str, str], search: int, what: str
) -> tuple[int, Framed]:
    """Where the next record begins from `search` on (-1: nowhere), and the damage from `position` up to there."""
    text.hold(position, PAYLOAD)
    resume = _resume(text, search, position + PAYLOAD)
    size = PAYLOAD if resume < 0 else min(PAYLOAD, resume - position)
    hit = text.peek(position, size)
    if resume < 0:  # further on nothing is held any more
        resume = _resume(text, max(search, position + PAYLOAD - _OVERLAP), None)
    if resume < 0 and run is not None and run.damage is not None:
        what = run.damage.what  # the text does not go on because of the damage of the member
    return resume, Framed(position, headers, hit, what)


def _blank(text: Window, position: int) -> int:
    """The first position from `position` on that is no line end."""
    while True:
        data = text.peek(position, 64)
        rest = data.lstrip(b"\r\n")
        position += len(data) - len(rest)
        if rest or len(data) < 64:
            return position


def _resume(text: Window, position: int, until: int | None) -> int:
    """Where the next record begins from `position` on; -1 if nowhere, or not before `until`.

    Without `until` what was searched is released.
    """
    before = min(position, 1)  # the line end before it is part of the pattern
    position -= before
    size = 2 * _OVERLAP  # often it is near, and a copy of a whole chunk for nothing
    while until is None or position < until:
        data = text.peek(position, size)
        if found := _RESUME.search(data, before):
            return position + found.start()
        if len(data) < size:
            return -1
        position += size - _OVERLAP
        size = CHUNK
        if until is None:
            text.release(position)
    return -1


def _header(text: Window, position: int) -> _Header | str:
    """The header at `position`, or what is wrong with it."""
    data = text.peek(position, _OVERLAP)
    if not begins_record(data):
        return "garbage"
    if arc := _ARC.match(data):
        length = arc["length"]
        if not length.isdigit():
            return "length"
        kind = arc["rest"].split(b" ")[0] if arc["rest"] else b""
        names = ("url", "date", "content-type")
        values = (arc["url"], arc["date"], kind)
        found = {name: value.decode("utf-8", "replace") for name, value in zip(names, values, strict=True)}
        return _Header({"arc": "1", **found}, position + arc.end(), int(length))
    size = _OVERLAP
    while not (blank := _HEADER_END.search(data)):
        size *= 4
        if len(data) * 4 < size or size > MAX_HEADER:
            return "header"
        data = text.peek(position, size)
    if blank["nested"]:
        return "header"
    block = data[: blank.start() + 1]
    found = fields(block.partition(b"\n")[2])
    if "warc-type" not in found:
        return "header"
    declared = found.get("content-length", "")
    if not declared.isascii() or not declared.isdigit() or len(declared) > 18:
        return "length"
    return _Header(found, position + blank.end(), int(declared))
