"""Proofs of deduplication against all pairs of small corpora: what is drawn, estimated, and found out."""

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.accounting.proof import Proof
from pipeline.dedup import jobs, minhash
from pipeline.dedup.bands import KEY_SPACE
from pipeline.dedup.base import Documents
from pipeline.dedup.clusters import clusters_between
from pipeline.dedup.exact import Exact
from pipeline.dedup.jobs import KINDS, Jobs, Part
from pipeline.dedup.minhash import MinHash
from pipeline.dedup.proof import sample
from pipeline.dedup.proof.estimate import weighted, wilson
from pipeline.dedup.proof.sample import draw, hashes_of, read_samples, write_sample
from pipeline.dedup.same_url import SameUrl
from pipeline.dedup.work import KeyWriter, clusters_file, do_job


def word(rng: random.Random) -> str:
    return "".join(rng.choices("bcdfghklmnprstaeiou", k=7))


def corpus(seed: int, bases: int, words: int, copies: int) -> list[str]:
    """Texts, and copies of them in which each word was replaced with a probability of up to a fifth."""
    rng = random.Random(seed)
    texts = []
    for _ in range(bases):
        text = [word(rng) for _ in range(words)]
        texts.append(text)
        for _ in range(rng.randint(0, copies)):
            rate = rng.choice([0, 0.01, 0.03, 0.05, 0.1, 0.2])
            texts.append([same if rng.random() >= rate else word(rng) for same in text])
    rng.shuffle(texts)
    return [" ".join(text) for text in texts]


def similarities(step: Documents, texts: Sequence[str]) -> dict[tuple[int, int], float]:
    """All pairs that have anything in common."""
    sets = [step.features(text) for text in texts]
    pairs = itertools.combinations(range(len(texts)), 2)
    found = {(a, b): len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in pairs}
    return {pair: value for pair, value in found.items() if value}


def proved(
    run: Path, step: Documents, texts: Sequence[str], task_size: int = 50
) -> tuple[dict[str, Any], dict[int, tuple[int, bool]]]:
    """What the proof of a step says of texts, and by row of each that has one its cluster, and if it was dropped."""
    parts = []
    for number, start in enumerate(range(0, len(texts), task_size)):
        some = texts[start : start + task_size]
        docs = pl.DataFrame(
            {
                "id": [f"row-{start + k}" for k in range(len(some))],
                "ordinal": pl.Series([number << 32 | k for k in range(len(some))], dtype=pl.UInt64),
                "source": ["texts"] * len(some),
                step.reads: list(some),
            }
        )
        folder = run / "parts" / f"read-{number}"
        folder.mkdir(parents=True)
        docs.write_parquet(folder / "documents.parquet", row_group_size=16)
        writer = KeyWriter(folder / "step", step)
        writer.add(docs)
        writer.close()
        parts.append(Part(folder.name, len(some)))
    work, told = Jobs("step", step.band_count(), parts, ["texts"], None, step.proof), {}
    for kind in KINDS:
        for job in work.of(kind):
            (run / "parts" / job.id).mkdir()
            told |= do_job(kind, run, job.payload, step, 0, run / "parts" / job.id)
    rows = clusters_between(clusters_file(run, "step"), 0, KEY_SPACE)

    def row(ordinal: int) -> int:
        return (ordinal >> 32) * task_size + (ordinal & 0xFFFFFFFF)

    found = rows.select("ordinal", "cluster", pl.col("dropped_by").is_not_null()).iter_rows()
    return told["proof"], {row(ordinal): (row(cluster), dropped) for ordinal, cluster, dropped in found}


