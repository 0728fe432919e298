"""A plan as people and scripts see it: files, steps in order, tasks by stage and what of them is done."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType

from pipeline.accounting.tables import intervals, number, table
from pipeline.catalogue import curves_table
from pipeline.dedup.minhash import MinHash
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
                "left_out": plan.left_out[name],
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
    sources = []
    for name, files in plan.inputs.items():
        use = plan.config.sources[name].reader.use
        size = sum(file.size for file in files)
        taken, others = number(len(files)), number(plan.left_out[name])
        sources.append((name, use, taken, others, human(size), number(len(plan.splits[name]))))
    steps = []
    for name, step in plan.config.steps.items():
        entry = describe(name, step)
        keep: Any = entry.get("keep", {})
        steps.append((name, str(entry["kind"]), ", ".join(plan.config.only.get(name, ("all",))), intervals(keep)))
    stages = []
    for state in states:
        if state.tasks is None:
            stages.append((state.name, "after the stages before", *[""] * (1 + len(STATES))))
            continue
        counts = Counter(found for _, found in state.tasks)
        size = sum(task.payload["bytes"] for task, _ in state.tasks)
        stages.append((state.name, number(len(state.tasks)), human(size), *(number(counts[word]) for word in STATES)))
    curves = {name: step.curve() for name, step in plan.config.steps.items() if isinstance(step, MinHash)}
    return Group(
        table("sources", ("source", "reader", "files", "left out", "bytes", "tasks"), sources, words=("reader",)),
        table("steps, in order", ("step", "kind", "sources", "keep"), steps, words=("kind", "sources", "keep")),
        *([curves_table("step", curves)] if curves else []),
        table("stages", ("stage", "tasks", "bytes", *STATES), stages),
    )


def human(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")
