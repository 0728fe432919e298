"""Templates: what is seen of each, by rules for those that matter in a text, and by how they are used for the others.

No page of templates is read, since a dump of articles has none. A template that no rule knows and that has prose beside
it on its line shows its only argument, if it has exactly one that is not named; with more of them what it showed is
unknown, and the `hole` is counted. One that is alone on its lines is a box or a notice and shows nothing.
"""

import re
from collections.abc import Callable, Sequence

from pipeline.readers.wikitext import quantities, words
from pipeline.readers.wikitext.context import BAR, Context
from pipeline.readers.wikitext.functions import function
from pipeline.readers.wikitext.patterns import Arguments, fill
from pipeline.readers.wikitext.rules import CELLS, FAMILIES, rules

_PREFIX = re.compile(r"(?:(?:safesubst|subst|msg|msgnw|raw|template)\s*:\s*)+", re.IGNORECASE)
_ESCAPES = {"!": BAR, "=": "=", "!!": BAR * 2, "!-": f"{BAR}-", "(!": f"{{{BAR}", "!)": f"{BAR}}}"}
_LONGEST_NAME = 255

_SHOWN: dict[str, Callable[[Arguments, Context], str]] = {
    **quantities.SHOWN,
    **words.SHOWN,
}

_DISAMBIGUATION = re.compile(
    r"disambig|^(?:dab|hndis|geodis|schooldis|numberdis|letter-numbercombdis|mathdab|roaddis)$|begriffsklärung|homonymie"
    r"|^(?:desambiguación|desambiguação|disambigua|dp|ujednoznacznienie|неоднозначность|aimai|曖昧さ回避|förgrening)$"
    r"|消歧义|消歧義|동음이의"
)
_STUB = re.compile(r"(?:^|[-\s])stub$|^ébauche|^esboço|^esbozo|^beginnetje|^stub\b|^заготовка|小作品|토막글")
_GOOD = {
    "featured": frozenset({"featured article", "featured list", "exzellent", "article de qualité", "избранная статья"}),
    "good": frozenset({"good article", "lesenswert", "bon article", "artículo bueno", "хорошая статья"}),
}


def template(parts: Sequence[str], inline: bool, context: Context) -> str:
    """What is seen of `{{name|argument|...}}`.

    Args:
        parts: the name and the arguments, in which templates and links have been replaced already.
        inline: there is prose beside it on its line.
    """
    name = " ".join(parts[0].replace("_", " ").split())
    if name in _ESCAPES and len(parts) == 1:
        return _ESCAPES[name]
    if (prefix := _PREFIX.match(name)) is not None:
        name = name[prefix.end() :]
    context.counts["templates"] += 1
    if len(name) > _LONGEST_NAME and ":" not in name:
        return ""
    if ":" in name or name.isupper():
        shown = function(_PREFIX.sub("", parts[0].strip()), parts[1:], context)
        if shown is not None:
            return shown
    key = name.lower()
    pattern = context.templates.get(key)
    if pattern is not None:
        return fill(pattern, Arguments(parts[1:]))
    if (show := _SHOWN.get(key)) is not None:
        return show(Arguments(parts[1:]), context)
    pattern = rules(context.language).get(key)
    if pattern is None:
        if key in CELLS:
            return Arguments(parts[1:])[1] or CELLS[key]
        if (text := words.family(key, Arguments(parts[1:]), context)) is not None:
            return text
        pattern = next((shown for beginning, shown in FAMILIES if key.startswith(beginning)), None)
    if pattern is not None:
        _mark(key, context)
        return fill(pattern, Arguments(parts[1:])) if pattern else ""
    return _unknown(key, parts[1:], inline, context)


def argument(parts: Sequence[str]) -> str:
    """What is seen of `{{{name|value}}}` on a page that is no template."""
    return parts[1] if len(parts) > 1 else ""


def _unknown(key: str, parts: Sequence[str], inline: bool, context: Context) -> str:
    _mark(key, context)
    if not inline:
        return ""
    values = Arguments(parts).all()
    if len(values) == 1 and "\n\n" not in values[0]:
        return values[0]
    context.counts["holes"] += len(values) > 1
    return ""


def _mark(key: str, context: Context) -> None:
    if _DISAMBIGUATION.search(key):
        context.marks.add("disambiguation")
    elif _STUB.search(key):
        context.marks.add("stub")
    for mark, names in _GOOD.items():
        if key in names:
            context.marks.add(mark)
