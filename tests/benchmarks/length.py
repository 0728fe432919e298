"""Longer sequences at the end of a run: what a model of 512 tokens makes of 2048, by how its positions were stretched.

A small decoder reads long documents (novels, manuals, encyclopedia articles) in sequences of 512 tokens, and then goes
on, in the same run, for the last sixth of its tokens: in sequences of 2048 with YaRN, with the base of rotary positions
raised (NTK-aware, and tenfold as Xiong et al. 2023 do), with nothing changed, and still in 512. All go on from the same
step with the same documents in the same steps of as many tokens, and are measured on the same held-out windows of 2048
tokens of one document each, by the place in the window. So is the model before it went on, as it is and with YaRN
applied to it without training.

The opponents are the runs without a change of positions and without longer sequences. Beside each loss stands the
standard error of its difference to YaRN, window by window. It takes about half an hour on one core; README.md has what
was found.
"""

import gzip
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness

SHORT, LONG = 512, 2048
SEQUENCES = 8
"""Of the short ones, in a step."""
PLACES = ((0, 512), (512, 1024), (1024, 2048))
LAST = 1 / 6
"""Of the tokens, those that are read in longer sequences."""
SOURCES = {
    "books": "READY-jsonl/books_en_dev14.jsonl.gz",
    "manuals": "READY-jsonl/docs_python_rst.jsonl.gz",
    "wiki": "READY-jsonl/wikipedia_en_dump_excerpt.jsonl.gz",
}
PART, LEAST = 60_000, 12_000
"""Characters of the parts that books are cut into, so that some can be held out, and of the shortest document."""
WAYS: dict[str, dict[str, Any]] = {
    "yarn": {"context": LONG, "rope": "yarn"},
    "ntk": {"context": LONG, "rope": "ntk"},
    "theta x 10": {"context": LONG, "rope": {"theta": 100_000}},
    "nothing changed": {"context": LONG},
    "still 512": {},
}


