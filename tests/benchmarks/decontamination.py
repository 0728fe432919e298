"""Looking for items of evaluation sets in documents of 5 kB on one core: microseconds a document, against others.

Input: 5,000-character pieces of novels, Wikipedia, manuals and programs, and the sets GSM8K, HumanEval, MBPP, LAMBADA
and BoolQ, if GRISTMILL_TEST_DATA leads to them; otherwise pieces of the demo's corpus, and items made of its texts.
Every fiftieth document holds an item, question and answer, word for word.

All sides read the documents from the same JSON Lines file; that, their words and the search are counted. Start-up and
making the index are not. decon (Ai2; the package `decontaminate` is its Rust code with bindings) says no time for
either, so its time without documents is taken off its time with them; it runs in one thread, with its defaults. It
looks for questions by every tenth 5-gram of tokens, then for the answer and the passage behind or before them, and
writes a report. Ours does so with words, without passages, and measures besides how much of questions and of answers
stands anywhere and the longest row of equal words; with `sample: 10` it takes every tenth 5-gram too, by default every
fourth. datatrove runs with its defaults: it drops a document at the first of its 12-grams that is of an answer or
reaches into it, and looks no further; ours is asked for 12 words of an item in a row, and names every item. datatrove's
index is made here by the code of its own indexer, whose `run()` needs a package that it does not use for data of one's
own.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import harness

DATATROVE, DECON = "datatrove 0.10.1", "decon 0.3.0"
REQUIREMENTS = {
    "datatrove": ["datatrove[io,processing]==0.10.1", "spacy>=3.8,<3.9"],
    "decon": ["decontaminate==0.3.0.post4"],
}
SETS = {
    "gsm8k": ("E-gsm8k/test.jsonl", "question", "answer"),
    "humaneval": ("E-humaneval/HumanEval.jsonl.gz", "prompt", "canonical_solution"),
    "mbpp": ("E-mbpp-and-multilang-humaneval/MBPP/data/mbpp.jsonl", "text", "code"),
    "lambada": ("E-llmfoundry-evals/language_understanding/lambada_openai.jsonl", "context", "continuation"),
    "boolq": ("E-llmfoundry-evals/reading_comprehension/boolq.jsonl", "query", None),
}
TEXTS = ("books_en_dev14", "wikipedia_en_dump_excerpt", "docs_python_rst", "code_thealgorithms_mit")
PIECE, EVERY = 5000, 50
COPIES = 10
"""So often the quick ones read the same documents: decon takes longer to make its index than to search."""
RULES = {
    "every fourth": {},
    "every tenth": {"sample": 10},
    "12 in a row": {"keep": {"run": [None, 11], "idf": None, "share": None}},
}
ONE = {name: "1" for name in ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS")}


def rows(path: Path) -> Iterator[dict]:
    import gzip

    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def texts(folder: Path) -> Iterator[str]:
    paths = [harness.test_data(f"READY-jsonl/{name}.jsonl.gz") for name in TEXTS]
    if not all(paths):
        corpus = harness.demo_corpus(folder)
        paths = [path for source in ("docs", "code") for path in corpus[source]]
    for path in paths:
        for row in rows(path):
            yield row["text"]


def items(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Set, question and answer of every item."""
    if all(harness.test_data(path) for path, _, _ in SETS.values()):
        for name, (path, question, answer) in SETS.items():
            for row in rows(harness.test_data(path)):
                yield name, row[question], row[answer] if answer else ""
        return
    for text in texts(folder):
        words = text.split()
        for start in range(0, len(words) - 60, 997):
            yield "texts", " ".join(words[start : start + 40]), " ".join(words[start + 40 : start + 60])


def prepare(folder: Path, every: int) -> int:
    """Write the sets as decon has them, and the documents; return the number of these."""
    found = list(items(folder))
    for name in ("evals", "documents", "nothing"):
        (folder / name).mkdir()
    for name in dict.fromkeys(name for name, _, _ in found):
        with (folder / "evals" / f"{name}.jsonl").open("w", encoding="utf-8") as out:
            for number, (of, question, answer) in enumerate(found):
                if of == name:  # numbers differ across sets, or decon takes one item for another
                    about = {"eval_key": name, "eval_instance_index": number, "doc_id": number, "split": "test"}
                    about |= {"fingerprint": str(number), "is_correct": True}
                    told = {"answer": answer} if answer else {}
                    out.write(json.dumps({**about, "question": question, **told}) + "\n")
    draw = random.Random(1)
    pieces = [text[at : at + PIECE] for text in texts(folder) for at in range(0, len(text), PIECE)]
    pieces = [piece for piece in pieces if len(piece) == PIECE][::every]
    lines = []
    for number, piece in enumerate(pieces):
        if number % EVERY == 0:
            _, question, answer = draw.choice(found)
            piece = f"{piece[: PIECE // 2]}\n{question}\n{answer}\n{piece[PIECE // 2 :]}"
        lines.append(json.dumps({"text": piece}) + "\n")
    (folder / "documents" / "all.jsonl").write_text("".join(lines) * COPIES)
    (folder / "nothing" / "all.jsonl").write_text(json.dumps({"text": "nothing"}) + "\n")
    return len(pieces)


