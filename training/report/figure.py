"""Charts below each other as one SVG that stands alone: it loads nothing, runs nothing and can be read on any ground.

Everything has its place in pixels, so that programs which are no browsers draw it too. Colours of text and ground
follow the reader's choice of light or dark.
"""

from collections.abc import Sequence
from typing import Any

from training.report.chart import COLOURS, Chart
from training.report.template import filled

WIDTH, LEFT, RIGHT = 940.0, 74.0, 236.0
"""Of the picture; of the room for numbers beside the axis, and for the key."""
_HEAD, _GAP, _TALL, _LOW, _ENTRY = 112.0, 84.0, 250.0, 120.0, 19.0


def figure(charts: Sequence[Chart], title: str, words: Sequence[str], description: str) -> str:
    """The picture; `words` stand below its title, and `description` is for those who cannot see it."""
    panels: list[dict[str, Any]] = []
    top = _HEAD + 18 * max(len(words) - 1, 0)
    for chart in charts:
        entries = sum(line.style != "faint" for line in chart.lines)
        height = max(_TALL if chart.stacked else _LOW, _ENTRY * entries if entries > 1 else 0.0)
        drawn = chart.drawn(WIDTH - LEFT - RIGHT, height)
        if drawn["lines"]:
            panels.append({**drawn, "top": top, "height": height, "keyed": entries > 1})
            top += height + _GAP
    return filled(
        "training.report",
        "figure.svg.jinja",
        title=title,
        words=words,
        description=description,
        panels=panels,
        colours=COLOURS,
        width=WIDTH,
        height=top - _GAP + 40,
        left=LEFT,
        plot=WIDTH - LEFT - RIGHT,
        entry=_ENTRY,
    )
