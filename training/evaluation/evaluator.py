"""What the loop asks at every step: evaluations and samples where they are due, and whether too much was forgotten."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from pipeline.configfile import Place, Problem, nearest
from training.compute import Compute
from training.config import TrainConfig
from training.evaluation.forgetting import Forgetting
from training.evaluation.heldout import HeldOut
from training.evaluation.samples import write_samples
from training.generate import FILL
from training.metrics import Journal, read_journal
from training.model import Decoder
from training.store.tokens import TokenStore

EVALUATIONS, SAMPLES = "evaluations.jsonl", "samples.jsonl"


def unmeasurable(config: TrainConfig, store: TokenStore) -> list[Problem]:
    """Say what cannot be measured with these sources: limits on what is not held out, prompts that cannot be read."""
    problems = []
    held = {source: len(documents) for source, documents in zip(store.sources, store.held, strict=True)}
    limits = {} if config.continuing is None else config.continuing.limits()
    for name in limits:
        at: Place = ("continuing", "limit", name)
        if name not in held:
            problems.append(Problem(at, f"there is no source '{name}'; {nearest(name, store.sources)}"))
        elif not held[name]:
            problems.append(
                Problem(at, f"source '{name}' has no held-out document, so nothing shows what is forgotten")
            )
    samples = config.evaluation.samples
    for number, prompt in enumerate(() if samples is None else samples.prompts):
        at = ("evaluation", "samples", "prompts", number)
        if FILL in prompt and not store.tokenizer.has_fim:
            problems.append(Problem(at, f"the tokenizer has no sentinels to fill {FILL} with"))
        elif (size := len(store.tokenizer.encode(prompt))) > config.contexts[0] - 8:  # room for sentinels and an answer
            problems.append(Problem(at, f"{size} tokens, at most {config.contexts[0] - 8} fit in the first context"))
    return problems


class Evaluator:
    """Writes evaluations.jsonl and samples.jsonl of a run; use it as a context manager.

    The loop calls `at` after every step, and once before the first of a new run, and `sync` before every checkpoint.
    Where `at` raises ForgettingError, it saves a checkpoint and lets the error go on to the command line.
    """

    def __init__(
        self,
        config: TrainConfig,
        store: TokenStore,
        compute: Compute,
        model: Decoder,
        trunk: Callable[..., Tensor],
        out: Path,
        after: int,
    ) -> None:
        """`after` is the step that the run goes on from: what was written behind it is dropped; -1 for a new run.

        Raises ForgettingError if the run goes on from an evaluation that is over its limit.
        """
        self._config, self._compute, self._model, self._trunk = config, compute, model, trunk
        self._tokenizer = store.tokenizer
        self._held = HeldOut(store, config)
        written = read_journal(out / EVALUATIONS) if (out / EVALUATIONS).exists() else ()
        rows = [row for row in written if row["step"] <= after]
        self._forgetting = Forgetting(config, rows[0]) if rows else None
        if self._forgetting is not None and rows[-1]["step"] == after:
            self._forgetting.check(rows[-1])
        self._stack = ExitStack()
        self._evaluations = self._stack.enter_context(Journal(out / EVALUATIONS, after))
        self._samples = None
        if config.evaluation.samples is not None or (out / SAMPLES).exists():
            self._samples = self._stack.enter_context(Journal(out / SAMPLES, after))

    def due(self, step: int) -> bool:
        """Whether `at(step)` has something to do."""
        return self._evaluates(step) or self._writes(step)

    def at(self, step: int) -> dict[str, Any] | None:
        """Do what is due after `step` steps; gives the row of the evaluation, if there was one.

        Raises ForgettingError when a source has become worse than its limit allows; the row is written then.
        """
        if self._writes(step) and self._config.evaluation.samples is not None and self._samples is not None:
            write_samples(self._samples, step, self._model, self._tokenizer, self._config.evaluation.samples)
        if not self._evaluates(step):
            return None
        row: dict[str, Any] = {"step": step, **self._held.measure(self._model, self._trunk, self._compute)}
        if self._forgetting is None:
            self._forgetting = Forgetting(self._config, row)
        row["change"] = self._forgetting.row(row)
        self._evaluations.write(row)
        self._forgetting.check(row)
        return row

    def sync(self) -> None:
        """Wait until all that was written is on disk; done before each checkpoint."""
        self._evaluations.sync()
        if self._samples is not None:
            self._samples.sync()

    def _evaluates(self, step: int) -> bool:
        every = self._config.evaluation.every
        return step in (0, self._config.steps) or (every is not None and step % every == 0)

    def _writes(self, step: int) -> bool:
        samples = self._config.evaluation.samples
        if samples is None:
            return False
        if samples.every is None:
            return self._evaluates(step)
        return step in (0, self._config.steps) or step % samples.every == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()
