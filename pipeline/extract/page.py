"""Whole pages: their blocks, and all the text that they show."""

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


def blocks_of(html: bytes | str, encoding: str | None = "utf-8") -> Blocks:
    """Return the blocks of a page.

    Pages that scripts would fill, and that have their text for readers without scripts in `noscript`, are read as by
    such a reader: it gets at least four times the text then, and at least 500 bytes.

    Args:
        encoding: of bytes that are no valid UTF-8. None finds it out from the page; with UTF-8, what is not valid
            becomes U+FFFD.

    Raises:
        ValueError: the page is longer than `LONGEST_PAGE`.
        MemoryError: it has more than about `MOST_BLOCKS`.
    """
    page = np.frombuffer(utf8(html, encoding), np.uint8)
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
    html: bytes | str, format: Format = "text", *, encoding: str | None = "utf-8", emphasis: bool = False
) -> str:
    """Return all text that a page shows; `encoding` as in `blocks_of`."""
    found = blocks_of(html, encoding)
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
