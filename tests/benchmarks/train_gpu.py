"""Training on one GPU: tokens a second and utilisation of the whole product, beside two other ways to train the same.

Needs a machine with torch and a GPU; transformers too, for one of the sides. Models of 124 million, 350 million and a
billion parameters in bfloat16 at 2048 tokens, vocabulary 50,304, tied, over documents of 20 to 20,000 words that are
made up here (their lengths are log-normal with a median of 400, as those of web pages are). Prints one table:

- gristmill: `gristmill train` as it is: order, packing, document masks, guard, journal, float32 masters; `float8` the
  same with products in 8 bits. Tokens/s is the median of its own journal behind the first steps.
- transformers: `LlamaForCausalLM` compiled, bfloat16 weights, fused AdamW, batches that lie ready on the GPU, no
  document masks, no float32 masters: less work than ours does.
- plain torch: a Llama of torch's own modules, model and loss compiled as one, under autocast with float32 weights.

MFU is by the two definitions of training/speed.py, of the datasheet's peak, and PaLM's of the peak that a large product
reaches here. Behind the table: where the time of our step goes, kernel by kernel (`torch.profiler`, the loop left out).
`--device cpu --quick` runs all of it on tiny shapes, to test the script.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

# layers, width, heads, hidden, rows of a step, rows at once
SIZES = {
    "124M": (12, 768, 12, 2048, 64, 32),
    "350M": (24, 1024, 16, 2752, 32, 16),
    "1B": (18, 2048, 16, 5632, 16, 8),
}
TINY = {"tiny": (2, 64, 4, 128, 4, 2)}
VOCABULARY, CONTEXT, WARM = 50_304, 2048, 5
RATE, BETAS, DECAY, CLIP = 3e-4, (0.9, 0.95), 0.1, 1.0


def corpus(folder: Path, words: int, quick: bool) -> None:
    """A curated run of made-up documents."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.schema import SHARD

    draw = np.random.default_rng(0)
    letters = list("etaoinshrdlucmfwypvbgkjqxz")
    vocabulary = ["".join(draw.choice(letters, size)) for size in draw.integers(2, 12, 500 if quick else 80_000)]
    counts = np.clip(draw.lognormal(np.log(400), 1.1, max(words // 700, 40)), 20, 20_000).astype(int)
    # ranks like those of natural words: the n-th is as frequent as 1 / n
    texts = [" ".join(vocabulary[int(rank)] for rank in len(vocabulary) ** draw.random(int(n)) - 1) for n in counts]
    place = folder / "data" / "shards" / "made"
    place.mkdir(parents=True)
    rows = [
        {**dict.fromkeys(SHARD.names), "id": f"made-{i}", "text": text, "source": "made", "origin": "x#0"}
        for i, text in enumerate(texts)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SHARD), place / "part-00000.parquet")


def gristmill(options: dict[str, Any], float8: bool) -> dict[str, float]:
    """The product; its numbers are those of its journal and of run.json."""
    import torch

    from pipeline.configfile import ConfigFile
    from training.loop import train

    layers, width, heads, hidden, rows, at_once = options["shape"]
    out = Path(options["folder"]) / f"run-{options['size']}-{float8}"
    (out).mkdir()
    for name in ("tokens", "tokenizer.json"):
        if (Path(options["folder"]) / "tokens" / name).exists():
            (out / name).symlink_to(Path(options["folder"]) / "tokens" / name)
    config = {
        **settings(options),
        "steps": WARM + options["steps"],
        "batch": {"sequences": rows, "micro": at_once},
        "model": {"layers": layers, "width": width, "heads": heads, "kv_heads": heads, "hidden": hidden},
        "optimizer": {"lr": RATE, "betas": list(BETAS), "weight_decay": DECAY, "clip": CLIP},
        "float8": float8,
    }
    path = Path(options["folder"]) / "run.json"
    path.write_text(json.dumps(config))
    train(ConfigFile.read(path, []), out)
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    speed = json.loads((out / "run.json").read_text())["speed"]
    palm, causal = (next(iter(counted.values())) for counted in speed["flops_per_token"].values())
    timed = steps[WARM:]
    return {
        "tokens_per_second": statistics.median(step["tokens_per_second"] for step in timed),
        "waited": sum(step["waited"] for step in timed) / (timed[-1]["seconds"] - steps[WARM - 1]["seconds"]),
        "first": steps[WARM - 1]["seconds"],
        "memory": peak(torch),
        "palm": palm,
        "causal": causal,
        "peak": speed["peak"] or 0.0,
        "measured_peak": speed["measured_peak"] or 0.0,
        "loss": steps[-1]["loss"],
    }


def settings(options: dict[str, Any]) -> dict[str, Any]:
    """What all our runs have in common."""
    return {
        "data": str(Path(options["folder"]) / "data"),
        "steps": 1,
        "context": options["context"],
        "tokenizer": {"vocab_size": options["vocabulary"]},
        "max_epochs": 10_000,
        "evaluation": {"holdout": 0.05, "tokens": options["context"] * 4},
        "device": options["device"],
        "meter": {"measure": True},
    }


def peak(torch: Any) -> float:
    """Peak memory in GiB, of the GPU if there is one."""
    import resource

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(options: dict[str, Any], step: Callable[[int], Any]) -> dict[str, float]:
    """Tokens a second of a step that is called with its number, behind the first ones."""
    import torch

    wait = torch.cuda.synchronize if options["device"].startswith("cuda") else lambda: None
    begun = time.perf_counter()
    for number in range(WARM):
        step(number)
    wait()
    warm = time.perf_counter()
    for number in range(options["steps"]):
        loss = step(WARM + number)
    wait()
    took = time.perf_counter() - warm
    tokens = options["steps"] * options["shape"][4] * options["context"]
    return {
        "tokens_per_second": tokens / took,
        "first": warm - begun,
        "memory": peak(torch),
        "loss": float(loss),
    }


def ready(options: dict[str, Any]) -> tuple[Any, Any]:
    """Inputs and targets of one step on the device: (rows, context) of random tokens."""
    import torch

    rows, context = options["shape"][4], options["context"]
    tokens = torch.randint(0, options["vocabulary"], (rows, context + 1), device=options["device"])
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def transformers(options: dict[str, Any]) -> dict[str, float]:
    """A compiled model of transformers in a loop of one's own."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    layers, width, heads, hidden, rows, at_once = options["shape"]
    torch.set_float32_matmul_precision("high")
    config = LlamaConfig(
        vocab_size=options["vocabulary"],
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=options["context"],
        tie_word_embeddings=True,
        use_cache=False,
    )
    model = LlamaForCausalLM(config).to(options["device"], torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=BETAS, weight_decay=DECAY, fused=True)
    compiled = torch.compile(model)
    inputs, _ = ready(options)

    def step(_: int) -> Any:
        for first in range(0, rows, at_once):
            part = inputs[first : first + at_once]
            loss = compiled(input_ids=part, labels=part).loss * (at_once / rows)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return timed(options, step)


def plain(options: dict[str, Any]) -> dict[str, float]:
    """Torch's own modules, compiled as one with the loss."""
    import torch

    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from plain_llama import PlainLlama

    layers, width, heads, hidden, rows, at_once = options["shape"]
    torch.set_float32_matmul_precision("high")
    device = options["device"]
    model = PlainLlama(layers, width, heads, hidden, options["vocabulary"], options["context"]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=BETAS, weight_decay=DECAY, fused=True)
    compiled = torch.compile(model)
    inputs, targets = ready(options)

    def step(_: int) -> Any:
        for first in range(0, rows, at_once):
            part = slice(first, first + at_once)
            with torch.autocast(device.split(":")[0], torch.bfloat16):
                loss = compiled(inputs[part], targets[part]) * (at_once / rows)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return timed(options, step)


def profile(options: dict[str, Any]) -> dict[str, float]:
    """Where our step's time goes: prints the largest kernels with their shares."""
    import numpy as np
    import torch
    from torch.profiler import ProfilerActivity

    from training.compute import Compute
    from training.config import TrainConfig
    from training.model import Decoder, Shape
    from training.optim import optimizer_of
    from training.packing import Batch

    layers, width, heads, hidden, rows, at_once = options["shape"]
    model_settings = {"layers": layers, "width": width, "heads": heads, "kv_heads": heads, "hidden": hidden}
    config = TrainConfig.model_validate({**settings(options), "model": model_settings})
    compute = Compute.of(config)
    model = Decoder.fresh(Shape.of(config.model, options["vocabulary"], options["context"]), 1).to(compute.device)
    optimizer = optimizer_of(model, config.optimizer, master=compute.dtype == torch.bfloat16)
    trunk = compute.trunk(model)
    inputs, targets = (part[:at_once].cpu().numpy() for part in ready(options))
    segments = np.sort(np.random.default_rng(0).integers(0, 4, inputs.shape), axis=1).astype(np.int32)
    positions = np.broadcast_to(np.arange(inputs.shape[1]), inputs.shape).copy()
    staged = compute.staged(Batch(inputs, targets, segments, positions, np.zeros(at_once, np.int64)))

    def step() -> None:
        total, _ = compute.nll(model, trunk, staged, slice(None))
        (total / targets.size).backward()
        torch.nn.utils.clip_grad_norm_(list(optimizer.learned.values()), CLIP)
        optimizer.step()
        optimizer.zero_grad()

    gpu = compute.device.type == "cuda"
    for _ in range(WARM):
        step()
    with torch.profiler.profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as taken:
        for _ in range(3):
            step()
        if gpu:
            torch.cuda.synchronize()
    name = "self_device_time_total" if gpu else "self_cpu_time_total"
    found = sorted(taken.key_averages(), key=lambda event: -getattr(event, name))
    whole = sum(getattr(event, name) for event in found) or 1
    print(f"\n{options['size']}: what {at_once} rows and the optimizer's step take")
    for event in found[:20]:
        print(f"{getattr(event, name) / whole:>7.1%} {event.count / 3:>7.0f} x  {event.key[:100]}")
    return {}


SIDES: dict[str, Callable[[dict[str, Any]], dict[str, float]]] = {
    "gristmill": lambda options: gristmill(options, False),
    "gristmill, float8": lambda options: gristmill(options, True),
    "transformers, compiled": transformers,
    "plain torch, compiled": plain,
    "profile": profile,
}


def table(found: dict[tuple[str, str], dict[str, float]]) -> None:
    """One line a model and side."""
    heads = ("model", "side", "tokens/s", "MFU PaLM", "MFU causal", "of measured", "GiB", "first s", "waited", "loss")
    lines = [heads]
    for (size, side), row in found.items():
        ours = found.get((size, "gristmill"), {})

        def share(operations: str, of: str, row: dict[str, float] = row, ours: dict[str, float] = ours) -> str:
            if not ours.get(of):
                return "-"
            return f"{row['tokens_per_second'] * ours[operations] / ours[of]:.1%}"

        lines.append(
            (
                size,
                side,
                f"{row['tokens_per_second']:,.0f}",
                share("palm", "peak"),
                share("causal", "peak"),
                share("palm", "measured_peak"),
                f"{row['memory']:.2f}",
                f"{row['first']:.1f}",
                f"{row['waited']:.1%}" if "waited" in row else "-",
                f"{row['loss']:.3f}",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=20, help="that are timed")
    parser.add_argument("--size", action="append", choices=SIZES, help="only this one; may be given again")
    parser.add_argument("--side", nargs=2, metavar=("NAME", "OPTIONS"), help="used internally")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side[0]](json.loads(options.side[1]))))
        return
    import torch

    gpu = options.device.startswith("cuda")
    if gpu and not torch.cuda.is_available():
        print("no GPU here; `--device cpu --quick` tests this script", file=sys.stderr)
        return
    sizes = TINY if options.quick and not gpu else {name: SIZES[name] for name in options.size or SIZES}
    small = options.quick and not gpu
    context, vocabulary = (64, 512) if small else (CONTEXT, VOCABULARY)
    steps = 3 if options.quick else options.steps
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if gpu else 'CPU'}")
    found: dict[tuple[str, str], dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        corpus(folder, 20_000 if small else 4_000_000, small)
        common = {"folder": place, "context": context, "vocabulary": vocabulary, "device": options.device}
        prepared(common)
        for size, shape in sizes.items():
            for side in SIDES:
                if side == "gristmill, float8" and (not gpu or size != "1B"):
                    continue
                given = json.dumps({**common, "size": size, "shape": shape, "steps": steps})
                command = [sys.executable, os.path.abspath(__file__), "--side", side, given]
                environment = {**os.environ, "PYTHONPATH": str(harness.ROOT), "TOKENIZERS_PARALLELISM": "false"}
                done = subprocess.run(command, env=environment, capture_output=True, text=True)
                if done.returncode:
                    print(f"{size} {side} failed: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    continue
                *said, answer = done.stdout.strip().splitlines()
                if side == "profile":
                    print("\n".join(said))
                else:
                    found[size, side] = json.loads(answer)
    print()
    table(found)
    if options.json:
        rows = [{"model": size, "side": side, **row} for (size, side), row in found.items()]
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def prepared(common: dict[str, Any]) -> None:
    """Tokenize once for all of our runs."""
    from training.config import TrainConfig
    from training.store.tokens import prepare

    config = TrainConfig.model_validate(settings(common))
    (Path(common["folder"]) / "tokens").mkdir()
    prepare(config, Path(common["folder"]) / "tokens")


if __name__ == "__main__":
    main()
