"""Fill-in-the-middle: what it costs a model in reading order, and what it gains between two texts.

Two models of 5 million parameters (preset 5M, vocabulary 8,192) read the test data's code, which is under the MIT
licence: three quarters of the tokens are Python, the rest Go, Java, JavaScript and Rust by their sizes. Seed, steps,
data, tokenizer (with sentinels) and recipe are the same. The one difference is that one model reads half of all
documents rearranged, half of these prefix-suffix-middle and half suffix-prefix-middle. HumanEval is kept out of the
data by the step `decontaminate`; bodies of its functions that stand in the code verbatim are printed. README.md has
what was found.

Measured are the loss of held-out documents in reading order, and the single lines of HumanEval-Infilling (Bavarian et
al. 2022): bits for each byte of the line that is gone, and how often greedy decoding writes it, which is when each of
its tokens is the likeliest. What a model is shown before it writes:

- `prefix`: what stands before the hole, which is all that a plain model can use in its own order;
- `suffix, prefix`: what stands behind the hole and then what stands before it, as running text: a plain model can take
  names and habits from there;
- `PSM`, `SPM`: both, with sentinels, in the orders that the other model has learned.

The last token of a line counts with all tokens that begin as it does, because text that goes on behind the line may
share its token; so no side pays for where the line ends. Intervals are bootstrapped over the functions, since lines of
one function are alike.
"""

import gzip
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import continued
import harness
import numpy as np
import torch

from training.generate import load
from training.model import document_mask

CODE, FUNCTIONS = "READY-jsonl/code_thealgorithms_mit.jsonl.gz", "E-humaneval/HumanEval.jsonl.gz"
LINES = "E-humaneval-infilling/HumanEval-SingleLineInfilling.jsonl.gz"
CONTEXT, ROWS, VOCABULARY = 512, 4, 8192
OTHERS = ["go", "java", "javascript", "rust"]
LANGUAGES = [*OTHERS, "python"]
PLAIN, INFILLING = "no FIM", "FIM 0.5"
SHOWN = {PLAIN: ("prefix", "suffix, prefix"), INFILLING: ("prefix", "PSM", "SPM")}


