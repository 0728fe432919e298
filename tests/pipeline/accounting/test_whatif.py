"""What-if against a second run in plain Python under the changed ranges, and against a walk over ledger rows."""

import json
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline.accounting.folder import RunFolderError
from pipeline.accounting.whatif import render, whatif

MakeRun = Callable[..., tuple[Path, list[Any]]]

LOOSER = {
    "url.blocked": ["off", ":1"],
    "gopher.words": ["off", "10:1000", "50:", "200:", "50:500", ":1000", "0:0"],
    "gopher.mean_word": ["off", "2:", "4:8", ":10"],
    "gopher.extra": ["1:", ":0.5", "off"],
    "lines.short": ["off", ":0.9", ":0.2"],
    "language.score": ["off", "0.2:", "0.95:"],
    "language.score@de": ["off", "0.9:"],
    "language.score@en": ["off", "0.3:0.9"],
    "late.value": ["off", "0.5:"],
    "late.value@en": [":0.5"],
    "exact": ["off"],
    "minhash": ["off"],
}
TIGHTER = {
    "url.blocked": [":0", ":-1"],
    "gopher.words": ["200:1000", "50:500", "51:1000", "1000:1000"],
    "gopher.mean_word": ["5:10", "3:5.5"],
    "gopher.extra": ["1:", ":0.5"],
    "lines.short": [":0.2", ":0.05"],
    "language.score": ["0.95:", "0.66:1"],
    "language.score@de": ["0.65:", "0.95:"],
    "late.value": ["0.5:", "0.1:0.5"],
}


def changes(options: dict[str, list[str]]) -> st.SearchStrategy[list[str]]:
    """Any few changes, at most one a signal."""
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in options.items()}).map(
        lambda chosen: [f"{name}={value}" for name, value in chosen.items()]
    )


def applied(ranges: dict[str, Any], made: list[str]) -> dict[str, Any]:
    """The ranges after changes."""
    result = dict(ranges)
    for change in sorted(made, key=lambda change: "@" in change):  # what is for one language holds in any order
        name, value = change.split("=")
        if "@" not in name:
            result = {key: ends for key, ends in result.items() if key.split("@")[0] != name}
        if value == "off":
            if "@" in name:
                result[name] = (None, None)
        else:
            low, high = value.split(":")
            result[name] = (float(low) if low else None, float(high) if high else None)
    return result


def counted(docs: list[Any]) -> dict[str, tuple[int, dict[str, int], dict[str, int]]]:
    """Kept, dropped by reason and quarantined by reason of each source."""
    result = {}
    for source in {doc.source for doc in docs}:
        mine = [doc for doc in docs if doc.source == source]
        dropped = Counter(doc.reason for doc in mine if doc.verdict == "dropped")
        quarantined = Counter(doc.reason for doc in mine if doc.verdict == "quarantined")
        result[source] = (sum(doc.verdict == "kept" for doc in mine), dict(dropped), dict(quarantined))
    return result


def answered(answer: Any) -> dict[str, tuple[int, dict[str, int], dict[str, int]]]:
    """The same of the `after` side."""
    return {
        name: (side["after"]["kept"], side["after"]["dropped"], side["after"]["quarantine"])
        for name, side in answer.to_dict()["sources"].items()
    }


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    made=changes({k: v for k, v in LOOSER.items() if not k.startswith(("exact", "minhash", "late"))}),
)
def test_is_exact_where_everything_was_measured(
    simulation: SimpleNamespace, make_run: MakeRun, seed: int, made: list[str]
) -> None:
    """With `measure: all` and no deduplication, the answer is the run that the changed config would give."""
    # Extraction comes first here: a document that was never extracted has nothing to measure, whatever the setting.
    run, docs = make_run(seed, 60, measure="all", without=("exact", "minhash", "late", "extract", "pii"))
    answer = whatif(run, made)
    steps = [step for step in simulation.STEPS if step[0] in ("url", "gopher", "lines", "language")]
    simulation.curate(docs, applied(simulation.RANGES, made), "all", steps)
    assert answered(answer) == counted(docs)
    assert answer.total.after.unmeasured.total() == 0


