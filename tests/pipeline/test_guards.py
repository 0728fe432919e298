"""`max_drop`: whether and where a run stops is the same whoever is quick."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.guards import ENOUGH, Excess, Watch
from pipeline.plan import Task

Numbers = dict[str, tuple[int, int]]
"""By step: documents into it and out of it."""

STEPS = ("first", "second")


def tasks_of(sources: list[str]) -> list[Task]:
    return [Task(f"read-{source}-{i}", "read", source, "", {}) for i, source in enumerate(sources)]


def receipt(numbers: Numbers) -> dict[str, Any]:
    return {
        "steps": [
            {"name": name, "in": into, "out": out}
            for name, (into, out) in sorted(numbers.items(), key=lambda item: STEPS.index(item[0]))
        ]
    }


def oracle(limits: dict[str, dict[str, float]], tasks: list[Task], numbers: list[Numbers]) -> list[Excess]:
    """The first prefix of all tasks after which a step has lost too much of the source of the last one."""
    for end, last in enumerate(tasks, 1):
        mine = [i for i in range(end) if tasks[i].source == last.source]
        whole = all(task.source != last.source for task in tasks[end:])
        found = []
        for step in STEPS:
            into = sum(numbers[i][step][0] for i in mine)
            lost = into - sum(numbers[i][step][1] for i in mine)
            limit = limits.get(step, {}).get(last.source or "")
            if limit is not None and (into >= ENOUGH or whole) and into and lost / into > limit:
                found.append(Excess(step, last.source or "", into, lost, limit, tuple(tasks[i].id for i in mine)))
        if found:
            return found
    return []


LIMITS = st.dictionaries(
    st.sampled_from(STEPS), st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
)
COUNTS = st.sampled_from([0, 1, 300, 600, 1200]).flatmap(
    lambda into: st.sampled_from([0, into // 4, into // 2, into]).map(lambda lost: (into, into - lost))
)
NUMBERS = st.fixed_dictionaries({step: COUNTS for step in STEPS})


@given(LIMITS, st.lists(st.tuples(st.sampled_from(["a", "b"]), NUMBERS), min_size=1, max_size=8), st.randoms())
def test_where_it_stops_does_not_depend_on_who_ends_first(
    limits: dict[str, dict[str, float]], drawn: list[tuple[str, Numbers]], random: Any
) -> None:
    drawn.sort(key=lambda pair: pair[0])
    tasks, numbers = tasks_of([source for source, _ in drawn]), [counts for _, counts in drawn]
    order = list(range(len(tasks)))
    random.shuffle(order)
    watch = Watch(SimpleNamespace(max_drop=limits), tasks)  # type: ignore[arg-type]
    known: dict[str, dict[str, Any]] = {}
    found = watch.look(known)
    for i in order:
        known[tasks[i].id] = receipt(numbers[i])
        if found := watch.look(known):
            break
    assert found == oracle(limits, tasks, numbers)


def test_few_documents_wait_for_the_end_of_their_source() -> None:
    tasks = tasks_of(["a", "a", "b"])
    watch = Watch(SimpleNamespace(max_drop={"first": {"a": 0.5, "b": 0.5}}), tasks)  # type: ignore[arg-type]
    known = {tasks[0].id: receipt({"first": (ENOUGH - 1, 0)})}
    assert watch.look(known) == []
    known[tasks[1].id] = receipt({"first": (ENOUGH - 1, ENOUGH - 1)})
    assert watch.look(known) == [], "half may be lost"
    known[tasks[2].id] = receipt({"first": (2, 0)})
    assert [(excess.source, excess.into, excess.lost) for excess in watch.look(known)] == [("b", 2, 2)]


def test_a_task_that_is_not_done_stops_the_count(tmp_path: Path) -> None:
    tasks = tasks_of(["a", "a"])
    watch = Watch(SimpleNamespace(max_drop={"first": {"a": 0.0}}), tasks)  # type: ignore[arg-type]
    known = {tasks[1].id: receipt({"first": (5000, 0)})}
    assert watch.look(known) == []
    known[tasks[0].id] = receipt({"first": (10, 10)})
    assert [(excess.into, excess.lost) for excess in watch.look(known)] == [(5010, 5000)]
