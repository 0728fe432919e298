"""The driver of a curation run: plan, do what is not done, check the sums, describe the result."""

import contextlib
import fcntl
import importlib.metadata
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import takedown
from pipeline.blocks.step import Datatrove
from pipeline.config import CurateConfig
from pipeline.configfile import Problem
from pipeline.engines import Engine
from pipeline.guards import Watch, explain
from pipeline.inputs import sample_hash
from pipeline.isolation import run_isolating
from pipeline.plan import Plan, Receipt, Receipts, Task, make_plan
from pipeline.plugins import why
from pipeline.steps import describe, groups
from pipeline.write import write_json, write_text

log = logging.getLogger("gristmill")

PACKAGES = ("gristmill", "polars", "pyarrow", "numba", "trafilatura", "resiliparse", "fastwarc", "fasttext-community")


class RunError(Exception):
    """A run that cannot go on, or whose result must not be used; the message says what to do."""


class GuardError(RunError):
    """A guard says that what comes out is not what was wanted; what is done stays."""


@dataclass(frozen=True)
class StageState:
    """How far a stage is: its tasks with their states, or None where it follows from what is not there yet."""

    name: str
    tasks: list[tuple[Task, str]] | None


def examine(plan: Plan, run: Path) -> list[StageState]:
    """What is done, stale or missing; changes nothing."""
    receipts = Receipts(run)
    known: dict[str, Receipt] = {}
    states: list[StageState] = []
    complete = True
    for stage in plan.order:
        if not complete:
            states.append(StageState(stage, None))
            continue
        found = []
        for task in plan.tasks(stage, known):
            state, receipt = receipts.state(task)
            found.append((task, state))
            if receipt is None:
                complete = False
            else:
                known[task.id] = receipt
        states.append(StageState(stage, found))
    return [state for state in states if state.tasks is None or state.tasks]


class Progress:
    """What a display of progress is told; this one says nothing."""

    def stage(self, name: str, tasks: Sequence[Task], done: Sequence[Task]) -> None:
        """A stage begins: all its tasks, and those that were done before."""

    def task(self, task: Task, receipt: Receipt) -> None:
        """A task ended well."""


def curate(config: CurateConfig, run: Path, engine: Callable[[], Engine], progress: Progress) -> Mapping[str, Receipt]:
    """Do everything in `run` that is not done; returns the receipts of the whole plan.

    Raises ConfigError before any work for inputs that are not there and blocks that cannot run here, RunError if tasks
    fail or the sums differ, and GuardError if more was dropped or quarantined than the config allows.
    """
    plan = make_plan(config)
    _try_out(config)
    run.mkdir(parents=True, exist_ok=True)
    with _locked(run):
        receipts = _do(plan, run, engine, progress, lambda: _describe_run(plan, run, complete=False))
        _remove_leftovers(run, receipts)
        takedown.apply(run)
        _describe_run(plan, run, complete=True)
        from pipeline.accounting.card import write_card
        from pipeline.accounting.stats import conservation, stats

        conservation(run)
        write_text(run / "README.md", write_card(run))
        _guard(config, stats(run).to_dict())
    return receipts


def take_down(run: Path, documents: takedown.Takedown) -> None:
    """Take documents and their duplicates out of a finished run; killed in the middle, the same call finishes it.

    Until it is done `run.json` says that the run is not complete, so that nobody trains on half of it. A report that
    was written before is removed: it has samples. Raises ConservationError if the accounts do not add up afterwards.
    """
    from pipeline.accounting.card import write_card
    from pipeline.accounting.stats import conservation

    with _locked(run):
        file = run / "run.json"
        description = {**json.loads(file.read_text(encoding="utf-8")), "complete": True}
        description.pop("taking_down", None)
        takedown.enlist(run, documents)
        write_json(file, {**description, "complete": False, "taking_down": True})
        takedown.apply(run)
        (run / "report.html").unlink(missing_ok=True)
        conservation(run)
        write_json(file, description)
        write_text(run / "README.md", write_card(run))