def gristmill(*arguments: str) -> None:
    """Run a command of this checkout."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments]
    subprocess.run(command, cwd=harness.ROOT, check=True, stdout=subprocess.PIPE)


def parts(text: str) -> Iterator[str]:
    """A text in parts that end with a paragraph."""
    begin = 0
    while len(text) - begin > 2 * PART:
        end = text.rfind("\n\n", begin + PART // 2, begin + PART) + 2
        end = end if end > 1 else begin + PART
        yield text[begin:end]
        begin = end
    yield text[begin:]


def curated(folder: Path) -> Path:
    """A curated run of long documents."""
    settings: dict[str, Any] = {"sources": {}, "steps": {"normalize": {}}}
    for name, file in SOURCES.items():
        path = harness.test_data(file)
        if path is None:
            raise SystemExit("GRISTMILL_TEST_DATA is not set, or lacks the texts of this benchmark")
        with gzip.open(path, "rt", encoding="utf-8") as lines, (folder / f"{name}.jsonl").open("w") as out:
            for line in lines:
                for part in parts(json.loads(line)["text"]):
                    if len(part) >= LEAST:
                        out.write(json.dumps({"text": part}) + "\n")
        settings["sources"][name] = {"use": "jsonl", "paths": [str(folder / f"{name}.jsonl")]}
    (folder / "curate.yaml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    gristmill("curate", str(folder / "curate.yaml"), "--out", str(folder / "curated"))
    return folder / "curated"


def settings(data: Path, steps: int, rate: float, way: dict[str, Any]) -> dict[str, Any]:
    """The config of a run; the way is that of its last part."""
    return {
        "data": str(data),
        "steps": steps,
        "context": SHORT,
        "batch": {"sequences": SEQUENCES},
        "tokenizer": {"vocab_size": 4096},
        "phases": [{"share": 1 - LAST}, {"share": LAST, **way}],
        "max_epochs": 10,
        "model": {"layers": 6, "width": 192, "heads": 4, "kv_heads": 4, "hidden": 512},
        "optimizer": {"use": "muon", "lr": rate},
        "schedule": {"warmup": 0.02, "decay": 0.3},
        "evaluation": {"holdout": 0.05, "tokens": 16_384, "context": LONG},
        "device": "cpu",
        "threads": 1,
    }


def trained(folder: Path, name: str, config: dict[str, Any], *arguments: str) -> Path:
    """The folder of a run that was made, or went on, by this config."""
    (folder / f"{name}.yaml").write_text(json.dumps(config), encoding="utf-8")
    gristmill("train", str(folder / f"{name}.yaml"), "--out", str(folder / name), *arguments)
    return folder / name


def windows(run: Path, most: int) -> Any:
    """Held-out windows (N, LONG + 1) that are one document's each, as evenly from all sources as they have them."""
    import numpy as np

    from training.config import TokenizerSettings
    from training.store.tokenizer import Tokenizer
    from training.store.tokens import TokenStore

    store = TokenStore.open(run / "tokens", Tokenizer.load(run / "tokenizer.json", TokenizerSettings(vocab_size=4096)))
    found = []
    for held in store.held:
        mine = []
        for document in range(len(held)):
            ids = held.ids(document)
            mine += [ids[at : at + LONG + 1] for at in range(0, len(ids) - LONG, LONG)]
        found.append(mine[:: max(len(mine) * len(store.held) // most, 1)])
    return np.stack([window for mine in found for window in mine]).astype(np.int64)


def losses(model: Any, tokens: Any) -> Any:
    """Loss of each window in each part of it (N, places)."""
    import torch

    from training.model import document_mask

    found = []
    with torch.no_grad():
        for window in torch.from_numpy(tokens):
            inputs = window[None, :-1]
            places = torch.arange(LONG)[None]
            logits = model.logits(inputs, places, document_mask(torch.zeros_like(inputs)))[0]
            each = torch.nn.functional.cross_entropy(logits, window[1:], reduction="none")
            found.append([each[begin:end].mean().item() for begin, end in PLACES])
    return torch.tensor(found)


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--windows", type=int, default=60)
    options = parser.parse_args()
    steps, most = (24, 6) if options.quick else (options.steps, options.windows)
    import torch

    from pipeline.configfile import ConfigFile
    from training import generate, positions
    from training.config import TrainConfig

    torch.set_num_threads(1)
    boundary = round(steps * (1 - LAST))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = curated(folder)
        configs = {way: settings(data, steps, options.rate, change) for way, change in WAYS.items()}
        before = trained(folder, "before", configs["yarn"], "--stop-after", str(boundary))
        tokens = windows(before, most)
        model, _ = generate.load(before)
        found = {f"before, of {SHORT}": losses(model, tokens)}
        config = ConfigFile.read(folder / "before.yaml").load(TrainConfig)
        stretched = positions.shapes(config, positions.first_shape(config, model.shape.vocabulary))[-1]
        model.become(model.shape.at(stretched))
        found["before, with yarn untrained"] = losses(model, tokens)
        for way, config_of in configs.items():
            shutil.copytree(before, folder / way, symlinks=True)
            trained(folder, way, config_of, "--resume-anyway")
            found[way] = losses(generate.load(folder / way)[0], tokens)
            print(way, found[way].mean(0).tolist(), file=sys.stderr)
            shutil.rmtree(folder / way)
    read, after = (count * SEQUENCES * SHORT for count in (steps, steps - boundary))
    print(
        f"{model.parameter_count():,} parameters; {read:,} tokens, of them {after:,} after the change; "
        f"{len(tokens)} held-out windows of {LONG} tokens; loss in nats a token by place in the window"
    )
    print(f"{'':<30}" + "".join(f"{f'{begin}-{end - 1}':>22}" for begin, end in PLACES))
    rows = []
    for side, each in found.items():
        mean, error = each.mean(0), (each - found["yarn"]).std(0) / math.sqrt(len(each))
        shown = [f"{a:.4f} ({e:.4f})" if side != "yarn" else f"{a:.4f}" for a, e in zip(mean, error, strict=True)]
        print(f"{side:<30}" + "".join(f"{one:>22}" for one in shown))
        rows.append({"side": side, "loss": mean.tolist(), "error of the difference": error.tolist()})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
