"""Training on two cores: tokens a second of the whole product, against Hugging Face Trainer, litgpt and a bare loop.

All sides train the same model of 15 million parameters (Llama-shaped: 6 layers of 288, 6 heads, SwiGLU of 768,
vocabulary 32,000, tied), in float32, on the same sequences of 256 tokens in batches of 8, with AdamW and clipping at 1.
The sequences are those that our order makes of the test data's READY-jsonl texts (the demo's corpus otherwise); the
other sides find them ready in memory. What each side does beside the arithmetic:

- gristmill: `gristmill train` as it is: order, packing, document masks, guard, journal with losses by source,
  evaluation before and after, a checkpoint at the end. Nothing is compiled, which is its default on a CPU; `compiled`
  has `compile: block`.
- Hugging Face Trainer: its defaults for a CPU, no checkpoint; `compiled` with `torch_compile=True`.
- litgpt: `litgpt.pretrain.setup`, which compiles the model; no evaluation, the checkpoint that it always writes.
- bare loop: the training loop of nanoGPT, written here: model and loss compiled as one, fused AdamW, nothing else.

Timed are steps after the first few, which compile and warm up (rows `first steps` have those): by the wall clock,
which other work on the machine disturbs, and in CPU seconds, which it hardly does with `--threads 1` (two threads wait
for each other, and on a busy machine burn time at that); of both the median of steps. Peak
memory is of the process, all included. `overhead of the loop` is the part of our steps that is not forward, backward,
clipping and the optimizer's step, with the CPU time of the thread that makes batches, in per cent of the rest.
"""

import gzip
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness

TORCH, TRANSFORMERS = "torch==2.13.0", "transformers==5.23.0"
TRAINER = [TORCH, TRANSFORMERS, "accelerate==1.15.0", "numpy"]
LITGPT = [TORCH, "litgpt==0.5.13", "numpy"]
LAYERS, WIDTH, HEADS, HIDDEN, VOCABULARY, CONTEXT, ROWS = 6, 288, 6, 768, 32_000, 256, 8
RATE, BETAS, DECAY, CLIP = 6e-4, (0.9, 0.95), 0.1, 1.0
WARM = 3


class Clock:
    """Wall and CPU seconds at the end of each step."""

    def __init__(self) -> None:
        self.times = [(time.perf_counter(), time.process_time())]

    def tick(self) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def answer(self, **more: float) -> str:
        """A line of JSON: median wall and CPU seconds of the steps behind the first ones, and the time of those."""
        steps = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(self.times[WARM:], self.times[WARM + 1 :], strict=False)]
        found = {
            "seconds": statistics.median(wall for wall, _ in steps),
            "cpu": statistics.median(cpu for _, cpu in steps),
            "fastest": min(wall for wall, _ in steps),
            "first": self.times[WARM][0] - self.times[0][0],
            "steps": len(steps),
        }
        return json.dumps({**found, **more})


def config(data: Path, steps: int, compile_: str) -> dict[str, Any]:
    return {
        "data": str(data),
        "steps": steps,
        "context": CONTEXT,
        "batch": {"sequences": ROWS},
        "tokenizer": {"vocab_size": VOCABULARY},
        "max_epochs": 1000,
        "model": {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "kv_heads": HEADS, "hidden": HIDDEN},
        "optimizer": {"lr": RATE, "betas": list(BETAS), "weight_decay": DECAY, "clip": CLIP},
        "evaluation": {"tokens": ROWS * CONTEXT},
        "device": "cpu",
        "compile": compile_,
    }


