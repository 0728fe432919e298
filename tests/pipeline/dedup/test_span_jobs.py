"""Jobs of steps on parts of documents: every task in one group, every key in one range, each with what it follows."""

import itertools
from collections.abc import Mapping

import pytest

from pipeline.dedup.bands import KEY_SPACE
from pipeline.dedup.spans import jobs
from pipeline.dedup.spans.jobs import SPAN_KINDS, SpanJobs, SpanPart


def made(rows: list[int], rounds: int, dropped: str | None, written: Mapping[str, int]) -> SpanJobs:
    parts = [SpanPart(f"read-{k}", number, 10 * number) for k, number in enumerate(rows)]
    return SpanJobs("step", rounds, parts, dropped, lambda job: written.get(job, 7))


@pytest.mark.parametrize("rows", [[], [0], [5], [5, 5, 5], [99], [1] * 25, [3, 0, 12, 4, 0, 9, 10]])
def test_groups_have_every_task_once_and_no_more_rows_than_fit(
    rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ROWS", 10)
    found = made(rows, 1, "clusters", {}).of("sort")
    tasks = [task for job in found for task in job.payload["parts"]]
    assert tasks == [f"read-{k}" for k in range(len(rows))] and found
    for job in found:
        first, last = job.payload["first"], job.payload["first"] + len(job.payload["parts"])
        assert tasks[first:last] == job.payload["parts"]
        assert last - first <= 1 or sum(rows[first:last]) <= 10
        assert job.after == (*job.payload["parts"], "clusters")


@pytest.mark.parametrize("rounds", [1, 2])
def test_ranges_cover_the_keys_and_follow_every_run(rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "ROWS", 10)
    monkeypatch.setattr(jobs, "DEDUP_BYTES", 3 * jobs.BYTES_PER_ROW)
    plan = made([9, 9, 9], rounds, None, {"dedup-step-windows-00001": 20})
    before = "windows" if rounds == 2 else "sort"
    copies = plan.of("copies")
    rows = 34 if rounds == 2 else 21
    assert rows / len(copies) <= 3 < 2 * rows / len(copies)
    edges = [(job.payload["low"], job.payload["high"]) for job in copies]
    assert edges[0][0] == 0 and edges[-1][1] == KEY_SPACE
    assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))
    assert {job.after for job in copies} == {tuple(f"dedup-step-{before}-{k:05d}" for k in range(3))}
    assert plan.copies() == [job.id for job in copies]
    every = [job for kind in SPAN_KINDS[rounds] for job in plan.of(kind)]
    assert len({job.id for job in every}) == len(every)
    known = {f"read-{k}" for k in range(3)}
    for job in every:
        assert known.issuperset(job.after), "what a job needs is done before it"
        known.add(job.id)
