"""Drawings of plans: in a terminal, as SVG and as HTML, against shares counted by hand and with hostile names."""

import io
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from training.config import TrainConfig
from training.course import Course
from training.mixture import Mixture
from training.plan import Moment, SourcePlan, StagePlan, TrainingPlan, drawing, marks, show
from training.plan.page import html, svg
from training.report.names import amount, largest, short
from training.steps import Steps

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<b>&"x'
COMMANDING = "a\x1b[31mb\u202ec\ufffe\nd"


def planned(sizes: dict[str, int], problems: tuple[str, ...] = (), **settings: Any) -> TrainingPlan:
    """A plan without any file: its numbers are those of the settings and sizes."""
    given: dict[str, Any] = {"data": "x", "steps": 100, "context": 64, "batch": {"sequences": 10}, **settings}
    config = TrainConfig.model_validate(given)
    steps = Steps.of(config)
    names = tuple(sizes)
    course = Course.of(config, steps, names, Mixture.of(config, steps, names, tuple(sizes.values())))
    sources = {}
    for name, size in sizes.items():
        read = course.read[name][-1]
        fim = config.fim[name].rate if name in config.fim else 0.0
        sources[name] = SourcePlan(
            size, round(read), read / steps.tokens, read / size, config.max_epochs, read, fim, 0.0
        )
    stages = [
        StagePlan(
            s.begin + 1, s.context, (steps.rows(s.begin), steps.rows(s.end - 1)), steps.slots(s.number) * s.context, 0.0
        )
        for s in steps.stages
    ]
    moments = [
        Moment(
            course.steps[i], course.lr[i], course.rows[i], course.context[i], {n: course.shares[n][i] for n in names}
        )
        for i in (0, len(course.steps) - 1)
    ]
    return TrainingPlan(
        "small.yaml",
        config.steps,
        steps.tokens,
        25_696,
        1.2e9,
        True,
        "concatenate",
        sources,
        stages,
        moments,
        course,
        ["advice: none"],
        list(problems),
    )


def small() -> TrainingPlan:
    return planned(
        {"code": 8_000, "prose": 60_000},
        phases=[
            {"weights": {"code": [1, 3], "prose": [3, 1]}},
            {"weights": {"code": 1, "prose": 3}, "context": 128},
        ],
        fim={"code": {"rate": 0.5}},
        optimizer={"lr": 1e-3},
        schedule={"use": "linear", "warmup": 0.1},
    )


def many(count: int) -> TrainingPlan:
    weights = {f"source-{i:02}": 1 + i for i in range(count)}
    return planned(dict.fromkeys(weights, 10_000), phases=[{"weights": weights}])


def lines(plan: TrainingPlan, width: int, colours: bool = False) -> list[str]:
    return [text.plain for text in drawing(plan, width, colours)]


def areas(found: list[str]) -> list[str]:
    """The twelve lines of stacked shares, without what stands before them."""
    begin = found.index("share of tokens by source") + 1
    return [re.split("[┤│]", line, maxsplit=1)[1] for line in found[begin : begin + 12]]


