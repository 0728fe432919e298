"""Normalisation of text: megabytes a second on a core, against ftfy and the two curators that call it.

Input: the works of the test data (novels, documentation, program code, LaTeX, Wikipedia), and sentences of 75
languages, 25 to a text, of which some were published in a wrong encoding; pages of the demo's corpus where
GRISTMILL_TEST_DATA leads to nothing. Each kind is measured twice: as it is, and after our own normalisation, when
there is nothing left to do.

Ours: the step `normalize` with its own settings, all signals included.

ftfy is called as it is by itself (`fix_text`). It also straightens quotation marks, ligatures and widths, resolves
character references and removes terminal codes, which ours leaves as they are, and it keeps blanks and empty lines,
which ours does not. "The same, encodings" has all of that switched off: what is left, ours does with single lines.
datatrove's FTFYFormatter is the same function, called for each document, with whatever forces a form on text switched
off: quotation marks, ligatures, widths, line ends, composition. NeMo Curator's UnicodeReformatter calls it too. Dolma
has no such step.

Every side works in one process on one core, after a warm-up and for at least a second; reading and start-up are left
out.
"""

import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import harness

DATATROVE = ["datatrove[io,processing]==0.10.1", "ftfy==6.3.1"]
FTFY = ["ftfy==6.3.1"]
WORKS = ("books_en_dev14", "docs_python_rst", "code_thealgorithms_mit", "latex_openlogic", "wikipedia_en_dump_excerpt")
LEAST_SECONDS = 1.0
SENTENCES = 25

Texts = list[str]
Change = Callable[[Texts], Any]


def kinds(characters: int) -> dict[str, Texts]:
    """Texts by kind, of each kind about so many characters, at most."""
    found: dict[str, Texts] = {}
    for name in WORKS:
        if path := harness.test_data(f"READY-jsonl/{name}.jsonl.gz"):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                found[name.split("_")[0]] = taken((json.loads(line)["text"] for line in lines), characters)
    if folder := harness.test_data("C-lingua-testdata/sentences"):
        sentences = [path.read_text(encoding="utf-8").split("\n") for path in sorted(folder.iterdir())]
        texts = ["\n".join(lines[at : at + SENTENCES]) for lines in sentences for at in range(0, len(lines), SENTENCES)]
        found["75 languages"] = texts[:: 1 + sum(map(len, texts)) // characters]
    if not found:
        with tempfile.TemporaryDirectory() as corpus:
            pages = harness.demo_corpus(Path(corpus))["web"]
            found["web"] = taken((text for warc in pages for text in harness.main_texts(warc, 1)), characters)
    return found


def taken(texts: Iterator[str], characters: int) -> Texts:
    """The first texts, until they have so many characters; a longer one is cut."""
    some: Texts = []
    for text in texts:
        some.append(text[:characters])
        characters -= len(text)
        if characters <= 0:
            break
    return some


def ours() -> Change:
    import polars as pl

    from pipeline.normalize import Normalize

    step = Normalize()
    return lambda texts: step.apply(pl.DataFrame({"text": texts}, schema={"text": pl.String}), "normalize")


def ftfy(**settings: Any) -> Change:
    from ftfy import TextFixerConfig, fix_text

    config = TextFixerConfig(explain=False, **settings)
    return lambda texts: [fix_text(text, config) for text in texts]


def encodings_only() -> Change:
    names = (
        "unescape_html remove_terminal_escapes fix_latin_ligatures fix_character_width uncurl_quotes fix_line_breaks"
    )
    off = dict.fromkeys([*names.split(), "fix_surrogates", "remove_control_chars"], False)
    return ftfy(**off, normalization=None)


def datatrove() -> Change:
    from datatrove.pipeline.formatters import FTFYFormatter

    formatter = FTFYFormatter()
    return lambda texts: [formatter.format(text) for text in texts]


SIDES: Mapping[str, Callable[[], Change]] = {
    "gristmill": ours,
    "ftfy": ftfy,
    "ftfy, encodings only": encodings_only,
    "datatrove": datatrove,
}


def timed(change: Change, texts: Texts) -> float:
    """The seconds of one pass, of as many as fill the least time."""
    change(texts[:20])
    passes, seconds, start = 0, 0.0, time.process_time()
    while seconds < LEAST_SECONDS:
        change(texts)
        passes, seconds = passes + 1, time.process_time() - start
    return seconds / passes


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--side", choices=SIDES, help="run one side on a file of texts; used internally")
    parser.add_argument("--texts", type=Path, help="that file")
    options = parser.parse_args()
    if options.side:
        texts = json.loads(options.texts.read_text(encoding="utf-8"))
        print(json.dumps({"seconds": timed(SIDES[options.side](), texts)}))
        return
    pythons = {"datatrove": harness.interpreter("datatrove-ftfy", DATATROVE)}
    pythons |= dict.fromkeys(("ftfy", "ftfy, encodings only"), harness.interpreter("ftfy", FTFY))
    change, rows = ours(), []
    for kind, texts in kinds(500_000 if options.quick else 4_000_000).items():
        for state, input_ in ((kind, texts), (f"{kind}, in order", change(texts)["text"].to_list())):
            rows += compared(state, input_, pythons, options.quick)
    harness.report(rows, options.json)


def compared(what: str, texts: Texts, pythons: Mapping[str, Path], quick: bool) -> Sequence[harness.Row]:
    """Rows of one input."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{what}: {len(texts)} texts, {megabytes:.2f} MB", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps(texts), encoding="utf-8")

        def run(side: str) -> harness.Usage:
            command = [str(pythons.get(side, sys.executable)), os.path.abspath(__file__)]
            return harness.run([*command, "--texts", str(path), "--side", side], {"POLARS_MAX_THREADS": "1"})

        runs = harness.compare({side: lambda side=side: run(side) for side in SIDES}, 1 if quick else 5)
    sides = {"ftfy": "ftfy 6.3.1", "ftfy, encodings only": "the same, encodings", "datatrove": "datatrove 0.10.1"}
    return [
        harness.row(
            what,
            "MB/s/core",
            {"gristmill": runs["gristmill"], name: runs[side]},
            lambda usage: megabytes / usage.seconds,
        )
        for side, name in sides.items()
    ]


if __name__ == "__main__":
    main()
