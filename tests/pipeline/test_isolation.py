"""The search for records that end workers, against an engine that only pretends, and the limits in a real process."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batches import Passage
from pipeline.config import WorkerLimits
from pipeline.engines import Outcome
from pipeline.isolation import run_isolating
from pipeline.limits import Limiter, Mark
from pipeline.plan import Probe, Task, Trial, outcome_of

LINE = "{:<10} {:>20} {:>20} {:>10}\n"
INDEX = 7 << 32


class Pretended:
    """An engine whose workers die of batches as `deadly` says, of what is not isolated; it leaves marks as they do.

    It counts the processes that died, and the records that each process after the first had to itself.
    """

    workers = 2

    def __init__(self, records: int, batch: int, deadly: Callable[[Sequence[int]], str | None], kills: int = 0) -> None:
        self.records, self.batch, self.deadly, self.kills = records, batch, deadly, kills
        self.deaths = 0

    def run(self, run, tasks):
        for task in tasks:
            numbers = [number for number in range(self.records) if number % 3 != 1]  # as after an earlier stage
            probe, died = task.trial.probe, False
            for start in range(0, len(numbers), self.batch):
                batch = numbers[start : start + self.batch]
                size = len(batch)
                if probe:
                    batch = [number for number in batch if probe.first <= INDEX | number <= probe.last]
                    size = probe.rows
                for first in range(0, len(batch), size):
                    piece = batch[first : first + size]
                    words = self.deadly([number for number in piece if INDEX | number not in task.trial.isolated])
                    if self.kills:
                        words, self.kills = "", self.kills - 1
                    if words is not None:
                        mark = LINE.format("processing", INDEX | piece[0], INDEX | piece[-1], len(piece))
                        (Path(run) / task.mark).write_text(mark + words)
                        died = True
                        break
                if died:
                    break
            if died:
                self.deaths += 1
                yield Outcome(task, None, "the worker ended", died=True)
            else:
                isolated = [
                    {"ordinal": ordinal, "error": error, "id": "id", "origin": "file#1", "url": None}
                    for ordinal, error in sorted(task.trial.isolated.items())
                ]
                yield Outcome(task, {"outputs": {}, "isolated": isolated})

    def close(self):
        pass


def search(engine, isolate=10):
    task = Task("read-web-00000", "read", "web", "f", {"splits": [["web.warc", "/data/web.warc", 0, 10]]})
    with TemporaryDirectory() as run:
        (Path(run) / "parts").mkdir()
        (outcome,) = run_isolating(engine, run, [task], WorkerLimits(isolate=isolate))
        assert not list((Path(run) / "parts").iterdir())
    return outcome


def found(outcome):
    return {record["ordinal"] ^ INDEX: record["error"] for record in outcome.receipt["isolated"]}


WORDS = {"": "crash.killed", "Timeout (0:00:01)!": "crash.time", "Memory: none": "crash.memory"}


@given(
    st.integers(1, 400),
    st.integers(1, 300),
    st.dictionaries(st.integers(0, 400), st.sampled_from(sorted(WORDS)), max_size=5),
)
def test_exactly_the_deadly_records_are_isolated(records: int, batch: int, deadly: dict[int, str]) -> None:
    engine = Pretended(records, batch, lambda piece: next((deadly[n] for n in piece if n in deadly), None))
    there = {n: WORDS[words] for n, words in deadly.items() if n < records and n % 3 != 1}
    assert found(search(engine)) == there
    assert engine.deaths <= 6 * len(there)


def test_a_record_of_a_thousand_costs_few_processes() -> None:
    engine = Pretended(1500, 1000, lambda piece: "" if 1235 in piece else None)
    assert found(search(engine)) == {1235: "crash.killed"}
    assert engine.deaths == 5  # the first one, again, in pieces, one by one, alone


@pytest.mark.parametrize("kills", [1, 2])
def test_what_comes_from_outside_costs_nothing(kills: int) -> None:
    if kills == 2:
        assert "Give the command again" in search(Pretended(90, 30, lambda piece: None, kills)).summary
    else:
        outcome = search(Pretended(90, 30, lambda piece: None, kills))
        assert found(outcome) == {} and not outcome.error


def test_more_than_a_few_are_not_the_records_fault() -> None:
    outcome = search(Pretended(100, 50, lambda piece: "" if piece else None), isolate=4)
    assert outcome.receipt is None
    assert "more than 4 records (worker.isolate) end a worker, each alone" in outcome.summary
    some = {0, 3, 50, 99}
    assert len(found(search(Pretended(100, 50, lambda piece: "" if some & {*piece} else None), isolate=4))) == 4


@pytest.mark.parametrize("words", sorted(WORDS))
def test_records_that_are_deadly_only_together_are_not_blamed(words: str) -> None:
    outcome = search(Pretended(90, 60, lambda piece: words if {6, 9} <= {*piece} else None))
    assert outcome.receipt is None and "each of them alone passes" in outcome.summary
    assert ("batch_records" in outcome.summary) == (words != "")


def test_a_death_that_setting_aside_does_not_help_against_ends_the_search() -> None:
    class Deaf(Pretended):
        def run(self, run, tasks):
            for outcome in super().run(run, tasks):
                if outcome.receipt is None or outcome.task.trial.probe:
                    yield outcome
                    continue
                (Path(run) / outcome.task.mark).write_text(LINE.format("processing", INDEX | 3, INDEX | 3, 1))
                yield Outcome(outcome.task, None, "the worker ended", died=True)

    class Stubborn(Pretended):
        """It dies of record 3, isolated or not."""

        def run(self, run, tasks):
            for task in tasks:
                (Path(run) / task.mark).write_text(LINE.format("processing", INDEX | 3, INDEX | 3, 1))
                yield Outcome(task, None, "the worker ended", died=True)

    assert "no step meets any more" in search(Stubborn(9, 9, lambda piece: None)).summary
    assert "each of them alone passes" in search(Deaf(9, 9, lambda piece: None)).summary


@pytest.mark.parametrize(
    ("mark", "where"),
    [
        (None, "before the first record"),
        (LINE.format("reading", 0, 123, 0), "reading /data/web.warc, after the record at 123"),
        (LINE.format("reading", 0, -1, 0), "reading /data/web.warc, at its start"),
        (LINE.format("reading", -1, -1, 0), "between two batches"),
        (LINE.format("writing", -1, -1, 0), "writing, after all records"),
    ],
)
def test_a_death_outside_of_a_batch_says_where_it_was(mark: str | None, where: str) -> None:
    class Dying(Pretended):
        def run(self, run, tasks):
            for task in tasks:
                if mark is not None:
                    (Path(run) / task.mark).write_text(mark)
                yield Outcome(task, None, "the worker was ended by signal 9", died=True)

    outcome = search(Dying(0, 1, lambda piece: None))
    assert outcome.summary == f"its worker died {where}: the worker was ended by signal 9; no single record is to blame"


def test_where_no_task_ends_well_the_search_is_given_up_for_all(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    tasks = [Task(f"read-web-{i:05d}", "read", "web", "f", {"splits": []}) for i in range(20)]
    engine = Pretended(100, 100, lambda piece: "")
    outcomes = list(run_isolating(engine, str(tmp_path), tasks, WorkerLimits(isolate=2)))
    assert sorted(outcome.task.id for outcome in outcomes) == [task.id for task in tasks]
    assert all(outcome.receipt is None and not outcome.task.trial.number for outcome in outcomes)
    assert engine.deaths < 20 + 2 * 10


class Told(Limiter):
    """A limiter that remembers what it was told of batches."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, int, int]] = []

    def processing(self, first: int, last: int, rows: int) -> None:
        self.pieces.append((first, last, rows))


