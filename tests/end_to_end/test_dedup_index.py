"""Crawls deduplicated one after another against an index of those before: the same survivors as all of them at once."""

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import config
from pipeline import run as driver
from pipeline.configfile import ConfigFile
from pipeline.dedup import jobs
from pipeline.dedup.exact import Exact
from pipeline.dedup.index.add import add
from pipeline.dedup.index.manifest import DedupIndexError, Index
from pipeline.dedup.index.merge import compact
from pipeline.dedup.minhash import MinHash
from pipeline.dedup.same_url import SameUrl
from pipeline.engines import Outcome
from pipeline.plan import Task
from pipeline.task import run_task

Run = Callable[..., subprocess.CompletedProcess[str]]
Doc = dict[str, Any]

CRAWLS = ("one", "two", "three")

STEPS = """
steps:
  same_url: {prefer: [source, latest]}
  exact: {prefer: [source, longest]}
  minhash: {prefer: [source, id], shingle: 3, bands: 120, rows: 3, verify: {by: shingles, jaccard: 0.5}}
"""
PLAIN = """
steps:
  same_url: {}
  exact: {}
  minhash: {proof: 200}
"""


def made(rng: random.Random) -> Iterator[list[str]]:
    while True:
        yield ["".join(rng.choices("bcdfghjklmnprstvaeiou", k=rng.randint(3, 9))) for _ in range(rng.choice([8, 60]))]


def changed(words: Sequence[str], start: int, count: int) -> list[str]:
    return [f"{word}x" if start <= place < start + count else word for place, word in enumerate(words)]


