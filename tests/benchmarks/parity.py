"""Keep or drop, and for which reason: our filters against datatrove's own classes, unmodified, with spaCy's tokens.

Input: all real text that the test data has (GRISTMILL_TEST_DATA leads to it): main texts of two crawls, Common Crawl
and C4 as others published it, gold main texts of pages, encyclopaedia, questions and answers, novels, documentation,
LaTeX, program code, and sentences of 75 languages put together 25 by 25; of each source evenly many, taken at equal
distances. Without the test data, the demo's corpus. Each filter judges the whole text, whatever the others say.

datatrove is asked twice: with `language` left at English, as in FineWeb, and with the language of the text where it has
a tokeniser for it that needs no further package. Ours has one tokeniser, which makes every letter of a script written
without spaces a word.

Each difference is explained by trying: datatrove's way of counting, or its way of splitting one kind of word, is put in
the place of ours until the answer is datatrove's. The first way that suffices names the class.
"""

import functools
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import harness

sys.path.append(str(harness.ROOT / "tests" / "filters"))
from reasons import REASONS

DATATROVE = ["datatrove[io,processing]==0.10.1", "spacy>=3.8,<3.9", "lxml_html_clean"]
Texts = Iterator[str]


def jsonl(*paths: Path) -> Texts:
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            yield from (json.loads(line)["text"] for line in lines if line.strip())


def gold(path: Path) -> Texts:
    import zstandard

    with path.open("rb") as packed, zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed) as raw:
        for line in io.TextIOWrapper(raw, encoding="utf-8"):
            yield json.loads(line)["ground_truth"].get("main_content", "")


def articles(path: Path) -> Texts:
    yield from re.split(r"(?m)^(?= = [^=])", path.read_text(encoding="utf-8"))


def posts(*paths: Path) -> Texts:
    from xml.etree import ElementTree

    from lxml import html

    for path in paths:
        for row in ElementTree.parse(path).getroot():
            if body := row.get("Body"):
                yield html.fromstring(body).text_content()