def corpus(folder: Path) -> Path:
    """A curated run of two sources, every second text each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.schema import SHARD

    root = harness.test_data("READY-jsonl")
    files = sorted(root.glob("*.jsonl.gz")) if root else harness.demo_corpus(folder / "demo")["docs"]
    found = [text for path in files for text in _texts(path)]
    for number, source in enumerate(("even", "odd")):
        place = folder / "data" / "shards" / source
        place.mkdir(parents=True)
        rows = [
            {**dict.fromkeys(SHARD.names), "id": f"{source}-{i}", "text": text, "source": source, "origin": "x#0"}
            for i, text in enumerate(found[number::2])
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=SHARD), place / "part-00000.parquet")
    return folder / "data"


def _texts(path: Path, most: int = 3000) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for _, line in zip(range(most), lines, strict=False):
            text = json.loads(line).get("text")
            if isinstance(text, str) and text:
                yield text


def tokenized(folder: Path, steps: int) -> Path:
    """Tokenize, and write the rows of all steps for the other sides; gives the folder of tokens."""
    import numpy as np

    from pipeline.configfile import ConfigFile
    from training.config import TrainConfig
    from training.order import Order
    from training.packing import batch
    from training.store.tokens import prepare

    path = folder / "train.json"
    path.write_text(json.dumps(config(corpus(folder), steps, "auto")))
    settings = ConfigFile.read(path, []).load(TrainConfig)
    _, store = prepare(settings, folder / "tokens")
    order = Order(settings, store)
    batches = [batch(order, step) for step in range(steps)]
    np.save(folder / "inputs.npy", np.concatenate([made.inputs for made in batches]))
    np.save(folder / "targets.npy", np.concatenate([made.targets for made in batches]))
    assert max(made.inputs.max() for made in batches) < VOCABULARY
    return folder / "tokens"


def gristmill(folder: Path, out: Path, steps: int, compile_: str) -> None:
    """`gristmill train`, with a clock in the place where the terminal is told about a step."""
    import shutil

    import torch

    from pipeline.configfile import ConfigFile
    from training import loop
    from training.compute import Compute
    from training.feed import Feed
    from training.metrics import Meter
    from training.optim import Optimizer

    clock = Clock()
    inside, feeding = [0.0], [0.0]

    def timed(holder: Any, name: str, total: list[float], now: Callable[[], float]) -> None:
        plain = getattr(holder, name)

        def act(*arguments: Any, **named: Any) -> Any:
            begun = now()
            try:
                return plain(*arguments, **named)
            finally:
                total[-1] += now() - begun

        setattr(holder, name, act)

    for holder, name in (
        (Compute, "nll"),
        (torch.autograd, "backward"),
        (torch.nn.utils, "clip_grad_norm_"),
        (Optimizer, "step"),
        (Optimizer, "zero_grad"),
    ):
        timed(holder, name, inside, time.perf_counter)
    timed(Feed, "_made", feeding, time.thread_time)
    told = Meter.update

    def update(self: Meter, step: int, *arguments: Any) -> None:
        told(self, step, *arguments)
        clock.tick()
        inside.append(0.0)
        feeding.append(0.0)

    Meter.update = update  # type: ignore[method-assign]
    shutil.copytree(folder / "tokens", out)
    path = folder / "train.json"
    path.write_text(json.dumps(config(folder / "data", steps, compile_)))
    loop.train(ConfigFile.read(path, []), out)
    clock.times[0] = (clock.times[1][0] - inside[0], 0.0)  # the first step began after the evaluation
    walls = [b[0] - a[0] for a, b in zip(clock.times, clock.times[1:], strict=False)]
    shares = [
        (wall - within + fed) / within for wall, within, fed in list(zip(walls, inside, feeding, strict=False))[WARM:]
    ]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    print(clock.answer(overhead=100 * statistics.median(shares), loss=rows[-1]["loss"]))


def rows_of(folder: Path) -> tuple[Any, Any]:
    """Inputs and targets of all steps, (rows, CONTEXT) each."""
    import numpy as np
    import torch

    return tuple(torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("inputs", "targets"))  # type: ignore[return-value]


def trainer(folder: Path, out: Path, steps: int, compile_: bool) -> None:
    """Hugging Face Trainer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    inputs, targets = rows_of(folder)
    labels = torch.full_like(targets, -100)
    labels[:, 1:] = targets[:, :-1]  # which it shifts by itself
    data = [{"input_ids": row, "labels": label} for row, label in zip(inputs, labels, strict=True)]
    clock = Clock()

    class Ticks(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            use_cache=False,
        )
    )
    arguments = TrainingArguments(
        str(out),
        max_steps=steps,
        per_device_train_batch_size=ROWS,
        learning_rate=RATE,
        adam_beta1=BETAS[0],
        adam_beta2=BETAS[1],
        weight_decay=DECAY,
        max_grad_norm=CLIP,
        torch_compile=compile_,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        train_sampling_strategy="sequential",
    )
    done = Trainer(model, arguments, train_dataset=data, callbacks=[Ticks()]).train()
    print(clock.answer(loss=done.training_loss))


