"""What the parts of the conversion of one page share: the wiki, what has been counted, what has been put aside."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.readers.wikitext.site import Site

# No XML document can contain these characters, so that no page can forge what they mean here.
OPEN, CLOSE = "\x01", "\x02"
"""Around the number of what has been put aside."""
BAR, EQUALS = "\x03", "\x04"
"""Signs that stand for themselves, in what a template or link became."""


@dataclass
class Context:
    site: Site
    title: str
    namespace: int
    templates: Mapping[str, str]
    """Patterns of the user's own, by the name of the template in lower case."""
    counts: Counter[str] = field(default_factory=Counter)
    marks: set[str] = field(default_factory=set)
    """What templates and magic words say of the whole page: `disambiguation`, `stub`, `featured`, `good`."""
    aside: list[str] = field(default_factory=list)
    """HTML that is not looked at any more."""

    def __post_init__(self) -> None:
        self.language = (self.site.language or "").partition("-")[0].lower()
        self.talk = self.namespace % 2 == 1

    def put_aside(self, html: str) -> str:
        """Return what stands for the HTML until the end."""
        self.aside.append(html)
        return f"{OPEN}{len(self.aside) - 1}{CLOSE}"
