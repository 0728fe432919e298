"""Near-duplicates by MinHash, from text to verdicts: CPU time a document, against four others at one preset.

Input: passages of real texts (those with planted near-duplicates of the test data, if GRISTMILL_TEST_DATA leads to
them; the demo's corpus otherwise), recombined to as many documents as are asked for, a fifth of them copies, most of
which have some words changed. Every side looks for duplicates with 14 x 8 hashes of word 5-grams, on one core, and says
how many documents it removes. Whole commands are measured, twice: with the documents and with fifty of them, to tell
what a document takes from what start-up takes (rows `with start-up` have both). Slower sides get fewer documents.

- datatrove: its four stages as its example has them, on JSON Lines, with its faster default hash; words are spaCy's.
- data-juicer: `dj-process` with `document_minhash_deduplicator`, words between blanks, in lower case.
- text-dedup: `python -m text_dedup.minhash`, words between what is no letter.
- rensa, a library: signatures and its own LSH of shingles that Python makes of words between blanks, since it has no
  tokeniser; nothing is normalised. `rensa rho` is the faster way of its own benchmark: single words for shingles, of
  which it takes a sample. Its program is in this file: JSON Lines in, verdicts kept in memory.
- Ours is such a program too, of the calls that a run makes: JSON Lines in; keys, edges and clusters in files. The rows
  `curate` are `gristmill curate` with the step `minhash` alone, which also writes shards, the texts of what was
  dropped, and a ledger with the survivor of each. The first three write what they keep.

`--seeds` prints how recall on planted duplicates differs from seed to seed, ours and datatrove's.
"""

import dataclasses
import gzip
import itertools
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import harness

DATATROVE = ["datatrove[io,processing]==0.10.1", "spacy>=3.8,<3.9"]
RENSA = ["rensa==0.5.0"]
TEXT_DEDUP = [
    *("click>=8.1,<9", "click-option-group>=0.5.6,<0.6", "datasets>=2.17", "ftfy", "numpy", "psutil", "regex"),
    *("rich>=13.7,<14", "scipy", "setuptools", "tqdm", "xxhash", "zstandard", "bitarray"),
]
DATA_JUICER = ["py-data-juicer==1.6.1", "aiohttp", "scipy"]  # the last two it imports and does not ask for
PLANTED = "I-planted-neardup"
BANDS, ROWS, SHINGLE = 14, 8, 5
WARM = 50
"""Documents of the runs that show what start-up takes."""


def passages(folder: Path) -> list[str]:
    """Lines of real texts."""
    planted = harness.test_data(f"{PLANTED}/docs_10k.parquet")
    if planted:
        import pyarrow.parquet as pq

        texts = pq.read_table(planted, columns=["text"])["text"].to_pylist()
    else:
        texts = [json.loads(line)["text"] for path in harness.demo_corpus(folder)["docs"] for line in gzip.open(path)]
    return [line for text in texts for line in text.split("\n") if len(line) > 40]


