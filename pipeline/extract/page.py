"""Whole pages: their blocks, and all the text that they show."""

from collections import OrderedDict
from typing import Literal

import numpy as np

from filters.hashing import Bytes
from pipeline.extract.blocks import END, FLAGS, HIDDEN, START, Blocks
from pipeline.extract.keywords import automaton
from pipeline.extract.render import render
from pipeline.extract.scanner import scan
from pipeline.extract.tags import characters

Format = Literal["text", "markdown"]


LONGEST_PAGE = 1 << 29
"""Bytes in UTF-8: places in its text, of which there may be three times as many, are numbers of 32 bits."""
MOST_BLOCKS = 2_000_000
"""Or elements: each may need 400 bytes, and the smallest are three bytes of the page."""
_MANY_TIMES, _A_TEXT = 4, 500


class Scanned:
    """Blocks of the pages that were scanned last, for who looks at a page twice: at all of it to tell its language, and
    at its main text if that is wanted. A page is scanned once then."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._pages: OrderedDict[tuple[int, bytes], tuple[bytes, Blocks]] = OrderedDict()

    def put(self, page: bytes, blocks: Blocks) -> None:
        """Keep the blocks of a page until they are taken, or others need their place."""
        self.take(page)
        self._pages[self._key(page)] = page, blocks
        self._bytes += self._size(page, blocks)
        while self._bytes > self._most:
            self._bytes -= self._size(*self._pages.popitem(last=False)[1])

    def take(self, page: bytes) -> Blocks | None:
        """The blocks of a page, which are kept no longer; None if it is not here."""
        found = self._pages.get(key := self._key(page))
        if found is None or found[0] != page:
            return None
        del self._pages[key]
        self._bytes -= self._size(*found)
        return found[1]

    @staticmethod
    def _key(page: bytes) -> tuple[int, bytes]:
        """What pages are told apart by nearly always, for less than a hash of them costs."""
        middle = len(page) // 2
        return len(page), page[middle : middle + 32] + page[-32:]

    @staticmethod
    def _size(page: bytes, blocks: Blocks) -> int:
        return len(page) + sum(part.nbytes for part in blocks[:6] if isinstance(part, np.ndarray))


_scans = Scanned(64 << 20)


def blocks_of(html: bytes | str, encoding: str | None = "utf-8", keep: bool = False) -> Blocks:
    """Return the blocks of a page.

    Pages that scripts would fill, and that have their text for readers without scripts in `noscript`, are read as by
    such a reader: it gets at least four times the text then, and at least 500 bytes.

    Args:
        encoding: of bytes that are no valid UTF-8. None finds it out from the page; with UTF-8, what is not valid
            becomes U+FFFD.
        keep: the blocks for the next call with this page.

    Raises:
        ValueError: the page is longer than `LONGEST_PAGE`.
        MemoryError: it has more than about `MOST_BLOCKS`.
    """
    data = utf8(html, encoding)
    if (known := _scans.take(data)) is None:
        known = _blocks(data)
    if keep:
        _scans.put(data, known)
    return known


def _blocks(data: bytes) -> Blocks:
    page = np.frombuffer(data, np.uint8)
    if len(page) > LONGEST_PAGE:
        raise ValueError(f"a page of {len(page):,} bytes: more than {LONGEST_PAGE:,} are not read")
    found = _scanned(page, True)
    if found.noscript > _A_TEXT and found.noscript > _MANY_TIMES * (shown := _shown_bytes(found)):
        other = _scanned(page, False)
        if _shown_bytes(other) > max(_A_TEXT, _MANY_TIMES * shown):
            return other
    return found


def _scanned(page: Bytes, scripting: bool) -> Blocks:
    found = scan(page, characters(), automaton(), scripting, MOST_BLOCKS)
    if not found.complete:
        raise MemoryError(f"a page of more than {MOST_BLOCKS:,} blocks or elements")
    return found


def _shown_bytes(found: Blocks) -> int:
    sizes = found.blocks[:, END] - found.blocks[:, START]
    return int(sizes.sum(where=found.blocks[:, FLAGS] & HIDDEN == 0))


def whole_text(
    html: bytes | str,
    format: Format = "text",
    *,
    encoding: str | None = "utf-8",
    emphasis: bool = False,
    keep: bool = False,
) -> str:
    """Return all text that a page shows; `encoding` and `keep` as in `blocks_of`."""
    found = blocks_of(html, encoding, keep)
    shown = found.blocks[:, FLAGS] & HIDDEN == 0
    return render(found, shown, format == "markdown", emphasis).tobytes().decode()


def utf8(html: bytes | str, encoding: str | None) -> bytes:
    if isinstance(html, str):
        try:
            return html.encode()
        except UnicodeEncodeError:  # half a surrogate pair
            return html.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    try:
        html.decode()
    except UnicodeDecodeError:
        from pipeline.readers.encoding import decode  # late, since all readers come with it

        text = decode(html)[0] if encoding is None else html.decode(encoding, "replace")
        return text.encode()
    return html
