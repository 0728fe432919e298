"""The FineWeb recipe from WARC to deduplicated files, end to end on one core: pages a CPU second, against datatrove.

Input: real pages in one gzip WARC (of the test data, if GRISTMILL_TEST_DATA leads to it: 332 pages of sites of many
kinds, and the 3,302 of a manual in 26 languages; of the demo's corpus otherwise), marked as HTML as Common Crawl marks
them. Both sides run the whole way with one worker, and all their CPU time counts, start-up too: reading, URL filter,
text extraction, language, Gopher repetition and quality, C4, FineWeb, MinHash with 14 x 8 hashes of 5-grams,
replacement of addresses, and writing.

datatrove extracts text with trafilatura 1.11 in its precise mode and without what pages before had: F1 0.907 over the
segments of trafilatura's development pages, 0.782 over the words of held-out pages of WCXB (as in extraction.py). Ours
runs twice: as its recipe stands, with its own extractor (0.936 and 0.880) and columns for what pages say of themselves;
and with trafilatura 2.3 in its fast mode, which is better than datatrove's too (0.916 and 0.805).

datatrove runs as its FineWeb example puts it together, with these differences in its favour: its faster default hash,
the smaller language model that ours has too (lid.176.ftz), and as much time for a page as ours gives, since it would
lose pages on a busy machine. It differs in what it brings: the trafilatura that it pins (and the part of lxml which
that one needs and does not ask for); e-mail and IP addresses but no telephone numbers; JSON Lines without a ledger.
Ours does not compare the texts of what it found to be duplicates, which it does by default and datatrove never.

Start-up is a third of our time on so few pages. The rows `start-up apart` leave out, on both sides, what a run over
every hundredth page takes: that is what a page costs in a crawl.

Ours looks at the language before the full extraction. `languages: all here` therefore asks for every language of the
input, so that nothing is spared by that; `languages: en` shows what it brings.
"""

import dataclasses
import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import harness

OPPONENT = "datatrove 0.10.1"
REQUIREMENTS = ["datatrove[io,processing]==0.10.1", "spacy>=3.8,<3.9", "lxml_html_clean"]
PAGE_SECONDS = 20
SITES = "B-trafilatura-dev/trafilatura-dev.warc.gz"
MANUAL = "A-warc-debian-handbook/debian-handbook-00000.warc.gz"
LANGUAGES = "ar ca cs da de el en es fa fr hr id it ja ko nl no pl pt ro ru sv tr vi zh".split()
"""Of the manual; so far as it is not translated, it is in English."""