def documents(lines: list[str], count: int, seed: int = 0) -> Iterator[str]:
    """Texts of about 2 kB: lines put together at random, and copies of earlier ones."""
    rng = random.Random(seed)
    made: list[str] = []
    for _ in range(count):
        if made and rng.random() < 0.2:
            words = rng.choice(made).split(" ")
            for _ in range(len(words) // 50 if rng.random() < 0.7 else 0):
                words[rng.randrange(len(words))] = "changed"
            yield " ".join(words)
            continue
        text = "\n".join(rng.choices(lines, k=rng.randint(3, 30)))
        if len(made) < 50_000:
            made.append(text)
        yield text


def store(path: Path, texts: Iterator[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")


def gristmill(texts: Path, run: Path, seed: int = 1) -> harness.Usage:
    config = run.with_suffix(".yaml")
    step = f"minhash: {{preset: fineweb, seed: {seed}}}"
    config.write_text(f"sources:\n  text: {{paths: [{json.dumps(str(texts))}]}}\nsteps:\n  {step}\n")
    command = [str(Path(sys.executable).with_name("gristmill")), "curate", str(config), "--out", str(run)]
    usage = harness.run([*command, "--workers", "1"], {"POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
    import pyarrow.parquet as pq

    removed = sum(pq.ParquetFile(file).metadata.num_rows for file in run.glob("dropped/**/*.parquet"))
    return dataclasses.replace(usage, answer={"removed": removed})


def library(texts: Path) -> None:
    """JSON Lines to clusters, a batch at a time."""
    import numpy as np
    import polars as pl

    from pipeline.dedup.bands import direct_edges, write_keys
    from pipeline.dedup.clusters import write_clusters
    from pipeline.dedup.minhash import MinHash

    step = MinHash(preset="fineweb")
    keys = [step.band_keys(pl.Series(batch))[0] for batch in batches(texts)]
    ordinals = np.arange(sum(map(len, keys)), dtype=np.uint64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_keys(folder / "keys.npy", ordinals, np.concatenate(keys))
        direct_edges([folder / "keys.npy"], BANDS, np.empty(0, np.uint64), False, folder / "edges.npy")
        write_clusters([folder / "edges.npy"], folder / "clusters")
        removed = pl.read_parquet(folder / "clusters")["dropped_by"].count()
    print(json.dumps({"removed": removed}))


def batches(texts: Path) -> Iterator[list[str]]:
    with texts.open(encoding="utf-8") as file:
        while batch := [json.loads(line)["text"] for line in itertools.islice(file, 1000)]:
            yield batch


def rensa(texts: Path, rho: bool) -> None:
    """JSON Lines to duplicates by rensa, a batch at a time."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=0.7, num_perm=BANDS * ROWS, num_bands=BANDS)
    removed = seen = 0
    for batch in batches(texts):
        words = [text.split() for text in batch]
        if rho:
            matrix = RMinHash.digest_matrix_from_token_sets_rho(words, BANDS * ROWS, 42)
        else:
            shingles = [
                [" ".join(some[k : k + SHINGLE]) for k in range(max(1, len(some) - SHINGLE + 1))] for some in words
            ]
            matrix = RMinHash.digest_matrix_from_token_sets(shingles, BANDS * ROWS, 42)
        removed += sum(index.insert_matrix_and_query_duplicate_flags(matrix, seen))
        seen += len(batch)
    print(json.dumps({"removed": removed}))


def datatrove(texts: Path, out: Path, seed: int) -> None:
    """The four stages of datatrove with one worker."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    config = MinhashConfig(num_buckets=BANDS, hashes_per_bucket=ROWS, n_grams=SHINGLE, seed=seed)
    reader = JsonlReader(str(texts.parent), glob_pattern=texts.name)
    stages = [
        [reader, MinhashDedupSignature(str(out / "signatures"), config=config)],
        [MinhashDedupBuckets(str(out / "signatures"), str(out / "buckets"), config=config)],
        [MinhashDedupCluster(str(out / "buckets"), str(out / "removed"), config=config)],
        [
            reader,
            MinhashDedupFilter(str(out / "removed"), exclusion_writer=JsonlWriter(str(out / "dropped"))),
            JsonlWriter(str(out / "output")),
        ],
    ]
    for number, stage in enumerate(stages):
        tasks = BANDS if number == 1 else 1
        LocalPipelineExecutor(stage, tasks=tasks, workers=1, logging_dir=str(out / "logs" / str(number))).run()
    print(json.dumps({"removed": sum(1 for path in (out / "dropped").glob("*.jsonl.gz") for _ in gzip.open(path))}))


def data_juicer(python: Path, texts: Path, out: Path) -> harness.Usage:
    settings = {"tokenization": "space", "window_size": SHINGLE, "lowercase": True, "num_permutations": BANDS * ROWS}
    settings |= {"jaccard_threshold": 0.7, "num_bands": BANDS, "num_rows_per_band": ROWS}
    config = {
        "dataset_path": str(texts),
        "export_path": str(out / "output.jsonl"),
        "np": 1,
        "use_cache": False,
        "open_tracer": False,
        "process": [{"document_minhash_deduplicator": settings}],
    }
    out.mkdir()
    (out / "config.yaml").write_text(json.dumps(config))  # which is YAML too
    command = [str(python.with_name("dj-process")), "--config", str(out / "config.yaml")]
    home = {"HF_HOME": str(out / "home"), "DATA_JUICER_CACHE_HOME": str(out / "home")}
    return _with_removed(harness.run(command, home), texts, out / "output.jsonl")


def text_dedup(python: Path, texts: Path, out: Path) -> harness.Usage:
    settings: dict[str, object] = {
        "path": "json",
        "data_files": texts,
        "split": "train",
        "cache_dir": out / "cache",
        "output": out / "output",
        "column": "text",
        "ngram": SHINGLE,
        "num_perm": BANDS * ROWS,
        "b": BANDS,
        "r": ROWS,
        "batch_size": 10_000,
        "num_proc": 1,
    }
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    usage = harness.run([str(python), "-m", "text_dedup.minhash", *words], {"HF_HOME": str(out / "home")})
    count = "import datasets, json, sys; print(json.dumps({'kept': len(datasets.load_from_disk(sys.argv[1]))}))"
    kept = harness.run([str(python), "-c", count, str(out / "output")], {}).answer["kept"]
    return dataclasses.replace(usage, answer={"removed": _lines(texts) - kept})


def _with_removed(usage: harness.Usage, texts: Path, output: Path) -> harness.Usage:
    return dataclasses.replace(usage, answer={"removed": _lines(texts) - _lines(output)})


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def recall(folder: Path, seed: int, datatrove_side: Callable[[Path, Path, int], harness.Usage]) -> tuple[float, float]:
    """The share of planted copies that each side removes, ours first. Wrong removals would count too, and are none."""
    planted = harness.test_data(PLANTED)
    if planted is None:
        raise SystemExit(f"--seeds needs {PLANTED} of the test data")
    import pyarrow.parquet as pq

    texts = folder / "planted.jsonl"
    if not texts.exists():
        store(texts, iter(pq.read_table(planted / "docs_10k.parquet")["text"].to_pylist()))
    gold = [line.split("\t")[1] for line in (planted / "gold_10k.tsv").read_text().splitlines()]
    copies = len(gold) - len(set(gold))
    ours = gristmill(texts, folder / f"run-{seed}", seed).answer["removed"] / copies
    theirs = datatrove_side(texts, folder / f"datatrove-{seed}", seed).answer["removed"] / copies
    return ours, theirs


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--documents", type=int, default=50_000, metavar="N", help="as many, half of them with --quick")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="only compare recall over so many seeds")
    parser.add_argument("--side", nargs="+", help="used internally")
    options = parser.parse_args()
    if options.side:
        name, texts, *rest = options.side
        if name == "datatrove":
            datatrove(Path(texts), Path(rest[0]), int(rest[1]))
        elif name == "library":
            library(Path(texts))
        else:
            rensa(Path(texts), name == "rho")
        return
    pythons = {"datatrove": harness.interpreter("datatrove-dedup", DATATROVE)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def side(python: Path | str, *words: object) -> harness.Usage:
            return harness.run([str(python), os.path.abspath(__file__), "--side", *map(str, words)], {})

        def stages(texts: Path, out: Path, seed: int) -> harness.Usage:
            return side(pythons["datatrove"], "datatrove", texts, out, seed)

        if options.seeds:
            found = [recall(folder, seed, stages) for seed in range(1, options.seeds + 1)]
            for who, values in zip(("ours", "datatrove"), zip(*found, strict=True), strict=True):
                each = ", ".join(f"{value:.4f}" for value in values)
                print(f"{who}: recall {each}; mean {sum(values) / len(values):.4f}")
            return
        pythons["text-dedup"] = harness.interpreter("text-dedup", TEXT_DEDUP, ["text-dedup==0.4.0"])
        pythons["rensa"] = harness.interpreter("rensa", RENSA)
        pythons["data-juicer"] = harness.interpreter("data-juicer", DATA_JUICER)
        lines = passages(folder)
        count = options.documents // (2 if options.quick else 1)
        many, few, warm = folder / "many.jsonl", folder / "few.jsonl", folder / "warm.jsonl"
        for path, size in ((many, count), (few, count // 5), (warm, WARM)):
            store(path, documents(lines, size))
        repetitions = 1 if options.quick else 3
        numbers = iter(range(10**6))

        def fresh() -> Path:
            return folder / str(next(numbers))

        def cleaned(usage: harness.Usage) -> harness.Usage:
            for path in folder.glob("[0-9]*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            return usage

        few_too = count // 5
        sides: dict[str, tuple[Path, int, Callable[[Path], harness.Usage]]] = {
            "ours": (many, count, lambda texts: side(sys.executable, "library", texts)),
            "curate": (many, count, lambda texts: gristmill(texts, fresh())),
            "datatrove 0.10.1": (few, few_too, lambda texts: stages(texts, fresh(), 1)),
            "data-juicer 1.6.1": (few, few_too, lambda texts: data_juicer(pythons["data-juicer"], texts, fresh())),
            "text-dedup 0.4.0": (few, few_too, lambda texts: text_dedup(pythons["text-dedup"], texts, fresh())),
            "rensa 0.5.0": (many, count, lambda texts: side(pythons["rensa"], "rensa", texts)),
            "rensa 0.5.0 rho": (many, count, lambda texts: side(pythons["rensa"], "rho", texts)),
        }
        each: dict[str, list[harness.Usage]] = {}
        for who, (texts, size, run) in sides.items():
            cleaned(run(warm))  # what is compiled or unpacked only once
            taken = harness.compare(
                {
                    f"{who}, start-up": lambda run=run: cleaned(run(warm)),
                    who: lambda run=run, texts=texts: cleaned(run(texts)),
                },
                repetitions,
            )
            spared = statistics.median(usage.cpu for usage in taken[f"{who}, start-up"])
            each[who] = [_per(usage, size - WARM, spared) for usage in taken[who]]
            each[f"{who} with start-up"] = [_per(usage, size, 0) for usage in taken[who]]
        rows = []
        for mine, start in itertools.product(("ours", "curate"), ("", " with start-up")):
            for opponent in list(sides)[2:]:
                if mine == "curate" and opponent.startswith("rensa"):
                    continue
                pair = {mine: each[f"{mine}{start}"], opponent: each[f"{opponent}{start}"]}
                what = f"{mine}{start}, {sides[mine][1]:,} and {sides[opponent][1]:,} documents"
                micro = lambda usage: usage.answer["microseconds"]  # noqa: E731
                rows.append(harness.row(what, "us/document", pair, micro, more_is_better=False))
    harness.report(rows, options.json)


def _per(usage: harness.Usage, count: int, spared: float) -> harness.Usage:
    return dataclasses.replace(usage, answer={**usage.answer, "microseconds": (usage.cpu - spared) / count * 1e6})


if __name__ == "__main__":
    main()
