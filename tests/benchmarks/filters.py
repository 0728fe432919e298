"""Gopher, repetition, C4 and FineWeb filters on texts of real pages: documents a second on a core, against three peers.

Input: main texts of English pages of two crawls (of the test data, if GRISTMILL_TEST_DATA leads to it: sites of many
kinds, and a manual; of the demo's corpus otherwise), extracted beforehand, so that only the filters are measured. Every
side works in one process on one core, on the same texts, after a warm-up and for at least a second; reading, writing
and start-up are left out.

Ours: all four filters and the removal of lines; every signal of every document is measured, as `measure: all` does.

datatrove runs its filters as its FineWeb example chains them: a document that one filter drops does not reach the
next, and the spaCy tokenisation of a document is shared through datatrove's own cache. The rules are ours too.

NeMo Curator runs the 28 stages of the configuration for English that it ships, each on one batch of all documents and
without the cluster that they usually run on, which would only cost. A document that one stage drops does not reach the
next. There is no rule of FineWeb among them and no removal of lines; shares of digits, URLs, white space, parentheses
and other symbols are measured that this chain does not have. It is installed without most of what it asks for, such as
torch and transformers, of which its filters import nothing but Ray, and that without use.

Dolma runs its taggers for Gopher and C4 in their second versions, which are the faster ones. They measure everything of
every document, as ours do, and decide nothing. Words are what stands between white space, and no sentence is counted;
naughty words are, which ours leaves to another filter. Its further taggers for repetitions search for runs of the same
characters, which no other side does, and would make it nine times slower. It is installed without the clients for
remote storage.

`--profile` shows where our own time goes instead: by step, and by compiled kernel.
"""

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness

if TYPE_CHECKING:
    import polars as pl

DATATROVE = ["datatrove[io,processing]==0.10.1", "spacy>=3.8,<3.9", "lxml_html_clean"]
NEMO_BARE = ["nemo-curator==1.4.0", "cosmos-xenna==0.2.0"]
NEMO = (
    "ray>=2.57 pandas pyarrow loguru regex attrs cattrs jinja2 pulp tabulate obstore portpicker fsspec pyyaml".split()
)
DOLMA_BARE = ["dolma==1.2.1"]
DOLMA = (
    "numpy<2 msgspec smart-open>=7.0.4 tokenizers<=0.19.1 uniseg omegaconf nltk blingfire==0.1.8 anyascii necessary "
    "zstandard regex platformdirs requests tqdm rich fsspec charset-normalizer fasttext-wheel==0.9.2"
).split()
SITES = "B-trafilatura-dev/trafilatura-dev.warc.gz"
MANUAL = "A-warc-debian-handbook/debian-handbook-00000.warc.gz"
ENGLISH = {"the", "and", "of", "to"}
WARM_UP = 20
LEAST_SECONDS = 1.0

Judge = Callable[[Sequence[str]], int | None]
"""Runs texts through a side's filters and returns how many it would keep, if it decides that."""


def extracted(folder: Path, every: int) -> Path:
    """Write main texts as JSON Lines: of every so manieth page, if it has common English words and few accents."""
    found = [path for name in (SITES, MANUAL) if (path := harness.test_data(name))]
    warcs = found or harness.demo_corpus(folder)["web"]
    out = folder / "texts.jsonl"
    with out.open("w", encoding="utf-8") as file:
        for warc in warcs:
            for text in harness.main_texts(warc, every if found else 1):
                if ENGLISH <= set(text.split()) and len(text.encode()) < 1.05 * len(text):
                    file.write(json.dumps({"text": text}) + "\n")
    return out


