"""`max_drop` through the command line: the run stops, shows why, keeps what it has, and goes on with a higher limit."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import config, run
from pipeline.configfile import ConfigFile
from pipeline.engines import make_engine

Run = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]

CONFIG = """
sources:
  good: {{use: jsonl, paths: ["{folder}/good.jsonl"]}}
  bad: {{use: jsonl, paths: ["{folder}/bad.jsonl"]}}
split_bytes: 60kB
shard_bytes: 60kB
batch_records: 100
steps:
  gopher: {{keep: {{words: [8, null], alpha_words: null, stop_words: null, mean_word_length: null}}}}
  lines: {{use: c4_lines}}
  exact: {{}}
"""


NUMERALS = "zero one two three four five six seven eight nine".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources of 3,000 texts: of `good` every twelfth is short; of `bad` every tenth, later every other."""
    folder = tmp_path_factory.mktemp("guards")
    for source in ("good", "bad"):
        rows = []
        for i in range(3000):
            short = i % 12 == 0 if source == "good" else i % 10 == 0 if i < 1500 else i % 2 == 0
            number = " ".join(NUMERALS[int(digit)] for digit in str(i % 2500))
            words = "Too \x1b[31mshort" if short else f"The {source} text {number} has quite enough words to be kept"
            rows.append(json.dumps({"text": f"{words}, it ends here.", "url": f"http://{source}.org/{i}"}))
        (folder / f"{source}.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "run.yaml").write_text(CONFIG.format(folder=folder))
    return folder


def command(folder: Path, out: Path, *overrides: str, workers: int = 2) -> list[str | Path]:
    options: list[str | Path] = [word for override in overrides for word in ("--set", override)]
    return ["curate", folder / "run.yaml", "--out", out, "--workers", str(workers), *options]


@pytest.fixture(scope="module")
def whole(folder: Path, gristmill: Run) -> Path:
    """The run without a limit; tests look at it and leave it as it was."""
    gristmill(*command(folder, folder / "whole"))
    return folder / "whole"


def test_it_stops_at_the_same_place_whoever_works(
    folder: Path, gristmill: Run, hashes: Hashes, whole: Path, tmp_path: Path
) -> None:
    said = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        stopped = gristmill(*command(folder, out, "steps.gopher.max_drop=0.15", workers=workers), check=3)
        said.append(stopped.stderr.replace(str(out), "RUN"))
        assert json.loads((out / "run.json").read_text())["complete"] is False
        assert not (out / "shards").exists() and not (out / "README.md").exists()
    assert said[0] == said[1]
    found = re.search(
        r"step 'gopher' lost (.*)% of source 'bad' \((.*) of (.*) documents\), max_drop allows 15.0%", said[0]
    )
    assert found
    share, lost, into = (float(number.replace(",", "")) for number in found.groups())
    assert 1000 <= into < 3000 and lost / into > 0.15 and share == round(100 * lost / into, 1)
    receipts = [path.name for path in (tmp_path / "1" / "receipts").glob("read-bad-*")]
    read = [json.loads((tmp_path / "1" / "receipts" / name).read_text())["counts"]["read"] for name in receipts]
    assert sum(read) >= into and len(receipts) < len(list((whole / "receipts").glob("read-bad-*")))
    gristmill(*command(folder, tmp_path / "2", "steps.gopher.max_drop=0.9"))
    assert hashes(tmp_path / "2") == hashes(whole)


def test_it_shows_what_was_lost(folder: Path, gristmill: Run, tmp_path: Path) -> None:
    stopped = gristmill(*command(folder, tmp_path / "run", "steps.gopher.max_drop={bad: 0.15}"), check=3)
    lines = stopped.stderr[stopped.stderr.index("--set steps.gopher.max_drop") :].splitlines()
    samples = lines[1:-1]
    assert len(samples) == 6
    for head, text in zip(samples[::2], samples[1::2], strict=True):
        assert re.fullmatch(r"  [0-9a-f]{24}  gopher\.words = 5, kept are 8:  http://bad\.org/\d+", head)
        assert text == r"    Too \x1b[31mshort, it ends here."
    look = re.search(r"; see gristmill (inspect .* --reason gopher);", lines[-1])
    assert look
    inspected = gristmill(*look[1].split(), "-n", "1", "--json")
    assert json.loads(inspected.stdout)[0]["reason"] == "gopher.words"
    assert "not finished" in gristmill("stats", tmp_path / "run").stdout


@pytest.mark.ray
def test_ray_stops_at_the_same_place(folder: Path, ray_session: str, gristmill: Run, tmp_path: Path) -> None:
    limit = "steps.gopher.max_drop=0.15"
    settings = config.load(ConfigFile.read(folder / "run.yaml", [limit]))
    with pytest.raises(run.GuardError) as caught:
        run.curate(settings, tmp_path / "ray", lambda: make_engine("ray", 2), run.Progress())
    local = gristmill(*command(folder, tmp_path / "local", limit), check=3).stderr
    assert str(caught.value).replace(str(tmp_path / "ray"), "RUN") in local.replace(str(tmp_path / "local"), "RUN")


def test_a_limit_redoes_nothing_and_is_held_on_a_finished_run(folder: Path, gristmill: Run, whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (whole / "receipts").iterdir()}
    stopped = gristmill(*command(folder, whole, "steps.gopher.max_drop=0.15"), check=3)
    assert "source 'bad'" in stopped.stderr and json.loads((whole / "run.json").read_text())["complete"] is False
    gristmill(*command(folder, whole, "steps.gopher.max_drop=0.9"))
    meta = json.loads((whole / "run.json").read_text())
    assert meta["complete"] and meta["config"]["steps"]["gopher"]["max_drop"] == {"good": 0.9, "bad": 0.9}
    gristmill(*command(folder, whole))
    assert {path: path.stat().st_mtime_ns for path in (whole / "receipts").iterdir()} == before


def test_deduplication_is_watched_too(folder: Path, gristmill: Run, whole: Path) -> None:
    stopped = gristmill(*command(folder, whole, "steps.exact.max_drop={good: 0.1}"), check=3)
    lost = sum(i % 12 != 0 and (i - 2500) % 12 != 0 for i in range(2500, 3000))  # the numbers begin again there
    assert f"'exact' lost {lost / 2750:.1%} of source 'good' ({lost} of 2,750 documents)" in stopped.stderr
    assert re.search(r"  [0-9a-f]{24}  dedup\.exact  http://good\.org/\d+\n    The good text ", stopped.stderr)
    gristmill(*command(folder, whole))


def test_with_everything_measured_a_document_is_lost_once(folder: Path, gristmill: Run, tmp_path: Path) -> None:
    """What `gopher` dropped goes on to be measured by `again`, and is none of its losses."""
    text = CONFIG.replace(
        "  exact:", "  again: {{use: gopher, max_drop: 0.0, keep: {{words: [8, null], alpha_words: null}}}}\n  exact:"
    )
    text = text.replace(
        "words: [8, null], alpha_words: null}}}}",
        "words: [8, null], alpha_words: null, stop_words: null, mean_word_length: null}}}}",
    )
    (tmp_path / "run.yaml").write_text(text.format(folder=folder))
    gristmill(*command(tmp_path, tmp_path / "run", "measure=all"))
    again = [
        entry
        for path in (tmp_path / "run/receipts").glob("read-*")
        for entry in json.loads(path.read_text())["steps"]
        if entry["name"] == "again"
    ]
    assert sum(entry["in"] for entry in again) == sum(entry["out"] for entry in again) == 6000 - 250 - 150 - 750


def test_what_waits_to_be_measured_is_shown_too(small_corpus: Path, gristmill: Run, tmp_path: Path) -> None:
    """With `measure: all`, pages that were dropped on a quick reading are not among the dropped texts yet."""
    (tmp_path / "run.yaml").write_text(
        f"sources: {{web: {{use: warc, paths: [{small_corpus}/web.warc.gz]}}}}\n"
        "measure: all\n"
        "steps:\n"
        "  quick: {use: extract, engine: resiliparse, main_content: false}\n"
        "  gopher: {max_drop: 0.1, keep: {words: [1000, null]}}\n"
        "  extract: {engine: resiliparse}\n"
        "  fineweb: {}\n"
    )
    stopped = gristmill(*command(tmp_path, tmp_path / "run"), check=3).stderr
    assert "step 'gopher' lost" in stopped
    assert len(re.findall(r"^  [0-9a-f]{24}  gopher\.\w+ = .*, kept are .*\n    \S", stopped, re.MULTILINE)) == 3
    assert stopped.endswith("what is done stays; with a higher max_drop the same command goes on\n")
