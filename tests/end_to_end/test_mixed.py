"""The recipe for a mixture: an encyclopedia, books, papers, questions, code and web pages through one run."""

import gzip
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from lxml import etree

Run = Callable[..., subprocess.CompletedProcess[str]]
Data = Callable[[str], Path]
Stats = Callable[[Path], dict[str, dict[str, Any]]]

ORDER = ("wiki", "books", "papers", "qa", "code", "web")
WIKI = "http://www.mediawiki.org/xml/export-0.11/"
ARTICLES, BOOKS, PAPERS, PROGRAMS, PAGES = 30, 4, 20, 60, 60


@dataclass(frozen=True)
class Mixed:
    """A finished run over all kinds, how many records each source has, and what some of them say of themselves."""

    run: Path
    records: dict[str, int]
    articles: list[str]
    """Titles."""
    posts: Path
    copy: str
    """The address of a page that has the text of the first article."""


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def wiki(folder: Path, articles: list[dict[str, str]]) -> int:
    """A dump of articles, one that is too short, a redirect, and a talk page, which is not even a record."""
    pages = [(0, row["path"], row["text"], None) for row in articles]
    pages += [(0, "Short", "Short.", None), (0, "Old name", "#REDIRECT [[Short]]", "Short"), (1, "Talk:A", "Hm.", None)]
    root = etree.Element("mediawiki", nsmap={None: WIKI}, version="0.11")
    info = etree.SubElement(root, "siteinfo")
    etree.SubElement(info, "sitename").text = "Wikipedia"
    etree.SubElement(info, "base").text = "https://en.wikipedia.org/wiki/Main_Page"
    spaces = etree.SubElement(info, "namespaces")
    etree.SubElement(spaces, "namespace", key="0")
    etree.SubElement(spaces, "namespace", key="1").text = "Talk"
    for number, (space, title, text, target) in enumerate(pages, 1):
        page = etree.SubElement(root, "page")
        for tag, value in (("title", title), ("ns", str(space)), ("id", str(number))):
            etree.SubElement(page, tag).text = value
        if target is not None:
            etree.SubElement(page, "redirect", title=target)
        revision = etree.SubElement(page, "revision")
        for tag, value in (("id", "1"), ("timestamp", "2024-01-02T03:04:05Z"), ("model", "wikitext"), ("text", text)):
            etree.SubElement(revision, tag).text = value
    (folder / "enwiki.xml").write_bytes(etree.tostring(root, encoding="utf-8", pretty_print=True))
    return len(articles) + 2


def books(folder: Path, novels: list[dict[str, str]]) -> int:
    for row in novels:
        author, title = row["path"].split("_")[:2]
        (folder / row["path"]).write_text(
            f"The Project Gutenberg eBook of {title}\n\nTitle: {title}\n\nAuthor: {author}\n\n"
            f"*** START OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***\n\n{row['text'][:60000]}\n\n"
            f"*** END OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***\n",
            encoding="utf-8",
        )
    return len(novels)