def ours() -> tuple[dict[str, Callable[["pl.DataFrame"], "pl.DataFrame"]], Judge]:
    """Return the steps of our chain, by name, and all of them together."""
    import polars as pl

    from filters import C4, C4Lines, Filter, FineWeb, Gopher, Repetition
    from pipeline.judge import decide, measure

    filters: dict[str, Filter] = {
        "repetition": Repetition(), "gopher": Gopher(), "c4": C4(), "fineweb": FineWeb(),
    }  # fmt: skip
    lines = C4Lines(terminal_punctuation=False)
    steps: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
        name: lambda docs, name=name, step=step: measure(docs, name, step) for name, step in filters.items()
    }
    cut = {"c4_lines": lambda docs: lines.apply(docs, "c4_lines")}
    order = ("repetition", "gopher", "c4_lines", "c4", "fineweb")
    steps = {name: {**steps, **cut}[name] for name in order} | {"decide": lambda docs: decide(docs, filters)}

    def judge(texts: Sequence[str]) -> int:
        docs = pl.DataFrame({"text": texts})
        for step in steps.values():
            docs = step(docs)
        return docs.filter(pl.col("broken").list.len() == 0).height

    return steps, judge


def datatrove() -> Judge:
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

    def judge(texts: Sequence[str]) -> int:
        docs = iter([Document(text=text, id=str(number)) for number, text in enumerate(texts)])
        for step in chain:
            docs = step(docs)
        return sum(1 for _ in docs)

    return judge


def nemo() -> Judge:
    import nemo_curator
    import pandas
    import yaml
    from nemo_curator.tasks import DocumentBatch

    config = Path(nemo_curator.__file__).parent / "config" / "text" / "heuristic_filter_english_pipeline.yaml"

    def made(entry: Mapping[str, Any]) -> Any:
        """What Hydra makes of an entry: an object of the class `_target_`."""
        settings = {key: made(value) if isinstance(value, dict) else value for key, value in entry.items()}
        module, _, name = settings.pop("_target_").rpartition(".")
        return getattr(__import__(module, fromlist=[name]), name)(**settings)

    entries = [entry for entry in yaml.safe_load(config.read_text())["stages"] if "filter_obj" in entry]
    stages = [made({**entry, "text_field": "text"}) for entry in entries]

    def judge(texts: Sequence[str]) -> int:
        batch = DocumentBatch(dataset_name="texts", data=pandas.DataFrame({"text": pandas.Series(texts, dtype=object)}))
        for stage in stages:
            batch = stage.process(batch)
        return len(batch.data)

    return judge


def dolma() -> Judge:
    import dolma  # noqa: F401  registers the taggers
    from dolma.core.data_types import InputSpec
    from dolma.core.registry import TaggerRegistry

    taggers = [TaggerRegistry.get(name)() for name in ("gopher_v2", "c4_v2")]

    def judge(texts: Sequence[str]) -> None:
        for number, text in enumerate(texts):
            row = InputSpec(id=str(number), text=text)
            for tagger in taggers:
                tagger.tag(row)

    return judge


SIDES: dict[str, Callable[[], Judge]] = {
    "gristmill": lambda: ours()[1],
    "datatrove": datatrove,
    "nemo": nemo,
    "dolma": dolma,
}


def timed(judge: Judge, texts: Sequence[str]) -> dict[str, float]:
    """Return the seconds that the texts take, of as many passes as fill a second, and how many texts are kept."""
    judge(texts[:WARM_UP])
    passes, seconds, start = 0, 0.0, time.process_time()
    while seconds < LEAST_SECONDS:
        kept = judge(texts)
        passes, seconds = passes + 1, time.process_time() - start
    return {"seconds": seconds / passes, **({} if kept is None else {"kept": kept})}


