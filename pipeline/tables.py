"""Tables for the terminal: funnels, and a column of numbers beside another. Every text in them is shown, not obeyed."""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from filters.base import Range
from pipeline.escape import cell, line


def number(value: int | None) -> str:
    """A count with its thousands apart, or a dash where it is not known."""
    return "-" if value is None else f"{value:,}"


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
    if ends is None:
        return "off"
    low, high = ("" if end is None else f"{end:.12g}" for end in ends)
    return f"{low}:{high}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table whose first column is text and whose other columns are numbers."""
    built = Table(title=Text(line(title)), title_justify="left", title_style="bold", header_style="bold")
    for place, column in enumerate(columns):
        built.add_column(Text(column), justify="right" if place else "left", overflow="fold", no_wrap=place > 0)
    for row in rows:
        built.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return built


def beside(
    title: str, names: tuple[str, str], left: Mapping[str, int | None], right: Mapping[str, int | None]
) -> Table:
    """Two columns of numbers and their difference; a row that only one has counts as nothing in the other."""
    rows = []
    for key in dict.fromkeys((*left, *right)):
        old, new = left.get(key, 0), right.get(key, 0)
        change = "-" if old is None or new is None else signed(new - old)
        rows.append((key, number(old), number(new), change))
    return table(title, ("", *names, "change"), rows)
