"""The account of a run: what each step did, for the journal, the terminal and the trackers, and what was left out why.

    metrics.jsonl  a line for each step      events.jsonl  a line for each step that was left out, or waited for long

A step's numbers are copied from the device without waiting and read when a later step is under way, so they are written
`Compute.lag` steps late. Before a checkpoint, and before anything else is done between steps, `settle` reads them all.
"""

import math
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from training.compute import Compute
from training.config import TrainConfig
from training.feed import Portion
from training.guard import REASONS
from training.interruption import TrainingError
from training.metrics import Journal, Meter
from training.order import Order
from training.speed import Speed
from training.trackers import Trackers

METRICS, EVENTS = "metrics.jsonl", "events.jsonl"
_NAMED = 5
"""Documents of a step that was left out that the terminal names; events.jsonl has all of them."""


class _Told(NamedTuple):
    """A step that was begun, and where its numbers will be."""

    portion: Portion
    rate: float
    waited: float
    numbers: Tensor
    """On the host: number of the reason, limits of loss and norm, norm, and the loss of each row."""
    there: torch.cuda.Event | None


class Account:
    """Writes down what steps did; use it as a context manager."""

    def __init__(
        self,
        config: TrainConfig,
        order: Order,
        compute: Compute,
        speed: Speed,
        meter: Meter,
        trackers: Trackers,
        out: Path,
        after: int,
        state: dict[str, Any],
    ) -> None:
        """`after` is the step that the run goes on from, and `state` what `state()` gave then, or empty."""
        self._config, self._order, self._compute, self._speed = config, order, compute, speed
        self._meter, self._trackers = meter, trackers
        self._out = out
        self._seconds = float(state.get("seconds", 0.0))
        self._in_a_row = int(state.get("left_out_in_a_row", 0))
        self._told: deque[_Told] = deque()
        self._waited = 0.0
        self._stack = ExitStack()
        self._metrics = self._stack.enter_context(Journal(out / METRICS, after))
        self._events = self._stack.enter_context(Journal(out / EVENTS, after))
        self._at = time.perf_counter()

    def tell(
        self, portion: Portion, rate: float, waited: float, verdict: Tensor, norm: Tensor, rows: list[Tensor]
    ) -> None:
        """Take down a step that was just begun: `verdict` is what the guard tells, `rows` the losses of its rows."""
        numbers = torch.cat([verdict, norm.view(1), *rows])
        there = None
        if numbers.is_cuda:
            numbers = numbers.to("cpu", non_blocking=True)
            there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            there.record()
        self._told.append(_Told(portion, rate, waited, numbers, there))
        self._waited += waited
        while len(self._told) > self._compute.lag:
            self._write(self._told.popleft())

    def late(self, said: str, event: Mapping[str, Any]) -> None:
        """Take down that a batch is waited for, or came after that."""
        self._events.write(event)
        self._meter.say(said)

    def settle(self) -> None:
        """Write down all steps that were begun; raises TrainingError if too many in a row were left out."""
        while self._told:
            self._write(self._told.popleft())

    def resume(self) -> None:
        """What was done since the last step was no training: its time counts for no step."""
        self._at = time.perf_counter()

    def state(self) -> dict[str, Any]:
        """What the account of the next step depends on."""
        return {"seconds": self._seconds, "left_out_in_a_row": self._in_a_row}

    def sync(self) -> None:
        """Wait until all that was written is on disk; done before each checkpoint."""
        self._metrics.sync()
        self._events.sync()

    def _write(self, told: _Told) -> None:
        portion, sources = told.portion, self._order.store.sources
        if told.there is not None:
            told.there.synchronize()
        reason, highest_loss, highest_norm, norm, *rows = told.numbers.tolist()
        left_out = REASONS[int(reason)]
        now = time.perf_counter()
        took, self._at = now - self._at, now
        self._seconds += took
        step, steps = portion.step + 1, self._order.steps
        before = steps.tokens_before(step)
        speed = (before - steps.tokens_before(portion.step)) / took
        loss = sum(rows) / portion.count
        nll = np.bincount(portion.sources, weights=rows, minlength=len(sources))
        targets = np.bincount(portion.sources, weights=portion.targets, minlength=len(sources))
        row = {
            "step": step,
            "tokens": before,
            "loss": loss,
            "loss_by_source": {name: nll[i] / targets[i] for i, name in enumerate(sources) if targets[i]},
            "targets_by_source": {name: int(targets[i]) for i, name in enumerate(sources) if targets[i]},
            "epoch_by_source": {name: portion.passes[i] for i, name in enumerate(sources) if portion.passes[i]},
            "lr": told.rate,
            "grad_norm": norm,
            "tokens_per_second": speed,
            **self._speed.utilisation(speed, steps.stage(portion.step).context),
            "seconds": self._seconds,
            "waited": told.waited,
            "padding": portion.padding,
            "order": portion.digest,
        }
        if left_out is not None:
            row["skipped"] = left_out
        self._metrics.write(row)
        self._trackers.log(step, row)
        # Of the time since the last step was told: of a step that is told late, that has the waiting for the next.
        self._meter.update(step, loss, speed, row["mfu"], self._waited / took)
        self._waited = 0.0
        self._in_a_row = 0 if left_out is None else self._in_a_row + 1
        if left_out is not None:
            limits = {"loss": highest_loss, "gradient norm": highest_norm}
            self._left_out(portion, left_out, loss, norm, rows, limits)

    def _left_out(
        self, portion: Portion, reason: str, loss: float, norm: float, rows: list[float], limits: dict[str, float]
    ) -> None:
        """Name the documents of a step that was left out: all of them on disk, the worst row on the terminal."""
        step = portion.step + 1
        described = self._rows(portion, rows)
        self._events.write(
            {
                "step": step,
                "event": "skipped",
                "reason": reason,
                "loss": loss,
                "grad_norm": norm,
                "limits": limits,
                "rows": described,
            }
        )
        value = {"loss": loss, "gradient norm": norm}.get(reason)
        why = f"loss {loss:.4g}, gradient norm {norm:.4g}: not finite"
        if value is not None:
            why = f"{reason} {value:.4g}, and {limits[reason]:.4g} is the most that the steps before it allow"
        worst = described[0]
        named = worst["documents"][:_NAMED]
        more = len(worst["documents"]) - len(named)
        documents = f"{', '.join(named)}{f' and {more} more' if more else ''}"
        self._meter.say(
            f"step {step} is left out: {why}; worst is row {worst['row']} of {worst['source']} with a loss of "
            f"{worst['loss']:.4g}: {documents}; {EVENTS} names all documents"
        )
        most = self._config.guard.most_in_a_row
        if self._in_a_row > most:
            raise TrainingError(
                f"step {step}: {why}; {self._in_a_row} steps in a row were left out, more than guard.most_in_a_row "
                f"({most}); {self._out / EVENTS} names their documents, as does `gristmill trace {self._out} --step "
                f"{step}`; the newest checkpoint is from before this step"
            )

    def _rows(self, portion: Portion, rows: list[float]) -> list[dict[str, Any]]:
        """The rows of a step with their documents: first those whose loss is not finite, then by loss."""
        store = self._order.store
        described: list[tuple[float, dict[str, Any]]] = []
        for number, plan in enumerate(self._order.step(portion.step)):
            loss = rows[number] / max(int(portion.targets[number]), 1)
            row = {
                "row": number,
                "source": store.sources[plan.source],
                "loss": loss,
                "documents": list(dict.fromkeys(store.train[p.source].name(p.document) for p in plan.pieces)),
            }
            described.append((loss if math.isfinite(loss) else math.inf, row))
        described.sort(key=lambda found: found[0], reverse=True)
        return [row for _, row in described]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()
