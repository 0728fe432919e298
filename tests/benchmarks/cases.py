"""Hand-written pages of HTML's odd corners: how many of them each engine turns into the right text, and at what speed.

The pages are those of `tests/pipeline/extract/cases/*.yaml`, with what is expected of them; ours has to get them all,
which the tests see to. What is asked for is all visible text, not the main text. Each measure forgives more:

- `exact`: as expected, but for white space at the ends. The marks of lists and tables are a matter of taste: ours.
- `lines` (of text): the same lines, whatever the bullets, bars, indentation and empty lines.
- `spaces` (of text): the same characters between white space of any kind, the numbers of lists left out as well.
- `blocks` (of Markdown): the same headings, items, quotations, code and paragraphs, as a parser of CommonMark with
  tables reads them, whatever the depth of lists, the cells of tables, emphasis and links.
- `words`: the same words as in the expected text, each as often, so that nothing is lost, added or run together. Those
  of Markdown are what that parser shows, so ours is not right by definition.

`untasted` are the pages whose expectation is the standard's. The others, which count in the columns by file as well,
say in the file what was chosen and why. To judge that, what Chromium calls the text of a page (`innerText`, which has
no marks of lists) is a row too, where Chromium is installed. `--failures ENGINE` shows the pages whose lines or blocks
an engine misses, with both texts.

Every engine has its best settings: links, images and emphasis off where that can be said, and, where it has means for
it, the elements of `UNWANTED` and `HIDDEN` removed. Of what else can be chosen this got most words right: strict CSS
for inscriptis (relaxed gets one page less); one line for each piece of text for selectolax, which has no layout (pieces
joined by spaces get the same words, joined by nothing a third fewer pages); html5lib below markdownify (lxml gets fewer
and is faster, hence here too; the standard library's parser, its default, gets fewest). resiliparse and selectolax
stand on lexbor, inscriptis and html-text on lxml. html-to-markdown runs without its removal of navigation and forms.

Every engine gets decoded pages. Speed is that of conversion alone, on pages of WCXB (of the demo's corpus without the
test data), after a warm-up and for at least a second.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import harness

FOLDER = harness.ROOT / "tests/pipeline/extract/cases"
OPPONENTS = (
    "resiliparse==2.0.1 inscriptis==2.7.6 selectolax==1.0.2 html-text==0.7.1 cssselect html5lib==1.1 "
    "html-to-markdown==3.19.0 markdownify==1.2.3 html2text==2025.4.15"
).split()
UNWANTED = (
    "head title script style template noscript noframes noembed iframe object video audio canvas svg img textarea "
    "select datalist button progress meter"
).split()
UNMARKED = "a b strong i em s del u mark".split()
HIDDEN = ["[hidden]", '[style^="display:none"]', '[aria-hidden="true"]', "dialog:not([open])"]
PAGES, QUICK, WARM_UP, LEAST_SECONDS = 200, 40, 10, 1.0

Convert = Callable[[str], str]


class Case(NamedTuple):
    file: str
    name: str
    html: str
    text: str
    markdown: str
    taste: str


def read() -> Iterator[Case]:
    import yaml

    for file in sorted(FOLDER.glob("*.yaml")):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8")):
            html = entry["html"].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            text = entry["text"]
            yield Case(file.stem, entry["name"], html, text, entry.get("markdown", text), entry.get("taste", ""))


def ours(format: str) -> Convert:
    from pipeline.extract.page import whole_text

    return lambda page: whole_text(page, format)


def resiliparse() -> Convert:
    from resiliparse.extract.html2text import extract_plain_text

    # Without alternative texts it drops captions of figures too, so the images are what is skipped.
    return lambda page: extract_plain_text(
        page, preserve_formatting=True, main_content=False, skip_elements=[*UNWANTED, *HIDDEN]
    )


def inscriptis() -> Convert:
    from inscriptis import get_text
    from inscriptis.css_profiles import CSS_PROFILES
    from inscriptis.html_properties import Display
    from inscriptis.model.config import ParserConfig
    from inscriptis.model.html_element import HtmlElement

    css = CSS_PROFILES["strict"] | {tag: HtmlElement(display=Display.none) for tag in UNWANTED}
    config = ParserConfig(css=css, display_links=False, display_images=False, table_cell_separator=" | ")
    return lambda page: get_text(page, config)


def selectolax() -> Convert:
    from selectolax.lexbor import LexborHTMLParser

    unwanted = ",".join(UNWANTED + HIDDEN)

    def convert(page: str) -> str:
        tree = LexborHTMLParser(page)
        for node in tree.css(unwanted):
            node.decompose()
        return tree.body.text(separator="\n", strip=True, skip_empty=True) if tree.body else ""

    return convert


def html_text() -> Convert:
    import html_text
    from lxml.cssselect import CSSSelector

    unwanted = CSSSelector(",".join(UNWANTED + HIDDEN))

    def convert(page: str) -> str:
        tree = html_text.parse_html(page)
        if tree is None:
            return ""
        for node in unwanted(tree):
            if node.getparent() is not None:
                node.drop_tree()
        return html_text.extract_text(tree, guess_layout=True)

    return convert


def html_to_markdown(format: str) -> Convert:
    from html_to_markdown import ConversionOptions, PreprocessingOptions, convert

    options = ConversionOptions(
        output_format=format,
        exclude_selectors=UNWANTED + HIDDEN,
        strip_tags=UNMARKED,
        extract_metadata=False,
        expand_abbreviations=False,
        include_blockquote_citations=False,
        compact_tables=True,
        preprocessing=PreprocessingOptions(enabled=False),
    )
    return lambda page: convert(page, options).content


def markdownify(parser: str) -> Convert:
    from bs4 import BeautifulSoup
    from markdownify import ATX, MarkdownConverter

    converter = MarkdownConverter(
        heading_style=ATX, bullets="-", strip=UNMARKED, escape_asterisks=False, escape_underscores=False
    )
    unwanted = ",".join(UNWANTED + HIDDEN)

    def convert(page: str) -> str:
        soup = BeautifulSoup(page, parser)
        for node in soup.select(unwanted):
            if not node.decomposed:
                node.decompose()
        return converter.convert_soup(soup)

    return convert


def html2text() -> Convert:
    from html2text import HTML2Text

    def convert(page: str) -> str:
        converter = HTML2Text(bodywidth=0)
        converter.ignore_links = converter.ignore_images = converter.ignore_emphasis = True
        converter.unicode_snob = converter.backquote_code_style = True
        converter.ul_item_mark = "-"
        converter.open_quote, converter.close_quote = "“”"
        return converter.handle(page)

    return convert


ENGINES: dict[str, dict[str, Callable[[], Convert]]] = {
    "text": {
        "ours": lambda: ours("text"),
        "resiliparse": resiliparse,
        "html-to-markdown": lambda: html_to_markdown("plain"),
        "inscriptis": inscriptis,
        "html-text": html_text,
        "selectolax": selectolax,
    },
    "markdown": {
        "ours": lambda: ours("markdown"),
        "html-to-markdown": lambda: html_to_markdown("markdown"),
        "markdownify, html5lib": lambda: markdownify("html5lib"),
        "markdownify, lxml": lambda: markdownify("lxml"),
        "html2text": html2text,
    },
}


def inner_text(pages: Sequence[str]) -> list[str] | None:
    """Return what Chromium says that pages show, or None where there is none."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("Chromium is not installed: its row is left out", file=sys.stderr)
        return None
    script = """<!DOCTYPE html><meta charset="utf-8"><body><script>
        async function show(pages) {
            const found = [];
            for (const page of pages) {
                const frame = document.createElement("iframe");
                await new Promise(done => { frame.onload = done; frame.srcdoc = page; document.body.append(frame); });
                found.push(frame.contentDocument.body.innerText);
                frame.remove();
            }
            document.body.dataset.found = encodeURIComponent(JSON.stringify(found));
        }
        show(PAGES);
    </script>"""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pages.html"
        file.write_text(script.replace("PAGES", json.dumps(pages).replace("<", r"\u003C")), encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", f"--user-data-dir={folder}", "--virtual-time-budget=60000"]
        process = subprocess.run(
            [*command, "--dump-dom", file.as_uri()], capture_output=True, text=True, check=True, timeout=300
        )
    from urllib.parse import unquote

    answer = re.search('data-found="([^"]*)"', process.stdout)
    if answer is None:
        raise RuntimeError(f"{browser} did not get to the end of the pages:\n{process.stderr[-2000:]}")
    found: list[str] = json.loads(unquote(unescape(answer[1])))
    return found


_MARK = r"(?:[-*+•o][^\S\n]+)"
BULLETS = re.compile(rf"^[^\S\n]*{_MARK}+", re.MULTILINE)
NUMBERS = re.compile(rf"^[^\S\n]*(?:{_MARK}|\d+\.(?:[^\S\n]+|$))+", re.MULTILINE)
BARS = re.compile(r"(?<!\S)\|(?!\S)")
WORD = re.compile(r"\w+")
TAG = re.compile("<[^>]*>")
INLINE = re.compile(r"</?(?:em|strong|s|a)\b[^>]*>| class=\"[^\"]*\"")
SPACE = re.compile(r"</?(?:thead|tbody|t[rhd])\b[^>]*>|<br />|\n")
BREAK = re.compile(r"</?(?:p|[uo]l|li|table|h\d|blockquote|hr)\b[^>]*>")
KEPT = re.compile(r"<(?:li|h\d|/?blockquote|hr)\b.*")


def lines(text: str) -> list[str]:
    return [line for row in BARS.sub("", BULLETS.sub("", text)).split("\n") if (line := " ".join(row.split()))]


def spaces(text: str) -> list[str]:
    return BARS.sub("", NUMBERS.sub("", text)).split()


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(NUMBERS.sub("", text)))


