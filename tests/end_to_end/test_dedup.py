"""Several steps of deduplication in one run: what each drops, who stays, and the same verdicts whatever the way."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.dedup.minhash import MinHash, words
from pipeline.dedup.same_url import canonical

Run = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
sources:
  news: {{paths: ["{folder}/news-*.jsonl"], columns: {{id: key}}}}
  crawl: {{paths: ["{folder}/crawl-*.jsonl"], columns: {{id: key}}}}
split_bytes: 20kB
batch_records: 7
shard_bytes: 60kB
steps:
  gopher:
    keep:
      {{mean_word_length: null, hash_ratio: null, ellipsis_ratio: null, bullet_lines: null, ellipsis_lines: null,
       alpha_words: null, stop_words: null, words: [5, null]}}
  same_url: {{prefer: latest}}
  exact: {{prefer: [source, longest]}}
  minhash:
    shingle: 3
    bands: 120
    rows: 3
    verify: {{by: shingles, jaccard: 0.5}}
    prefer: [highest gopher.words, id]
"""
STEPS = ("same_url", "exact", "minhash")

Doc = dict[str, Any]


def sentence(rng: random.Random, size: int) -> list[str]:
    return ["".join(rng.choices("bcdfghjklmnprstvaeiou", k=rng.randint(2, 9))) for _ in range(size)]


def documents(rng: random.Random, count: int) -> list[Doc]:
    """Texts of 3 to 150 words, many of which are another one in other letters, with a word changed, or refetched."""
    docs: list[Doc] = []
    for number in range(count):
        kind, other = rng.random(), rng.choice(docs) if docs else None
        text = sentence(rng, rng.choice([3, 5, 8, 60, 150]))
        url = f"http://example{rng.randint(0, 9)}.com/{number}"
        if other and kind < 0.2:
            text = other["text"].upper().split()
        elif other and kind < 0.45:
            text = other["text"].split()
            text[rng.randrange(len(text))] = "changed"
        if other and other["url"] and rng.random() < 0.15:
            url = other["url"].replace("http://", "https://www.") + "/?utm_source=feed"
        docs.append(
            {
                "key": f"{rng.randrange(10**9):09d}",
                "source": rng.choice(["news", "crawl"]),
                "text": ", ".join(text) if rng.random() < 0.3 else " ".join(text),
                "url": None if rng.random() < 0.2 else url,
                "date": rng.choice([None, *(f"2024-0{month}-01" for month in range(1, 10))]),
            }
        )
    return docs


def store(folder: Path, docs: Iterable[Doc]) -> Path:
    """Files of both sources, and `run.yaml` over them."""
    folder.mkdir(exist_ok=True)
    for number, doc in enumerate(docs):
        with (folder / f"{doc['source']}-{number // 30}.jsonl").open("a") as file:
            file.write(json.dumps({key: value for key, value in doc.items() if key != "source"}) + "\n")
    (folder / "run.yaml").write_text(CONFIG.format(folder=folder))
    return folder


def expected(docs: list[Doc]) -> list[tuple[str, str | None, str, int]]:
    """(key, reason, key of the survivor, documents it stands for), one document and one step after another.

    With 120 bands of 3 rows a pair as alike as is asked for is missed once in ten million times.
    """
    order = [doc for source in ("news", "crawl") for doc in docs if doc["source"] == source]
    reasons: dict[str, str] = {}
    stands_for = {doc["key"]: doc["key"] for doc in order}
    alive = [doc for doc in order if len(doc["text"].split()) >= 5]
    reasons |= {doc["key"]: "gopher.words" for doc in order if doc not in alive}
    step = MinHash(shingle=3)
    shingles = {doc["key"]: set(step.shingles(doc["text"])) for doc in order}

    def alike(name: str, a: Doc, b: Doc) -> bool:
        if name == "same_url":
            return bool(a["url"] and b["url"]) and canonical(a["url"]) == canonical(b["url"])
        if name == "exact":
            return words(a["text"]) == words(b["text"])
        x, y = shingles[a["key"]], shingles[b["key"]]
        return len(x & y) / len(x | y) >= 0.5

    def best(name: str, doc: Doc) -> Any:
        place = order.index(doc)
        if name == "same_url":
            return (doc["date"] is None, -int((doc["date"] or "0").replace("-", "")), place)
        if name == "exact":
            return (doc["source"] != "news", -len(doc["text"]), place)
        return (-len(doc["text"].split()), doc["key"], place)

    for name in STEPS:
        group = {doc["key"]: {doc["key"]} for doc in alive}
        for i, a in enumerate(alive):
            for b in alive[:i]:
                if group[a["key"]] is not group[b["key"]] and alike(name, a, b):
                    group[a["key"]] |= group[b["key"]]
                    for key in group[b["key"]]:
                        group[key] = group[a["key"]]
        by_key = {doc["key"]: doc for doc in alive}
        for doc in alive:
            first = min((by_key[key] for key in group[doc["key"]]), key=lambda doc: best(name, doc))["key"]
            if first != doc["key"]:
                reasons[doc["key"]] = f"dedup.{name}"
                gone = doc["key"]
                stands_for = {key: first if whose == gone else whose for key, whose in stands_for.items()}
        alive = [doc for doc in alive if doc["key"] not in reasons]
    sizes = Counter(stands_for.values())
    return sorted(
        (key, reasons.get(key), stands_for[key], sizes[stands_for[key]]) for key in (doc["key"] for doc in order)
    )