def crawls(rng: random.Random, texts: Iterator[list[str]], count: int) -> dict[str, list[Doc]]:
    """Three crawls, of the later ones 30 % are in an earlier one: refetched, in capitals, with a tenth of the words
    changed, or alike to two documents that are not alike."""
    found: dict[str, list[Doc]] = {}
    for crawl in CRAWLS:
        docs: list[Doc] = []
        earlier = [doc for other in found.values() for doc in other]
        for number in range(count):
            words, url = next(texts), f"http://example.com/{crawl}/{number}"
            others = earlier if earlier and rng.random() < 0.3 else docs if docs and rng.random() < 0.1 else []
            if others:
                other = rng.choice(others)
                kind = rng.choice(["same", "capitals", "near", "bridge", "url"])
                words = other["text"].split() if kind != "url" else words
                if kind == "capitals":
                    words = [word.upper() for word in words]
                elif kind == "near":
                    words = changed(words, rng.randrange(len(words)), max(1, len(words) // 20))
                elif kind == "bridge":
                    words = other.get("between") or words
                elif kind == "url" and other["url"]:
                    url = f"{other['url'].replace('http://', 'https://www.')}/#top"
            doc = {"key": f"{crawl}-{number}", "url": url, "date": f"2024-01-{rng.randint(1, 28)}"}
            if not others and len(words) > 50 and rng.random() < 0.15 and number + 1 < count:
                size = len(words) // 6  # two documents, each half way from a third one
                docs.append({**doc, "text": " ".join(changed(words, 0, size)), "between": words})
                words, doc = changed(words, len(words) - size, size), {**doc, "key": f"{crawl}-{number}-b", "url": None}
            docs.append({**doc, "text": " ".join(words)})
        found[crawl] = docs
    return found


class Here:
    """An engine that does everything in this process."""

    workers = 1

    def run(self, run: str, tasks: Sequence[Task]) -> Generator[Outcome]:
        for task in tasks:
            yield Outcome(task, run_task(run, task))

    def close(self) -> None:
        """There is nothing to let go of."""


class World:
    """Crawls in files, and runs over them."""

    def __init__(self, folder: Path, steps: str, docs: dict[str, list[Doc]], gristmill: Run) -> None:
        self.folder, self.steps, self.docs, self.gristmill = folder, steps, docs, gristmill
        for crawl, some in docs.items():
            for number in range(3):
                with (folder / f"{crawl}-{number}.jsonl").open("w") as file:
                    for doc in some[number::3]:
                        file.write(json.dumps({key: doc[key] for key in ("key", "url", "date", "text")}) + "\n")

    def config(self, *crawls: str, against: Path | None = None) -> Path:
        sources = [f'  {crawl}: {{paths: ["{self.folder}/{crawl}-*.jsonl"], columns: {{id: key}}}}' for crawl in crawls]
        path = self.folder / f"{'-'.join(crawls)}.yaml"
        path.write_text("\n".join(["split_bytes: 20kB", "batch_records: 7", "sources:", *sources, self.steps]))
        if against is not None:
            text = path.read_text()
            for step in ("same_url", "exact", "minhash"):
                text = text.replace(f"  {step}: {{", f"  {step}: {{against: {against}, ").replace(", }", "}")
            path.write_text(text)
        return path

    def curate(self, run: Path, *crawls: str, against: Path | None = None, extra: Sequence[str] = ()) -> Path:
        """A run over crawls: in this process, or by the command line where there are `extra` arguments."""
        path = self.config(*crawls, against=against)
        if extra:
            self.gristmill("curate", path, "--out", run, *extra)
        else:
            driver.curate(config.load(ConfigFile.read(path)), run, Here, driver.Progress())
        return run

    def add(self, index: Path, *runs: Path) -> None:
        for run in runs:
            assert add(index, run) is not None


def ledger(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "ledger/**/*.parquet").sort("ordinal")


def verdicts(run: Path, crawl: str) -> list[tuple[str, str | None]]:
    """(key, reason) of the documents of a crawl."""
    return sorted(ledger(run).filter(source=crawl).select("doc_id", "reason").iter_rows())


def receipts(run: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in (run / "receipts").glob("*.json")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, gristmill: Run) -> World:
    rng = random.Random(3)
    return World(tmp_path_factory.mktemp("world"), STEPS, crawls(rng, made(rng), 120), gristmill)


@pytest.fixture(scope="module")
def at_once(world: World) -> Path:
    return world.curate(world.folder / "at-once", *CRAWLS)


@pytest.fixture(scope="module")
def index(world: World) -> Path:
    """An index of all three crawls, each deduplicated against those before."""
    index = world.folder / "index"
    for crawl in CRAWLS:
        run = world.curate(world.folder / crawl, crawl, against=index if index.exists() else None)
        world.add(index, run)
    return index


def test_survivors_are_those_of_all_at_once(world: World, at_once: Path, index: Path) -> None:
    reasons = set()
    for run, crawl in ((world.curate(world.folder / "first-two", "one", "two"), "two"), (at_once, "three")):
        found = verdicts(world.folder / crawl, crawl)
        assert found == verdicts(run, crawl)
        reasons |= {reason for _, reason in found}
    assert reasons == {None, "dedup.same_url", "dedup.exact", "dedup.minhash"}


def test_documents_that_are_published_stay_and_those_shown_to_be_alike_are_counted(
    world: World, at_once: Path, index: Path
) -> None:
    kept = {key for crawl in CRAWLS for key, reason in verdicts(world.folder / crawl, crawl) if reason is None}
    kept_at_once = {key for crawl in CRAWLS for key, reason in verdicts(at_once, crawl) if reason is None}
    assert kept_at_once <= kept
    joined = [receipts(world.folder / crawl)["dedup-minhash-clusters"]["known"]["joined"] for crawl in CRAWLS[1:]]
    assert sum(joined) == len(kept - kept_at_once) > 0
    warnings = json.loads(world.gristmill("stats", world.folder / "three", "--json").stdout)["warnings"]
    assert [words for words in warnings if f"minhash: by what is new, {joined[1]} documents" in words]


def test_the_ledger_says_which_document_of_which_run_it_is(world: World, at_once: Path, index: Path) -> None:
    keys = {f"{crawl}/{id}": key for crawl in CRAWLS for id, key in ledger(world.folder / crawl)["id", "doc_id"].rows()}
    kept = {f"{crawl}/{id}" for crawl in CRAWLS for id in pl.read_parquet(world.folder / crawl / "shards/**/*")["id"]}
    whole = ledger(at_once)
    cluster = dict(whole.select("doc_id", pl.coalesce("cluster", "ordinal")).iter_rows())
    for crawl in CRAWLS[1:]:
        rows = ledger(world.folder / crawl)
        told = rows.filter(pl.col("earlier").is_not_null())
        assert told.height > 20 and set(told["verdict"]) == {"dropped"} and told["cluster"].is_null().all()
        assert told["cluster_size"].is_null().all()
        for key, earlier in told.select("doc_id", "earlier").iter_rows():
            assert earlier in kept and cluster[keys[earlier]] == cluster[key]
        others = rows.filter(pl.col("earlier").is_null() & pl.col("cluster").is_not_null())
        sizes = dict(others.group_by("cluster").len().iter_rows())
        assert dict(others["cluster", "cluster_size"].rows()) == sizes
    (sample,) = json.loads(
        world.gristmill("inspect", world.folder / "two", "--reason", "dedup.exact", "-n1", "--json").stdout
    )
    assert sample["survivor"] is not None


@pytest.mark.parametrize("extra", [["--workers", "2", "--set", "split_bytes=3kB"], ["--set", "split_bytes=1GB"]])
def test_splits_pieces_and_compaction_make_no_difference(
    world: World, index: Path, tmp_path: Path, extra: list[str]
) -> None:
    """The first two crawls in an index, in one piece."""
    world.add(tmp_path / "index", world.folder / "one", world.folder / "two")
    assert "2 pieces" in world.gristmill("dedup", "show", tmp_path / "index", "--check").stdout
    assert "2 pieces to 1" in world.gristmill("dedup", "compact", tmp_path / "index").stdout
    assert "1 pieces, whole" in world.gristmill("dedup", "show", tmp_path / "index", "--check").stdout
    run = world.curate(tmp_path / "three", "three", against=tmp_path / "index", extra=extra)
    assert verdicts(run, "three") == verdicts(world.folder / "three", "three")


@pytest.mark.parametrize("compacted", [False, True])
def test_groups_and_ranges_make_no_difference(
    world: World, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compacted: bool
) -> None:
    """A hundred documents at once, as it is where there are more than fit into memory."""
    monkeypatch.setattr(jobs, "DEDUP_BYTES", 64 * 100)
    world.add(tmp_path / "index", world.folder / "one", world.folder / "two")
    if compacted:
        compact(tmp_path / "index")
    run = world.curate(tmp_path / "three", "three", against=tmp_path / "index")
    assert verdicts(run, "three") == verdicts(world.folder / "three", "three")
    assert len(list(run.glob("parts/dedup-minhash-edges-*"))) > 120
    known = json.loads((tmp_path / "index" / "index.json").read_text())
    monkeypatch.undo()
    world.add(tmp_path / "usual", world.folder / "one", world.folder / "two")
    if compacted:
        compact(tmp_path / "usual")
    assert json.loads((tmp_path / "usual" / "index.json").read_text()) == known


def test_several_indexes_are_as_good_as_one(world: World, index: Path, tmp_path: Path) -> None:
    for crawl in CRAWLS[:2]:
        world.add(tmp_path / crawl, world.folder / crawl)
    both = f"[{tmp_path}/one, {tmp_path}/two]"
    path = world.config("three", against=index)
    path.write_text(path.read_text().replace(str(index), both))
    driver.curate(config.load(ConfigFile.read(path)), tmp_path / "run", Here, driver.Progress())
    assert verdicts(tmp_path / "run", "three") == verdicts(world.folder / "three", "three")
    told = ledger(tmp_path / "run").filter(pl.col("earlier").is_not_null())
    assert {name.partition("/")[0] for name in told["earlier"]} == {"one", "two"}


def test_a_run_that_is_in_the_index_stays_as_it_is(world: World, index: Path, tmp_path: Path) -> None:
    """Also when the index has grown and was compacted, and when it is done once more."""
    run, path = world.folder / "two", world.config("two", against=index)
    world.gristmill("dedup", "compact", index)
    stages = json.loads(world.gristmill("plan", path, "--out", run, "--json").stdout)["stages"]
    assert {task["state"] for stage in stages for task in stage["tasks"]} == {"done"}
    before = receipts(run)
    world.gristmill("curate", path, "--out", run)
    assert receipts(run) == before
    again = world.curate(tmp_path / "two", "two", against=index)
    assert verdicts(again, "two") == verdicts(run, "two")
    assert f"in {index} already" in world.gristmill("dedup", "index", run, "--to", index).stdout


@pytest.mark.parametrize("steps", [PLAIN, STEPS.replace("shingles", "estimate")], ids=["fineweb", "estimate"])
def test_a_second_crawl_of_real_texts(
    test_data: Callable[[str], Path], gristmill: Run, tmp_path: Path, steps: str
) -> None:
    with gzip.open(test_data("READY-jsonl") / "wikipedia_en_dump_excerpt.jsonl.gz", "rt") as file:
        words = [word for line in file for word in json.loads(line)["text"].split()]
    rng = random.Random(1)
    sizes = iter(lambda: rng.choice([100, 300]), None)
    places = iter(range(0, len(words), 300))
    docs = crawls(rng, (words[place : place + size] for place, size in zip(places, sizes, strict=False)), 400)
    world = World(tmp_path, steps, {crawl: docs[crawl] for crawl in ("one", "two")}, gristmill)
    at_once = world.curate(tmp_path / "at-once", "one", "two")
    world.add(tmp_path / "index", world.curate(tmp_path / "one", "one"))
    run = world.curate(tmp_path / "two", "two", against=tmp_path / "index")
    found = verdicts(run, "two")
    assert found == verdicts(at_once, "two")
    dropped = sum(reason is not None for _, reason in found)
    print(f"{dropped} of {len(found)} dropped, {ledger(run)['earlier'].count()} of them for the first crawl")
    assert ledger(run)["earlier"].count() > 0.2 * len(found)


def key_sets(step: Any, docs: Sequence[Doc]) -> list[set[tuple[int, int]]]:
    keys, found = step.band_keys(pl.Series([doc[step.reads] for doc in docs], dtype=pl.String))
    return [set(enumerate(row)) if any_key else set() for row, any_key in zip(keys.tolist(), found, strict=True)]


def test_a_query_finds_what_a_scan_of_all_documents_finds(world: World, index: Path, tmp_path: Path) -> None:
    known = [(crawl, doc) for crawl in CRAWLS for doc in world.docs[crawl]]
    rng = random.Random(9)
    asked = [*rng.sample([doc for _, doc in known], 30), *crawls(rng, made(rng), 10)["one"]]
    with (tmp_path / "asked.jsonl").open("w") as file:
        for doc in asked:
            file.write(json.dumps({"url": doc["url"], "text": doc["text"]}) + "\n")
    done = world.gristmill("dedup", "query", tmp_path / "asked.jsonl", "--index", index, "-n", "1000", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(asked)
    step = MinHash.model_validate({"shingle": 3, "bands": 120, "rows": 3})
    shingles = [set(step.shingles(doc["text"])) for _, doc in known]
    gone: dict[str, set[str]] = {"same_url": set()}
    for name, later in (("same_url", "exact"), ("exact", "minhash")):  # what a step dropped took no part in the next
        gone[later] = gone[name] | {
            key
            for crawl in CRAWLS
            for key, reason in verdicts(world.folder / crawl, crawl)
            if reason == f"dedup.{name}"
        }
    for name, kind in (("same_url", SameUrl()), ("exact", Exact()), ("minhash", step)):
        ours, theirs = key_sets(kind, asked), key_sets(kind, [doc for _, doc in known])
        for doc, mine, answer in zip(asked, ours, told, strict=True):
            expected = {}
            for (crawl, other), keys, some in zip(known, theirs, shingles, strict=True):
                wanted = set(step.shingles(doc["text"]))
                alike = name != "minhash" or len(wanted & some) / len(wanted | some) >= 0.5
                if mine & keys and alike and other["key"] not in gone[name]:
                    expected[crawl, other["key"]] = len(mine & keys)
            matches = [match for match in answer["matches"] if match["step"] == name]
            assert {(match["run"], match["doc_id"]): match["keys"] for match in matches} == expected
    assert [answer["known"] for answer in told] == [bool(answer["matches"]) for answer in told]
    first = next(match for match in told[0]["matches"] if match["step"] == "minhash")
    assert first["doc_id"] == asked[0]["key"] or first["similarity"] == 1
    assert sum(answer["known"] for answer in told[30:]) < sum(answer["known"] for answer in told[:30])


def test_a_text_can_be_asked_for(world: World, index: Path, tmp_path: Path) -> None:
    doc = world.docs["one"][0]
    (tmp_path / "page.txt").write_text(doc["text"].upper())
    (tmp_path / "new.txt").write_text("words that nobody wrote before")
    done = world.gristmill("dedup", "query", tmp_path / "page.txt", tmp_path / "new.txt", "--index", index)
    first, second = done.stdout[: done.stdout.index("new.txt")], done.stdout[done.stdout.index("new.txt") :]
    assert doc["key"] in first and doc["url"] in first and "exact: similarity 1.00, 1 of 1 keys: one/" in first
    assert second.strip() == "new.txt: not in the index"
    world.gristmill("dedup", "query", tmp_path / "absent.txt", "--index", index, check=2)
    assert (
        "is no index" in world.gristmill("dedup", "query", tmp_path / "page.txt", "--index", tmp_path, check=2).stderr
    )


def test_keys_of_other_settings_are_refused(world: World, index: Path, tmp_path: Path) -> None:
    path = world.config("three", against=index)
    for setting, words in [
        ("steps.minhash.bands=40", "bands is 120 in the index and 40 in the step"),
        ("steps.exact.normalize=false", "normalize is True in the index and False in the step"),
        ("steps.minhash.verify={by: estimate, jaccard: 0.5}", "it has only what is for `by: shingles`"),
        (f"steps.exact.against={tmp_path}/absent", "absent is no index"),
    ]:
        done = world.gristmill("plan", path, "--out", tmp_path / "run", "--set", setting, check=2)
        assert f"step '{setting.split('.')[1]}': " in done.stderr and words in done.stderr
    other = tmp_path / "other.yaml"
    other.write_text(world.config("one").read_text().replace("rows: 3", "rows: 4"))
    driver.curate(config.load(ConfigFile.read(other)), tmp_path / "other", Here, driver.Progress())
    done = world.gristmill("dedup", "index", tmp_path / "other", "--to", index, check=2)
    assert "rows is 3 in the index and 4 in the run" in done.stderr
    done = world.gristmill("dedup", "index", world.folder / "one", "--to", tmp_path / "other", check=2)
    assert "is no index, and not empty" in done.stderr


@pytest.fixture
def pair(world: World, index: Path, tmp_path: Path) -> Path:
    """An index of the first two crawls, in two pieces."""
    world.add(tmp_path / "pair", world.folder / "one", world.folder / "two")
    return tmp_path / "pair"


@pytest.mark.parametrize("pattern", ["keys/*/minhash.npy", "additions/*/minhash.values.npy", "additions/*/*.parquet"])
def test_damage_is_found(world: World, pair: Path, tmp_path: Path, pattern: str) -> None:
    path = sorted(pair.glob(pattern))[0]
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    done = world.gristmill("dedup", "show", pair, "--check", check=2)
    assert f"{path} is damaged" in done.stderr
    with pytest.raises(DedupIndexError, match=f"{path} is damaged"):
        world.curate(tmp_path / "run", "three", against=pair)
    if "keys" in pattern:
        assert f"{path} is damaged" in world.gristmill("dedup", "compact", pair, check=2).stderr
        recipe = world.config("three", against=pair)
        done = world.gristmill("curate", recipe, "--out", tmp_path / "run", "--workers", "1", check=1)
        assert f"{path} is damaged" in done.stderr
    path.write_bytes(content[:-8])
    assert f"{path} is damaged: it has" in world.gristmill("dedup", "show", pair, check=2).stderr
    path.unlink()
    assert f"{path} is gone" in world.gristmill("dedup", "show", pair, check=2).stderr


@pytest.mark.parametrize("content", ["", "[]", '{"format": 99}', '{"format": 1, "tables": 5}', "[" * 100_000])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(DedupIndexError, match=r"index\.json"):
        Index(tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.dedup.index import {module}, manifest
calls = [0]
def dying(name):
    work = getattr({module}, name)
    def die(*arguments):
        calls[0] += 1
        if calls[0] == {moment}:
            os.kill(os.getpid(), signal.SIGKILL)
        done = work(*arguments)
        return done
    return die
for name in ("put_in_place", "replace_manifest"):
    setattr({module}, name, dying(name))
{module}.{call}
"""


def whole(path: Path) -> None:
    index = Index(path)
    index.check(index.manifest.files())


@pytest.mark.parametrize("moment", [1, 2, 3])
@pytest.mark.parametrize("command", ["index", "compact"])
def test_killed_at_work_the_index_is_what_it_was(
    world: World, pair: Path, tmp_path: Path, command: str, moment: int
) -> None:
    module, call = "merge", f"compact(Path({str(pair)!r}))"
    if command == "index":
        module, call = "add", f"add(Path({str(pair)!r}), Path({str(world.folder / 'three')!r}))"
    manifest = (pair / "index.json").read_bytes()
    script = KILLED.format(module=module, call=call, moment=moment)
    done = subprocess.run([sys.executable, "-c", script])
    assert (done.returncode == -9) == (command == "index" or moment < 3)
    if done.returncode:
        assert (pair / "index.json").read_bytes() == manifest
    whole(pair)
    compact(pair)
    world.add(pair, world.folder / "three")
    whole(pair)
    listed = {path.relative_to(pair).as_posix() for path in pair.glob("*/*")}
    known = json.loads((pair / "index.json").read_text())
    assert listed == {part["folder"] for part in (*known["additions"], *known["segments"])}
    assert [run["name"] for run in known["additions"]] == list(CRAWLS)


def test_one_writes_and_the_others_are_told(world: World, pair: Path) -> None:
    from pipeline.dedup.index.manifest import writing

    with writing(pair):
        done = world.gristmill("dedup", "compact", pair, check=2)
    assert "is being written by another process" in done.stderr
    world.gristmill("dedup", "compact", pair)


def test_a_name_is_given_once(world: World, pair: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    run = world.curate(folder / "one", "three")
    done = world.gristmill("dedup", "index", run, "--to", pair, check=2)
    assert "has a run 'one' already; call this one otherwise by --name" in done.stderr
    world.gristmill("dedup", "index", run, "--to", pair, "--name", "third")
    told = json.loads(world.gristmill("dedup", "show", pair, "--json").stdout)
    assert [entry["name"] for entry in told["runs"]] == ["one", "two", "third"]
    assert told["documents"] == sum(len(docs) for docs in world.docs.values())
