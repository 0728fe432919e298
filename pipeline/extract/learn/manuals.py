"""Pages of manuals in many scripts, with the main text cut out by what is known of the program that generated them.

No person looked at these pages: the truth is as good as the rules, which hold for every page of a generator. It is the
text of the one element that holds the chapter, without its table of contents, which some would call text and some
navigation. Many translations are partly in English; `metrics.script` tells by the text, not by the folder.

Of the Debian packages whose pages these rules fit, `gimp-help-*`, `libreoffice-help-*`, `debian-reference-*`,
`debian-faq-*`, `maint-guide-*`, `aptitude-doc-*`, `developers-reference-*`, `installation-guide-amd64` and
`python3.11-doc` have pages in Arabic, Chinese, Greek, Hindi, Japanese, Khmer, Korean, Persian and Russian among others;
`dpkg -x` unpacks them into a folder for `unpacked`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lxml import etree, html

from pipeline.extract.learn.gold import Page, archived, sample

HANDBOOK = "A-warc-debian-handbook/debian-handbook-00000.warc.gz"

_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q rb rp rt rtc ruby s samp "
    "small span strike strong sub sup time tt u var wbr".split()
)
_LEFT_OUT = (
    "descendant::script | descendant::style | descendant::noscript | descendant::comment()"
    " | descendant::processing-instruction() | descendant::a[contains(@class, 'headerlink')]"
    " | descendant::*[contains(concat(' ', @class, ' '), ' toc ') or contains(concat(' ', @class, ' '), ' navheader ')"
    " or contains(concat(' ', @class, ' '), ' navfooter ')]"
)
_GENERATORS = {
    "publican": "//body/div[@class='chapter' or @class='section' or @class='preface' or @class='appendix']",
    "docbook xsl": "//body/div[not(@class='navheader' or @class='navfooter')]",
    "sphinx": "//div[@role='main'] | //main[@role='main']",
    "libreoffice": "//div[@id='DisplayArea']",
}
_SITES = {
    "gimp": "docs.gimp.org",
    "libreoffice": "help.libreoffice.org",
    "python3.11": "docs.python.org",
}
_LEAST_WORDS = 50
_BREAK = "\0"  # which no parsed text has


def handbook(root: Path) -> Iterator[Page]:
    """Yield the pages of the Debian handbook in 26 languages, of which every domain's split is `reserved`."""
    for page in archived([root / HANDBOOK], Counter()):
        if found := _with_truth(page):
            yield found._replace(name="handbook/" + page.url.partition("/browse/")[2])


def unpacked(folder: Path, most: int) -> Iterator[Page]:
    """Yield pages of manuals that were unpacked into `folder`, in order of path.

    Their address is that of the site which shows the same manual, so that they share its part and fold.

    Args:
        most: the most pages of one site in one language.
    """
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.rglob("*.html")):
        if path.is_file() and not path.is_symlink():
            place = path.relative_to(folder).as_posix()
            groups.setdefault((_site(place), _language(place)), []).append(path)
    for (site, _), paths in groups.items():
        names = (Page(path.relative_to(folder).as_posix(), "", b"") for path in paths)
        for name in (page.name for page in sample(names, most)):
            page = Page(f"manuals/{name}", f"https://{site}/{name}", (folder / name).read_bytes(), "documentation")
            if found := _with_truth(page):
                yield found


def _site(place: str) -> str:
    return next((site for word, site in _SITES.items() if f"/{word}" in place), "www.debian.org")


def _language(place: str) -> str:
    """Return what in a path looks like a language, such as `zh-cn` in `FAQ/zh-cn/index.zh-cn.html`."""
    found = re.findall(r"(?<=[/.])([a-z]{2}(?:[_-][A-Za-z]{2})?)(?=[/.])", place)
    return found[-1] if found else ""


def _with_truth(page: Page) -> Page | None:
    """Return the page with its main text; None if it is of an unknown generator, or has next to no text."""
    text = main_text(page.html)
    if text is None or len(text.split()) + len(re.findall(r"[\u0e00-\u1fff\u3040-\u9fff]", text)) < _LEAST_WORDS:
        return None
    return page._replace(text=text, kind="documentation")


def main_text(page: bytes) -> str | None:
    """Return the text of the element that holds the chapter; None for pages that no rule is for."""
    tree = html.document_fromstring(page, parser=html.HTMLParser(encoding="utf-8"))
    name = _generator(tree)
    found = tree.xpath(_GENERATORS[name]) if name else []
    if not isinstance(found, list) or not found:
        return None
    lines: list[str] = []
    for element in found:
        if isinstance(element, etree._Element):
            lines.extend(_lines(element))
    return "\n".join(lines)


def _generator(tree: html.HtmlElement) -> str | None:
    named = " ".join(str(value) for value in tree.xpath("//meta[@name='generator' or @name='GENERATOR']/@content"))
    for name in ("publican", "docbook xsl"):
        if name in named.lower():
            return name
    if tree.xpath("//div[contains(@class, 'sphinxsidebar')]"):
        return "sphinx"
    return "libreoffice" if tree.xpath("//div[@id='DisplayArea']") else None


def _lines(element: etree._Element) -> list[str]:
    """Return the text of an element, a line for each block, without the parts that are no text."""
    for part in element.xpath(_LEFT_OUT):
        if part.getparent() is not None:
            part.drop_tree()
    pieces: list[str] = []
    for event, node in etree.iterwalk(element, events=("start", "end")):
        pieces.append("" if node.tag in _INLINE else _BREAK)
        pieces.append((node.text if event == "start" else node.tail if node is not element else None) or "")
    lines = (" ".join(line.split()) for line in "".join(pieces).split(_BREAK))
    return [line for line in lines if line]
