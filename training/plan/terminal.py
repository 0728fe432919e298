"""A plan for the terminal: its schedule drawn as wide as there is room, with the numbers beside and below."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from pipeline.accounting.escape import line
from training.plan import marks
from training.plan.plan import SourcePlan, TrainingPlan
from training.report.chart import COLOURS, OTHERS
from training.report.names import amount, largest, short, together

NARROW, WIDE = 48, 160
NAMED = 8
"""Sources that are named, the others' among them."""
_ROWS = 24
"""Of the table of sources."""
_LETTERS = "ABCDEFGH"
_OTHERS = "+"
_HEIGHT, _LOW = 12, 4


def show(plan: TrainingPlan, console: Console) -> None:
    """Print it. Colours are left out where the console has none or they are not wanted."""
    colours = console.is_terminal and console.color_system is not None and not console.no_color
    ascii_only = console.options.ascii_only
    for text in drawing(plan, console.width, colours and not ascii_only):
        shown = Text(marks.plain(text.plain)) if ascii_only else text
        console.print(shown, soft_wrap=True, highlight=False, markup=False)


def drawing(plan: TrainingPlan, width: int, colours: bool) -> list[Text]:
    """The lines, none of them wider than `width` but for advice."""
    room = min(max(width, NARROW), WIDE)
    lines: list[Text] = [
        Text(f"{plan.steps:,} steps, {plan.tokens:,} tokens"),
        Text(f"{amount(plan.parameters)} parameters, {plan.flops:.2g} floating-point operations"),
        *map(Text, _stages(plan)),
        Text(),
        *map(Text, _sources(plan, room)),
        Text(),
        *_Drawing(plan, room, colours).lines(),
        *map(Text, _moments(plan, room)),
    ]
    return [*lines, *([Text()] if plan.advice else []), *map(Text, plan.advice)]


def _stages(plan: TrainingPlan) -> Iterator[str]:
    """What a step has, from when on."""
    for stage in plan.stages:
        first, last = stage.rows
        rows = f"{first:,}" if first == last else f"{first:,} to {last:,}"
        since = "a step has" if len(plan.stages) == 1 else f"from step {stage.step:,}:"
        free = f", {stage.padding:.1%} padding" if stage.padding is not None and stage.padding >= 0.0005 else ""
        yield f"{since} {rows} rows of {stage.context:,} tokens{free}"
    if plan.packing != "concatenate":
        yield f"documents are packed by {plan.packing}"


def _sources(plan: TrainingPlan, room: int) -> Iterator[str]:
    """The table of sources, the largest first."""
    names, others = largest(plan.needed, _ROWS)
    rows: list[tuple[str, ...]] = []
    for name in names:
        source = plan.sources[name]
        worth = f"worth {amount(source.fresh)} fresh" if source.epochs > 1 else ""
        known = amount(source.tokens), amount(source.needed), f"{source.share:.1%}"
        rows.append((name, *known, f"{source.fim:.0%}" if source.fim else "", _passes(source), worth))
    if others:
        rest = [plan.sources[name] for name in others]
        sums = amount(sum(each.tokens for each in rest)), amount(sum(each.needed for each in rest))
        rows.append((f"{len(others)} others", *sums, f"{sum(each.share for each in rest):.1%}", "", "", ""))
    head = ("source", "has" if plan.exact else "has about", "read", "share", "FIM", "passes")
    widths = [max(len(row[i]) for row in (head, *rows)) + 2 for i in range(1, len(head))]
    if not any(row[4] for row in rows):
        widths[3] = 0
    cells = min(max(cell_len(short(row[0], room)) for row in (head, *rows)), max(room - sum(widths), 8))
    for row in ((*head, ""), *rows):
        numbers = "".join(f"{text:>{width}}" for text, width in zip(row[1:6], widths, strict=True) if width)
        text = f"{_padded(short(row[0], cells), cells)}{numbers}"
        yield f"{text}  {row[6]}" if row[6] and cell_len(text) + 2 + len(row[6]) <= room else text


def _passes(source: SourcePlan) -> str:
    return f"{source.epochs:.2f} of {source.most:g}"


def _padded(text: str, cells: int) -> str:
    return text + " " * (cells - cell_len(text))


def _moments(plan: TrainingPlan, room: int) -> Iterator[str]:
    """The table of moments, with the shares of as many sources as there is room for."""
    lengths = len(plan.stages) > 1
    names = [name for name in largest(plan.needed, len(plan.sources))[0] if name in plan.course.shares]
    heads = [short(name, 12) for name in names]
    widths = [max(cell_len(head), 6) + 2 for head in heads]
    left = room - (38 if lengths else 28)
    while sum(widths) > left and widths:
        widths.pop()
    head = f"{'step':>9}{'rate':>10}{'rows':>9}" + (f"{'context':>10}" if lengths else "")
    yield head + "".join(" " * (width - cell_len(name)) + name for name, width in zip(heads, widths, strict=False))
    for moment in plan.moments:
        row = f"{moment.step:>9,}{moment.lr:>10.2e}{moment.sequences:>9,}"
        row += f"{moment.context:>10,}" if lengths else ""
        shown = zip(names, widths, strict=False)
        yield row + "".join(f"{moment.shares[name]:>{width}.1%}" for name, width in shown)


