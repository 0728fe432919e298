"""Templates of pages and pictures: every value is escaped, and characters that obey nobody are spelled out before."""

import re
from importlib.resources import files
from typing import Any

import jinja2

from pipeline.accounting.escape import visible

_NO_XML = re.compile("[\ufffe\uffff]")
"""What not even an escape can bring into XML; control characters are spelled out anyway."""


def filled(package: str, name: str, /, **values: Any) -> str:
    """A template of a package with these values."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string((files(package) / name).read_text(encoding="utf-8")).render(**values)


def _shown(value: Any) -> Any:
    """What a template puts out: text with its control characters spelled out; markup of its own macros as it is."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return _NO_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(value))
