"""Scores of a model on files of tasks, as lm-evaluation-harness computes them: accuracies, perplexities, errors."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.evaluation.likelihood import Score, Scorer
from training.evaluation.questions import CONTINUATION, WHOLE, Question, Task


@dataclass(frozen=True)
class Result:
    """What a model scores on a task."""

    task: str
    kind: str
    questions: int
    metrics: dict[str, float]
    """`acc`: the share of questions whose right answer has the highest log-probability (of last words: those of which
    each token is the likeliest). `acc_norm`, `acc_bytes`: by log-probability per character, per byte of the answer.
    `perplexity`: of last words. `word_perplexity`, `byte_perplexity`, `bits_per_byte`, `token_perplexity`: of texts,
    over all of them."""
    errors: dict[str, float]
    """Standard errors of some of these: the deviation of the sample over the root of its size; that of a perplexity is
    the perplexity times that of the mean log-probability."""


def measure(task: Task, scorer: Scorer) -> Result:
    """Ask all questions of a task."""
    if task.kind == WHOLE:
        metrics, errors = _texts(task.questions, scorer)
    else:
        pairs = [pair for q in task.questions for pair in zip(q.contexts, q.continuations, strict=True)]
        scores = scorer.continuations(pairs)
        metrics, errors = (_last_words if task.kind == CONTINUATION else _choices)(task.questions, scores)
    return Result(task.name, task.kind, len(task.questions), metrics, errors)


def _choices(questions: Sequence[Question], scores: Sequence[Score]) -> tuple[dict[str, float], dict[str, float]]:
    lengths: dict[str, Callable[[str], int]] = {"acc": lambda _: 1}
    if all(len(set(question.contexts)) == 1 for question in questions):  # otherwise it is the contexts that differ
        lengths |= {"acc_norm": len, "acc_bytes": lambda choice: len(choice.encode())}
    right = {name: np.zeros(len(questions)) for name in lengths}
    at = 0
    for number, question in enumerate(questions):
        values = np.array([score.log_probability for score in scores[at : at + len(question.choices)]])
        at += len(question.choices)
        for name, length in lengths.items():
            best = (values / np.array([length(choice) for choice in question.choices])).argmax()
            right[name][number] = best == question.gold
    return {name: float(hits.mean()) for name, hits in right.items()}, {n: _error(hits) for n, hits in right.items()}


def _last_words(questions: Sequence[Question], scores: Sequence[Score]) -> tuple[dict[str, float], dict[str, float]]:
    greedy = np.array([score.greedy for score in scores], float)
    values = np.array([score.log_probability for score in scores])
    perplexity = _exp(-values.mean())
    means = {"acc": float(greedy.mean()), "perplexity": perplexity}
    return means, {"acc": _error(greedy), "perplexity": perplexity * _error(values)}


def _texts(questions: Sequence[Question], scorer: Scorer) -> tuple[dict[str, float], dict[str, float]]:
    texts = [question.contexts[0] for question in questions]
    scores = scorer.texts(texts)
    nll = -sum(score.log_probability for score in scores)
    words = sum(len(re.split(r"\s+", text)) for text in texts)
    size = sum(len(text.encode()) for text in texts)
    tokens = sum(score.tokens for score in scores)
    return {
        "word_perplexity": _exp(nll / words),
        "byte_perplexity": _exp(nll / max(size, 1)),
        "bits_per_byte": nll / max(size, 1) / math.log(2),
        "token_perplexity": _exp(nll / max(tokens, 1)),
    }, {}


def _exp(value: float) -> float:
    """e to a power; what is too large for a float is infinite."""
    return math.exp(value) if value < 709 else math.inf


def _error(values: npt.NDArray[np.float64]) -> float:
    """The standard error of a mean; 0 for a single value."""
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
