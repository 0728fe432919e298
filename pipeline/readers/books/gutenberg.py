"""Texts of Project Gutenberg without what is put around and into them: header, licence, credits, marks of markup.

The markers have changed since 1991: "START OF THE PROJECT GUTENBERG EBOOK" between asterisks today, the end of "THE
SMALL PRINT!" up to 2003, which some early files have behind the text.
"""

import datetime
import re
from typing import NamedTuple

_START = re.compile(
    r"\W*START OF (?:THE |THIS )?(?:COPYRIGHTED )?PROJECT GUTENBERG|\W*Beginning of (?:this|the) Project Gutenberg"
    r"|\W*END\W{0,3}THE SMALL PRINT|.*\*END\*\s*\Z|\W*START\W{0,3}THE SMALL PRINT.*\*END\*",
    re.IGNORECASE,
)
_END = re.compile(
    r"\W*END OF (?:THE |THIS )?(?:COPYRIGHTED )?(?:PROJECT )?GUTENBERG|\W*End of (?:the |this )?Project Gutenberg"
    r"|\W*Ende dieses? Proje[ck]t Gutenberg|\W*Ende dieses Etextes|\W*Fin de (?:ce )?Project Gutenberg"
    r"|\W*This is a COPYRIGHTED Project Gutenberg Etext, Details Above|\W*START:? FULL LICENSE"
    r"|\W*End of this (?:Project Gutenberg )?E-?(?:text|book)\b|\W*Einde van (?:het )?Project Gutenberg"
    r"|\W*Fine del(?:l')?\s*(?:progetto|project) Gutenberg|\W*Fin del Proyecto Gutenberg",
    re.IGNORECASE,
)
_HINT = re.compile(r"Project Gutenberg|Gutenberg[- ]tm|gutenberg\.org", re.IGNORECASE)
_CREDIT = re.compile(
    r"[\W_]{0,4}(?:(?:Produced|Prepared|Proofed|Proofread|Scanned|Transcribed|Digiti[sz]ed|Updated|Created|Encoded) "
    r"(?:and \w+ )?(?:by|from)\b"
    r"|E-?(?:text|book) (?:prepared|produced|scanned|transcribed|created) by"
    r"|This (?:Project Gutenberg )?e-?(?:text|book) (?:was|is) (?:prepared|produced|scanned|created|transcribed|typed|"
    r"provided|converted|donated|based)"
    r"|(?:HTML|Text|Additional|This) (?:version|proof\w*|file|edition).{0,40} (?:by|from)\b"
    r"|Note: Project Gutenberg (?:also )?has|Project Gutenberg (?:also )?has (?:an|the|other)"
    r"|Images? (?:of the original pages )?(?:are|were|generously) |Original .{0,30}available (?:at|from)"
    r"|(?:the )?(?:Project Gutenberg )?(?:Online )?Distributed Proofread|Credits?:|Character set|Most recently updated"
    r"|Editorial note: Project Gutenberg|Release Date:|Language:|This file should be named)",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"(Title|Author|Translator|Editor|Language|Release Date|Posting Date|Character set encoding)\s*:\s*(.*)",
    re.IGNORECASE,
)
_ENCODING = re.compile(rb"Character set encoding:\s*([A-Za-z0-9_-]{2,30})", re.IGNORECASE)
_NUMBER = re.compile(r"\[\s*(?:E-?(?:text|book))\s*#\s*(\d{1,6})\s*\]", re.IGNORECASE)
_OF = re.compile(
    r"\W*(?:This is )?(?:The )?Project Gutenberg(?:'s)? (?:E-?(?:text|book),? )?(?:of )?(.{2,120}?)"
    r"(?:,? by ([^,*]{2,80}?))?[\s*]*\Z",
    re.IGNORECASE,
)
_NOTICE = re.compile(r"<<\s*THIS ELECTRONIC VERSION OF[^<>]{0,1500}>>")
_PICTURE = re.compile(r"^[ \t]*\[Illustrations?\][ \t]*$", re.MULTILINE | re.IGNORECASE)
_PAGE_MARK = r"(?:\[Pg \d{1,4}\]|\{\d{1,4}\}|\[p\. ?\d{1,4}\])"
_PAGE = re.compile(rf"(?<=\s){_PAGE_MARK}[ \t]?|{_PAGE_MARK}")
_ITALIC = re.compile(r"(?<![\w_])_(?=\S)([^_]{1,400}?)(?<=\S)_(?![\w_])")
_BOLD = re.compile(r"(?<![\w=])=(?=\S)([^=\n]{1,200}?)(?<=\S)=(?![\w=])")
_RULE = re.compile(r"^[ \t]*(?:[*_-][ \t]*){3,}$", re.MULTILINE)
_HEAD_LINES = 800
_CREDITS = 14
LANGUAGES = {
    "english": "en",
    "french": "fr",
    "german": "de",
    "finnish": "fi",
    "dutch": "nl",
    "italian": "it",
    "latin": "la",
    "spanish": "es",
    "portuguese": "pt",
    "chinese": "zh",
    "greek": "el",
    "swedish": "sv",
    "hungarian": "hu",
    "esperanto": "eo",
    "danish": "da",
    "tagalog": "tl",
    "catalan": "ca",
    "polish": "pl",
    "japanese": "ja",
    "norwegian": "no",
    "welsh": "cy",
    "czech": "cs",
    "russian": "ru",
    "icelandic": "is",
    "hebrew": "he",
    "bulgarian": "bg",
    "romanian": "ro",
    "serbian": "sr",
    "afrikaans": "af",
    "irish": "ga",
    "ukrainian": "uk",
}
PUBLIC_DOMAIN = "Public domain in the USA."
COPYRIGHTED = "Copyrighted. Read the copyright notice inside this book for details."