def one_dedup(found: dict[str, tuple[int, dict[str, int], dict[str, int]]]) -> Any:
    """The same without regard to which of the steps of deduplication it was: where a copy goes, others meet."""
    merged = {}
    for name, (kept, dropped, quarantined) in found.items():
        reasons: Counter[str] = Counter()
        for reason, number in dropped.items():
            reasons["dedup" if reason.startswith("dedup.") else reason] += number
        merged[name] = (kept, reasons, quarantined)
    return merged


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), made=changes(TIGHTER), measure=st.sampled_from(["needed", "all"]))
def test_is_exact_for_stricter_ranges(
    simulation: SimpleNamespace, make_run: MakeRun, seed: int, made: list[str], measure: str
) -> None:
    """Stricter ranges before deduplication need nothing that was not measured, but heirs skipped the last filter."""
    run, docs = make_run(seed, 60, measure=measure, without=("late",))
    made = [change for change in made if not change.startswith("late")]
    answer = whatif(run, made)
    before = {doc.ordinal for doc in docs if doc.verdict == "kept"}
    steps = [step for step in simulation.STEPS if step[0] != "late"]
    simulation.curate(docs, applied(simulation.RANGES, made), measure, steps)
    assert one_dedup(answered(answer)) == one_dedup(counted(docs))
    assert answer.total.after.unmeasured.total() == 0
    after = {doc.ordinal for doc in docs if doc.verdict == "kept"}
    assert (answer.total.gained, answer.total.lost) == (len(after - before), len(before - after))
    assert answer.total.after.chars == sum(len(doc.text) for doc in docs if doc.verdict == "kept")


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), made=changes(LOOSER), measure=st.sampled_from(["needed", "all"]))
def test_never_keeps_what_was_not_measured(
    simulation: SimpleNamespace, make_run: MakeRun, seed: int, made: list[str], measure: str
) -> None:
    """The kept records of the true second run lie between those kept for sure and those with the unmeasured ones."""
    run, docs = make_run(seed, 60, measure=measure)
    answer = whatif(run, made)
    steps = [step for step in simulation.STEPS if f"{step[0]}=off" not in made]
    simulation.curate(docs, applied(simulation.RANGES, made), measure, steps)
    truly = sum(doc.verdict == "kept" for doc in docs)
    side = answer.total.after
    assert side.kept - _contested(docs, answer) <= truly <= side.kept + side.unmeasured.total()
    for outcome in (*answer.sources.values(), answer.total):
        after = outcome.after
        parts = (after.dropped, after.quarantine, after.unmeasured)
        assert outcome.read == after.kept + sum(part.total() for part in parts)


def _contested(docs: list[Any], answer: Any) -> int:
    """Records that may lose their place in a cluster to one that newly gets to deduplication."""
    return int(answer.total.after.unmeasured.total())


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), made=changes(LOOSER), measure=st.sampled_from(["needed", "all"]))
def test_agrees_with_a_walk_over_the_ledger(
    simulation: SimpleNamespace, make_run: MakeRun, seed: int, made: list[str], measure: str
) -> None:
    """Each row walked through the steps in plain Python, with only what the ledger says of it."""
    run, _ = make_run(seed, 60, measure=measure)
    rows = pl.read_parquet(run / "ledger" / "**" / "*.parquet").sort("ordinal").rows(named=True)
    ranges = applied(simulation.RANGES, made)
    off = {name for name in ("exact", "minhash") if f"{name}=off" in made}
    expected = walk(simulation, rows, ranges, off, measure)
    answer = whatif(run, made).to_dict()
    found: Counter[tuple[str, str, str]] = Counter()
    for source, outcome in answer["sources"].items():
        after = outcome["after"]
        found[source, "kept", ""] += after["kept"]
        for key in ("dropped", "quarantine", "unmeasured_by"):
            for reason, number in after[key].items():
                found[source, key, reason] += number
    assert +found == expected


