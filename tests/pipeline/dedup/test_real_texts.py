"""Verdicts on real texts: planted near-duplicates with gold clusters, licences with all their true similarities."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse
import scipy.sparse.csgraph

from pipeline.dedup import jobs
from pipeline.dedup.bands import KEY_SPACE
from pipeline.dedup.base import Documents
from pipeline.dedup.clusters import clusters_between
from pipeline.dedup.exact import Exact
from pipeline.dedup.jobs import KINDS, Jobs, Part
from pipeline.dedup.minhash import MinHash
from pipeline.dedup.work import KeyWriter, clusters_file, do_job


def verdicts(run: Path, step: Documents, texts: pl.Series, task_size: int) -> pl.DataFrame:
    """What a step says of texts: `row`, and `survivor` where another row stands for it; a task is so many texts."""
    parts = []
    for number, start in enumerate(range(0, len(texts), task_size)):
        some = texts[start : start + task_size]
        ordinals = np.uint64(number << 32) + np.arange(len(some), dtype=np.uint64)
        folder = run / "parts" / f"read-{number}"
        folder.mkdir(parents=True)
        writer = KeyWriter(folder / "step", step)
        writer.add(pl.DataFrame({"ordinal": ordinals, "text": some, "source": "texts"}))
        writer.close()
        parts.append(Part(folder.name, len(some)))
    work = Jobs("step", step.band_count(), parts, ["texts"], None)
    for kind in KINDS:
        for job in work.of(kind):
            (run / "parts" / job.id).mkdir()
            do_job(kind, run, job.payload, step, 0, run / "parts" / job.id)
    found = clusters_between(clusters_file(run, "step"), 0, KEY_SPACE).filter(pl.col("dropped_by").is_not_null())
    row = [pl.col(name) // 2**32 * task_size + pl.col(name) % 2**32 for name in ("ordinal", "cluster")]
    return found.select(row[0].alias("row"), row[1].alias("survivor"))


@pytest.fixture(scope="module")
def passages(test_data: Callable[[str], Path]) -> tuple[pl.DataFrame, int]:
    """Passages with their gold cluster and kind, and how many of them are copies of another."""
    folder = test_data("I-planted-neardup")
    gold = [line.split("\t") for line in (folder / "gold_10k.tsv").read_text().splitlines()]
    docs = pl.read_parquet(folder / "docs_10k.parquet")
    assert docs["id"].to_list() == [line[0] for line in gold]
    docs = docs.with_columns(
        gold=pl.Series([int(line[1]) for line in gold]), kind=pl.Series([line[2] for line in gold])
    )
    return docs, len(docs) - docs["gold"].n_unique()


@pytest.mark.parametrize(
    ("step", "least"),
    [
        (Exact(), 0.2),
        (MinHash(), 0.53),
        (MinHash(hash="datasketch"), 0.53),
        (MinHash(preset="bigcode"), 0.5),
        (MinHash(preset="nemo"), 0.35),
        (MinHash(preset="thorough"), 0.99),
        (MinHash(preset="thorough", verify={"by": "estimate", "jaccard": 0.5}), 0.98),
    ],
)
def test_planted_duplicates_are_found_and_nothing_else(
    passages: tuple[pl.DataFrame, int], step: MinHash | Exact, least: float, tmp_path: Path
) -> None:
    docs, copies = passages
    found = verdicts(tmp_path, step, docs["text"], 3000)
    removed, survivors = found["row"].to_numpy(), found["survivor"].to_numpy()
    gold = docs["gold"].to_numpy()
    right = gold[removed] == gold[survivors]
    print(f"{step!r}: precision {right.mean():.4f}, recall {right.sum() / copies:.4f} of {copies}")
    assert right.all()
    assert right.sum() / copies >= least
    if isinstance(step, MinHash) and step.verify is None:
        # Of the clusters of two, as many as their true Jaccard similarities let expect: four sigma of the binomials.
        rows = docs.with_row_index("row").group_by("gold").agg("row", "text").filter(pl.col("row").list.len() == 2)
        sets = [[set(step.shingles(text)) for text in pair] for pair in rows["text"]]
        chances = np.array([step.probability(len(a & b) / len(a | b)) for a, b in sets])
        met = np.isin([max(pair) for pair in rows["row"]], removed).sum()
        assert met == pytest.approx(chances.sum(), abs=4 * (chances * (1 - chances)).sum() ** 0.5)
    exact = np.flatnonzero((docs["kind"] == "exact").to_numpy())
    assert len(exact) == 500 and np.isin(exact, np.concatenate([removed, survivors])).all()


@pytest.mark.parametrize("step", [MinHash(), MinHash(preset="thorough"), Exact(prefer=["longest", "source"])])
def test_tasks_groups_and_ranges_make_no_difference(
    passages: tuple[pl.DataFrame, int], step: MinHash | Exact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs, _ = passages
    texts = docs["text"][:3000]
    whole = verdicts(tmp_path / "whole", step, texts, 3000)
    for size, documents, groups in [(3000, 500, 0), (400, 300, 8), (37, 5000, 0), (37, 740, 5)]:
        monkeypatch.setattr(jobs, "DEDUP_BYTES", 64 * documents)
        run = tmp_path / f"{size}-{documents}"
        assert verdicts(run, step, texts, size).equals(whole)
        assert len(list(run.glob("parts/*/run.npy"))) == groups


def test_recall_over_seeds_is_that_of_ideal_hashes(passages: tuple[pl.DataFrame, int]) -> None:
    """One seed is one draw: the mean over seeds is what the settings give, here and with a random function a place."""
    docs, copies = passages
    gold = docs["gold"].to_numpy()
    steps = [MinHash(seed=seed) for seed in range(1, 21)]
    shingles = [sorted({*map(hash_of, steps[0].shingles(text))}) for text in docs["text"]]
    ends = np.cumsum([len(some) for some in shingles])
    flat = np.concatenate([np.array(some, np.uint64) for some in shingles])
    ours = np.array([recall(step.band_keys(docs["text"])[0], gold, copies) for step in steps])
    ideal = np.array([recall(ideal_keys(flat, ends, seed, 14, 8), gold, copies) for seed in range(8)])
    print(f"ours {ours.mean():.4f} ± {ours.std(ddof=1):.4f}, ideal {ideal.mean():.4f} ± {ideal.std(ddof=1):.4f}")
    error = (ours.var(ddof=1) / len(ours) + ideal.var(ddof=1) / len(ideal)) ** 0.5
    assert ours.mean() == pytest.approx(ideal.mean(), abs=4 * error)


def hash_of(shingle: str) -> int:
    return int.from_bytes(hashlib.blake2b(shingle.encode(), digest_size=8).digest(), "little")


def ideal_keys(flat: np.ndarray, ends: np.ndarray, seed: int, bands: int, rows: int) -> np.ndarray:
    """Band keys of signatures in which every place has a random function of its own."""
    keys = np.random.default_rng(seed).integers(0, 2**64, (bands, rows), dtype=np.uint64)
    starts = np.concatenate([[0], ends[:-1]])
    found = np.zeros((len(ends), bands), np.uint64)
    for band in range(bands):
        for row in range(rows):
            mixed = flat ^ keys[band, row]
            for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
                mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(factor)
            least = np.minimum.reduceat(mixed ^ (mixed >> np.uint64(33)), starts)
            found[:, band] = found[:, band] * np.uint64(0x9E3779B97F4A7C15) + least
    return found


def recall(keys: np.ndarray, gold: np.ndarray, copies: int) -> float:
    """The share of copies that are in one component with another of their own cluster."""
    rows, columns = [], []
    for band in keys.T:
        order = np.argsort(band, kind="stable")
        equal = np.flatnonzero(band[order][1:] == band[order][:-1])
        rows.append(order[equal])
        columns.append(order[equal + 1])
    a, b = np.concatenate(rows), np.concatenate(columns)
    assert (gold[a] == gold[b]).all()
    graph = scipy.sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=(len(gold), len(gold)))
    count, _ = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return (len(gold) - count) / copies


@pytest.fixture(scope="module")
def licences(test_data: Callable[[str], Path]) -> tuple[list[str], np.ndarray]:
    """Texts, and the Jaccard similarity of the word 5-grams of every pair."""
    folder = test_data("I-spdx-licenses") / "licenses"
    texts = [json.loads(path.read_text())["licenseText"] for path in sorted(folder.glob("*.json"))]
    return texts, similarities(texts, MinHash())


def similarities(texts: Sequence[str], step: MinHash) -> np.ndarray:
    numbers: dict[str, int] = {}
    sets = [{numbers.setdefault(shingle, len(numbers)) for shingle in step.shingles(text)} for text in texts]
    rows = np.repeat(np.arange(len(sets)), [len(some) for some in sets])
    columns = np.fromiter((number for some in sets for number in some), np.int64)
    members = scipy.sparse.csr_matrix((np.ones(len(rows)), (rows, columns)))
    common = (members @ members.T).toarray()
    sizes = np.array([len(some) for some in sets])
    return common / (sizes[:, None] + sizes[None] - common)


def test_precision_and_recall_on_licences_are_those_of_the_curve(licences: tuple[list[str], np.ndarray]) -> None:
    """At Jaccard similarities of 0.7, 0.8 and 0.9, over seeds; pairs share documents, seeds are independent."""
    texts, truth = licences
    upper = np.triu_indices(len(texts), 1)
    truth = truth[upper]
    steps = [MinHash(seed=seed) for seed in range(1, 21)]
    chance = 1 - (1 - truth**8) ** 14
    keys = [step.band_keys(pl.Series(texts))[0] for step in steps]
    found = np.array([(k[upper[0]] == k[upper[1]]).any(axis=1) for k in keys])
    assert found[:, truth == 1].all()
    for least in (0.7, 0.8, 0.9):
        alike = truth >= least
        recalls = found[:, alike].mean(axis=1)
        precisions = found[:, alike].sum(axis=1) / found.sum(axis=1)
        theory = chance[alike].mean(), chance[alike].sum() / chance.sum()
        print(
            f"Jaccard >= {least}, {alike.sum()} pairs: recall {recalls.mean():.4f} ± {recalls.std(ddof=1):.4f} "
            f"(curve {theory[0]:.4f}), "
            f"precision {precisions.mean():.4f} ± {precisions.std(ddof=1):.4f} (curve {theory[1]:.4f})"
        )
        for measured, expected in ((recalls, theory[0]), (precisions, theory[1])):
            error = measured.std(ddof=1) / len(steps) ** 0.5
            assert measured.mean() == pytest.approx(expected, abs=4 * error + 2e-3)


@pytest.mark.parametrize("least", [0.7, 0.8, 0.9])
def test_verified_licences_are_joined_by_true_pairs_alone(
    licences: tuple[list[str], np.ndarray], tmp_path: Path, least: float
) -> None:
    """With so many bands that no such pair is missed, clusters are the components of all true pairs."""
    texts, truth = licences
    step = MinHash(bands=200, rows=4, verify={"by": "shingles", "jaccard": least})
    found = verdicts(tmp_path, step, pl.Series(texts), 100)
    count, labels = scipy.sparse.csgraph.connected_components(truth >= least, directed=False)
    assert found.height == len(texts) - count
    assert (labels[found["row"].to_numpy()] == labels[found["survivor"].to_numpy()]).all()
