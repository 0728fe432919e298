"""Parity with datatrove's own filter classes: same decision, same reason, given the same tokens."""

import gzip
import json
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import (
    c4_filters,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)
from hypothesis import given
from hypothesis import strategies as st
from reasons import REASONS

from filters import C4, C4Lines, Filter, FineWeb, Gopher, Repetition, words

Measure = Callable[[Filter, str], dict[str, Any]]
Broken = Callable[[Filter, Mapping[str, Any]], str | None]

SENTENCES = [
    "The quick brown fox, which we have seen before, jumps over the lazy dog.",
    "And that is what the people of the town have to be told with care!",
    "Is this the end?",
    "- a point",
    "• another point...",
    "It goes on and on…",
    "# # # heading",
    "1 2 3 4 5 6 7 8 9",
    "Short line",
    "Cookies: this site uses cookies to be of use.",
    "Please enable JavaScript to view the page.",
    "javascript {",
    "function() { return }",
    "Lorem ipsum dolor sit amet.",
    "Lorem ipsum with javascript in the line.",
    "privacy policy [12] and {terms of use} of it.",
    "Paris [1] is the capital [edit] of France [citation needed].",
    "x" * 1001 + " is a long word.",
    "",
    "   ",
]
PAGES = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=25).flatmap(
    lambda lines: st.sampled_from(["\n", "\n\n", " ", "\n "]).map(lambda end: end.join(lines))
)


@pytest.fixture(scope="module", autouse=True)
def _our_tokens() -> Any:
    """Give datatrove our tokens and sentences in place of spaCy's, so that what is compared is the statistics."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter):
            patch.setattr(module, "split_into_words", lambda text, language: words.split(text))
        patch.setattr(
            c4_filters,
            "split_into_sentences",
            lambda line, language: range(words.Batch(pl.Series([line])).counts["sentences"][0]),
        )
        yield


def theirs(block: Any, text: str) -> tuple[str | None, str]:
    """The signal for which datatrove drops a text, and the text as it leaves it."""
    document = Document(text=text, id="0")
    verdict = block.filter(document)
    return (None if verdict is True else REASONS[verdict[1]]), document.text


BLOCKS = [
    (Gopher(), gopher_quality_filter.GopherQualityFilter()),
    (Gopher(keep={"words": (5, 40)}), gopher_quality_filter.GopherQualityFilter(min_doc_words=5, max_doc_words=40)),
    (Repetition(), gopher_repetition_filter.GopherRepetitionFilter()),
    (FineWeb(), fineweb_quality_filter.FineWebQualityFilter()),
]


class NoWord:
    """What is in no word, as Unicode has it; datatrove's own list lacks marks such as the bullet."""

    def __contains__(self, char: str) -> bool:
        return unicodedata.category(char)[0] not in "LMN"


@given(PAGES)
def test_filters_decide_as_datatrove(measure: Measure, broken: Broken, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gopher_quality_filter, "PUNCTUATION_SET", NoWord())
        for ours, block in BLOCKS:
            if text or not isinstance(ours, Repetition):  # an empty text does not repeat itself; datatrove drops it
                assert broken(ours, measure(ours, text)) == theirs(block, text)[0]


@pytest.mark.parametrize("terminal", [True, False])
@given(text=PAGES)
def test_c4_decides_and_edits_as_datatrove(measure: Measure, broken: Broken, terminal: bool, text: str) -> None:
    reason, edited = theirs(c4_filters.C4QualityFilter(filter_no_terminal_punct=terminal), text)
    docs = C4Lines(terminal_punctuation=terminal).apply(pl.DataFrame({"text": [text]}), "c4_lines")
    cleaned = docs["text"][0]
    ours = broken(C4(), measure(C4(), cleaned))
    assert (ours is None) == (reason is None)
    if reason is None:
        assert cleaned == edited


def real_texts(test_data: Callable[[str], Path]) -> list[str]:
    judged = test_data("G-dclm-quality") / "quality_dev.jsonl"
    texts = [json.loads(line)["text"] for line in judged.read_text(encoding="utf-8").splitlines()]
    for path in sorted((test_data("D-dolma-cc-samples") / "multiple_files").glob("*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            texts += [json.loads(line)["text"] for line in stream]
    return texts


def test_crawled_pages_are_decided_as_by_datatrove(broken: Broken, test_data: Callable[[str], Path]) -> None:
    texts = real_texts(test_data)
    docs = pl.DataFrame({"text": texts})
    dropped = differ = 0
    for ours, block in BLOCKS:
        for text, row in zip(texts, docs.select(**ours.signals()).iter_rows(named=True), strict=True):
            reason = theirs(block, text)[0]
            dropped += reason is not None
            differ += broken(ours, row) != reason
    cleaned = C4Lines(terminal_punctuation=False).apply(docs, "lines").select("text")
    block = c4_filters.C4QualityFilter(filter_no_terminal_punct=False)
    for text, clean, row in zip(
        texts, cleaned["text"], cleaned.select(**C4().signals()).iter_rows(named=True), strict=True
    ):
        reason, edited = theirs(block, text)
        differ += (broken(C4(), row) is None) != (reason is None) or (reason is None and clean != edited)
    assert len(texts) > 250
    assert dropped > 100
    # datatrove has symbols such as © and emoji among the words; here a word has a letter or a digit.
    assert differ <= len(texts) // 100
