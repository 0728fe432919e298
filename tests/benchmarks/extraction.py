"""Main text of real pages: precision, recall, F1 and pages a second on a core, for our extractor and its peers.

Sets of pages that our model never saw (see `pipeline/extract/learn/gold.py` and `manuals.py` for their truth):

- `segments`: trafilatura's own evaluation pages, the part for development; scores over segments, as its evaluation has
  them. Sites of many kinds, most of them German. Our model was made from them too: for this set the benchmark makes
  five others as `pipeline/extract/learn/train.py` does, each without a fifth of the domains, and measures these on it.
- `wcxb`: pages of the development set of WCXB on domains that are for measuring only; means of word scores of pages.
- `handbook`: pages of one manual whose text is in another script than Latin; means of word scores of pages. One
  template, so that the intervals say nothing of other sites.
- `manuals`: the same of further manuals, if GRISTMILL_MANUALS names a folder where they are unpacked.

Every extractor runs in a process of its own, taking turns, and gets decoded pages. trafilatura runs with the settings
of its own evaluation (no comments, tables, no formatting), resiliparse with `main_content`. CPU time is that of
extraction alone, after ten pages as a warm-up, but for `from WARC`: there it is reading, unpacking, finding the
encoding and extraction, by fastwarc and each peer's own detection for the peers, and by our own reader for ours.

Intervals are of 95 % and from drawing pages anew; `+` columns are the differences to trafilatura, drawn in pairs.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import harness

Extractor = Callable[[str], str]
MANUALS = "GRISTMILL_MANUALS"
SETS = ("segments", "wcxb", "handbook", *(["manuals"] if MANUALS in os.environ else []))
BY_SCRIPT = ("handbook", "manuals")
QUICK, LEAST_GROUP, MOST_OF_A_SCRIPT, WARM_UP = 40, 10, 60, 10
NEARLY_ALL = 0.95
PRESETS = ("fast", "balanced", "quality")
FOLDS = 5
TRAFILATURA: dict[str, dict[str, bool]] = {
    "trafilatura": {},
    "trafilatura precision": {"favor_precision": True},
    "trafilatura recall": {"favor_recall": True},
    "trafilatura fast": {"fast": True},
}


def root() -> Path:
    found = harness.test_data("B-wcxb-train")
    if found is None:
        sys.exit("needs the real data: set GRISTMILL_TEST_DATA to the folder that has it")
    return found.parent


def pages(name: str, quick: bool) -> list[Any]:
    """Return the pages of a set, always in the same order."""
    from pipeline.extract.learn import gold, manuals, metrics

    if name == "segments":
        found = list(gold.trafilatura_dev(root()))
        if quick:
            found = [page for page in found if fold(page) == 0]
    elif name == "wcxb":
        parts = gold.splits(root())
        found = [page for page in gold.wcxb(root()) if parts.part(page) == "test"]
    else:
        parts, by_script = gold.splits(root()), defaultdict(list)
        if name == "handbook":
            candidates = manuals.handbook(root())
        else:
            candidates = (p for p in manuals.unpacked(Path(os.environ[MANUALS]), 60) if parts.part(p) == "test")
        for page in candidates:
            if (script := metrics.script(page.text or "")) != "latin":
                by_script[script].append(page._replace(kind=script))
        found = [page for script in sorted(by_script) for page in gold.sample(by_script[script], MOST_OF_A_SCRIPT)]
    return gold.sample(found, QUICK) if quick else found


def extractor(name: str) -> Extractor:
    if name in TRAFILATURA:
        import trafilatura

        settings: dict[str, Any] = {"include_comments": False, "include_tables": True, **TRAFILATURA[name]}
        return lambda page: trafilatura.extract(page, **settings) or ""
    if name == "resiliparse":
        from resiliparse.extract.html2text import extract_plain_text

        return lambda page: str(extract_plain_text(page, main_content=True))
    from pipeline.extract import main_text

    preset = name.removeprefix("ours ")
    return lambda page: str(main_text(page, preset))


def fold(page: Any) -> int:
    from pipeline.extract.learn import gold, train

    return gold.splits(root()).fold(page, train.FOLDS)


def out_of_fold(name: str, found: Sequence[Any], models: Path) -> list[Extractor]:
    """Return for each page our extractor with a model that saw no page of its domain."""
    from pipeline.extract.content import content, preset_named
    from pipeline.extract.trees import read

    preset = preset_named(name.removeprefix("ours "))
    words = {number: read((models / f"{number}.npz").read_bytes()).words for number in {fold(page) for page in found}}

    def extract(number: int) -> Extractor:
        return lambda page: content(page, preset=preset, words=words[number]).text

    return [extract(fold(page)) for page in found]


def make_models(folder: Path, numbers: Sequence[int]) -> None:
    command = [
        sys.executable,
        "-m",
        "pipeline.extract.learn.train",
        str(root()),
        "--cache",
        str(harness.CACHE / "taught"),
    ]
    for number in numbers:
        out = folder / f"{number}.npz"
        print(f"making the model without fold {number}", file=sys.stderr)
        subprocess.run([*command, "--without-fold", str(number), "--out", str(out)], check=True, stdout=sys.stderr)


def side(name: str, kind: str, quick: bool, folder: Path) -> None:
    """Extract a whole set with one extractor, write the texts and print the CPU seconds."""
    found = pages(kind, quick)
    if kind == "segments" and name.startswith("ours "):
        extractors = out_of_fold(name, found, folder)
    else:
        extractors = [extractor(name)] * len(found)
    work = [(extract, page.html.decode("utf-8", "replace")) for extract, page in zip(extractors, found, strict=True)]
    for extract, text in work[:WARM_UP]:
        extract(text)
    started = time.process_time()
    texts = [extract(text) for extract, text in work]
    seconds = time.process_time() - started
    (folder / f"{kind}.{name}.json").write_text(json.dumps(texts), encoding="utf-8")
    print(json.dumps({"seconds": seconds, "pages": len(texts)}))


def from_archive(name: str, quick: bool) -> None:
    """Turn a WARC into texts with one extractor and print the CPU seconds."""
    from pipeline.extract.learn import gold

    extract = extractor(name)
    archive = root() / gold.SEGMENTS_ARCHIVE
    for text in _read_archive(name, archive, WARM_UP):
        extract(text)
    started, count = time.process_time(), 0
    for text in _read_archive(name, archive, QUICK if quick else 1 << 30):
        extract(text)
        count += 1
    print(json.dumps({"seconds": time.process_time() - started, "pages": count}))


def _read_archive(name: str, archive: Path, most: int) -> Iterator[str]:
    if name.startswith("ours "):
        from pipeline.readers import WarcReader
        from pipeline.readers.base import Split
        from pipeline.readers.encoding import decode

        for number, record in enumerate(WarcReader().read(Split(str(archive), 0, archive.stat().st_size), Counter())):
            if number == most:
                return
            if record.html is not None:
                yield decode(record.html, record.charset)[0]
        return
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding
    from trafilatura.utils import decode_file

    with archive.open("rb") as file:
        for number, record in enumerate(ArchiveIterator(file, record_types=WarcRecordType.response)):
            if number == most:
                return
            body = record.reader.read()
            yield bytes_to_str(body, detect_encoding(body)) if name == "resiliparse" else decode_file(body)


def groups(kind: str, page: Any) -> Iterator[str]:
    """The groups of a set that a page belongs to: all, and its type, top-level domain and script."""
    from pipeline.extract.learn import metrics

    yield "all"
    if page.kind:
        yield f"{'script' if kind in BY_SCRIPT else 'type'} {page.kind}"
    if kind not in BY_SCRIPT:
        known = page.url.startswith("http")  # some pages came without their address
        yield f"domain .{page.domain.rpartition('.')[2]}" if known else "domain unknown"
        yield f"script {metrics.script(page.text or ' '.join(page.wanted))}"


def measured(kind: str, found: Sequence[Any], texts: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """One row for each group and extractor."""
    import numpy as np

    from pipeline.extract.learn import metrics

    values, scores = {}, metrics.mean_scores
    for name, answers in texts.items():
        pairs = list(zip(found, answers, strict=True))
        if kind == "segments":
            scores = metrics.pooled_scores
            values[name] = np.array([metrics.segment_counts(text, p.wanted, p.unwanted) for p, text in pairs], float)
        else:
            values[name] = np.array([[*metrics.word_scores(text, p.text), 1.0] for p, text in pairs])
    members = defaultdict(list)
    for number, page in enumerate(found):
        for group in groups(kind, page):
            members[group].append(number)
    rows = []
    for group, numbers in sorted(members.items(), key=lambda item: (item[0] != "all", item[0])):
        if group != "all" and not LEAST_GROUP <= len(numbers) < NEARLY_ALL * len(found):
            continue
        for name, of_pages in values.items():
            row = {"set": kind, "group": group, "pages": len(numbers), "extractor": name}
            for word, interval in zip(("P", "R", "F1"), metrics.intervals(of_pages[numbers], scores), strict=True):
                row[word] = str(interval)
            if name != "trafilatura":
                plain = values["trafilatura"][numbers]
                low, high = metrics.differences(of_pages[numbers], plain, scores)[2][1:]
                row["F1 +"] = f"[{low:+.3f}, {high:+.3f}]"
            rows.append(row)
    return rows


def speeds(what: str, taken: Mapping[str, Sequence[harness.Usage]]) -> list[dict[str, Any]]:
    """One row for each extractor: the median, lowest and highest pages a second, and how often trafilatura's."""
    plain = statistics.median(usage.answer["pages"] / usage.seconds for usage in taken["trafilatura"])
    rows = []
    for name, usages in taken.items():
        rates = [usage.answer["pages"] / usage.seconds for usage in usages]
        middle = statistics.median(rates)
        row = {"set": what, "extractor": name, "pages": int(usages[0].answer["pages"])}
        row["pages/s/core"] = f"{middle:.4g} ({min(rates):.4g} to {max(rates):.4g})"
        rows.append({**row, "x trafilatura": f"{middle / plain:.2f}", "MiB": f"{usages[0].memory:.0f}"})
    return rows


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    heads = list(dict.fromkeys(head for row in rows for head in row))
    cells = [heads, *[[str(row.get(head, "")) for head in heads] for row in rows]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print()


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these extractors besides trafilatura")
    parser.add_argument("--side", nargs=3, metavar=("NAME", "SET", "FOLDER"), help="used internally")
    options = parser.parse_args()
    if options.side:
        name, kind, folder = options.side
        if kind == "archive":
            from_archive(name, options.quick)
        else:
            side(name, kind, options.quick, Path(folder))
        return
    root()
    ours = [f"ours {preset}" for preset in PRESETS]
    names = [*TRAFILATURA, "resiliparse", *ours]
    if options.only:
        names = [name for name in names if name == "trafilatura" or name in options.only]
    quality: list[dict[str, Any]] = []
    speed: list[dict[str, Any]] = []
    alone = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:

        def run(name: str, kind: str) -> harness.Usage:
            command = [sys.executable, os.path.abspath(__file__), "--side", name, kind, folder]
            return harness.run([*command, *(["--quick"] if options.quick else [])], alone)

        if set(names) & set(ours):
            make_models(Path(folder), range(1 if options.quick else FOLDS))
        for kind in (*SETS, "archive"):
            repetitions = 1 if kind in BY_SCRIPT else 2 if options.quick else 3
            sides = {name: lambda name=name, kind=kind: run(name, kind) for name in names}
            taken = harness.compare(sides, repetitions)
            speed.extend(speeds("from WARC" if kind == "archive" else kind, taken))
            if kind != "archive":
                texts = {name: json.loads((Path(folder) / f"{kind}.{name}.json").read_text()) for name in names}
                quality.extend(measured(kind, pages(kind, options.quick), texts))
    show(quality)
    show(speed)
    if options.json:
        options.json.write_text(json.dumps({"quality": quality, "speed": speed}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
