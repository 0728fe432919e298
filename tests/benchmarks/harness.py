"""What every benchmark is made of: opponents in environments of their own, and fair measurement of both sides.

Both sides run as subprocesses, taking turns, so that a noisy moment of the machine hits both. What counts is CPU time
(user and system, of the process and its children): it hardly depends on what else the machine does, and it is what a
cluster is paid for. Reported are the median and the lowest and highest value over the repetitions.

This file is imported by the opponents' interpreters too, hence by the standard library alone.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A benchmark is named after what it measures, and must not be found in place of the package of that name.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill" / "benchmarks"


@dataclass(frozen=True)
class Usage:
    """What one run of a command took."""

    cpu: float
    """Seconds of user and system time, children included."""
    memory: float
    """Peak resident memory of the largest process, in MiB."""
    answer: dict[str, float]
    """The last line of its standard output, as JSON; `seconds` in it, if there, replaces `cpu` (start-up left out)."""

    @property
    def seconds(self) -> float:
        return self.answer.get("seconds", self.cpu)


@dataclass
class Row:
    """One comparison. `ratio` above 1 is in our favour, whether more or less is better."""

    what: str
    unit: str
    ours: float
    opponent: float
    opponent_name: str
    ratio: float = field(init=False)
    ours_spread: tuple[float, float]
    opponent_spread: tuple[float, float]
    repetitions: int
    more_is_better: bool = True

    def __post_init__(self) -> None:
        self.ratio = self.ours / self.opponent if self.more_is_better else self.opponent / self.ours


def interpreter(name: str, requirements: Sequence[str], bare: Sequence[str] = (), base: str = sys.executable) -> Path:
    """Return the Python of an environment with these requirements; it is made by pip once and kept in the cache.

    Args:
        bare: requirements that are installed without what they ask for in turn, because that is gigabytes which the
            benchmark has no use for; what it does have a use for is listed in `requirements`.
        base: the Python that it is made of, for opponents that do not run on ours.
    """
    version = sys.version if base == sys.executable else base
    key = hashlib.sha256("\n".join([version, *requirements, *bare]).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{key}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        print(f"making an environment for {name}: {folder}", file=sys.stderr)
        subprocess.run([base, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)
        if bare:
            subprocess.run([*pip, "--no-deps", *bare], check=True)
        complete.touch()
    return python


def product() -> Path:
    """Return the `gristmill` of an environment with what this checkout requires and nothing else.

    Beside it would stand what tests and training need, some of which NumPy's neighbours import as soon as it is there.
    """
    files = [ROOT / "pyproject.toml", ROOT / "constraints.txt"]
    key = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    python = interpreter(f"product-{key}", ["--constraint", str(ROOT / "constraints.txt"), "--editable", str(ROOT)])
    return python.with_name("gristmill")


def run(command: Sequence[str], environment: Mapping[str, str]) -> Usage:
    """Run a command to its end and return what it took; raises with its last words if it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        _adopt_orphans()
        process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, **environment})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = used.ru_utime + used.ru_stime + _orphans_seconds()
        out.seek(0), err.seek(0)
        if process.returncode:
            last = err.read()[-4000:].decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{last}")
        lines = out.read().decode(errors="replace").strip().splitlines()
    answer = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    peak = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return Usage(cpu, peak, answer)


def _adopt_orphans() -> None:
    """Have processes whose parents were ended before them come to this one, so that their time is counted (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _orphans_seconds() -> float:
    """CPU time of processes that a command left behind; those that go on after some seconds are not waited for."""
    seconds, deadline = 0.0, time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            pid, _, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid:
            seconds += used.ru_utime + used.ru_stime
        else:
            time.sleep(0.02)
    return seconds


def compare(
    sides: Mapping[str, Callable[[], Usage]],
    repetitions: int,
) -> dict[str, list[Usage]]:
    """Run each side `repetitions` times, in turns. A side that has something to warm up does so itself."""
    taken: dict[str, list[Usage]] = {name: [] for name in sides}
    for repetition in range(repetitions):
        for name, side in sides.items():
            usage = side()
            taken[name].append(usage)
            numbers = f"{usage.seconds:.1f} s CPU, {usage.memory:.0f} MiB {usage.answer or ''}"
            print(f"{repetition + 1}/{repetitions} {name}: {numbers}", file=sys.stderr)
    return taken


def row(
    what: str,
    unit: str,
    taken: Mapping[str, Sequence[Usage]],
    measure: Callable[[Usage], float],
    more_is_better: bool = True,
) -> Row:
    """Compare the two sides, ours named first, by the median of a measure."""
    (_, ours), (opponent_name, opponent) = taken.items()
    values, others = [measure(usage) for usage in ours], [measure(usage) for usage in opponent]
    return Row(
        what,
        unit,
        statistics.median(values),
        statistics.median(others),
        opponent_name,
        (min(values), max(values)),
        (min(others), max(others)),
        len(values),
        more_is_better,
    )


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less input, fewer repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here as well")
    return parser


def report(rows: Sequence[Row], file: Path | None) -> None:
    """Print the rows as a table and write them as JSON if asked."""
    heads = ("what", "unit", "ours", "", "opponent", "", "", "ratio")
    cells = [heads]
    for found in rows:
        spreads = [f"({low:.4g} to {high:.4g})" for low, high in (found.ours_spread, found.opponent_spread)]
        cells.append(
            (
                found.what,
                found.unit,
                f"{found.ours:.4g}",
                spreads[0],
                found.opponent_name,
                f"{found.opponent:.4g}",
                spreads[1],
                f"{found.ratio:.2f}x",
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if file:
        file.write_text(json.dumps([dataclasses.asdict(found) for found in rows], indent=1) + "\n", encoding="utf-8")


def test_data(name: str) -> Path | None:
    """A file of the real test data, or None where it is not there."""
    root = os.environ.get("GRISTMILL_TEST_DATA")
    path = Path(root) / name if root else None
    return path if path and path.exists() else None


def demo_corpus(out: Path) -> dict[str, list[Path]]:
    """Build the demo's corpus, which every installation can, and return its files by source."""
    import runpy

    corpus: dict[str, list[Path]] = runpy.run_path(str(ROOT / "data" / "corpus.py"))["build"](out)
    return corpus


def main_texts(warc: Path, every: int) -> Iterator[str]:
    """Main texts of every so manieth page of a WARC, as trafilatura extracts them; pages without one are left out."""
    import trafilatura
    from warcio.archiveiterator import ArchiveIterator

    with warc.open("rb") as stream:
        pages = (record for record in ArchiveIterator(stream) if record.rec_type == "response")
        for number, record in enumerate(pages):
            if number % every == 0:
                text = trafilatura.extract(record.content_stream().read(), favor_precision=True)
                if text:
                    yield text
