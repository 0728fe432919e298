"""The other side of the parser's process: sends files, and turns every way it can fail into one error."""

import json
from typing import NamedTuple

from pipeline.child import ERROR, FINE, WORDS, Child
from pipeline.readers.pdf import parser

_WORDS = {**WORDS, ERROR: "pdf"}


class Parsed(NamedTuple):
    """The pages of a file, or why there are none."""

    pages: list[str]
    page_count: int
    """Pages of the file; fewer are read where it has more than allowed."""
    failed: int
    about: dict[str, str]
    error: str | None


class Parser(Child):
    """One process, started with the first file and again whenever it is lost."""

    program = parser.__file__
    purpose = "PDF"

    def parse(self, data: bytes) -> Parsed:
        """Parse a file; raises RuntimeError if the process cannot be started."""
        status, body = self.ask(data)
        if status != FINE:
            return Parsed([], 0, 0, {}, _WORDS[status])
        found = json.loads(body)
        if "error" in found:
            return Parsed([], 0, 0, {}, found["error"])
        return Parsed(found["pages"], found["count"], found["failed"], found["about"], None)
