"""Pages made to break extraction: a million with every access checked, and how time and memory grow with the worst.

There is no opponent. The first part sends pages through scanner, features, trees, rendering and metadata, compiled with
checks of the bounds of all arrays: real pages that were cut, spliced and mutated, soups of all tags and attributes, and
plain bytes. `tests/pipeline/extract/mutated_pages.py` makes them and `page_checks.py` beside it asserts what holds for
each. That runs in processes of its own with a cache of its own, since checks change what is compiled. Pages that fail
are written into a folder; that of a process that dies or hangs too, and another goes on behind it.

The second part measures pages that are one hard piece of markup many times over, at growing sizes, each in a process of
its own: CPU time and peak memory a byte of the page, the page itself left out. Of a linear extractor a row shows the
same numbers; what does not fit into the caches of processors any more takes a small factor longer. Whole is what every
page goes through, `content` (scan, features, trees, and rendering of what is chosen) and `metadata`. `text` and
`markdown` render all there is, with the blocks of the page in memory.
"""

import argparse
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import harness

PROGRAM = harness.ROOT / "tests" / "pipeline" / "extract" / "page_checks.py"
PAGES, QUICK_PAGES = 1_000_000, 4000
SIZES, QUICK_SIZES = (1_000_000, 10_000_000, 100_000_000), (100_000, 1_000_000)
MOST_MEMORY = 16 << 30
"""Bytes of addresses that one measurement may take; more is none."""
STATE = struct.Struct("<4q")  # as in the program
STAGES = ("scan", "text", "markdown", "content", "metadata")
PRODUCT = ("content", "metadata")
"""What is done to every page; the other stages are parts of that, or choices."""