GOLDEN = """\
100 steps, 64,000 tokens
25,696 parameters, 1.2e+09 floating-point operations
from step 1: 10 rows of 64 tokens
from step 51: 5 rows of 128 tokens

source     has    read  share  FIM     passes
prose   60,000  40,000  62.5%       0.67 of 4
code     8,000  24,000  37.5%  50%  3.00 of 4

share of tokens by source
   100% ┤BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB
        │BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB
        │BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB
        │AABBBBBBBBBBBBBBBBBBBBBBBAAAAAAAAAAAAAAAAAAAAAAAAAA
        │AAAAAABBBBBBBBBBBBBBBBBBBAAAAAAAAAAAAAAAAAAAAAAAAAA
        │AAAAAAAAAAABBBBBBBBBBBBBBAAAAAAAAAAAAAAAAAAAAAAAAAA
    50% ┤AAAAAAAAAAAAAAABBBBBBBBBBAAAAAAAAAAAAAAAAAAAAAAAAAA
        │AAAAAAAAAAAAAAAAAAABBBBBBAAAAAAAAAAAAAAAAAAAAAAAAAA
        │AAAAAAAAAAAAAAAAAAAAAAABBAAAAAAAAAAAAAAAAAAAAAAAAAA
        │AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
        │AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
        │AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
        └┬───────────┬────────────┬────────────┬───────────┬
   step  1          25           51           76         100
A prose 74.5% → 75.0%   B code 25.5% → 25.0%

tokens of a sequence
         │64                      │128

sequences of a step
     10 ┤⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⢱
        │                         ⢸⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀
        │
      0 ┤

learning rate
9.9e-04 ┤    ⡔⠉⠑⠒⠒⠢⠤⠤⢄⣀⣀⣀
        │  ⢀⠎            ⠉⠉⠉⠒⠒⠒⠤⠤⠤⣀⣀⣀
        │ ⡠⠃                         ⠉⠉⠉⠒⠒⠒⠤⠤⠤⣀⣀⣀⡀
      0 ┤⠔⠁                                      ⠈⠉⠉⠑⠒⠒⠢⠤⠤⢄⣀

passes (full bar: the most, !: more, digit: one ends)
A prose  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
B code   ▁▁▁▁▁▁▁▁▁▁▁▁▂▂▂1▂▂▃▃▃▃▃▄▄2▄▄▄▄▄▄▅▅▅▅▅▅▅▅▅▅▅▅▆▆▆▆▆▆3

     step      rate     rows   context   prose    code
        1  5.00e-05       10        64   74.5%   25.5%
      100  5.56e-06        5       128   75.0%   25.0%

advice: none
"""


def test_a_small_plan_looks_like_this() -> None:
    assert "".join(line.rstrip() + "\n" for line in lines(small(), 60)) == GOLDEN


@pytest.mark.parametrize("width", [60, 120])
@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("make", [small, lambda: many(25), lambda: planned({"名" * 40: 9_000, COMMANDING: 10})])
def test_no_line_is_wider_than_the_terminal(make: Any, width: int, colours: bool) -> None:
    found = lines(make(), width, colours)
    assert max(cell_len(line) for line in found) <= width
    begin = found.index("share of tokens by source") + 1
    assert {cell_len(line) for line in found[begin : begin + 12]} == {width}


def test_letters_have_the_shares_of_their_sources() -> None:
    plan = planned({"a": 9_000, "b": 9_000, "c": 9_000}, phases=[{"weights": {"a": 6, "b": 4, "c": 2}}])
    found = areas(lines(plan, 69))
    assert Counter("".join(found)) == {"A": 60 * 6, "B": 60 * 4, "C": 60 * 2}
    assert found == sorted(found, reverse=True)  # the largest at the bottom
    moving = planned({"a": 9_000, "b": 9_000}, phases=[{"weights": {"a": [0.5, 1], "b": [0.5, 0]}}])
    columns = list(zip(*areas(lines(moving, 69)), strict=True))
    heights = [column.count("A") for column in columns]
    assert (heights[0], heights[-1]) == (6, 12) and heights == sorted(heights)
    assert abs(sum(heights) / 60 - 9) < 0.5


def test_colours_are_only_where_they_are_wanted() -> None:
    def printed(**settings: Any) -> str:
        file = io.StringIO()
        show(many(12), Console(file=file, width=80, **settings))
        return file.getvalue()

    coloured = printed(force_terminal=True, color_system="truecolor")
    assert "\x1b[38;2;42;120;184m" in coloured and "█" in coloured and "AAAA" not in coloured
    for settings in ({"force_terminal": True, "no_color": True}, {"force_terminal": False}):
        plain = printed(**settings)
        assert "\x1b[38" not in plain and "AAAA" in plain and "+ 5 others" in plain


def test_where_there_is_only_ascii_it_is_drawn_in_ascii() -> None:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii", write_through=True), width=80)
    show(planned({"größer": 9_000, "web": 90_000}), console)
    text = raw.getvalue().decode("ascii")
    assert "AAAA" in text and "gr\\xf6\\xdfer" in text and "***" in text