def verdicts(run: Path) -> list[tuple[str, str | None, str, int]]:
    ledger = pl.read_parquet(run / "ledger/**/*.parquet")
    names = dict(ledger.select("ordinal", "doc_id").iter_rows())
    rows = ledger.select("doc_id", "reason", "cluster", "cluster_size").iter_rows()
    return sorted(
        (key, reason, names[cluster] if cluster is not None else key, size or 1) for key, reason, cluster, size in rows
    )


@pytest.fixture(scope="module")
def docs() -> list[Doc]:
    return documents(random.Random(5), 240)


@pytest.fixture(scope="module")
def folder(docs: list[Doc], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("dedup") / "input", docs)


@pytest.fixture(scope="module")
def run(folder: Path, gristmill: Run) -> Path:
    gristmill("curate", folder / "run.yaml", "--out", folder.parent / "run", "--workers", "2")
    return folder.parent / "run"


def test_each_step_drops_what_a_walk_over_all_pairs_drops(docs: list[Doc], run: Path) -> None:
    found = verdicts(run)
    assert found == expected(docs)
    dropped = Counter(reason for _, reason, _, _ in found)
    assert min(dropped[f"dedup.{name}"] for name in STEPS) > 10


def test_who_stays_stands_for_documents_and_was_kept(run: Path) -> None:
    ledger = pl.read_parquet(run / "ledger/**/*.parquet")
    members = ledger.filter(pl.col("cluster").is_not_null())
    sizes = dict(members.group_by("cluster").len().iter_rows())
    assert members.select((pl.col("cluster_size") == pl.col("cluster").replace_strict(sizes)).all()).item()
    survivors = ledger.filter(pl.col("ordinal").is_in(members["cluster"].unique().implode()))
    assert survivors.height == len(sizes) and (survivors["verdict"] == "kept").all()


def test_the_funnel_goes_through_every_step(docs: list[Doc], run: Path, gristmill: Run) -> None:
    total = json.loads(gristmill("stats", run, "--json").stdout)["total"]
    stages = {stage["name"]: stage for stage in total["stages"]}
    dropped = Counter(reason for _, reason, _, _ in expected(docs))
    left = len(docs) - dropped["gopher.words"]
    for name in STEPS:
        assert (stages[name]["in"], stages[name]["dropped"]) == (left, dropped[f"dedup.{name}"])
        assert stages[name]["seconds"] > 0
        left -= dropped[f"dedup.{name}"]
    assert total["kept"] == left
    card = (run / "README.md").read_text()
    assert "dedup.exact " in card and "dedup.minhash " in card
    answer = json.loads(gristmill("whatif", run, "--set", "minhash=off", "--json").stdout)["total"]
    assert (answer["before"]["kept"], answer["after"]["kept"]) == (left, left + dropped["dedup.minhash"])
    answer = json.loads(gristmill("whatif", run, "--set", "exact=off", "--json").stdout)["total"]
    assert answer["after"]["unmeasured_by"] == {"minhash": dropped["dedup.exact"]}
    (sample,) = json.loads(gristmill("inspect", run, "--reason", "dedup.exact", "-n", "1", "--json").stdout)
    assert sample["survivor"] in pl.read_parquet(run / "shards/**/*.parquet")["id"].to_list()


@pytest.mark.parametrize(
    "changes",
    [["--workers", "1"], ["--set", "split_bytes=3kB", "--set", "batch_records=2"], ["--set", "split_bytes=1GB"]],
)
def test_workers_splits_and_batches_make_no_difference(
    folder: Path, run: Path, gristmill: Run, tmp_path: Path, changes: list[str]
) -> None:
    gristmill("curate", folder / "run.yaml", "--out", tmp_path / "run", *changes)
    assert verdicts(tmp_path / "run") == verdicts(run)


