"""The other side of the sandbox: sends pages, and turns every way it can fail into one page's error."""

import logging
from typing import NamedTuple

from pipeline.child import CRASH, ERROR, FINE, LENGTH, MEMORY, WORDS, Child
from pipeline.extract import sandbox

_LOG = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """The main text of a page, or why there is none."""

    text: str
    error: str | None
    """`timeout`, `memory`, `crash` or `error`."""
    detail: str = ""
    """What the extractor said of an `error`."""


class Supervisor(Child):
    """One sandbox, started with the first page and again whenever it is lost.

    What becomes of a page must not depend on those before it: a page that crashed or ran out of memory in a worker
    that had handled others is tried once more in a fresh one, and only that counts.
    """

    program = sandbox.__file__
    purpose = "extraction"

    def extract(self, page: bytes | str, url: str | None) -> Outcome:
        """The main text of a page, UTF-8 if it is bytes; raises RuntimeError only if the sandbox cannot be started."""
        address = (url or "").encode("utf-8", "replace")
        data = page if isinstance(page, bytes) else page.encode("utf-8", "replace")
        body = LENGTH.pack(len(address)) + address + data
        status, handled, text = self._pages(body)
        if status in (MEMORY, CRASH) and handled != 1:
            status, handled, text = self._pages(body)
        if status == FINE:
            return Outcome(text.decode("utf-8"), None)
        detail = text.decode("utf-8", "replace")
        _LOG.debug("extraction of %s: %s %s", url, WORDS[status], detail)
        return Outcome("", WORDS[status], detail if status == ERROR else "")

    def _pages(self, body: bytes) -> tuple[int, int, bytes]:
        """Status, number of pages of the worker (0: unknown), text."""
        status, told = self.ask(body)
        return status, LENGTH.unpack_from(told)[0] if told else 0, told[LENGTH.size :]
