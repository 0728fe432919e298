"""The work of one step on parts of documents cut into jobs: sort -> copies, for substrings with a second round between.

A job of `sort` takes the rows of a group of tasks and makes a sorted run of them; one of `copies` takes a range of keys
from all runs. For substrings the sorted rows are n-grams: `repeated` finds those that occur twice, a range a job, and
`windows` the runs of words around them, sorted, a group of tasks a job.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.dedup.jobs import DEDUP_BYTES, Job
from pipeline.dedup.spans.rows import ROWS, key_ranges

BYTES_PER_ROW = 96
"""The most memory that a span with a key of its own takes when a range is looked through: four places of a table."""

SPAN_KINDS = {1: ("sort", "copies"), 2: ("sort", "repeated", "windows", "copies")}
"""The kinds of jobs, in their order, of steps with so many rounds."""


def job_id(step: str, kind: str, number: int) -> str:
    return f"dedup-{step}-{kind}-{number:05d}"


@dataclass(frozen=True)
class SpanPart:
    """A task whose documents take part, with the rows that it wrote for the step."""

    task: str
    rows: int
    bytes: int
    """Of its texts."""


@dataclass(frozen=True)
class SpanJobs:
    """The jobs of a step, given the rows that were made for it so far."""

    step: str
    rounds: int
    parts: Sequence[SpanPart]
    """All tasks in the order of the plan: place k has the ordinals from k << 32."""
    dropped: str | None
    """The job that knows the documents which whole-document deduplication dropped, if there is one."""
    made: Callable[[str], int]
    """How many rows a job has written."""

    def of(self, kind: str) -> list[Job]:
        """The jobs of one of SPAN_KINDS."""
        kinds: Mapping[str, Callable[[], list[Job]]] = {
            "sort": self._sort,
            "repeated": self._repeated,
            "windows": self._windows,
            "copies": self._copies,
        }
        return kinds[kind]()

    def _groups(self) -> list[tuple[int, int]]:
        """Ranges of places in `parts` that are sorted together."""
        groups, first, rows = [], 0, 0
        for place, part in enumerate(self.parts):
            if place > first and rows + part.rows > ROWS:
                groups.append((first, place))
                first, rows = place, 0
            rows += part.rows
        return [*groups, (first, len(self.parts))]

    def _sort(self) -> list[Job]:
        before = () if self.dropped is None else (self.dropped,)
        jobs = []
        for number, (first, last) in enumerate(self._groups()):
            parts = [part.task for part in self.parts[first:last]]
            size = 24 * sum(part.rows for part in self.parts[first:last])
            payload = {"step": self.step, "first": first, "parts": parts, "dropped": self.dropped, "bytes": size}
            jobs.append(Job(job_id(self.step, "sort", number), (*parts, *before), payload))
        return jobs

    def _repeated(self) -> list[Job]:
        return self._by_range("repeated", "sort")

    def _windows(self) -> list[Job]:
        repeated = [job.id for job in self._repeated()]
        jobs = []
        for number, (first, last) in enumerate(self._groups()):
            parts = [part.task for part in self.parts[first:last]]
            size = sum(part.bytes for part in self.parts[first:last])
            payload = {"step": self.step, "first": first, "parts": parts, "repeated": repeated, "bytes": size}
            jobs.append(Job(job_id(self.step, "windows", number), (*parts, *repeated), payload))
        return jobs

    def _copies(self) -> list[Job]:
        return self._by_range("copies", "windows" if self.rounds == 2 else "sort")

    def _by_range(self, kind: str, before: str) -> list[Job]:
        runs = tuple(job_id(self.step, before, number) for number in range(len(self._groups())))
        rows = sum(map(self.made, runs))
        ranges = key_ranges(rows, DEDUP_BYTES, BYTES_PER_ROW)
        return [
            Job(
                job_id(self.step, kind, number),
                runs,
                {"step": self.step, "runs": runs, "low": low, "high": high, "bytes": 24 * rows // len(ranges)},
            )
            for number, (low, high) in enumerate(ranges)
        ]

    def copies(self) -> list[str]:
        """The last jobs: those that know what to cut."""
        return [job.id for job in self._copies()]
