"""What kind of page a page is, by what it says of itself and by the shape of its address; its text is not looked at.

Few rules that hold for most sites, each of them wrong on some. Where none speaks, the page has no type.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult

TYPES = ("article", "forum", "product", "listing", "documentation", "collection", "other")
"""`collection` is a list of products, `listing` one of anything else."""


def _by_name(groups: dict[str, str]) -> dict[str, str]:
    return {name: kind for kind, names in groups.items() for name in names.split()}


_CLEAR = _by_name(
    {
        "forum": "discussionforumposting qapage question",
        "documentation": "techarticle apireference",
        "product": "product productgroup individualproduct productmodel",
        "article": "article newsarticle blogposting reportagenewsarticle analysisnewsarticle opinionnewsarticle "
        "backgroundnewsarticle reviewnewsarticle askpublicnewsarticle satiricalarticle advertisercontentarticle "
        "liveblogposting scholarlyarticle medicalscholarlyarticle socialmediaposting report recipe howto",
        "collection": "offercatalog",
        "listing": "collectionpage searchresultspage datacatalog",
    }
)
"""Types of schema.org by ours. Of several that a page has, the first here is meant: the others are around it."""
_VAGUE = _by_name(
    {
        "listing": "itemlist blog",
        "other": "service localbusiness profilepage aboutpage contactpage faqpage event jobposting course review "
        "softwareapplication webapplication mobileapplication videoobject podcastepisode realestatelisting",
    }
)
"""What articles and products have on their pages too."""
_ORDER = tuple(dict.fromkeys(_CLEAR.values()))
_SEVERAL = 3  # products from which on a page is a list of them

_OPEN_GRAPH = {
    "article": "article",
    "blog": "listing",
    "product": "product",
    "og:product": "product",
    "product.item": "product",
    "product.group": "collection",
    "profile": "other",
}

_SOFTWARE = re.compile(
    r"\b(?:(?P<forum>discourse|phpbb|xenforo|vbulletin|nodebb|flarum|mybb|smf|invision community|khoros)"
    r"|(?P<documentation>sphinx|mkdocs|docusaurus|gitbook|doxygen|javadoc|mdbook|docfx|vitepress|vuepress|antora"
    r"|asciidoctor|mintlify|rustdoc|jsdoc|yard|rdoc))\b",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"(?:\A|\.)(?:(?P<documentation>docs?|documentation|developers?|devdocs|manuals?)"
    r"|(?P<forum>forums?|community|communities|discuss|discussions?|boards?|answers)"
    r"|(?P<asked>stackexchange|stackoverflow|superuser|serverfault|askubuntu|mathoverflow|reddit|quora))[.-]"
    r"|(?P<read>\.readthedocs\.(?:io|org)|\.gitbook\.io)\Z"
)
_OF_HOST = {"asked": "forum", "read": "documentation"}
_LONGEST = 512  # characters of an address that are looked at
_PATHS = tuple(
    (kind, re.compile(form, re.IGNORECASE | re.ASCII))
    for kind, form in (
        (
            "forum",
            r"/(?:viewtopic|showthread|printthread)\b|/t/[^/]+/\d|/comments/\w+/|/threads?[-/]|/topic[-/][^?]*\d{3}",
        ),
        ("forum", r"/(?:forums?|discussions?|questions|community)/[^?]*\d"),
        ("documentation", r"/(?:docs?|documentation|manuals?|reference|javadoc|apidocs?|user-?guide|tutorials?)/"),
        ("product", r"/(?:products?|dp|item|itm)/[^/]|[-/]p[-/]?\d{4,}\b"),
        ("collection", r"/(?:collections?|shop|store|product-category|c|cat)/[^/]"),
        ("listing", r"/(?:tags?|categor(?:y|ies)|authors?|search|directory)(?:[/?]|\Z)|/page/\d+/?(?:\?|\Z)"),
        (
            "listing",
            r"/(?:blog|news|articles|posts|events|jobs|courses|reviews|magazine|stories|podcasts?|archives?)/?(?:\?|\Z)",
        ),
        ("article", r"/(?:19|20)\d\d/\d\d?/|[-/](?:19|20)\d\d-\d\d-\d\d[-/]"),
        (
            "article",
            r"/(?:blogs?|news|articles?|posts?|stor(?:y|ies)|magazine|guides?|insights?|journal)/[^?]*-[^/?]*-",
        ),
    )
)


def page_type(
    things: Sequence[Sequence[str]],
    open_graph: str | None,
    software: Iterable[str],
    url: SplitResult | None,
) -> str | None:
    """Return one of `TYPES`, None where nothing tells.

    Args:
        things: types of each thing that the page describes, in small letters.
        open_graph: what the page gives as `og:type`.
        software: names of what made the page.
        url: its address.
    """
    for name in software:
        if found := _SOFTWARE.search(name):
            return found.lastgroup
    clear = Counter(kind for types in things for kind in {_CLEAR[name] for name in types if name in _CLEAR})
    if any("faqpage" in types for types in things):
        del clear["forum"]  # its questions are the site's own
    shape = _shape(url) if url is not None else None
    for kind in _ORDER:
        if kind in clear:
            many = clear["product"] >= _SEVERAL or shape == "collection"
            return "collection" if kind == "product" and many or kind == "listing" and shape == "product" else kind
    said = _OPEN_GRAPH.get((open_graph or "").strip().lower())
    if said is None or said == "article":  # which much software says of every page
        said = shape or said
    vague = (_VAGUE[name] for types in things for name in types if name in _VAGUE)
    return said or next(vague, None)


def _shape(url: SplitResult) -> str | None:
    if found := _HOST.search(url.hostname or ""):
        return _OF_HOST.get(found.lastgroup or "", found.lastgroup)
    if url.path in ("", "/") and not url.query:
        return "other"
    address = f"{url.path}?{url.query}"[:_LONGEST].removesuffix("?")
    return next((kind for kind, form in _PATHS if form.search(address)), None)
