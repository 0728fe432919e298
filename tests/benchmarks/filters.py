"""Gopher, repetition, C4 and FineWeb filters on texts of real pages: documents a second on one core, against datatrove.

Input: main texts of English pages (of the test data, if GRISTMILL_TEST_DATA leads to it; of the demo's corpus
otherwise), extracted beforehand, so that only the filters are measured. Both sides work in one process on one core
after a warm-up; reading and start-up are left out.

datatrove runs its filters as its FineWeb example chains them: a document that one filter drops does not reach the
next, and the spaCy tokenisation of a document is shared through datatrove's own cache. Ours measures every signal of
every document, as `measure: all` does.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import harness

REQUIREMENTS = ["datatrove[io,processing]==0.10.1", "spacy>=3.8,<3.9", "lxml_html_clean"]
PAGES = ("B-trafilatura-dev/trafilatura-dev.warc.gz", "A-warc-debian-handbook/debian-handbook-00000.warc.gz")
ENGLISH = {"the", "and", "of", "to"}
WARM_UP = 20


def extracted(folder: Path, most: int) -> Path:
    """Write main texts as JSON Lines: of the first `most` pages that have one with a few common English words."""
    import trafilatura
    from warcio.archiveiterator import ArchiveIterator

    warcs = [path for name in PAGES if (path := harness.test_data(name))] or harness.demo_corpus(folder)["web"]
    out = folder / "texts.jsonl"
    count = 0
    with out.open("w", encoding="utf-8") as file:
        for warc in warcs:
            with warc.open("rb") as pages:
                for record in ArchiveIterator(pages):
                    if record.rec_type != "response" or count == most:
                        continue
                    text = trafilatura.extract(record.content_stream().read(), favor_precision=True) or ""
                    if ENGLISH <= set(text.split()):
                        file.write(json.dumps({"text": text}) + "\n")
                        count += 1
    return out


def ours(texts: list[str]) -> dict[str, float]:
    import polars as pl

    from filters import C4, C4Lines, FineWeb, Gopher, Repetition
    from pipeline.judge import decide, measure

    first = {"repetition": Repetition(), "gopher": Gopher()}
    lines = C4Lines(terminal_punctuation=False)
    second = {"c4": C4(), "fineweb": FineWeb()}

    def judge(part: list[str]) -> int:
        docs = pl.DataFrame({"text": part, "url": [None] * len(part)}, schema_overrides={"url": pl.String})
        for name, step in first.items():
            docs = measure(docs, name, step)
        docs = lines.apply(docs, "c4_lines")
        for name, step in second.items():
            docs = measure(docs, name, step)
        broken = decide(docs, {**first, **second})["broken"]
        return int((broken.list.len() == 0).sum())

    judge(texts[:WARM_UP])
    start = time.process_time()
    kept = judge(texts)
    return {"seconds": time.process_time() - start, "kept": kept}


def datatrove(texts: list[str]) -> dict[str, float]:
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    chain = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]

    def judge(part: list[str]) -> int:
        docs = iter([Document(text=text, id=str(number)) for number, text in enumerate(part)])
        for step in chain:
            docs = step(docs)
        return sum(1 for _ in docs)

    judge(texts[:WARM_UP])
    start = time.process_time()
    kept = judge(texts)
    return {"seconds": time.process_time() - start, "kept": kept}


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument(
        "--side", choices=["ours", "datatrove"], help="run one side on a file of texts; used internally"
    )
    parser.add_argument("--texts", type=Path, help="that file")
    options = parser.parse_args()
    if options.side:
        texts = [json.loads(line)["text"] for line in options.texts.open(encoding="utf-8")]
        print(json.dumps(ours(texts) if options.side == "ours" else datatrove(texts)))
        return
    python = harness.interpreter("datatrove", REQUIREMENTS)
    with tempfile.TemporaryDirectory() as folder:
        path = extracted(Path(folder), 150 if options.quick else 1500)
        texts = [json.loads(line)["text"] for line in path.open(encoding="utf-8")]
        characters = sum(map(len, texts))
        print(f"{len(texts)} documents, {characters:,} characters", file=sys.stderr)
        command = [os.path.abspath(__file__), "--texts", str(path), "--side"]
        taken = harness.compare(
            {
                "gristmill": lambda: harness.run([sys.executable, *command, "ours"], {"POLARS_MAX_THREADS": "1"}),
                "datatrove 0.10.1": lambda: harness.run([str(python), *command, "datatrove"], {}),
            },
            repetitions=3 if options.quick else 5,
        )
    rows = [
        harness.row("filters, all signals", "documents/s/core", taken, lambda usage: len(texts) / usage.seconds),
        harness.row("filters, all signals", "MB text/s/core", taken, lambda usage: characters / 1e6 / usage.seconds),
        harness.row("filters, peak memory", "MiB", taken, lambda usage: usage.memory, more_is_better=False),
    ]
    harness.report(rows, options.json)


if __name__ == "__main__":
    main()
