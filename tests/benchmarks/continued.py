"""Continued pretraining of a real model: what it learns of a new language and what it forgets, with replay and without.

SmolLM2-135M-Instruct, which was trained on English, reads German: the Debian Administrator's Handbook, which Gristmill
curates from a web archive in 26 languages. The replay is English of Wikipedia; held-out documents of both, and English
sentences of news and web pages that neither run ever reads, are measured at step 0 and at the end. Both runs make as
many steps of as many tokens by configs/train/continue.yaml; the one difference is `continuing.replay`. They stop at no
limit, for what would have happened is what is to be seen.

The opponent is the run without replay. On two cores the whole takes about a quarter of an hour.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import base_model
import harness

TOKENS = 256
WIKIPEDIA, HANDBOOK = "READY-jsonl/wikipedia_en_dump_excerpt.jsonl.gz", "A-warc-debian-handbook"
NEWS = "C-lingua-testdata/sentences/en.txt"


def gristmill(*arguments: str) -> str:
    """What a command of this checkout prints; its errors and its progress are shown."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=harness.ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def curated(folder: Path) -> Path:
    """A curated run with the sources `german` (the handbook), `english` (Wikipedia) and `news` (single sentences)."""
    handbook, wikipedia, news = (harness.test_data(name) for name in (HANDBOOK, WIKIPEDIA, NEWS))
    if handbook is None or wikipedia is None or news is None:
        raise SystemExit("GRISTMILL_TEST_DATA is not set, or lacks the texts of this benchmark")
    sentences = [json.dumps({"text": line}) for line in news.read_text(encoding="utf-8").splitlines() if line]
    (folder / "news.jsonl").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    config = folder / "curate.yaml"
    settings = {
        "sources": {
            "german": {"use": "warc", "paths": [str(handbook)]},
            "english": {"use": "jsonl", "paths": [str(wikipedia)]},
            "news": {"use": "jsonl", "paths": [str(folder / "news.jsonl")]},
        },
        "languages": ["de"],
        "steps": {
            "extract": {"sources": ["german"]},
            "normalize": {},
            "language": {"sources": ["german"], "keep": {"score": [0.65, None]}},
            "minhash": {"bands": 14, "rows": 8, "shingle": 5},
        },
    }
    config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    gristmill("curate", str(config), "--out", str(folder / "curated"))
    return folder / "curated"


def trained(out: Path, data: Path, settings: list[str]) -> list[dict[str, Any]]:
    """The evaluations of a run by the recipe with these settings."""
    asked = [
        f"data={data}",
        f"model.init_from={base_model.folder()}",
        "phases=[{weights: {german: 1}}]",
        f"context={TOKENS}",
        "evaluation={holdout: 0.1, tokens: 2048}",
        "checkpoint={}",
        *settings,
    ]
    overrides = [part for setting in asked for part in ("--set", setting)]
    printed = gristmill(
        "train", str(harness.ROOT / "configs/train/continue.yaml"), "--out", str(out), "--json", *overrides
    )
    return list(json.loads(printed)["evaluations"])


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--sequences", type=int, default=1, help=f"of {TOKENS} tokens, in a step")
    parser.add_argument("--lr", type=float, default=2e-4)
    options = parser.parse_args()
    steps = 10 if options.quick else options.steps
    common = [f"steps={steps}", f"batch={{sequences: {options.sequences}}}", f"optimizer.lr={options.lr}"]
    sides = {
        "25 % replay": [*common, "continuing={replay: {sources: [english], share: 0.25}}"],
        "no replay": [*common, "continuing=null"],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = curated(folder)
        evaluations = {side: trained(folder / side, data, settings) for side, settings in sides.items()}
    print(f"held-out loss, {steps} steps of {options.sequences} x {TOKENS} tokens, peak rate {options.lr:g}")
    print(f"{'source':<12}{'step 0':>9}" + "".join(f"{side:>14}{'change':>9}" for side in sides))
    rows = []
    first = evaluations["no replay"][0]["loss"]
    for source, before in first.items():
        ends = {side: found[-1]["loss"][source] for side, found in evaluations.items()}
        print(
            f"{source:<12}{before:>9.4f}"
            + "".join(f"{loss:>14.4f}{loss / before - 1:>+9.2%}" for loss in ends.values())
        )
        rows.append({"source": source, "step 0": before, **ends})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
