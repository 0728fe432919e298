"""Links in double brackets: what is seen of them."""

import re

from pipeline.readers.wikitext.context import Context
from pipeline.readers.wikitext.languages import LANGUAGES

_MEDIA, _USER, _USER_TALK, _FILE, _CATEGORY = -2, 2, 3, 6, 14
_EXTERNAL = re.compile(
    r"\[(?:(?:https?|ftps?|irc|ircs|news|gopher|svn|git)://|//|mailto:|tel:)[^\s\[\]<>\"]{0,4000}+"
    r"(?:[ \t]++([^\]\n]{0,4000}+))?\]",
    re.IGNORECASE,
)
"""With a limit, so that a line full of links without an end is not read to its end for each."""


def internal(target: str, label: str | None, context: Context) -> str:
    """What is seen of `[[target|label]]`: nothing of files, categories and links to other languages."""
    name = target.strip()
    if ":" in name:
        hidden = _other_than_page(name, label, context)
        if hidden is not None:
            return hidden
        name = name.lstrip(":").strip()
    context.counts["links"] += 1
    return label if label and label.strip() else name.lstrip("#")


def _other_than_page(name: str, label: str | None, context: Context) -> str | None:
    """What is seen of a link that has a prefix; None if it leads to a page like any other."""
    prefix, _, _ = name.lstrip(":").partition(":")
    number = context.site.namespace(prefix)
    if not name.startswith(":"):
        if number in (_FILE, _MEDIA):
            context.counts["images"] += 1
            return label or "" if number == _MEDIA else ""
        if number == _CATEGORY:
            context.counts["categories"] += 1
            return ""
        if number is None and prefix.strip().lower() in LANGUAGES:
            context.counts["language_links"] += 1
            return ""
    return "" if context.talk and number in (_USER, _USER_TALK) else None


def external(text: str, context: Context) -> str:
    """The text with only the labels of links to other sites; an address without brackets stays."""
    if "[" not in text:
        return text

    def shown(found: re.Match[str]) -> str:
        context.counts["external_links"] += 1
        return (found[1] or "").strip()

    return _EXTERNAL.sub(shown, text)
