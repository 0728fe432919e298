"""The page of a training run against its journals: whole, going on, cut off, and with hostile texts in it."""

import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.configfile import ConfigFile
from training.interruption import TrainingError
from training.metrics import read_journal
from training.report import is_training_run, write_report
from training.report.chart import PARTS, TIPS, Chart, Line, smoothed

HOSTILE = '</pre><script>alert("x")</script><img src=//evil.example/a.png onerror=alert(1)>\x1b[31m\u202e&lt;'


class Page(HTMLParser):
    """What a browser would make of a page: its elements, attributes, charts and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.charts: dict[str, dict[str, Any]] = {}
        self.text = ""
        self._chart: dict[str, Any] = {}
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        values = dict(attrs)
        if tag not in ("meta", "br"):
            self._inside.append(tag)
        if tag == "figure":
            self._chart = {"lines": [], "tips": [], "marks": [], "title": ""}
        if tag == "polyline":
            points = (values["points"] or "").split()
            self._chart["lines"].append((values["class"], [tuple(map(float, p.split(","))) for p in points]))

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._inside[-2:] == ["figcaption", "strong"]:
            self._chart["title"] = data
            self.charts[data] = self._chart
        if self._inside[-2:] == ["rect", "title"]:
            self._chart["tips"].append(data)
        if self._inside[-2:] == ["line", "title"]:
            self._chart["marks"].append(data)


def tips(page: Page, chart: str) -> dict[int, dict[str, float]]:
    """The numbers that a chart shows at each step: by step and name of the line."""
    found = {}
    for tip in page.charts[chart]["tips"]:
        first, *lines = tip.split("\n")
        numbers = (line.rpartition(" ") for line in lines)
        found[int(first.removeprefix("step "))] = {name: float(value) for name, _, value in numbers}
    return found


def journal(folder: Path, name: str) -> list[dict[str, Any]]:
    return list(read_journal(folder / f"{name}.jsonl"))


def near(value: float) -> Any:
    """Equal in the six digits that are shown."""
    return pytest.approx(value, rel=1e-5)


@pytest.fixture(scope="module")
def trained(curated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight steps that were stopped after five and gone on with."""
    from training.loop import train

    folder = tmp_path_factory.mktemp("report")
    settings = {
        "data": str(curated),
        "steps": 8,
        "context": 64,
        "batch": {"sequences": 8},
        "tokenizer": {"vocab_size": 512},
        "phases": [{"weights": {"code": [1, 3], "prose": [3, 1]}}],
        "model": {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "hidden": 64},
        "evaluation": {"holdout": 0.1, "tokens": 512, "every": 4, "samples": {"prompts": ["one <b>two"], "tokens": 5}},
        "device": "cpu",
        "compile": False,
        "tracking": ["tensorboard"],
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    for stop in (5, None):
        train(ConfigFile.read(folder / "run.yaml", ()), folder / "out", stop_after=stop)
    return folder / "out"


def test_the_page_has_the_numbers_of_the_journals(trained: Path) -> None:
    page = Page(write_report(trained))
    metrics, evaluations = journal(trained, "metrics"), journal(trained, "evaluations")
    shown = tips(page, "training loss")
    assert {step: numbers["raw"] for step, numbers in shown.items()} == {r["step"]: near(r["loss"]) for r in metrics}
    assert list(shown) == list(range(1, 9))
    for title, name, line in (
        ("learning rate", "lr", "learning rate"),
        ("gradient norm", "grad_norm", "raw"),
        ("tokens per second", "tokens_per_second", "raw"),
    ):
        found = {step: numbers[line] for step, numbers in tips(page, title).items()}
        assert found == {row["step"]: near(row[name]) for row in metrics}
    for title, name in (("held-out loss", "loss"), ("held-out bits per byte", "bits_per_byte")):
        expected = {row["step"]: {s: near(value) for s, value in row[name].items()} for row in evaluations}
        assert tips(page, title) == expected and list(expected) == [0, 4, 8]
    first = evaluations[0]["loss"]
    assert tips(page, "change since step 0")[8] == {
        source: pytest.approx(loss / first[source] - 1, abs=1e-6) for source, loss in evaluations[-1]["loss"].items()
    }
    passes = tips(page, "passes over the documents")
    assert passes == {r["step"]: {s: near(v) for s, v in r["epoch_by_source"].items()} for r in metrics}


def test_shares_of_sources_stand_beside_what_the_mixture_asks_for(trained: Path) -> None:
    shown = tips(Page(write_report(trained)), "share of tokens by source")
    for step, numbers in shown.items():
        assert numbers["code, asked for"] == pytest.approx((1 + 2 * step / 8) / 4, rel=1e-4)
        assert numbers["code, asked for"] + numbers["prose, asked for"] == pytest.approx(1, abs=1e-5)
        assert numbers["code"] + numbers["prose"] == pytest.approx(1, abs=1e-5)
    # the half-life is one step, so what is shown is a mean of steps that leans to the last one
    share, weight = 0.0, 0.0
    for row in journal(trained, "metrics"):
        count = sum(row["targets_by_source"].values())
        share, weight = share / 2 + row["targets_by_source"].get("code", 0), weight / 2 + count
    assert shown[8]["code"] == near(share / weight)


def test_planned_shares_of_the_whole_run_stand_beside_those_that_were_seen(trained: Path) -> None:
    page = Page(write_report(trained))
    planned, seen = tips(page, "shares of tokens, planned"), tips(page, "shares of tokens, seen")
    assert list(planned) == list(seen) == list(range(1, 9))
    for step, numbers in planned.items():
        # the weights' mean over the step, in the middle of it
        assert numbers["code"] == pytest.approx((1 + 2 * (step - 0.5) / 8) / 4, rel=1e-5)
        assert numbers["code"] + numbers["prose"] == pytest.approx(1, abs=1e-5)
        assert seen[step]["code"] + seen[step]["prose"] == pytest.approx(1, abs=1e-5)
    assert page.tags >= {"polygon"} and page.charts["shares of tokens, planned"]["marks"] == []


def test_lines_are_where_the_numbers_are(trained: Path) -> None:
    metrics = journal(trained, "metrics")
    chart = Page(write_report(trained)).charts["training loss"]
    ((_, points),) = [line for line in chart["lines"] if "faint" in line[0]]
    assert [x for x, _ in points] == pytest.approx([100 * i / 7 for i in range(8)], abs=0.01)
    for (_, one), (_, other), (a, b) in zip(points, points[1:], pairwise(r["loss"] for r in metrics), strict=False):
        assert math.copysign(1, other - one) == -math.copysign(1, b - a)  # upwards is a smaller number
    scale = (points[0][1] - points[-1][1]) / (metrics[0]["loss"] - metrics[-1]["loss"])
    for (_, y), row in zip(points, metrics, strict=True):
        assert y - points[0][1] == pytest.approx(scale * (row["loss"] - metrics[0]["loss"]), abs=0.05)


def test_samples_settings_and_versions_are_there(trained: Path) -> None:
    page = Page(write_report(trained))
    for row in journal(trained, "samples"):
        assert row["prompt"] in page.text
        assert f"step {row['step']}" in page.text
    run = json.loads((trained / "run.json").read_text())
    assert f'"torch": "{run["versions"]["torch"]}"' in page.text
    assert '"kv_heads": 2' in page.text and "not finished" not in page.text


def test_it_loads_nothing_and_runs_nothing(trained: Path) -> None:
    text = write_report(trained)
    page = Page(text)
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "href", "srcset", "data", "action"} and not [n for n in names if n.startswith("on")]
    assert not re.search(r"url\(|@import|https?://", text)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def written(folder: Path, **journals: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in journals.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def row(step: int, source: str = "web", **changes: Any) -> dict[str, Any]:
    return {
        "step": step,
        "tokens": 100 * step,
        "loss": 5.0 - step / 10,
        "loss_by_source": {source: 5.0 - step / 10},
        "targets_by_source": {source: 90},
        "epoch_by_source": {source: step / 10},
        "lr": 1e-3,
        "grad_norm": 1.0 + step,
        "tokens_per_second": 1000.0,
        "mfu": None,
        "mfu_causal": None,
        "seconds": 0.1 * step,
        "waited": 0.01,
        "order": "abc",
        **changes,
    }


def test_hostile_texts_are_shown_and_obeyed_by_nothing(tmp_path: Path) -> None:
    skipped = {"row": 0, "source": HOSTILE, "loss": 9.0, "documents": [HOSTILE]}
    folder = written(
        tmp_path / "<img src=x>",
        metrics=[row(1, HOSTILE), row(2, HOSTILE, skipped=HOSTILE)],
        evaluations=[
            {"step": step, **{name: {HOSTILE: 2.0} for name in ("loss", "bits_per_byte", "tokens")}} for step in (0, 2)
        ],
        samples=[{"step": 2, "prompt": HOSTILE, "text": HOSTILE, "tokens": 3, "ended": True}],
        events=[{"step": 2, "event": "skipped", "reason": HOSTILE, "loss": 9.0, "grad_norm": 1.0, "rows": [skipped]}],
    )
    (folder / "run.json").write_text(json.dumps({"config": {"seed": HOSTILE, "steps": 2}, HOSTILE: HOSTILE}))
    text = write_report(folder)
    page = Page(text)
    assert not page.tags & {"script", "img"} and "\x1b" not in text and "\u202e" not in text
    shown = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert page.text.count(shown) >= 10
    assert page.charts["gradient norm"]["marks"] == [f"step 2: left out: {shown}"]


def test_a_run_that_goes_on_is_shown_as_far_as_it_came(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", metrics=[row(1), row(2), row(3)], evaluations=[])
    (folder / "run.json").write_text(json.dumps({"config": {"steps": 10}}))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    page = Page(write_report(folder))
    assert list(tips(page, "training loss")) == [1, 2, 3]
    assert "first 3 of 10 steps" in page.text
    assert "held-out loss" not in page.charts


def test_a_run_without_a_step_yet_has_a_page(tmp_path: Path) -> None:
    page = Page(write_report(written(tmp_path / "run", metrics=[])))
    assert "has not finished a step" in page.text and not page.charts


def test_steps_without_numbers_are_gaps(tmp_path: Path) -> None:
    rows = [row(1), row(2), row(3, loss=None, grad_norm=None, skipped="not finite"), row(4), row(5)]
    page = Page(write_report(written(tmp_path / "run", metrics=rows)))
    pieces = [points for kind, points in page.charts["gradient norm"]["lines"] if "faint" in kind]
    assert [[x for x, _ in points] for points in pieces] == [[0.0, 25.0], [75.0, 100.0]]
    assert page.charts["gradient norm"]["marks"] == ["step 3: left out: not finite"]


def test_damage_in_the_middle_is_an_error_with_its_line(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", metrics=[row(1)])
    (folder / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(TrainingError, match="metrics.jsonl:2"):
        write_report(folder)


def test_the_command_tells_a_training_run_from_one_of_curation(trained: Path, curated: Path, tmp_path: Path) -> None:
    assert is_training_run(trained) and not is_training_run(curated)
    path = tmp_path / "page.html"
    command = [sys.executable, "-m", "pipeline.cli", "report", str(trained), "--out", str(path)]
    code = "import sys; from pipeline.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *command[3:]], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(path) and path.read_text() == write_report(trained)


def test_trackers_have_what_the_journals_have(trained: Path) -> None:
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    accumulator = module.EventAccumulator(str(trained / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    losses = [(event.step, event.value) for event in accumulator.Scalars("loss")]
    assert losses == [(row["step"], pytest.approx(row["loss"], rel=1e-6)) for row in journal(trained, "metrics")]
    held = [(event.step, event.value) for event in accumulator.Scalars("evaluation/loss/prose")]
    expected = [(row["step"], pytest.approx(row["loss"]["prose"])) for row in journal(trained, "evaluations")]
    assert held == expected


def test_an_axis_of_one_value_is_not_that_of_its_rounding() -> None:
    drawn = Chart("", [Line("a", [(1, 1000.0), (2, 1000.0 + 1e-9), (3, 1000.0)])]).drawn()
    words = [text for _, text in drawn["across"]]
    assert len(words) >= 2 and len(set(words)) == len(words)
    ys = [float(point.split(",")[1]) for point in drawn["lines"][0]["parts"][0].split()]
    assert ys == pytest.approx([50.0] * 3, abs=0.01)


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=3000), st.booleans())
def test_a_long_line_keeps_its_lowest_and_highest_points(values: list[float | None], logarithmic: bool) -> None:
    drawn = Chart("", [Line("a", list(enumerate(values)))], logarithmic=logarithmic).drawn()
    there = [v for v in values if v is not None and (v > 0 or not logarithmic)]
    if not there:
        assert drawn["lines"] == []
        return
    points = [tuple(map(float, p.split(","))) for part in drawn["lines"][0]["parts"] for p in part.split()]
    assert len(points) <= 3 * PARTS and len(drawn["tips"]) <= TIPS
    assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in points)
    highest, lowest = min(y for _, y in points), max(y for _, y in points)
    assert highest == pytest.approx(100 * 0.05 / 1.1, abs=0.01) or max(there) == pytest.approx(min(there))
    assert lowest == pytest.approx(100 * 1.05 / 1.1, abs=0.01) or max(there) == pytest.approx(min(there))


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats(-100, 100)), st.integers(0, 50)), min_size=1, max_size=30),
    st.floats(0.5, 20),
)
def test_smoothing_is_the_mean_that_its_half_life_says(rows: list[tuple[float | None, int]], half_life: float) -> None:
    found = smoothed([(i, value) for i, (value, _) in enumerate(rows)], [weight for _, weight in rows], half_life)
    for at, (step, value) in enumerate(found):
        parts = [(v, w * 0.5 ** ((at - i) / half_life)) for i, (v, w) in enumerate(rows[: at + 1]) if v is not None]
        total = sum(weight for _, weight in parts)
        assert step == at
        assert value == (pytest.approx(sum(v * w for v, w in parts) / total, abs=1e-6) if total else None)
