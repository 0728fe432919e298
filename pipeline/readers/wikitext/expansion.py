"""Templates and links replaced from the inside out, in one pass over the text.

The rules of nesting are those of MediaWiki's preprocessor (mediawiki.org, Preprocessor ABNF), with one exception: a
link that has not ended does not keep the template around it from ending. What has no end is plain text. The common
parser library for wikitext, mwparserfromhell, makes a tree of every character instead, which takes most of the time of
a whole run; here it is what the tests compare with.
"""

import re

from pipeline.readers.wikitext.context import BAR, EQUALS, OPEN, Context
from pipeline.readers.wikitext.links import internal
from pipeline.readers.wikitext.templates import argument, template

_TOKEN = re.compile(r"\[\[([^\[\]{}|\n]*+)(?:\|([^\[\]{}|\n]*+))?\]\]|\{\{+|\}\}+|\[\[+|\]\]+|\|")
"""A link with nothing in it, which most are, is one token."""
_PROSE = frozenset(",.;:!?()'\"“”‘’«»„–—-%*#/")
_DEEPEST = 100
"""Of templates and links in each other; real pages stay below 40, and what is deeper is plain text."""
_LONGEST_PATTERN = 4096


class _Frame:
    """A template or link that has begun."""

    def __init__(self, sign: str, count: int, start: int) -> None:
        self.sign, self.count, self.start = sign, count, start
        self.parts: list[list[str]] = [[]]

    def text(self) -> str:
        """What it is if it does not end."""
        return self.sign * self.count + "|".join("".join(part) for part in self.parts)


def expand(text: str, context: Context) -> str:
    """Return the text with every template and every link replaced by what is seen of it."""
    bottom: list[str] = []
    stack: list[_Frame] = []
    braces = 0  # how many templates have begun
    current = bottom

    def pop() -> _Frame:
        nonlocal current
        frame = stack.pop()
        current = stack[-1].parts[-1] if stack else bottom
        return frame

    at = 0
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        if start > at:
            current.append(text[at:start])
        at = end
        sign = text[start]
        if token[1] is not None:
            current.append(_safe(internal(token[1], token[2], context), bool(stack)))
        elif sign == "|":
            if stack:
                current = []
                stack[-1].parts.append(current)
            else:
                current.append("|")
        elif sign in "{[":
            count = end - start
            if len(stack) >= _DEEPEST:
                current.append(text[start:end])
                continue
            if sign == "[" and count > 2:
                current.append("[" * (count - 2))
            stack.append(_Frame(sign, count if sign == "{" else 2, start))
            braces += sign == "{"
            current = stack[-1].parts[-1]
        elif sign == "]":
            count = end - start
            while count >= 2 and stack and stack[-1].sign == "[":
                if count % 2 and _opens_more(stack[-1]):  # [[File:a.png|[http://x.org label]]]
                    current.append("]")
                    count -= 1
                frame = pop()
                current.append(_safe(_link(frame, context), bool(stack)))
                count -= 2
            current.append("]" * count)
        else:
            count = end - start
            while count >= 2 and braces:
                while stack[-1].sign == "[":
                    unclosed = pop().text()
                    current.append(unclosed)
                frame = pop()
                used = min(count, frame.count, 3)
                count -= used
                frame.count -= used
                parts = ["".join(part) for part in frame.parts]
                if used == 3:
                    shown = argument(parts)
                else:
                    shown = template(parts, _is_inline(text, frame.start + frame.count, end - count), context)
                if frame.count >= 2:
                    outer = _Frame("{", frame.count, frame.start)
                    stack.append(outer)
                    current = outer.parts[-1]
                else:
                    braces -= 1
                    current.append("{" * frame.count)
                if len(shown) > len(text) + _LONGEST_PATTERN:
                    shown = ""  # an argument that is written twice, time and again
                    context.counts["holes"] += 1
                current.append(_safe(shown, bool(stack)))
            current.append("}" * count)
    current.append(text[at:])
    while stack:
        unclosed = pop().text()
        current.append(unclosed)
    return "".join(bottom).replace(BAR, "|").replace(EQUALS, "=")


def _link(frame: _Frame, context: Context) -> str:
    target = "".join(frame.parts[0])
    label = "|".join("".join(part) for part in frame.parts[1:]) if len(frame.parts) > 1 else None
    return internal(target, label, context)


def _opens_more(link: _Frame) -> bool:
    """Whether the link has a single bracket that has not been closed."""
    inside = "".join(link.parts[-1])
    return inside.count("[") > inside.count("]")


def _safe(shown: str, nested: bool) -> str:
    """The text so that its equals signs do not name arguments of what it stands in."""
    return shown.replace("=", EQUALS) if nested and "=" in shown else shown


def _is_inline(text: str, start: int, end: int) -> bool:
    """Whether a template has prose beside it on its line."""
    before, after = start - 1, end
    while before >= 0 and text[before] in " \t":
        before -= 1
    while after < len(text) and text[after] in " \t":
        after += 1
    return (before >= 0 and _is_prose(text[before])) or (after < len(text) and _is_prose(text[after]))


def _is_prose(character: str) -> bool:
    return character.isalnum() or character in _PROSE or character == OPEN
