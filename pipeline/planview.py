"""A plan as people and scripts see it: files, steps in order, tasks by stage and what of them is done."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.plan import Plan
from pipeline.run import StageState
from pipeline.steps import describe

STATES = ("done", "stale", "missing")


def as_json(plan: Plan, states: Sequence[StageState]) -> dict[str, Any]:
    """The plan as JSON-able values; a stage that follows from later results has `tasks: null`."""
    return {
        "input_bytes": plan.input_bytes,
        "sources": {
            name: {
                "reader": plan.config.sources[name].reader.model_dump(mode="json"),
                "files": [{"path": file.path, "size": file.size} for file in files],
                "tasks": len(plan.splits[name]),
            }
            for name, files in plan.inputs.items()
        },
        "steps": [describe(name, step) for name, step in plan.config.steps.items()],
        "stages": [
            {
                "name": state.name,
                "tasks": None
                if state.tasks is None
                else [{"id": task.id, "state": found, "bytes": task.payload["bytes"]} for task, found in state.tasks],
            }
            for state in states
        ],
    }


def render(plan: Plan, states: Sequence[StageState]) -> RenderableType:
    """The plan as tables."""
    sources = Table("source", "reader", "files", "bytes", "tasks", title="sources", title_justify="left")
    for name, files in plan.inputs.items():
        reader = plan.config.sources[name].reader
        size = sum(file.size for file in files)
        sources.add_row(
            Text(name), str(reader.model_dump()["use"]), str(len(files)), human(size), str(len(plan.splits[name]))
        )
    steps = Table("step", "kind", "ranges", title="steps, in order", title_justify="left")
    for name, step in plan.config.steps.items():
        entry = describe(name, step)
        keep: Any = entry.get("keep", {})
        ranges = ", ".join(f"{signal} {bounds(*ends)}" for signal, ends in keep.items())
        only = plan.config.only.get(name)
        steps.add_row(Text(name), str(entry["kind"]), Text(ranges + (f" (only {', '.join(only)})" if only else "")))
    stages = Table("stage", "tasks", "bytes", *STATES, title="tasks", title_justify="left")
    for state in states:
        if state.tasks is None:
            stages.add_row(state.name, "follows from the stages before", "", "", "", "")
            continue
        counts = Counter(found for _, found in state.tasks)
        size = sum(task.payload["bytes"] for task, _ in state.tasks)
        stages.add_row(state.name, str(len(state.tasks)), human(size), *(str(counts[word]) for word in STATES))
    return Group(sources, steps, stages)


def bounds(low: float | None, high: float | None) -> str:
    """A range in short: `50..100000`, `>= 50`, `<= 3`."""
    if low is None:
        return f"<= {high:g}" if high is not None else "any"
    return f">= {low:g}" if high is None else f"{low:g}..{high:g}"


def human(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")