def papers(folder: Path, rows: list[dict[str, Any]]) -> int:
    """An archive as arXiv makes them: a packed source for each paper, and one paper that is there as PDF only."""
    with tarfile.open(folder / "arXiv_src_2208_001.tar", "w") as archive:
        for row in rows:
            source = (
                "\\documentclass{article}\n\\title{On " + row["meta"]["arxiv_id"] + "}\n\\author{A. Author}\n"
                f"\\begin{{document}}\n\\maketitle\n{row['text']}\n\\end{{document}}\n"
            )
            add(archive, f"2208/{row['meta']['arxiv_id']}.gz", gzip.compress(source.encode(), mtime=0))
        add(archive, "2208/2208.00001.pdf", b"%PDF-1.5\n")
    return len(rows) + 1


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def code(folder: Path, rows: list[dict[str, str]], mit: str) -> int:
    """Two repositories, of which one has no licence, and the other's is a record too."""
    for number, row in enumerate(rows):
        path = folder / ("open" if number >= 5 else "closed") / row["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(row["text"], encoding="utf-8")
    (folder / "open" / "LICENSE").write_text(mit, encoding="utf-8")
    return len(rows) + 1


def web(path: Path, crawl: Path, copied: str) -> tuple[int, str]:
    """Pages of a real crawl, a page that has the text of an article, and one that is cut off."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.warcwriter import WARCWriter

    address = "https://mirror.example.org/encyclopedia/an-article.html"
    html = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in copied.split("\n") if paragraph.strip())
    with crawl.open("rb") as stream, path.open("wb") as out:
        writer = WARCWriter(out, gzip=False)
        responses = (record for record in ArchiveIterator(stream) if record.rec_type == "response")
        for record in islice(responses, PAGES):
            writer.write_record(record)
        page = (
            f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<body><article>{html}</article>".encode()
        )
        for url in (address, "https://cut.example.org/"):
            fields = f"WARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Length: {len(page)}"
            out.write(f"WARC/1.0\r\n{fields}\r\n\r\n".encode() + page + b"\r\n\r\n")
    path.write_bytes(path.read_bytes()[:-1000])
    return PAGES + 2, address


@pytest.fixture(scope="module")
def mixed(test_data: Data, gristmill: Run, recipes: Path, tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    folder = tmp_path_factory.mktemp("mixed")
    inputs = {name: folder / name for name in ORDER}
    for path in inputs.values():
        path.mkdir()
    articles = list(islice(lines(test_data("READY-jsonl/wikipedia_en_dump_excerpt.jsonl.gz")), ARTICLES))
    posts = test_data("D-stackexchange/coffee/Posts.xml")
    site = inputs["qa"] / "coffee.stackexchange.com"
    site.mkdir()
    (site / "Posts.xml").symlink_to(posts)
    python = (row for row in lines(test_data("READY-jsonl/code_thealgorithms_mit.jsonl.gz")) if row["lang"] == "python")
    pages, copy = web(
        inputs["web"] / "crawl.warc", test_data("B-trafilatura-dev/trafilatura-dev.warc.gz"), articles[0]["text"]
    )
    records = {
        "wiki": wiki(inputs["wiki"], articles),
        "books": books(inputs["books"], list(islice(lines(test_data("READY-jsonl/books_en_dev14.jsonl.gz")), BOOKS))),
        "papers": papers(inputs["papers"], list(lines(test_data("D-arxiv-sample/arxiv.jsonl.gz")))),
        "qa": len(re.findall(r'PostTypeId="1"', posts.read_text(encoding="utf-8"))),
        "code": code(
            inputs["code"],
            list(islice(python, PROGRAMS)),
            json.loads(test_data("I-spdx-licenses/licenses/MIT.json").read_bytes())["licenseText"],
        ),
        "web": pages,
    }
    patterns = {
        "wiki": "*.xml",
        "books": "*.txt",
        "papers": "*.tar",
        "qa": "*/Posts.xml",
        "code": "*",
        "web": "*.warc",
    }
    settings = [f"sources.{name}.paths={json.dumps([str(inputs[name] / patterns[name])])}" for name in ORDER]
    settings.append("languages=[de, en]")
    overrides = [word for setting in settings for word in ("--set", setting)]
    run = folder / "run"
    gristmill("curate", recipes / "mixed.yaml", "--out", run, *overrides, "--workers", "2")
    return Mixed(run, records, [row["path"] for row in articles], posts, copy)


def test_every_record_of_every_source_has_one_verdict(mixed: Mixed, stats_of: Stats) -> None:
    ledger = pl.read_parquet(mixed.run / "ledger/**/*.parquet")
    assert dict(ledger.group_by("source").len().iter_rows()) == mixed.records
    sources = stats_of(mixed.run)
    assert tuple(sources) == ORDER
    for name, source in sources.items():
        rows = ledger.filter(source=name)
        assert source["read"] == mixed.records[name]
        assert source["read"] == source["kept"] + sum(source["dropped"].values()) + source["quarantined"]
        assert source["kept"] == pl.read_parquet(mixed.run / f"shards/{name}/*.parquet").height > 0
        assert source["dropped"] == dict(rows.filter(verdict="dropped").group_by("reason").len().iter_rows())
    assert {name: source["quarantine"] for name, source in sources.items() if source["quarantined"]} == {
        "web": {"read.truncated": 1}
    }
    assert sources["wiki"]["dropped"]["read.redirect"] == 1 and sources["wiki"]["ignored"] == {"namespace": 1}
    assert sources["papers"]["dropped"]["read.no_source"] == 1
    assert sources["code"]["dropped"] == {"read.unlicensed": 5, "read.language": 1}


def test_each_source_has_its_own_funnel(mixed: Mixed, gristmill: Run, stats_of: Stats) -> None:
    printed = gristmill("stats", mixed.run).stdout
    assert re.findall(r"^source (\w+)", printed, re.MULTILINE) == list(ORDER)
    steps = {name: [stage["name"] for stage in source["stages"]] for name, source in stats_of(mixed.run).items()}
    assert steps["code"] == ["read", "code", "minhash", "code_pii", "write"]
    assert steps["qa"] == ["read", "normalize", "language", "answered", "minhash", "pii", "write"]
    assert steps["web"][:5] == ["read", "url", "glance", "glance_language", "extract"]
    assert all("extract" not in steps[name] for name in ORDER if name != "web")
    total = json.loads(gristmill("stats", mixed.run, "--json").stdout)["total"]
    entered = {stage["name"]: stage["in"] for stage in total["stages"]}
    assert entered["read"] == sum(mixed.records.values())
    assert entered["url"] == mixed.records["web"] - 1 and entered["answered"] <= mixed.records["qa"]


def test_shards_say_whose_a_document_is(mixed: Mixed) -> None:
    shards = {name: pl.read_parquet(mixed.run / f"shards/{name}/*.parquet") for name in ORDER}
    assert set(shards["wiki"]["title"]) <= set(mixed.articles) and shards["wiki"].height > ARTICLES // 2
    assert set(shards["wiki"]["license"]) == {"CC-BY-SA-4.0"}
    names = shards["books"].select(pl.concat_str("author", "title", separator="_"))
    assert all(
        path.startswith(name) for path, (name,) in zip(shards["books"]["doc_id"], names.iter_rows(), strict=True)
    )
    assert shards["books"]["license"].str.contains("(?i)public domain").all()
    assert (shards["papers"]["title"] == "On " + shards["papers"]["doc_id"]).all()
    assert set(shards["papers"]["author"]) == {"A. Author"}
    assert set(shards["qa"]["license"]) == {"CC-BY-SA-3.0"}, "all of it was written before May 2018"
    assert shards["qa"]["author"].str.contains("https://coffee.stackexchange.com/users/").mean() > 0.9
    assert set(shards["code"]["license"]) == {"MIT"}
    assert shards["web"]["title"].is_not_null().any()


def test_what_sources_tell_is_in_the_ledger(mixed: Mixed) -> None:
    ledger = pl.read_parquet(mixed.run / "ledger/**/*.parquet")
    posts = {post.get("Id"): post for post in etree.parse(str(mixed.posts)).getroot()}
    rows = ledger.filter(source="qa").select("doc_id", "read.score", "read.accepted", "read.tags")
    for number, score, accepted, tags in rows.iter_rows():
        assert score == int(posts[number].get("Score"))
        assert accepted is (posts[number].get("AcceptedAnswerId") is not None)
        assert tags.split() == re.findall("<(.+?)>", posts[number].get("Tags"))
    others = ledger.filter(pl.col("source") != "qa")
    assert others["read.score"].null_count() == others.height
    kept = ledger.filter(source="code", verdict="kept")
    assert set(kept["read.language"]) == {"Python"} and set(kept["read.repository"]) == {"open"}
    assert ledger.filter(source="papers", verdict="kept")["read.math_share"].min() > 0


def test_the_source_that_is_named_first_keeps_what_two_have(mixed: Mixed) -> None:
    ledger = pl.read_parquet(mixed.run / "ledger/**/*.parquet")
    page = ledger.row(by_predicate=pl.col("url") == mixed.copy, named=True)
    assert page["reason"] == "dedup.minhash"
    survivor = ledger.row(by_predicate=pl.col("ordinal") == page["cluster"], named=True)
    assert (survivor["source"], survivor["verdict"]) == ("wiki", "kept")
    assert survivor["url"].endswith(f"/{mixed.articles[0]}")


def test_what_sources_tell_can_be_looked_at(mixed: Mixed, gristmill: Run) -> None:
    (sample,) = json.loads(gristmill("inspect", mixed.run, "--kept", "--source", "qa", "-n", "1", "--json").stdout)
    signals = sample["signals"]
    assert isinstance(signals["read.score"], int) and isinstance(signals["read.accepted"], bool)
    assert isinstance(signals["read.tags"], str) and "read.quality" not in signals
    assert next(iter(signals)).startswith("read."), "what is told comes before what is measured"
    gristmill("report", mixed.run)
    charts = re.findall(r"<figcaption><strong>([^<]+)", (mixed.run / "report.html").read_text(encoding="utf-8"))
    assert {"read.score", "read.accepted", "read.language", "read.math_share"} <= set(charts)
    assert "read.quality" not in charts, "no article of this dump says it"
    answer = json.loads(gristmill("whatif", mixed.run, "--set", "answered.words=100:", "--json").stdout)
    assert answer["sources"]["qa"]["lost"] > 0 and answer["sources"]["wiki"]["lost"] == 0


def test_a_range_of_what_sources_tell(gristmill: Run, tmp_path: Path) -> None:
    scores = {"ants": -1, "bees": 0, "cats": 2, "dogs": 3, "eels": 4, "foxes": 40}
    rows = "".join(
        f'<row Id="{number}" PostTypeId="1" CreationDate="2015-01-27T20:09:32.720" Score="{score}" '
        f'Title="About {what}" Body="&lt;p&gt;What do {what} eat?&lt;/p&gt;" />\n'
        for number, (what, score) in enumerate(scores.items(), 1)
    )
    (tmp_path / "Posts.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n{rows}</posts>\n')
    (tmp_path / "notes.jsonl").write_text('{"text": "A note without a score."}\n')
    config = tmp_path / "run.yaml"
    config.write_text(
        f"sources:\n  qa: {{use: stackexchange, paths: [{tmp_path}/Posts.xml]}}\n"
        f"  notes: {{use: jsonl, paths: [{tmp_path}/notes.jsonl]}}\n"
        "steps:\n  normalize: {}\n  exact: {}\n  votes: {use: told, sources: [qa], keep: {score: [3, null]}}\n"
    )
    run = tmp_path / "run"
    gristmill("curate", config, "--out", run, "--workers", "1")
    ledger = pl.read_parquet(run / "ledger/**/*.parquet")
    dropped = ledger.filter(reason="votes.score")
    assert sorted(dropped["read.score"]) == [-1, 0, 2]
    assert ledger.filter(verdict="kept").height == 4, "the note has no score"
    answer = json.loads(gristmill("whatif", run, "--set", "votes.score=0:", "--json").stdout)
    assert (answer["total"]["gained"], answer["total"]["lost"]) == (2, 0)
    told = gristmill("whatif", run, "--set", "read.score=0:", check=2).stderr
    assert "'read.score' is what the source told" in told
    total = json.loads(gristmill("stats", run, "--json").stdout)["total"]
    entered = {stage["name"]: (stage["in"], stage["out"]) for stage in total["stages"]}
    assert entered["normalize"] == (7, 7) and entered["votes"] == (6, 3), "the note does not go through it"