@given(
    st.lists(st.integers(0, 50), unique=True, min_size=1),
    st.integers(1, 60),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(1, 9),
)
def test_a_probe_is_about_its_records_alone(ordinals: list[int], batch: int, first: int, last: int, rows: int) -> None:
    ordinals.sort()
    whole = pl.DataFrame({"ordinal": ordinals}, schema={"ordinal": pl.UInt64})
    whole = whole.with_columns(pl.lit(None, pl.String).alias(name) for name in ("id", "origin", "url", "error"))
    probe, limiter = Probe(first, last, rows, 1.0), Told()
    passage = Passage(Trial(1, {ordinals[0]: "crash.time"}, probe), WorkerLimits(), {}, limiter)
    pieces = [piece for piece in passage.of(whole.iter_slices(batch)) if piece.height]
    found = [ordinal for piece in pieces for ordinal in piece["ordinal"]]
    assert found == [ordinal for ordinal in ordinals if first <= ordinal <= last]
    assert all(piece.height <= rows for piece in pieces)
    assert limiter.pieces == [(piece["ordinal"][0], piece["ordinal"][-1], piece.height) for piece in pieces]
    errors = {ordinal: error for piece in pieces for ordinal, error in piece.select("ordinal", "error").iter_rows()}
    assert {ordinal: error for ordinal, error in errors.items() if error} == (
        {ordinals[0]: "crash.time"} if ordinals[0] in found else {}
    )


def test_what_follows_depends_on_what_was_isolated() -> None:
    receipts = [
        {"fingerprint": "a"},
        {"fingerprint": "b"},
        {"fingerprint": "a", "isolated": [{"ordinal": 1, "error": "crash.time"}]},
        {"fingerprint": "a", "isolated": [{"ordinal": 2, "error": "crash.time"}]},
        {"fingerprint": "a", "isolated": [{"ordinal": 2, "error": "crash.memory"}]},
    ]
    assert len({outcome_of(receipt) for receipt in receipts}) == len(receipts)


LIMITED = """
import sys, time
from pathlib import Path
from pipeline.config import WorkerLimits
from pipeline.limits import WorkerLimiter
with WorkerLimiter(Path(sys.argv[1])) as limiter:
    limiter.begin(WorkerLimits(seconds=0.02, memory="400MiB"), 0.05, 0.02)
    limiter.processing(5, 9, 3)
    {what}
    limiter.writing()
"""


@pytest.mark.parametrize(
    ("what", "code", "mark", "cause"),
    [
        ("time.sleep(60)", 1, ("processing", 5, 9, 3), "time"),
        ("limiter.reading(2, 77)\n    while True: pass", -signal.SIGPROF, ("reading", 2, 77, 0), "time"),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV, ("processing", 5, 9, 3), "killed"),
        (
            "limiter.writing(); held = []\n    while True: held.append(bytearray(10**7))",
            1,
            ("writing", -1, -1, 0),
            "memory",
        ),
        ("limiter.writing(); time.sleep(0.4)", 0, None, None),
    ],
)
def test_limits_end_a_process_and_say_so(
    what: str, code: int, mark: tuple[str, int, int, int] | None, cause: str | None, tmp_path: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED.format(what=what), tmp_path / "mark"], timeout=60)
    assert done.returncode == code
    if cause is None:
        assert not (tmp_path / "mark").exists()
    else:
        left = Mark.take(tmp_path / "mark")
        assert left.cause == cause and (left.state, left.first, left.last, left.rows) == mark
        assert 'File "<string>"' in left.trace
        assert Mark.take(tmp_path / "mark") == Mark("starting")
