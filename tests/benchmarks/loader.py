"""Loading: tokens that are ready for a training step for a second of one core, against four other loaders.

Input: the demo's corpus, tokenised once, its documents repeated until each of three sources has enough of them.
What is ready: numpy arrays of 64 sequences of 2,048 tokens with inputs, targets without a loss across documents, the
position and the document of each token; sources mixed 5 : 3 : 2. All data are tokenised beforehand, in the page cache,
shuffled, and read in one process without workers, so that a core is a core. Times are those of the loop, start-up
apart; `bare` rows are opponents that only give inputs and targets, which is what they do by themselves.

- MosaicML streaming: MDS of sequences that were packed beforehand, a stream a source, as llm-foundry makes them.
- litdata: chunks of tokens with `TokensLoader`, a `CombinedStreamingDataset`, its own loader.
- Hugging Face datasets: sequences that were packed beforehand, as run_clm groups them, interleaved by probability:
  map-style (`arrow`) and streamed from Parquet (`stream`). Numpy arrays, the library's own batches.
- Megatron's way: documents in one file of tokens, tables of documents, of samples and of their shuffle, and samples
  put together from the mapped file. Not its package: a program of this file does the same in numpy.
- Ours reads documents that were not packed: order, mixture and packing are worked out for each step, whose number is
  all that a resumed run needs. The rows `fim` rearrange half of the documents of one source, and `best fit` packs
  documents without cutting those that fit, which only ours does.

The lines at the end are ours alone: a first batch at the start and in step 1,000,000 of a run over a million documents,
and what memory grows by over thousands of batches.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness

MOSAIC = (
    ["torch", "numpy<2.2", "Brotli", "tqdm", "xxhash<4", "zstd", "catalogue", "python-snappy", "boto3", "requests"]
    + ["transformers<5", "torchvision"],
    ["mosaicml-streaming==0.13.0"],
)
LITDATA = (
    ["torch", "numpy", "lightning-utilities", "filelock", "boto3", "requests", "urllib3>=1.26", "tifffile", "obstore"],
    ["litdata==0.2.76"],
)
DATASETS = (["datasets>=5", "torch", "numpy"], [])
ROWS, CONTEXT = 64, 2048
WEIGHTS = {"code": 0.5, "docs": 0.3, "web": 0.2}
MANY = 1_000_000
OURS = {"ours": "", "fim": ", fill-in-the-middle", "best fit": ", best fit"}


def prepare(folder: Path, tokens: int) -> None:
    """The store that we read, and its documents as `<source>.npy` and `<source>.offsets.npy` for the others."""
    import gzip

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from training.config import TrainConfig
    from training.store.tokens import prepare as made

    corpus = harness.demo_corpus(folder / "corpus")
    pages = [path for path in corpus["web"] if path.name.endswith((".warc", ".warc.gz"))]
    texts: dict[str, list[str]] = {"web": [text for path in pages for text in harness.main_texts(path, 1)]}
    for source in ("code", "docs"):
        texts[source] = [json.loads(line)["text"] for path in corpus[source] for line in gzip.open(path)]
    for source, found in texts.items():
        bytes_wanted = int(tokens * WEIGHTS[source] * 4)
        rows, size = [], 0
        while size < bytes_wanted:
            text = found[len(rows) % len(found)]
            rows.append({"id": f"{source}-{len(rows)}", "text": text})
            size += len(text)
        (folder / "run/shards" / source).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "run/shards" / source / "part-00000.parquet")
    _, store = made(TrainConfig.model_validate(settings(folder)), folder / "out")
    for source, documents in zip(store.sources, store.train, strict=True):
        np.save(folder / f"{source}.npy", documents.tokens)
        np.save(folder / f"{source}.offsets.npy", documents.offsets)
    (folder / "end.json").write_text(json.dumps(store.tokenizer.end))


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    phases = [{"weights": WEIGHTS}]
    common = {"data": str(folder / "run"), "steps": 100_000, "context": CONTEXT, "batch": {"sequences": ROWS}}
    return {**common, "tokenizer": {"vocab_size": 8192}, "phases": phases, "max_epochs": 1e6, **changes}


def ready(tokens: Any, end: int, bare: bool) -> tuple[Any, ...]:
    """Sequences of CONTEXT + 1 tokens as the arrays that a step needs, for those whose loaders give the sequences."""
    import numpy as np

    tokens = tokens.astype(np.int64)
    inputs, targets = tokens[:, :-1], tokens[:, 1:].copy()
    if bare:
        return np.ascontiguousarray(inputs), targets
    ends = inputs == end
    targets[ends] = -100
    segments = np.zeros(inputs.shape, np.int32)
    np.cumsum(ends[:, :-1], axis=1, out=segments[:, 1:])
    places = np.arange(inputs.shape[1])
    begins = np.zeros(inputs.shape, np.int64)
    begins[:, 1:] = np.where(ends[:, :-1], places[1:], 0)
    positions = places - np.maximum.accumulate(begins, axis=1)
    return np.ascontiguousarray(inputs), targets, positions, segments


def ours(folder: Path, **changes: Any) -> Iterator[Any]:
    order = opened(folder, **changes)
    from training.packing import batch

    for step in range(order.config.steps):
        yield batch(order, step)


def opened(folder: Path, **changes: Any) -> Any:
    from training.config import TrainConfig
    from training.order import Order
    from training.store.tokenizer import Tokenizer
    from training.store.tokens import TokenStore

    config = TrainConfig.model_validate(settings(folder, **changes))
    return Order(config, TokenStore.open(folder / "out/tokens", Tokenizer.load(folder / "out", config.tokenizer)))


def packed(folder: Path, source: str) -> Any:
    """The documents of a source one behind the other, cut into sequences of CONTEXT + 1 tokens."""
    import numpy as np

    tokens = np.load(folder / f"{source}.npy")
    return tokens[: len(tokens) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)


def mosaic(folder: Path) -> Iterator[Any]:
    import numpy as np
    from streaming import MDSWriter, Stream, StreamingDataset
    from torch.utils.data import DataLoader

    if not (folder / "mds").exists():
        for source in WEIGHTS:
            out = str(folder / "mds" / source)
            with MDSWriter(out=out, columns={"tokens": f"ndarray:uint16:{CONTEXT + 1}"}) as writer:
                for row in packed(folder, source):
                    writer.write({"tokens": row})
        return
    streams = [Stream(local=str(folder / "mds" / source), proportion=share) for source, share in WEIGHTS.items()]
    dataset = StreamingDataset(streams=streams, batch_size=ROWS, shuffle=True)
    while True:
        loader = DataLoader(
            dataset, ROWS, collate_fn=lambda rows: np.stack([row["tokens"] for row in rows]), drop_last=True
        )
        yield from loader


def litdata(folder: Path) -> Iterator[Any]:
    from litdata import CombinedStreamingDataset, StreamingDataLoader, StreamingDataset, TokensLoader, optimize

    if not (folder / "litdata").exists():
        for source in WEIGHTS:
            optimize(
                _Chunks(folder, source),
                list(range(16)),
                str(folder / "litdata" / source),
                chunk_size=(CONTEXT + 1) * 2048,
                item_loader=TokensLoader(),
                num_workers=1,
                start_method="fork",
            )
        return
    datasets = [
        StreamingDataset(str(folder / "litdata" / source), item_loader=TokensLoader(CONTEXT + 1), shuffle=True)
        for source in WEIGHTS
    ]
    combined = CombinedStreamingDataset(datasets, seed=1, weights=list(WEIGHTS.values()), iterate_over_all=False)
    while True:
        for batch in StreamingDataLoader(combined, batch_size=ROWS, drop_last=True, num_workers=0):
            yield batch.numpy()


class _Chunks:
    """A sixteenth of the documents of a source, as litdata wants them."""

    def __init__(self, folder: Path, source: str) -> None:
        self.folder, self.source = folder, source

    def __call__(self, part: int) -> Iterator[Any]:
        import numpy as np
        import torch

        tokens, offsets = (np.load(self.folder / f"{self.source}{kind}.npy") for kind in ("", ".offsets"))
        for document in range(part, len(offsets) - 1, 16):
            yield torch.from_numpy(tokens[offsets[document] : offsets[document + 1]].astype(np.int32))


def arrow(folder: Path, stream: bool) -> Iterator[Any]:
    import numpy as np
    from datasets import Dataset, interleave_datasets, load_dataset

    if not (folder / "parquet").exists():
        for source in WEIGHTS:
            dataset = Dataset.from_dict({"tokens": packed(folder, source).astype(np.int32)})
            (folder / "parquet" / source).mkdir(parents=True)
            dataset.to_parquet(str(folder / "parquet" / source / "0.parquet"))
        return
    options = {"split": "train", "streaming": stream, "cache_dir": str(folder / "cache")}
    parts = [
        load_dataset("parquet", data_files=str(folder / "parquet" / source / "*.parquet"), **options)
        for source in WEIGHTS
    ]
    parts = [part.shuffle(seed=1) for part in parts]
    mixed = interleave_datasets(parts, probabilities=list(WEIGHTS.values()), seed=1, stopping_strategy="all_exhausted")
    mixed = mixed.with_format("numpy")
    while True:
        for batch in mixed.iter(ROWS, drop_last_batch=True):
            yield np.asarray(batch["tokens"])


def megatron(folder: Path) -> Iterator[Any]:
    import numpy as np

    random = np.random.default_rng(1)
    sources = list(WEIGHTS)
    tables = []
    for source in sources:
        tokens, offsets = np.load(folder / f"{source}.npy", mmap_mode="r"), np.load(folder / f"{source}.offsets.npy")
        documents = random.permutation(len(offsets) - 1)
        ends = np.cumsum(np.diff(offsets)[documents])
        begins = np.arange(0, ends[-1] - CONTEXT - 1, CONTEXT)
        samples = np.searchsorted(ends, begins, side="right")
        within = begins - np.concatenate([[0], ends])[samples]
        tables.append((tokens, offsets, documents, samples, within, random.permutation(len(begins))))
    taken, count = np.zeros(len(sources)), 0

    def sample(source: int, number: int) -> Any:
        tokens, offsets, documents, samples, within, shuffle = tables[source]
        index = shuffle[number % len(shuffle)]
        document, at = samples[index], within[index]
        parts, missing = [], CONTEXT + 1
        while missing:
            begin, end = offsets[documents[document]] + at, offsets[documents[document] + 1]
            part = tokens[begin : min(end, begin + missing)]
            parts.append(part)
            missing, document, at = missing - len(part), document + 1, 0
        return np.concatenate(parts)

    weights = np.array(list(WEIGHTS.values()))
    while True:
        rows = []
        for _ in range(ROWS):
            count += 1
            source = int(np.argmax(weights * count - taken))
            rows.append(sample(source, int(taken[source])))
            taken[source] += 1
        yield np.stack(rows)


def take(name: str, folder: Path, batches: int, bare: bool) -> None:
    """Take batches from a loader and print what a second of its process gave."""
    end = json.loads((folder / "end.json").read_text())
    loaders = {
        "ours": lambda: ours(folder),
        "fim": lambda: ours(folder, fim={"code": {}}),
        "best fit": lambda: ours(folder, packing="best_fit"),
        "mosaic": lambda: mosaic(folder),
        "litdata": lambda: litdata(folder),
        "arrow": lambda: arrow(folder, False),
        "stream": lambda: arrow(folder, True),
        "megatron": lambda: megatron(folder),
    }
    found = loaders[name]()
    if not batches:  # only what it makes of the documents
        next(found, None)
        return
    mine = name in OURS
    checked = 0
    for number, given in zip(range(batches + 5), found, strict=False):
        made = given if mine else ready(given, end, bare)
        checked += (made.inputs if mine else made[0]).size if number >= 5 else 0
        if number == 4:
            started = time.process_time()
    print(json.dumps({"seconds": time.process_time() - started, "tokens": checked}))


def many(folder: Path) -> None:
    """First batches over a million documents, and how memory grows over thousands of batches."""
    import numpy as np
    import pyarrow as pa

    from training.packing import batch

    random, store = np.random.default_rng(0), folder / "out/tokens/code"
    facts = json.loads((store / "manifest.json").read_text())
    offsets = np.concatenate([[0], np.cumsum(np.maximum(random.lognormal(6, 1, MANY), 2).astype(np.int64))])
    facts["train"] = {"documents": MANY, "tokens": int(offsets[-1]), "bytes": int(offsets[-1]) * 4}
    (store / "manifest.json").write_text(json.dumps(facts))
    offsets.tofile(store / "train/offsets.bin")
    random.integers(0, 2**63, MANY).astype(np.uint64).tofile(store / "train/keys.bin")
    os.truncate(store / "train/tokens.bin", int(offsets[-1]) * np.dtype(facts["dtype"]).itemsize)
    names = pa.array([str(number) for number in range(MANY)])
    index = pa.table(
        {"id": names, "shard": pa.array(np.zeros(MANY, np.uint32)), "row": pa.array(np.arange(MANY, dtype=np.uint32))}
    )
    with pa.ipc.new_file(str(store / "train/documents.arrow"), index.schema) as file:
        file.write_table(index)
    options: dict[str, Any] = {"steps": 1_100_000, "batch": {"sequences": 1}, "phases": [{"weights": {"code": 1}}]}
    told = {"tokens": int(offsets[-1])}
    for packing in ("concatenate", "best_fit"):
        for name, step in (("in a new process", 0), ("start", 0), ("resume", 1_000_000)):
            started = time.perf_counter()
            batch(opened(folder, packing=packing, **options), step)
            told[f"first batch, {packing}, {name}, s"] = round(time.perf_counter() - started, 3)
    order = opened(folder, **{**options, "batch": {"sequences": ROWS}, "steps": 20_000})
    for step in range(3000):
        batch(order, step)
        if step == 200:
            before = anonymous()
    told["growth over 2,800 batches, MiB"] = round((anonymous() - before) / 1024, 1)
    print(json.dumps(told))


def anonymous() -> int:
    """Kibibytes that the process has of its own, mapped files left out (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument(
        "--tokens", type=int, default=40_000_000, metavar="N", help="in the store; a quarter with --quick"
    )
    parser.add_argument("--side", nargs="+", help="used internally")
    options = parser.parse_args()
    if options.side:
        name, folder, *rest = options.side
        if name == "prepare":
            prepare(Path(folder), int(rest[0]))
        elif name == "many":
            many(Path(folder))
        else:
            take(name, Path(folder), int(rest[0]), rest[1] == "bare")
        return
    environments = {"mosaic": MOSAIC, "litdata": LITDATA, "arrow": DATASETS, "stream": DATASETS}
    pythons = {
        name: harness.interpreter(f"loader-{name}", *needs) for name, needs in environments.items() if name != "stream"
    }
    pythons |= {"stream": pythons["arrow"], "megatron": Path(sys.executable), "ours": Path(sys.executable)}
    batches, repetitions = (100, 3) if options.quick else (400, 5)
    one_core = dict.fromkeys(
        ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def run(side: str, *words: object) -> harness.Usage:
            python = pythons.get(side, Path(sys.executable))
            home = {"HF_HOME": str(folder / "home"), **one_core}
            return harness.run(
                [str(python), os.path.abspath(__file__), "--side", side, str(folder), *map(str, words)], home
            )

        run("prepare", options.tokens // (4 if options.quick else 1))
        opponents = ("mosaic", "litdata", "arrow", "stream", "megatron")
        for side in opponents[:3]:
            run(side, 0, "ready")
        sides = {name: (name, "ready") for name in OURS}
        for side in opponents:
            sides |= {side: (side, "ready"), f"{side} bare": (side, "bare")}
        calls = {
            label: (lambda side=side, kind=kind: run(side, batches, kind)) for label, (side, kind) in sides.items()
        }
        taken = harness.compare(calls, repetitions)
        rows = []
        for label in [label for label in sides if label not in OURS]:
            for mine in OURS:
                found = {mine: taken[mine], label: taken[label]}
                what = "loading" + OURS[mine]
                rows.append(harness.row(what, "Mtokens/s", found, lambda use: use.answer["tokens"] / use.seconds / 1e6))
        harness.report(rows, options.json)
        print(json.dumps(run("many").answer))


if __name__ == "__main__":
    main()
