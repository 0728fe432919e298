"""Pages with a known main text: where they come from, what their truth is worth, and which of them may be learned from.

The truth of a page is a text, or segments that must and must not be extracted. Pages are split by registered domain,
never by page, because the pages of one site share a template that a model would recognise. The price is that the parts
are only about as large as they were meant to be.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from filters.urls import parse
from pipeline.readers import WarcReader
from pipeline.readers.base import Split
from pipeline.readers.encoding import decode

WCXB = "B-wcxb-train/pages.jsonl.zst"
SEGMENTS = "B-trafilatura-dev/evaldata.json"
SEGMENTS_ARCHIVE = "B-trafilatura-dev/trafilatura-dev.warc.gz"

TEST_SHARE = 0.3
"""Of all domains, those whose pages are for measuring only."""

Part = Literal["train", "test", "reserved"]
"""`reserved` are domains of sets that are wholly for measuring."""


class Page(NamedTuple):
    """A page as an extractor gets it, with what is known of its main text."""

    name: str
    """Unique among all sets, such as `wcxb/0001`."""
    url: str
    html: bytes
    """UTF-8, whatever the page was sent in."""
    kind: str = ""
    """The type of page, such as `article` or `forum`; empty if nobody said."""
    text: str | None = None
    """The main text, if it is known."""
    wanted: tuple[str, ...] = ()
    """Segments that belong to the main text, if only those are known."""
    unwanted: tuple[str, ...] = ()

    @property
    def domain(self) -> str:
        """What pages that may share a template have in common."""
        return parse(self.url).domain


@dataclass(frozen=True)
class Splits:
    """Which domains are for learning and which for measuring: a stable hash of the domain says, no list of pages."""

    reserved: frozenset[str]

    def part(self, page: Page) -> Part:
        if page.domain in self.reserved:
            return "reserved"
        return "test" if _unit("part", page.domain) < TEST_SHARE else "train"

    def fold(self, page: Page, folds: int) -> int:
        """Return which of `folds` groups a page is in, for predictions by a model that saw no page of its domain."""
        return int(_unit("fold", page.domain) * folds)


def splits(root: Path) -> Splits:
    """Return the splits for the data under `root`: the sets with segments and the handbook are for measuring only."""
    urls: dict[str, object] = json.loads((root / SEGMENTS).read_text(encoding="utf-8"))
    return Splits(frozenset(parse(url).domain for url in urls) | {"debian-handbook.info"})


def _unit(purpose: str, domain: str) -> float:
    """Return a number from 0 up to 1, the same on every machine."""
    digest = hashlib.sha256(f"{purpose}:{domain}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


def wcxb(root: Path) -> Iterator[Page]:
    """Yield the annotated pages of WCXB's development set that have a main text (Foley 2026, arXiv:2605.21097).

    Truth: the main text as a language model drafted it and other models and people corrected it. It is near to the
    page's own words and in their order, but not a cut-out of the page. Of the 1,285 pages 17 are left out: their text
    is empty or missing, for shells that scripts fill as well as for pages that do have text.
    """
    import zstandard

    with (root / WCXB).open("rb") as file:
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(file)
        for line in io.TextIOWrapper(stream, encoding="utf-8"):
            entry = json.loads(line)
            truth = entry["ground_truth"]
            if text := (truth.get("main_content") or "").strip():
                yield Page(
                    f"wcxb/{entry['id']}",
                    entry["url"],
                    entry["html"].encode("utf-8", "replace"),
                    entry["_internal"]["page_type"]["primary"],
                    text,
                )


def trafilatura_dev(root: Path) -> Iterator[Page]:
    """Yield the part of trafilatura's own evaluation pages that is for development (Barbaresi 2021, section 4).

    Truth: a person chose about three segments that belong to the main text and three that do not. They say nothing of
    the rest of the page, and were chosen for being telling.
    """
    listed = json.loads((root / SEGMENTS).read_text(encoding="utf-8"))
    segments = {url.strip(): known for url, known in listed.items()}  # some end with a space
    for number, page in enumerate(archived([root / SEGMENTS_ARCHIVE], Counter())):
        known = segments[page.url]
        yield page._replace(name=f"segments/{number:04}", wanted=tuple(known["with"]), unwanted=tuple(known["without"]))


def archived(paths: Iterable[Path], ignored: Counter[str]) -> Iterator[Page]:
    """Yield the HTML pages of WARC files, without a truth; of pages with the same bytes only the first.

    Args:
        ignored: counts what is no page, by reason.
    """
    seen: set[bytes] = set()
    for path in paths:
        records = WarcReader().read(Split(str(path), 0, path.stat().st_size), ignored)
        for record in records:
            if record.html is None or record.url is None or record.drop or record.error:
                ignored[record.drop or record.error or "no page with an address"] += 1
                continue
            html = decode(record.html, record.charset)[0].encode("utf-8", "replace")
            if (digest := hashlib.sha256(html).digest()) in seen:
                ignored["seen before"] += 1
                continue
            seen.add(digest)
            yield Page(f"{path.name}/{record.offset}", record.url, html)


def sample(pages: Iterable[Page], most: int) -> list[Page]:
    """Return at most `most` pages, chosen by a hash of their name and then in order of it."""
    return sorted(pages, key=lambda page: (_unit("sample", page.name), page.name))[:most]
