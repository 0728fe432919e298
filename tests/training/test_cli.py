"""The commands of training as a user meets them: what they print, and their exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from training import cli

RECIPE = """
data: runs/none
steps: 4
context: 64
batch: {sequences: 4, micro: 2}
tokenizer: {vocab_size: 512}
fim: {code: {rate: 0.7}}
model: {layers: 1, width: 32, heads: 4, kv_heads: 2, hidden: 64}
evaluation: {holdout: 0.1, tokens: 512}
device: cpu
"""


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    app = typer.Typer()
    cli.register(app)
    return app


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def run(app: typer.Typer, recipe: Path, curated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, trained by the command."""
    out = tmp_path_factory.mktemp("trained") / "run"
    result = CliRunner().invoke(app, ["train", str(recipe), "--out", str(out), "--set", f"data={curated}", "--json"])
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert (answer["step"], answer["steps"], answer["interrupted"]) == (4, 4, False)
    assert [row["step"] for row in answer["evaluations"]] == [0, 4]
    return out


def test_metrics_have_what_others_rely_on(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all({"step", "tokens", "loss", "loss_by_source", "lr"} <= row.keys() for row in rows)


def test_train_again_has_nothing_to_do_and_prints_a_table(
    app: typer.Typer, recipe: Path, curated: Path, run: Path
) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    result = CliRunner().invoke(app, ["train", str(recipe), "--out", str(run), "--set", f"data={curated}"])
    assert result.exit_code == 0, result.stderr
    assert "4 of 4 steps" in result.stdout and "code" in result.stdout and "prose" in result.stdout
    assert (run / "metrics.jsonl").read_bytes() == before


def test_tokenize_prints_the_sources(app: typer.Typer, recipe: Path, curated: Path, tmp_path: Path) -> None:
    arguments = ["tokenize", str(recipe), "--out", str(tmp_path / "run"), "--set", f"data={curated}"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["vocabulary"] == 512
    assert set(answer["sources"]) == {"code", "prose"} and answer["sources"]["code"]["documents"] > 40
    assert "bytes/token" in CliRunner().invoke(app, arguments).stdout


def test_trace_names_documents_and_steps(app: typer.Typer, run: Path) -> None:
    result = CliRunner().invoke(app, ["trace", str(run), "--step", "2", "--json"])
    pieces = json.loads(result.stdout)
    assert {piece["row"] for piece in pieces} == {0, 1, 2, 3}
    assert all(piece["step"] == 2 and piece["origin"].startswith(f"{piece['source']}.jsonl#") for piece in pieces)
    found = CliRunner().invoke(app, ["trace", str(run), "--doc", pieces[0]["id"]])
    assert "step 2, row 0" in found.stdout
    assert pieces[0]["id"] in CliRunner().invoke(app, ["trace", str(run), "--step", "2"]).stdout


def test_trace_writes_the_ledger(app: typer.Typer, run: Path, tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["trace", str(run), "--steps", ":", "--json"])
    rows = [json.loads(line) for line in printed.stdout.splitlines()]
    assert {row["step"] for row in rows} == {1, 2, 3, 4} and not any(row["skipped"] for row in rows)
    written = CliRunner().invoke(app, ["trace", str(run), "--steps", "1:4", "--ledger", str(tmp_path / "l.parquet")])
    assert written.exit_code == 0 and f"{len(rows):,} rows in" in written.stderr and written.stdout == ""
    assert pq.read_table(tmp_path / "l.parquet").to_pylist() == rows
    pieces = json.loads(CliRunner().invoke(app, ["trace", str(run), "--step", "2", "--json"]).stdout)
    assert [piece["id"] for piece in pieces] == [row["id"] for row in rows if row["step"] == 2]


def test_generate_goes_on_and_fills_in(app: typer.Typer, run: Path) -> None:
    one = CliRunner().invoke(app, ["generate", str(run), "--prompt", "import ", "--tokens", "8", "--json"])
    assert one.exit_code == 0, one.stderr
    assert json.loads(one.stdout).keys() == {"text", "tokens", "ended"}
    arguments = ["--prefix", "def f(a):\n", "--suffix", "    return a\n", "--tokens", "8"]
    filled = CliRunner().invoke(app, ["generate", str(run), *arguments])
    assert filled.exit_code == 0, filled.stderr
    prompt = "def f(a):\n<FILL>    return a\n"
    same = CliRunner().invoke(app, ["generate", str(run), "--prompt", prompt, "--tokens", "8"])
    assert same.stdout == filled.stdout
    drawn = ["generate", str(run), "--prompt", "a", "--temperature", "1", "--top-p", "0.9", "--seed", "3"]
    assert CliRunner().invoke(app, drawn).stdout == CliRunner().invoke(app, drawn).stdout


def test_export_writes_a_folder_once(app: typer.Typer, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    result = CliRunner().invoke(app, ["export", str(run), str(out)])
    assert result.exit_code == 0, result.stderr
    expected = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in out.iterdir()} == expected
    again = CliRunner().invoke(app, ["export", str(run), str(out)])
    assert again.exit_code == 1 and "not empty" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["train", "{recipe}", "--out", "{tmp}/x", "--set", "optimiser.lr=1"], 2, "did you mean 'optimizer'?"),
        (["train", "{recipe}", "--out", "{tmp}/x"], 2, "small.yaml:2:"),
        (["train", "{tmp}/none.yaml", "--out", "{tmp}/x"], 2, "none.yaml"),
        (["train", "{recipe}", "--out", "{run}", "--set", "data={data}", "--set", "seed=2"], 2, "--resume-anyway"),
        (["tokenize", "{recipe}", "--out", "{tmp}/x"], 2, "small.yaml:2:"),
        (["trace", "{run}"], 2, "--step, --doc or --steps"),
        (["trace", "{run}", "--step", "1", "--steps", ":"], 2, "one of them"),
        (["trace", "{run}", "--steps", ":"], 2, "--ledger FILE or --json"),
        (["trace", "{run}", "--step", "1", "--ledger", "{tmp}/l"], 2, "--ledger FILE or --json"),
        (["trace", "{run}", "--steps", "3:9", "--json"], 2, "steps 1 to 4"),
        (["trace", "{run}", "--step", "5"], 2, "steps 1 to 4"),
        (["trace", "{run}", "--doc", "nobody"], 2, "nobody"),
        (["trace", "{tmp}", "--step", "1"], 2, "run.json"),
        (["generate", "{run}"], 2, "--prompt"),
        (["generate", "{run}", "--prompt", ""], 2, "tokens"),
        (["generate", "{run}", "--prompt", "a", "--prefix", "b"], 2, "--prompt"),
        (["generate", "{tmp}", "--prompt", "a"], 1, "no checkpoint"),
        (["export", "{tmp}", "{tmp}/y"], 1, "no checkpoint"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_errors_name_their_cause_and_exit_code(
    app: typer.Typer, recipe: Path, curated: Path, run: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    filled = [part.format(recipe=recipe, data=curated, run=run, tmp=tmp_path) for part in arguments]
    result = CliRunner().invoke(app, filled, env={"COLUMNS": "400", "TERM": "dumb"})
    assert result.exit_code == code, result.output
    assert said in result.stderr and not result.stdout


def test_help_needs_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys, typer; from training.cli import register; app = typer.Typer(); register(app)\n"
        "try: app(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'safetensors', 'tokenizers', 'polars', 'numba'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
