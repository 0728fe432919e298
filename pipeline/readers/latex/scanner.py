"""Tokens of TeX source, in one pass over a stack of texts: files that are read in, and macros that are expanded.

A regular expression takes a stretch of plain text and the token behind it at once, which is several times faster than
characters one by one; no part of the source is looked at more often than a constant number of times.
"""

import re
from typing import NamedTuple

END, WORD, SYMBOL, LINE, COMMENT, OTHER = 1, 2, 3, 4, 5, 6

# A line end, and a comment with its line end; both with the blank lines that follow.
_LINES = r"(\n[ \t]*(?:\n\s*)?)|%[^\n]*(\n[ \t]*(?:\n\s*)?)?"
_TOKEN = rf"([^\\{{}}$%~&\n]*)(?:\\([A-Za-z]+)[ \t]*|\\([\s\S])|{_LINES}|([{{}}~&$])|\\?\Z)"
_TEXT = re.compile(_TOKEN)
_PACKAGE = re.compile(_TOKEN.replace("[A-Za-z]+", "[A-Za-z@]+"))
_MATH = re.compile(rf"([^\\{{}}$%\n]*)(?:\\([A-Za-z]+)|\\([\s\S])|{_LINES}|([{{}}$])|\\?\Z)")
_BRACE = re.compile(r"\\[\s\S]|%[^\n]*|[{}]")
_BRACE_RAW = re.compile(r"\\[\s\S]|[{}]")
_BRACKET = re.compile(r"\\[\s\S]|%[^\n]*|[{}\]]")
_SPACE = re.compile(r"(?:[ \t]|%[^\n]*\n)*\n?(?:[ \t]|%[^\n]*\n)*")
_BRANCH = re.compile(
    r"%[^\n]*|\\newif\s*\\[A-Za-z@]+|\\(if(?!f\b|thenelse|bool|toggle|blank|str|def(?:string|empty|macro))[A-Za-z@]*|fi|else)"
    r"(?![A-Za-z@])|\\(?:begin|end)\s*\{document\}"
)
_ARGUMENT = 1 << 16
_EXPANSION = 32
"""Characters that an expansion counts as besides its own: the shortest take time too."""
_DEPTH = 100


class TooMuchExpansion(Exception):
    """Macros expand to many times the source: an accident of recursion, or a bomb."""


class Token(NamedTuple):
    plain: str
    """The text before the token."""
    kind: int
    value: str


class _Input:
    __slots__ = ("absent", "depth", "name", "pos", "text")

    def __init__(self, text: str, name: str, depth: int) -> None:
        self.text, self.name, self.depth = text, name, depth
        self.pos = 0
        self.absent: set[str] = set()  # what does not come any more