class Work(NamedTuple):
    """A text and what its header says of it."""

    text: str
    is_gutenberg: bool
    title: str | None = None
    author: str | None = None
    language: str | None = None
    date: str | None = None
    number: str | None = None
    license: str | None = None


def declared_encoding(data: bytes) -> str | None:
    """The encoding that the header names."""
    found = _ENCODING.search(data, 0, 20_000)
    return found[1].decode("ascii") if found else None


def strip(text: str) -> Work:
    """Return what lies between header and footer; a text that has neither is returned as it is."""
    lines = text.split("\n")
    start, end = _bounds(lines)
    head = lines[:start] or lines[:60]
    if start == 0 and end == len(lines) and not any(_HINT.search(line) for line in lines[:30]):
        return Work(text, False)
    fields = _fields(head)
    body = lines[start:end]
    if start == 0:
        body = _without_head(body)
    cleaned = _cleaned("\n".join(_without_credits(body)))
    number = next((found[1] for line in head if (found := _NUMBER.search(line))), None)
    rights = COPYRIGHTED if any("COPYRIGHTED" in line for line in head) else PUBLIC_DOMAIN
    language = fields.get("language", "").split(",")[0].strip().lower()
    return Work(
        cleaned,
        True,
        fields.get("title") or None,
        fields.get("author") or None,
        LANGUAGES.get(language),
        _date(fields.get("release date", "")),
        number,
        rights,
    )


def _bounds(lines: list[str]) -> tuple[int, int]:
    """The first line of the text, and the one behind its last."""
    ends = [index for index, line in enumerate(lines) if "u" in line.lower() and _END.match(line)]
    starts = [
        index
        for index, line in enumerate(lines[:_HEAD_LINES])
        if _START.match(line) and index < max(ends[-1:] or [len(lines)]) and index < 0.6 * len(lines)
    ]
    start = 0
    if starts:
        start = starts[-1] + 1
        if lines[start - 1].count("***") == 1:  # a long title goes on in the next lines
            more = next((index for index in range(start, min(start + 4, len(lines))) if "***" in lines[index]), None)
            start = start if more is None else more + 1
    later = [index for index in ends if index >= start + 0.5 * (len(lines) - start)]
    end = later[0] if later else next(iter(index for index in reversed(ends) if index > start), len(lines))
    return start, end


