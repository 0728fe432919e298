"""The training loop, from a config file to the last checkpoint; read it from top to bottom.

    OUT/  run.json  tokenizer.json  tokens/  metrics.jsonl  evaluations.jsonl  checkpoints/step-00000020/

The same command again goes on from the newest checkpoint that verifies, and from there every step is what it would have
been: the order of the data is arithmetic (training.order), nothing random happens in a step, and weights and moments
come back bit for bit. So the loop has no state but the model, the optimizer and the number of steps that were taken.
"""

import fcntl
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np
import torch

from pipeline.configfile import ConfigFile, Problem
from training import checkpoint, hf
from training.compute import Compute
from training.config import TrainConfig
from training.evaluate import evaluate
from training.loss import IGNORED
from training.metrics import Journal, Meter
from training.model import Decoder, Shape
from training.optim import Optimizer, optimizer_of, optimizer_tensors, restore_optimizer
from training.order import Order, feasibility
from training.packing import Batch, batch
from training.record import describe, opening, refuse_changes
from training.schedule import learning_rate
from training.tokens import missing, prepare

CHECKPOINTS = "checkpoints"


class TrainingError(Exception):
    """A run cannot start or go on; the message says why and what to do."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended."""

    step: int
    """Steps taken so far, by all calls."""
    steps: int
    interrupted: bool
    """By a signal; the same command goes on."""


