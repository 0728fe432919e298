"""Dumps of wikis written with lxml after the export-0.11 schema: every page once, whatever packing and damage do."""

import bz2
import gzip
import random
import tracemalloc
from collections import Counter

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from pipeline.readers import WikipediaReader, reader_for
from pipeline.readers.elements import elements

SCHEMA = "http://www.mediawiki.org/xml/export-0.11/"
NAMES = {-2: "Media", -1: "Special", 0: "", 1: "Talk", 2: "User", 6: "File", 10: "Template", 14: "Category"}


def element(tag, text=None, *children, **attributes):
    made = etree.Element(tag, attributes)
    made.text = text
    made.extend(children)
    return made


def page(i, text=None, *, ns=0, title=None, revisions=1, model="wikitext", redirect=None):
    """The XML of a page, in the order of the schema, with as many revisions."""
    text = f"Text of page {i}, '''naïve''' & [[plain]]." if text is None else text
    made = element(
        "page",
        None,
        element("title", title or f"Page {i}"),
        element("ns", str(ns)),
        element("id", str(i)),
        *([element("redirect", None, title=redirect)] if redirect else []),
    )
    for number in range(revisions):
        shown = text if number == revisions - 1 else "old text"
        body = element("text", shown, bytes=str(len(shown.encode())), sha1="x")
        body.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
        made.append(
            element(
                "revision",
                None,
                element("id", str(100 * i + number)),
                element("timestamp", f"20{10 + number}-01-02T03:04:05Z"),
                element("contributor", None, element("username", "<page>"), element("id", "1")),
                element("comment", "a </page> in a comment"),
                element("model", model),
                element("format", "text/x-wiki"),
                body,
            )
        )
    return b"  " + etree.tostring(made, encoding="utf-8") + b"\n"


def head(base="https://de.wikipedia.org/wiki/Wikipedia:Hauptseite", language="de", **names):
    spaces = {**{str(key): name for key, name in NAMES.items()}, **names}
    info = element(
        "siteinfo",
        None,
        element("sitename", "W"),
        element("base", base),
        element("namespaces", None, *(element("namespace", name or None, key=key) for key, name in spaces.items())),
    )
    start = f'<mediawiki xmlns="{SCHEMA}" version="0.11" xml:lang="{language}">\n'
    return start.encode() + etree.tostring(info, encoding="utf-8") + b"\n"


TAIL = b"</mediawiki>\n"


