"""Files made to break readers, in full size: what of each is found, and the time and memory that a process takes.

There is no opponent. `tests/pipeline/readers/hostile_files.py` makes the files: bombs, records and lines over every
limit, wrong lengths, false starts of members, pages of a hundred thousand levels and a million rows. Each is made on
disk, read by a process of its own, and removed. Pages go through the extractor, which refuses those over its own limit
(`refused`). A row says whether everything that is good was found and the rest accounted for.

Then bytes of a real archive are flipped, one at a time, and it is cut off at as many places: counted are the records
that were lost with the one that was hit, and records that are neither there nor in quarantine.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import harness

sys.path.append(str(harness.ROOT / "tests" / "pipeline" / "readers"))

MB, GB = 10**6, 10**9
SIZES = {
    "bomb.warc.gz": (MB, 100 * MB, GB, 10 * GB),
    "bomb.warc.zst": (MB, GB, 10 * GB),
    "large.warc": (GB,),
    "many.warc.gz": (2 * GB,),
    "short.warc": (100 * MB,),
    "long.warc": (100 * MB,),
    "huge.warc.gz": (100 * MB,),
    "starts.warc.gz": (10 * MB,),
    "deep.warc": (1_100_000, 11 * MB),
    "table.warc": (9 * MB, 50 * MB),
    "line.jsonl": (GB,),
    "bomb.jsonl.gz": (10 * GB,),
    "nested.jsonl": (10 * MB,),
    "rows.jsonl": (16 * MB,),
}
"""Of what is made of each, unpacked. Nested pages have a level for eleven bytes, tables a row for nine."""
QUICK = 100 * MB
FLIPS, QUICK_FLIPS = 10_000, 200
ARCHIVE = "A-dolma-warc/sample-0000.warc.gz"


def read(path: Path) -> dict[str, int]:
    """Read a file as the pipeline does, pages through the extractor; how many records ended how."""
    from pipeline.extract import main_text
    from pipeline.readers import READERS, reader_for

    reader = READERS[str(reader_for(str(path)))]
    use = next(name for name, kind in READERS.items() if kind is reader)
    made = reader(use=use)
    found: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    for split in made.splits(os.path.getsize(path), str(path), 128 << 20):
        for record in made.read(split, ignored):
            found[record.error or record.drop or "document"] += 1
            if record.html is not None and record.error is None:
                try:
                    main_text(record.html)
                except MemoryError:
                    found["refused"] += 1
    return dict(found + ignored)


def damaged(archive: Path, times: int) -> dict[str, float]:
    """Flip bytes of an archive, cut it off as often, and count what was lost with the record that was hit."""
    from hostile_files import flipped

    from pipeline.readers import WarcReader

    reader = WarcReader(use="warc")
    data = archive.read_bytes()

    def taken(path: Path, changed: bytes) -> tuple[dict[int, Any], int, int]:
        path.write_bytes(changed)
        ignored: Counter[str] = Counter()
        split = reader.splits(len(changed), str(path), 1 << 30)[0]
        records = list(reader.read(split, ignored))
        good = {record.offset: record for record in records if not record.error}
        return good, sum(ignored.values()), len(records) - len(good)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / archive.name
        whole, others, _ = taken(path, data)
        lost = unaccounted = 0
        for seed in range(times):
            good, ignored, errors = taken(path, flipped(data, seed))
            missing = sum(good.get(at) != record for at, record in whole.items()) + others - ignored
            lost += max(0, missing - 1)
            unaccounted += missing > errors
        cut_lost = cut_silent = 0
        for number in range(times):
            at = 1 + number * (len(data) - 1) // times
            good, ignored, errors = taken(path, data[:at])
            cut_lost += any(good[offset] != whole[offset] for offset in good)
            cut_silent += len(good) + ignored + errors == 0
    return {
        "lost with another": lost,
        "flips unaccounted": unaccounted,
        "cuts with other records": cut_lost,
        "cuts unaccounted": cut_silent,
    }


def make(name: str, size: int, path: Path) -> None:
    from hostile_files import parquet_cells, parquet_rows, write

    if name == "rows.parquet":
        parquet_rows(path, size)
    elif name == "cell.parquet":
        parquet_cells(path, 1, size)
    else:
        write(name, size, path)


def child(*arguments: str) -> harness.Usage:
    return harness.run([sys.executable, str(Path(__file__).resolve()), *arguments], {})


def measured(what: str, name: str, size: int, expected: dict[str, int], folder: Path) -> dict[str, Any]:
    path = folder / name
    child("--make", name, str(size), str(path))  # not here: a process begins with the peak memory of its parent
    packed = path.stat().st_size
    usage = child("--read", str(path))
    row = {
        "what": what,
        "packed": packed,
        "cpu": usage.cpu,
        "memory": usage.memory,
        "found": usage.answer,
        "as expected": {name: count for name, count in usage.answer.items() if name != "refused"} == expected,
    }
    found = ", ".join(f"{int(count):,} {name}" for name, count in usage.answer.items())
    verdict = "" if row["as expected"] else f"; EXPECTED {expected}"
    print(f"{what:48} {packed:14,} {usage.cpu:8.1f} s {usage.memory:7.0f} MiB  {found}{verdict}", flush=True)
    path.unlink()
    return row


def files(quick: bool) -> list[dict[str, Any]]:
    from hostile_files import FILES, LIMIT

    rows = []
    print(f"{'what, and its size':48} {'on disk':>14} {'CPU':>10} {'peak memory':>11}  found")
    with tempfile.TemporaryDirectory() as folder:
        for name, sizes in SIZES.items():
            for size in sorted({min(size, QUICK) for size in sizes} if quick else sizes):
                hostile = FILES[name]
                kept = hostile.over_limit and size <= LIMIT
                expected = {"document": hostile.documents(size) + kept, **({} if kept else hostile.errors(size))}
                rows.append(measured(f"{hostile.name}, {size:,}", name, size, expected, Path(folder)))
        rows_found, cells_found = {"document": MB}, {"document": 2, "read.too_large": 1}
        rows.append(measured(f"Parquet, rows, {MB:,}", "rows.parquet", MB, rows_found, Path(folder)))
        cell = QUICK if quick else GB
        rows.append(measured(f"Parquet, a cell of, {cell:,}", "cell.parquet", cell, cells_found, Path(folder)))
    return rows


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument(
        "--flips", type=int, metavar="N", help="how many bytes of a real archive are flipped; 0 for none"
    )
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--damage", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    archive = harness.test_data(ARCHIVE)
    if options.make:
        name, size, path = options.make
        make(name, int(size), Path(path))
        return
    if options.read:
        print(json.dumps(read(options.read)))
        return
    if options.damage and archive:
        print(json.dumps(damaged(archive, options.damage)))
        return
    answer: dict[str, Any] = {"files": files(options.quick)}
    flips = options.flips if options.flips is not None else QUICK_FLIPS if options.quick else FLIPS
    if archive is None:
        print("no real archive: set GRISTMILL_TEST_DATA", file=sys.stderr)
    elif flips:
        usage = child("--damage", str(flips))
        answer["damage"] = {"flips": flips, "cpu": usage.cpu, "memory": usage.memory, **usage.answer}
        counts = ", ".join(f"{int(count)} {name}" for name, count in usage.answer.items())
        print(
            f"{flips:,} flips and as many cuts of {archive.name}: {usage.cpu:.1f} s, {usage.memory:.0f} MiB; {counts}"
        )
    if options.json:
        options.json.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
