"""Headings of chapters found in plain text, where nothing marks them but their words and the space around them."""

import re
from itertools import pairwise
from typing import NamedTuple

_ROMAN = r"[IVXLCDM]+|[ivxlcdm]+"
_COUNTED = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty first second third fourth fifth sixth seventh eighth ninth tenth "
    "eleventh twelfth last premier première deuxième erster erstes zweiter zweites dritter drittes primero segundo "
    "tercero primo secondo"
).replace(" ", "|")
_NUMBER = rf"(?:{_ROMAN}|\d{{1,3}}|(?:the\s+)?(?:{_COUNTED})(?:[\s-]+(?:{_COUNTED}))?)"
_CHAPTER = (
    "chapter|letter|scene|canto|stave|lecture|sermon|adventure|fable|essay|fytte|kapitel|chapitre|scène|auftritt|brief|"
    "cap[íi]tulo|capitolo|hoofdstuk|luku|kapitola|rozdział|fejezet|глава|розділ|κεφάλαιο"
)
_PART = "book|part|volume|vol\\.|act|buch|teil|band|livre|partie|tome|acte|libro|parte|tomo|deel|boek|часть|книга|том"
_NAMED = (
    "preface|prologue|epilogue|introduction|foreword|conclusion|afterword|postscript|appendix|author's note|"
    "l'envoi|vorwort|einleitung|nachwort|préface|avant-propos|épilogue|prólogo|epílogo|prefazione|introduzione"
)
_HEADING = re.compile(
    rf"\W{{0,3}}(?:(?P<part>{_PART})|(?P<chapter>{_CHAPTER}))\s+(?:the\s+)?(?:{_NUMBER})(?=\W|\Z)(?P<rest>.*)"
    rf"|\W{{0,3}}(?P<named>{_NAMED})\W{{0,3}}\Z"
    rf"|\W{{0,3}}(?:the\s+)?(?:{_COUNTED})\s+(?:(?P<part2>{_PART})|(?:{_CHAPTER}))\W{{0,3}}\Z",
    re.IGNORECASE,
)
_ONLY_NUMBER = re.compile(r"([IVXLC]{1,7}|\d{1,3})\.?\Z")
_LONGEST = 90
_BODY = 120
"""Characters between two headings below which the first is an entry of a table of contents."""
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


class Chapter(NamedTuple):
    title: str | None
    """None: what comes before the first heading."""
    text: str


def with_headings(blocks: list[str]) -> list[str]:
    """Return the paragraphs of a book with its headings marked as in Markdown: parts `#`, chapters `##`."""
    blocks = [part for block in blocks for part in _apart(block)]
    found = {index: level for index, block in enumerate(blocks) if (level := _level(block))}
    numbers = _numbered(blocks)
    if sum(level == 2 for level in found.values()) < len(numbers) or len(numbers) >= 3 and not found:
        for index in numbers:
            found.setdefault(index, 2)
    for index in _contents(blocks, found):
        del found[index]
    out: list[str] = []
    taken = -1
    for index, block in enumerate(blocks):
        if index == taken:
            continue
        if index not in found:
            out.append(block)
            continue
        title = " ".join(block.split())
        if index + 2 < len(blocks) and index + 1 not in found and _is_title(blocks[index + 1]):
            taken = index + 1
            title = f"{title.rstrip('.:')}. {' '.join(blocks[taken].split())}"
        out.append(f"{'#' * found[index]} {title.rstrip('.')}")
    return out


def is_heading(line: str) -> bool:
    """Whether a line by itself reads like the heading of a chapter or a part."""
    return _level(line.strip()) > 0


def _apart(block: str) -> list[str]:
    """A heading right behind other short lines, such as the author's name, as a block of its own."""
    lines = block.split("\n")
    if 1 < len(lines) <= 4:
        for at in range(1, len(lines)):
            if _level("\n".join(lines[at:])) and not _level(lines[0]):
                return ["\n".join(lines[:at]), "\n".join(lines[at:])]
    return [block]


