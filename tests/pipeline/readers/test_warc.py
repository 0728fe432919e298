"""Archives with planted damage: what is hit is in quarantine, with its reason; everything else is there."""

import bz2
import gzip
import io
import random
import re
import tracemalloc
import zlib
from collections import Counter
from typing import get_args

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.readers import READERS, WarcReader, reader_for


def pages(records):
    return [record.url.rsplit("/", 1)[1] for record in records if record.html and not record.error]


def errors(records):
    return [record.error for record in records if record.error]


def others(n, *lost):
    return [str(i) for i in range(n) if i not in lost]


def write(tmp_path, data, name="x.warc.gz"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def record(status="200 OK", headers=(("Content-Type", "text/html"),), body=b"<p>hello</p>", kind="response", **warc):
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=False)
    http = StatusAndHeaders(status, list(headers), protocol="HTTP/1.1") if kind in ("response", "revisit") else None
    made = writer.create_warc_record(
        "http://x.test/0",
        kind,
        io.BytesIO(body),
        http_headers=http,
        warc_headers_dict=warc or None,
        warc_content_type="" if http else dict(headers).get("Content-Type", "application/octet-stream"),
    )
    writer.write_record(made)
    return out.getvalue()


def read_one(tmp_path, read_all, data, reader=None):
    (found,) = read_all(reader or WarcReader(), write(tmp_path, data, "x.warc"))[0]
    return found


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split_bytes", [1 << 30, 700])
def test_flipped_bits_cost_one_record(tmp_path, read_all, members, split_bytes):
    made = members(9)
    rng = random.Random(7)
    for _ in range(60):
        hit = rng.randrange(9)
        broken = bytearray(made[hit])
        at = rng.randrange(10, len(broken))
        broken[at] ^= 1 << rng.randrange(8)
        path = write(tmp_path, b"".join([*made[:hit], bytes(broken), *made[hit + 1 :]]))
        records, _ = read_all(WarcReader(), path, split_bytes)
        assert pages(records) == others(9, hit), at
        assert len(errors(records)) == 1
        assert errors(records)[0] in {"read.crc", "read.corrupt", "read.garbage"}


def test_every_truncation_keeps_what_is_whole(tmp_path, read_all, members):
    made = members(3)
    data = b"".join(made)
    ends = [len(made[0]), len(made[0] + made[1]), len(data)]
    for size in range(1, len(data)):
        records, _ = read_all(WarcReader(), write(tmp_path, data[:size]))
        whole = sum(size >= end for end in ends)
        assert pages(records) == [str(i) for i in range(whole)]
        assert errors(records) == ([] if size in ends else records and [records[-1].error])
        assert all(error in {"read.truncated", "read.garbage"} for error in errors(records))


@pytest.mark.parametrize(
    "junk", [b"\x00" * 512, b"junk between", b"\x1f\x8b\x08 false start", b"\x1f\x8b\x08\x00" * 40]
)
def test_garbage_between_members(tmp_path, read_all, members, junk):
    made = members(4)
    path = write(tmp_path, b"".join([made[0], made[1], junk, made[2], junk, made[3]]))
    for split_bytes in (1 << 30, 300, 37):
        records, _ = read_all(WarcReader(), path, split_bytes)
        assert pages(records) == others(4)
        assert len(errors(records)) == 2
        assert all(record.html.startswith(junk[:8]) for record in records if record.error)


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n"])
def test_a_header_without_fields(tmp_path, read_all, members, end):
    made = members(2, gzip=False)
    for packed in (False, True):
        parts = [made[0], b"WARC/1.0" + end, made[1]]
        data = b"".join(map(gzip.compress, parts)) if packed else b"".join(parts)
        records, _ = read_all(WarcReader(), write(tmp_path, data, "x.warc.gz" if packed else "x.warc"))
        assert pages(records) == others(2) and errors(records) == ["read.header"]


def test_garbage_at_either_end(tmp_path, read_all, members):
    made = members(2)
    records, _ = read_all(WarcReader(), write(tmp_path, b"xyz" + made[0] + made[1] + b"xyz"))
    assert pages(records) == others(2)
    assert errors(records) == ["read.garbage", "read.garbage"]


