"""What each recipe under configs/curate/ costs: CPU time and memory by the size of the input, start-up apart.

Each recipe runs with one worker on real data in the form in which it is published (of the test data, if
GRISTMILL_TEST_DATA leads to it; source code is that of installed packages): once on a small part, once on all of it.
The slope between the two is what a GB costs, as the files lie on the disk, packed or not; what is left at no input is
the start, which is paid once a run. Where the data is too small, copies are added in which words have changed places,
so that they are no duplicates of each other. There is no opponent: the numbers go into the comments of the recipes.
"""

import bz2
import gzip
import importlib.metadata
import itertools
import json
import os
import re
import shutil
import statistics
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import harness

GB = 1e9
_FOUR_WORDS = re.compile(r"\b([A-Za-z]{2,}) ([A-Za-z]{2,}) ([A-Za-z]{2,}) ([A-Za-z]{2,})\b")
_ORDERS = list(itertools.permutations((1, 2, 3, 4)))

Make = Callable[[Path, int], list[str]]
"""Writes the input into a folder, `copies` times, and returns the settings that name it."""


@dataclass(frozen=True)
class Cost:
    """What a recipe takes."""

    recipe: str
    megabytes: float
    """Of input, in the large run."""
    start: float
    """CPU seconds, without input."""
    seconds_per_gb: float
    """CPU seconds."""
    memory: float
    """Peak of the largest process, in MiB."""
    kept: float
    """Bytes of shards for a byte of input."""


def changed(text: str, copy: int) -> str:
    """A copy of a text in which plain words have changed places with their neighbours; copy 0 is the text itself."""
    if copy == 0:
        return text
    order = " ".join(f"\\{number}" for number in _ORDERS[copy])
    return _FOUR_WORDS.sub(order, text)


def rows(name: str) -> list[dict[str, Any]]:
    path = harness.test_data(name)
    if path is None:
        raise FileNotFoundError(name)
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def archive(folder: Path, copies: int, data: str, name: str = "web") -> list[str]:
    """Pages of the test data in a file as crawlers write them, in the languages that most of them are in."""
    source = harness.test_data(data)
    if source is None:
        raise FileNotFoundError(data)
    from warcio.archiveiterator import ArchiveIterator

    with (folder / "pages.warc.gz").open("wb") as out:
        for copy in range(copies):
            with source.open("rb") as stream:
                for record in ArchiveIterator(stream, no_record_parse=True):
                    if record.rec_type == "response":
                        block = changed(record.content_stream().read().decode("latin-1"), copy).encode("latin-1")
                        url = record.rec_headers.get_header("WARC-Target-URI")
                        head = (
                            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
                            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
                        )
                        out.write(gzip.compress(head.encode() + block + b"\r\n\r\n"))
    return [f"sources.{name}.paths={json.dumps([str(folder / 'pages.warc.gz')])}"]


def web(folder: Path, copies: int) -> list[str]:
    return [*archive(folder, copies, SITES), "languages=[de, en]"]


def listed(folder: Path, copies: int) -> list[str]:
    archive(folder, copies, SITES)
    (folder / "warc.paths").write_text("pages.warc.gz\n", encoding="utf-8")
    return [f"sources.web.paths={{listed: '{folder}/warc.paths'}}", "languages=[de, en]"]


def wiki(folder: Path, copies: int, name: str = "wikipedia") -> list[str]:
    """Articles as a dump packed with bzip2, a stream for 100 pages as in the "multistream" ones."""
    articles = rows("READY-jsonl/wikipedia_en_dump_excerpt.jsonl.gz")
    head = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11"><siteinfo><sitename>Wikipedia'
        "</sitename><base>https://en.wikipedia.org/wiki/Main_Page</base></siteinfo>\n"
    )
    parts = [head.encode()]
    number = 0
    for copy in range(copies):
        for begin in range(0, len(articles), 100):
            part = ""
            for row in articles[begin : begin + 100]:
                number += 1
                part += (
                    f"<page><title>{escape(row['path'])}</title><ns>0</ns><id>{number}</id><revision><id>1</id><timestamp>"
                    "2024-01-02T03:04:05Z</timestamp><model>wikitext</model><text>"
                    f"{escape(changed(row['text'], copy))}</text></revision></page>\n"
                )
            parts.append(part.encode())
    parts.append(b"</mediawiki>\n")
    path = folder / "enwiki-pages-articles-multistream.xml.bz2"
    path.write_bytes(b"".join(map(bz2.compress, parts)))
    return [f"sources.{name}.paths={json.dumps([str(path)])}"]


def books(folder: Path, copies: int) -> list[str]:
    novels = rows("READY-jsonl/books_en_dev14.jsonl.gz")
    for copy in range(copies):
        for row in novels:
            (folder / f"{copy}-{row['path']}.txt").write_text(changed(row["text"], copy), encoding="utf-8")
    return [f"sources.books.paths={json.dumps([f'{folder}/*.txt'])}"]