def _level(block: str) -> int:
    """1 for a part, 2 for a chapter, 0 for no heading."""
    lines = block.split("\n")
    if len(block) > _LONGEST * 2 or len(lines) > 3 or not block[:4].strip(" \"'*_[(").strip()[:1].isupper():
        return 0
    matches = [match for line in lines if (match := _HEADING.match(line.strip()))]
    if len(matches) != 1 or _HEADING.match(lines[0].strip()) is None:
        return 0
    match = matches[0]
    rest = (match["rest"] or "").strip()
    if len(lines[0]) > _LONGEST or (rest and not rest.isupper() and rest.endswith((",", ";"))):
        return 0
    if rest and rest[0].islower():
        return 0  # "Part one of the plan was ...", "Chapter 3 says"
    if len(lines) == 1 and rest and rest.count(" ") > 12 and not rest.isupper():
        return 0
    return 1 if match["part"] or match["part2"] else 2


def _is_title(block: str) -> bool:
    """Whether the paragraph behind a heading is its second line: short, and in capitals or words that begin so."""
    if "\n" in block or len(block) > 80 or not block[:1].isalpha() and block[:1] not in "\"'“‘":
        return False
    if block.isupper():
        return True
    words = [word for word in block.split() if len(word) > 3]
    return block[-1].isalpha() and len(words) > 0 and sum(word[0].isupper() for word in words) >= 0.7 * len(words)


def _numbered(blocks: list[str]) -> list[int]:
    """Blocks that are nothing but a number, where the numbers go up by one from 1 on, or begin anew at 1."""
    found: list[tuple[int, int]] = []
    for index, block in enumerate(blocks):
        if (match := _ONLY_NUMBER.match(block)) and (value := _value(match[1])):
            last = found[-1][1] if found else 0
            if value == last + 1 or (value == 1 and last > 0):
                found.append((index, value))
    return [index for index, _ in found] if len(found) >= 3 else []


def _value(number: str) -> int:
    if number.isdigit():
        return int(number)
    values = [_VALUES[letter] for letter in number]
    return sum(-value if value < after else value for value, after in pairwise([*values, 0]))


def _contents(blocks: list[str], found: dict[int, int]) -> list[int]:
    """Headings of a table of contents: three or more in a row with next to nothing between them."""
    order = sorted(found)
    if not order:
        return []
    near = [sum(map(len, blocks[first + 1 : second])) < _BODY for first, second in pairwise(order)]
    listed: list[int] = []
    row: list[int] = []
    for index, close in zip(order, [*near, False], strict=True):
        if close:
            row.append(index)
        else:
            listed += row if len(row) >= 3 else []
            row = []
    return listed


def split_at(text: str) -> list[Chapter]:
    """Cut Markdown at its chapters: headings of the highest level that has at least two, with those above it."""
    lines = text.split("\n")
    levels = [_marks(line) for line in lines]
    level = next((depth for depth in range(1, 7) if levels.count(depth) >= 2), max(levels, default=0))
    deeper = next((depth for depth in range(level + 1, 7) if levels.count(depth) > 2 * levels.count(level)), 0)
    level = deeper or level
    starts = [index for index, depth in enumerate(levels) if 0 < depth <= level]
    chapters = []
    for start, end in zip([0, *starts], [*starts, len(lines)], strict=True):
        body = "\n".join(lines[start:end]).strip("\n")
        if body:
            chapters.append(Chapter(lines[start].lstrip("# ") if 0 < levels[start] <= level else None, body))
    return _joined(chapters)


def _joined(chapters: list[Chapter]) -> list[Chapter]:
    """Headings without a text of their own (a part, say) go with what follows them."""
    out: list[Chapter] = []
    held: list[str] = []
    for chapter in chapters:
        if chapter.title is not None and "\n" not in chapter.text:
            held.append(chapter.text)
            continue
        out.append(Chapter(chapter.title, "\n\n".join([*held, chapter.text])))
        held = []
    if held and out:
        out[-1] = Chapter(out[-1].title, "\n\n".join([out[-1].text, *held]))
    elif held:
        out.append(Chapter(None, "\n\n".join(held)))
    return out


def _marks(line: str) -> int:
    """The level of a heading in Markdown; 0 for any other line."""
    depth = len(line) - len(line.lstrip("#"))
    return depth if 0 < depth <= 6 and line[depth : depth + 1] == " " else 0