class Clock:
    """Seconds by name, of the runs of functions that it has wrapped."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **keywords: Any) -> Any:
            start = time.process_time()
            answer = function(*args, **keywords)
            self.seconds[name] += time.process_time() - start
            return answer

        return run


def profile(texts: Sequence[str], repetitions: int = 20) -> None:
    """Print where our time goes: by step, and by compiled kernel, whichever step calls it."""
    import polars as pl
    from numba.core.dispatcher import Dispatcher

    steps, judge = ours()
    judge(texts)  # what the kernels call is bound when they are compiled, so that only calls from Python are caught
    total, parts, kernels = Clock(), Clock(), Clock()
    for module in [module for name, module in sys.modules.items() if name.startswith("filters.")]:
        for name, function in list(vars(module).items()):
            if isinstance(function, Dispatcher):
                setattr(module, name, kernels.wrap(name, function))
    steps = {name: parts.wrap(name, step) for name, step in steps.items()}

    def chain() -> None:
        docs = parts.wrap("frame", pl.DataFrame)({"text": texts})
        for step in steps.values():
            docs = step(docs)

    for _ in range(repetitions):
        total.wrap("all", chain)()
    size, whole = sum(len(text.encode()) for text in texts) / 1e6, total.seconds["all"] / repetitions
    print(f"{len(texts)} documents, {size:.1f} MB: {whole * 1e3:.0f} ms, {size / whole:.1f} MB/s")
    outside = total.seconds["all"] - kernels.seconds.total()
    for title, clock in (("step", parts), ("kernel", kernels)):
        rows = clock.seconds.most_common()
        if clock is kernels:
            rows.append(("outside kernels", outside))
        print(f"\n{title:24} {'ms':>8} {'share':>7}")
        for name, seconds in rows:
            print(f"{name:24} {seconds / repetitions * 1e3:8.1f} {seconds / repetitions / whole:7.1%}")


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--profile", action="store_true", help="show where our own time goes")
    parser.add_argument("--side", choices=SIDES, help="run one side on a file of texts; used internally")
    parser.add_argument("--texts", type=Path, help="that file")
    options = parser.parse_args()
    if options.side:
        texts = [json.loads(line)["text"] for line in options.texts.open(encoding="utf-8")]
        print(json.dumps(timed(SIDES[options.side](), texts)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = extracted(Path(folder), 8 if options.quick else 2)
        texts = [json.loads(line)["text"] for line in path.open(encoding="utf-8")]
        if options.profile:
            os.environ["POLARS_MAX_THREADS"] = "1"
            profile(texts)
            return
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        print(f"{len(texts)} documents, {megabytes:.2f} MB", file=sys.stderr)
        pythons = {
            "datatrove": harness.interpreter("datatrove", DATATROVE),
            "nemo": harness.interpreter("nemo", NEMO, NEMO_BARE),
            "dolma": harness.interpreter("dolma", DOLMA, DOLMA_BARE),
        }
        names = {"datatrove": "datatrove 0.10.1", "nemo": "NeMo Curator 1.4.0", "dolma": "Dolma 1.2.1"}

        def run(side: str) -> harness.Usage:
            # Dolma looks for data of NLTK when it is imported, and fetches it where there is none
            settings = {"POLARS_MAX_THREADS": "1", "NLTK_DATA": str(harness.CACHE / "nltk")}
            command = [str(pythons.get(side, sys.executable)), os.path.abspath(__file__)]
            return harness.run([*command, "--texts", str(path), "--side", side], settings)

        (harness.CACHE / "nltk").mkdir(parents=True, exist_ok=True)
        taken = harness.compare(
            {side: lambda side=side: run(side) for side in SIDES}, repetitions=3 if options.quick else 5
        )
    rows = []
    for side, name in names.items():
        pair = {"gristmill": taken["gristmill"], name: taken[side]}
        rows += [
            harness.row("filters, all signals", "documents/s/core", pair, lambda usage: len(texts) / usage.seconds),
            harness.row("filters, all signals", "MB text/s/core", pair, lambda usage: megabytes / usage.seconds),
            harness.row("filters, peak memory", "MiB", pair, lambda usage: usage.memory, more_is_better=False),
        ]
    harness.report(rows, options.json)


if __name__ == "__main__":
    main()
