"""Numbers of sections, equations, theorems, figures and tables, as LaTeX counts them, and references to them."""

import re

from pipeline.readers.latex.output import DROPPED, PLACE

_PLACE = re.compile(f"{PLACE}(\\d+){PLACE}")


_DEEPEST = 5


class Numbering:
    """Counters, labels, and places in the text whose number is known only at the end."""

    def __init__(self, chapters: bool) -> None:
        self._values: dict[str, int] = {}
        self._within: dict[str, str] = {}
        self._inner: dict[str, list[str]] = {}
        self._labels: dict[str, tuple[str, str]] = {}
        self._places: list[tuple[str, bool]] = []
        self._current = ("", "")
        self._appendix = False
        self.chapters = chapters
        self.depth = 4
        """The deepest level of sections that has numbers."""
        self.unresolved = 0
        if chapters:
            self._within.update({"equation": "chapter", "figure": "chapter", "table": "chapter", "section": "chapter"})
        self._within.update({"subsection": "section", "subsubsection": "subsection"})

    def nest(self, counter: str, within: str) -> None:
        """Count `counter` anew whenever `within` goes up, and print that before it."""
        outer = self._ancestors(within)
        if counter != within and counter not in outer and len(outer) < _DEEPEST:
            self._within[counter] = within
            self._inner.clear()

    def _ancestors(self, counter: str) -> list[str]:
        found: list[str] = []
        while (counter := self._within.get(counter, "")) and len(found) < 2 * _DEEPEST:
            found.append(counter)
        return found

    def step(self, counter: str, kind: str) -> str:
        """Count one up; a label that follows is of it. Return its number as it is printed."""
        self._values[counter] = self._values.get(counter, 0) + 1
        if counter not in self._inner:
            self._inner[counter] = [other for other in self._within if counter in self._ancestors(other)]
        for other in self._inner[counter]:
            self._values[other] = 0
        number = self.number(counter)
        self._current = (number, kind)
        return number

    def number(self, counter: str, ahead: int = 0) -> str:
        """The number of a counter, or the one that is `ahead` of it."""
        value = self._values.get(counter, 0) + ahead
        top = "chapter" if self.chapters else "section"
        text = chr(64 + min(value, 26)) if self._appendix and counter == top and value else str(value)
        outer = self._within.get(counter)
        if outer is None or (not self._values.get(outer) and outer != top):
            return text
        return f"{self.number(outer)}.{text}"

    def appendix(self) -> None:
        self._appendix = True
        self._values["chapter" if self.chapters else "section"] = 0

    def label(self, key: str, number: str | None = None, kind: str = "Equation") -> None:
        """Give a name to what was counted last, or to `number`."""
        self._labels.setdefault(key.strip(), self._current if number is None else (number, kind))

    def reference(self, key: str, named: bool = False) -> str:
        """What stands for a reference until `resolve`; `named`: with the name of what it is."""
        self._places.append((key.strip(), named))
        return f"{PLACE}{len(self._places) - 1}{PLACE}"

    def resolve(self, text: str) -> str:
        """The text with its numbers; those of labels that are nowhere become marks of something left out."""

        def number(match: re.Match[str]) -> str:
            index = int(match[1])
            key, named = self._places[index] if index < len(self._places) else ("", False)
            found = self._labels.get(key)
            if found is None or not found[0]:
                self.unresolved += 1
                return DROPPED
            return f"{found[1]} {found[0]}".strip() if named else found[0]

        return _PLACE.sub(number, text)