def train(file: ConfigFile, out: Path, stop_after: int | None = None, resume_anyway: bool = False) -> Outcome:
    """Train as the config file says, into `out`, or go on where an earlier call stopped.

    With `stop_after` the run saves and stops after that many steps in all. `resume_anyway` goes on although settings
    were changed that alter results. Raises ConfigError for everything that is wrong with the config, before any work,
    and TrainingError when the loss is no longer finite or the folder is in use.
    """
    config = file.load(TrainConfig)
    try:
        compute = Compute.of(config)
    except ValueError as error:
        raise file.error([Problem(("device",), str(error))]) from error
    problems = missing(config)
    if config.model.init_from is not None:
        try:
            hf.read_shape(Path(config.model.init_from))
        except hf.HuggingFaceError as error:
            problems = [*problems, Problem(("model", "init_from"), str(error))]
    if problems:
        raise file.error(problems)
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        saved = checkpoint.latest(out / CHECKPOINTS)
        if saved is not None and not resume_anyway:
            refuse_changes(file, config, checkpoint.read_state(saved)["config"], out)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        tokenizer, store = prepare(config, out)
        if problems := feasibility(config, store):
            raise file.error(problems)
        order = Order(config, store)

        # The model: what was saved, what is continued, or a new one.
        state = {"step": 0, "seconds": 0.0} if saved is None else checkpoint.read_state(saved)
        if saved is not None:
            model = Decoder.empty(Shape.model_validate(state["shape"]))
            model.load_state_dict(checkpoint.read_tensors(saved, "model"))
        elif config.model.init_from is not None:
            model = hf.resized(hf.load(Path(config.model.init_from)), tokenizer.vocab_size, config.context)
        else:
            model = Decoder.fresh(Shape.of(config.model, tokenizer.vocab_size, config.context), config.seed)
        model.to(compute.device).train()
        optimizer = optimizer_of(model, config.optimizer)
        if saved is not None:
            restore_optimizer(model, optimizer, checkpoint.read_tensors(saved, "optimizer"))
        trunk = compute.trunk(model)
        weights = list(model.parameters())

        start = int(state["step"])
        if start and not resume_anyway and order.digest(start - 1) != state["order"]:
            raise TrainingError(
                f"the data of {out} has changed: step {start} would now be made of other documents than it was; put "
                "the data back, train into another folder, or go on anyway with --resume-anyway"
            )
        stop = config.steps if stop_after is None else max(start, min(stop_after, config.steps))
        describe(out, config, store, model, compute)

        # The loop.
        with (
            Journal(out / "metrics.jsonl", after=start) as metrics,
            Journal(out / "evaluations.jsonl", after=-1 if saved is None else start) as evaluations,
            Meter(start, config.steps) as meter,
            ThreadPoolExecutor(1, thread_name_prefix="batch") as reader,
            _Signals() as signals,
        ):
            meter.say(opening(model, store, config, compute, start))
            if saved is None:
                evaluations.write({"step": 0, **evaluate(model, trunk, store, config, compute)})
            seconds, at = float(state["seconds"]), time.perf_counter()
            saved_at = start if saved is not None else None
            step = start
            coming = reader.submit(_read, order, step) if step < stop else None
            while coming is not None and not signals.caught:
                # One step: the batch was made while the step before was computed.
                data, digest = coming.result()
                waited = time.perf_counter() - at
                coming = reader.submit(_read, order, step + 1) if step + 1 < stop else None
                counted = data.targets != IGNORED
                count = max(int(counted.sum()), 1)
                size = config.batch.micro or config.batch.sequences
                row_losses = []
                for first in range(0, config.batch.sequences, size):
                    # Divided by the targets of the whole batch, so that its cutting into micro batches is no matter.
                    total, each = compute.nll(model, trunk, data, slice(first, first + size))
                    torch.autograd.backward(total / count)
                    row_losses.append(each.sum(dim=1))
                norm = torch.nn.utils.clip_grad_norm_(weights, config.optimizer.clip or float("inf"))
                rate = learning_rate(config.schedule, config.optimizer.lr, step, config.steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
                optimizer.zero_grad()
                step += 1

                # What it did: the only wait for the device in a step.
                *rows, gradient_norm = torch.cat([*row_losses, norm.view(1)]).tolist()
                loss = sum(rows) / count
                if not np.isfinite(loss) or not np.isfinite(gradient_norm):
                    raise TrainingError(
                        f"step {step}: loss {loss}, gradient norm {gradient_norm}: not finite; `gristmill trace {out} "
                        f"--step {step}` names its documents; the newest checkpoint is from before it"
                    )
                nll = np.bincount(data.sources, weights=rows, minlength=len(store.sources))
                targets = np.bincount(data.sources, weights=counted.sum(axis=1), minlength=len(store.sources))
                now = time.perf_counter()
                took, at = now - at, now
                seconds += took
                tokens = config.batch.sequences * config.context
                seen = [i for i in range(len(store.sources)) if targets[i]]
                metrics.write(
                    {
                        "step": step,
                        "tokens": step * tokens,
                        "loss": loss,
                        "loss_by_source": {store.sources[i]: nll[i] / targets[i] for i in seen},
                        "targets_by_source": {store.sources[i]: int(targets[i]) for i in seen},
                        "lr": rate,
                        "grad_norm": gradient_norm,
                        "tokens_per_second": tokens / took,
                        "seconds": seconds,
                        "waited": waited,
                        "order": digest,
                    }
                )
                meter.update(step, loss, tokens / took)

                if step == config.steps or (config.evaluation.every and step % config.evaluation.every == 0):
                    evaluations.write({"step": step, **evaluate(model, trunk, store, config, compute)})
                if config.checkpoint.every and step % config.checkpoint.every == 0 and step < stop:
                    _save(out, config, step, seconds, model, optimizer, order, metrics, evaluations)
                    saved_at = step
                at = time.perf_counter()
            if step and step != saved_at:
                _save(out, config, step, seconds, model, optimizer, order, metrics, evaluations)
            return Outcome(step, config.steps, signals.caught)


def _read(order: Order, step: int) -> tuple[Batch, str]:
    """What a step is made of, and its hash for the journal."""
    return batch(order, step), order.digest(step)


def _save(
    out: Path,
    config: TrainConfig,
    step: int,
    seconds: float,
    model: Decoder,
    optimizer: Optimizer,
    order: Order,
    metrics: Journal,
    evaluations: Journal,
) -> None:
    """A checkpoint of everything that the next step needs; the journals up to it are on disk first."""
    metrics.sync()
    evaluations.sync()
    checkpoint.save(
        out / CHECKPOINTS,
        step,
        {"model": model.state_dict(), "optimizer": optimizer_tensors(model, optimizer)},
        {
            "step": step,
            "seconds": seconds,
            "order": order.digest(step - 1),
            "shape": model.shape.model_dump(),
            "config": config.model_dump(mode="json"),
        },
        keep=config.checkpoint.keep,
    )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with this process however it ends; raises TrainingError if another has it."""
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(f"another process is training into {out}") from error
        yield


class _Signals:
    """Notes the first SIGINT or SIGTERM, so that the step in hand is finished and saved; a second one acts at once."""

    def __init__(self) -> None:
        self.caught = False
        self._before: dict[int, Any] = {}

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        self.caught = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python cannot catch signals
            self._before = {number: signal.signal(number, self._catch) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()
