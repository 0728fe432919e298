"""Parser functions and variables of MediaWiki (mediawiki.org, Help:Magic words, Help:Extension:ParserFunctions).

Conditions are decided where they can be without other pages; what needs a database, a clock or Lua shows nothing.
"""

from collections.abc import Callable, Sequence

from pipeline.readers.wikitext.context import Context


def function(name: str, parts: Sequence[str], context: Context) -> str | None:
    """What is seen of a call such as `{{#if: condition|yes|no}}` or `{{PAGENAME}}`; None if it is none.

    Args:
        name: up to the first bar, the first argument included.
    """
    word, colon, value = name.partition(":")
    word, value = word.strip().lower(), value.strip()
    if not colon:
        return _variable(name, context)
    if word in _FUNCTIONS:
        return _FUNCTIONS[word](value, [part.strip() for part in parts])
    if word in _PAGE_NAMES:
        return value
    if word.startswith("#") or word in _NOTHING or not word or (name.partition(":")[0].isupper() and len(word) > 4):
        return ""  # among them SORTIERUNG, CLEDETRI and whatever else DEFAULTSORT is called
    return None


def _variable(name: str, context: Context) -> str | None:
    title = context.title
    _, _, below = title.partition(":") if context.namespace else ("", "", title)
    match name:
        case "PAGENAME" | "PAGENAMEE":
            return below
        case "FULLPAGENAME" | "FULLPAGENAMEE":
            return title
        case "BASEPAGENAME":
            return below.rpartition("/")[0] or below
        case "ROOTPAGENAME":
            return below.partition("/")[0]
        case "SUBPAGENAME":
            return below.rpartition("/")[2]
        case _ if name in _VARIABLES or name.startswith(("CURRENT", "LOCAL", "REVISION", "NUMBEROF")):
            return ""
    return None


def _if(condition: str, parts: Sequence[str]) -> str:
    return _nth(parts, 0 if condition else 1)


def _if_equal(left: str, parts: Sequence[str]) -> str:
    return _nth(parts, 1 if _same(left, _nth(parts, 0)) else 2)


def _switch(value: str, parts: Sequence[str]) -> str:
    default = ""
    matched = False
    for index, part in enumerate(parts):
        case, equals, result = part.partition("=")
        case = case.strip()
        if not equals:
            if index == len(parts) - 1:
                return case  # the last one, without a name, is for everything else
            matched |= _same(case, value)
        elif matched or _same(case, value):
            return result.strip()
        elif case == "#default":
            default = result.strip()
    return default


def _same(left: str, right: str) -> bool:
    """As text, or as numbers if both are."""
    if left == right:
        return True
    try:
        return float(left) == float(right)
    except ValueError:
        return False


def _nth(parts: Sequence[str], index: int) -> str:
    return parts[index] if index < len(parts) else ""


def grouped(number: str) -> str:
    """A number with a comma before every three digits of its whole part; anything else as it is."""
    sign = number[:1] if number[:1] in "-−+" else ""
    whole, point, rest = number[len(sign) :].partition(".")
    if not whole.isascii() or not whole.isdigit() or (point and not rest.isdigit()):
        return number
    return f"{sign}{int(whole):,}{point}{rest}" if len(whole) < 100 else number


_FUNCTIONS: dict[str, Callable[[str, Sequence[str]], str]] = {
    "#if": _if,
    "#ifeq": _if_equal,
    "#switch": _switch,
    "#iferror": lambda value, parts: _nth(parts, 1) or value,
    "#ifexist": lambda value, parts: _nth(parts, 0),
    "lc": lambda value, parts: value.lower(),
    "uc": lambda value, parts: value.upper(),
    "lcfirst": lambda value, parts: value[:1].lower() + value[1:],
    "ucfirst": lambda value, parts: value[:1].upper() + value[1:],
    "formatnum": lambda value, parts: value if "R" in parts or "NOSEP" in parts else grouped(value),
    "plural": lambda value, parts: _nth(parts, 0 if value == "1" or len(parts) == 1 else 1),
    "gender": lambda value, parts: _nth(parts, len(parts) - 1),
}
_PAGE_NAMES = frozenset({"pagename", "fullpagename", "subpagename", "basepagename", "ns", "anchorencode"})
_NOTHING = frozenset(
    """
    displaytitle defaultsort defaultsortkey defaultcategorysort int fullurl localurl canonicalurl filepath urlencode
    protectionlevel padleft padright numberofpages pagesincategory noexternallanglinks
    """.split()
)
_VARIABLES = frozenset(
    """
    NAMESPACE TALKSPACE SUBJECTSPACE TALKPAGENAME SITENAME SERVER SERVERNAME SCRIPTPATH CONTENTLANGUAGE PAGEID
    PAGELANGUAGE NOEXTERNALLANGLINKS DISPLAYTITLE DEFAULTSORT CASCADINGSOURCES
    """.split()
)
