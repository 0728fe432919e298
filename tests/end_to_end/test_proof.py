"""A run proves its own deduplication: what `stats`, the report and the card say of it, and clusters laid open."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse

from pipeline.accounting.clusters import find_cluster
from pipeline.accounting.folder import RunFolderError
from pipeline.dedup.minhash import MinHash

Run = Callable[..., subprocess.CompletedProcess[str]]

HOSTILE = "evil\x1b[31m\u202e[bold]word"


@pytest.fixture(scope="module")
def planted(test_data: Callable[[str], Path], gristmill: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over 10,000 passages with planted duplicates, 500 of them exact ones, which are gone before `minhash`."""
    folder = tmp_path_factory.mktemp("planted")
    config = f"""
sources:
  text: {{paths: ["{test_data("I-planted-neardup")}/docs_10k.parquet"], columns: {{id: id}}}}
split_bytes: 4MB
steps:
  exact: {{}}
  minhash: {{}}
"""
    (folder / "run.yaml").write_text(config)
    gristmill("curate", folder / "run.yaml", "--out", folder / "run", "--workers", "2")
    return folder / "run"


@pytest.fixture(scope="module")
def pairs(planted: Path, test_data: Callable[[str], Path]) -> pl.DataFrame:
    """All pairs of passages with a shingle in common, their true similarity, by row; counted by sparse matrices."""
    texts = pl.read_parquet(test_data("I-planted-neardup") / "docs_10k.parquet")["text"]
    numbers: dict[str, int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        found = {numbers.setdefault(shingle, len(numbers)) for shingle in MinHash().shingles(text)}
        rows += [row] * len(found)
        columns += found
    one = np.ones(len(rows), np.int32)
    has = scipy.sparse.csr_array((one, (rows, columns)), shape=(len(texts), len(numbers)))
    sizes = np.asarray(has.sum(axis=1)).ravel()
    common = scipy.sparse.triu(has @ has.T, k=1).tocoo()
    similar = common.data / (sizes[common.row] + sizes[common.col] - common.data)
    return pl.DataFrame({"a": common.row, "b": common.col, "similarity": similar})


def ledger(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "ledger/**/*.parquet").with_columns(
        row=pl.col("doc_id").str.strip_prefix("p").cast(pl.Int32)
    )


def test_recall_and_precision_are_what_all_pairs_tell(planted: Path, pairs: pl.DataFrame, gristmill: Run) -> None:
    said = json.loads(gristmill("stats", planted, "--json").stdout)
    assert said["warnings"] == [] and list(said["proofs"]) == ["exact", "minhash"]
    rows, proof = ledger(planted), said["proofs"]["minhash"]
    there = rows.filter(pl.col("reason").ne_missing("dedup.exact"))
    left = pairs.join(there.select("row", "cluster"), left_on="a", right_on="row")
    left = left.join(there.select("row", "cluster"), left_on="b", right_on="row")
    together = pl.col("cluster") == pl.col("cluster_right")
    for name, drawn in [("all", proof["drawn"]), *((str(level["from"]), level) for level in proof["drawn"]["levels"])]:
        low = proof["threshold"] if name == "all" else drawn["from"] - 1e-9
        alike = left.filter(pl.col("similarity") >= low, pl.col("similarity") < (1.1 if name == "all" else low + 0.1))
        truth = alike.select(together.fill_null(False).mean()).item()
        assert drawn["recall"]["low"] <= truth <= drawn["recall"]["high"], name
        assert drawn["pairs"] == pytest.approx(alike.height, rel=0.35), name
    dropped = there.filter(reason="dedup.minhash").join(
        rows.select(pl.col("ordinal").alias("cluster"), pl.col("row").alias("stays")), on="cluster"
    )
    ends = dropped.select(a=pl.min_horizontal("row", "stays"), b=pl.max_horizontal("row", "stays"))
    similar = ends.join(pairs, on=["a", "b"], how="left")["similarity"].fill_null(0.0)
    truth = (similar >= proof["threshold"]).mean()
    found = proof["dropped"]
    assert found["documents"] == len(similar)
    assert found["precision"]["low"] <= truth <= found["precision"]["high"]
    exact = said["proofs"]["exact"]["dropped"]
    assert exact["documents"] == rows.filter(reason="dedup.exact").height > 400 and exact["precision"]["share"] == 1


def test_workers_and_splits_make_no_difference(planted: Path, gristmill: Run, tmp_path: Path) -> None:
    gristmill("curate", planted.parent / "run.yaml", "--out", tmp_path, "--workers", "1", "--set", "split_bytes=1GB")
    proofs = [json.loads(gristmill("stats", run, "--json").stdout)["proofs"] for run in (planted, tmp_path)]
    assert proofs[0] == proofs[1]


def test_tables_show_it_everywhere(planted: Path, gristmill: Run) -> None:
    stats = gristmill("stats", planted).stdout
    gristmill("report", planted)
    for text in (stats, (planted / "report.html").read_text(), (planted / "README.md").read_text()):
        text = " ".join(text.split())
        assert "recall: pairs at least 0.72 alike" in text and "precision: dropped, at least 0.72 like" in text
        assert "proof of minhash" in text.lower()


@pytest.fixture(scope="module")
def small(gristmill: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over a text, seven copies of it, each with a word more changed, and another text twice in other letters."""
    folder = tmp_path_factory.mktemp("clusters")
    words = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "klmn"]
    texts = [
        " ".join([HOSTILE if k < 10 * number and k % 10 == 5 else word for k, word in enumerate(words)])
        for number in range(8)
    ]
    texts += ["Something\n\nelse", "SOMETHING else!", "nothing like it"]
    docs = [{"text": text, "id": f"d{number}"} for number, text in enumerate(texts)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (folder / "run.yaml").write_text(
        f"sources: {{text: {{paths: ['{folder}/docs.jsonl'], columns: {{id: id}}}}}}\n"
        "steps: {exact: {}, minhash: {bands: 100, rows: 3}}\n"
    )
    gristmill("curate", folder / "run.yaml", "--out", folder / "run", "--workers", "1")
    return folder / "run"


def test_a_cluster_is_laid_open(small: Path, gristmill: Run) -> None:
    found = json.loads(gristmill("inspect", small, "--cluster", "d3", "-n", "20", "--json").stdout)
    assert found["size"] == len(found["members"]) == 8
    texts = [json.loads(line)["text"] for line in (small.parent / "docs.jsonl").read_text().splitlines()]
    sets = [MinHash().features(text) for text in texts]
    for member in found["members"]:
        row = int(member["doc_id"][1:])
        assert member["text"] == texts[row] and member["ordinal"] == row
        assert member["similarity"] == pytest.approx(len(sets[row] & sets[0]) / len(sets[row] | sets[0]), abs=1e-4)
        assert (member["verdict"], member["reason"]) == (("dropped", "dedup.minhash") if row else ("kept", None))
    assert [member["doc_id"] for member in found["members"][:2]] == ["d0", "d3"]
    whole = find_cluster(small, "d3", 20)
    assert whole.to_dict()["members"] == found["members"]
    some = find_cluster(small, "d3", 2)
    assert some.size == 8 and some.members == whole.members[:4]
    others = [find_cluster(small, "d3", 2, seed).members[2].ordinal for seed in range(20)]
    assert {*others} == {1, 2, 4, 5, 6, 7}
    for name in ("0", whole.members[4].id):
        again = find_cluster(small, name, 20)
        assert again.cluster == 0 and {*again.members} == {*whole.members}
    assert [member.reason for member in find_cluster(small, "d9").members] == [None, "dedup.exact"]
    for name, words in [("d10", "has no duplicates"), ("d77", "no document or cluster 'd77'"), ("9", "no document or")]:
        with pytest.raises(RunFolderError, match=words):
            find_cluster(small, name)


def test_differences_are_marked_and_hostile_texts_shown(small: Path, gristmill: Run) -> None:
    shown = gristmill("inspect", small, "--cluster", "d2").stdout
    second = shown.split(" d2 ")[1] if " d2 " in shown else shown.split("\nd2 ")[1]
    second = second.split("───")[0]
    assert "\x1b" not in shown and "\u202e" not in shown
    plain = " ".join(second.split())
    assert plain.count("[-") == plain.count("{+evil\\x1b[31m\\u202e[bold]word+}") == 2
    assert "words …" in plain and "[-bel-]" in plain and "[-bon-]" in plain
    assert "no duplicates" in gristmill("inspect", small, "--cluster", "d10", check=2).stderr
    assert "--cluster" in gristmill("inspect", small, "--cluster", "d2", "--kept", check=2).stderr


def test_a_run_that_drops_nearly_everything_says_so(gristmill: Run, tmp_path: Path) -> None:
    text = " ".join(f"word{'abcdefghij'[k % 10]}{'klmnopqrst'[k // 10]}" for k in range(80))
    (tmp_path / "docs.jsonl").write_text((json.dumps({"text": text}) + "\n") * 30)
    (tmp_path / "run.yaml").write_text(
        f"sources: {{text: {{paths: ['{tmp_path}/docs.jsonl']}}}}\nsteps: {{minhash: {{proof: false}}}}\n"
    )
    done = gristmill("curate", tmp_path / "run.yaml", "--out", tmp_path / "run", "--workers", "1")
    assert "warning: minhash: it dropped 29 of 30 documents" in " ".join(done.stdout.split())
    said = json.loads(gristmill("stats", tmp_path / "run", "--json").stdout)
    assert said["proofs"] == {} and len(said["warnings"]) == 1
    gristmill("report", tmp_path / "run")
    assert "it dropped 29 of 30 documents" in (tmp_path / "run/report.html").read_text()
    assert "it dropped 29 of 30 documents" in (tmp_path / "run/README.md").read_text()