def ours(folder: Path, rule: str) -> None:
    import polars as pl

    from pipeline.decontaminate.step import Decontaminate

    sets = {
        path.stem: {"paths": str(path), "question": "question", "answer": ["answer"] if "answer" in first else []}
        for path in sorted((folder / "evals").glob("*.jsonl"))
        if (first := next(rows(path)))
    }
    step = Decontaminate.model_validate({"sets": sets, **RULES[rule]})
    pl.DataFrame({"text": ["nothing"]}).select(**step.signals())
    started = time.process_time()
    docs = pl.read_ndjson(folder / "documents" / "all.jsonl")
    found = sum(batch.select(**step.signals())["items"].count() for batch in docs.iter_slices(1000))
    seconds = time.process_time() - started
    print(json.dumps({"seconds": seconds, "documents": docs.height, "found": found / COPIES}))


def datatrove(folder: Path, count: int) -> None:
    import numpy as np
    from datatrove.data import Document
    from datatrove.pipeline.decont import NGramsDecontFilter
    from datatrove.pipeline.decont.n_grams import NGramsDecontIndexer

    NGramsDecontIndexer._requires_dependencies = []
    index = Path(tempfile.mkdtemp(dir=folder))
    indexer = NGramsDecontIndexer(str(index))
    for path in (folder / "evals").glob("*.jsonl"):
        hashes = {
            value for row in rows(path) for value in indexer.compute_hashes(row.get("answer", ""), row["question"])
        }
        np.array(sorted(hashes), indexer.config.hash_config.np_descr).tofile(index / f"{path.stem}.index.hashes")
    search = NGramsDecontFilter(str(index))
    search.filter(Document("nothing", "0"))
    started, found = time.process_time(), 0
    for number, row in enumerate(islice(rows(folder / "documents" / "all.jsonl"), count)):
        found += search.filter(Document(row["text"], str(number))) is not True
    print(json.dumps({"seconds": time.process_time() - started, "documents": count, "found": found}))


def decon(folder: Path) -> None:
    import decon as package

    seconds = []
    for name in ("nothing", "documents"):
        out = Path(tempfile.mkdtemp(dir=folder))
        started = time.process_time()
        package.detect(package.Config(str(folder / name), str(folder / "evals"), str(out), worker_threads=1))
        seconds.append(time.process_time() - started)
        lines = {row["training_line"] for path in out.rglob("*.jsonl") for row in rows(path)}
    print()
    count = sum(1 for _ in rows(folder / "documents" / "all.jsonl"))
    print(json.dumps({"seconds": seconds[1] - seconds[0], "documents": count, "found": len(lines) / COPIES}))


def newer_python() -> str | None:
    """A Python that decon runs on, 3.12 or later."""
    if sys.version_info >= (3, 12):
        return sys.executable
    names = [f"python3.{minor}" for minor in (12, 13, 14)]
    roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    found = [str(path) for root in roots for name in names for path in sorted(root.glob(f"*/bin/{name}"))]
    return next((path for path in [*found, *filter(None, map(shutil.which, names))] if "shims" not in path), None)


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--side", nargs=3, metavar=("NAME", "FOLDER", "RULE"), help="one side; used internally")
    options = parser.parse_args()
    if options.side:
        name, folder, rule = options.side
        {"ours": lambda: ours(Path(folder), rule), "datatrove": lambda: datatrove(Path(folder), int(rule))}.get(
            name, lambda: decon(Path(folder))
        )()
        return
    pythons = {"datatrove": harness.interpreter("datatrove", REQUIREMENTS["datatrove"])}
    if base := newer_python():
        pythons["decon"] = harness.interpreter("decon", REQUIREMENTS["decon"], base=base)
    else:
        print("decon is left out: it needs Python 3.12 or later", file=sys.stderr)
    result = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        count = prepare(folder, 10 if options.quick else 2)
        print(f"{count} documents, {-(-count // EVERY)} of them with an item", file=sys.stderr)

        def side(python: Path | str, name: str, rule: str = "") -> harness.Usage:
            return harness.run([str(python), os.path.abspath(__file__), "--side", name, str(folder), rule], environment)

        environment = {**ONE, "PYTHONPATH": str(harness.ROOT)}
        side(sys.executable, "ours", "every fourth")  # compiles, and makes the index
        sides = {rule: lambda rule=rule: side(sys.executable, "ours", rule) for rule in RULES}
        sides |= {name: lambda name=name: side(pythons[name], name, str(count)) for name in pythons}
        taken = harness.compare(sides, repetitions=2 if options.quick else 3)
        pairs = [("12 in a row", "datatrove", DATATROVE)]
        pairs += [("every tenth", "decon", DECON), ("every fourth", "decon", DECON)] if "decon" in taken else []
        for rule, opponent, label in pairs:
            both = {rule: taken[rule], label: taken[opponent]}
            what = f"documents of 5 kB, {rule}"
            micros = harness.row(
                what, "µs/document", both, lambda usage: 1e6 * usage.seconds / usage.answer["documents"], False
            )
            result += [micros, harness.row(f"{what}, peak memory", "MiB", both, lambda usage: usage.memory, False)]
    harness.report(result, options.json)


if __name__ == "__main__":
    main()