def test_damage_in_a_file_packed_as_one_member(tmp_path, read_all, members):
    made = members(200, gzip=False, body=lambda i: random.Random(i).randbytes(300).hex().encode() + b"<p>")
    # Without what is new each time: by chance zeros are deflate's own, and only the sum at the end tells of them.
    same = re.sub(rb"(?<=urn:uuid:)[0-9a-f-]{36}|(?<=WARC-Date: )[^\r]+", b"1", b"".join(made))
    packed = gzip.compress(same)
    assert pages(read_all(WarcReader(), write(tmp_path, packed), 64)[0]) == others(200)
    cut = read_all(WarcReader(), write(tmp_path, packed[: len(packed) // 2]))[0]
    assert 80 < len(pages(cut)) < 120 and pages(cut) == [str(i) for i in range(len(pages(cut)))]
    assert errors(cut) == ["read.truncated"]
    broken = bytearray(packed)
    broken[len(packed) // 2 : len(packed) // 2 + 400] = bytes(400)
    hit = read_all(WarcReader(), write(tmp_path, bytes(broken)))[0]
    assert 80 < len(pages(hit)) < 120, "deflate cannot be entered again behind the damage"
    assert errors(hit) == ["read.corrupt"] or len(errors(hit)) > 1


def test_records_across_members(tmp_path, read_all, members):
    """As bgzip packs: blocks of equal size, without regard to records. Behind damage reading goes on."""
    data = b"".join(members(60, gzip=False))
    blocks = [gzip.compress(data[i : i + 997]) for i in range(0, len(data), 997)]
    whole = read_all(WarcReader(), write(tmp_path, b"".join(blocks)))
    assert pages(whole[0]) == others(60)
    assert read_all(WarcReader(), write(tmp_path, b"".join(blocks)), 500) == whole
    middle = len(blocks) // 2
    damaged = b"".join([*blocks[:middle], b"\x00" * len(blocks[middle]), *blocks[middle + 1 :]])
    records, _ = read_all(WarcReader(), write(tmp_path, damaged))
    lost = set(others(60)) - set(pages(records))
    assert 1 <= len(lost) <= 5 and errors(records)


def test_wrong_lengths_in_a_plain_file(tmp_path, read_all, members):
    made = members(5, gzip=False)
    length = int(made[2].split(b"Content-Length: ")[1].split(b"\r\n")[0])
    for wrong in (0, 1, length - 3, length + 40, length + 700, 10**6, 10**12, 10**15, -1, "x", ""):
        hit = made[2].replace(b"Content-Length: %d" % length, f"Content-Length: {wrong}".encode(), 1)
        records, _ = read_all(WarcReader(), write(tmp_path, b"".join([*made[:2], hit, *made[3:]]), "x.warc"))
        assert pages(records) == others(5, 2), wrong
        assert errors(records) == ["read.length"], wrong
        bad = next(record for record in records if record.error)
        assert bad.html.startswith(b"WARC/1.0") and b"page 2" in bad.html


def test_wrong_length_in_a_member(tmp_path, read_all, members):
    made = members(5, gzip=False)
    hit = made[2].replace(b"Content-Length: ", b"Content-Length: 9", 1)
    packed = [gzip.compress(text) for text in [*made[:2], hit, *made[3:]]]
    records, _ = read_all(WarcReader(), write(tmp_path, b"".join(packed)))
    assert pages(records) == others(5, 2)
    assert errors(records) == ["read.truncated"]


def test_garbage_in_a_plain_file(tmp_path, read_all, members):
    made = members(3, gzip=False)
    path = write(tmp_path, b"".join([made[0], b"some junk", made[1], b"\nmore\njunk\n\n", made[2]]), "x.warc")
    records, _ = read_all(WarcReader(), path)
    assert pages(records) == others(3)
    assert errors(records) == ["read.garbage", "read.garbage"]
    junk = [record.html for record in records if record.error]
    assert junk[0].strip() == b"some junk" and junk[1].strip() == b"more\njunk"


@given(data=st.data())
@settings(max_examples=150)
def test_no_bytes_crash_the_reader_or_lose_a_distant_record(tmp_path_factory, read_all, members, data):
    made = members(6)
    hit = data.draw(st.integers(0, 5))
    junk = data.draw(st.binary(max_size=80))
    at = len(made[hit]) * data.draw(st.integers(0, 1000)) // 1000
    damaged = made[hit][:at] + junk + made[hit][at + data.draw(st.integers(0, 60)) :]
    path = write(tmp_path_factory.mktemp("fuzz"), b"".join([*made[:hit], damaged, *made[hit + 1 :]]))
    found, ignored = read_all(WarcReader(), path)
    assert set(others(6, hit)) <= set(pages(found))
    again = read_all(WarcReader(), path, data.draw(st.integers(20, 3000)))
    assert again == (found, ignored)


# --- splits ---------------------------------------------------------------------------------------------------------


@given(split_bytes=st.integers(1, 6000))
@settings(max_examples=60)
def test_any_split_size_gives_the_same_records(tmp_path_factory, read_all, members, split_bytes):
    path = tmp_path_factory.getbasetemp() / "splits.warc.gz"
    if not path.exists():
        path.write_bytes(b"".join(members(25)))
    whole = read_all(WarcReader(), path)
    assert pages(whole[0]) == others(25)
    assert read_all(WarcReader(), path, split_bytes) == whole


def test_zstd_records_and_splits(tmp_path, read_all, members):
    made = members(30, gzip=False)
    frames = [zstandard.ZstdCompressor(write_checksum=i % 2 == 0).compress(text) for i, text in enumerate(made)]
    path = write(tmp_path, b"".join(frames), "x.warc.zst")
    whole = read_all(WarcReader(), path)
    assert pages(whole[0]) == others(30)
    assert read_all(WarcReader(), path, 400) == whole
    frames[4] = frames[4][:40] + b"\xff\xff" + frames[4][42:]  # with a checksum
    records, _ = read_all(WarcReader(), write(tmp_path, b"".join(frames), "x.warc.zst"))
    assert pages(records) == others(30, 4) and len(errors(records)) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_zstd_with_a_dictionary(tmp_path, read_all, members, packed):
    made = members(40, gzip=False)
    dictionary = zstandard.train_dictionary(2048, made)
    content = zstandard.ZstdCompressor().compress(dictionary.as_bytes()) if packed else dictionary.as_bytes()
    head = b"\x5d\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    path = write(tmp_path, head + b"".join(map(compressor.compress, made)), "x.warc.zst")
    whole = read_all(WarcReader(), path)
    assert pages(whole[0]) == others(40) and not errors(whole[0])
    assert read_all(WarcReader(), path, 900) == whole


def test_suffixes():
    for path in "a.warc a.warc.gz a.warc.zst a.arc a.arc.gz a.warc.wet.gz s3://b/a.WARC.GZ dir/*.warc.gz".split():
        assert reader_for(path) == "warc"
    for path in "a.jsonl a.json a.ndjson a.jsonl.gz a.json.zst a.jsonl.bz2".split():
        assert reader_for(path) == "jsonl"
    assert reader_for("a.parquet") == "parquet"
    assert reader_for("a.parquet.gz") is reader_for("a.csv") is reader_for("folder") is None
    assert all(get_args(kind.model_fields["use"].annotation) == (use,) for use, kind in READERS.items())


def test_remote_paths(read_all, members):
    import fsspec

    data = b"".join(members(5))
    with fsspec.open("memory://crawl/x.warc.gz", "wb") as file:
        file.write(data)
    reader = WarcReader()
    found = [
        record
        for split in reader.splits(len(data), "memory://crawl/x.warc.gz", 400)
        for record in reader.read(split, Counter())
    ]
    assert pages(found) == others(5)


# --- limits ---------------------------------------------------------------------------------------------------------


def test_bombs_are_read_over_in_bounded_memory(tmp_path, read_all, members):
    before, after = members(2)
    size = 200 << 20
    header = b"WARC/1.0\r\nWARC-Type: resource\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size
    pack = zlib.compressobj(9, wbits=31)
    bomb = pack.compress(header) + b"".join(pack.compress(bytes(1 << 20)) for _ in range(200)) + pack.flush()
    path = write(tmp_path, before + bomb + after)
    reader = WarcReader(max_record_bytes=1 << 20)
    tracemalloc.start()
    records, _ = read_all(reader, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pages(records) == others(2) and errors(records) == ["read.too_large"]
    assert peak < 12 << 20
    assert len(records[1].html) <= 1 << 20


def test_a_large_record_in_a_plain_file_is_stepped_over(tmp_path, read_all, members):
    made = members(3, gzip=False)
    made[1] = record(body=b"x" * 50_000)
    records, _ = read_all(WarcReader(max_record_bytes=10_000), write(tmp_path, b"".join(made), "x.warc"))
    assert pages(records) == ["0", "2"] and errors(records) == ["read.too_large"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_bodies_that_unpack_too_far(tmp_path, read_all, coding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.ZstdCompressor().compress}[coding]
    data = record(headers=[("Content-Type", "text/html"), ("Content-Encoding", coding)], body=pack(bytes(4 << 20)))
    assert read_one(tmp_path, read_all, data, WarcReader(max_record_bytes=1 << 20)).error == "read.too_large"


# --- which records are documents ------------------------------------------------------------------------------------

PAGE = b"<html><body><p>hello</p></body></html>"


@pytest.mark.parametrize(
    ("data", "drop"),
    [
        (record("404 Not Found"), "read.status"),
        (record("301 Moved"), "read.status"),
        (record(headers=[("Content-Type", "image/png")], body=b"\x89PNG"), "read.content_type"),
        (record(headers=[("Content-Type", "application/json")], body=b"{}"), "read.content_type"),
        (record(headers=[], body=b"\x89PNG\r\n\x1a\n\x00\x00"), "read.content_type"),
        (record(body=b""), "read.empty"),
        (record(body=b" \r\n"), "read.empty"),
        (record(kind="revisit"), "read.revisit"),
    ],
)
def test_records_that_are_no_documents(tmp_path, read_all, data, drop):
    found = read_one(tmp_path, read_all, data)
    assert found.drop == drop and found.error is None and found.url == "http://x.test/0"


@pytest.mark.parametrize("kind", ["text/html", "application/xhtml+xml", "TEXT/HTML;charset=UTF-8", "", "text"])
def test_pages(tmp_path, read_all, kind):
    found = read_one(tmp_path, read_all, record(headers=[("Content-Type", kind)] if kind else [], body=PAGE))
    assert found.html == PAGE and found.text is None
    assert found.url == "http://x.test/0" and found.doc_id.startswith("urn:uuid:") and found.date.startswith("20")


def test_charset_of_the_header_is_kept(tmp_path, read_all):
    data = record(headers=[("Content-Type", 'text/html; charset="windows-1251"')], body=PAGE)
    assert read_one(tmp_path, read_all, data).charset == "windows-1251"


@pytest.mark.parametrize("kind", ["resource", "conversion"])
def test_text_without_http(tmp_path, read_all, kind):
    data = record(kind=kind, headers=[("Content-Type", "text/plain")], body="Grüße\n".encode())
    assert read_one(tmp_path, read_all, data).text == "Grüße\n"


def test_plain_text_is_decoded_by_its_charset(tmp_path, read_all):
    data = record(headers=[("Content-Type", "text/plain; charset=koi8-r")], body="привет, мир".encode("koi8-r"))
    assert read_one(tmp_path, read_all, data).text == "привет, мир"


def test_records_about_the_crawl_are_counted(tmp_path, read_all):
    data = b"".join(
        record(kind=kind, headers=[("Content-Type", "text/plain")], body=b"a: b\r\n")
        for kind in ("warcinfo", "metadata", "unheard-of")
    )
    records, ignored = read_all(WarcReader(), write(tmp_path, data, "x.warc"))
    assert records == []
    assert ignored == {"warcinfo": 1, "metadata": 1, "unheard-of": 1}


def resolved(revisit, records):
    """The record of which one is a revisit: by its id, by address and time, or by what it holds, as its docs say."""
    signals = revisit.signals
    others = [other for other in records if other.drop != "read.revisit"]
    for other in others:
        if signals["refers_to"] and other.doc_id == signals["refers_to"]:
            return other
    for other in others:
        if signals["refers_to_url"] and (other.url, other.date) == (
            signals["refers_to_url"],
            signals["refers_to_date"],
        ):
            return other
    for other in others:
        if signals["payload_digest"] and other.signals["payload_digest"] == signals["payload_digest"]:
            return other
    return None


def test_a_revisit_says_which_record_has_its_text(tmp_path, read_all):
    first = record(body=PAGE, **{"WARC-Record-ID": "<urn:uuid:1>", "WARC-Date": "2020-01-01T00:00:00Z"})
    second = record(body=PAGE * 2, **{"WARC-Record-ID": "<urn:uuid:2>", "WARC-Date": "2021-01-01T00:00:00Z"})
    profile = "http://netpreserve.org/warc/1.1/revisit/"
    (original,) = read_all(WarcReader(), write(tmp_path, first, "x.warc"))[0]
    revisits = [
        {"WARC-Profile": profile + "identical-payload-digest", "WARC-Refers-To": "<urn:uuid:2>"},
        {"WARC-Profile": profile + "server-not-modified", "WARC-Refers-To": "<urn:uuid:1>"},
        {
            "WARC-Profile": profile + "identical-payload-digest",
            "WARC-Refers-To-Target-URI": "http://x.test/0",
            "WARC-Refers-To-Date": "2021-01-01T00:00:00Z",
        },
        {
            "WARC-Profile": profile + "identical-payload-digest",
            "WARC-Payload-Digest": original.signals["payload_digest"],
        },
        {"WARC-Profile": profile + "identical-payload-digest", "WARC-Refers-To": "<urn:uuid:9>"},
    ]
    data = b"".join([first, second, *(record(kind="revisit", body=b"", **headers) for headers in revisits)])
    records, _ = read_all(WarcReader(), write(tmp_path, data, "x.warc"))
    assert [record.drop for record in records] == [None, None, *["read.revisit"] * 5]
    found = [resolved(record, records) for record in records[2:]]
    assert [other and other.doc_id for other in found] == ["urn:uuid:2", "urn:uuid:1", "urn:uuid:2", "urn:uuid:1", None]


def test_one_address_twice_is_two_documents(tmp_path, read_all):
    first, second = read_all(WarcReader(), write(tmp_path, record(body=PAGE) + record(body=PAGE * 2), "x.warc"))[0]
    assert first.url == second.url and (first.html, second.html) == (PAGE, PAGE * 2)


@pytest.mark.parametrize("why", ["length", "time", "disconnect", None])
def test_pages_that_the_crawler_cut_say_so(tmp_path, read_all, why):
    found = read_one(tmp_path, read_all, record(body=PAGE, **({"WARC-Truncated": why} if why else {})))
    assert found.html == PAGE
    assert (found.signals["cut"], found.signals["cut_by"]) == (why is not None, why)


CHUNKED = b"6\r\n<html>\r\n11;ext=1\r\n<p>hello</p></htm\r\n2\r\nl>\r\n0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Transfer-Encoding": "chunked"}, CHUNKED, b"<html><p>hello</p></html>"),
        ({"Transfer-Encoding": "chunked"}, CHUNKED[: CHUNKED.rindex(b"0\r\n")], b"<html><p>hello</p></html>"),
        ({"Transfer-Encoding": "chunked"}, PAGE, PAGE),
        ({"Content-Encoding": "gzip"}, gzip.compress(PAGE), PAGE),
        ({"Content-Encoding": "x-gzip"}, gzip.compress(PAGE) + b"padding", PAGE),
        ({"Content-Encoding": "gzip"}, PAGE, PAGE),
        ({"Content-Encoding": "deflate"}, zlib.compress(PAGE), PAGE),
        ({"Content-Encoding": "deflate"}, zlib.compress(PAGE)[2:-4], PAGE),
        ({"Content-Encoding": "deflate"}, PAGE, PAGE),
        ({"Content-Encoding": "zstd"}, zstandard.ZstdCompressor().compress(PAGE), PAGE),
        ({"Content-Encoding": "br"}, PAGE, PAGE),
        ({"Content-Encoding": "utf-8"}, PAGE, PAGE),
        ({"Content-Encoding": "gzip, gzip"}, gzip.compress(gzip.compress(PAGE)), PAGE),
        ({"Transfer-Encoding": "chunked"}, b"zz\r\n" + PAGE, b"zz\r\n" + PAGE),
    ],
)
def test_encodings_of_bodies(tmp_path, read_all, headers, body, expected):
    data = record(headers=[("Content-Type", "text/html"), *headers.items()], body=body)
    assert read_one(tmp_path, read_all, data).html == expected


def test_brotli(tmp_path, read_all):
    from fastwarc.stream_io import BrotliWriter

    out = io.BytesIO()
    writer = BrotliWriter(out)
    writer.write(PAGE)
    writer.close()
    packed = out.getvalue()
    headers = [("Content-Type", "text/html"), ("Content-Encoding", "br")]
    assert read_one(tmp_path, read_all, record(headers=headers, body=packed)).html == PAGE
    cut = read_one(tmp_path, read_all, record(headers=headers, body=b"\x00\xff" + packed[5:-8]))
    assert cut.error == "read.content_encoding"


@pytest.mark.parametrize(
    ("headers", "body", "what"),
    [
        ({"Transfer-Encoding": "chunked"}, b"6\r\n<html>\r\nzz\r\nrest", "chunked"),
        ({"Transfer-Encoding": "chunked"}, b"6\r\n<html>\r\n99\r\nrest", "chunked"),
        ({"Content-Encoding": "gzip"}, gzip.compress(PAGE * 50)[:-20], "content_encoding"),
        (
            {"Content-Encoding": "zstd"},
            zstandard.ZstdCompressor().compress(PAGE)[:-9] + b"\x00\xff",
            "content_encoding",
        ),
        ({"Content-Encoding": "bzip2"}, bz2.compress(PAGE), "content_encoding"),
    ],
)
def test_broken_bodies_are_quarantined_unless_the_crawler_cut_them(tmp_path, read_all, headers, body, what):
    headers = [("Content-Type", "text/html"), *headers.items()]
    found = read_one(tmp_path, read_all, record(headers=headers, body=body))
    assert found.error == f"read.{what}" and found.url == "http://x.test/0" and b"HTTP/1.1" in found.html
    if what == "chunked" or b"gzip" in found.html:
        cut = read_one(tmp_path, read_all, record(headers=headers, body=body, **{"WARC-Truncated": "length"}))
        assert cut.error is None and cut.html.startswith(b"<html>")


def test_a_response_without_http_is_an_error(tmp_path, read_all):
    data = record(body=PAGE).replace(b"HTTP/1.1 200 OK", b"XXXX/1.1 200 OK")
    assert read_one(tmp_path, read_all, data).error == "read.http"


def test_arc(tmp_path, read_all):
    http = b"HTTP/1.0 200 OK\nContent-Type: text/html\n\n" + PAGE
    head = b"filedesc://a.arc 0.0.0.0 20010203040506 text/plain 5\n1 0 X\n\n"
    line = b"http://x.test/a b 10.0.0.1 20010203040506 text/html %d\n"
    good = line % len(http) + http + b"\n"
    for packed in (False, True):
        parts = [head, good, line % (len(http) + 9) + http + b"\n", good]
        data = b"".join(map(gzip.compress, parts)) if packed else b"".join(parts)
        records, ignored = read_all(WarcReader(), write(tmp_path, data, "x.arc.gz" if packed else "x.arc"))
        assert ignored == {"filedesc": 1}
        assert [record.html for record in records if not record.error] == [PAGE, PAGE]
        assert len(errors(records)) == 1
        assert records[0].url == "http://x.test/a b" and records[0].date == "2001-02-03T04:05:06Z"
        assert records[0].signals == {}


def test_an_empty_file_has_no_splits(tmp_path, read_all):
    assert read_all(WarcReader(), write(tmp_path, b"")) == ([], Counter())