def walk(
    simulation: SimpleNamespace, rows: list[dict[str, Any]], ranges: dict[str, Any], off: set[str], measure: str
) -> Counter[tuple[str, str, str]]:
    """The fates of ledger rows, by source."""

    def ranged(column: str) -> bool:
        return any(key.split("@")[0] == column for key in ranges)

    names = [name for name, _, _ in simulation.STEPS]
    kinds = {name: kind for name, kind, _ in simulation.STEPS}
    group = dict(zip(names, (0, 1, 2, 2, 2, 3, 4, 5, 6), strict=True))
    fates: dict[int, tuple[str, str]] = {}
    waiting: list[dict[str, Any]] = []
    for row in rows:
        reason = row["reason"]
        owner = None if reason is None else reason.removeprefix("dedup.").split(".")[0]
        fate: tuple[str, str] | None = ("dropped" if row["verdict"] == "dropped" else "quarantine", reason)
        if owner != "read":
            fate = None
            for name in names:
                signals = [c for c in simulation.SIGNALS if c.split(".")[0] == name]
                later = [c for c in simulation.SIGNALS if group[c.split(".")[0]] >= group[name]]
                saw = owner is None or group[name] <= group[owner]
                if name == owner and row["verdict"] == "quarantined":
                    fate = ("quarantine", reason)
                elif kinds[name] == "dedup" and name not in off:
                    if saw or (kinds.get(owner) == "dedup" and owner not in off):
                        row["arrived"] = True
                    else:
                        fate = ("unmeasured_by", name)
                elif kinds[name] != "dedup" and not saw and all(row[c] is None for c in later):
                    everything = measure == "all" and group[name] < 3 and row["chars"] > 0
                    matters = any(ranged(c) for c in simulation.SIGNALS if group[c.split(".")[0]] == group[name])
                    if kinds[name] == "transform":
                        matters = row["chars"] == 0
                    first = (
                        next(
                            n
                            for n in names
                            if group[n] == group[name]
                            and (
                                kinds[n] == "transform"
                                or any(ranged(c) for c in simulation.SIGNALS if c.split(".")[0] == n)
                            )
                        )
                        if matters
                        else name
                    )
                    if matters and not everything:
                        fate = ("unmeasured_by", first)
                elif kinds[name] == "filter":
                    ends = {c: simulation.applies(ranges, c, row["language.label"]) for c in signals}
                    hits = [c for c in signals if ends[c] and simulation.outside(row[c], ends[c])]
                    fate = ("dropped", hits[0]) if hits else None
                if fate:
                    break
        if row.get("arrived") and (owner not in off):
            waiting.append(row)
        fates[row["ordinal"]] = fate or ("kept", "")
    clusters: dict[int, list[dict[str, Any]]] = {}
    for row in waiting:
        if row["cluster"] is not None:
            clusters.setdefault(row["cluster"], []).append(row)
    for members in clusters.values():
        for row in members[1:]:  # in the order of ordinals: the first is the survivor
            fates[row["ordinal"]] = ("dropped", row["reason"])
        heir = members[0]
        if off and heir["ordinal"] != heir["cluster"]:
            fates[heir["ordinal"]] = ("unmeasured_by", heir["reason"].removeprefix("dedup."))
    return Counter((row["source"], *fates[row["ordinal"]]) for row in rows)


def test_changing_nothing_gives_the_run_itself(make_run: MakeRun) -> None:
    run, docs = make_run(seed=3)
    answer = whatif(run, [])
    assert answered(answer) == counted(docs)
    assert answer.total.before == answer.total.after
    assert (answer.total.gained, answer.total.lost) == (0, 0)


