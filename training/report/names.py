"""Which sources a drawing names: the largest; others are drawn as one. Names are of strangers and may be long."""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len, set_cell_size

from pipeline.accounting.escape import line


def largest(amounts: Mapping[str, float], most: int) -> tuple[list[str], list[str]]:
    """The sources that are named, most is read of the first, and the others; never a single other one."""
    names = sorted(amounts, key=lambda name: (-amounts[name], name))
    return (names, []) if len(names) <= most else (names[: most - 1], names[most - 1 :])


def together(series: Mapping[str, Sequence[float]], names: Sequence[str]) -> list[float]:
    """The sum of some series."""
    return [sum(values) for values in zip(*(series[name] for name in names), strict=True)]


def short(name: str, cells: int) -> str:
    """A name on one line, cut to the width of so many letters."""
    shown = line(name)
    return shown if cell_len(shown) <= cells else set_cell_size(shown, cells - 1).rstrip() + "…"


def amount(tokens: float) -> str:
    """Tokens in three digits where there are many: 5,120, 134k, 5.24B.

    >>> amount(5120), amount(134_400), amount(5_242_880_000)
    ('5,120', '134k', '5.24B')
    """
    size, letter = max(((size, letter) for size, letter in _SIZES if tokens >= size), default=(1.0, ""))
    if tokens < 1e5:
        return f"{tokens:,.0f}"
    value = tokens / size
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}{letter}"


_SIZES = ((1e3, "k"), (1e6, "M"), (1e9, "B"), (1e12, "T"))
