"""Parts of documents deduplicated in whole runs: what is cut, what is told of it, and the same whatever the way."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pipeline.dedup.minhash import words

Run = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]

CONFIG = """
sources:
  first: {{paths: ["{folder}/first-*.jsonl"]}}
  second: {{paths: ["{folder}/second.jsonl"]}}
split_bytes: 20kB
batch_records: 7
shard_bytes: 40kB
steps:
  gopher:
    keep:
      {{mean_word_length: null, hash_ratio: null, ellipsis_ratio: null, bullet_lines: null, ellipsis_lines: null,
       alpha_words: null, stop_words: null, words: [3, null]}}
  exact: {{}}
  lines: {{min_words: 2}}
  sentences: {{min_words_left: 10, min_sentences_left: 1}}
  substrings: {{tokens: 20}}
  pii: {{}}
"""
STEPS = ("lines", "sentences", "substrings")


def texts(rng: random.Random, count: int) -> list[str]:
    """Paragraphs of made-up sentences, of which some lines, sentences and passages are those of others."""

    def sentence() -> str:
        made = ["".join(rng.choices("bcdfghjklmnprstvaeiouäß", k=rng.randint(2, 8))) for _ in range(rng.randint(4, 9))]
        return " ".join(made).capitalize() + rng.choice(".!?")

    menu = [f"{sentence()[:12]} | Home" for _ in range(6)]
    stories = [" ".join(sentence() for _ in range(4)) for _ in range(8)]
    passage = [re.sub(r"[.!?]", "", " ".join(sentence() for _ in range(5))) for _ in range(5)]
    found = []
    for _ in range(count):
        parts = [" ".join(sentence() for _ in range(rng.randint(1, 5)))]
        if rng.random() < 0.5:
            parts.insert(0, rng.choice(menu))
        if rng.random() < 0.4:
            parts.append(f"{sentence()} {rng.choice(stories)} {sentence()}")
        if rng.random() < 0.4:
            parts.append(f"{sentence()[:-1]} {rng.choice(passage)} {sentence()}")
        if rng.random() < 0.1:
            parts = [rng.choice(menu), rng.choice(stories)]
        if rng.random() < 0.1 and found:
            parts = [rng.choice(found)]
        found.append("\n".join(parts))
    return [*found, "Two words", "", "日本語の文。" * 40, "spam and ham " * 500]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spans")
    made = texts(random.Random(5), 300)
    for number, text in enumerate(made):
        name = f"first-{number // 40}" if number < 200 else "second"
        with (folder / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps({"text": text}) + "\n")
    (folder / "run.yaml").write_text(CONFIG.format(folder=folder))
    return folder


@pytest.fixture(scope="module")
def done(corpus: Path, gristmill: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("done") / "run"
    gristmill("curate", corpus / "run.yaml", "--out", run, "--workers", "2")
    return run


def ledger_of(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "ledger/**/*.parquet").sort("ordinal")


def given(corpus: Path) -> list[str]:
    """The texts in the order of the plan."""
    return [
        json.loads(line)["text"] for path in sorted(corpus.glob("*.jsonl")) for line in path.read_text().splitlines()
    ]


def test_every_character_is_kept_dropped_or_cut(corpus: Path, done: Path) -> None:
    ledger = ledger_of(done)
    assert ledger.height == len(given(corpus))
    sizes = pl.Series([len(text) for text in given(corpus)])
    cut = ledger.select(pl.sum_horizontal(pl.col(f"{name}.cut").fill_null(0) for name in STEPS)).to_series()
    assert (ledger["chars"].cast(pl.Int64) + cut).to_list() == sizes.to_list()
    assert all((ledger[f"{name}.cut"].fill_null(0) > 0).sum() > 5 for name in STEPS)
    pieces = pl.read_parquet(done / "cut/**/*.parquet")
    counted = pieces.group_by("id", "step").len().sort("id", "step")
    told = ledger.unpivot([f"{name}.pieces" for name in STEPS], index="id", variable_name="step", value_name="len")
    told = told.filter(pl.col("len") > 0).with_columns(pl.col("step").str.strip_suffix(".pieces"))
    assert told.sort("id", "step").rows() == counted.select(told.columns).rows()


def test_pieces_stand_where_they_stood_and_their_words_are_in_the_keeper(corpus: Path, done: Path) -> None:
    ledger = ledger_of(done)
    text_of = dict(zip(ledger["ordinal"], given(corpus), strict=True))
    ordinal_of = dict(ledger.select("id", "ordinal").rows())
    pieces = pl.read_parquet(done / "cut/**/*.parquet")
    for row in pieces.iter_rows(named=True):
        mine = ordinal_of[row["id"]]
        assert text_of[mine][row["start"] : row["end"]] == row["text"]
        assert {*words(row["text"])} <= {*words(text_of[row["keeper"]])}
        assert row["keeper"] <= mine
    keepers = ledger.filter(pl.col("ordinal").is_in(pieces["keeper"].unique().implode()))
    assert not keepers["reason"].fill_null("").str.contains("exact|gopher").any(), "what was dropped keeps nothing"


def test_lines_are_left_once_in_what_goes_on(done: Path) -> None:
    shards = pl.read_parquet(done / "shards/**/*.parquet")
    lines = Counter(tuple(words(line)) for text in shards["text"] for line in text.split("\n") if len(words(line)) >= 2)
    assert max(lines.values()) == 1
    windows: Counter[tuple[str, ...]] = Counter()
    for text in shards["text"]:
        mine = words(text)
        windows.update(tuple(mine[k : k + 40]) for k in range(len(mine) - 39))
    assert windows and max(windows.values()) == 1


def test_what_is_too_short_afterwards_is_dropped_with_its_reason(done: Path, gristmill: Run) -> None:
    ledger, numbers = ledger_of(done), json.loads(gristmill("stats", done, "--json").stdout)
    dropped = ledger.filter(pl.col("reason").fill_null("").str.ends_with(".short"))
    assert {"sentences.short"} <= {*dropped["reason"]}
    assert (
        dropped["reason"].to_list()
        == dropped.select(pl.coalesce(f"{name}.dropped" for name in STEPS)).to_series().to_list()
    )
    for stage in numbers["total"]["stages"]:
        if stage["name"] in STEPS:
            assert stage["cut"] == ledger[f"{stage['name']}.cut"].sum()
            assert stage["dropped"] == (ledger["reason"] == f"{stage['name']}.short").sum()
        else:
            assert stage["cut"] is None
    assert "unmeasured: lines" in gristmill("whatif", done, "--set", "exact=off").stdout


def test_the_most_frequent_pieces_are_shown(done: Path, gristmill: Run, corpus: Path) -> None:
    found = json.loads(gristmill("inspect", done, "--cut", "-n", "3", "--json").stdout)
    menus = Counter(line for text in {*given(corpus)} for line in text.split("\n") if line.endswith("| Home"))
    lines = [entry for entry in found if entry["step"] == "lines"]
    assert lines and lines[0]["text"] in menus
    assert "cut most often" in gristmill("inspect", done, "--cut").stdout
    assert json.loads(gristmill("inspect", done, "--cut", "--source", "second", "--json").stdout)
    for wrong in (["--reason", "lines.short"], ["--kept"], ["--source", "third"]):
        gristmill("inspect", done, "--cut", *wrong, check=2)
    gristmill("report", done)
    assert "What was cut most often" in (done / "report.html").read_text()
    (done / "report.html").unlink()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_layout_of_tasks_and_batches_changes_no_text(
    corpus: Path, done: Path, gristmill: Run, workers: str, tmp_path: Path
) -> None:
    layout = {"1": "split_bytes=3MB batch_records=100 shard_bytes=3MB", "2": "split_bytes=5kB batch_records=2"}[workers]
    options = [word for setting in layout.split() for word in ("--set", setting)]
    gristmill("curate", corpus / "run.yaml", "--out", tmp_path / "run", "--workers", workers, *options)
    columns = ["id", "verdict", "reason", "chars", *(f"{name}.cut" for name in STEPS)]
    assert ledger_of(tmp_path / "run").select(columns).sort("id").equals(ledger_of(done).select(columns).sort("id"))
    shards = [pl.read_parquet(run / "shards/**/*.parquet").sort("id") for run in (tmp_path / "run", done)]
    assert shards[0].equals(shards[1])
    cut = [
        pl.read_parquet(run / "cut/**/*.parquet").drop("keeper").sort("id", "step", "start")
        for run in (tmp_path / "run", done)
    ]
    assert cut[0].equals(cut[1])


def test_small_ranges_and_groups_change_nothing(
    corpus: Path, done: Path, hashes: Hashes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import config, run
    from pipeline.configfile import ConfigFile
    from pipeline.dedup.spans import jobs
    from pipeline.engines import make_engine

    monkeypatch.setattr(jobs, "ROWS", 100)
    monkeypatch.setattr(jobs, "DEDUP_BYTES", 20_000)
    settings = config.load(ConfigFile.read(corpus / "run.yaml"))
    run.curate(settings, tmp_path / "run", lambda: make_engine("local", 2), run.Progress())
    assert len(list((tmp_path / "run/receipts").glob("dedup-substrings-copies-*.json"))) > 1
    assert len(list((tmp_path / "run/receipts").glob("dedup-lines-sort-*.json"))) > 1
    assert hashes(tmp_path / "run") == hashes(done)


@pytest.mark.ray
def test_ray_gives_the_same_bytes(corpus: Path, done: Path, ray_session: str, hashes: Hashes, tmp_path: Path) -> None:
    from pipeline import config, run
    from pipeline.configfile import ConfigFile
    from pipeline.engines import make_engine

    settings = config.load(ConfigFile.read(corpus / "run.yaml"))
    run.curate(settings, tmp_path / "run", lambda: make_engine("ray", 2), run.Progress())
    assert hashes(tmp_path / "run") == hashes(done)


def test_killed_at_any_moment_it_goes_on(
    corpus: Path, done: Path, gristmill: Run, hashes: Hashes, tmp_path: Path
) -> None:
    command = [str(Path(sys.executable).parent / "gristmill"), "curate", str(corpus / "run.yaml")]
    command += ["--out", str(tmp_path / "run"), "--workers", "2"]
    receipts = tmp_path / "run" / "receipts"
    total = len(list((done / "receipts").glob("*.json")))
    for share in (0.3, 0.6, 0.75, 0.9):  # while reading, sorting, looking for copies, and writing shards
        with subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while len(list(receipts.glob("*.json"))) < share * total:
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.005)
            os.killpg(process.pid, signal.SIGKILL)
    gristmill("curate", corpus / "run.yaml", "--out", tmp_path / "run", "--workers", "2")
    assert hashes(tmp_path / "run") == hashes(done)


@pytest.mark.parametrize(
    ("override", "stale"),
    [
        ("steps.lines.min_words=3", {"read", "judge", "exact.", "lines.", "sentences.", "substrings.", "shard"}),
        ("steps.pii.email=false", {"shard"}),
    ],
)
def test_a_changed_setting_redoes_what_depends_on_it(
    corpus: Path, done: Path, gristmill: Run, override: str, stale: set[str]
) -> None:
    plan = json.loads(gristmill("plan", corpus / "run.yaml", "--out", done, "--set", override, "--json").stdout)
    found = {
        stage["name"]
        for stage in plan["stages"]
        if stage["tasks"] is None or any(task["state"] != "done" for task in stage["tasks"])
    }
    assert {re.sub(r"\..*", ".", name) for name in found} == stale


def test_whole_documents_come_before_parts(corpus: Path, gristmill: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f'sources: {{a: {{paths: ["{corpus}/second.jsonl"]}}}}\nsteps: {{lines: {{}}, exact: {{}}}}\n')
    said = gristmill("plan", path, check=2).stderr
    assert "'exact' drops whole documents and must come before 'lines'" in " ".join(said.split())