def _without_head(lines: list[str]) -> list[str]:
    """Without the paragraphs at the top that speak of Project Gutenberg, where no marker ends the header."""
    last = max((index for index, line in enumerate(lines[:60]) if _HINT.search(line)), default=-1)
    while 0 <= last < len(lines) - 1 and lines[last].strip():
        last += 1
    return lines[last + 1 :]


def _without_credits(lines: list[str]) -> list[str]:
    """Without the paragraphs near the top that say who made the file."""
    out: list[str] = []
    index = paragraphs = 0
    while index < len(lines) and paragraphs < _CREDITS:
        end = index
        while end < len(lines) and lines[end].strip():
            end += 1
        paragraph = lines[index:end]
        if paragraph:
            paragraphs += 1
            words = " ".join(line.strip() for line in paragraph)
            if len(words) > 1500:
                break
            if _CREDIT.match(words) or "pgdp.net" in words or ("Gutenberg" in words and "eBook" in words):
                paragraph = []
        out += [*paragraph, *lines[end : end + 1]]
        index = end + 1
    return out + lines[index:]


def _cleaned(text: str) -> str:
    """Without marks for illustrations, page numbers and lines of asterisks; emphasis as plain words."""
    for pattern in (_NOTICE, _PICTURE, _PAGE):
        text = pattern.sub("", text)
    text = _RULE.sub("* * *", text)
    return _BOLD.sub(r"\1", _ITALIC.sub(r"\1", text)).strip("\n")


def _fields(lines: list[str]) -> dict[str, str]:
    """The header's fields by name, in small letters; a line that is set in goes on with the one before."""
    found: dict[str, str] = {}
    last = ""
    for line in lines:
        match = _FIELD.match(line)
        if match:
            last = match[1].lower()
            found.setdefault(last, match[2].strip())
        elif last and line[:1] in (" ", "\t") and line.strip():
            found[last] = f"{found[last]} {line.strip()}"
        else:
            last = ""
    if "title" not in found and (match := next((m for line in lines[:10] if (m := _OF.match(line.strip()))), None)):
        found["title"] = match[1].strip()
        found.setdefault("author", (match[2] or "").strip())
    return found


def _date(text: str) -> str | None:
    """`July 1, 1998 [EBook #1]` as ISO 8601."""
    words = text.split("[")[0].strip()
    for form, length in (("%B %d, %Y", 10), ("%b %d, %Y", 10), ("%Y-%m-%d", 10), ("%B, %Y", 7), ("%B %Y", 7)):
        try:
            return datetime.datetime.strptime(words, form).date().isoformat()[:length]
        except ValueError:
            continue
    return None


def strip_parts(texts: list[str]) -> list[str]:
    """The same for the documents of an EPUB: without those before the header's end and behind the footer's begin."""
    out = list(texts)
    for index, text in enumerate(texts[:3]):
        lines = text.split("\n")
        at = next((number for number, line in enumerate(lines) if _START.match(line)), None)
        if at is not None:
            out[: index + 1] = [""] * index + ["\n".join(lines[at + 1 :]).strip("\n")]
            break
    for index in range(len(out) - 1, max(-1, len(out) - 4), -1):
        lines = out[index].split("\n")
        at = next((number for number, line in enumerate(lines) if _END.match(line)), None)
        if at is not None:
            out[index:] = ["\n".join(lines[:at]).strip("\n")] + [""] * (len(out) - index - 1)
            break
    first = next((index for index, text in enumerate(out) if text), None)
    if first is not None:
        out[first] = "\n".join(_without_credits(out[first].split("\n"))).strip("\n")
    return [_cleaned(text) for text in out]