def sentences(folder: Path) -> Texts:
    for path in sorted(folder.glob("*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        yield from ("\n".join(lines[at : at + 25]) for at in range(0, len(lines), 25))


def sources(root: Path, every: int) -> dict[str, Texts]:
    """All real text under the test data, by where it is; of the larger crawl every so manieth page."""
    dolma = root / "D-dolma-cc-samples"
    return {
        "B-trafilatura-dev": harness.main_texts(root / "B-trafilatura-dev/trafilatura-dev.warc.gz", 1),
        "A-warc-debian-handbook": harness.main_texts(
            root / "A-warc-debian-handbook/debian-handbook-00000.warc.gz", every
        ),
        "B-wcxb-train": gold(root / "B-wcxb-train/pages.jsonl.zst"),
        "C-lingua-testdata": sentences(root / "C-lingua-testdata/sentences"),
        "D-dolma-cc-samples": jsonl(*sorted([*dolma.glob("multiple_files/*.gz"), *dolma.glob("provided/documents/*")])),
        "D-olmo-fixtures": jsonl(*sorted((root / "D-olmo-fixtures").glob("*.gz"))),
        "D-stackexchange": posts(*sorted((root / "D-stackexchange").glob("*/Posts.xml"))),
        "D-wikitext2": articles(root / "D-wikitext2-valid-test/valid.txt"),
        "G-dclm-quality": jsonl(root / "G-dclm-quality/quality_dev.jsonl"),
        **{path.name.partition(".")[0]: jsonl(path) for path in sorted((root / "READY-jsonl").glob("*.jsonl.gz"))},
    }


def documents(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Texts with `id` and `language`, evenly of each source."""
    if root := harness.test_data(""):
        found = sources(root, 30 if quick else 4)
    else:
        corpus = harness.demo_corpus(folder)
        web = (text for path in corpus.pop("web") for text in harness.main_texts(path, 1))
        found = {"web": web, **{name: jsonl(*paths) for name, paths in corpus.items()}}
    most, characters = (60, 250_000) if quick else (900, 5_000_000)
    chosen = []
    for name, texts in found.items():
        every = list(texts)
        step = max(-(-len(every) // most), -(-sum(map(len, every)) // characters), 1)
        chosen += [{"id": f"{name}/{at}", "text": every[at]} for at in range(0, len(every), step)]
    import polars as pl

    from filters import Language

    labels = pl.DataFrame({"text": [row["text"] for row in chosen]}).select(Language().signals()["label"]).to_series()
    return [{**row, "language": label} for row, label in zip(chosen, labels, strict=True)]


@functools.cache
def steps() -> dict[str, tuple[Any, Any]]:
    """Our filters, with the transform that comes before them."""
    from filters import C4, C4Lines, FineWeb, Gopher, Repetition

    return {
        "gopher": (None, Gopher()),
        "repetition": (None, Repetition()),
        "c4": (C4Lines(), C4()),
        "c4 of FineWeb": (C4Lines(terminal_punctuation=False), C4()),
        "fineweb": (None, FineWeb()),
    }


def ours(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Signals of all documents by filter, with `reason`, the signal for which it drops them, and the `text` it sees."""
    import polars as pl

    from pipeline.judge import judge

    texts, answers = pl.DataFrame({"text": [row["text"] for row in rows]}), {}
    for name, (lines, step) in steps().items():
        docs = judge(lines.apply(texts, "lines") if lines else texts, {"step": step})
        answers[name] = [
            {key.removeprefix("step."): value for key, value in row.items()} for row in docs.iter_rows(named=True)
        ]
        for answer in answers[name]:
            answer["reason"] = answer["reason"] and answer["reason"].removeprefix("step.")
    return answers


def theirs(path: Path) -> None:
    """datatrove's side: print, for each document of a file, its reasons, and its tokens where they differ from ours."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.utils.text import split_into_sentences, split_into_words
    from datatrove.utils.typeshelper import Languages
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    @functools.cache
    def blocks(language: str) -> dict[str, Any] | None:
        """The filters for a language, or None if datatrove has no tokeniser for it, or none that can be loaded."""
        try:
            load_word_tokenizer(language).word_tokenize("a")
        except (ValueError, ImportError):
            return None
        return {
            "gopher": GopherQualityFilter(language=language),
            "repetition": GopherRepetitionFilter(language=language),
            "c4": C4QualityFilter(language=language),
            "c4 of FineWeb": C4QualityFilter(filter_no_terminal_punct=False, language=language),
            "fineweb": FineWebQualityFilter(language=language),
        }

    def reasons(language: str, text: str) -> dict[str, str | None] | None:
        filters = blocks(language)
        if filters is None:
            return None
        found: dict[str, str | None] = {}
        for name, step in filters.items():
            verdict = step.filter(Document(text=text, id="0"))
            blank = verdict == (False, "empty") and name == "repetition"
            found[name] = None if verdict is True else "empty" if blank else REASONS[verdict[1]]
        return found

    for line in path.open(encoding="utf-8"):
        row = json.loads(line)
        english = reasons(Languages.english, row["text"])
        own = english if row["language"] == "en" else row["language"] and reasons(row["language"], row["text"])
        answer = {"english": english, "own": own}
        if english != row["ours"]:
            answer["tokens"] = split_into_words(row["text"])
            answer["sentences"] = {
                name: sum(len(split_into_sentences(line)) for line in text.splitlines())
                for name, text in row["cleaned"].items()
            }
        print(json.dumps(answer))


def asked(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What datatrove says to all documents, in their order; it works in as many processes as there are cores."""
    python, cores = harness.interpreter("datatrove", DATATROVE), os.cpu_count() or 1
    paths = [folder / f"{part}.jsonl" for part in range(cores)]
    for part, path in enumerate(paths):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows[part::cores]), encoding="utf-8")

    def run(path: Path) -> list[dict[str, Any]]:
        command = [str(python), os.path.abspath(__file__), "--side", str(path)]
        return [
            json.loads(line) for line in subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()
        ]

    with ThreadPoolExecutor(cores) as pool:
        parts = list(pool.map(run, paths))
    return [parts[at % cores][at // cores] for at in range(len(rows))]


def differences(
    rows: Sequence[Mapping[str, Any]], mine: Mapping[str, list[dict[str, Any]]], said: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Every answer that differs with English tokens, by filter and class, those with another decision first."""
    import explain

    from pipeline.judge import ranges

    found = defaultdict(list)
    for name, answers in mine.items():
        step = steps()[name][1]
        order, limits = list(step.signals()), ranges({"": step})
        for row, answer, other in zip(rows, answers, said, strict=True):
            here, there = answer["reason"], other["english"][name]
            if here == there:
                continue
            why = explain.explained(step, row["text"], answer, there, other["tokens"])
            signal = min((one for one in (here, there) if one in order), key=order.index, default="")
            values = {**answer, **explain.counted(step, row["text"], other["tokens"])}
            values |= {"sentences": other["sentences"].get(name)}
            found[name, why].append(
                {
                    "id": row["id"],
                    "decision": (here is None) != (there is None),
                    "reasons": f"{here} / {there}",
                    "signal": signal,
                    "ours": answer.get(signal),
                    "theirs": values.get(signal),
                    "range": limits.get(f".{signal}"),
                }
            )
    for cases in found.values():
        cases.sort(key=lambda case: not case["decision"])
    return dict(found)


def shares(
    rows: Sequence[Mapping[str, Any]], mine: Mapping[str, list[dict[str, Any]]], said: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """By filter and group of texts: documents, and the shares with the same decision and with the same reason."""
    from explain import UNSPACED, unspaced

    apart = [unspaced(row["text"]) for row in rows]
    groups: dict[str, tuple[str, list[int]]] = {
        "all": ("english", list(range(len(rows)))),
        "English": ("english", [at for at, row in enumerate(rows) if row["language"] == "en"]),
        "others": ("english", [at for at, row in enumerate(rows) if row["language"] != "en"]),
        f"others, without {UNSPACED}": (
            "english",
            [at for at, row in enumerate(rows) if row["language"] != "en" and not apart[at]],
        ),
        "others, with datatrove's tokens of their language": (
            "own",
            [at for at, row in enumerate(rows) if row["language"] != "en" and said[at]["own"]],
        ),
    }
    found = []
    for name, answers in mine.items():
        for group, (tokens, members) in groups.items():
            pairs = [(answers[at]["reason"], said[at][tokens][name]) for at in members]
            if not pairs:
                continue
            found.append(
                {
                    "filter": name,
                    "texts": group,
                    "documents": len(pairs),
                    "same decision": sum((here is None) == (there is None) for here, there in pairs) / len(pairs),
                    "same first reason": sum(here == there for here, there in pairs) / len(pairs),
                }
            )
    return found


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--side", type=Path, help="datatrove's, on a file of texts; used internally")
    options = parser.parse_args()
    if options.side:
        theirs(options.side)
        return
    given = harness.test_data("C-lid176-ftz")
    if given:
        os.environ.setdefault("GRISTMILL_ASSETS", str(given))
    with tempfile.TemporaryDirectory() as name:
        rows = documents(Path(name), options.quick)
        mine = ours(rows)
        for at, row in enumerate(rows):
            row["ours"] = {name: answers[at]["reason"] for name, answers in mine.items()}
            row["cleaned"] = {name: mine[name][at]["text"] for name in mine if name.startswith("c4")}
        said = asked(rows, Path(name))
    kinds = Counter(row["id"].partition("/")[0] for row in rows)
    print(f"{len(rows)} documents: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}\n")
    table = shares(rows, mine, said)
    print(f"{'filter':14} {'texts':50} {'documents':>9} {'same decision':>13} {'same first reason':>17}")
    for entry in table:
        print(
            f"{entry['filter']:14} {entry['texts']:50} {entry['documents']:9} "
            f"{entry['same decision']:13.2%} {entry['same first reason']:17.2%}"
        )
    lacking = {row["language"] for row, answer in zip(rows, said, strict=True) if not answer["own"]} - {None}
    print(f"\nno tokens of their own without further packages: {' '.join(sorted(lacking)) or 'none'}")
    print("\nanswers that differ, datatrove's tokens being English (of these, another decision):")
    found = differences(rows, mine, said)
    for (name, why), cases in sorted(found.items(), key=lambda item: (list(mine).index(item[0][0]), -len(item[1]))):
        case, others = cases[0], sum(case["decision"] for case in cases)
        print(f"{name}: {why}: {len(cases)} ({others})")
        print(f"    {case['id']}: {case['reasons']}", end="")
        if case["signal"]:
            values = (f"{value:.4g}" for value in (case["ours"], case["theirs"]))
            print(f"; {case['signal']} {' / '.join(values)}, range {case['range']}", end="")
        print()
    if options.json:
        classes = [{"filter": name, "class": why, "cases": cases} for (name, why), cases in found.items()]
        options.json.write_text(json.dumps({"shares": table, "classes": classes}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
