"""Whole runs on real crawls: pages in legacy encodings, a manual in 26 languages, and archives that are damaged."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

Run = Callable[..., subprocess.CompletedProcess[str]]
Data = Callable[[str], Path]

MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def test_news_pages(test_data: Data, gristmill: Run, recipes: Path, tmp_path: Path) -> None:
    warc = test_data("B-trafilatura-dev/trafilatura-dev.warc.gz")
    run = tmp_path / "run"
    sources = f'sources.web.paths=["{warc}"]'
    gristmill(
        "curate", recipes / "web.yaml", "--out", run, "--set", sources, "--set", "languages=[de, en]", "--workers", "2"
    )
    ledger = pl.read_parquet(run / "ledger/**/*.parquet")
    assert ledger.height == 332
    assert ledger["verdict"].is_in(["kept", "dropped", "quarantined"]).all()
    legacy = ledger.filter(pl.col("glance.encoding") != "utf-8")
    assert legacy.group_by("glance.encoding").len().sort("len").rows()[-1] == ("cp1252", 4)
    assert legacy.height == 6 and (legacy["verdict"] != "quarantined").all()
    files = [str(path) for part in ("shards", "dropped") for path in (run / part).rglob("*.parquet")]
    texts = pl.concat([pl.read_parquet(file, columns=["id", "text"]) for file in files]).join(legacy, on="id")
    assert texts.height == 6
    assert not texts["text"].str.contains("\ufffd|Ã¤|Ã¼|Ã©").any(), "read in the wrong encoding"
    german = texts.filter(pl.col("url").str.contains(r"\.(?:de|at|ch)/"))
    assert german.height > 0 and german["text"].str.contains("[äöüß]").all()


def test_a_manual_in_26_languages(test_data: Data, recipes: Path, tmp_path: Path) -> None:
    warc = test_data("A-warc-debian-handbook/debian-handbook-00000.warc.gz")
    run = tmp_path / "run"
    command = [str(Path(sys.executable).parent / "gristmill"), "curate", str(recipes / "web.yaml"), "--out", str(run)]
    command += ["--set", f'sources.web.paths=["{warc}"]', "--set", "languages=[en, de, fr, ja]", "--workers", "2"]
    done = subprocess.run([sys.executable, "-c", MEASURED, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1 << 20, "KiB of the largest process"
    ledger = pl.read_parquet(run / "ledger/**/*.parquet")
    assert ledger.height == 3302
    folder = pl.col("url").str.extract(r"/browse/([A-Za-z-]+)/")
    english_copies = ledger.filter(reason="dedup.minhash", language="en").filter(folder != "en-US")
    assert english_copies.height > 300, "untranslated pages in the folders of other languages"
    languages = set(pl.read_parquet(run / "shards/**/*.parquet")["language"])
    assert "en" in languages and languages <= {"en", "de", "fr", "ja"}


def test_damaged_archives(test_data: Data, gristmill: Run, tmp_path: Path) -> None:
    folders = ("A-warcio-tests", "A-jwarc", "A-ia-web-commons", "A-resiliparse-tests", "A-ipwb", "A-corentinb-warc")
    files = [
        path
        for folder in folders
        for path in sorted(test_data(folder).rglob("*"))
        if ".warc" in path.name or path.name.endswith((".arc", ".arc.gz"))
    ]
    config = tmp_path / "run.yaml"
    config.write_text("steps:\n  extract: {engine: resiliparse, main_content: false}\n")
    paths = f"sources.web={{use: warc, paths: {json.dumps([str(path) for path in files])}}}"
    run = tmp_path / "run"
    numbers = json.loads(gristmill("curate", config, "--out", run, "--set", paths, "--json", "--workers", "2").stdout)
    ledger = pl.read_parquet(run / "ledger/**/*.parquet")
    assert numbers["sources"]["web"]["read"] == ledger.height
    damaged = ledger.filter(verdict="quarantined")
    assert damaged.height > 0 and damaged["reason"].str.starts_with("read.").all()
    payloads = pl.read_parquet(run / "quarantine/**/*.parquet")
    assert sorted(payloads["id"]) == sorted(damaged["id"])
    mended = ledger.filter(pl.col("origin").str.starts_with("broken.warc#")).sort("ordinal")
    assert "quarantined" in mended["verdict"] and (mended["verdict"] == "kept").any()