def test_what_is_read_too_often_stands_out() -> None:
    plan = planned({"code": 3_000, "prose": 10**6}, max_epochs=2, phases=[{"weights": {"code": 1, "prose": 9}}])
    found = lines(plan, 109)
    begin = next(i for i, line in enumerate(found) if line.startswith("passes ("))
    strips = {line[2:8].strip(): line[9:] for line in found[begin + 1 : begin + 3]}
    # 6,400 tokens of 3,000 are 2.13 passes: beyond the second from 94 % of the run on
    assert strips["code"].index("!") == pytest.approx(94, abs=2) and strips["code"].endswith("!")
    assert strips["code"].index("1") == pytest.approx(47, abs=2) and "!" not in strips["prose"]
    (mark,) = [text for text in titles(svg(plan)) if "which is the most" in text]
    assert int(re.findall(r"step (\d+)", mark)[0]) == 94


@given(st.lists(st.floats(0, 30), min_size=2, max_size=200), st.floats(0.5, 40))
def test_a_strip_is_as_long_as_the_run_and_ends_passes_in_order(passes: list[float], most: float) -> None:
    passes = sorted(passes)
    found = marks.strip(passes, most)
    assert len(found) == len(passes)
    assert ("!" in found) == (passes[-1] > most)
    numbers = [int(number) for number in re.findall(r"\d+", found)]
    assert numbers == sorted(set(numbers)) and all(1 <= number <= min(passes[-1], most) for number in numbers)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=80).filter(lambda v: len(v) % 2 == 0), st.integers(1, 6))
def test_a_curve_has_no_gap_and_goes_through_its_values(values: list[float], height: int) -> None:
    rows = marks.curve(values, height, 1.0)
    bits = {(0, 0): 0, (0, 1): 1, (0, 2): 2, (1, 0): 3, (1, 1): 4, (1, 2): 5, (0, 3): 6, (1, 3): 7}

    def lit(x: int, y: int) -> bool:
        cell = rows[y // 4][x // 2]
        return cell != " " and bool((ord(cell) - 0x2800) >> bits[x % 2, y % 4] & 1)

    columns = [[y for y in range(4 * height) if lit(x, y)] for x in range(len(values))]
    for value, column in zip(values, columns, strict=True):
        assert (
            round((1 - value) * (4 * height - 1) + 1e-9) in column
            or round((1 - value) * (4 * height - 1) - 1e-9) in column
        )
        assert column == list(range(column[0], column[-1] + 1))
    for one, other in pairwise(columns):
        assert min(abs(a - b) for a in one for b in other) <= 1


@pytest.mark.parametrize(
    ("count", "width", "told"),
    [
        (1, 40, [1]),
        (2, 40, [1, 2]),
        (3, 40, [1, 2, 3]),
        (10_001, 101, [1, 2501, 5001, 7501, 10_001]),
        (1_000_000_000, 20, [1, 1_000_000_000]),
    ],
)
def test_the_axis_tells_steps_where_they_are(count: int, width: int, told: list[int]) -> None:
    line, numbers = marks.axis(count, width, 9)
    ticks = [i for i, letter in enumerate(line) if letter == "┬"]
    assert len(line) == 9 + width and len(ticks) == len(told)
    shown = [(int(found[0].replace(",", "")), found.span()) for found in re.finditer(r"[\d,]+", numbers)]
    assert [number for number, _ in shown] == told
    assert all(begin <= tick < end for tick, (_, (begin, end)) in zip(ticks, shown, strict=True))


def titles(text: str) -> list[str]:
    return [found.text or "" for found in ElementTree.fromstring(text).iter(f"{SVG}title")]


def test_the_picture_is_xml_with_every_name_in_it() -> None:
    plan = planned({HOSTILE: 9_000, COMMANDING: 9_000, "web": 90_000}, ('small.yaml:1:1: source "<i>" \x1b[0m',))
    text = svg(plan)
    root = ElementTree.fromstring(text)
    said = ["".join(found.itertext()) for found in root.iter(f"{SVG}text")]
    assert HOSTILE in said and "web" in said and any('source "<i>"' in each for each in said)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags == {"svg", "title", "desc", "style", "rect", "text", "tspan", "g", "line", "polygon", "polyline"}
    assert "\x1b" not in text and "\u202e" not in text and "\ufffe" not in text
    assert root.get("role") == "img" and root.get("aria-labelledby") == "figure-title figure-words"
    ids = {element.get("id"): element for element in root.iter() if element.get("id")}
    assert ids["figure-title"].text == "Plan of small.yaml"
    assert "web: 83.3% at first, 83.3% at last, 0.59 of 4 passes" in (ids["figure-words"].text or "")
    assert not re.search(r"url\(|@import|href|\bon\w+=", text) and text.count("http") == 1  # the namespace


def points(shape: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in (shape.get("points") or "").split())]


