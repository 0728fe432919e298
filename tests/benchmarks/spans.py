"""CPU time of deduplicating parts of documents, from JSON Lines to texts without copies: sentences against datatrove,
lines against Dolma, substrings against a suffix array.

Expected before it was measured: sentences 30 times faster than datatrove, whose three stages run spaCy over each text
twice or more; lines about as fast as Dolma's, which is Rust; substrings 3 times faster than the suffix array, in a
fifth of its memory.

Ours are whole runs of `gristmill curate` with one step and one worker, each with its start of three seconds, its ledger
and the record of what was cut. For lines and substrings there are three times as many texts, recombined from halves, so
that the starts of both sides weigh less.

- datatrove runs its three stages (signatures, search, filter) with its defaults, which ours are too: runs of three
  sentences, 50 words and three sentences left. Its sentences are spaCy's, which go on over the ends of lines.
- Dolma runs `dedupe` for paragraphs, which are lines there, and `mix`, which cuts what that has found. Its Bloom filter
  compares bytes, hence finds less, and takes some lines for copies that are none.
- The suffix array is pydivsufsort's over all texts, with Kasai's array of common prefixes; copies of 300 bytes and more
  are cut out of the texts but for the first, in numpy. So does Google's program for Lee et al. (2022) that text-dedup
  calls, which needs a Rust compiler; bytes are compared, hence case and punctuation too.
"""

import gzip
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import harness

DATATROVE = ["datatrove[io,processing]==0.10.1", "spacy>=3.8,<3.9", "lxml_html_clean"]
SUFFIX_ARRAY = ["pydivsufsort==0.0.20", "numpy>=2"]
DOLMA_BARE = ["dolma==1.2.1"]
DOLMA = (
    "numpy<2 msgspec smart-open>=7.0.4 tokenizers<=0.19.1 uniseg omegaconf nltk blingfire==0.1.8 anyascii necessary "
    "zstandard regex platformdirs requests tqdm rich fsspec charset-normalizer fasttext-wheel==0.9.2"
).split()
LONGEST = 300
"""Bytes, about those of 50 words."""


def texts(folder: Path) -> Iterator[str]:
    """Passages with planted duplicates, or else what the demo's corpus has."""
    if planted := harness.test_data("I-planted-neardup/docs_10k.parquet"):
        import polars as pl

        yield from pl.read_parquet(planted)["text"]
        return
    corpus = harness.demo_corpus(folder)
    for source in ("docs", "code"):
        for path in corpus[source]:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                yield from (json.loads(line)["text"] for line in lines)