def write(tmp_path, data, name="x.xml"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def multistream(pages, each=3, start=None):
    """Packed as Wikimedia does: the head, then some pages a stream, then the tail."""
    streams = [b"".join(pages[i : i + each]) for i in range(0, len(pages), each)]
    return b"".join(bz2.compress(data) for data in (start or head(), *streams, TAIL))


def ids(records):
    return [record.doc_id for record in records if record.text]


def errors(records):
    return [record.error for record in records if record.error]


# --- pages ----------------------------------------------------------------------------------------------------------


def test_a_page(tmp_path, read_all):
    text = "== Über ==\n[[Datei:X.png|mini]]'''A''' [[b|c]]<ref>d</ref>\n[[Kategorie:E]]"
    data = head(**{"6": "Datei", "14": "Kategorie"}) + page(7, text, title="Größe? A & B/C", revisions=2) + TAIL
    (record,) = read_all(WikipediaReader(), write(tmp_path, data))[0]
    assert record.title == "Größe? A & B/C"
    assert record.text == "# Größe? A & B/C\n\n## Über\n\nA c"
    assert record.url == "https://de.wikipedia.org/wiki/Gr%C3%B6%C3%9Fe%3F_A_%26_B/C"
    assert (record.date, record.language, record.doc_id) == ("2011-01-02T03:04:05Z", "de", "7")
    assert record.license == "CC-BY-SA-4.0"
    assert set(record.signals) == set(WikipediaReader.signals) == set(WikipediaReader.units)
    assert record.signals["bytes"] == len(text.encode())
    told = {name: record.signals[name] for name in ("links", "references", "images", "categories", "sections", "stub")}
    assert told == {"links": 1, "references": 1, "images": 1, "categories": 1, "sections": 1, "stub": False}
    for name, value in record.signals.items():
        assert value is None or isinstance(value, WikipediaReader.signals[name])


def test_pages_that_are_no_documents(tmp_path, read_all):
    pages = [
        page(1),
        page(2, "#REDIRECT [[Page 1]]", redirect="Page 1"),
        page(3, "#redirect [[Page 1]]"),
        page(4, "body {}", model="css"),
        page(5, " "),
        page(6, "{{navbox}}"),
        page(7, ns=10),
        page(8, "a [[User:B|B]]", ns=1, title="Talk:Page 1"),
    ]
    path = write(tmp_path, head() + b"".join(pages) + TAIL)
    records, ignored = read_all(WikipediaReader(), path)
    assert [record.drop for record in records] == [
        *(None, "read.redirect", "read.redirect", "read.content_type", "read.empty", "read.empty")
    ]
    assert ignored == {"namespace": 2}
    records, ignored = read_all(WikipediaReader(namespaces=(1,)), path)
    assert [(record.doc_id, record.signals["namespace"]) for record in records] == [("8", 1)]
    assert ignored == {"namespace": 7}


def test_signals_of_titles_and_templates(tmp_path, read_all):
    pages = [
        page(1, "a {{Good article}}", title="List of things"),
        page(2, "a {{disambiguation}}"),
        page(3, "a {{Physik-stub}}"),
    ]
    records, _ = read_all(WikipediaReader(), write(tmp_path, head() + b"".join(pages)))
    told = [[name for name in ("list", "disambiguation", "stub", "quality") if r.signals[name]] for r in records]
    assert told == [["list", "quality"], ["disambiguation"], ["stub"]]


def test_other_wikis_have_no_licence_of_their_own(tmp_path, read_all):
    for base, language in (("https://wiki.example.org/index.php?title=Main", "en"), ("", "fr")):
        (record,) = read_all(WikipediaReader(), write(tmp_path, head(base, language) + page(1)))[0]
        assert record.license is None and record.language == language
        assert record.url == (base[:-4] + "Page_1" if base else None)
    (record,) = read_all(WikipediaReader(), write(tmp_path, page(1)))[0]
    assert (record.url, record.language) == (None, None)


def test_settings(tmp_path, read_all):
    path = write(tmp_path, head(language="en") + page(1, "{{My_box|a}} b\n== See also ==\nc"))
    (record,) = read_all(WikipediaReader(templates={"my box": "<{1}>"}, back_matter=True), path)[0]
    assert record.text == "# Page 1\n\n<a> b\n\n## See also\n\nc"
    for wrong in ("{1", "[{1}", "{1}]"):
        with pytest.raises(ValueError, match="other half"):
            WikipediaReader(templates={"x": wrong})


def test_files_that_are_no_dumps(tmp_path):
    for data in (b"<posts>", b"PK\x03\x04", head().decode().encode("utf-16")):
        path = write(tmp_path, data)
        with pytest.raises(ValueError, match="MediaWiki"):
            WikipediaReader().splits(len(data), str(path), 100)
    assert WikipediaReader().splits(0, str(write(tmp_path, b"")), 100) == []


def test_dumps_are_known_by_their_names():
    names = ("enwiki-20240101-pages-articles-multistream1.xml-p1p41242.bz2", "dewiki-latest-pages-meta-current.xml")
    assert {reader_for(f"dumps/{name}") for name in names} == {"wikipedia"}
    assert reader_for("enwiki-20240101-pages-articles-multistream-index.txt.bz2") is None


# --- splits ---------------------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(0, 300), max_size=12),
    cuts=st.lists(st.integers(0, 1 << 14), max_size=8),
    split_bytes=st.integers(1, 2000),
    plain=st.booleans(),
)
def test_every_page_is_in_one_split(tmp_path_factory, read_all, sizes, cuts, split_bytes, plain):
    """Also where streams end in the middle of a page, as those of packers with threads do."""
    data = head() + b"".join(page(i, "é" * size + "x") for i, size in enumerate(sizes)) + TAIL
    if not plain:
        bounds = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
        parts = [data[lo:hi] for lo, hi in zip(bounds, bounds[1:], strict=False)]
        data = b"".join(map(bz2.compress, parts))
    path = write(tmp_path_factory.getbasetemp(), data, "splits.xml" if plain else "splits.xml.bz2")
    whole = read_all(WikipediaReader(), path)
    assert ids(whole[0]) == [str(i) for i in range(len(sizes))]
    assert read_all(WikipediaReader(), path, split_bytes) == whole


