"""The page: charts, samples, steps that were left out, settings and versions, in one file that loads nothing.

It runs no script either, so it opens anywhere and a hostile text in a sample or a name can do nothing in it: jinja2
escapes every value, and control characters are spelled out before that.
"""

import json
from pathlib import Path
from typing import Any

from training.interruption import TrainingError
from training.metrics import read_journal
from training.report.chart import COLOURS
from training.report.curves import Row, charts
from training.report.template import filled

RUN, METRICS = "run.json", "metrics.jsonl"
_EVENTS, _ROWS, _DOCUMENTS = 100, 10, 20
"""Steps that were left out, rows of each and documents of each that are shown; events.jsonl has all."""
_SAMPLES = 40
"""Texts of a prompt that are shown, spread over the run."""


def is_training_run(folder: Path) -> bool:
    """Whether a folder is that of a training run, which has a journal of its steps, and not one of curation."""
    return (folder / METRICS).is_file()


def write_report(folder: Path) -> str:
    """The text of the page; the caller puts it somewhere.

    A run that goes on, or was cut off in the middle of a line, is shown as far as it came. Raises TrainingError for
    files that are damaged elsewhere.
    """
    run = _run(folder / RUN)
    metrics, evaluations = _rows(folder / METRICS), _rows(folder / "evaluations.jsonl")
    config = run.get("config", {})
    return filled(
        "training.report",
        "page.html.jinja",
        name=folder.resolve().name,
        steps=config.get("steps"),
        last=metrics[-1] if metrics else None,
        colours=COLOURS,
        charts=[drawn for chart in charts(run, metrics, evaluations) if (drawn := chart.drawn())["lines"]],
        losses=_losses(evaluations),
        samples=_samples(_rows(folder / "samples.jsonl")),
        events=[event for event in _rows(folder / "events.jsonl") if "rows" in event][-_EVENTS:],
        rows=_ROWS,
        named=_DOCUMENTS,
        model=run.get("model", {}),
        sources=run.get("sources", {}),
        facts=[(part, json.dumps(run[part], indent=1, ensure_ascii=False)) for part in run if part != "sources"],
    )


def _run(path: Path) -> dict[str, Any]:
    """What run.json says; nothing where it is not there yet."""
    if not path.is_file():
        return {}
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(f"{path}: not JSON: {error}") from error
    if not isinstance(run, dict):
        raise TrainingError(f"{path}: an object is expected")
    return run


def _rows(path: Path) -> list[Row]:
    try:
        return list(read_journal(path)) if path.is_file() else []
    except ValueError as error:
        raise TrainingError(str(error)) from error


def _losses(evaluations: list[Row]) -> list[tuple[str, list[float | None]]]:
    """The first and the last evaluation as a table: loss, change, bits per byte, tokens that were looked at."""
    if not evaluations:
        return []
    first, last = evaluations[0], evaluations[-1]
    return [
        (
            source,
            [
                first["loss"].get(source),
                loss,
                loss / first["loss"][source] - 1 if loss and first["loss"].get(source) else None,
                last["bits_per_byte"].get(source),
                last["tokens"].get(source),
            ],
        )
        for source, loss in last["loss"].items()
    ]


def _samples(rows: list[Row]) -> dict[str, list[Row]]:
    """By prompt, in the order of steps."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row["prompt"]), []).append(row)
    return {prompt: _spread(rows) for prompt, rows in found.items()}


def _spread(rows: list[Row]) -> list[Row]:
    """At most _SAMPLES, with the first and the last."""
    if len(rows) <= _SAMPLES:
        return rows
    return [rows[round(i * (len(rows) - 1) / (_SAMPLES - 1))] for i in range(_SAMPLES)]
