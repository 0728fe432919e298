"""The demo's corpus: real pages, code and texts of this Python installation, the same every time."""

import gzip
import hashlib
import json
import runpy
import sys
from pathlib import Path

import pytest
import trafilatura
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline import resources

Corpus = dict[str, list[Path]]


@pytest.fixture(scope="module")
def pages(demo_corpus: Corpus) -> dict[str, str]:
    """HTML by URL, read with another library than the one that wrote it."""
    (path,) = demo_corpus["web"]
    with path.open("rb") as file:
        records = ArchiveIterator(file, record_types=WarcRecordType.response, verify_digests=True)
        return {record.headers["WARC-Target-URI"]: record.reader.read().decode() for record in records}


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_there_is_a_page_for_every_public_module_that_can_be_imported(pages: dict[str, str]) -> None:
    names = {url.removeprefix("https://docs.example/3/library/").removesuffix(".html") for url in pages}
    assert {"json", "argparse", "asyncio.tasks", "email.message.Message", "os", "xml.sax.handler"} <= names
    assert not names & {"antigravity", "this", "tkinter", "test", "idlelib"}
    assert len(names) > 300


def test_main_text_extraction_finds_the_documentation_and_not_the_navigation(pages: dict[str, str]) -> None:
    text = trafilatura.extract(pages["https://docs.example/3/library/json.html"])
    assert "is a subset of JavaScript syntax" in text
    assert "Serialize ``obj`` to a JSON formatted ``str``." in text
    assert ">>> json.dumps(['foo', {'bar': ('baz', None, 1.0, 2)}])" in text
    assert "Copyright and licence" not in text


def test_pages_tell_nothing_of_the_machine(pages: dict[str, str]) -> None:
    assert [url for url, page in pages.items() if sys.prefix in page or str(Path.home()) in page] == []


def test_source_files_are_complete(demo_corpus: Corpus) -> None:
    (path,) = demo_corpus["code"]
    sources = rows(path)
    assert sum(len(row["text"].encode()) for row in sources) > 4_000_000
    for row in sources[::20]:
        compile(row["text"], row["path"], "exec", dont_inherit=True)


def test_texts_of_distributions_hold_near_duplicates(demo_corpus: Corpus) -> None:
    (path,) = demo_corpus["docs"]
    texts = rows(path)
    apache = [row for row in texts if "Apache License" in row["text"] and "END OF TERMS AND CONDITIONS" in row["text"]]
    assert len(apache) > 5
    assert len({row["id"] for row in texts}) == len(texts) > 100


def test_it_is_the_same_every_time(demo_corpus: Corpus, tmp_path: Path) -> None:
    again = runpy.run_path(str(resources.folder("data") / "corpus.py"))["build"](tmp_path)
    hashes = {source: hashlib.sha256(path.read_bytes()).hexdigest() for source, (path,) in demo_corpus.items()}
    assert hashes == {source: hashlib.sha256(path.read_bytes()).hexdigest() for source, (path,) in again.items()}
