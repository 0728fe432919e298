"""Pages made to break extraction: a million with every access checked, and how time and memory grow with the worst.

There is no opponent. The first part sends pages through scanner, features, rendering and metadata, compiled with checks
of the bounds of all arrays: real pages that were cut, spliced and mutated, soups of all tags and attributes, and plain
bytes. `tests/pipeline/extract/mutated_pages.py` makes them and asserts what holds for each; it runs in processes of its
own with a cache of its own, since checks change what is compiled. Every page depends on the seed and its number alone;
what fails is written into a folder, a process that crashes or hangs is found out, and the others go on.

The second part measures pages that are one hard piece of markup a million times over, at growing sizes: CPU time and
peak memory a byte of the page, the page itself left out. Of a linear extractor a row shows the same numbers.
"""

import argparse
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import harness

PROGRAM = harness.ROOT / "tests" / "pipeline" / "extract" / "mutated_pages.py"
QUICK_PAGES, ALL_PAGES = 4000, 1_000_000
SIZES, QUICK_SIZES = (1_000_000, 10_000_000, 100_000_000), (100_000, 1_000_000)
MOST_MEMORY = 14 << 30
"""Bytes that a measurement may have; what needs more has none."""
STAGES = ("scan", "features", "text", "markdown", "metadata")


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
    """Bytes of memory in use, or the most so far (`VmHWM`)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) << 10
    raise KeyError(key)


def measure(name: str, size: int) -> dict[str, float | None]:
    """Send one page through each stage; CPU seconds of each, and the most memory beyond the page."""
    import resource

    import numpy as np

    from pipeline.extract import features
    from pipeline.extract.metadata import metadata
    from pipeline.extract.page import blocks_of
    from pipeline.extract.render import render

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    found = blocks_of("<p>x")
    stages: dict[str, Callable[[], object]] = {
        "scan": lambda: blocks_of(page),
        "features": lambda: features.matrix(found),
        "text": lambda: render(found, np.ones(len(found.blocks), np.bool_), False, False),
        "markdown": lambda: render(found, np.ones(len(found.blocks), np.bool_), True, True),
        "metadata": lambda: metadata(page),
    }
    page = b"<p>x"
    for stage in stages.values():
        stage()
    page = HARD[name](size)
    before = _resident("VmRSS")
    answer: dict[str, float | None] = {"size": len(page), "seconds": 0.0}
    for stage in STAGES:
        Path("/proc/self/clear_refs").write_text("5")
        start = time.process_time()
        try:
            result = stages[stage]()
        except MemoryError:
            result = None
        answer[stage] = None if result is None else time.process_time() - start
        answer[f"{stage} memory"] = None if result is None else _resident("VmHWM") - before
        if stage == "scan" and result is not None:
            found = result
            answer["blocks"], answer["elements"] = len(found.blocks), len(found.nodes)
        elif stage in ("text", "markdown") and result is not None:
            answer[f"{stage} bytes"] = len(result)
        del result
    return answer


def growth(sizes: tuple[int, ...], names: list[str]) -> list[dict[str, Any]]:
    """Measure all, each page in a process of its own."""
    heads = [f"{size / 1e6:g} MB" for size in sizes]
    print(f"{'ns a byte':30}" + "".join(f"{head:>10}" for head in heads) + "   dearer   bytes of memory a byte: ", end="")
    print("  ".join(STAGES), " text a byte: text, markdown")
    rows = []
    for name in names:
        found = []
        for size in sizes:
            command = [sys.executable, str(Path(__file__).resolve()), "--measure", name, str(size)]
            found.append(harness.run(command, {}).answer)
        rows.append({"page": name, "sizes": found})
        times = [sum(one[stage] or 0 for stage in STAGES) / one["size"] * 1e9 for one in found]
        last = found[-1]
        memory = [None if last[f"{s} memory"] is None else last[f"{s} memory"] / last["size"] for s in STAGES]
        texts = [last.get(f"{stage} bytes", float("nan")) / last["size"] for stage in ("text", "markdown")]
        line = f"{name:30}" + "".join(f"{value:10.1f}" for value in times) + f"{times[-1] / times[0]:8.2f}x"
        line += "   " + "".join("   (more)" if value is None else f"{value:9.1f}" for value in memory)
        line += "   " + "".join(f"{last[stage] / last['size'] * 1e9:7.1f}" if last[stage] is not None else "      -" for stage in STAGES)
        print(line + "".join(f"{value:8.2f}" for value in texts), flush=True)
    return rows


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--names", nargs="+")
    parser.add_argument("--sizes", nargs="+", type=int)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], int(options.measure[1]))))
        return
    growth(tuple(options.sizes), options.names or list(HARD))


if __name__ == "__main__":
    main()
