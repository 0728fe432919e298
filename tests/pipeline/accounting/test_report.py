"""The report as an HTML parser sees it, and histograms against counts in plain Python."""

import math
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.accounting.folder import RunFolder
from pipeline.accounting.histogram import Histogram, Labels, histograms
from pipeline.accounting.report import write_report

MakeRun = Callable[..., tuple[Path, list[Any]]]


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_of_hostile_documents_has_only_its_own_markup(make_run: MakeRun, simulation: Any) -> None:
    run, docs = make_run(seed=51, sources=("<img src=x onerror=alert(1)>", "b\x1b[31m"))
    html = write_report(run)
    page = Page(html)
    names = Counter(tag for tag, _ in page.tags)
    assert not names & Counter({"script": 1, "img": 1, "a": 1, "link": 1, "iframe": 1})
    assert all(not name.startswith("on") and name not in ("src", "href") for _, found in page.tags for name in found)
    assert "\x1b" not in html and "\u202e" not in html
    assert "<script>alert(1)</script>" in page.text and "{{ 7*7 }}" in page.text and "b\\x1b[31m" in page.text
    assert "default-src 'none'" in html
    balance = Counter(tag for tag, _ in page.tags) - Counter({"meta": 9, "br": 999})
    assert all(html.count(f"</{tag}>") == number for tag, number in balance.items() if tag not in ("line", "rect"))


def test_the_page_shows_every_reason_and_every_range(make_run: MakeRun) -> None:
    run, docs = make_run(seed=52)
    page = Page(write_report(run))
    for reason, number in Counter(doc.reason for doc in docs if doc.reason).items():
        assert f"{reason} ({number})" in page.text
    assert sum(tag == "line" for tag, _ in page.tags) == 8  # the ends of six ranges, two of them with both ends
    lines = [float(found["x1"] or "nan") for tag, found in page.tags if tag == "line"]
    assert all(0 <= place <= 100 for place in lines)
    assert f"{sum(doc.verdict == 'kept' for doc in docs)} kept" in page.text


def test_histograms_count_every_value_in_its_bar(make_run: MakeRun, simulation: Any) -> None:
    run, docs = make_run(seed=53)
    found = {histogram.signal: histogram for histogram in histograms(RunFolder(run))}
    assert set(found) == set(simulation.SIGNALS)
    for column, histogram in found.items():
        measured = [doc for doc in docs if column.split(".")[0] in doc.seen and doc.values[column] is not None]
        if isinstance(histogram, Labels):
            counts = Counter((doc.values[column], doc.verdict == "kept") for doc in measured)
            assert {(value, True): kept for value, kept, _ in histogram.counts if kept} == {
                key: number for key, number in counts.items() if key[1]
            }
            continue
        assert isinstance(histogram, Histogram)
        values = [(float(doc.values[column]), doc.verdict == "kept") for doc in measured]
        finite = [(value, kept) for value, kept in values if math.isfinite(value)]
        assert histogram.endless == len(values) - len(finite)
        assert histogram.unmeasured == len(docs) - len(values)
        assert list(histogram.edges) == sorted(set(histogram.edges))
        last = len(histogram.edges) - 2
        for bar, (low, high) in enumerate(zip(histogram.edges, histogram.edges[1:], strict=False)):
            for kept, counted in ((True, histogram.kept[bar]), (False, histogram.other[bar])):
                near = 1e-9 * max(abs(low), abs(high), 1.0)  # a value on an edge may fall to either side
                inside = [v for v, k in finite if k == kept and low + near < v < high - near]
                touching = [v for v, k in finite if k == kept and low - near <= v <= high + near]
                assert len(inside) <= counted <= len(touching)
            assert bar <= last
        assert sum(histogram.kept) + sum(histogram.other) == len(finite)
        if column in simulation.RANGES:
            ends = simulation.RANGES[column]
            broken = [
                simulation.outside(
                    doc.values[column], simulation.applies(simulation.RANGES, column, doc.values["language.label"])
                )
                for doc in measured
            ]
            assert histogram.outside == sum(broken)
            assert all(0 <= histogram.position(end) <= 1 for end in ends if end is not None)


def test_counts_with_long_tails_are_logarithmic(make_run: MakeRun) -> None:
    run, _ = make_run(seed=54)
    found = {histogram.signal: histogram for histogram in histograms(RunFolder(run))}
    assert found["gopher.words"].logarithmic and not found["lines.short"].logarithmic
    assert len(found["url.blocked"].edges) == 3  # a bar for no and one for yes
    assert found["gopher.words"].position(found["gopher.words"].edges[-1]) == pytest.approx(1)


def test_a_partial_run_says_so(make_run: MakeRun) -> None:
    run, _ = make_run(seed=55, limit=50, complete=False)
    page = Page(write_report(run))
    assert "limit of 50 records" in page.text and "not finished" in page.text