def papers(folder: Path, copies: int, name: str = "arxiv") -> list[str]:
    """An archive of packed e-prints, as arXiv makes them."""
    samples = rows("D-arxiv-sample/arxiv.jsonl.gz")
    with tarfile.open(folder / "arXiv_src_2208_001.tar", "w") as out:
        for number, (copy, row) in enumerate(itertools.product(range(copies), samples)):
            text = f"\\documentclass{{article}}\n\\begin{{document}}\n{changed(row['text'], copy)}\n\\end{{document}}\n"
            data = gzip.compress(text.encode(), mtime=0)
            entry = tarfile.TarInfo(f"2208/2208.{number:05d}.gz")
            entry.size = len(data)
            out.addfile(entry, BytesIO(data))
    return [f"sources.{name}.paths={json.dumps([f'{folder}/*.tar'])}"]


def answers(folder: Path, copies: int, name: str = "stackexchange") -> list[str]:
    posts = harness.test_data("D-stackexchange/beer/Posts.xml")
    if posts is None:
        raise FileNotFoundError("D-stackexchange")
    text = posts.read_text(encoding="utf-8")
    for copy in range(copies):
        site = folder / f"beer{copy}.stackexchange.com"
        site.mkdir()
        (site / "Posts.xml").write_text(changed(text, copy), encoding="utf-8")
    return [f"sources.{name}.paths={json.dumps([f'{folder}/*/Posts.xml'])}"]


def code(folder: Path, copies: int, names: Sequence[str] = ("code", "docs")) -> list[str]:
    """Installed packages with what says their licence, as folders; with one copy, only the small ones."""
    packages = (
        ("networkx", "jinja2", "pydantic") if copies == 1 else ("networkx", "jinja2", "pydantic", "sympy", "pandas")
    )
    for package in packages:
        for file in importlib.metadata.files(package) or ():
            path = Path(str(file.locate()))
            if ".." not in file.parts and path.is_file() and file.suffix not in (".so", ".pyc"):
                target = folder / package / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    return [f"sources.{name}.paths={json.dumps([f'{folder}/*'])}" for name in names]


def texts(folder: Path, copies: int, name: str = "mine") -> list[str]:
    """Encyclopedia, manuals and novels, these in pieces of the length of pages, as plain JSON Lines."""
    sources = ("wikipedia_en_dump_excerpt", "docs_python_rst", "books_en_dev14")
    whole = [row["text"] for name in sources for row in rows(f"READY-jsonl/{name}.jsonl.gz")]
    pieces = [text[at : at + 5000] for text in whole for at in range(0, min(len(text), 200_000), 5000)]
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as out:
        for copy in range(copies):
            out.writelines(json.dumps({"text": changed(piece, copy)}) + "\n" for piece in pieces)
    return [f"sources.{name}.paths={json.dumps([f'{folder}/*.jsonl'])}"]


def with_questions(folder: Path, copies: int) -> list[str]:
    """The same texts, and GSM8K as the set that is looked for."""
    found = harness.test_data("E-gsm8k/test.jsonl")
    if found is None:
        raise FileNotFoundError("E-gsm8k")
    questions = {"paths": str(found), "question": "question", "answer": "answer"}
    return [*texts(folder, copies, "text"), f"steps.decontaminate.sets.gsm8k={json.dumps(questions)}"]


def threads(folder: Path, copies: int) -> list[str]:
    """The questions of the Stack Exchange sample as posts with their answers as comments, in Reddit's form."""
    from lxml import etree

    posts = harness.test_data("D-stackexchange/beer/Posts.xml")
    if posts is None:
        raise FileNotFoundError("D-stackexchange")
    found = [dict(row.attrib) for row in etree.parse(str(posts)).getroot()]
    by_parent: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        by_parent.setdefault(row.get("ParentId", ""), []).append(row)
    with (folder / "threads.jsonl").open("w", encoding="utf-8") as out:
        for copy in range(copies):
            for row in by_parent.get("", ()):
                comments = [
                    {"id": answer["Id"], "body": changed(plain(answer["Body"]), copy), "score": int(answer["Score"])}
                    for answer in by_parent.get(row["Id"], ())
                ]
                thread = {"id": row["Id"], "title": row.get("Title", ""), "selftext": changed(plain(row["Body"]), copy)}
                out.write(json.dumps({**thread, "score": int(row["Score"]), "comments": comments}) + "\n")
    return [f"sources.threads.paths={json.dumps([f'{folder}/*.jsonl'])}"]


def plain(html: str) -> str:
    from lxml.html import fromstring

    return str(fromstring(f"<div>{html}</div>").text_content())