class _Drawing:
    """The series along the width of a terminal."""

    def __init__(self, plan: TrainingPlan, room: int, colours: bool) -> None:
        self._plan, self._course = plan, plan.course
        self._names, self._others = largest(plan.needed, NAMED)
        self._letters = _LETTERS[: len(self._names)] + _OTHERS * bool(self._others)
        palette = [*COLOURS[: len(self._names)], *([COLOURS[OTHERS]] if self._others else [])]
        self._colours = palette if colours else None
        longest = max((cell_len(line(name)) for name in self._names), default=0)
        self._margin = min(max(longest + 3, 9), room // 5)
        """Cells before a drawing, for the numbers of its axis or for a name."""
        self._room, self._width = room, room - self._margin

    def lines(self) -> Iterator[Text]:
        """From the top."""
        if self._course.shares:
            yield Text("share of tokens by source")
            yield from self._shares()
        else:
            yield Text("no shares to draw: there can be no such mixture")
            yield Text()
        if len(self._plan.stages) > 1:
            yield Text("tokens of a sequence")
            yield Text(" " * self._margin + self._stages())
            yield Text()
        if len(set(self._course.rows)) > 1:
            yield from self._curve("sequences of a step", self._course.rows, amount(max(self._course.rows)))
        yield from self._curve("learning rate", self._course.lr, f"{max(self._course.lr):.1e}")
        if self._course.shares:
            yield Text("passes (full bar: the most, !: more, digit: one ends)")
            yield from self._passes()

    def _shares(self) -> Iterator[Text]:
        series = [self._course.shares[name] for name in self._names]
        if self._others:
            series.append(together(self._course.shares, self._others))
        columns = list(zip(*(self._along(each, self._width) for each in series), strict=True))
        for row, text in enumerate(marks.areas(columns, _HEIGHT, self._colours, self._letters)):
            told = {0: "100%", _HEIGHT // 2: "50%"}.get(row, "")
            yield Text.assemble(f"{told:>{self._margin - 2}} {'┤' if told else '│'}", text)
        yield from map(Text, marks.axis(self._plan.steps, self._width, self._margin))
        yield from self._key(series)
        yield Text()

    def _key(self, series: Sequence[Sequence[float]]) -> Iterator[Text]:
        """The names of the areas, with their shares at first and at last, as many on a line as fit."""
        names = [short(name, 24) for name in self._names] + [f"{len(self._others)} others"] * bool(self._others)
        text = Text()
        for i, (name, values) in enumerate(zip(names, series, strict=True)):
            same = abs(values[0] - values[-1]) < 0.0005
            words = f" {name} {values[0]:.1%}" + ("" if same else f" → {values[-1]:.1%}")
            if text and text.cell_len + 3 + 1 + cell_len(words) > self._room:
                yield text
                text = Text()
            text.append("   " if text else "").append_text(self._sign(i))
            text.append(words)
        yield text

    def _stages(self) -> str:
        steps = [marks.step_of(column, self._plan.steps, self._width) for column in range(self._width)]
        begins = [int(np.searchsorted(steps, stage.step)) for stage in self._plan.stages]
        return marks.stages([stage.context for stage in self._plan.stages], self._width, begins)

    def _curve(self, title: str, values: Sequence[float], top: str) -> Iterator[Text]:
        yield Text(title)
        rows = marks.curve(self._along(values, 2 * self._width), _LOW, max(values) or 1.0)
        for row, text in enumerate(rows):
            told = {0: top, _LOW - 1: "0"}.get(row, "")
            yield Text(f"{told:>{self._margin - 2}} {'┤' if told else '│'}{text}".rstrip())
        yield Text()

    def _sign(self, i: int) -> Text:
        """What stands for an area in the key."""
        return Text(self._letters[i]) if self._colours is None else Text("■", self._colours[i])

    def _passes(self) -> Iterator[Text]:
        sources, shown = self._plan.sources, list(self._names)
        if self._others:  # the one that comes nearest to its most, or furthest beyond it
            shown.append(max(self._others, key=lambda name: sources[name].epochs / sources[name].most))
        for i, name in enumerate(shown):
            label = _padded(short(name, self._margin - 3), self._margin - 3)
            text = Text(marks.strip(self._along(self._plan.epochs(name), self._width), sources[name].most))
            if self._colours is not None:
                text.stylize(self._colours[i])
                text.highlight_regex("!+", "bold red")
            yield Text.assemble(self._sign(i), f" {label} ", text)
        yield Text()

    def _along(self, values: Sequence[float], places: int) -> list[float]:
        """A series at so many places along the run."""
        steps = [marks.step_of(place, self._plan.steps, places) for place in range(places)]
        return list(np.interp(steps, self._course.steps, values).tolist())