def blocks(markdown: str) -> list[str]:
    """Return the blocks of rendered Markdown; the odd items of a list like [text, code, text] are code as it is."""
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).render(markdown)
    found = []
    for number, part in enumerate(re.split("(<pre>.*?</pre>)", INLINE.sub("", html), flags=re.DOTALL)):
        if number % 2:
            found += [line.rstrip() for line in part.replace("\xa0", " ").split("\n") if line.strip()]
        else:
            found += lines(BREAK.sub(lambda tag: f"\n{tag[0]}\n" if KEPT.match(tag[0]) else "\n", SPACE.sub(" ", part)))
    return found


def rendered(markdown: str) -> Counter[str]:
    return Counter(WORD.findall(unescape(TAG.sub("", "\n".join(blocks(markdown))))))


MEASURES: dict[str, dict[str, Callable[[str, Case], bool]]] = {
    "text": {
        "exact": lambda got, case: got.strip() == case.text.strip(),
        "lines": lambda got, case: lines(got) == lines(case.text),
        "spaces": lambda got, case: spaces(got) == spaces(case.text),
        "words": lambda got, case: words(got) == words(case.text),
    },
    "markdown": {
        "exact": lambda got, case: got.strip() == case.markdown.strip(),
        "blocks": lambda got, case: blocks(got) == blocks(case.markdown),
        "words": lambda got, case: rendered(got) == words(case.text),
    },
}
STRUCTURE = {"text": "lines", "markdown": "blocks"}