def _deep(unit: str, close: str) -> Callable[[int], bytes]:
    return lambda size: (unit * (size // len(unit + close)) + close * (size // len(unit + close))).encode()


def _after(before: str, unit: str, after: str = "") -> Callable[[int], bytes]:
    encoded = unit.encode()
    return lambda size: before.encode() + encoded * (size // len(encoded)) + after.encode()


def _attributes(size: int) -> bytes:
    return b"<p " + b"".join(b"a%d='b>' " % number for number in range(size // 12)) + b">x"


def _text(size: int) -> bytes:
    """Real pages, one behind the other; without the test data, words in paragraphs."""
    root = harness.test_data("B-wcxb-train")
    if root is None:
        words = (b"<p>%x, " % (number * 2654435761 % 2**32) for number in range(size // 11))
        return b"".join(words)
    from pipeline.extract.learn import gold

    page = b""
    for found in gold.wcxb(root.parent):
        page += found.html
        if len(page) >= size:
            break
    return (page * (size // len(page) + 1))[:size]


def _bytes(size: int) -> bytes:
    import random

    return random.Random(1).randbytes(size)


HARD: Mapping[str, Callable[[int], bytes]] = {
    "real pages": _text,
    "random bytes": _bytes,
    # nesting
    "div in div": _deep("<div>x", "</div>"),
    "div never closed": _after("", "<div>x"),
    "div 512 deep, p": _after("<div>" * 520, "<p>a"),
    "article in article": _after("", "<article>a"),
    "div and article": _after("", "<div><article class=content>x</article>"),
    "b i font misnested": _after("", "<b><i><font>x</b></i></font>"),
    "b never closed": _after("", "<b>x"),
    "b over p": _after("", "<b><p>x"),
    "a in a": _after("", "<a href=x>x"),
    "font 600 deep, a": _after("<font>" * 600, "<a>x"),
    "unknown tags": _after("", "<x-y>a<o:p>b"),
    "object in object": _after("", "<object>x"),
    "hr behind a barrier": _after("<p>x<object>" + "<span>" * 500, "<hr>"),
    "</p> behind a barrier": _after("<p>x<applet>" + "<span>" * 500, "</p>"),
    "</i> behind a barrier": _after("<i>x<applet>" + "<b>" * 500, "</i>"),
    "</section> behind divs": _after("<section><applet>" + "<div>" * 500, "</section>"),
    "li behind spans": _after("<ul><li>" + "<span>" * 500, "<dd>"),
    "button": _after("", "<button>x</button>y"),
    "form": _after("", "<form>x"),
    "select and option": _after("", "<select><option>x<optgroup>"),
    "option in option": _after("", "<option>x<option>"),
    "blockquote": _after("", "<blockquote>x"),
    "details": _after("", "<details><summary>x"),
    "frameset": _after("x", "<frameset>"),
    "head": _after("", "<head>x"),
    "template": _after("", "<template>x"),
    "noscript": _after("", "<noscript>x</noscript>"),
    # lists
    "a million items": _after("<ol>", "<li>x"),
    "ul in li": _after("", "<ul><li>x"),
    "ol in ol": _after("", "<ol start=-9999999><li>x"),
    "items in sixteen lists": _after("<ol><li>" * 16, "<li>x"),
    "dl": _after("", "<dl><dt>x<dd>y"),
    "dd": _after("<dl>", "<dd>x"),
    # tables
    "a million rows": _after("<table>", "<tr><td>x"),
    "a row of cells": _after("<table><tr>", "<td>x"),
    "a row of paragraphs": _after("<table><tr><th>h<tr><td>", "<p>x"),
    "a row of items": _after("<table><tr><th>h<tr><td><ol>", "<li>x"),
    "rows under 64 columns": _after("<table><tr>" + "<th>x" * 64, "<tr><td>y"),
    "rows under 64 columns, quoted": _after("<blockquote>" * 16 + "<table><tr>" + "<th>x" * 64, "<tr><td>y"),
    "rows under 65 columns": _after("<table><tr>" + "<th>x" * 65, "<tr><td>y"),
    "spans in one row": _after("<table><tr>", "<td colspan=64 rowspan=9>x"),
    "empty spans in one row": _after("<table><tr><td>x", "<td colspan=99>", "<td>x"),
    "spans in rows": _after("<table>", "<tr><td colspan=1000 rowspan=65534>x"),
    "rows with a span": _after("<table><td rowspan=0>x", "<tr>"),
    "tables of 64 columns": _after("", "<table><th colspan=63><th>x</table>"),
    "table in td": _after("", "<table><tr><td>x"),
    "table in table": _after("", "<table>x"),
    "table in th": _after("", "<table><th>x"),
    "text outside of cells": _after("<table>", "x<tr>y<td>z"),
    "caption": _after("<table>", "<caption>x"),
    # tags
    "a million attributes": _attributes,
    "attributes that count": _after("<p ", "class=content id=x style=a:b start=1 ", ">x"),
    "one attribute": _after("<p title='", "a>", "'>x"),
    "one class": _after("<p class='", "nav- article ", "'>x"),
    "one alttext": _after("<math alttext='", "x&lt;", "'></math>"),
    "a tag of one name": _after("<", "a"),
    "styles": _after("", "<p style=';;;;;;;display:;;;;;;;;;;;'>"),
    "<": _after("", "<"),
    "</": _after("", "</"),
    "<!": _after("", "<!"),
    "<a ": _after("", "<a "),
    "<!--": _after("", "<!--"),
    "<!-->": _after("", "<!-->x"),
    "<!-- >": _after("<!--", ">"),
    "<![CDATA[": _after("<svg>", "<![CDATA["),
    "]]>": _after("<svg><desc>x<svg><![CDATA[", "]>"),
    "script": _after("", "<script>"),
    "<!-- in script": _after("<script>", "<!--"),
    "script in script": _after("<script><!--", "<script></script>"),
    "textarea": _after("", "<textarea></textare"),
    "plaintext": _after("<plaintext>", "<p>&a"),
    "xmp": _after("<xmp>", "</xm"),
    # characters
    "&": _after("", "&"),
    "&a": _after("", "&a"),
    "&#": _after("", "&#"),
    "&#1": _after("&#", "1"),
    "&nGt;": _after("", "&nGt;"),
    "&CounterClockwise": _after("", "&CounterClockwiseContourIntegral"),
    "spaces": _after("x", " "),
    "spaces of no width": _after("x", "\u200b"),
    "zero bytes": _after("x", "\0"),
    "Han": _after("", "日"),
    "astral": _after("", "𠀀"),
    "broken UTF-8": lambda size: b"\xff" * size,
    # lines
    "p": _after("", "<p>a"),
    "p in code, em, strong": _after("<code><em><strong>", "<p>a"),
    "p in 16 quotations": _after("<blockquote>" * 16, "<p>a"),
    "br": _after("", "a<br>"),
    "br br": _after("", "a<br><br>"),
    "hr": _after("", "a<hr>"),
    "q": _after("", "<q>"),
    "q in p": _after("", "<p><q>"),
    "ruby": _after("", "<ruby>x<rp>(<rt>y</ruby>"),
    "ruby in ruby": _after("", "<ruby>x<rt>y"),
    "math": _after("", "<math><mi>x</math>"),
    "math in math": _after("", "<math><mi>"),
    "math with TeX": _after("", "<math>x<annotation encoding=tex>y</annotation>z</math>"),
    "svg in svg": _after("", "<svg><g>"),
    "svg in desc": _after("", "<svg><desc>x"),
    "svg left": _after("", "<svg><g><p>x"),
    "pre and code": _after("", "<pre><code class=language-c>x</code></pre>"),
    "pre in pre": _after("", "<pre>x"),
    "blocks in pre": _after("<pre>", "<div>x</div>"),
    "lines of pre": _after("<pre>x", "\n", "x"),
    "lines of pre, quoted": _after("<blockquote>" * 16 + "<pre>x", "\n", "x"),
    "backticks": _after("<code>", "`"),
    "backticks in pre": _after("<pre>", "`"),
    "codes": _after("<p>", "<code>`</code>"),
    # what pages say about themselves
    "meta": _after("", "<meta name=author content='&amp;x'>"),
    "h1": _after("", "<h1>x"),
    "title": _after("", "<title>x"),
    "items": _after("", "<b itemprop=author>"),
    "names of items": _after("<b itemprop=author>" * 64 + "<x ", "itemprop=name content=x "),
    "linked data": _after("", '<script type="application/ld+json">[{"@type":"Article","author":"x"}]</script>'),
    "linked data, deep": _after('<script type="application/ld+json">', "[", "</script>"),
}  # fmt: skip


def _resident(key: str) -> int:
    """Bytes of memory in use (`VmRSS`), or the most so far (`VmHWM`)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) << 10
    raise KeyError(key)


def measure(name: str, sizes: Sequence[int]) -> list[dict[str, float | None]]:
    """Send pages of one kind through each stage: ns, and the most bytes of memory, a byte; None if that is too much."""
    import resource

    import numpy as np

    from pipeline.extract import page as pages
    from pipeline.extract.content import content
    from pipeline.extract.metadata import metadata
    from pipeline.extract.page import blocks_of
    from pipeline.extract.render import render

    pages.MOST_BLOCKS = 1 << 40  # so that growth is seen beyond what is read
    short = page = b"<p>x"
    found = blocks_of(short)
    stages: dict[str, Callable[[], Any]] = {
        "scan": lambda: blocks_of(page),
        "text": lambda: render(found, np.ones(len(found.blocks), np.bool_), False, False),
        "markdown": lambda: render(found, np.ones(len(found.blocks), np.bool_), True, True),
        "content": lambda: content(page),
        "metadata": lambda: metadata(page),
    }
    for stage in stages.values():
        stage()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    answers = []
    for size in sizes:
        page = HARD[name](size)
        before = _resident("VmRSS")
        answer: dict[str, float | None] = {"bytes": len(page)}
        for stage in STAGES:
            Path("/proc/self/clear_refs").write_text("5")  # the most memory is counted anew
            start = time.process_time()
            try:
                result = stages[stage]()
            except MemoryError:
                answer[stage] = answer[f"{stage} memory"] = None
                continue
            answer[stage] = (time.process_time() - start) / len(page) * 1e9
            answer[f"{stage} memory"] = (_resident("VmHWM") - before) / len(page)
            if stage == "scan":
                found = result
            if stage in ("text", "markdown"):
                answer[f"{stage} bytes"] = len(result) / len(page)
            if stage == "markdown":
                found = blocks_of(short)  # what comes now has blocks of its own
            del result
        answers.append(answer)
    return answers


def _whole(one: Mapping[str, Any]) -> float:
    return sum(one[stage] or 0 for stage in PRODUCT)


def growth(sizes: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    """Measure all pages at all sizes, and print them."""
    heads = [*(f"{size / 1e6:g} MB" for size in sizes), "dearer", *["", *STAGES] * 2, "", "text", "markdown"]
    groups = "ns a byte", "ns a byte of the largest", "bytes of memory a byte", "bytes of text a byte"
    widths = 10 * (len(sizes) + 2), 10 * (len(STAGES) + 1), 10 * (len(STAGES) + 1), 0
    print(" " * 24 + "".join(group.ljust(width) for group, width in zip(groups, widths, strict=True)))
    print(" " * 24 + "".join(f"{head:>10}" for head in heads))
    rows = []
    for name in names:
        command = [sys.executable, str(Path(__file__).resolve()), "--measure", name, "--sizes", *map(str, sizes)]
        found: Any = harness.run(command, {}).answer["sizes"]
        rows.append({"page": name, "sizes": found})
        last = {**found[-1], "": None}
        parts = [*STAGES, "", *(f"{stage} memory" for stage in STAGES), "", "text bytes", "markdown bytes"]
        cells = [*map(_whole, found), _whole(last) / _whole(found[0]), None, *(last.get(part) for part in parts)]
        print(f"{name:24}" + "".join(" " * 10 if cell is None else f"{cell:10.2f}" for cell in cells), flush=True)
    return rows


def worst(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print which pages are the hardest, by what is measured."""

    def most(what: str, measured: Callable[[Sequence[Mapping[str, Any]]], float]) -> None:
        ordered = sorted(rows, key=lambda row: -measured(row["sizes"]))[:3]
        print(f"{what}: " + ", ".join(f"{measured(row['sizes']):.1f} ({row['page']})" for row in ordered))

    most("how many times dearer a byte becomes", lambda sizes: _whole(sizes[-1]) / _whole(sizes[0]))
    most("ns a byte", lambda sizes: _whole(sizes[-1]))
    most("bytes of memory a byte", lambda sizes: max(sizes[-1][f"{stage} memory"] or 0 for stage in STAGES))
    short = [row["page"] for row in rows if any(row["sizes"][-1][stage] is None for stage in STAGES)]
    print(f"more than {MOST_MEMORY >> 30} GiB: {', '.join(short) or 'none'}")


def _environment() -> dict[str, str]:
    """With checks of bounds, and a cache that is for these sources alone."""
    folders = ("filters", "pipeline/extract")
    sources = sorted(path for folder in folders for path in (harness.ROOT / folder).glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    cache = harness.CACHE / f"bounds-checked-{digest[:16]}"
    return {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache)}


class Share:
    """Every so manieth page: a process that sends them, and another one behind the page of which it died."""

    def __init__(self, first: int, state: Path, options: argparse.Namespace, environment: Mapping[str, str]) -> None:
        self.state, self.options, self.environment = state, options, environment
        self.pages = self.bytes = self.died = 0
        self._before = (0, 0)
        self._start(first)

    def _start(self, first: int) -> None:
        command = [sys.executable, str(PROGRAM), "--seed", str(self.options.seed), "--last", str(self.options.pages)]
        command += ["--first", str(first), "--step", str(self.options.processes), "--state", str(self.state)]
        command += ["--failures", str(self.options.failures)]
        if (data := harness.test_data("B-wcxb-train")) is not None:
            command += ["--data", str(data.parent)]
        self.state.write_bytes(STATE.pack(first, 0, 0, 0))
        self._process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)

    def ended(self) -> bool:
        """Find out how far it is."""
        code = self._process.poll()
        with self.state.open("rb") as file:
            number, size, pages, done = STATE.unpack(file.read(STATE.size))
        self.pages, self.bytes = self._before[0] + pages, self._before[1] + done
        if code is None or (code in (0, 1) and number >= self.options.pages):
            return code is not None
        self.died += 1
        page = self.options.failures / f"{self.options.seed}-{number}.html"
        page.write_bytes(self.state.read_bytes()[STATE.size : STATE.size + size])
        page.with_suffix(".txt").write_text(f"the process ended with {code}\n", encoding="utf-8")
        self._before = self.pages + 1, self.bytes + size
        self._start(number + self.options.processes)
        return False


def send(options: argparse.Namespace) -> dict[str, int]:
    """Send all pages and return how many there were, and how many failed."""
    options.failures.mkdir(parents=True, exist_ok=True)
    old = set(options.failures.glob("*.html"))
    print("compiling with checks of bounds, which takes a minute or two", file=sys.stderr)
    environment = _environment()
    subprocess.run(
        [sys.executable, str(PROGRAM), "--last", "0"], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    started = last = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        shares = [
            Share(number, Path(folder) / str(number), options, environment) for number in range(options.processes)
        ]
        while not all([share.ended() for share in shares]):
            time.sleep(1)
            pages, passed = sum(share.pages for share in shares), time.monotonic() - started
            if time.monotonic() - last > 30 and pages:
                last = time.monotonic()
                left = (options.pages - pages) * passed / pages / 60
                print(f"{pages:,} of {options.pages:,} pages, {left:.0f} minutes left", file=sys.stderr)
    found = {
        "pages": sum(share.pages for share in shares),
        "bytes": sum(share.bytes for share in shares),
        "failed": len(set(options.failures.glob("*.html")) - old),
        "died": sum(share.died for share in shares),
    }
    said = f"{found['pages']:,} pages of {found['bytes']:,} bytes with checks of bounds: {found['failed']} failed"
    print(said + f", {found['died']} by the end of the process; they are in {options.failures}" * (found["failed"] > 0))
    return found


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--pages", type=int, metavar="N", help="how many pages are sent; 0 for none")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", type=Path, default=harness.CACHE / "hostile", help="folder for pages that fail")
    parser.add_argument("--sizes", type=int, nargs="*", help="bytes of the pages that are measured; none for no pages")
    parser.add_argument("--names", nargs="+", choices=HARD, metavar="NAME", help="pages that are measured")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps({"sizes": measure(options.measure, options.sizes)}))
        return
    if options.pages is None:
        options.pages = QUICK_PAGES if options.quick else PAGES
    if options.sizes is None:
        options.sizes = QUICK_SIZES if options.quick else SIZES
    answer: dict[str, Any] = {}
    if options.pages:
        answer["sent"] = send(options)
    if options.sizes:
        answer["growth"] = growth(options.sizes, options.names or list(HARD))
        worst(answer["growth"])
    if options.json:
        options.json.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
