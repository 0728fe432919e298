"""Several steps over the same documents: their order changes nothing of what is left, and every character is told."""

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shuffle import copies_in, documents, find

from pipeline.dedup.spans.lines import Lines
from pipeline.dedup.spans.rows import COPY
from pipeline.dedup.spans.sentences import Sentences
from pipeline.dedup.spans.step import SpanStep
from pipeline.dedup.spans.strike import cut_copies
from pipeline.dedup.spans.substrings import Substrings

_STEPS: dict[str, SpanStep] = {
    "lines": Lines(),
    "sentences": Sentences(sentences=2, min_words_left=1, min_sentences_left=0),
    "substrings": Substrings(tokens=3),
}
_PIECES = ["One two.", "three four five.", "Six!", "\n", "\n\n", "七 八", "nine ten eleven", "- a", "\r\n"]
_TEXTS = st.lists(st.lists(st.sampled_from(_PIECES), max_size=12).map(" ".join), min_size=1, max_size=6)


Batch = tuple[pl.DataFrame, dict[str, np.ndarray]]


def looked_through(folder: Path, texts: list[str]) -> list[Batch]:
    """Batches of documents with the copies that each step finds in them."""
    batches = documents(texts, 2)
    files = {}
    for name, step in _STEPS.items():
        (folder / name).mkdir()
        files[name] = find(folder / name, step, batches, 2, 2)
    return [(docs, {name: copies_in(docs, paths) for name, paths in files.items()}) for docs in batches]


def cut(batches: list[Batch], names: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All documents after these steps, and the pieces that were cut."""
    steps = {name: _STEPS[name] for name in names}
    done = [cut_copies(docs, steps, copies) for docs, copies in batches]
    return pl.concat([docs for docs, _ in done]), pl.concat([pieces for _, pieces in done])


@given(_TEXTS)
@settings(max_examples=25)
def test_no_character_is_cut_twice_or_lost(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    batches = looked_through(tmp_path_factory.mktemp("steps"), texts)
    left: dict[str, str] = {}
    for names in itertools.permutations(_STEPS):
        docs, pieces = cut(batches, names)
        sums = sum(docs[f"{name}.cut"].fill_null(0) for name in names)
        assert (docs["text"].str.len_chars() + sums).to_list() == [len(text) for text in texts]
        for _, mine in pieces.group_by("id"):
            edges = [edge for piece in mine.sort("start").select("start", "end").rows() for edge in piece]
            assert edges == sorted(edges)
        counts = dict(((id_, step), number) for id_, step, number in pieces.group_by("id", "step").len().rows())
        for name in names:
            told = docs.select("id", pl.col(f"{name}.pieces").fill_null(0)).rows()
            assert [number for _, number in told] == [counts.get((id_, name), 0) for id_, _ in told]
        for name, text, reason in docs.select("id", "text", "reason").rows():
            if reason is None:
                assert left.setdefault(name, text) == text, "the order of the steps changes nothing of what is left"


def test_a_document_of_which_too_little_is_left_goes_through_no_further_step(tmp_path: Path) -> None:
    texts = ["Menu\nHome", "home\nmenu", "one two three four five\nx", "Menu\nand one two three four five"]
    docs, pieces = cut(looked_through(tmp_path, texts), ("lines", "substrings"))
    assert docs["reason"].to_list() == [None, "lines.short", None, None]
    assert docs["lines.cut"].to_list() == [0, 9, 0, 5]
    assert docs["substrings.cut"].to_list() == [0, None, 0, 24]
    assert docs["lines.keeper"].to_list() == [None, 0, None, 0]
    assert docs["substrings.keeper"].to_list() == [None, None, None, 1 << 32]
    assert docs["text"].to_list() == [texts[0], "", texts[2], "and"]
    assert pieces.select("step", "text").rows() == [
        ("lines", "home"),
        ("lines", "menu"),
        ("lines", "Menu"),
        ("substrings", "one two three four five"),
    ]


def test_documents_that_were_dropped_before_are_left_alone_and_keep_no_copy(tmp_path: Path) -> None:
    docs = documents(["same line", "Same line!", "same line"], 1)[0]
    docs = docs.with_columns(reason=pl.Series(["dedup.exact", None, None]))
    step = Lines()
    files = find(tmp_path, step, [docs], without=np.array([0], np.uint64))
    done, pieces = cut_copies(docs, {"l": step}, {"l": copies_in(docs, files)})
    assert done["text"].to_list() == ["same line", "Same line!", ""]
    assert done["l.cut"].to_list() == [None, 0, 9]
    assert pieces["keeper"].to_list() == [1]


def test_copies_of_other_documents_are_an_error(tmp_path: Path) -> None:
    docs = documents(["text"], 1)[0]
    for ordinal in (1, 2**64 - 1):
        copies = np.zeros((1, COPY), np.uint64)
        copies[0, 0] = ordinal
        with pytest.raises(ValueError, match="l: copies in documents that are not there"):
            cut_copies(docs, {"l": Lines()}, {"l": copies})