def test_the_order_of_files_and_records_makes_no_difference_where_ids_decide(
    docs: list[Doc], gristmill: Run, tmp_path: Path
) -> None:
    wishes = [word for name in STEPS for word in ("--set", f"steps.{name}.prefer=id")]
    found = []
    for seed in (1, 2):
        shuffled = list(docs)
        random.Random(seed).shuffle(shuffled)
        folder = store(tmp_path / f"input-{seed}", shuffled)
        gristmill("curate", folder / "run.yaml", "--out", tmp_path / f"run-{seed}", *wishes)
        found.append(verdicts(tmp_path / f"run-{seed}"))
    assert found[0] == found[1]


def test_the_order_in_which_files_are_named_makes_no_difference(
    folder: Path, run: Path, gristmill: Run, tmp_path: Path
) -> None:
    changes = []
    for source in ("news", "crawl"):
        paths = sorted(map(str, folder.glob(f"{source}-*.jsonl")), reverse=True)
        changes += ["--set", f"sources.{source}.paths={json.dumps(paths)}"]
    gristmill("curate", folder / "run.yaml", "--out", tmp_path / "run", *changes)
    assert verdicts(tmp_path / "run") == verdicts(run)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_it_goes_on(
    folder: Path, run: Path, gristmill: Run, hashes: Callable[[Path], dict[str, str]], tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    command = [str(Path(sys.executable).parent / "gristmill"), "curate", str(folder / "run.yaml")]
    receipts = tmp_path / "run" / "receipts"
    total = len(list((run / "receipts").glob("*.json")))
    for done in sorted(rng.sample(range(1, total), 3)):
        with subprocess.Popen(
            [*command, "--out", str(tmp_path / "run"), "--workers", "2"],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while len(list(receipts.glob("*.json"))) < done and process.poll() is None:
                time.sleep(0.002)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    gristmill("curate", folder / "run.yaml", "--out", tmp_path / "run", "--workers", "2")
    assert hashes(tmp_path / "run") == hashes(run)


@pytest.mark.ray
def test_ray_gives_the_same_bytes(
    folder: Path, run: Path, ray_session: str, hashes: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    from pipeline import config
    from pipeline import run as driver
    from pipeline.configfile import ConfigFile
    from pipeline.engines import make_engine

    settings = config.load(ConfigFile.read(folder / "run.yaml"))
    driver.curate(settings, tmp_path / "run", lambda: make_engine("ray", 2), driver.Progress())
    assert hashes(tmp_path / "run") == hashes(run)


def test_steps_that_change_text_in_between_are_refused(folder: Path, gristmill: Run, tmp_path: Path) -> None:
    config = (folder / "run.yaml").read_text().replace("  minhash:\n", "  pii: {}\n  minhash:\n")
    (tmp_path / "run.yaml").write_text(config)
    done = gristmill("plan", tmp_path / "run.yaml", check=2)
    assert "'pii' stands between 'same_url' and 'minhash'" in done.stderr


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_the_recipe_takes_a_text_column_and_keeps_ids(
    docs: list[Doc], gristmill: Run, recipes: Path, tmp_path: Path, suffix: str
) -> None:
    frame = pl.DataFrame({"text": [doc["text"] for doc in docs], "doc_id": [doc["key"] for doc in docs]})
    if suffix == "parquet":
        frame.write_parquet(tmp_path / "docs.parquet")
    else:
        frame.write_ndjson(tmp_path / "docs.jsonl")
    paths = f'sources.text.paths=["{tmp_path}/docs.{suffix}"]'
    gristmill("curate", recipes / "dedup.yaml", "--out", tmp_path / "run", "--set", paths)
    kept = pl.read_parquet(tmp_path / "run/shards/**/*.parquet")
    first = {}
    for doc in docs:
        first.setdefault(" ".join(words(doc["text"])), doc["key"])
    assert kept["source"].unique().to_list() == ["text"] and set(kept["doc_id"]) <= set(first.values())
    ledger = pl.read_parquet(tmp_path / "run/ledger/**/*.parquet")
    copies = ledger.filter(reason="dedup.exact")
    assert set(copies["doc_id"]) == {doc["key"] for doc in docs} - set(first.values())
    assert ledger.filter(reason="dedup.minhash").height > 5


@pytest.mark.skipif(sys.platform == "win32", reason="limits of open files are POSIX")
def test_few_files_are_open_however_many_tasks_there_are(folder: Path, run: Path, tmp_path: Path) -> None:
    import resource

    command = [str(Path(sys.executable).parent / "gristmill"), "curate", str(folder / "run.yaml")]
    settings = ["--out", str(tmp_path / "run"), "--workers", "2", "--set", "split_bytes=700B"]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = subprocess.run(
        [*command, *settings],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "run/receipts").glob("read-*.json"))) > 100
    assert verdicts(tmp_path / "run") == verdicts(run)