def litgpt(folder: Path, out: Path, steps: int) -> None:
    """litgpt's pretraining."""
    import torch
    from litgpt import pretrain
    from litgpt.args import EvalArgs, LogArgs, TrainArgs
    from litgpt.config import Config
    from litgpt.data import DataModule

    pretrain.save_hyperparameters = lambda *_: None  # it would read this script's command line as one of litgpt's
    inputs, targets = rows_of(folder)
    clock = Clock()

    class Rows(DataModule):  # type: ignore[misc]
        def connect(self, tokenizer: Any = None, batch_size: int = 1, max_seq_length: int | None = None) -> None:
            """Nothing depends on it."""

        def train_dataloader(self) -> Any:
            last = targets[:, -1:].clamp(min=0)
            data = torch.cat([inputs, last], dim=1)

            class Ticking(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
                def __iter__(self) -> Iterator[Any]:
                    for number, row in enumerate(data):
                        if number and number % ROWS == 0:
                            clock.tick()  # the step before is done when the next batch is asked for
                        yield row
                    clock.tick()
                    yield from data  # it looks one batch ahead

                def __reduce__(self) -> Any:
                    return list, ()  # its checkpoint has the loader, and pickle knows no classes of functions

            return torch.utils.data.DataLoader(Ticking(), batch_size=ROWS)

        def val_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(torch.cat([inputs[:ROWS], inputs[:ROWS, :1]], dim=1), batch_size=ROWS)

    tokens = steps * ROWS * CONTEXT
    pretrain.setup(
        "Llama-2-7b-hf",
        model_config=Config(
            name="fifteen-million",
            block_size=CONTEXT,
            n_layer=LAYERS,
            n_head=HEADS,
            n_embd=WIDTH,
            vocab_size=VOCABULARY,
            padded_vocab_size=VOCABULARY,
            rotary_percentage=1.0,
            parallel_residual=False,
            bias=False,
            norm_class_name="RMSNorm",
            mlp_class_name="LLaMAMLP",
            intermediate_size=HIDDEN,
        ),
        out_dir=out,
        precision="32-true",
        data=Rows(),
        train=TrainArgs(
            save_interval=None,
            log_interval=1,
            global_batch_size=ROWS,
            micro_batch_size=ROWS,
            max_tokens=tokens,
            max_seq_length=CONTEXT,
            lr_warmup_steps=1,
            max_norm=CLIP,
            min_lr=RATE / 10,
            tie_embeddings=True,
        ),
        eval=EvalArgs(interval=10**9, max_iters=1, initial_validation=False, final_validation=False),
        log=LogArgs(),
        optimizer={
            "class_path": "torch.optim.AdamW",
            "init_args": {"lr": RATE, "betas": BETAS, "weight_decay": DECAY},
        },
        devices=1,
        num_nodes=1,
        logger_name="csv",
    )
    print()
    print(clock.answer())


def bare(folder: Path, steps: int) -> None:
    """The loop of nanoGPT around a Llama that is written as plainly."""
    import torch

    sys.path.append(os.path.dirname(__file__))
    from plain_llama import PlainLlama

    inputs, targets = rows_of(folder)
    torch.manual_seed(1)
    model = PlainLlama(LAYERS, WIDTH, HEADS, HIDDEN, VOCABULARY, CONTEXT)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=BETAS, weight_decay=DECAY, fused=True)
    compiled = torch.compile(model)
    clock = Clock()
    for step in range(steps):
        part = slice(step * ROWS, (step + 1) * ROWS)
        loss = compiled(inputs[part], targets[part])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        said = float(loss)
        clock.tick()
    print(clock.answer(loss=said))