def _do(
    plan: Plan, run: Path, make_engine: Callable[[], Engine], progress: Progress, begin: Callable[[], None]
) -> dict[str, Receipt]:
    """Do what is not done, stage by stage; `begin` is called before the first task, if there is one."""
    receipts = Receipts(run)
    known: dict[str, Receipt] = {}
    engine: Engine | None = None
    failures: list[str] = []
    try:
        for stage in plan.order:
            tasks = plan.tasks(stage, known)
            todo: list[Task] = []
            for task in tasks:
                _, receipt = receipts.state(task)
                if receipt is None:
                    todo.append(task)
                else:
                    known[task.id] = receipt
            pending = {task.id for task in todo}
            progress.stage(stage, tasks, [task for task in tasks if task.id not in pending])
            watch = Watch(plan.config, tasks)
            if excesses := watch.look(known):
                begin()
                raise GuardError(explain(plan.config, run, known, excesses))
            if not todo:
                continue
            if engine is None:
                begin()
                engine = make_engine()
            with contextlib.closing(run_isolating(engine, str(run.absolute()), todo, plan.config.worker)) as outcomes:
                for outcome in outcomes:
                    if outcome.receipt is None:
                        failures.append(outcome.task.id)
                        write_text(run / "logs" / f"{outcome.task.id}.txt", outcome.error)
                        log.error("%s failed: %s (logs/%s.txt)", outcome.task.id, outcome.summary, outcome.task.id)
                    else:
                        known[outcome.task.id] = outcome.receipt
                        (run / "logs" / f"{outcome.task.id}.txt").unlink(missing_ok=True)
                        if outcome.error:
                            write_text(run / "logs" / f"{outcome.task.id}.txt", outcome.error)
                        progress.task(outcome.task, outcome.receipt)
                        if excesses := watch.look(known):
                            raise GuardError(explain(plan.config, run, known, excesses))
            if failures:
                raise RunError(
                    f"{len(failures)} of {len(tasks)} tasks of stage '{stage}' failed, the others are done; "
                    f"see {run / 'logs'}, then give the same command again"
                )
    finally:
        if engine is not None:
            engine.close()
    return known


@contextlib.contextmanager
def _locked(run: Path) -> Iterator[None]:
    """One writer a run folder; the lock goes with the process, however it ends."""
    with (run / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{run} is being written by another process") from None
        yield


def _describe_run(plan: Plan, run: Path, complete: bool) -> None:
    """Write `run.json`: what was asked for, of what, with which versions. Nothing in it depends on time or machine."""
    config = plan.config
    steps: list[dict[str, Any]] = []
    stages = (plan.stages.read, plan.stages.judge, plan.stages.dedup, plan.stages.spans, plan.stages.finish)
    for number, group in enumerate(group for stage in stages for group in groups(stage)):
        steps += [{**describe(name, step), "group": number} for name, step in group.items()]
    previous = run / "run.json"
    samples: dict[str, str] = {}
    if previous.is_file():  # a file that has not changed is not hashed again
        for entry in json.loads(previous.read_text(encoding="utf-8"))["inputs"]:
            samples[f"{entry['path']}\0{entry['size']}\0{entry['stamp']}"] = entry["sha256_sample"]
    inputs = []
    for name, files in plan.inputs.items():
        for file in files:
            key = f"{file.path}\0{file.size}\0{file.stamp}"
            entry = {"source": name, "name": file.name, "path": file.path, "size": file.size, "stamp": file.stamp}
            inputs.append({**entry, "sha256_sample": samples.get(key) or sample_hash(file)})
    description = {
        "complete": complete,
        "config": config.resolved(),
        "sources": list(config.sources),
        "licenses": {name: source.license for name, source in config.sources.items()},
        "steps": steps,
        "versions": {name: _version(name) for name in PACKAGES},
        "inputs": inputs,
    }
    text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    if not previous.is_file() or previous.read_text(encoding="utf-8") != text:
        write_json(previous, description)


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _remove_leftovers(run: Path, receipts: Mapping[str, Receipt]) -> None:
    """Remove what an earlier plan of the same run wrote and this one does not know."""
    wanted = {relative for receipt in receipts.values() for relative in receipt["outputs"]}
    for folder in ("shards", "ledger", "dropped", "cut", "quarantine", "parts"):
        for path in sorted((run / folder).rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(run).as_posix() not in wanted:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    for path in (run / "receipts").glob("*.json"):
        if path.stem not in receipts:
            path.unlink()


def _try_out(config: CurateConfig) -> None:
    """Give each block of datatrove a document, so that a package or model that it lacks is known before any work."""
    problems = []
    for name, step in config.steps.items():
        if isinstance(step, Datatrove):
            try:
                step.try_out()
            except Exception as error:  # it may be any: the code is not ours
                problems.append(Problem(("steps", name), f"step '{name}' does not work here: {why(error)}"))
    if problems:
        raise config.file.error(problems)


def _guard(config: CurateConfig, numbers: Mapping[str, Any]) -> None:
    """Compare each source with the limits of the config; raises GuardError."""
    broken = []
    for name, source in numbers["sources"].items():
        if not source["read"]:
            continue
        for what, limit in (("dropped", config.guard.dropped), ("quarantined", config.guard.quarantined)):
            value = source[what]
            share = (sum(value.values()) if isinstance(value, Mapping) else value) / source["read"]
            if share > limit:
                broken.append(f"source '{name}': {share:.1%} {what}, guard.{what} allows {limit:.1%}")
    if broken:
        raise GuardError("; ".join(broken))
