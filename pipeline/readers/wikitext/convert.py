"""A page from wikitext to text, step by step."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pipeline.readers import scripts
from pipeline.readers.wikitext.context import BAR, CLOSE, EQUALS, OPEN, Context
from pipeline.readers.wikitext.expansion import expand
from pipeline.readers.wikitext.extensions import escape, strip
from pipeline.readers.wikitext.languages import VARIANTS
from pipeline.readers.wikitext.lines import Block, blocks
from pipeline.readers.wikitext.links import external
from pipeline.readers.wikitext.sections import is_back_matter
from pipeline.readers.wikitext.site import Site

_OURS = re.compile(f"[{OPEN}{CLOSE}{BAR}{EQUALS}]")
_ASIDE = re.compile(rf"{OPEN}(\d+){CLOSE}")
_ALONE = re.compile(rf"(<p>\s*){OPEN}(\d+){CLOSE}\s*([.,;]?\s*</p>)")
_SWITCH = re.compile(r"__[^\W\d_]+(?:_[^\W\d_]+)*__")
_QUOTES = re.compile(r"'{2,}")
_BRACKETS = re.compile(r"[\[\]{}]{2,}+")
_DOUBLE = ("{{", "}}", "[[", "]]")
_NO_TAG = re.compile(
    r"<(?!/?(?:abbr|b|bdi|bdo|big|blockquote|br|caption|center|cite|code|col|colgroup|data|dd|del|dfn|div|dl|dt|em|font"
    r"|h[1-6]|hr|i|ins|kbd|li|link|mark|meta|ol|p|q|rb|rp|rt|rtc|ruby|s|samp|small|span|strike|strong|sub|sup|table|td"
    r"|th|time|tr|tt|u|ul|var|wbr)(?=[\s/>]))",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[^<>]*>")
_SIGNATURE = re.compile(r"(?:\(\) ?)?\b\d{1,2}:\d{2}, \d{1,2} \w{1,20} \d{4} \([A-Z]{3,4}\)")
_VARIANT = re.compile(r"-\{([^{}]*)\}-")


class Converted(NamedTuple):
    text: str
    """Markdown, with the title as its first heading."""
    counts: Counter[str]
    """How many links, references, templates and so on the page has."""
    marks: frozenset[str]
    """What the page says of itself: `disambiguation`, `stub`, `featured`, `good`."""


def convert(
    source: str,
    site: Site,
    title: str,
    *,
    namespace: int = 0,
    templates: Mapping[str, str] | None = None,
    back_matter: bool = False,
) -> Converted:
    """Return the text of a page.

    Args:
        templates: patterns of the user's own, by the name of the template in lower case; see `patterns`.
        back_matter: keep sections that only list sources and other pages.
    """
    from pipeline.extract.page import whole_text

    context = Context(site, title, namespace, templates or {})
    text = expand(strip(_OURS.sub("", source), context), context)
    text = _inline(text, context)
    found = blocks(text.split("\n"))
    context.counts["tables"] = sum(block.html.count("<table") for block in found)
    shown = [block for block in _sections(found, context.language, back_matter)]
    context.counts["sections"] = sum(block.level > 0 for block in shown)
    html = scripts.flat("\n".join(_html(block) for block in shown))
    html = _ASIDE.sub(lambda mark: context.aside[int(mark[1])], _display(html, context))
    page = f"<h1>{escape(title)}</h1>\n{html}"
    return Converted(whole_text(page, "markdown"), context.counts, frozenset(context.marks))


def _inline(text: str, context: Context) -> str:
    if context.language in VARIANTS and "-{" in text:
        text = _VARIANT.sub(lambda found: _variant(found[1], context.language), text)
    if "__" in text:
        text = _SWITCH.sub(lambda found: _switched(found[0], context), text)
    if context.talk:
        text = _SIGNATURE.sub("", text)
    text = _QUOTES.sub(lambda found: _quotes(len(found[0])), external(text, context))
    return _NO_TAG.sub("&lt;", _BRACKETS.sub(_left_over, text))


def _left_over(brackets: re.Match[str]) -> str:
    """Nothing of brackets whose other half is missing."""
    return "" if any(pair in brackets[0] for pair in _DOUBLE) else brackets[0]


def _quotes(count: int) -> str:
    """What is left of apostrophes that make text bold and italic (mediawiki.org, Help:Formatting)."""
    return "'" * (count - 5 if count > 5 else count == 4)


def _switched(word: str, context: Context) -> str:
    """Nothing for words such as `__NOTOC__`; anything else is text."""
    if word in ("__DISAMBIG__", "__BEGRIFFSKLÄRUNG__"):
        context.marks.add("disambiguation")
    return "" if word == word.upper() else word


def _variant(inside: str, language: str) -> str:
    """One of the variants in `-{...}-` (mediawiki.org, Writing systems/Syntax): the plain one, or the first."""
    flags, bar, rest = inside.partition("|")
    if bar and re.fullmatch(r"[\sA-Z;-]*|[a-z;\s-]+", flags):
        if set("THD-") & set(flags):
            return ""
        inside = rest
    pairs = [pair.partition(":") for pair in re.split(r";(?=\s*[a-z-]+\s*:|\s*$)", inside)]
    named = {name.strip(): text.strip() for name, colon, text in pairs if colon}
    if not named or not all(re.fullmatch(r"[a-z-]+", name) for name in named):
        return inside
    wanted = (f"{language}-hans", f"{language}-cn", language, next(iter(named)))
    return next(named[name] for name in wanted if name in named)


def _sections(found: Iterable[Block], language: str, back_matter: bool) -> list[Block]:
    """The blocks without sections that are empty, and without those that only list sources."""
    kept: list[Block] = []
    skipped = 0
    for block in found:
        if block.level and (not skipped or block.level <= skipped):
            title = _TAG.sub("", block.html)
            skipped = block.level if not back_matter and is_back_matter(title, language) else 0
        if not skipped:
            kept.append(block)
    shown: list[Block] = []
    least = 0  # the level of the last heading kept, counted from the end; 0: text
    for block in reversed(kept):
        if block.level == 0:
            if not _is_empty(block.html):
                shown.append(block)
                least = 7
        elif least > block.level:
            shown.append(block)
            least = block.level
    return shown[::-1]


def _is_empty(html: str) -> bool:
    return not _TAG.sub("", html).strip() and OPEN not in html


def _html(block: Block) -> str:
    return f"<h{block.level}>{block.html}</h{block.level}>" if block.level else block.html


def _display(html: str, context: Context) -> str:
    """Formulas that are alone in their paragraph stand between two dollar signs."""

    def shown(found: re.Match[str]) -> str:
        inside = context.aside[int(found[2])]
        if inside.startswith("$") and not inside.startswith("$$"):
            inside = f"${inside}$"
        return f"{found[1]}{inside}{found[3]}"

    return _ALONE.sub(shown, html)