class Scanner:
    """The source from where it stands on. `name` of an input is that of its file; macros have none."""

    def __init__(self, text: str, name: str, budget: int) -> None:
        self._stack = [_Input(text, name, 0)]
        self._budget = budget
        """Characters that may still be pushed."""
        self._patience = (1 << 20) + 4 * len(text)
        """Characters that may still be looked at in vain, before the ends of arguments are no longer searched for."""
        self.package = False
        """Whether `@` is a letter, as it is in packages and before the document begins."""

    def push(self, text: str, name: str = "") -> bool:
        """Read `text` before anything else; False if inputs are nested too deeply for that."""
        if not text:
            return True
        depth = self._stack[-1].depth + 1 if self._stack else 0
        if depth > _DEPTH:
            return False
        self._budget -= len(text) + _EXPANSION
        if self._budget < 0:
            raise TooMuchExpansion
        if self._stack and self._stack[-1].pos >= len(self._stack[-1].text) and not self._stack[-1].name:
            self._stack.pop()  # the last token of a macro was a macro: nothing of it is left to read
        self._stack.append(_Input(text, name, depth))
        return True

    def stop(self) -> None:
        self._stack.clear()

    def reading(self, name: str) -> bool:
        """Whether the file is being read already."""
        return any(source.name == name for source in self._stack)

    def file(self) -> str:
        """The name of the file that is being read."""
        return next((source.name for source in reversed(self._stack) if source.name), "")

    def token(self) -> Token:
        """The next token of running text; kind END with whatever plain text is left before the end of an input."""
        return self._next(_PACKAGE if self.package else _TEXT)

    def math_token(self) -> Token:
        """The next token of mathematics: spaces behind commands are left in the text, `~` and `&` are plain."""
        return self._next(_MATH)

    def _next(self, pattern: re.Pattern[str]) -> Token:
        source = self._stack[-1]
        match = pattern.match(source.text, source.pos)
        assert match is not None
        source.pos = match.end()
        kind = match.lastindex or END
        if kind == END:
            self._stack.pop()
            return Token(match[1], END, "")
        return Token(match[1], kind, match[kind])

    @property
    def done(self) -> bool:
        return not self._stack

    def _top(self) -> _Input | None:
        """The input that has the next character."""
        while self._stack and self._stack[-1].pos >= len(self._stack[-1].text):
            self._stack.pop()
        return self._stack[-1] if self._stack else None

    def peek(self) -> str:
        """The next character, or nothing at the end."""
        source = self._top()
        return source.text[source.pos] if source else ""

    def take(self, text: str) -> bool:
        """Skip `text` if it comes next."""
        source = self._top()
        if source is None or not source.text.startswith(text, source.pos):
            return False
        source.pos += len(text)
        return True

    def match(self, pattern: re.Pattern[str]) -> "re.Match[str] | None":
        """Skip what matches, within one input."""
        source = self._top()
        found = pattern.match(source.text, source.pos) if source else None
        if source and found:
            source.pos = found.end()
        return found

    def skip_space(self) -> None:
        """Skip spaces, comments and one line end, as TeX does before an argument."""
        while (source := self._top()) is not None:
            match = _SPACE.match(source.text, source.pos)
            assert match is not None
            source.pos = match.end()
            if source.pos < len(source.text):
                return

    def begins(self, opening: str) -> bool:
        """Whether an argument with this bracket comes next, perhaps after spaces, which are skipped then alone."""
        source = self._top()
        if source is None:
            return False
        match = _SPACE.match(source.text, source.pos)
        assert match is not None
        end = match.end()
        if source.text.startswith(opening, end):
            source.pos = end
            return True
        if end >= len(source.text):
            self.skip_space()
            return self.peek() == opening
        return False

    def argument(self, raw: bool = False) -> str:
        """The next argument as it stands: the inside of a group, a command, a character. `raw`: `%` is no comment."""
        self.skip_space()
        source = self._top()
        if source is None:
            return ""
        start = source.pos
        if source.text[start] == "{":
            end = self._close(source, _BRACE_RAW if raw else _BRACE, "}")
            if end < 0:
                source.pos += 1
                return ""
            source.pos = end + 1
            return source.text[start + 1 : end]
        if source.text[start] == "}":
            return ""
        token = _TEXT.match(source.text, start) if source.text[start] == "\\" else None
        source.pos = start + 1 if token is None else start + len(token[0].rstrip()) or start + 1
        return source.text[start : source.pos]

    def optional(self) -> str | None:
        """The next argument in brackets, if there is one."""
        if not self.begins("["):
            return None
        source = self._stack[-1]
        start = source.pos
        end = self._close(source, _BRACKET, "]")
        if end < 0:
            return None
        source.pos = end + 1
        return source.text[start + 1 : end]

    def _close(self, source: _Input, pattern: re.Pattern[str], closing: str) -> int:
        """Where the argument that begins at the position of `source` is closed; -1 if not within what may be read."""
        limit = _ARGUMENT if self._patience > 0 else 32
        depth = 0
        end = min(source.pos + limit, len(source.text))
        for match in pattern.finditer(source.text, source.pos + 1, end):
            found = match[0]
            if found == closing and depth == 0:
                return match.start()
            if found == "{":
                depth += 1
            elif found == "}":
                depth -= 1
                if depth < 0:
                    end = match.end()
                    break
        self._patience -= end - source.pos
        return -1

    def until(self, end: str) -> str | None:
        """The text up to `end`, which is skipped too; None if it does not come in this input."""
        source = self._top()
        if source is None or end in source.absent:
            return None
        found = source.text.find(end, source.pos)
        if found < 0:
            source.absent.add(end)
            return None
        text = source.text[source.pos : found]
        source.pos = found + len(end)
        return text

    def skip_branch(self) -> None:
        """Skip the branch of a conditional that is not taken; nothing is skipped if it has no end."""
        source = self._top()
        if source is None or self._patience <= 0:
            return
        depth = 0
        for match in _BRANCH.finditer(source.text, source.pos):
            word = match[1]
            if word is None:
                if match[0].endswith("{document}"):
                    break
            elif word not in ("fi", "else"):
                depth += 1
            elif depth == 0:
                source.pos = match.end()
                return
            elif word == "fi":
                depth -= 1
        self._patience -= len(source.text) - source.pos
