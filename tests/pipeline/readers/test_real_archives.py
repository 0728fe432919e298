"""Real archives, good and malformed: no record may be lost, compared with warcio where warcio can read them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from pipeline.readers import WarcReader

FOLDERS = (
    "A-warcio-tests",
    "A-jwarc",
    "A-ia-web-commons",
    "A-resiliparse-tests",
    "A-corentinb-warc",
    "A-ipwb",
    "A-dolma-warc",
    "A-whirlwind",
    "A-warc-debian-handbook",
    "B-trafilatura-dev",
)

# What is damaged in the real files: reasons of quarantine, and what is left of the file (documents).
DAMAGED = {
    "bad.arc": ({"read.length": 3}, 0),
    "broken.warc": ({"read.length": 1}, 1),
    "clipped.warc.gz": ({"read.truncated": 1}, 0),
    "example-space-in-url.arc": ({"read.truncated": 1}, 0),  # the last byte that its header announces is missing
    "example-trunc.warc": ({"read.length": 1}, 0),
    "HTTP204.warc": ({"read.length": 2}, 1),
    "redirect.warc": ({"read.truncated": 1}, 0),
}


def archives(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*arc*") if path.is_file() and path.suffix in _SUFFIXES)


_SUFFIXES = {".warc", ".arc", ".gz", ".bad", ".lz4", ".wet", ".wat"}


def by_warcio(path: Path) -> tuple[Counter[str], Counter[str]] | None:
    """Counts of types and of pages (status 200, HTML), where warcio reads the file to its end without complaint."""
    types: Counter[str] = Counter()
    pages: Counter[str] = Counter()
    try:
        with path.open("rb") as file:
            for record in ArchiveIterator(file, arc2warc=True):
                types[record.rec_type] += 1
                if record.rec_type == "response" and record.http_headers:
                    kind = (record.http_headers.get_header("content-type") or "").split(";")[0].strip().lower()
                    if record.http_headers.get_statuscode() == "200" and kind == "text/html":
                        pages[record.rec_headers.get_header("WARC-Target-URI")] += 1
    except ArchiveLoadFailed:
        return None
    return types, pages


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_archive_agrees_with_warcio(folder, test_data, read_all):
    compared = 0
    for path in archives(test_data(folder)):
        records, ignored = read_all(WarcReader(), path)
        errors = Counter(record.error for record in records if record.error)
        if path.name.endswith("paths.gz"):
            assert errors == {"read.garbage": 1}  # no archive at all: said, not skipped
            continue
        assert errors == DAMAGED.get(path.name, ({}, 0))[0], path
        theirs = by_warcio(path)
        if theirs is None:
            continue
        types, pages = theirs
        assert len(records) + sum(ignored.values()) == sum(types.values()), path
        if not errors:
            ours = Counter(record.url for record in records if record.html is not None)
            assert pages - ours == Counter() or path.suffix == ".arc", path
            assert ignored["request"] == types["request"], path
            compared += 1
    assert compared or folder == "A-jwarc"


def test_good_records_around_the_damage_are_kept(test_data, read_all):
    files = {path.name: path for folder in FOLDERS[:6] for path in archives(test_data(folder))}
    for name, (_, documents) in DAMAGED.items():
        records, _ = read_all(WarcReader(), files[name])
        assert sum(record.html is not None and record.error is None for record in records) == documents, name
        assert all(record.html for record in records if record.error), "quarantine shows the bytes"


def test_lz4_gzip_and_plain_hold_the_same(test_data, read_all):
    folder = test_data("A-resiliparse-tests")
    for stem, documents in (("warcfile.warc", 16), ("block-sized-records.warc", 0)):
        found = [read_all(WarcReader(), folder / (stem + suffix)) for suffix in ("", ".gz", ".lz4")]
        plain, gzip, lz4 = [[record._replace(offset=0) for record in records] for records, _ in found]
        assert plain == gzip == lz4
        assert sum(record.html is not None for record in plain) == documents
        assert len({tuple(sorted(ignored.items())) for _, ignored in found}) == 1


def test_bodies_of_the_odd_archives(test_data, read_all):
    folder = test_data("A-warcio-tests")
    # Says gzip in the header and is not; chunked; one gzip member for all records.
    for name in ("example-wrong-chunks.warc.gz", "example-bad-non-chunked.warc.gz", "example.arc", "example.arc.gz"):
        (page,) = [record for record in read_all(WarcReader(), folder / name)[0] if record.html]
        assert page.html.startswith(b"<!doctype html>") and page.html.rstrip().endswith(b"</html>"), name
        assert page.url == "http://example.com/" and page.content_type == "text/html"
    (page,) = [record for record in read_all(WarcReader(), folder / "example-iana.org-chunked.warc")[0] if record.html]
    assert page.html.rstrip().endswith(b"</html>")
    arc = read_all(WarcReader(), folder / "example.arc")[0]
    assert arc[0].date == "2014-02-16T05:02:21Z"
    wget = read_all(WarcReader(), folder / "example-wget-bad-target-uri.warc.gz")[0]
    assert not any(record.url.startswith("<") for record in wget)


def test_pages_that_claim_gzip_and_are_not_are_read(test_data, read_all):
    records, _ = read_all(WarcReader(), test_data("A-resiliparse-tests") / "clueweb-quirk.warc.gz")
    assert sum(b"<" in (record.html or b"") for record in records) == 29


def test_wet_is_text(test_data, read_all):
    for suffix in ("wet", "wet.gz"):
        (record,) = read_all(WarcReader(), test_data("A-whirlwind") / f"whirlwind.warc.{suffix}")[0]
        assert record.html is None and len(record.text) > 4000
        assert record.content_type == "text/plain"


@pytest.mark.parametrize(
    "name", ["A-ipwb/sample-1.warc.gz", "A-dolma-warc/sample-0000.warc.gz", "A-whirlwind/whirlwind.warc.gz"]
)
def test_real_archive_in_any_number_of_splits(name, test_data, read_all: Callable):
    path = test_data(name)
    whole = read_all(WarcReader(), path)
    for split_bytes in (1 << 10, 7919, 1 << 17):
        assert read_all(WarcReader(), path, max(split_bytes, path.stat().st_size // 300)) == whole


HEADERS = {
    "cut_by": "WARC-Truncated",
    "payload_digest": "WARC-Payload-Digest",
    "refers_to": "WARC-Refers-To",
    "refers_to_url": "WARC-Refers-To-Target-URI",
    "refers_to_date": "WARC-Refers-To-Date",
}


@pytest.mark.parametrize(
    ("file", "revisits", "cut"),
    [
        ("A-warcio-tests/example.warc.gz", 1, 0),
        ("A-ipwb/sample-1.warc.gz", 10, 10),
        ("A-whirlwind/whirlwind.warc.wet.gz", 0, 0),
        ("B-trafilatura-dev", 0, 0),
    ],
)
def test_signals_are_the_headers_that_warcio_reads(
    test_data: Callable[[str], Path], read_all: Callable[..., Any], file: str, revisits: int, cut: int
) -> None:
    path = test_data(file)
    paths = [path] if path.is_file() else archives(path)
    for path in paths:
        headers = {}
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream):
                own = {name: record.rec_headers.get_header(header) for name, header in HEADERS.items()}
                headers[record.rec_headers.get_header("WARC-Record-ID").strip("<>")] = {
                    name: value and value.strip("<>") for name, value in own.items()
                }
        records, _ = read_all(WarcReader(), path)
        assert records
        for record in records:
            expected = headers[record.doc_id]
            assert record.signals == {"cut": expected["cut_by"] is not None, **expected}
        assert sum(record.drop == "read.revisit" for record in records) == revisits
        assert sum(record.signals["cut"] for record in records) == cut