def write(folder: Path, documents: int | None, rounds: int) -> tuple[Path, int]:
    """Write texts as JSON Lines in the folder layout that Dolma asks for; return the file and the size of the texts.

    In each further round every text has the second half of the lines of another one.
    """
    file = folder / "documents" / "texts.jsonl.gz"
    file.parent.mkdir(parents=True)
    every = list(itertools.islice(texts(folder), documents))
    size = 0
    with gzip.open(file, "wt", encoding="utf-8", compresslevel=1) as out:
        for turn in range(rounds):
            for number, text in enumerate(every):
                lines, others = (part.split("\n") for part in (text, every[(number + 97 * turn) % len(every)]))
                mixed = "\n".join(lines[: len(lines) // 2] + others[len(others) // 2 :]) if turn else text
                out.write(json.dumps({"id": f"{turn}-{number}", "source": "s", "text": mixed}) + "\n")
                size += len(mixed.encode())
    return file, size


def gristmill(file: Path, run: Path, step: str) -> harness.Usage:
    """A whole run with one step."""
    config = run.with_suffix(".yaml")
    source = {"use": "jsonl", "paths": [str(file)]}
    config.write_text(json.dumps({"sources": {"text": source}, "steps": {step: {}}}), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("gristmill")), "curate", str(config), "--out", str(run)]
    usage = harness.run([*command, "--workers", "1"], {"POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
    shutil.rmtree(run)
    return usage


def datatrove(file: Path, out: Path) -> None:
    """Sentences by datatrove's three stages."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.sentence_dedup import (
        SentDedupConfig,
        SentenceDedupFilter,
        SentenceDedupSignature,
        SentenceFindDedups,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    config = SentDedupConfig()  # its signatures cannot do without one
    read = JsonlReader(str(file.parent), glob_pattern=file.name)
    stages = [
        [read, SentenceDedupSignature(str(out / "signatures"), config=config)],
        [SentenceFindDedups(str(out / "signatures"), str(out / "found"), config=config)],
        [read, SentenceDedupFilter(str(out / "found"), config=config), JsonlWriter(str(out / "output"))],
    ]
    for number, stage in enumerate(stages):
        LocalPipelineExecutor(stage, tasks=1, workers=1, logging_dir=str(out / "logs" / str(number))).run()
    if not list((out / "output").glob("*.jsonl.gz")):
        raise RuntimeError(f"nothing is left, so its environment is broken: see {out / 'logs'}")


def dolma(file: Path, out: Path) -> None:
    """Lines by Dolma's Bloom filter, and its mixer."""
    work = {"input": str(out / "in"), "output": str(out / "out")}
    dedupe = {
        "documents": [str(file)],
        "dedupe": {"name": "lines", "paragraphs": {"attribute_name": "duplicate"}, "skip_empty": True},
        "bloom_filter": {
            "file": str(out / "bloom"),
            "read_only": False,
            "estimated_doc_count": 1_000_000,
            "desired_false_positive_rate": 1e-6,
        },
        "processes": 1,
        "work_dir": work,
    }
    cut = {"span": "$.attributes.duplicate", "min_score": 0.5, "replacement": ""}
    stream = {
        "name": "cut",
        "documents": [str(file)],
        "attributes": ["lines"],
        "output": {"path": str(out / "output"), "max_size_in_bytes": 1 << 30},
        "span_replacement": [cut],
    }
    program = str(Path(sys.executable).with_name("dolma"))
    for name, config in (("dedupe", dedupe), ("mix", {"streams": [stream], "processes": 1, "work_dir": work})):
        path = out / f"{name}.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        subprocess.run([program, "-c", str(path), name], check=True, stdout=subprocess.DEVNULL)
    if not list((out / "output").glob("*")):
        raise RuntimeError("nothing is left, so its environment is broken")


def suffix_array(file: Path, out: Path) -> None:
    """Substrings by a suffix array over all texts."""
    import numpy as np
    from pydivsufsort import divsufsort, kasai

    with gzip.open(file, "rt", encoding="utf-8") as lines:
        all_texts = [json.loads(line)["text"].encode() for line in lines]
    joined = b"\xff".join(all_texts)  # which no text has, but for each of its ends alike
    array = divsufsort(joined)
    common = np.asarray(kasai(joined, array))
    data = np.frombuffer(joined, np.uint8)
    breaks = np.flatnonzero(data == 0xFF)
    ends = np.append(breaks, len(data))[np.searchsorted(breaks, array)]
    common[:-1] = np.minimum(common[:-1], np.minimum(ends[:-1] - array[:-1], ends[1:] - array[1:]))
    long = common >= LONGEST
    group = np.cumsum(np.append(True, ~long[:-1]))
    first = np.full(group[-1] + 1, len(data), np.int64)
    np.minimum.at(first, group, array)
    copies = array[array != first[group]]
    covered = np.zeros(len(data) + 1, np.int64)
    np.add.at(covered, copies, 1)
    np.add.at(covered, np.minimum(copies + LONGEST, len(data)), -1)
    kept = (np.cumsum(covered[:-1]) == 0) | (data == 0xFF)
    with gzip.open(out / "texts.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as file_:
        for text in data[kept].tobytes().split(b"\xff"):
            file_.write(json.dumps({"text": text.decode(errors="replace")}) + "\n")


SIDES: dict[str, Callable[[Path, Path], None]] = {
    "datatrove 0.10.1": datatrove,
    "Dolma 1.2.1": dolma,
    "suffix array (pydivsufsort)": suffix_array,
}


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--side", nargs=3, metavar=("NAME", "FILE", "OUT"), help="an opponent's; used internally")
    options = parser.parse_args()
    if options.side:
        name, file, out = options.side
        SIDES[name](Path(file), Path(out))
        return
    pythons = {
        "datatrove 0.10.1": harness.interpreter("datatrove", DATATROVE),
        "Dolma 1.2.1": harness.interpreter("dolma", DOLMA, DOLMA_BARE),
        "suffix array (pydivsufsort)": harness.interpreter("suffix-array", SUFFIX_ARRAY),
    }
    rows = []
    for step, side, rounds in zip(("sentences", "lines", "substrings"), pythons, (1, 3, 3), strict=True):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            file, size = write(folder, 1000 if options.quick else None, rounds)
            print(f"{step}: {size / 1e6:.1f} MB of text", file=sys.stderr)

            def theirs(folder: Path = folder, file: Path = file, side: str = side) -> harness.Usage:
                out = Path(tempfile.mkdtemp(dir=folder))
                command = [str(pythons[side]), os.path.abspath(__file__), "--side", side, str(file), str(out)]
                usage = harness.run(command, {"NLTK_DATA": str(harness.CACHE / "nltk")})
                shutil.rmtree(out)
                return usage

            def ours(folder: Path = folder, file: Path = file, step: str = step) -> harness.Usage:
                return gristmill(file, folder / "run", step)

            ours()  # what is compiled once
            taken = harness.compare({"ours": ours, side: theirs}, 2 if options.quick else 3)
            rows.append(harness.row(step, "MB/s/core", taken, lambda usage, size=size: size / 1e6 / usage.cpu))
            rows.append(harness.row(f"{step}, peak memory", "MiB", taken, lambda usage: usage.memory, False))
    harness.report(rows, options.json)


if __name__ == "__main__":
    main()
