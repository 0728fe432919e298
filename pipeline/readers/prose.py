"""Lines of plain text joined to paragraphs where they were only broken to fit a width; verse and tables stay lines.

The test is the one by which lines are filled: a break is soft if the first word of the next line would not have fitted
on this one. Prose has hardly any other breaks, verse hardly any soft ones. The price is that a paragraph of short
lines of dialogue without blank lines between them may be taken for verse, and then keeps its lines.
"""

import re
from collections.abc import Callable

_WIDEST = 120
"""Lines that are longer have not been broken to fit a width."""
_NARROWEST = 40
_SLACK = 3
_SOFT_SHARE = 0.6
_COLUMNS = re.compile(r"\S {3,}\S|\S\t+\S|\.{5,}|\|.*\|")
_WORD = re.compile(r"\s*(\S+)")
_SEPARATED = 0.02
_WRAPPED_SHARE = 0.8


class Wrapping:
    """How the lines of a text are broken."""

    def __init__(self, lines: list[str]) -> None:
        inner = [len(line) for line, following in zip(lines, lines[1:], strict=False) if line and following]
        filled = sum(map(bool, lines))
        blank = sum(bool(line) and not following for line, following in zip(lines, lines[1:], strict=False))
        self.separated = blank > max(2, _SEPARATED * filled)
        """Paragraphs are separated by blank lines."""
        sizes = [len(line) for line in lines]
        self.wrapped = bool(inner) and sum(size for size in sizes if size <= _WIDEST) > _WRAPPED_SHARE * sum(sizes)
        short = sorted(size for size in inner if size <= _WIDEST)
        self.width = max(_NARROWEST, short[len(short) * 9 // 10]) if short else _WIDEST

    def soft(self, line: str, following: str, width: int | None = None) -> bool:
        """Whether the break between two lines is only there because the next word did not fit."""
        word = _WORD.match(following)
        return len(line) + 1 + len(word[1] if word else "") > (width or self.width) - _SLACK

    def is_prose(self, lines: list[str]) -> bool:
        """Whether the lines of a paragraph are one run of text."""
        if sum(_COLUMNS.search(line.strip()) is not None for line in lines) * 3 > len(lines):
            return False
        breaks = list(zip(lines, lines[1:], strict=False))
        soft = sum(self.soft(line, following) for line, following in breaks)
        if soft >= _SOFT_SHARE * len(breaks):
            return True
        if len(breaks) == 1:  # one break tells little: a sentence that goes on in small letters is no verse
            return lines[1].lstrip()[:1].islower() and len(lines[0]) > 0.7 * self.width
        width = max(map(len, lines))  # set in, or in a column of its own
        if len(breaks) < 3 or width < _NARROWEST:
            return False
        return sum(self.soft(line, following, width) for line, following in breaks) >= 0.85 * len(breaks)


def blocks_of(text: str, join: bool = True, alone: Callable[[str], bool] = lambda line: False) -> list[str]:
    """Return the paragraphs of a text, each as one line; verse, tables and headings with their lines.

    Args:
        join: False leaves all lines as they are, and only cuts at blank lines.
        alone: whether a line, such as a heading, belongs to no paragraph though no blank line sets it apart.
    """
    lines = [line.rstrip() for line in text.expandtabs(8).split("\n")]
    wrapping = Wrapping(lines)
    groups: list[list[str]] = [[]]
    for line in lines:
        if line:
            groups[-1].append(line)
        elif groups[-1]:
            groups.append([])
    groups = [group for group in groups if group]
    if not join:
        return ["\n".join(group) for group in groups]
    if not wrapping.wrapped:
        return [line.strip() for group in groups for line in group]
    blocks: list[str] = []
    for group in groups:
        if len(group) == 1:
            blocks.append(group[0].strip())
        elif not wrapping.separated:
            blocks += _cut(group, wrapping, alone)
        elif wrapping.is_prose(group):
            blocks.append(run(group))
        else:
            blocks.append(_kept(group))
    return blocks


def _cut(lines: list[str], wrapping: Wrapping, alone: Callable[[str], bool]) -> list[str]:
    """Paragraphs that follow one another without blank lines: each hard break ends one."""
    blocks, current = [], [lines[0]]
    for line, following in zip(lines, lines[1:], strict=False):
        if wrapping.soft(line, following) and not alone(line) and not alone(following):
            current.append(following)
        else:
            blocks.append(run(current))
            current = [following]
    return [*blocks, run(current)]


def run(lines: list[str]) -> str:
    """Lines as one; a hyphen or dash at the end of a line keeps its word together."""
    out = lines[0].strip()
    for line in lines[1:]:
        text = line.strip()
        together = out.endswith(("--", "—")) or (out[-2:-1].isalpha() and out.endswith("-") and text[:1].islower())
        out += text if together else " " + text
    return " ".join(out.split())


def _kept(lines: list[str]) -> str:
    """Lines as they are, without what they are all set in."""
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[indent:] for line in lines)