@pytest.mark.parametrize(("most", "kept"), [(10_000, 1 << 16), (6, 1 << 16), (40, 12)])
def test_estimates_over_seeds_are_the_counts_of_all_pairs(
    most: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = pl.Series(corpus(3, 16, 25, 5))
    monkeypatch.setattr(sample, "_KEPT", kept)
    monkeypatch.setattr(sample, "_LEAST", kept)
    alike = similarities(MinHash(shingle=2), texts.to_list())
    exact = [sum(value >= least for value in alike.values()) for least in (0.3, 0.6, 0.9)]
    ordinals, estimates, shares = np.arange(len(texts), dtype=np.uint64), [], []
    for seed in range(1, 400):
        hashes = MinHash(shingle=2, seed=seed).sign(texts).sample
        write_sample(tmp_path / "sample.npy", hashes, ordinals)
        pairs = draw(*read_samples([tmp_path / "sample.npy"]), most)
        assert len(pairs.a) <= most
        values = np.array([alike.get((a, b), 0.0) for a, b in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)])
        assert (values > 0).all()  # nothing but documents with a shingle in common has a key in common
        weights = pairs.counts / (pairs.share * values**2)
        estimates.append([weights[values >= least].sum() for least in (0.3, 0.6, 0.9)])
        shares.append(pairs.share)
    found = np.array(estimates)
    assert (np.mean(shares) < 0.9) == (most == 6 or kept == 12)
    for column, truth in enumerate(exact):
        error = found[:, column].std(ddof=1) / len(found) ** 0.5
        assert found[:, column].mean() == pytest.approx(truth, abs=4 * error + 1e-9) and truth > 10


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=80),
    st.lists(st.integers(1, 80), min_size=1, max_size=4),
    st.integers(1, 12),
)
def test_tasks_keep_all_that_is_below_the_limit(
    tmp_path_factory: pytest.TempPathFactory, keys: list[int], sizes: list[int], kept: int
) -> None:
    folder = tmp_path_factory.mktemp("sample")
    hashes = sample.mixed(np.array(keys, np.uint64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "_KEPT", kept)
        patch.setattr(sample, "_LEAST", kept)
        paths, rows, start = [], [], 0
        for number, size in enumerate(sizes):
            mine = hashes[start : start + size]
            ordinals = np.uint64(number << 32) + np.arange(len(mine), dtype=np.uint64)
            rows += list(zip(mine.tolist(), ordinals.tolist(), strict=True))
            paths.append(folder / f"{number}.npy")
            write_sample(paths[-1], mine, ordinals)
            start += size
    found, ordinals, limit = read_samples(paths)
    assert list(zip(found.tolist(), ordinals.tolist(), strict=True)) == sorted(row for row in rows if row[0] < limit)
    fewest = min(len({value for value, ordinal in rows if ordinal >> 32 == k}) for k in range(len(sizes)))
    assert limit == KEY_SPACE - 1 or len(set(found.tolist())) >= min(kept, fewest)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 200))
def test_pairs_of_a_key_stand_for_all_of_them(sizes: list[int], most: int) -> None:
    keys = sample.mixed(np.arange(len(sizes), dtype=np.uint64))
    order = np.argsort(keys)
    sizes = [sizes[k] for k in order.tolist()]
    hashes = np.repeat(keys[order], sizes)
    pairs = draw(hashes, np.arange(len(hashes), dtype=np.uint64), KEY_SPACE - 1, most)
    assert len(pairs.a) <= most and (pairs.a < pairs.b).all()
    assert (hashes[pairs.a.astype(int)] == hashes[pairs.b.astype(int)]).all()
    several = [size * (size - 1) // 2 for size in sizes if size > 1][:most]
    assert np.bincount(pairs.units, pairs.counts).tolist() == pytest.approx(several)
    if sum(several) <= most:
        assert len({*zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)}) == sum(several)


def test_a_share_is_as_far_from_its_ends_as_the_normal_distribution_lets_it_be() -> None:
    for share, size in [(0.0, 5), (0.3, 10), (0.95, 640), (1.0, 1000)]:
        found = wilson(share, size)
        assert found.low <= share <= found.high
        for end in {found.low, found.high} - {0.0, 1.0}:
            assert (end - share) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / size)


def test_intervals_hold_for_things_that_come_in_bundles() -> None:
    rng = np.random.default_rng(5)
    sizes = rng.geometric(0.3, 4000)
    found = np.array([rng.binomial(size, rng.choice([0.5, 1.0])) for size in sizes])
    truth, held = found.sum() / sizes.sum(), 0
    for _ in range(400):
        units = rng.choice(len(sizes), 60)
        share = weighted(found[units].astype(float), sizes[units].astype(float), np.arange(60))
        assert share is not None
        held += share.low <= truth <= share.high
    assert held >= 0.93 * 400
    assert weighted(np.zeros(3), np.zeros(3), np.arange(3)) is None