def rows(name: str) -> list[dict[str, Any]]:
    path = harness.test_data(name)
    if path is None:
        raise SystemExit(f"GRISTMILL_TEST_DATA is not set, or lacks {name}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def curated(folder: Path) -> Path:
    """A curated run with a source for each language."""
    code = rows(CODE)
    for language in LANGUAGES:
        texts = [json.dumps({"id": row["id"], "text": row["text"]}) for row in code if row["lang"] == language]
        (folder / f"{language}.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")
    bodies = [row["canonical_solution"].strip() for row in rows(FUNCTIONS)]
    found = sorted({body for body in bodies if any(body in row["text"] for row in code)})
    print(f"of {len(bodies)} bodies of HumanEval's functions, {len(found)} are in the code verbatim: {found}")
    settings = {
        "sources": {name: {"use": "jsonl", "paths": [str(folder / f"{name}.jsonl")]} for name in LANGUAGES},
        "steps": {
            "decontaminate": {
                "sets": {
                    "humaneval": {
                        "paths": str(harness.test_data(FUNCTIONS)),
                        "question": "prompt",
                        "answer": "canonical_solution",
                    }
                }
            },
            "minhash": {"preset": "fineweb"},
        },
    }
    (folder / "curate.yaml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    continued.gristmill("curate", str(folder / "curate.yaml"), "--out", str(folder / "curated"))
    return folder / "curated"


def trained(out: Path, data: Path, rate: float, options: Any) -> dict[str, Any]:
    """The last evaluation of a run; a rate of 0 leaves documents as they are."""
    settings = {
        "data": str(data),
        "seed": options.seed,
        "steps": options.steps,
        "context": CONTEXT,
        "batch": {"sequences": ROWS},
        "tokenizer": {"vocab_size": VOCABULARY},
        "phases": [{"weights": {"python": options.python, "others": {"weight": 1 - options.python, "of": OTHERS}}}],
        "fim": {name: {"rate": rate, "cuts": options.cuts} for name in LANGUAGES},
        "model": {"preset": "5M"},
        "optimizer": {"use": "muon", "lr": options.lr, "weight_decay": 0.1},
        "schedule": {"warmup": 0.05, "decay": 0.3, "shape": "sqrt"},
        "evaluation": {"holdout": 0.05},
        "guard": {"window": None},  # a table of numbers fills many steps of so few sequences
        "device": "cpu",
        "dtype": "bfloat16",
        "threads": options.threads,
    }
    config = out.with_name(f"{out.name}.yaml")
    config.write_text(json.dumps(settings), encoding="utf-8")
    printed = continued.gristmill("train", str(config), "--out", str(out), "--json")
    return dict(json.loads(printed)["evaluations"][-1])


@dataclass(frozen=True)
class Line:
    """What the line that is gone costs a model."""

    function: str
    bits: float
    bytes: int
    likeliest: bool
    """Whether each of its tokens is."""


class Asked:
    """A trained model that is asked for lines."""

    def __init__(self, run: Path) -> None:
        self.model, self.tokenizer = load(run)
        special = {self.tokenizer.end, self.tokenizer.prefix, self.tokenizer.middle, self.tokenizer.suffix}
        written = [self.tokenizer.inner.id_to_token(token) for token in range(self.tokenizer.vocab_size)]
        self.written = ["" if token in special else text for token, text in enumerate(written)]

    @torch.inference_mode()
    def line(self, problem: dict[str, Any], shown: str) -> Line:
        ids = self.tokenizer.encode(problem["canonical_solution"])
        prompt = self.prompt(problem["prompt"], problem["suffix"], shown, CONTEXT - len(ids))
        tokens = torch.tensor([[*prompt, *ids[:-1]]])
        hidden = self.model(tokens, torch.arange(tokens.shape[1])[None], document_mask(torch.zeros_like(tokens)))
        logits = torch.nn.functional.linear(hidden[0, -len(ids) :], self.model.output)
        logarithms = logits[:, : self.tokenizer.vocab_size].log_softmax(dim=-1)
        last = self.written[ids[-1]]
        allowed = [[token] for token in ids]
        allowed[-1] = [token for token, text in enumerate(self.written) if text.startswith(last)]
        places = list(zip(logarithms, allowed, strict=True))
        return Line(
            problem["task_id"].rsplit("/", 1)[0],
            -sum(float(row[right].logsumexp(0)) for row, right in places) / math.log(2),
            len(problem["canonical_solution"].encode()),
            all(int(row.argmax()) in right for row, right in places),
        )

    def prompt(self, prefix: str, suffix: str, shown: str, room: int) -> list[int]:
        """What the model reads first: at most `room` tokens, for which the prefix loses its beginning."""
        special = self.tokenizer
        before, behind = special.encode(prefix), special.encode(suffix)
        head, tail = {
            "prefix": ([], []),
            "suffix, prefix": (behind, []),
            "PSM": ([special.prefix], [special.suffix, *behind, special.middle]),
            "SPM": ([special.prefix, special.suffix, *behind, special.middle], []),
        }[shown]
        return [*head, *before[-(room - len(head) - len(tail)) :], *tail]


def estimate(lines: Sequence[Line], others: Sequence[Line] | None = None) -> dict[str, tuple[float, float, float]]:
    """Bits per byte and share of exact lines with their 95 % intervals, or by how much they are above the others'."""
    names = {name: number for number, name in enumerate(sorted({line.function for line in lines}))}
    drawn = np.random.default_rng(1).integers(len(names), size=(10_000, len(names)))

    def measured(side: Sequence[Line]) -> Any:
        """(1 + draws, 2): both measures of all functions, and of each draw of functions."""
        table = np.zeros((len(names), 4))
        for line in side:
            table[names[line.function]] += (line.bits, line.bytes, line.likeliest, 1)
        sums = np.concatenate([table.sum(axis=0)[None], table[drawn].sum(axis=1)])
        return sums[:, (0, 2)] / sums[:, (1, 3)]

    values = measured(lines) if others is None else measured(lines) - measured(others)
    low, high = np.quantile(values[1:], (0.025, 0.975), axis=0)
    return {name: (float(values[0, n]), float(low[n]), float(high[n])) for n, name in enumerate(("bits", "exact"))}


def losses(evaluations: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Print and give the held-out losses of both models, and of all sources by their tokens."""
    tokens = evaluations[PLAIN]["tokens"]
    table = {side: dict(found["loss"]) for side, found in evaluations.items()}
    for losses in table.values():
        losses["all"] = sum(losses[name] * count for name, count in tokens.items()) / sum(tokens.values())
    print(f"\n{'held-out loss':<14}{'tokens':>9}{PLAIN:>12}{INFILLING:>12}{'change':>10}")
    found = []
    for name in table[PLAIN]:
        plain, infilling = table[PLAIN][name], table[INFILLING][name]
        count = tokens.get(name, sum(tokens.values()))
        print(f"{name:<14}{count:>9,}{plain:>12.4f}{infilling:>12.4f}{infilling / plain - 1:>+10.2%}")
        found.append({"source": name, "tokens": count, PLAIN: plain, INFILLING: infilling})
    return found


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--steps", type=int, help=f"of {ROWS} x {CONTEXT} tokens; 1000 if nothing is said")
    parser.add_argument("--python", type=float, default=0.75, help="share of the tokens that are Python")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cuts", default="characters", help="where the infilling model's texts are cut")
    parser.add_argument("--every", type=int, help="ask only for every so manieth line")
    parser.add_argument("--folder", type=Path, help="where the runs stay; one that is there is gone on with")
    options = parser.parse_args()
    options.steps = options.steps or (20 if options.quick else 1000)
    problems = rows(LINES)[:: options.every or (100 if options.quick else 1)]
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        data = curated(folder)
        rates = {INFILLING: 0.5, PLAIN: 0.0}
        evaluations = {side: trained(folder / side, data, rate, options) for side, rate in rates.items()}
        models = {side: Asked(folder / side) for side in SHOWN}
    torch.set_num_threads(options.threads)
    assert len({model.tokenizer.identity for model in models.values()}) == 1
    size = sum(weight.numel() for weight in models[PLAIN].model.parameters())
    tokens = options.steps * ROWS * CONTEXT
    print(f"{size:,} parameters, {options.steps} steps, {tokens:,} tokens, rate {options.lr:g}, seed {options.seed}")
    report: dict[str, Any] = {"loss": losses(evaluations), "lines": []}
    base: list[Line] = []
    against = f"against {PLAIN}, prefix"
    print(f"\n{f'{len(problems)} lines':<24}{'bits per byte':>24}{against:>28}{'exact lines':>26}")
    for side, orders in SHOWN.items():
        for shown in orders:
            lines = [models[side].line(problem, shown) for problem in problems]
            base = base or lines
            found, change = estimate(lines), estimate(lines, base)
            cells = [
                "{:.3f} ({:.3f} to {:.3f})".format(*found["bits"]),
                "{:+.3f} ({:+.3f} to {:+.3f})".format(*change["bits"]),
            ]
            exact = "{:.1%} ({:.1%} to {:.1%})".format(*found["exact"])
            print(f"{f'{side}, {shown}':<24}{cells[0]:>24}{cells[1]:>28}{exact:>26}", flush=True)
            report["lines"].append({"model": side, "shown": shown, **found, "change": change})
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
