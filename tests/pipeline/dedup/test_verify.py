"""A second look at pairs, against Jaccard indices of plain Python sets, with evidence spread over files of tasks."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup import verify
from pipeline.dedup.base import Evidence
from pipeline.dedup.minhash import MinHash
from pipeline.dedup.verify import Evidences
from pipeline.dedup.work import KeyWriter

_TEXTS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12).map(" ".join), min_size=2, max_size=14)


def stored(folder: Path, step: MinHash, texts: list[str], tasks: int) -> tuple[Evidences, np.ndarray]:
    """Evidence in files of tasks, in batches of two, and the ordinal of each text."""
    size = -(-len(texts) // tasks)
    ordinals = np.array([(k // size) << 32 | 3 * (k % size) for k in range(len(texts))], np.uint64)
    docs = pl.DataFrame({"ordinal": ordinals, "text": texts})
    stems = []
    for task in range(tasks):
        stems.append(folder / str(task) / "step")
        stems[-1].parent.mkdir()
        writer = KeyWriter(stems[-1], step)
        for batch in docs.filter(pl.col("ordinal") // 2**32 == task).iter_slices(2):
            writer.add(batch)
        writer.close()
    how = step.verification()
    assert how is not None
    return Evidences(stems, how.by == "shingles"), ordinals


def step_by(by: str, **more: Any) -> MinHash:
    return MinHash.model_validate({"shingle": 2, "verify": {"by": by, "jaccard": 0.5}, **more})


@given(_TEXTS, st.integers(1, 3), st.integers(1, 60), st.sampled_from([{}, {"of": "characters", "shingle": 4}]))
@settings(max_examples=50)
def test_sets_of_shingles_tell_the_true_jaccard_index(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], tasks: int, room: int, more: dict[str, Any]
) -> None:
    step = step_by("shingles", **more)
    evidences, ordinals = stored(tmp_path_factory.mktemp("sets"), step, texts, tasks)
    sets = [set(step.shingles(text)) for text in texts]
    pairs = np.array([(a, b) for a in range(len(texts)) for b in range(a) if sets[a] and sets[b]], np.int64)
    pairs = pairs.reshape(-1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "_VALUES", room)
        patch.setattr(verify, "_PAIRS", 7)
        found = evidences.similarities(ordinals[pairs[:, 0]], ordinals[pairs[:, 1]])
    assert found.tolist() == [len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in pairs]


def test_an_estimate_is_the_share_of_equal_places(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    names = np.array(["".join(rng.choice(list("bcdfgh"), 8)) for _ in range(300)])
    texts = [" ".join(names[start : start + 200]) for start in range(0, 100, 5)]
    step = step_by("estimate", bands=50, rows=8)
    evidences, ordinals = stored(tmp_path, step, texts, 3)
    signatures = step.signature(pl.Series(texts))
    found = evidences.similarities(np.repeat(ordinals[:1], 20), ordinals)
    assert found.tolist() == [(signatures[0] == row).mean() for row in signatures]
    truth = [(199 - 5 * k) / (199 + 5 * k) for k in range(20)]
    assert np.abs(found - truth).max() < 4 * (0.25 / 400) ** 0.5


def test_documents_without_shingles_leave_no_evidence(tmp_path: Path) -> None:
    evidences, ordinals = stored(tmp_path, step_by("shingles"), ["!?", "a b c", "", "b c", "..."], 1)
    assert evidences.similarities(ordinals[[1]], ordinals[[3]]).tolist() == [0.5]
    assert np.load(tmp_path / "0/step.ends.npy").tolist() == [2, 3]


def test_a_task_without_documents_has_files_too(tmp_path: Path) -> None:
    writer = KeyWriter(tmp_path / "step", step_by("shingles"))
    writer.close()
    assert [len(np.load(tmp_path / f"step.{what}.npy")) for what in ("values", "ends")] == [0, 0]
    assert np.load(tmp_path / "step.keys.npy").shape == (15, 0)


def test_verification_refuses_what_only_met_by_chance(tmp_path: Path) -> None:
    """One row a band: documents meet that share a single shingle in ten."""
    step = MinHash(bands=40, rows=1, shingle=1, verify={"by": "shingles", "jaccard": 0.6})
    texts = [" ".join(f"w{chr(97 + k)}{chr(97 + n)}x" for n in range(9)) + " shared" for k in range(20)]
    texts += [f"{text} more" for text in texts[:5]]
    keys, _ = step.band_keys(pl.Series(texts))
    met = (keys[:, None] == keys[None]).any(axis=2)
    assert met[:20, :20].sum() > 100
    evidences, ordinals = stored(tmp_path, step, texts, 2)
    a, b = np.nonzero(np.triu(met, 1))
    accepted = evidences.similarities(ordinals[a], ordinals[b]) >= 0.6
    assert {*zip(a[accepted].tolist(), b[accepted].tolist(), strict=True)} == {(k, 20 + k) for k in range(5)}


def test_evidence_is_cut_by_document() -> None:
    evidence = Evidence(np.array([5, 6, 7, 8], np.uint32), np.array([1, 1, 4]))
    kept = evidence.only(np.array([True, True, False]))
    assert (kept.values.tolist(), kept.ends.tolist()) == ([5], [1, 1])
