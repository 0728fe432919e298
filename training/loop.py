"""The training loop, from a config file to the last checkpoint; read it from top to bottom.

    OUT/  run.json  tokenizer.json  tokens/  metrics.jsonl  events.jsonl  evaluations.jsonl  checkpoints/step-00000020/

The same command again goes on from the newest checkpoint that verifies, and from there every step is what it would have
been: the order of the data is arithmetic (training.order), nothing random happens in a step, and weights, moments and
the guard's window come back bit for bit. So the loop has no state but those and the number of steps that were taken.

A step never waits for the device: its batch was made in the steps before (training.feed), the guard's verdict
reaches the optimizer as a tensor (training.guard), and what it did is read while the next one runs (training.account).
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.configfile import ConfigFile, Problem
from training import checkpoint, float8, hf, positions, steps
from training.account import Account
from training.advice import advice
from training.compute import Compute
from training.config import TrainConfig
from training.evaluation import Evaluator, ForgettingError, unmeasurable
from training.feed import Feed
from training.guard import SpikeGuard, jumps
from training.interruption import Signals, TrainingError, alone
from training.metrics import Meter
from training.model import Decoder, Shape
from training.optim import optimizer_of, optimizer_tensors, restore_optimizer, set_rate
from training.order import Order, feasibility
from training.record import describe, opening, refuse_changes
from training.schedule import learning_rate
from training.speed import Speed
from training.store import tokens
from training.store.tokens import prepare
from training.trackers import Trackers, missing

CHECKPOINTS = "checkpoints"


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
    TrainingError when too many steps in a row are left out or the folder is in use, and ForgettingError when a source
    became worse than its limit allows.
    """
    config = file.load(TrainConfig)
    try:
        compute = Compute.of(config)
    except ValueError as error:
        raise file.error([Problem(("device",), str(error))]) from error
    problems = [*steps.problems(config), *tokens.missing(config), *missing(config.tracking)]
    problems += [*float8.refused(config.float8, compute.device, compute.dtype), *positions.problems(config)]
    if problems:
        raise file.error(problems)
    out.mkdir(parents=True, exist_ok=True)
    with alone(out):
        saved = checkpoint.latest(out / CHECKPOINTS)
        state: dict[str, Any] = {"step": 0} if saved is None else checkpoint.read_state(saved)
        start = int(state["step"])
        if saved is not None and not resume_anyway:
            refuse_changes(file, config, state["config"], out)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        tokenizer, store = prepare(config, out)
        if problems := [*feasibility(config, store), *unmeasurable(config, store)]:
            raise file.error(problems)
        order = Order(config, store)
        if start and not resume_anyway and order.digest(start - 1) != state["order"]:
            raise TrainingError(
                f"the data of {out} has changed: step {start} would now be made of other documents than it was; put "
                "the data back, train into another folder, or go on anyway with --resume-anyway"
            )
        stop = config.steps if stop_after is None else max(start, min(stop_after, config.steps))

        # The model: what was saved, what is continued, or a new one.
        shapes = positions.shapes(config, positions.first_shape(config, tokenizer.vocab_size))
        checked: hf.Check | None = None
        if saved is not None:
            model = Decoder.empty(Shape.model_validate(state["shape"]))
            model.load_state_dict(checkpoint.read_tensors(saved, "model"))
        elif config.model.init_from is not None:
            model, checked = hf.begun(Path(config.model.init_from), tokenizer, out)
            model.become(model.shape.at(shapes[0]))
        else:
            model = Decoder.fresh(shapes[0], config.seed)
        model.to(compute.device).train()

        # What changes it. Weights in bfloat16 are only the rounding of masters, which optimizer and checkpoints have.
        optimizer = optimizer_of(model, config.optimizer, master=compute.dtype == torch.bfloat16)
        guard = SpikeGuard(config.guard, compute.device)
        if saved is not None:
            restore_optimizer(model, optimizer, checkpoint.read_tensors(saved, "optimizer"))
            guard.restore(checkpoint.read_tensors(saved, "guard"))
        learned = list(optimizer.learned.values())
        new_mixture = jumps(order)
        trunk = compute.trunk(model)

        # What is said about it.
        speed = Speed.of(config.meter, model, config.contexts, compute)
        described = describe(out, config, store, model, compute, speed, order.steps, shapes)
        with (
            Signals() as signals,
            Meter(start, config.steps) as meter,
            Evaluator(config, store, compute, model, trunk, out, start if saved is not None else -1) as evaluator,
            Trackers(config.tracking, out, described, start, meter.say) as trackers,
            Account(config, order, compute, speed, meter, trackers, out, start, state) as account,
            checkpoint.Writer(out / CHECKPOINTS, config.checkpoint.keep, config.checkpoint.keep_every) as writer,
            Feed(order, compute, start, stop, account.late, lambda: signals.caught) as feed,
            _collected_by_hand(),
        ):
            meter.say(opening(model, store, config, compute, start, order.steps))
            for line in advice(config, model.parameter_count()) if not start else ():
                meter.say(line)
            if checked is not None:
                meter.say(str(checked))

            def evaluate(step: int) -> None:
                """What is due after these steps; raises ForgettingError."""
                row = evaluator.at(step)
                if row is not None:
                    trackers.log(step, row, under="evaluation/")

            def save(step: int, last: bool = False) -> None:
                """Keep everything that the next step needs; the journals up to it are on disk first."""
                account.settle()
                account.sync()
                evaluator.sync()
                tensors = {
                    "model": optimizer.masters() or model.state_dict(),
                    "optimizer": optimizer_tensors(model, optimizer),
                    "guard": guard.tensors(),
                }
                shape, settings = model.shape.model_dump(), config.model_dump(mode="json")
                known = {"step": step, "order": order.digest(step - 1), "shape": shape, "config": settings}
                writer.save(step, tensors, {**known, **account.state()}, last)

            if saved is None:
                evaluate(0)
                account.resume()

            # The loop.
            step, saved_at = start, start
            for portion, waited in feed:
                if signals.caught:
                    break
                stage = order.steps.stage(step)
                if step in (start, stage.begin):  # a checkpoint between stages still has the shape of the one before
                    model.become(model.shape.at(shapes[stage.phase]))
                    if step > start:
                        compute.forget()
                rows, at_once = [], order.steps.at_once(step)
                for first in range(0, len(portion.targets), at_once):
                    part = slice(first, first + at_once)
                    total, each = compute.nll(model, trunk, portion.staged, part)
                    # Divided by the targets of the whole batch, so that its cutting into micro batches is no matter.
                    torch.autograd.backward(total / portion.count)
                    rows.append(each.sum(dim=1))
                norm = torch.nn.utils.clip_grad_norm_(learned, config.optimizer.clip or float("inf"))
                if step == stage.begin or step in new_mixture:
                    guard.restart()
                skip, verdict = guard.judge(torch.cat(rows).sum() / portion.count, norm)
                rate = learning_rate(config.schedule, config.optimizer, order.steps, step)
                set_rate(optimizer, rate)
                optimizer.step(skip)
                optimizer.zero_grad()
                step += 1
                account.tell(portion, rate, waited, verdict, norm, rows)

                # Between steps: evaluation, a checkpoint, an end.
                saves = config.checkpoint.every is not None and step % config.checkpoint.every == 0 and step < stop
                if saves or evaluator.due(step):
                    account.settle()
                    try:
                        evaluate(step)
                    except ForgettingError:
                        save(step, last=True)
                        raise
                    if saves:
                        save(step)
                        saved_at = step
                    gc.collect()
                    account.resume()
            if step != saved_at:
                save(step, last=True)
    return Outcome(step, config.steps, signals.caught and step < stop)


@contextmanager
def _collected_by_hand() -> Iterator[None]:
    """No garbage collection in the middle of steps: what is there stays, and the loop makes no cycles of its own."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
