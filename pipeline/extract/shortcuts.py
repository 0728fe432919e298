"""What trafilatura is spared: questions about attributes that are not there, and classes of elements it has no use for.

Both change modules in place and for good, so they belong in the sandbox, a process that does nothing else.
"""

import re
from collections.abc import Iterable
from types import ModuleType

from lxml import etree, html


def ask_less(modules: Iterable[ModuleType]) -> None:
    """Have the XPath expressions of modules ask Python about an attribute only where an element has it.

    Most elements have none, and each question is a call of Python, together a sixth of trafilatura's time. The nodes
    that are found are the same, since no pattern is rewritten that an attribute which is not there would match.
    """
    for module in modules:
        for name, found in list(vars(module).items()):
            if isinstance(found, etree.XPath):
                setattr(module, name, _asking_less(found))
            elif isinstance(found, list):
                found[:] = [_asking_less(item) if isinstance(item, etree.XPath) else item for item in found]


def plain_elements(modules: Iterable[ModuleType]) -> None:
    """Have the HTML parsers of modules, and lxml's own, make every element an HtmlElement.

    lxml looks in Python for a class of its own for labels, inputs and so on, each time that an element is touched: a
    fifteenth of trafilatura's time.
    """
    classes = etree.ElementDefaultClassLookup(
        element=html.HtmlElement,
        comment=html.HtmlComment,
        pi=html.HtmlProcessingInstruction,
        entity=html.HtmlEntity,
    )
    parsers = [value for module in modules for value in vars(module).values() if isinstance(value, html.HTMLParser)]
    for parser in [html.html_parser, *parsers]:
        parser.set_element_class_lookup(classes)


_REGULAR_EXPRESSIONS = "http://exslt.org/regular-expressions"
_TEST = re.compile(r"re:test\((@[\w-]+(?:\|@[\w-]+)*), *'([^']*)'(, *'i')?\)")


def _asking_less(expression: etree.XPath) -> etree.XPath:
    path = _TEST.sub(_guarded, expression.path)
    return expression if path == expression.path else etree.XPath(path, namespaces={"re": _REGULAR_EXPRESSIONS})


def _guarded(test: re.Match[str]) -> str:
    attribute, pattern, flags = test.groups(default="")
    if re.search(pattern, ""):
        return test[0]
    # A string is passed on as it is; of a set of nodes, lxml first makes objects, and of their elements too.
    value = attribute if "|" in attribute else f"string({attribute})"
    return f"(({attribute.replace('|', ' or ')}) and re:test({value}, '{pattern}'{flags}))"
