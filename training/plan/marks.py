"""Marks of a drawing in a terminal: stacked areas, curves, strips and axes as lines of text, a letter a cell.

Where there are colours, an area has eight levels in each cell (one colour before, one behind); where there are none, it
is made of letters, so that a drawing means the same in a log, on paper and to a screen reader.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from rich.style import Style
from rich.text import Text

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Of a braille letter, by row and column (Unicode 15.0, chapter 21.1)."""
_PLAIN = str.maketrans(
    dict(zip("▁▂▃▄▅▆▇█│┤└─┬■…→", ".,-=+*#@||+-+#~>", strict=True)) | dict.fromkeys(map(chr, range(0x2801, 0x2900)), "*")
)


def areas(columns: Sequence[Sequence[float]], height: int, colours: Sequence[str] | None, letters: str) -> list[Text]:
    """Shares on top of each other, the first at the bottom; one column of shares for each letter of the width."""
    edges = [list(accumulate(column)) for column in columns]
    rows = []
    for row in reversed(range(height)):
        text = Text()
        for column in edges:
            if colours is None:
                text.append(letters[_at(column, (row + 0.5) / height)])
            else:
                text.append(*_cell(column, row, height, colours))
        rows.append(text)
    return rows


def _at(edges: Sequence[float], level: float) -> int:
    """The area that is at a level from 0 to 1."""
    return min(bisect_right(edges, level * edges[-1]), len(edges) - 1)


def _cell(edges: Sequence[float], row: int, height: int, colours: Sequence[str]) -> tuple[str, Style]:
    """The lowest and the highest area in a cell, and between them the middle of what else is there."""
    inside = 1e-6 / height
    low, high = _at(edges, row / height + inside), _at(edges, (row + 1) / height - inside)
    if low == high:
        return _EIGHTHS[8], Style(color=colours[low])
    middle = (edges[low] + edges[high - 1]) / 2 / edges[-1] * height - row
    level = min(max(round(8 * middle), 0), 8)
    return _EIGHTHS[level], Style(color=colours[low], bgcolor=colours[high])


def curve(values: Sequence[float], height: int, top: float) -> list[str]:
    """A line through values (two for each letter of the width), from 0 at the bottom to `top`, in braille dots."""
    dots = 4 * height
    places = [min(max(round(value / top * (dots - 1)), 0), dots - 1) for value in values]
    cells = [[0] * (len(places) // 2) for _ in range(height)]
    before = places[0]
    for x, place in enumerate(places):
        # as far up or down as it takes to touch the dot before
        low, high = (before + 1, place) if before < place else (place, max(before - 1, place))
        for y in range(low, high + 1):
            down = dots - 1 - y
            cells[down // 4][x // 2] |= _DOTS[down % 4][x % 2]
        before = place
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in row) for row in cells]


def strip(passes: Sequence[float], most: float) -> str:
    """Passes over a source along the run: bars as high as the share of the most; digits end passes, ! is above.

    Of many passes only so many have their digit as there is room for.
    """
    letters = []
    for value in passes:
        share = value / most
        letters.append(" " if value <= 0 else "!" if share > 1 else _EIGHTHS[max(round(8 * share), 1)])
    after = 0
    for i, (before, value) in enumerate(pairwise(passes), 1):
        number = str(int(value))
        ends = i + len(number)
        if int(before) < int(value) and i >= after and ends <= len(letters) and passes[ends - 1] <= most:
            letters[i:ends] = number
            after = ends + 1
    return "".join(letters)


def stages(lengths: Sequence[int], width: int, begins: Sequence[int]) -> str:
    """Stages beside each other, each from its column to that of the next, with the length of its sequences."""
    text = [" "] * width
    for begin, end, length in zip(begins, [*begins[1:], width], lengths, strict=True):
        if begin < width:
            text[begin] = "│"
        words = f"{length:,}"
        if len(words) < end - begin:
            text[begin + 1 : begin + 1 + len(words)] = words
    return "".join(text)


def axis(count: int, width: int, margin: int) -> list[str]:
    """The axis of steps: its line, and numbers below it; `margin` letters before both."""
    parts = min(4, count - 1, width // (len(f"{count:,}") + 4))
    places = [round(i * (width - 1) / parts) for i in range(parts + 1)] if parts else [0]
    line, numbers = ["─"] * width, [" "] * width
    for place in places:
        line[place] = "┬"
        words = f"{step_of(place, count, width):,}"
        begin = min(max(place - len(words) // 2, 0), width - len(words))
        numbers[begin : begin + len(words)] = words
    return [f"{'└':>{margin}}{''.join(line)}", f"{'step':>{margin - 2}}  {''.join(numbers)}".rstrip()]


def step_of(column: float, count: int, width: int) -> int:
    """The step that a column is at; the first and the last column are the first and the last step."""
    return 1 + round(column / max(width - 1, 1) * (count - 1))


def plain(text: str) -> str:
    """The same in ASCII, for where there is nothing else."""
    return text.translate(_PLAIN).encode("ascii", "backslashreplace").decode("ascii")
