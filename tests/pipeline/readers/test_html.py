"""Folders of HTML files: a page a file, under the address that it had."""

import gzip

import pytest
from pydantic import ValidationError
from warcio.archiveiterator import ArchiveIterator

from pipeline.readers import HtmlReader

PAGE = "<html><head><title>Ü</title></head><body><p>Text.</p></body></html>"


def write(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_pages_come_as_they_are(tmp_path, read_all, encoding):
    [record], _ = read_all(HtmlReader(), write(tmp_path, "a.html", PAGE.encode(encoding)))
    assert record.html == PAGE.encode(encoding) and record.text is None and record.url is None
    assert record.content_type == "text/html"


def test_addresses(tmp_path, read_all):
    reader = HtmlReader(root=str(tmp_path / "site"), base="https://example.org/docs")
    names = {
        "a.html": "https://example.org/docs/a.html",
        "b/c d.htm": "https://example.org/docs/b/c%20d.htm",
        "b/index.html": "https://example.org/docs/b/",
        "index.htm": "https://example.org/docs/",
        "ü?.xhtml": "https://example.org/docs/%C3%BC%3F.xhtml",
    }
    for name, url in names.items():
        [record], _ = read_all(reader, write(tmp_path, f"site/{name}", PAGE.encode()))
        assert record.url == url
    mirror = HtmlReader(root=str(tmp_path), base="https://")
    path = write(tmp_path, "www.example.org/x.html", PAGE.encode())
    assert read_all(mirror, path)[0][0].url == "https://www.example.org/x.html"
    with pytest.raises(ValueError, match="not under the root"):
        read_all(reader, write(tmp_path, "elsewhere.html", PAGE.encode()))
    with pytest.raises(ValidationError, match="root and base go together"):
        HtmlReader(base="https://example.org")


def test_what_is_no_page(tmp_path, read_all):
    cases = {
        "a.html": (b" \n", "read.empty"),
        "b.html": (b"%PDF-1.4 <html>", "read.content_type"),
        "c.html": (b"\x89PNG\r\n\x1a\n\0\0", "read.content_type"),
    }
    for name, (data, drop) in cases.items():
        assert [record.drop for record in read_all(HtmlReader(), write(tmp_path, name, data))[0]] == [drop]
    [record], _ = read_all(HtmlReader(), write(tmp_path, "d.html", "Nur Text, für sich.".encode("latin-1")))
    assert record.text == "Nur Text, für sich." and record.content_type == "text/plain"


def test_packed_damaged_and_large(tmp_path, read_all):
    packed = gzip.compress(PAGE.encode() * 100)
    reader = HtmlReader(max_record_bytes=20_000)
    assert read_all(reader, write(tmp_path, "a.html.gz", packed))[0][0].html == PAGE.encode() * 100
    assert read_all(reader, write(tmp_path, "b.html.gz", packed[:60]))[0][0].error == "read.truncated"
    bomb = gzip.compress(b" " * 10_000_000)
    assert read_all(reader, write(tmp_path, "c.html.gz", bomb))[0][0].error == "read.too_large"
    assert read_all(reader, write(tmp_path, "d.html", b"<p>" * 10_000))[0][0].error == "read.too_large"


def test_real_pages(test_data, tmp_path, read_all):
    """Pages of a crawl, written to a folder as a mirror has them, come back with their bytes and addresses."""
    archive = next(test_data("A-warc-debian-handbook").glob("*.warc.gz"))
    reader = HtmlReader(root=str(tmp_path), base="https://")
    count = 0
    with archive.open("rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type != "response" or count == 100:
                continue
            url = record.rec_headers.get_header("WARC-Target-URI")
            if not url.startswith("https://") or not url.endswith(".html") or url.endswith("/index.html"):
                continue
            page = record.content_stream().read()
            [found], _ = read_all(reader, write(tmp_path, url.removeprefix("https://"), page))
            assert found.html == page and found.url == url
            count += 1
    assert count == 100