@pytest.mark.parametrize(
    "step",
    [
        MinHash(),
        MinHash(shingle=3, bands=20, rows=3),
        MinHash(preset="thorough"),
        MinHash(preset="nemo"),
        MinHash(preset="thorough", verify={"by": "estimate", "jaccard": 0.6}),
        MinHash(preset="thorough", prefer=["shortest"]),
    ],
)
def test_what_a_proof_says_holds_for_all_pairs(step: MinHash, tmp_path: Path) -> None:
    texts = corpus(8, 150, 60, 3)
    said, clusters = proved(tmp_path, step, texts)
    least, alike = step.threshold(), similarities(step, texts)
    pairs = [pair for pair, value in alike.items() if value >= least]
    found = [a in clusters and clusters[a][0] == clusters.get(b, (None,))[0] for a, b in pairs]
    recall = said["drawn"]["recall"]
    assert len(pairs) > 100 and recall["low"] <= np.mean(found) <= recall["high"]
    assert said["drawn"]["pairs"] == pytest.approx(len(pairs), rel=0.25)
    expected = np.mean([step.found(alike[pair]) for pair in pairs])
    assert said["drawn"]["expected"] == pytest.approx(expected, abs=0.08)
    near = [alike.get((min(row, stays), max(row, stays)), 0.0) for row, (stays, dropped) in clusters.items() if dropped]
    dropped = said["dropped"]
    assert dropped["documents"] == dropped["compared"] == len(near) > 100
    assert dropped["precision"]["share"] == pytest.approx(np.mean(np.array(near) >= least), abs=1e-6)
    assert dropped["precision"]["share"] <= dropped["met"]["share"]
    assert said["keys"]["checked"] >= len(near) and said["keys"]["different"] == 0
    assert Proof("step", said).warnings() == []
    table = pl.read_parquet(tmp_path / "parts/dedup-step-proof/pairs.parquet")
    for a, b, value in table.select("a", "b", "similarity").iter_rows():
        rows = sorted((x >> 32) * 50 + (x & 0xFFFFFFFF) for x in (a, b))
        assert value == pytest.approx(alike.get((rows[0], rows[1]), 0.0))
    for pair in said["missed"]:
        a, b = (int(pair[name].removeprefix("row-")) for name in ("document", "other"))
        assert (min(a, b), max(a, b)) in pairs and not found[pairs.index((min(a, b), max(a, b)))]


def test_tasks_groups_ranges_and_batches_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, step = corpus(9, 80, 60, 3), MinHash(shingle=3, bands=10, rows=4, proof=60)
    whole, _ = proved(tmp_path / "whole", step, texts, 1000)
    assert whole["missed"] and whole["unlike"] and whole["dropped"]["compared"] == 60
    for size, documents in [(1000, 20), (40, 30), (7, 5000)]:
        monkeypatch.setattr(jobs, "DEDUP_BYTES", 64 * documents)
        assert proved(tmp_path / f"{size}-{documents}", step, texts, size)[0] == whole


def test_nothing_found_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minhash, "band_hashes", _without_meaning())
    said, clusters = proved(tmp_path, MinHash(), corpus(8, 100, 60, 3))
    assert not clusters and said["drawn"]["recall"]["share"] == 0 and said["drawn"]["recall"]["high"] < 0.15
    assert said["drawn"]["alike"] > 50 and said["dropped"]["precision"] is None
    words = Proof("near", said).warnings()
    assert any(said.startswith("near: it misses duplicates") and "0.0 %" in said for said in words)


def _without_meaning() -> Callable[..., np.ndarray]:
    rng = np.random.default_rng(1)

    def keys(signature: np.ndarray, bands: int, rows: int) -> np.ndarray:
        return rng.integers(0, 2**63, (len(signature), bands), np.uint64)

    return keys


def test_a_part_that_is_not_found_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents of different tasks do not meet, as where each worker deduplicates what it has itself."""
    keys, calls = minhash.band_hashes, itertools.count()

    def local(signature: np.ndarray, bands: int, rows: int) -> np.ndarray:
        return keys(signature, bands, rows) ^ np.uint64(next(calls) << 40)

    monkeypatch.setattr(minhash, "band_hashes", local)
    said, clusters = proved(tmp_path, MinHash(), corpus(8, 100, 60, 3), task_size=130)
    assert clusters and 0 < said["drawn"]["recall"]["share"] < 0.8
    words = Proof("near", said).warnings()
    assert any("misses duplicates" in some for some in words) and any("other keys" in some for some in words)


def test_copies_by_the_thousand_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly all pairs are those of one cluster of copies, and nothing else is found."""
    keys = minhash.band_hashes
    monkeypatch.setattr(minhash, "band_hashes", lambda signature, *_: np.repeat(keys(signature, 1, 112), 14, axis=1))
    rng = random.Random(6)
    texts = [" ".join(word(rng) for _ in range(60))] * 60
    for _ in range(60):
        text = [word(rng) for _ in range(80)]
        texts += [" ".join(text), " ".join([*text[:-1], word(rng)])]
    said, _ = proved(tmp_path, MinHash(), texts)
    assert said["drawn"]["recall"]["share"] > 0.9
    (words,) = Proof("near", said).warnings()
    assert "it misses duplicates: of the pairs 0.9 to 1.0 alike" in words


