"""Mathematics: kept as TeX, with the paper's own macros expanded, comments gone, and numbers in place of labels."""

from pipeline.readers.latex import names, references, scanner
from pipeline.readers.latex.document import Document

_LONGEST = {"$": 5_000, "\\)": 5_000}
_LONGEST_DISPLAY = 50_000


class _Formula:
    """A formula that is being read: what it is made of, and what of it gets a number."""

    def __init__(self, document: Document, closer: str) -> None:
        self.document = document
        self.closer = closer
        """The token that ends it; of an environment its name."""
        self.out: list[str] = []
        self.size = 0
        self.braces = 0
        self.inner: list[str] = []
        self.by_line = closer.rstrip("*") in names.BY_LINE
        self.numbered = not closer.endswith("*") and closer in names.MATH
        self.unnumbered_line = False
        self.tag = ""
        """The author's own number of the line."""

    def add(self, text: str) -> None:
        self.out.append(text)
        self.size += len(text)

    def end_line(self) -> None:
        if self.numbered and not self.unnumbered_line:
            self.document.numbering.step("equation", "Equation")
        self.unnumbered_line, self.tag = False, ""

    def label(self, key: str) -> None:
        """A label in an environment with numbers becomes a tag, which prints the number."""
        numbering = self.document.numbering
        if self.closer not in names.MATH:
            numbering.label(key)
            return
        if self.tag:
            numbering.label(key, self.tag)
            return
        number = numbering.number("equation", ahead=1)
        numbering.label(key, number)
        if self.numbered and not self.unnumbered_line:
            self.add(f"\\tag{{{number}}}")


def math(document: Document, closer: str) -> str:
    """Read mathematics up to its end and return it as TeX, without what encloses it.

    It ends at its closer, and where a writer forgot that: at the end of a paragraph (within a line), at a brace that
    closes what lies outside, at a length that no formula has.
    """
    formula = _Formula(document, closer)
    source = document.scanner
    in_line = closer in _LONGEST
    longest = _LONGEST.get(closer, _LONGEST_DISPLAY)
    while not source.done and formula.size < longest:
        plain, kind, value = source.math_token()
        if plain:
            formula.add(plain)
        if kind == scanner.WORD:
            if _word(formula, value):
                break
        elif kind == scanner.SYMBOL:
            if "\\" + value == closer and not formula.inner:
                break
            formula.add("\\" + value)
            if value == "\\" and formula.by_line and not formula.inner:
                formula.end_line()
        elif kind in (scanner.LINE, scanner.COMMENT):
            if value.count("\n") > 1 and in_line:
                source.push("\n\n")
                break
            formula.add("\n" if kind == scanner.LINE else "")
        elif kind == scanner.OTHER:
            if value == "$" and formula.braces <= 0:
                if closer == "$" or (closer == "$$" and source.take("$")):
                    break
                if closer == "\\)":
                    continue
            formula.braces += {"{": 1, "}": -1}.get(value, 0)
            if formula.braces < 0:
                source.push("}")
                break
            formula.add(value)
    if closer in names.MATH:
        formula.end_line()
    text = "".join(formula.out)
    document.math_chars += len(text)
    if in_line:
        return " ".join(text.split())
    return "\n".join(line.rstrip() for line in text.split("\n") if line.strip()).strip()


def _word(formula: _Formula, word: str) -> bool:
    """Deal with a command; True if it ends the formula."""
    document, source = formula.document, formula.document.scanner
    if word == "end":
        name = source.argument().strip()
        if formula.inner and formula.inner[-1] == name:
            formula.inner.pop()
        elif name == formula.closer or name == "document":
            if name == "document":
                source.push("\\end{document}")
            return True
        elif name in document.macros.environments:
            source.push(document.macros.environments[name].end)
            return False
        formula.add(f"\\end{{{name}}}")
    elif word == "begin":
        name = source.argument().strip()
        if name in document.macros.environments and document.macros.expand(
            document.macros.environments[name].begin, source
        ):
            return False
        formula.inner.append(name)
        formula.add(f"\\begin{{{name}}}")
    elif word == "label":
        formula.label(source.argument())
    elif word in ("nonumber", "notag"):
        formula.unnumbered_line = True
    elif word == "tag":
        source.take("*")
        formula.tag = source.argument()
        formula.unnumbered_line = True
        formula.add(f"\\tag{{{formula.tag}}}")
    elif word in ("ensuremath", "xspace"):
        pass  # what they are for, is so already
    elif word in references.REFERENCES:
        references.REFERENCES[word](document, word)
        formula.add(document.sink.line.pop())
    elif word in document.macros.commands:
        document.macros.expand(document.macros.commands[word], source)
    else:
        formula.add("\\" + word)
    return False


def inline(document: Document, closer: str) -> None:
    """Write mathematics that stands in a line."""
    if text := math(document, closer):
        document.write(f"${text}$")


def display(document: Document, closer: str) -> None:
    """Write mathematics that stands by itself; an environment keeps its name."""
    if document.inner():
        text = math(document, closer)
        document.write(f" ${' '.join(text.split())}$ " if text else " ")
        return
    document.flush()
    text = math(document, closer)
    if not text:
        return
    if closer not in names.MATH or closer.rstrip("*") in ("displaymath", "math"):
        document.block(f"$$\n{text}\n$$" if "\n" in text else f"$${text}$$")
    else:
        document.block(f"\\begin{{{closer}}}\n{text}\n\\end{{{closer}}}")
