"""Pages of text to a text: without running heads and page numbers, words and paragraphs put together again."""

import re
from collections import Counter

_EDGE, _EDGE_SHARE = 2, 5
"""Lines at the top and the bottom of a page that may be running heads: two, but no more than every fifth each."""
_REPEATED = 0.4
_LEAST_PAGES = 3
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"\W*(?:(?:page|seite|p\.)\s*)?(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:of|/|von)\s*\d{1,4})?\W*\Z", re.IGNORECASE
)
_HYPHENS = "-\u00ad\ufffe\x02"
"""At the end of a line. PDFium writes the last two for hyphens that it takes for breaks, without the line end."""
_BROKEN = re.compile("([\ufffe\x02])(?!\r?\n)")
_LAST_WORD = re.compile(r"\w+\Z")
_WORD = re.compile(r"(\w+)")
_ENDS = (".", "!", "?", ":", '."', ".”", ".)", "?”", "!”", "。")
_BULLET = re.compile(r"(?:[•●▪‣◦–—*-]|\(?\d{1,3}[.)]|\(?[a-z]\)|#)\s")
_CONTROL = re.compile(r"[\x00-\x01\x03-\x08\x0b\x0c\x0e-\x1f]")
_SHORT = 0.75


def text_of(pages: list[str]) -> str:
    """The text of a document, a paragraph a line."""
    lines = [_CONTROL.sub("", _BROKEN.sub("\\1\n", page)).replace("\r\n", "\n").split("\n") for page in pages]
    kept = without_running_heads([[line.strip() for line in page if line.strip()] for page in lines])
    return "\n\n".join(_paragraphs([line for page in kept for line in page]))


def without_running_heads(pages: list[list[str]]) -> list[list[str]]:
    """The pages without lines at their edges that recur, digits aside, on many pages, and without page numbers."""
    edges = [min(_EDGE, -(-len(page) // _EDGE_SHARE)) for page in pages]
    shapes: Counter[str] = Counter()
    for page, edge in zip(pages, edges, strict=True):
        shapes.update({_shape(line) for line in (*page[:edge], *page[len(page) - edge :])})
    often = max(_LEAST_PAGES, _REPEATED * len(pages))

    def runs(line: str) -> bool:
        return shapes[_shape(line)] >= often or (len(pages) > 1 and _PAGE_NUMBER.match(line) is not None)

    out = []
    for page, edge in zip(pages, edges, strict=True):
        first, last = 0, len(page)
        while first < edge and runs(page[first]):
            first += 1
        while last > max(first, len(page) - edge) and runs(page[last - 1]):
            last -= 1
        out.append(page[first:last])
    return out


def _shape(line: str) -> str:
    return _DIGITS.sub("#", " ".join(line.split())).casefold()


def _paragraphs(lines: list[str]) -> list[str]:
    """Lines joined where one goes on in the next: it is about as long as others, or its sentence has not ended."""
    if not lines:
        return []
    width = _usual_width(lines)
    whole = Counter(word.casefold() for line in lines for word in re.findall(r"\w+(?:-\w+)*", line))
    out, paragraph = [], [lines[0]]
    for before, line in zip(lines, lines[1:], strict=False):
        if not _goes_on(before, line, width):
            out.append("".join(paragraph))
            paragraph = [line]
        elif (word := _broken_word(before)) and line[:1].islower():
            paragraph[-1] = paragraph[-1][:-1]
            paragraph += ["-" if _is_compound(word, line, whole) else "", line]
        else:
            paragraph += [" ", line]
    return [*out, "".join(paragraph)]


def _usual_width(lines: list[str]) -> int:
    """Half of the text is in lines of at least that length."""
    half, size = sum(map(len, lines)) / 2, 0
    for size in sorted(map(len, lines), reverse=True):
        half -= size
        if half <= 0:
            break
    return size


def _goes_on(before: str, line: str, width: int) -> bool:
    """Whether a line goes on with the one before."""
    if line[:1].islower():
        return _BULLET.match(line) is None or _broken_word(before) != ""
    if _BULLET.match(line):
        return False
    return len(before) >= _SHORT * width and not (before.endswith(_ENDS) and len(before) < 0.9 * width)


def _broken_word(line: str) -> str:
    """The word before a hyphen at the end of a line, nothing if there is none."""
    found = _LAST_WORD.search(line[-60:-1]) if line.endswith(tuple(_HYPHENS)) else None
    return found[0] if found else ""


def _is_compound(word: str, line: str, whole: Counter[str]) -> bool:
    """Whether a word has a hyphen of its own: the document writes it so elsewhere, more often than without."""
    rest = _WORD.match(line)
    if rest is None:
        return False
    return whole[f"{word}-{rest[1]}".casefold()] > whole[f"{word}{rest[1]}".casefold()]