def test_everything_found_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        minhash, "band_hashes", lambda signature, bands, rows: np.zeros((len(signature), bands), np.uint64)
    )
    texts = corpus(8, 100, 60, 3)
    said, clusters = proved(tmp_path, MinHash(), texts)
    assert len(clusters) == len(texts) and said["dropped"]["documents"] == len(texts) - 1
    assert said["drawn"]["recall"]["share"] == 1 and said["dropped"]["precision"]["high"] < 0.2
    (words,) = Proof("near", said).warnings()
    assert "drops what is no duplicate" in words and len(said["unlike"]) == 5


def test_chains_are_found_out(tmp_path: Path) -> None:
    rng = random.Random(4)
    texts = []
    for _ in range(8):
        text = [word(rng) for _ in range(80)]
        for _ in range(30):
            texts.append(" ".join(text))
            text[rng.randrange(80)] = word(rng)
    said, _ = proved(tmp_path, MinHash(), texts)
    assert said["dropped"]["met"]["share"] > 0.9 > said["dropped"]["precision"]["share"] + 0.3
    (words,) = Proof("near", said).warnings()
    assert "chains" in words


def test_steps_that_compare_whole_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, _ = proved(tmp_path / "exact", Exact(), ["One two.", "one, TWO", "three", "", "one two", "Three!"])
    assert said["drawn"]["alike"] == said["drawn"]["pairs"] == 4 and said["drawn"]["recall"]["share"] == 1
    assert said["dropped"]["compared"] == said["dropped"]["documents"] == 3
    assert said["dropped"]["precision"]["share"] == 1 and Proof("exact", said).warnings() == []
    urls = ["http://a.org/x?utm_source=1", "https://www.a.org/x/", "http://b.org"]
    said, _ = proved(tmp_path / "url", SameUrl(), urls)
    assert said["dropped"]["precision"]["share"] == said["dropped"]["compared"] == 1
    monkeypatch.setattr(
        "pipeline.dedup.exact.text_hashes", lambda data, *_: (np.zeros(4, np.uint64), np.ones(4, np.bool_))
    )
    said, _ = proved(tmp_path / "broken", Exact(), ["a", "b", "c", "a"])
    (words,) = Proof("exact", said).warnings()
    assert "not the same as what stays: 66.7 %" in words


def test_without_a_proof_nothing_is_kept_for_it(tmp_path: Path) -> None:
    for setting, pairs in [(False, 0), (True, 1000), (0, 0), (7, 7)]:
        assert MinHash.model_validate({"proof": setting}).proof == pairs
    step = MinHash(proof=False)
    writer = KeyWriter(tmp_path / "step", step)
    writer.add(pl.DataFrame({"ordinal": pl.Series([0], dtype=pl.UInt64), "text": ["a b c"], "source": ["s"]}))
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["step.keys.npy"]
    assert Jobs("step", 1, [Part("read-0", 1)], ["s"], None, step.proof).of("proof") == []
    text = pl.Series(["a b c d e f", "b"])
    assert (MinHash().band_keys(text)[0] == step.band_keys(text)[0]).all()
    assert (MinHash().signature(text) == step.signature(text)).all()


def test_documents_share_a_drawn_key_as_often_as_they_are_alike() -> None:
    rng = random.Random(2)
    text = [word(rng) for _ in range(60)]
    other = text[:45] + [word(rng) for _ in range(15)]
    texts = [" ".join(text), " ".join(other)]
    similar = similarities(MinHash(), texts)[0, 1]
    signs = [MinHash(seed=seed).sign(pl.Series(texts)) for seed in range(1, 1500)]
    met = np.mean([sign.sample[0] == sign.sample[1] for sign in signs if sign.sample is not None])
    assert met == pytest.approx(similar**2, abs=4 * (similar**2 / 1500) ** 0.5) and 0.4 < similar < 0.8
    assert hashes_of(np.array([[1, 2], [2, 1], [1, 2]], np.uint32)).tolist().count(0) == 0
