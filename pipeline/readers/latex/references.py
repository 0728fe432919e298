"""References and citations: the numbers and names that the paper prints, or nothing where they cannot be known."""

import re
from collections.abc import Callable

from pipeline.readers.latex import names
from pipeline.readers.latex.bibliography import Entry
from pipeline.readers.latex.document import Document, Handler
from pipeline.readers.latex.output import DROPPED

_NOT_TEXT = re.compile(r"\\[A-Za-z@]+\*?\s*|\\(?=[\s\S])|[{}]|%[^\n]*\n?")
_ACCENT = re.compile(r"\\([\"'`^~=.]|[uvHcdbkrt](?![A-Za-z]))\s{0,3}(\{?\s{0,3}\\?[A-Za-z](?![A-Za-z])|[A-Za-z])\}?")
_SYMBOL = re.compile(r"\\([A-Za-z]+)\s?")
_TIE = re.compile(r"[~\s]+")


def plain(text: str) -> str:
    """Little pieces of TeX, such as the notes of a citation, without their commands."""
    if "\\" in text:
        text = _ACCENT.sub(lambda found: names.accented(found[1], found[2].strip("{ ")), text)
        text = _SYMBOL.sub(lambda found: names.SYMBOLS.get(found[1], found[0]), text)
    return _TIE.sub(" ", _NOT_TEXT.sub("", text).replace("--", "–")).strip()


def _reference(document: Document, word: str) -> None:
    document.scanner.take("*")
    document.scanner.optional()
    keys = [key for key in document.scanner.argument().split(",") if key.strip()]
    named = word in ("autoref", "cref", "Cref", "cpageref", "vref", "Vref", "zcref")
    text = ", ".join(document.numbering.reference(key, named) for key in keys)
    document.write(f"({text})" if word == "eqref" else text)


def _page(document: Document, word: str) -> None:
    document.scanner.take("*")
    document.scanner.argument()
    document.write(DROPPED)


def _range(document: Document, word: str) -> None:
    first, last = document.scanner.argument(), document.scanner.argument()
    named = document.numbering.reference(first, named=True)
    document.write(f"{named}–{document.numbering.reference(last)}")


def _cite(document: Document, word: str) -> None:
    source = document.scanner
    source.take("*")
    notes = [note for note in (source.optional(), source.optional()) if note is not None]
    entries = document.bibliography.entries
    keys = [key.strip() for key in source.argument().split(",") if key.strip()]
    found = [entries[key] for key in keys if key in entries]
    document.unresolved_citations += len(keys) - len(found)
    if not found or not document.options.citations:
        document.write(DROPPED)
        return
    before = plain(notes[0]) if len(notes) > 1 else ""
    after = plain(notes[-1]) if notes else ""
    document.write(_STYLES[word](found, before, after))


def _printed(entry: Entry) -> str:
    return entry.label if entry.label and not entry.year and len(entry.label) <= 20 else str(entry.number)


def _numbers(found: list[Entry], before: str, after: str) -> str:
    if all(entry.year for entry in found):
        return _parenthesized(found, before, after)
    parts = [before, ", ".join(plain(_printed(entry)) for entry in found)]
    return f"[{' '.join(filter(None, parts))}{f', {after}' if after else ''}]"


def _textual(found: list[Entry], before: str, after: str) -> str:
    if not all(entry.year for entry in found):
        return _numbers(found, before, after)
    notes = [f"{f'{before} ' if before else ''}{entry.year}" for entry in found]
    notes[-1] += f", {after}" if after else ""
    return ", ".join(f"{plain(entry.author)} ({note})" for entry, note in zip(found, notes, strict=True))


def _bare(found: list[Entry], before: str, after: str) -> str:
    if not all(entry.year for entry in found):
        return _numbers(found, before, after)
    text = "; ".join(f"{plain(entry.author)}, {entry.year}" for entry in found)
    return f"{f'{before} ' if before else ''}{text}{f', {after}' if after else ''}"


def _parenthesized(found: list[Entry], before: str, after: str) -> str:
    return f"({_bare(found, before, after)})" if all(entry.year for entry in found) else _numbers(found, before, after)


def _authors(found: list[Entry], before: str, after: str) -> str:
    return ", ".join(plain(entry.author) or f"[{entry.number}]" for entry in found)


def _years(found: list[Entry], before: str, after: str) -> str:
    return ", ".join(entry.year or f"[{entry.number}]" for entry in found)


_STYLES: dict[str, Callable[[list[Entry], str, str], str]] = {
    **dict.fromkeys(("cite", "onlinecite", "supercite", "citenum", "footcite", "shortcite", "citen"), _numbers),
    **dict.fromkeys(("citet", "Citet", "textcite", "Textcite", "citeasnoun", "newcite", "citetext", "citeN"), _textual),
    **dict.fromkeys(("citep", "Citep", "parencite", "Parencite", "autocite", "citealtt", "citepp"), _parenthesized),
    **dict.fromkeys(("citealp", "citealt", "Citealp", "citeNP"), _bare),
    **dict.fromkeys(("citeauthor", "Citeauthor", "citeauthoronline"), _authors),
    **dict.fromkeys(("citeyear", "citeyearpar", "citeyearNP"), _years),
}

REFERENCES: dict[str, Handler] = {
    **dict.fromkeys(("ref", "eqref", "autoref", "cref", "Cref", "vref", "Vref", "nameref", "labelcref"), _reference),
    **dict.fromkeys(("fref", "sref", "tref", "subref", "thref", "Ref", "zcref"), _reference),
    **dict.fromkeys(("pageref", "cpageref"), _page),
    **dict.fromkeys(("crefrange", "Crefrange"), _range),
    **dict.fromkeys(_STYLES, _cite),
}