SIDES = {
    "gristmill": lambda folder, out, steps: gristmill(folder, out, steps, "auto"),
    "gristmill, compiled": lambda folder, out, steps: gristmill(folder, out, steps, "block"),
    "Trainer": lambda folder, out, steps: trainer(folder, out, steps, False),
    "Trainer, compiled": lambda folder, out, steps: trainer(folder, out, steps, True),
    "litgpt": litgpt,
    "bare loop": lambda folder, _, steps: bare(folder, steps),
}


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--steps", type=int, help="that are timed in each run")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", action="append", choices=SIDES, help="beside gristmill, leave out all other sides")
    parser.add_argument("--side", nargs=4, metavar=("NAME", "FOLDER", "OUT", "STEPS"), help="used internally")
    options = parser.parse_args()
    if options.side:
        name, folder, out, steps = options.side
        SIDES[name](Path(folder), Path(out), int(steps))
        return
    steps = WARM + (options.steps or (3 if options.quick else 12))
    repetitions = options.repetitions or (1 if options.quick else 3)
    names = [name for name in SIDES if not options.only or name in ("gristmill", *options.only)]
    pythons: dict[str, Path] = {}
    for name in names:
        requirements = {"Trainer": TRAINER, "litgpt": LITGPT}.get(name.split(",")[0])
        environment = {"Trainer": "hf-trainer"}.get(name.split(",")[0], "litgpt")
        pythons[name] = harness.interpreter(environment, requirements) if requirements else Path(sys.executable)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tokenized(folder, steps)

        def side(name: str) -> harness.Usage:
            out = Path(tempfile.mkdtemp(dir=folder)) / "out"
            command = [str(pythons[name]), os.path.abspath(__file__), "--side", name, str(folder), str(out), str(steps)]
            threads = {
                "OMP_NUM_THREADS": str(options.threads),
                "TOKENIZERS_PARALLELISM": "false",
                "PYTHONPATH": str(harness.ROOT),
            }
            return harness.run(command, threads)

        taken = harness.compare({name: lambda name=name: side(name) for name in names}, repetitions)  # type: ignore[misc]
    tokens = ROWS * CONTEXT
    rows = []
    for name in names[1:]:
        pair = {"gristmill": taken["gristmill"], name: taken[name]}
        for what, unit, measure in (
            ("training, wall clock", "tokens/s", lambda usage: tokens / usage.answer["seconds"]),
            ("training, fastest step", "tokens/s", lambda usage: tokens / usage.answer["fastest"]),
            ("training, CPU time", "tokens/CPU s", lambda usage: tokens / usage.answer["cpu"]),
        ):
            rows.append(harness.row(what, unit, pair, measure))
        for what, unit, measure in (
            ("peak memory", "MiB", lambda usage: usage.memory),
            ("first steps", "s", lambda usage: usage.answer["first"]),
        ):
            rows.append(harness.row(what, unit, pair, measure, more_is_better=False))
    harness.report(rows, options.json)
    overheads = [usage.answer["overhead"] for usage in taken["gristmill"]]
    print(f"overhead of the loop: {statistics.median(overheads):.2f} % ({min(overheads):.2f} to {max(overheads):.2f})")


if __name__ == "__main__":
    main()
