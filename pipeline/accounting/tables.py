"""Tables for the terminal: funnels, and a column of numbers beside another. Every text in them is shown, not obeyed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from filters.base import LANGUAGE, OFF, Range
from pipeline.accounting.escape import cell, line


def number(value: int | None) -> str:
    """A count with its thousands apart, or a dash where it is not known."""
    return "-" if value is None else f"{value:,}"


def short(value: int | None) -> str:
    """A large count to about three digits: `2.54M`; one below ten thousand, or none, as `number` has it."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value is not None and value >= max(size, 10**4):
            scaled = value / size
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}{unit}"
    return number(value)


def share(part: int, whole: int) -> str:
    """A part in percent of the whole; a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def seconds(value: float | None) -> str:
    """A duration of a task's steps, added up over all workers."""
    return "-" if value is None else f"{value:,.1f}"


def signed(value: int) -> str:
    """A difference, with its sign; nothing where there is none."""
    return f"{value:+,}" if value else ""


def interval(ends: Range | None) -> str:
    """A range as it is typed: `50:1000`, `50:`, or `off`."""
    if ends is None or ends == OFF:
        return "off"
    low, high = ("" if end is None else f"{end:.12g}" for end in ends)
    return f"{low}:{high}"


def intervals(keep: Mapping[str, Range]) -> str:
    """The ranges of a step in a line; those for single languages are only counted."""
    shown = []
    for key, ends in keep.items():
        if LANGUAGE not in key:
            shown.append(f"{key} {interval(ends)}")
    for signal, number in Counter(key.partition(LANGUAGE)[0] for key in keep if LANGUAGE in key).items():
        shown.append(f"{signal} of {number} language{'s' if number > 1 else ''}")
    return ", ".join(shown)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], words: Sequence[str] = ()) -> Table:
    """A table whose first column is text; the others are numbers, or text if they are among `words`."""
    built = Table(
        title=Text(line(title)),
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for place, column in enumerate(columns):
        least = None if place else min(12, max((len(str(row[0])) for row in rows), default=0))
        side: Literal["left", "right"] = "left" if not place or column in words else "right"
        built.add_column(Text(column), "", justify=side, overflow="fold", min_width=least)
    for row in rows:
        built.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return built


SIZES = ("chars kept", "≈ tokens kept")
"""Rows that close a comparison: what is kept, not how many records."""


def beside(
    title: str, names: tuple[str, str], left: Mapping[str, int | None], right: Mapping[str, int | None]
) -> Table:
    """Two columns of numbers and their difference; a row that only one has counts as nothing in the other."""
    rows = []
    for key in sorted(dict.fromkeys((*left, *right)), key=SIZES.__contains__):
        old, new = left.get(key, 0), right.get(key, 0)
        change = "-" if old is None or new is None else signed(new - old)
        rows.append((key, number(old), number(new), change))
    return table(title, ("", *names, "change"), rows)
