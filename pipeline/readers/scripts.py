"""Raised and lowered characters of HTML as plain text, so that 10<sup>6</sup> does not become 106."""

import re
from html import unescape

_PAIR = re.compile(r"<(su[bp])\b[^<>]*>([^<>]*)</su[bp]\s*>", re.IGNORECASE)
_RAISED = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_LOWERED = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_ORDINALS = frozenset("st nd rd th er ère re e ème o a os as ers".split())
_WORD = re.compile(r"[^\W_]+")


def flat(html: str) -> str:
    """Replace each innermost `sup` and `sub`: by Unicode's own characters, else as TeX writes them."""
    return _PAIR.sub(_flat, html) if "<su" in html or "<SU" in html else html


def raised(text: str) -> str:
    """`2` becomes ², `n+1` becomes ^{n+1}; what is text beside text, such as the ending of an ordinal, stays."""
    return _written(text, "^", _RAISED)


def lowered(text: str) -> str:
    """`2` becomes ₂, `max` becomes _max."""
    return _written(text, "_", _LOWERED)


def _written(text: str, mark: str, table: dict[int, int]) -> str:
    inner = text.strip()
    if not inner:
        return text
    if all(ord(character) in table for character in inner):
        return inner.translate(table)
    if inner.startswith("[") or (mark == "^" and inner in _ORDINALS) or not _WORD.search(inner):
        return inner  # the mark of a note; 1st; signs that are small by themselves, such as * and °
    return mark + inner if _WORD.fullmatch(inner) else f"{mark}{{{inner}}}"


def _flat(found: re.Match[str]) -> str:
    inner = unescape(found[2]) if "&" in found[2] else found[2]
    written = raised(inner) if found[1].lower() == "sup" else lowered(inner)
    return written.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
