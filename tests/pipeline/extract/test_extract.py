"""Main text of pages: real ones with gold segments, and pages that get stuck, crash or eat memory."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline.extract import Extract
from pipeline.extract.supervisor import Supervisor
from pipeline.readers import WarcReader

PARAGRAPHS = "".join(
    f"<p>This is sentence {i} of the article, long enough to count as content on a page.</p>" for i in range(12)
)
PAGE = f"<html><body><nav><a href=/>Home</a></nav><article>{PARAGRAPHS}</article></body></html>"
TABLE = "<table>" + "<tr><td>a</td><td>b</td></tr>" * 60_000 + "</table>"
STUCK = f"<html><body><article>{PARAGRAPHS}{TABLE}</article></body></html>"
TEXT = "of the article, long enough"


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
def test_pages_text_and_errors(batch, engine):
    docs = batch(
        [PAGE.encode(), None, b"<html><body></body></html>", PAGE.encode(), b"\x00\xff", b""],
        text=[None, "already text", None, None, None, None],
        error=[None, None, None, "read.truncated", None, None],
    )
    done = Extract(engine=engine).apply(docs, "extract")
    assert done["text"][0].count(TEXT) == 12 and done["text"][1] == "already text"
    assert done["text"][2] == "" and done["text"][3] is None and done["text"][5] == ""
    assert done["error"].to_list() == [None, None, None, "read.truncated", None, None]
    assert done["extract.encoding"].to_list()[:4] == ["utf-8", None, "utf-8", None]
    assert done["extract.html_bytes"].to_list() == [len(PAGE), None, 26, None, 2, 0]
    assert done["extract.chars"].to_list()[1:3] == [12, 0]
    assert done.columns[: len(docs.columns)] == docs.columns
    if engine == "trafilatura":
        assert "Home" not in done["text"][0]


def test_the_step_can_have_another_name(batch):
    done = Extract(seconds=1).apply(batch([STUCK.encode(), PAGE.encode()]), "main")
    assert done["error"].to_list() == ["main.timeout", None]
    assert done["main.chars"].to_list()[1] > 500


@pytest.fixture
def sandbox():
    made = []

    def start(**settings):
        supervisor = Supervisor(
            {
                "engine": "trafilatura",
                "seconds": 20.0,
                "memory": 1 << 30,
                "pages": 100,
                "favor": "precision",
                "main_content": True,
                "comments": False,
                "tables": True,
                "fast": False,
                **settings,
            }
        )
        made.append(supervisor)
        return supervisor

    yield start
    for supervisor in made:
        supervisor.close()


def workers(supervisor):
    parent = supervisor._process.pid
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def test_a_stuck_page_costs_itself(sandbox):
    running = sandbox(seconds=1)
    assert running.extract(PAGE, None).text.count(TEXT) == 12
    assert running.extract(STUCK, None)[:2] == ("", "timeout")
    assert running.extract(PAGE, None).text.count(TEXT) == 12


def test_memory_is_limited(sandbox):
    for engine in ("trafilatura", "resiliparse"):
        running = sandbox(engine=engine, memory=600 << 20)
        huge = "<html><body>" + "<p><b>word</b> <i>word</i></p>" * 1_500_000
        outcome = running.extract(huge, None)
        assert outcome.error in {"memory", "crash"}, engine
        assert running.extract(PAGE, None).text.count(TEXT) == 12


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_killed_processes_are_replaced(sandbox):
    running = sandbox()
    expected = running.extract(PAGE, None)
    for victim in ("worker", "sandbox"):
        if victim == "worker":
            (pid,) = workers(running)
        else:
            pid = running._process.pid
        os.kill(pid, signal.SIGKILL)
        assert running.extract(PAGE, None) == expected
    assert running.extract(PAGE, None) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_page_on_which_the_worker_dies_is_a_crash(sandbox):
    """The worker is killed from outside twice in the middle of the same page, as a segmentation fault would."""
    import threading

    running = sandbox(seconds=30)
    running.extract(PAGE, None)
    done = threading.Event()

    def kill():
        while not done.is_set():
            for pid in workers(running):
                ticks = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
                if ticks > 40:  # at work on the long page
                    os.kill(pid, signal.SIGSEGV)
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert running.extract(STUCK, None)[:2] == ("", "crash")
    finally:
        done.set()
        killer.join()
    assert running.extract(PAGE, None).text.count(TEXT) == 12


@pytest.mark.skipif(sys.platform != "linux", reason="needs the parent's death signal")
def test_nothing_survives_the_parent():
    code = (
        "import os, sys; from pipeline.extract import Extract; e = Extract(); e.main_text('<p>x</p>');"
        "from pipeline.extract import supervisor as s; p = next(iter(s._supervisors.values()))._process.pid;"
        "print(p, open(f'/proc/{p}/task/{p}/children').read(), flush=True); os.kill(os.getpid(), 9)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pids = out.stdout.split()
    assert len(pids) == 2, out.stderr
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_sandbox_that_cannot_start_says_why(sandbox):
    with pytest.raises(RuntimeError, match="(?s)cannot start.*KeyError"):
        sandbox(engine="nonsense").extract(PAGE, None)


def test_a_page_does_not_depend_on_those_before_it(batch):
    pages = [PAGE.replace("sentence", f"statement {i % 3}").encode() for i in range(12)]
    together = Extract().apply(batch(pages), "extract")
    alone = Extract(pages_per_process=1).apply(batch(pages[::-1]), "extract")[::-1]
    assert together.equals(alone)
    assert together["text"][0] == together["text"][3]


@pytest.mark.parametrize(("engine", "recall", "precision"), [("trafilatura", 0.90, 0.90), ("resiliparse", 0.92, 0.70)])
def test_real_pages_with_gold_segments(test_data, read_all_pages, batch, engine, recall, precision):
    """332 pages of trafilatura's evaluation: lower bounds a little under what was measured."""
    folder = test_data("B-trafilatura-dev")
    gold = {url.strip(): entry for url, entry in json.loads((folder / "evaldata.json").read_text()).items()}
    records = read_all_pages(folder / "trafilatura-dev.warc.gz")
    assert len(records) == 332
    if engine == "trafilatura":
        records = random.Random(5).sample(records, 120)
    docs = batch([r.html for r in records], url=[r.url for r in records], charset=[r.charset for r in records])
    done = Extract(engine=engine).apply(docs, "extract")
    assert done["error"].null_count() == done.height
    assert done["text"].str.count_matches("\ufffd").sum() <= 5, "legacy encodings are read"
    found = Counter()
    for url, text in zip(done["url"], done["text"], strict=True):
        entry = gold[url]
        flat = " ".join(text.split())
        for key, hit, miss in (("with", "tp", "fn"), ("without", "fp", "tn")):
            for segment in entry[key]:
                found[hit if " ".join(segment.split()) in flat else miss] += 1
    assert found["tp"] / (found["tp"] + found["fn"]) > recall
    assert found["tp"] / (found["tp"] + found["fp"]) > precision


@pytest.fixture
def read_all_pages():
    def read(path):
        reader = WarcReader()
        split = reader.splits(path.stat().st_size, str(path), 1 << 40)[0]
        return [record for record in reader.read(split, Counter()) if record.html]

    return read


def test_settings_are_checked():
    assert Extract(memory="1GiB").memory == 1 << 30
    for wrong in ({"seconds": 0}, {"memory": "1MiB"}, {"engine": "x"}, {"favor": "x"}, {"timeout": 3}):
        with pytest.raises(ValueError):
            Extract(**wrong)
    assert isinstance(Extract().identity()["trafilatura"], str)
