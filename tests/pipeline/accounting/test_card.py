"""The card as the tools that read it see it: datasets, a YAML parser, a Markdown table."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.accounting.card import write_card

MakeRun = Callable[..., tuple[Path, list[Any]]]


def front_matter(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    facts = yaml.safe_load(head)
    assert isinstance(facts, dict)
    return facts


@pytest.mark.filterwarnings("default")
def test_datasets_opens_the_run(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    run, docs = make_run(seed=41, count=80)
    (run / "README.md").write_text(write_card(run))
    kept = [doc for doc in docs if doc.verdict == "kept"]
    everything = datasets.load_dataset(str(run), split="train", cache_dir=str(tmp_path))
    assert Counter(everything["source"]) == Counter(doc.source for doc in kept)
    assert sorted(everything["text"]) == sorted(doc.text for doc in kept)
    web = datasets.load_dataset(str(run), "web", split="train", cache_dir=str(tmp_path))
    assert sorted(web["id"]) == sorted(doc.id for doc in kept if doc.source == "web")


def test_front_matter_says_what_the_config_says(make_run: MakeRun) -> None:
    licenses = {"web": "CC-BY-4.0", "texts": None, "code": "as the authors like"}
    run, docs = make_run(seed=42, licenses=licenses)
    facts = front_matter(write_card(run))
    assert facts["license"] == ["cc-by-4.0", "other"]
    assert facts["size_categories"] == ["n<1K"]
    assert "language" not in facts  # the ledger of this run names none
    assert facts["configs"][0] == {"config_name": "default", "data_files": "shards/**/*.parquet"}
    named = {config["config_name"]: config["data_files"] for config in facts["configs"][1:]}
    assert named == {name: f"shards/{name}/*.parquet" for name in {doc.source for doc in docs}}


def test_a_source_without_shards_has_no_config(make_run: MakeRun) -> None:
    run, _ = make_run(seed=43)
    shutil.rmtree(run / "shards" / "web")
    assert "web" not in [config["config_name"] for config in front_matter(write_card(run))["configs"]]
    shutil.rmtree(run / "shards")
    assert "configs" not in front_matter(write_card(run))


def test_body_has_the_numbers_and_the_ranges(make_run: MakeRun) -> None:
    run, docs = make_run(
        seed=44, versions={"polars": "2.1.0"}, inputs=[{"source": "web", "path": "/secret", "size": 7}]
    )
    card = write_card(run)
    kept = sum(doc.verdict == "kept" for doc in docs)
    words = sum(doc.reason == "gopher.words" and doc.source == "web" for doc in docs)
    assert f"{kept} documents" in card and f"of {len(docs)} records read" in card
    assert f"gopher.words {words}" in card.split("### web")[1].split("###")[0]
    assert "words 50:1000, mean\\_word 3:10" in card and "| polars | 2.1.0 |" in card
    assert "/secret" not in card and str(run) not in card
    assert "Partial" not in card and "Unfinished" not in card


def test_card_says_when_it_is_not_the_whole(make_run: MakeRun) -> None:
    run, _ = make_run(seed=45, complete=False)
    meta = json.loads((run / "run.json").read_text())
    meta["config"]["limit"] = 1000
    (run / "run.json").write_text(json.dumps(meta))
    card = write_card(run)
    assert "limit of 1,000 records of each source" in card and "**Unfinished:**" in card


def test_equal_runs_have_equal_cards(make_run: MakeRun) -> None:
    first, second = make_run(seed=46)[0], make_run(seed=46)[0]
    for receipt in (second / "receipts").iterdir():
        body = json.loads(receipt.read_text())
        receipt.write_text(json.dumps({**body, "seconds": 99.0}))
    assert first != second and write_card(first) == write_card(second)


def test_hostile_names_stay_text(make_run: MakeRun) -> None:
    name = "a|b <script>alert(1)<!-- `x` **y** [z](http:\x1b[31m"
    run, _ = make_run(seed=47, sources=(name, "default"))
    card = write_card(run)
    facts = front_matter(card)
    assert {config["config_name"] for config in facts["configs"]} == {"default", name, "source-default"}
    body = card.split("---\n", 2)[2]
    assert "<script" not in body and "\x1b" not in body and "[z](" not in body
    table = body.split("## Sources")[1].split("##")[0].strip().splitlines()
    bars = {len(row.replace("\\|", "").split("|")) for row in table}
    assert len(bars) == 1  # no row has more cells than the head
