"""Extraction in whole runs: columns of shards, signals of the ledger, and what makes results stale."""

import json
from pathlib import Path

import polars as pl
import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.config import load
from pipeline.configfile import ConfigFile
from pipeline.engines import perform
from pipeline.extract import trees
from pipeline.plan import make_plan
from pipeline.run import Progress, curate, examine
from pipeline.schema import DESCRIPTION, SHARD

TEXT = "This sentence is the content of the page, and it is long enough to be taken for that. "
PAGE = "<html lang=en><head><title>Page {n}</title></head><body><nav><a href=/>Home</a></nav><article>{text}</article>"


class Here:
    """An engine that does tasks in this process."""

    workers = 1

    def run(self, run, tasks):
        yield from (perform(run, task) for task in tasks)

    def close(self):
        pass


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Three pages of a site, the last of them empty, and two texts."""
    folder = tmp_path_factory.mktemp("sources")
    with (folder / "web.warc.gz").open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for n, text in enumerate((f"<p>{TEXT * 5}</p>", f"<p>{TEXT * 9}</p>", "")):
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            body = PAGE.format(n=n, text=text).encode()
            (folder / "body").write_bytes(body)
            with (folder / "body").open("rb") as payload:
                url = f"https://a.example/2020/03/0{n + 1}/page"
                writer.write_record(
                    writer.create_warc_record(url, "response", payload, len(body), http_headers=headers)
                )
    (folder / "docs.jsonl").write_text("".join(json.dumps({"text": TEXT * n}) + "\n" for n in (1, 2)))
    return folder


def config(sources, folder, extract):
    path = folder / "run.yaml"
    path.write_text(
        f"sources:\n  web: {{use: warc, paths: ['{sources}/web.warc.gz']}}\n"
        f"  docs: {{use: jsonl, paths: ['{sources}/docs.jsonl']}}\n"
        f"steps:\n  extract: {{{extract}, sources: [web]}}\n  normalize: {{}}\n  exact: {{}}\n"
    )
    return load(ConfigFile.read(path))


def states(settings, run):
    return {state.name: {kind for _, kind in state.tasks or ()} for state in examine(make_plan(settings), run)}


@pytest.fixture(scope="module")
def finished(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    curate(config(sources, folder, "metadata: true"), folder / "run", Here, Progress())
    return folder / "run"


def test_what_pages_say_of_themselves_reaches_the_shards(finished):
    shards = {path.parent.name: pl.read_parquet(path) for path in finished.glob("shards/*/*.parquet")}
    assert [frame.columns for frame in shards.values()] == [SHARD.names] * 2
    web = shards["web"].sort("title")
    assert web["title"].to_list() == ["Page 0", "Page 1"] and web["declared_language"].to_list() == ["en", "en"]
    assert web["published"].to_list() == ["2020-03-01", "2020-03-02"] and web["page_type"].to_list() == ["article"] * 2
    assert [text.count("content of the page") for text in web["text"]] == [5, 9]
    assert shards["docs"].select(DESCRIPTION.names).null_count().row(0) == (2,) * len(DESCRIPTION)


def test_how_sure_the_extractor_was_stands_in_the_ledger(finished):
    ledger = pl.read_parquet(finished / "ledger/**/*.parquet").sort("ordinal")
    web, docs = ledger.filter(source="web"), ledger.filter(source="docs")
    assert web["reason"].to_list() == [None, None, "extract.empty"]
    assert web["extract.confidence"].to_list()[2] == 0 and all(
        0.5 < sure <= 1 for sure in web["extract.confidence"][:2]
    )
    assert web["extract.broken_json"].to_list() == [0, 0, 0] and docs["extract.confidence"].to_list() == [None, None]
    assert not set(DESCRIPTION.names) & set(ledger.columns)


def test_another_model_makes_results_stale(sources, finished, tmp_path, monkeypatch):
    settings = config(sources, tmp_path, "metadata: true")
    done = states(settings, finished)
    assert {"read", "judge", "shard"} <= done.keys() and all(state == {"done"} for state in done.values())
    other = trees.model()._replace(digest="0" * 64)
    monkeypatch.setattr("pipeline.extract.trees.model", lambda: other)
    assert states(settings, finished)["read"] == {"stale"}
    monkeypatch.undo()
    assert states(settings, finished) == done
    assert states(config(sources, tmp_path, "metadata: true, preset: fast"), finished)["read"] == {"stale"}


def test_the_model_is_nothing_to_runs_without_it(sources, tmp_path, monkeypatch):
    settings = config(sources, tmp_path, "main_content: false")
    curate(settings, tmp_path / "run", Here, Progress())
    monkeypatch.setattr("pipeline.extract.trees.model", lambda: trees.read(Path("no model").read_bytes()))
    assert states(settings, tmp_path / "run")["read"] == {"done"}
    texts = pl.read_parquet(tmp_path / "run/shards/web/*.parquet")["text"]
    assert [text.partition("\n\nThis sentence")[0] for text in texts] == ["Home"] * 3