def counts(format: str, cases: Sequence[Case], answers: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """One row for each measure and engine: how many cases of each file it gets."""
    rows = []
    for measure, right in MEASURES[format].items():
        for engine, texts in answers.items():
            found: Counter[str] = Counter()
            for case, text in zip(cases, texts, strict=True):
                found.update(dict.fromkeys(groups(case), int(right(text, case))))
            rows.append({"format": format, "measure": measure, "engine": engine, **found})
    return rows


def groups(case: Case) -> list[str]:
    return [case.file, "all", *([] if case.taste else ["untasted"])]


def show(rows: Sequence[Mapping[str, Any]], cases: Sequence[Case]) -> None:
    sizes = Counter(group for case in cases for group in groups(case))
    columns = [*(name for name in sizes if name not in ("all", "untasted")), "all", "untasted"]
    width = max(len(row["engine"]) for row in rows)
    for (format, measure), members in itertools.groupby(rows, key=lambda row: (row["format"], row["measure"])):
        print(f"{f'{format}, {measure}':{width}}  " + "  ".join(columns))
        for row in [*members, {"engine": "of", **sizes}]:
            print(f"{row['engine']:{width}}  " + "  ".join(f"{row[column]:{len(column)}}" for column in columns))
        print()


def failures(engine: str, answers: Mapping[str, Mapping[str, Sequence[str]]], cases: Sequence[Case]) -> None:
    """Print the cases whose structure an engine misses, and what Chromium says of them."""
    for format, by_engine in answers.items():
        for number, (case, got) in enumerate(zip(cases, by_engine.get(engine, ()), strict=False)):
            missed = [measure for measure, right in MEASURES[format].items() if not right(got, case)]
            if STRUCTURE[format] in missed:
                print(f"{case.file}, {case.name}: {format} of {engine}; misses {', '.join(missed)}")
                shown = {"page": case.html, "expected": getattr(case, format), engine: got}
                if case.taste:
                    shown["taste"] = case.taste
                if "Chromium" in answers["text"]:
                    shown["Chromium"] = answers["text"]["Chromium"][number]
                for label, text in shown.items():
                    print(f"    {label:24}{text!r}")


def real_pages(folder: Path, most: int) -> list[str]:
    if data := harness.test_data("B-wcxb-train"):
        from pipeline.extract.learn import gold

        return [page.html.decode("utf-8", "replace") for page in itertools.islice(gold.wcxb(data.parent), most)]
    from warcio.archiveiterator import ArchiveIterator

    pages = []
    for warc in harness.demo_corpus(folder)["web"]:
        with warc.open("rb") as stream:
            found = (record for record in ArchiveIterator(stream) if record.rec_type == "response")
            pages += [record.content_stream().read().decode("utf-8", "replace") for record in found]
    return pages[:most]


def side(format: str, name: str, pages: Sequence[str], least: float) -> tuple[list[str], float]:
    """Return what one engine makes of pages and the CPU seconds that they take, of as many passes as fill `least`."""
    convert = ENGINES[format][name]()
    for page in pages[:WARM_UP]:
        convert(page)
    passes, seconds, start = 0, 0.0, time.process_time()
    while not passes or seconds < least:
        found = [convert(page) for page in pages]
        passes, seconds = passes + 1, time.process_time() - start
    return found, seconds / passes


def main() -> None:
    parser = harness.arguments(__doc__)
    names = sorted({"Chromium", *itertools.chain(*ENGINES.values())})
    parser.add_argument("--failures", nargs="+", choices=names, metavar="ENGINE", help="show only what these miss")
    parser.add_argument("--side", nargs=4, metavar=("FORMAT", "NAME", "PAGES", "OUT"), help="used internally")
    options = parser.parse_args()
    if options.side:
        format, name, source, target = options.side
        pages = json.loads(Path(source).read_text(encoding="utf-8"))
        texts, seconds = side(format, name, pages, LEAST_SECONDS if source.endswith("pages.json") else 0.0)
        Path(target).write_text(json.dumps(texts), encoding="utf-8")
        print(json.dumps({"seconds": seconds}))
        return
    python = harness.interpreter("cases", OPPONENTS)
    cases = list(read())
    answers: dict[str, dict[str, list[str]]] = {format: {} for format in ENGINES}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / f"{kind}.json" for kind in ("cases", "pages")}
        out = Path(folder) / "out.json"

        def run(format: str, name: str, kind: str) -> harness.Usage:
            command = [sys.executable if name == "ours" else str(python), os.path.abspath(__file__), "--side"]
            alone = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            return harness.run([*command, format, name, str(files[kind]), str(out)], alone)

        files["cases"].write_text(json.dumps([case.html for case in cases]), encoding="utf-8")
        for format, engines in ENGINES.items():
            for name in engines:
                run(format, name, "cases")
                answers[format][name] = json.loads(out.read_text(encoding="utf-8"))
        if browser := inner_text([case.html for case in cases]):
            answers["text"]["Chromium"] = browser
        if options.failures:
            for engine in options.failures:
                failures(engine, answers, cases)
            return
        found = [row for format, by_engine in answers.items() for row in counts(format, cases, by_engine)]
        show(found, cases)
        pages = real_pages(Path(folder), QUICK if options.quick else PAGES)
        files["pages"].write_text(json.dumps(pages), encoding="utf-8")
        for format, engines in ENGINES.items():
            sides = {name: lambda format=format, name=name: run(format, name, "pages") for name in engines}
            taken = harness.compare(sides, repetitions=2 if options.quick else 3)
            for name in itertools.islice(engines, 1, None):
                pair = {"ours": taken["ours"], name: taken[name]}
                what = f"whole pages as {format}"
                rows.append(harness.row(what, "pages/s/core", pair, lambda usage: len(pages) / usage.seconds))
    harness.report(rows, None)
    if options.json:
        speed = [vars(row) for row in rows]
        options.json.write_text(json.dumps({"cases": found, "speed": speed}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
