"""The report of a run: one HTML file with the funnel, a histogram of every signal, and samples of what was dropped.

It loads nothing and runs no script, so it opens anywhere and a hostile document can do nothing in it: jinja2 escapes
every value, and control characters are spelled out before that.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from pipeline.accounting.contamination import contamination
from pipeline.accounting.cuts import frequent
from pipeline.accounting.escape import visible
from pipeline.accounting.folder import RunFolder, tokens
from pipeline.accounting.histogram import Histogram, Labels, histograms
from pipeline.accounting.inspect import explain, samples_by_reason
from pipeline.accounting.proof import COLUMNS
from pipeline.accounting.stats import stats
from pipeline.accounting.tables import interval, number, seconds, share

_SAMPLES = 3
_FREQUENT = 30
_CHARS = 1200


def write_report(run: Path | RunFolder) -> str:
    """The text of the page; the caller puts it somewhere. Raises RunFolderError where there is no ledger yet."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    counted = stats(folder)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "seconds": seconds, "interval": interval, "explain": explain}
    environment.filters |= {"cut": _cut}
    environment.globals |= {"share": share, "tokens": tokens}
    template = environment.from_string((files("pipeline.accounting") / "report.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        stats=counted,
        proof_columns=COLUMNS,
        limit=folder.setting("limit"),
        charts=[_chart(found) for found in histograms(folder)],
        frequent=frequent(folder, n=_FREQUENT),
        samples=samples_by_reason(folder, _SAMPLES),
        contamination=list(contamination(folder)),
    )


def _shown(value: Any) -> Any:
    """What the template puts out: text with its control characters spelled out; markup of its own macros as it is."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _cut(text: str) -> str:
    return text if len(text) <= _CHARS else f"{text[:_CHARS]} … {len(text) - _CHARS:,} more characters"


def _chart(found: Histogram | Labels) -> dict[str, Any]:
    """A histogram in the units of its picture: 100 wide, 100 high; the template draws it."""
    if isinstance(found, Labels):
        top = max(kept + other for _, kept, other in found.counts)
        bars = [(value, kept, other, 100 * kept / top, 100 * other / top) for value, kept, other in found.counts]
        return {"signal": found.signal, "labels": bars}
    top = max(kept + other for kept, other in zip(found.kept, found.other, strict=True)) or 1
    places = [100 * found.position(edge) for edge in found.edges]
    bars_of = zip(places, places[1:], found.edges, found.edges[1:], found.kept, found.other, strict=False)
    bars_drawn = [
        {
            "x": left,
            "width": max(right - left, 0.1),
            "kept": 100 * kept / top,
            "other": 100 * other / top,
            "title": f"{low:.4g} to {high:.4g}: {kept:,} kept, {other:,} not kept",
        }
        for left, right, low, high, kept, other in bars_of
        if kept or other
    ]
    ends = [(100 * found.position(end), f"{end:.6g}") for end in found.range or () if end is not None]
    return {
        "signal": found.signal,
        "labels": None,
        "bars": bars_drawn,
        "ends": ends,
        "low": f"{found.edges[0]:.4g}",
        "high": f"{found.edges[-1]:.4g}",
        "logarithmic": found.logarithmic,
        "range": found.range,
        "measured": sum(found.kept) + sum(found.other) + found.endless,
        "outside": found.outside,
        "endless": found.endless,
    }
