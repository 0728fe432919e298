"""Every record of every real archive, by what becomes of it, its URL and its payload, against an independent reader.

That is warcio; where it gives up, fastwarc. `DIFFERS` says of each file in which the two do not agree why that is.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import fastwarc.warc
import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from pipeline.readers import WarcReader

DATA = Path(os.environ.get("GRISTMILL_TEST_DATA") or "absent")
ARCHIVES = sorted(
    path.relative_to(DATA).as_posix()
    for folder in DATA.glob("A-*")
    for path in folder.rglob("*")
    if path.is_file() and path.name not in ("LICENSE", "SOURCE.txt")
)
PAGES = ("text/html", "application/xhtml+xml", "text/plain")


class Found(NamedTuple):
    """One record: `document`, why it is none, or the type of a record about the crawl."""

    what: str
    url: str | None = None
    payload: str | None = None


def digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def judged(kind: str, url: str | None, status: str | None, media: str | None, payload: bytes) -> Found:
    """What should become of a record, by what another reader says of it."""
    if kind not in ("response", "resource", "conversion", "revisit"):
        return Found(kind)
    if kind == "revisit":
        return Found("read.revisit", url)
    if status not in (None, "200"):
        return Found("read.status", url)
    if media is not None and media.partition(";")[0].strip().lower() not in PAGES:
        return Found("read.content_type", url)
    return Found("document", url, digest(payload)) if payload.strip() else Found("read.empty", url)


def by_warcio(path: Path) -> Iterator[Found]:
    with path.open("rb") as file:
        for record in ArchiveIterator(file):
            http = record.http_headers if record.rec_type != "revisit" else None
            url = record.rec_headers.get_header("WARC-Target-URI") or record.rec_headers.get_header("uri")
            kind = record.rec_type
            if record.format == "arc":
                kind = "filedesc" if url.startswith("filedesc:") else "response"
            headers = http or record.rec_headers
            status = http.get_statuscode() if http else None
            yield judged(kind, url, status, headers.get_header("Content-Type"), record.content_stream().read())


def by_fastwarc(path: Path) -> Iterator[Found]:
    with path.open("rb") as file:
        for record in fastwarc.warc.ArchiveIterator(file, auto_decode="all"):
            http = record.http_headers
            media = http.get("Content-Type") if http else record.headers.get("Content-Type")
            url = record.headers.get("WARC-Target-URI")
            status = str(http.status_code) if http else None
            yield judged(record.headers["WARC-Type"], url, status, media, record.reader.read())


def by_another(path: Path) -> Counter[Found]:
    """The records by warcio, or by fastwarc if warcio does not come to the end."""
    try:
        return Counter(by_warcio(path))
    except ArchiveLoadFailed:
        return Counter(by_fastwarc(path))


def by_us(path: Path, read_all) -> Counter[Found]:
    records, ignored = read_all(WarcReader(), path)
    found: Counter[Found] = Counter()
    for kind, count in ignored.items():
        found[Found(kind)] += count
    for record in records:
        body = record.html if record.text is None else record.text.encode()
        what = record.error or record.drop or "document"
        found[Found(what, record.url, digest(body) if what == "document" else None)] += 1
    return found


class Difference(NamedTuple):
    only_ours: dict[tuple[str, str | None], int]
    only_theirs: dict[tuple[str, str | None], int]
    why: str


_EXAMPLE = "http://example.com/"
_SPACES = "http://example.com/index.cfm?FuseAction=Email&EmailTitle=Examples From The Live Web&IsPopUp=False"
_HOUSTON = (
    "http://www.houstonpress.com/music/a-humble-chance-the-rapper-leads-a-spiritual-awakening-at-revention-8866723"
)
DIFFERS = {
    "A-ipwb/HTTP204.warc": Difference(
        {("read.length", None): 1, ("read.length", "https://example.com"): 1},
        {("warcinfo", None): 1, ("read.status", "https://example.com"): 1},
        "two lengths are too small; warcio takes what they say and skips lines until a header comes",
    ),
    "A-ipwb/redirect.warc": Difference(
        {("read.truncated", "https://example.com"): 1},
        {("read.status", "https://example.com"): 1},
        "the last record is shorter than its length; warcio hands it out as if it were whole",
    ),
    "A-resiliparse-tests/clipped.warc.gz": Difference(
        {("read.truncated", _HOUSTON): 1},
        {("document", _HOUSTON): 1},
        "its gzip member has no end; warcio hands out what there is as if it were whole",
    ),
    "A-warcio-tests/bad.arc": Difference(
        {("read.length", None): 3},
        {("filedesc", None): 1, ("read.empty", _EXAMPLE): 2},
        "lengths of `-`, of nothing and of the wrong number, which warcio reads as 0",
    ),
    "A-warcio-tests/example-space-in-target-uri.warc.gz": Difference(
        {("read.content_type", "file:///example with spaces.png"): 1},
        {("read.content_type", "file:///example%20with%20spaces.png"): 1},
        "a URL with spaces is kept as it stands; warcio escapes them",
    ),
    "A-warcio-tests/example-space-in-url.arc": Difference(
        {("read.truncated", _SPACES): 1},
        {("document", _SPACES): 1},
        "the last byte of its length is missing; warcio hands it out as if it were whole",
    ),
    "A-warcio-tests/example-trunc.warc": Difference(
        {("read.length", _EXAMPLE): 1},
        {("document", _EXAMPLE): 1},
        "a length that is too small by two bytes; warcio cuts the body there",
    ),
}
_BLACKBOOK = "A-ia-web-commons/format/arc/IAH-20080430204825-00000-blackbook-truncated.arc"
_ORG = "http://www.archive.org/"
NEITHER: dict[str, tuple[dict[tuple[str, str | None], int], str]] = {
    _BLACKBOOK: (
        {
            ("filedesc", None): 1,
            ("read.content_type", "dns:www.archive.org"): 1,
            ("document", _ORG + "robots.txt"): 1,
            ("document", _ORG): 1,
            ("document", _ORG + "index.php"): 1,
            ("read.content_type", _ORG + "images/logoc.jpg"): 1,
            ("read.content_type", _ORG + "images/go-button-gateway.gif"): 1,
            ("read.content_type", _ORG + "images/star.png"): 1,
            ("read.content_type", _ORG + "services/collection-rss.php"): 1,
        },
        "the length of its first record is wrong for warcio, and fastwarc knows no ARC; nine lines of headers by grep",
    ),
    "A-ipwb/broken.warc": (
        {
            ("warcinfo", None): 1,
            ("request", None): 2,
            ("metadata", None): 1,
            ("document", "http://matkelly.com/frogsLeft"): 1,
            ("read.length", "http://matkelly.com/froggies/frog.png"): 1,
        },
        "the length of the last response is wrong; warcio takes lines of HTTP for ARC, fastwarc stops",
    ),
    "A-whirlwind/CC-MAIN-2024-22.warc.paths.gz": ({("read.garbage", None): 1}, "a list of paths, no archive"),
}
"""What is found where both give up, and why they do."""


def outlines(found: Counter[Found]) -> Counter[tuple[str, str | None]]:
    outlined: Counter[tuple[str, str | None]] = Counter()
    for record, count in found.items():
        outlined[record.what, record.url] += count
    return outlined


@pytest.mark.parametrize("name", ARCHIVES)
def test_every_record_is_what_another_reader_finds(name, read_all):
    ours = by_us(DATA / name, read_all)
    if name in NEITHER:
        with pytest.raises(OSError, match="Invalid WARC header"):
            by_another(DATA / name)
        assert outlines(ours) == NEITHER[name][0], NEITHER[name][1]
        return
    theirs = by_another(DATA / name)
    if name not in DIFFERS:
        assert ours == theirs
        return
    difference = DIFFERS[name]
    assert outlines(ours - theirs) == difference.only_ours, difference.why
    assert outlines(theirs - ours) == difference.only_theirs, difference.why


def test_all_archives_are_there(test_data):
    """72 files, and each that is named above is one of them."""
    test_data("A-whirlwind")
    assert len(ARCHIVES) >= 72
    assert (DIFFERS.keys() | NEITHER.keys()) <= set(ARCHIVES)


def test_headers_of_an_arc_that_nobody_else_reads(test_data):
    data = test_data(_BLACKBOOK).read_bytes()
    headers = re.findall(rb"(?:dns:|http://)\S+ [0-9.]+ \d{14} \S+ \d+\n", data)
    assert [line.split()[0].decode() for line in headers] == [
        url for (what, url), _ in NEITHER[_BLACKBOOK][0].items() if what != "filedesc"
    ]