def sample(folder: Path, every: int) -> tuple[Path, int]:
    """Write a WARC of every so manieth page; return it and the number of its pages."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.warcwriter import WARCWriter

    sites, manual = harness.test_data(SITES), harness.test_data(MANUAL)
    warcs = [sites, manual] if sites and manual else harness.demo_corpus(folder)["web"]
    out, count, seen = folder / "pages.warc.gz", 0, 0
    with out.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for warc in warcs:
            with warc.open("rb") as stream:
                for record in ArchiveIterator(stream):
                    if record.rec_type != "response":
                        continue
                    seen += 1
                    if seen % every == 0:
                        # Without it, datatrove asks libmagic, which takes every second page for something else.
                        record.rec_headers.replace_header("WARC-Identified-Payload-Type", "text/html")
                        writer.write_record(record)
                        count += 1
    return out, count


WITH_TRAFILATURA = (f"steps.extract={{engine: trafilatura, fast: true, favor: balanced, seconds: {PAGE_SECONDS}}}",)


def gristmill(warc: Path, run: Path, languages: Sequence[str], changes: Sequence[str]) -> harness.Usage:
    command = [
        str(harness.product()),
        "curate",
        str(harness.ROOT / "configs/curate/web.yaml"),
    ]
    settings = [
        f"sources.web.paths={json.dumps([str(warc)])}",
        f"languages={json.dumps(list(languages))}",
        "steps.minhash.proof=false",
        *changes,
    ]
    options = [word for setting in settings for word in ("--set", setting)]
    usage = harness.run(
        [*command, "--out", str(run), *options, "--workers", "1"],
        {"POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
    )
    import pyarrow.parquet as pq

    kept = sum(pq.ParquetFile(shard).metadata.num_rows for shard in run.glob("shards/**/*.parquet"))
    shutil.rmtree(run)
    return dataclasses.replace(usage, answer={"kept": kept})


def datatrove(warc: Path, out: Path, languages: Sequence[str], model: Path) -> None:
    """The FineWeb example of datatrove with one worker; prints how many documents are left."""
    import datatrove.utils.lid
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
        LanguageFilter,
        URLFilter,
    )
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader, WarcReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    datatrove.utils.lid.cached_asset_path_or_download = lambda *_, **__: str(model)  # it would download the larger one
    config = MinhashConfig(num_buckets=14, hashes_per_bucket=8, n_grams=5)
    stages = [
        [
            WarcReader(str(warc.parent), glob_pattern=warc.name, default_metadata={"dump": "sample"}),
            URLFilter(),
            Trafilatura(favour_precision=True, timeout=PAGE_SECONDS),
            LanguageFilter(languages=list(languages)),
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
            JsonlWriter(str(out / "filtered")),
        ],
        [JsonlReader(str(out / "filtered")), MinhashDedupSignature(str(out / "signatures"), config=config)],
        [MinhashDedupBuckets(str(out / "signatures"), str(out / "buckets"), config=config)],
        [MinhashDedupCluster(str(out / "buckets"), str(out / "removed"), config=config)],
        [
            JsonlReader(str(out / "filtered")),
            MinhashDedupFilter(str(out / "removed")),
            PIIFormatter(),
            JsonlWriter(str(out / "output")),
        ],
    ]
    for number, stage in enumerate(stages):
        tasks = config.num_buckets if number == 2 else 1
        executor = LocalPipelineExecutor(stage, tasks=tasks, workers=1, logging_dir=str(out / "logs" / str(number)))
        executor.run()
    kept = 0
    for path in (out / "output").glob("*.jsonl.gz"):
        with gzip.open(path) as lines:
            kept += sum(1 for _ in lines)
    if not kept:
        raise RuntimeError(f"nothing is left, so its environment is broken: see {out / 'logs'}")
    print(json.dumps({"kept": kept}))


def without(taken: Sequence[harness.Usage], start: Sequence[harness.Usage]) -> list[harness.Usage]:
    """What runs took beyond runs over few pages."""
    first = statistics.median(usage.cpu for usage in start)
    return [dataclasses.replace(usage, cpu=usage.cpu - first) for usage in taken]


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument(
        "--side", nargs=4, metavar=("WARC", "OUT", "LANGUAGES", "MODEL"), help="datatrove's; used internally"
    )
    options = parser.parse_args()
    if options.side:
        warc, out, languages, model = options.side
        datatrove(Path(warc), Path(out), languages.split(","), Path(model))
        return
    python = harness.interpreter("datatrove", REQUIREMENTS)
    from filters import assets

    model = assets.path(assets.LID176)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = {"HF_HOME": str(harness.CACHE / "huggingface")}  # where datatrove unpacks its blocklist, once

        def theirs(warc: Path, languages: Sequence[str]) -> harness.Usage:
            out = Path(tempfile.mkdtemp(dir=folder))
            side = [str(warc), str(out), ",".join(languages), str(model)]
            return harness.run([str(python), os.path.abspath(__file__), "--side", *side], home)

        def ours(warc: Path, languages: Sequence[str], changes: Sequence[str] = ()) -> harness.Usage:
            return gristmill(warc, folder / "run", languages, changes)

        few, some = sample(folder, 100)
        few = few.rename(folder / "few.warc.gz")
        ours(few, LANGUAGES), theirs(few, LANGUAGES)  # what is compiled or unpacked only once
        warc, pages = sample(folder, 10 if options.quick else 1)
        print(f"{pages} pages, {warc.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
        for label, languages in (("all here", LANGUAGES), ("en", ["en"])):

            def run(warc: Path, languages: Sequence[str] = languages) -> dict[str, list[harness.Usage]]:
                sides = {
                    "its own extractor": lambda: ours(warc, languages),
                    "trafilatura": lambda: ours(warc, languages, WITH_TRAFILATURA),
                    OPPONENT: lambda: theirs(warc, languages),
                }
                return harness.compare(sides, repetitions=2 if options.quick else 3)

            start, taken = run(few), run(warc)
            more = {side: without(taken[side], start[side]) for side in taken}
            for extractor in ("its own extractor", "trafilatura"):
                what = f"WARC to deduplicated text with {extractor}, languages: {label}"
                sides = {side: taken[side] for side in (extractor, OPPONENT)}
                rows.append(harness.row(what, "pages/s/core", sides, lambda usage: pages / usage.cpu))
                apart = {side: more[side] for side in sides}
                rate = lambda usage: (pages - some) / usage.cpu  # noqa: E731
                rows.append(harness.row(f"{what}, start-up apart", "pages/s/core", apart, rate))
                what = f"{what}, peak memory"
                rows.append(harness.row(what, "MiB", sides, lambda usage: usage.memory, more_is_better=False))
    harness.report(rows, options.json)


if __name__ == "__main__":
    main()