def test_areas_are_as_high_as_shares_and_lie_on_each_other() -> None:
    plan = planned({"a": 9_000, "b": 9_000}, phases=[{"weights": {"a": [1, 3], "b": [3, 1]}}])
    areas = [points(shape) for shape in ElementTree.fromstring(svg(plan)).iter(f"{SVG}polygon")]
    (lower, upper), count = areas, len(plan.course.steps)
    assert lower[count:][::-1] == [(x, lower[count][1]) for x, _ in lower[:count]]  # it stands on the axis
    assert upper[count:] == lower[:count][::-1]
    assert {y for _, y in upper[:count]} == {0.0}
    floor = lower[-1][1]
    for step, (_, y) in enumerate(lower[:count], 1):
        # of a, which is drawn first since its name comes first: (1 + 2 p) / 4 in the middle of the step
        assert (floor - y) / floor == pytest.approx((1 + 2 * (step - 0.5) / 100) / 4, abs=1e-4)
    xs = [x for x, _ in lower[:count]]
    assert [b - a for a, b in pairwise(xs)] == pytest.approx([xs[-1] / 99] * 99, abs=0.011)


def test_many_sources_are_summed() -> None:
    root = ElementTree.fromstring(svg(many(25)))
    assert len(list(root.iter(f"{SVG}polygon"))) == 10
    said = ["".join(found.itertext()) for found in root.iter(f"{SVG}text")]
    assert "16 others" in said and "source-24" in said and "source-15" not in said
    tip = next(text for text in titles(svg(many(25))) if text.startswith("step 1\n"))
    shares = [float(each) for each in re.findall(r"([\d.]+)%", tip)]
    assert len(shares) == 10 and sum(shares) == pytest.approx(100, abs=0.05)
    assert "16 others 41.85%" in tip  # 1 + ... + 16 of 1 + ... + 25
    found = "\n".join(lines(many(25), 80))
    assert "+ 18 others 52.6%" in found and "\n2 others   20,000 " in found


def test_the_page_has_the_picture_and_the_numbers() -> None:
    plan = planned({HOSTILE: 9_000, "web": 90_000}, ("<script>alert(1)</script>",), fim={"web": {"rate": 0.25}})
    text = html(plan)
    assert svg(plan) in text
    page = text.replace(svg(plan), "")
    assert "&lt;b&gt;&amp;&#34;x" in page and "<b>" not in text and "<script" not in text
    assert "<td>90,000</td><td>58,182</td>" in page  # 64,000 tokens by size: 10 of 11 parts
    assert "<td>90.91%</td><td>25%</td>" in page
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_amounts_have_three_digits() -> None:
    numbers = [0, 5120, 99_999, 134_400, 999_400, 12_340_000, 5_242_880_000, 30_000_000_000, 2.5e12]
    assert [amount(number) for number in numbers] == [
        *("0", "5,120", "99,999", "134k", "999k", "12.3M", "5.24B", "30.0B", "2.50T"),
    ]


def test_names_are_cut_and_the_largest_are_named() -> None:
    assert short("abcdef", 6) == "abcdef" and short("abcdefg", 6) == "abcde…" and short("名名名名", 6) == "名名…"
    assert short(COMMANDING, 80) == "a\\x1b[31mb\\u202ec\ufffe\\nd"
    amounts = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 2.0}
    assert largest(amounts, 4) == (["b", "c", "d", "a"], []) and largest(amounts, 3) == (["b", "c"], ["d", "a"])
