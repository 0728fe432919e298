"""The product's own extractor: from a page to its main text, as plain text or Markdown."""

from typing import Literal, NamedTuple

from pipeline.extract.choice import Effort, choose
from pipeline.extract.page import Format, blocks_of
from pipeline.extract.render import render
from pipeline.extract.trees import Words, model

Preset = Literal["fast", "balanced", "quality"]

PRESETS: dict[Preset, Effort] = {
    "fast": Effort(60, 60, 0.0),
    "balanced": Effort(60, 300, 2.0),
    "quality": Effort(300, 300, 0.0),
}
"""Each asks more of the same trees: those for the coarse, or all where those are unsure, or all."""

BETA = {"precision": 0.5, "balanced": 1.0, "recall": 2.0}
"""How many times more recall counts than precision, by what is favoured."""

Favor = Literal["precision", "balanced", "recall"]


def preset_named(name: str) -> Preset:
    """Return the preset of a name; raises ValueError if there is none."""
    for preset in PRESETS:
        if preset == name:
            return preset
    raise ValueError(f"there is no preset '{name}': choose {', '.join(PRESETS)}")


class Content(NamedTuple):
    """The main text of a page."""

    text: str
    confidence: float
    """From 0 to 1: how good the text is expected to be, as F1 of its words; 0 if there is none."""


def content(
    html: bytes | str,
    *,
    preset: Preset = "balanced",
    favor: Favor = "balanced",
    format: Format = "text",
    emphasis: bool = False,
    encoding: str | None = "utf-8",
    words: Words | None = None,
) -> Content:
    """Return the main text of a page.

    Args:
        favor: what counts more where both cannot be had: that nothing else gets in, or that nothing is left out.
        emphasis: mark it, in Markdown.
        encoding: as in `blocks_of`.
        words: other trees than those of this version.
    """
    page = blocks_of(html, encoding)
    chosen, expected = choose(page, words or model().words, PRESETS[preset], BETA[favor])
    return Content(render(page, chosen, format == "markdown", emphasis).tobytes().decode(), expected)