def mixed(folder: Path, copies: int) -> list[str]:
    """All kinds, a third of what their own recipes get."""
    settings: list[str] = []
    parts: list[Make] = [
        partial(wiki, name="wiki"),
        books,
        partial(papers, name="papers"),
        partial(answers, name="qa"),
        partial(code, names=("code",)),
        partial(archive, data=SITES),
    ]
    for number, make in enumerate(parts):
        (folder / str(number)).mkdir()
        settings += make(folder / str(number), max(1, copies // 3))
    return [*settings, "languages=[de, en]"]


def demo(folder: Path, copies: int) -> list[str]:
    """The demo's corpus; with one copy, a quarter of its lines."""
    corpus = harness.demo_corpus(folder / "made")
    (folder / "all").mkdir()
    settings = []
    for name, files in corpus.items():
        target = folder / "all" / name
        target.mkdir()
        for file in files:
            if copies > 1 or not file.name.endswith(".jsonl.gz"):
                shutil.copyfile(file, target / file.name)
            else:
                with gzip.open(file) as stream, gzip.open(target / file.name, "wb") as out:
                    out.writelines(line for number, line in enumerate(stream) if number % 4 == 0)
        settings.append(f"sources.{name}.paths={json.dumps([str(path) for path in sorted(target.iterdir())])}")
    shutil.rmtree(folder / "made")
    return settings


SITES = "B-trafilatura-dev/trafilatura-dev.warc.gz"
MANUAL = "A-warc-debian-handbook/debian-handbook-00000.warc.gz"
CASES: dict[str, tuple[Make, int]] = {
    "commoncrawl": (listed, 4),
    "web": (web, 4),
    "multilingual": (partial(archive, data=MANUAL), 2),
    "text": (texts, 4),
    "dedup": (partial(texts, name="text"), 4),
    "decontaminate": (with_questions, 4),
    "wikipedia": (wiki, 12),
    "stackexchange": (answers, 12),
    "threads": (threads, 12),
    "arxiv": (papers, 20),
    "gutenberg": (books, 4),
    "code": (code, 2),
    "mixed": (mixed, 6),
    "demo": (demo, 2),
}
"""By recipe: what makes its input, and the copies in the large run. The small run has one copy."""


def curate(recipe: str, folder: Path, settings: Iterable[str]) -> tuple[harness.Usage, int]:
    """Run a recipe with one worker; what it took, and the bytes of its shards."""
    command = [str(Path(sys.executable).with_name("gristmill")), "curate"]
    command += [str(harness.ROOT / f"configs/curate/{recipe}.yaml"), "--out", str(folder / "run"), "--workers", "1"]
    command += [word for setting in settings for word in ("--set", setting)]
    usage = harness.run(command, {"POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
    shards = sum(path.stat().st_size for path in (folder / "run/shards").rglob("*.parquet"))
    shutil.rmtree(folder / "run")
    return usage, shards


def measure(recipe: str, repetitions: int, most: int) -> Cost:
    make, copies = CASES[recipe]
    copies = min(copies, most)
    with tempfile.TemporaryDirectory() as scratch:
        inputs = []
        for number in (1, copies):
            folder = Path(scratch) / str(number)
            (folder / "in").mkdir(parents=True)
            settings = make(folder / "in", number)
            size = sum(path.stat().st_size for path in (folder / "in").rglob("*") if path.is_file())
            inputs.append((folder, settings, size))
        curate(recipe, *inputs[0][:2])  # compiled code comes from the cache afterwards
        taken: list[list[harness.Usage]] = [[], []]
        for _ in range(repetitions):
            for number, (folder, settings, _) in enumerate(inputs):
                usage, shards = curate(recipe, folder, settings)
                taken[number].append(usage)
        (small, large), (few, many) = (
            [statistics.median(usage.cpu for usage in usages) for usages in taken],
            [size for _, _, size in inputs],
        )
        slope = (large - small) / (many - few)
        memory = max(usage.memory for usages in taken for usage in usages)
    return Cost(recipe, many / 1e6, small - slope * few, slope * GB, memory, shards / many)


def table(costs: Sequence[Cost]) -> Iterator[str]:
    yield f"{'recipe':<15} {'input MB':>9} {'start s':>8} {'s per GB':>9} {'min per GB':>10} {'MiB':>6} {'shards':>7}"
    for cost in costs:
        minutes = cost.seconds_per_gb / 60
        yield (
            f"{cost.recipe:<15} {cost.megabytes:>9.1f} {cost.start:>8.1f} {cost.seconds_per_gb:>9.0f} {minutes:>10.1f} "
            f"{cost.memory:>6.0f} {cost.kept:>7.0%}"
        )


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--recipe", action="append", choices=sorted(CASES), help="only this one")
    options = parser.parse_args()
    os.environ.setdefault("PYTHONHASHSEED", "0")
    costs = []
    present = {path.stem for path in (harness.ROOT / "configs/curate").glob("*.yaml")}
    for recipe in sorted(present - CASES.keys()):
        print(f"{recipe}: nothing here makes input for it", file=sys.stderr)
    for recipe in options.recipe or [name for name in CASES if name in present]:
        try:
            costs.append(measure(recipe, *((1, 4) if options.quick else (3, 24))))
        except FileNotFoundError as error:
            print(f"{recipe}: left out, it needs {error} of the test data", file=sys.stderr)
            continue
        print(list(table(costs[-1:]))[1], file=sys.stderr)
    print("\n".join(table(costs)))
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
