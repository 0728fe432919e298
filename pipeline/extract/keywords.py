"""Words in classes, ids, roles and item properties that tell what an element is for, found in one pass.

An Aho-Corasick automaton (Aho and Corasick 1975) over letters, with everything else as one more letter. Each group of
words is a bit of a mask.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GROUPS: dict[str, str] = {
    "content": "content article entry story post-body postbody articlebody text-body richtext rich-text prose",
    "main": "main primary",
    "body": "body text copy",
    "post": "post blog",
    "comment": "comment disqus respond discussion",
    "navigation": "nav menu toc",
    "sidebar": "sidebar aside rail secondary side-bar",
    "widget": "widget module block",
    "footer": "footer foot bottom",
    "header": "header masthead banner top",
    "share": "share social follow facebook twitter like",
    "advertisement": "ad- -ad advert ads sponsor promo commercial outbrain taboola",
    "related": "related recommend more- popular trending similar also latest recent",
    "breadcrumb": "breadcrumb crumb",
    "tag": "tag categor topic keyword label",
    "author": "author byline bio writer profile avatar",
    "date": "date time publish posted updated",
    "meta": "meta info detail",
    "caption": "caption figure image photo gallery media thumb credit",
    "legal": "copyright legal cookie consent gdpr privacy disclaimer terms license",
    "subscribe": "subscri newsletter signup sign-up login register signin paywall",
    "search": "search filter sort",
    "pagination": "pagination pager page-nav next prev paging",
    "hidden": "hidden hide print sr-only screen-reader visually popup modal overlay tooltip dialog",
    "rating": "rating review vote score star",
    "product": "product price cart shop buy item sku stock",
    "forum": "forum thread reply message topic-post quote signature",
    "code": "code highlight syntax snippet terminal",
    "title": "title headline heading",
    "lead": "lead summary intro excerpt abstract teaser deck standfirst subtitle description",
    "table": "table grid list card column row",
    "note": "footnote reference citation note source",
    "button": "button btn cta action toolbar control tool",
    "error": "error alert warning message-box notice",
}
"""Groups of words by name; the first is bit 0."""

NAMES = tuple(GROUPS)
_LETTERS = 28  # a to z, the hyphen, and anything else


class Keywords(NamedTuple):
    """The automaton: `step[state * 28 + letter]` is the next state; `found[state]` has the groups that end there."""

    step: NDArray[np.int32]
    found: NDArray[np.uint64]


@cache
def automaton() -> Keywords:
    """Return the automaton; made once per process, in some milliseconds."""
    children: list[dict[int, int]] = [{}]
    found: list[int] = [0]
    for bit, words in enumerate(GROUPS.values()):
        for word in words.split():
            state = 0
            for letter in word.encode():
                code = 26 if letter == 0x2D else letter - 0x61
                if code not in children[state]:
                    children[state][code] = len(children)
                    children.append({})
                    found.append(0)
                state = children[state][code]
            found[state] |= 1 << bit
    step = np.zeros((len(children), _LETTERS), np.int32)
    fails = [0] * len(children)
    order = [0]
    for state in order:
        for code in range(_LETTERS):
            child = children[state].get(code)
            back = int(step[fails[state], code]) if state else 0
            if child is None:
                step[state, code] = back
            else:
                step[state, code] = child
                fails[child] = back
                found[child] |= found[back]
                order.append(child)
    return Keywords(step.ravel(), np.array(found, np.uint64))