def test_a_range_for_one_language(make_run: MakeRun, simulation: SimpleNamespace) -> None:
    run, docs = make_run(seed=4, count=600)
    answer = whatif(run, ["late.value@en=0.5:"])
    lost = [
        d for d in docs if d.verdict == "kept" and d.values["language.label"] == "en" and d.values["late.value"] < 0.5
    ]
    assert lost and (answer.total.lost, answer.total.gained) == (len(lost), 0)
    assert answer.to_dict()["changes"] == [{"name": "late.value@en", "before": None, "after": [0.5, None]}]
    with pytest.raises(RunFolderError, match="such as late.value@de"):
        whatif(run, ["late.value@=0.5:"])
    with pytest.raises(RunFolderError, match=r"unknown signal 'late.valeu'.*did you mean 'late.value'"):
        whatif(run, ["late.valeu@de=0.5:"])


def test_a_whole_filter_can_be_off(make_run: MakeRun) -> None:
    run, _ = make_run(seed=4)
    answer = whatif(run, ["gopher=off"])
    assert {change.name for change in answer.changes} == {"gopher.words", "gopher.mean_word"}
    assert answer.to_dict() == {
        **whatif(run, ["gopher.words=off", "gopher.mean_word=off"]).to_dict(),
        "changes": answer.to_dict()["changes"],
    }


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("gophr.words=5:", ("unknown step or signal 'gophr.words'", "did you mean 'gopher.words'")),
        ("gopher.wrds=5:", ("unknown signal 'gopher.wrds'", "did you mean 'gopher.words'")),
        ("gopher.words", ("step.signal=low:high",)),
        ("gopher.words=200", ("'200' is no range", "200:")),
        ("gopher.words=:", ("is no range",)),
        ("gopher.words=a:b", ("'a' is no number",)),
        ("gopher.words=nan:", ("leave the end of a range empty",)),
        ("gopher.words=9:5", ("nothing would be kept",)),
        ("language.label=1:", ("is text",)),
        ("pii.emails=1:", ("is no filter",)),
        ("pii=off", ("changes text",)),
        ("minhash=5:", ("can only be off",)),
    ],
)
def test_names_what_is_wrong_with_a_change(make_run: MakeRun, change: str, parts: tuple[str, ...]) -> None:
    run, _ = make_run(seed=5, count=40)
    with pytest.raises(RunFolderError) as caught:
        whatif(run, [change, "lines.nothing=1:"])
    assert all(part in str(caught.value) for part in (*parts, "lines.nothing"))  # all problems at once


def test_refuses_the_same_signal_twice(make_run: MakeRun) -> None:
    run, _ = make_run(seed=5, count=40)
    with pytest.raises(RunFolderError, match="changed twice"):
        whatif(run, ["gopher.words=5:", "gopher=off"])


def test_refuses_a_ledger_that_does_not_follow_from_its_ranges(make_run: MakeRun) -> None:
    run, _ = make_run(seed=6)
    meta = json.loads((run / "run.json").read_text())
    ranges = next(step for step in meta["steps"] if step["name"] == "gopher")["keep"]
    for words in ([60, 1000], None):
        ranges["words"] = words
        stated = {**meta, "steps": [{**s, "keep": {k: v for k, v in s["keep"].items() if v}} for s in meta["steps"]]}
        (run / "run.json").write_text(json.dumps(stated))
        with pytest.raises(RunFolderError, match=r"does not follow(.|\n)*source 'web'.*gopher.words"):
            whatif(run, [])


def test_table_shows_hostile_names_and_obeys_none(make_run: MakeRun) -> None:
    run, _ = make_run(seed=7, sources=("web[red]", "b\x1b[31m"))
    out = StringIO()
    console = Console(file=out, width=200, force_terminal=True, color_system=None)
    console.print(render(whatif(run, ["gopher.words=10:"])))
    text = out.getvalue()
    assert "web[red]" in text and "b\\x1b[31m" in text and "\x1b[31m" not in text
    assert "unmeasured: language" in text or "unmeasured: exact" in text
