"""Whole runs of curation, through the command line, on a small corpus of real pages, code and licences."""

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from filelock import FileLock

RESULTS = ("shards", "ledger", "dropped", "cut", "quarantine")

CONFIG = """
sources:
  web: {{use: warc, paths: ["{folder}/web.warc.gz"]}}
  docs: {{use: jsonl, paths: ["{folder}/docs-*.jsonl"]}}
  code: {{use: jsonl, paths: ["{folder}/code.jsonl.gz"]}}
languages: [en]
split_bytes: 40kB
batch_records: 16
shard_bytes: 150kB
steps:
  url: {{sources: [web]}}
  extract: {{metadata: true, sources: [web]}}
  normalize: {{}}
  language: {{sources: [web, docs], keep: {{score: [0.4, null]}}}}
  gopher: {{sources: [web, docs], keep: {{alpha_words: null, words: [30, null]}}}}
  minhash: {{}}
  pii: {{}}
"""


@pytest.fixture(scope="session")
def small_corpus(demo_corpus: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a WARC of 60 pages, 80 licence texts in four files, 40 modules, and `run.yaml` over them."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.warcwriter import WARCWriter

    folder = tmp_path_factory.mktemp("small")
    with demo_corpus["web"][0].open("rb") as stream, (folder / "web.warc.gz").open("wb") as out:
        writer = WARCWriter(out, gzip=True)
        for record in islice(ArchiveIterator(stream), 61):
            writer.write_record(record)
    lines: dict[str, list[bytes]] = {}
    for source in ("docs", "code"):
        with gzip.open(demo_corpus[source][0]) as stream:
            lines[source] = list(islice(stream, 80 if source == "docs" else 40))
    for i in range(4):
        (folder / f"docs-{i}.jsonl").write_bytes(b"".join(lines["docs"][i::4]))
    (folder / "code.jsonl.gz").write_bytes(gzip.compress(b"".join(lines["code"]), mtime=0))
    (folder / "run.yaml").write_text(CONFIG.format(folder=folder))
    return folder


@pytest.fixture(scope="session")
def gristmill() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def run(*arguments: str | Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "gristmill"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if check is not None:
            assert done.returncode == check, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def recipes() -> Path:
    """The folder of ready recipes for curation."""
    from pipeline import resources

    return resources.folder("configs") / "curate"


@pytest.fixture(scope="session")
def hashes() -> Callable[[Path], dict[str, str]]:
    """SHA-256 of every file of a run that others read: those in the folders of results, and the card."""

    def of(run: Path) -> dict[str, str]:
        files = [path for part in RESULTS for path in (run / part).rglob("*")]
        return {
            path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted([*files, run / "README.md"])
            if path.is_file()
        }

    return of


@pytest.fixture(scope="session")
def finished(small_corpus: Path, gristmill: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus curated by two workers; tests look at it and do not change it.

    On a machine that has compiled nothing so far, this is what compiles: one process of tests waits for the other.
    """
    run = tmp_path_factory.mktemp("finished") / "run"
    with FileLock(tmp_path_factory.getbasetemp().parent / "compiling.lock"):
        gristmill("curate", small_corpus / "run.yaml", "--out", run, "--workers", "2")
    return run


@pytest.fixture
def stats_of(
    gristmill: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[[Path], dict[str, dict[str, object]]]:
    """The sources of `gristmill stats RUN --json`."""

    def of(run: Path) -> dict[str, dict[str, object]]:
        sources: dict[str, dict[str, object]] = json.loads(gristmill("stats", run, "--json").stdout)["sources"]
        return sources

    return of
