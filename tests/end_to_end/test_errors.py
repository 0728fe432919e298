"""What is wrong with a config is said before any work: file, line, nearest valid choice, exit code 2."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

GOOD = """sources:
  web:
    paths: [{folder}/web.warc.gz]
steps:
  gopher:
    keep: {{words: [50, null]}}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps:", "stepps:", "run.yaml:4:1: unknown key 'stepps'; did you mean 'steps'?"),
        (
            "web.warc.gz",
            "wep.warc.gz",
            "run.yaml:3:13: source 'web': no file {folder}/wep.warc.gz; did you mean 'web.warc.gz'?",
        ),
        ("gopher:", "gofer:", "run.yaml:5:3: unknown step 'gofer'; did you mean 'gopher'?"),
        ("words:", "word:", "unknown signal 'word' in keep; did you mean 'words'?"),
        ("[50, null]", "[50, 20]", "keep.words: the lower end 50.0 is above the upper end 20.0"),
        ("paths:", "pahts:", "run.yaml:2:3: source 'web' needs paths"),
        (
            "    keep:",
            "    sources: [wep]\n    keep:",
            "run.yaml:6:15: step 'gopher': no source 'wep'; did you mean 'web'?",
        ),
        ("  web:\n", "  web:\n    use: wark\n", "run.yaml:3:5: unknown reader 'wark'; did you mean 'warc'?"),
        ("  web:\n", "  web:\n    licence: MIT\n", "run.yaml:3:5: unknown key 'licence'; did you mean 'license'?"),
        (
            "  gopher:",
            "  extract: {engine: resiliparse, fast: true}\n  gopher:",
            "fast does nothing with engine resiliparse",
        ),
        ("sources:", "split_bytes: 3 parsecs\nsources:", "'3 parsecs' is no size"),
    ],
)
def test_config_errors(small_corpus: Path, tmp_path: Path, gristmill: Run, old: str, new: str, message: str) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(GOOD.format(folder=small_corpus).replace(old, new, 1))
    done = gristmill("curate", config, "--out", tmp_path / "run", check=2)
    assert message.format(folder=small_corpus) in done.stderr
    assert not (tmp_path / "run").exists()


def test_all_at_once(small_corpus: Path, tmp_path: Path, gristmill: Run) -> None:
    config = tmp_path / "run.yaml"
    text = GOOD.format(folder=small_corpus).replace("gopher:", "gofer:").replace("paths:", "pahts:")
    config.write_text(text + "langs: [en]\n")
    done = gristmill("plan", config, "--out", tmp_path / "run", check=2)
    assert [line.rpartition("run.yaml:")[2].split(":")[0] for line in done.stderr.splitlines()] == ["2", "5", "7"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("phases=[{weights: {wep: 1}}]", "did you mean 'web'?"),
        ("fim={cod: {rate: 0.5}}", "did you mean 'code'?"),
        ("max_epochs=0.01", "max_epochs"),
        ("optimizer.lrr=1", "unknown key 'lrr'; did you mean 'lr'?"),
        ("data=nowhere", "nowhere"),
        ("model.heads=5", "must be a multiple of"),
    ],
)
def test_training_errors(
    finished: Path, recipes: Path, tmp_path: Path, gristmill: Run, override: str, message: str
) -> None:
    config = recipes.parent / "train" / "tiny.yaml"
    overrides = ["--set", f"data={finished}", "--set", override]
    done = gristmill("train", config, "--out", tmp_path / "model", *overrides, check=2)
    assert all(message in line for line in done.stderr.splitlines()), done.stderr
    assert not list((tmp_path / "model").glob("checkpoints/*"))


def test_a_training_error_in_the_file_names_its_line(
    finished: Path, recipes: Path, tmp_path: Path, gristmill: Run
) -> None:
    config = tmp_path / "train.yaml"
    text = (recipes.parent / "train" / "tiny.yaml").read_text().replace("weights: auto", "weights: {wep: 1.0}")
    config.write_text(text)
    line = next(i for i, words in enumerate(text.splitlines(), 1) if "wep" in words)
    done = gristmill("train", config, "--out", tmp_path / "model", "--set", f"data={finished}", check=2)
    assert f"train.yaml:{line}:" in done.stderr and "did you mean 'web'?" in done.stderr