@pytest.mark.parametrize("name", ["x.xml.bz2", "x.xml.gz", "x.xml.zst", "x.xml"])
def test_packed_files_hold_the_same(tmp_path, read_all, name):
    pages = [page(i) for i in range(40)]
    data = head() + b"".join(pages) + TAIL
    pack = {
        "bz2": lambda: multistream(pages),
        "gz": lambda: gzip.compress(data),
        "zst": lambda: zstandard.ZstdCompressor().compress(data),
        "xml": lambda: data,
    }[name.rpartition(".")[2]]
    path = write(tmp_path, pack(), name)
    records, _ = read_all(WikipediaReader(), path, 500)
    assert ids(records) == [str(i) for i in range(40)]
    splits = WikipediaReader().splits(path.stat().st_size, str(path), 500)
    assert (len(splits) > 5) == (name in ("x.xml", "x.xml.bz2"))


def test_a_parser_of_whole_files_finds_the_same_pages(tmp_path, read_all):
    rng = random.Random(5)
    pages = [page(i, rng.choice(["a", "b\n" * 50, "c" * 5000]), ns=rng.choice([0, 0, 1])) for i in range(200)]
    path = write(tmp_path, multistream(pages, 7), "x.xml.bz2")
    tree = etree.fromstring(bz2.decompress(path.read_bytes()))
    expected = [p.findtext("{*}id") for p in tree.iterfind("{*}page") if p.findtext("{*}ns") == "0"]
    records, ignored = read_all(WikipediaReader(), path, 300)
    assert ids(records) == expected and ignored["namespace"] == 200 - len(expected)


# --- damage ---------------------------------------------------------------------------------------------------------


def test_pages_that_are_damaged_cost_only_themselves(tmp_path, read_all):
    whole = page(3)
    broken = {
        whole.replace(b"</title>", b"</titel>"): "read.xml",
        whole.replace("ï".encode(), b"\xef"): "read.xml",
        whole.replace(b"&amp;", b"&bomb;"): "read.xml",
        whole.replace(b"</page>", b""): "read.truncated",
        whole.replace(b"<title>Page 3</title>", b""): "read.page",
        b"<page><title>x</title><ns>0</ns></page>": "read.page",
        b'<page><!DOCTYPE x [<!ENTITY a "b">]>&a;</page>': "read.xml",
    }
    for data, error in broken.items():
        path = write(tmp_path, head() + page(1) + page(2) + data + page(4) + TAIL)
        for split_bytes in (1 << 30, 97):
            records, _ = read_all(WikipediaReader(), path, split_bytes)
            assert ids(records) == ["1", "2", "4"]
            assert errors(records) == [error]
            assert all(record.html for record in records if record.error)


