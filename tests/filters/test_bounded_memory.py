"""A worker's memory is that of a batch: it does not grow with the number of documents that went through the filters."""

import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import random, sys
import polars as pl
from filters import C4, C4Lines, FineWeb, Gopher, Repetition, Url
from pipeline.judge import decide, measure

DOCUMENTS, BATCH, LEVEL = 500_000, 1_000, 10_000

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))

draw = random.Random(1)
letters = "abcdefghijklmnopqrstuvwxyz" * 3 + "  é日\\n.,"
word = lambda: "".join(draw.choices(letters[:78], k=draw.randint(1, 12)))
book = " ".join(f"{word()}{draw.choice(['', '', '', ',', '.', chr(10), ' 日本', ' é'])}" for _ in range(400_000))
before, lines = {"url": Url(integrated=False), "repetition": Repetition(), "gopher": Gopher()}, C4Lines()
after = {"c4": C4(), "fineweb": FineWeb()}
level = peak = 0.0
kept = 0
for first in range(0, DOCUMENTS, BATCH):
    texts, urls = [], []
    for number in range(first, first + BATCH):
        size = draw.choice([0, 100, 300, 600, 900]) if number % 500 else draw.randint(50_000, 300_000)
        start = draw.randrange(len(book) - size)
        texts.append(book[start : start + size])
        urls.append(f"https://www.host{number}.example.com/{number}")  # every host is another
    docs = pl.DataFrame({"text": texts, "url": urls})
    for name, step in before.items():
        docs = measure(docs, name, step)
    docs = lines.apply(docs, "c4_lines")
    for name, step in after.items():
        docs = measure(docs, name, step)
    kept += decide(docs, {**before, **after})["broken"].list.len().eq(0).sum()
    if first + BATCH == LEVEL:
        level = resident()
    peak = max(peak, resident() if first + BATCH >= LEVEL else 0.0)
print(level, peak, kept)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see the memory of a process")
def test_half_a_million_documents_stay_at_the_level_of_ten_thousand() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKER],
        env={"POLARS_MAX_THREADS": "1", "PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    level, peak, _ = map(float, done.stdout.split())
    assert peak - level < 100, f"{level:.0f} MiB after 10,000 documents, {peak:.0f} MiB at most after that"