@pytest.mark.parametrize("split_bytes", [1 << 30, 400, 90])
def test_streams_that_are_damaged_cost_only_their_pages(tmp_path, read_all, split_bytes):
    rng = random.Random(11)
    pages = [page(i, rng.randbytes(30).hex()) for i in range(24)]
    streams = [head(), *(b"".join(pages[i : i + 3]) for i in range(0, 24, 3)), TAIL]
    packed = [bz2.compress(stream) for stream in streams]
    for _ in range(40):
        hit = rng.randrange(1, 9)
        damaged = bytearray(packed[hit])
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path = write(tmp_path, b"".join([*packed[:hit], bytes(damaged), *packed[hit + 1 :]]), "x.xml.bz2")
        records, _ = read_all(WikipediaReader(), path, split_bytes)
        lost = {str(i) for i in range(24)} - set(ids(records))
        assert lost <= {str(i) for i in range(3 * hit - 3, 3 * hit)}
        told = errors(records)
        assert told in ([], ["read.corrupt"], ["read.garbage"])
        assert told or not lost  # some bits at the ends of a stream mean nothing


def test_garbage_between_streams(tmp_path, read_all):
    packed = [bz2.compress(data) for data in (head(), page(1), page(2), TAIL)]
    for junk in (b"\x00" * 300, b"BZh9", b"BZh91AY&SY" + b"x" * 30):
        path = write(tmp_path, packed[0] + packed[1] + junk + packed[2] + junk + packed[3], "x.xml.bz2")
        for split_bytes in (1 << 30, 50):
            records, _ = read_all(WikipediaReader(), path, split_bytes)
            assert ids(records) == ["1", "2"]
            assert len(errors(records)) == 2


@pytest.mark.parametrize("name", ["x.xml", "x.xml.bz2", "x.xml.gz", "x.xml.zst"])
def test_every_truncation_keeps_what_is_whole(tmp_path, read_all, name):
    rng = random.Random(2)
    pages = [page(i, rng.randbytes(200).hex()) for i in range(60)]
    data = head() + b"".join(pages) + TAIL
    pack = {
        "xml": lambda: data,
        "bz2": lambda: multistream(pages, 5),
        "gz": lambda: gzip.compress(data),
        "zst": lambda: zstandard.ZstdCompressor().compress(data),
    }
    packed = pack[name.rpartition(".")[2]]()
    for share in (0.05, 0.3, 0.6, 0.999):
        path = write(tmp_path, packed[: int(len(packed) * share)], name)
        records, _ = read_all(WikipediaReader(), path)
        assert ids(records) == [str(i) for i in range(len(ids(records)))]
        assert len(ids(records)) >= (0 if name.endswith("zst") else 60 * share - 7)
        assert set(errors(records)) <= {"read.truncated"} and len(errors(records)) <= 1


def test_large_pages_are_not_held(tmp_path, read_all):
    large = page(2, "x" * 30_000_000)
    packed = write(tmp_path, multistream([page(1), large, page(3)], 1), "x.xml.bz2")
    plain = write(tmp_path, head() + page(1) + large + page(3) + TAIL)
    for path in (packed, plain):
        tracemalloc.start()
        records, _ = read_all(WikipediaReader(max_record_bytes=2_000_000), path, 1 << 20)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert ids(records) == ["1", "3"] and errors(records) == ["read.too_large"]
        assert max(len(record.html or b"") for record in records) <= 1 << 20
        assert peak < 20_000_000


def test_wikitext_that_no_wiki_would_save(tmp_path, read_all):
    path = write(tmp_path, head() + page(1, "[[a]]" * 2_000_000) + page(2) + TAIL)
    records, _ = read_all(WikipediaReader(), path)
    assert ids(records) == ["2"] and errors(records) == ["read.too_large"]


def test_a_million_empty_pages_in_one_stream_have_their_own_offsets(tmp_path):
    path = write(tmp_path, bz2.compress(b"<page></page>" * 70_000) + bz2.compress(b"<page></page>" * 3), "x.xml.bz2")
    reader = WikipediaReader()
    (split,) = reader.splits(path.stat().st_size, str(path), 1 << 30)
    found = Counter(element.offset for element in elements(split, b"<page>", b"</page>", 1000))
    assert len(found) == 70_003 and set(found.values()) == {1}
