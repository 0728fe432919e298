"""The recipe of FineWeb-2: against datatrove's classes with the published settings, and on texts of many languages."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import (
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)
from reasons import REASONS

from filters import FineWeb2, FineWeb2Gopher, FineWeb2Language, FineWeb2Repetition, words
from filters.base import LANGUAGE, OFF
from filters.fineweb2 import published
from pipeline.judge import judge

STEPS = {"repetition": FineWeb2Repetition(), "lines": FineWeb2(), "gopher": FineWeb2Gopher()}


@pytest.fixture(autouse=True)
def _our_tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give datatrove our tokens in place of those of its tokenisers, so that what is compared is the rules."""
    for module in (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter):
        monkeypatch.setattr(module, "split_into_words", lambda text, language: words.split(text))
    yield


def blocks(code: str) -> dict[str, Any]:
    """datatrove's filters as the pipeline of FineWeb-2 makes them."""
    known = published("lid176")[code]
    pairs = {name: tuple(zip(ns, known[name], strict=True)) for name, ns in NGRAMS.items()}
    return {
        "repetition": GopherRepetitionFilter(
            dup_para_frac=0,
            dup_line_char_frac=0,
            dup_para_char_frac=0,
            dup_line_frac=known["dup_line_frac"],
            top_n_grams=pairs["top_n_grams"],
            dup_n_grams=pairs["dup_n_grams"],
        ),
        "lines": FineWebQualityFilter(
            short_line_thr=999,
            char_duplicates_ratio=0.1,
            line_punct_thr=known["line_punct_thr"],
            new_line_ratio=known["new_line_ratio"],
        ),
        "gopher": GopherQualityFilter(
            min_avg_word_length=known["min_avg_word_length"],
            max_avg_word_length=known["max_avg_word_length"],
            stop_words=known["stopwords"],
            max_non_alpha_words_ratio=known["max_non_alpha_words_ratio"],
        ),
    }


NGRAMS = {"top_n_grams": range(2, 5), "dup_n_grams": range(5, 11)}


def sentences(test_data: Callable[[str], Path]) -> dict[str, list[str]]:
    """Texts of forty sentences, and the same sentences in other arrangements, by language."""
    found = {}
    for file in sorted((test_data("C-lingua-testdata") / "sentences").glob("*.txt")):
        if file.stem in published("lid176"):
            lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
            texts = ["\n".join(lines[first : first + 40]) for first in range(0, 400, 40)]
            texts += ["\n".join(lines[first : first + 4] * 8) for first in range(0, 40, 4)]  # repeats itself
            texts += [" ".join(lines[first : first + 3]) for first in range(0, 30, 3)]  # short
            texts += [
                " | ".join(word for line in lines[first : first + 20] for word in line.split()) for first in (0, 20)
            ]
            found[file.stem] = texts
    return found


def test_decisions_are_those_of_datatrove_with_the_published_settings(test_data: Callable[[str], Path]) -> None:
    # What this text has one token for, datatrove's list of stop words has a string for; of the languages whose words
    # are letters here, the published ranges are not asked.
    differ: list[tuple[str, str, Any, Any]] = []
    compared = dropped = 0
    for code, texts in sentences(test_data).items():
        if published("lid176")[code]["config"].endswith("_Thai"):
            continue
        docs = pl.DataFrame({"text": texts, "language": [code] * len(texts)})
        theirs = blocks(code)
        for name, step in STEPS.items():
            for text, reason in zip(texts, judge(docs, {name: step})["reason"], strict=True):
                verdict = theirs[name].filter(Document(text=text, id="0"))
                expected = None if verdict is True else f"{name}.{REASONS[verdict[1]]}"
                compared += 1
                dropped += expected is not None
                if reason != expected:
                    differ.append((code, name, reason, expected))
    assert compared > 5_000 and dropped > 1_000
    assert len(differ) <= compared // 200, differ


@pytest.mark.parametrize("segmenter", ["characters", "icu"])
def test_texts_of_every_language_are_neither_all_kept_nor_all_dropped(
    test_data: Callable[[str], Path], segmenter: Any
) -> None:
    if segmenter == "icu":
        pytest.importorskip("icu4py", reason="needs the extra [icu]")
    steps = {
        "repetition": FineWeb2Repetition(segmenter=segmenter),
        "lines": FineWeb2(segmenter=segmenter),
        "gopher": FineWeb2Gopher(segmenter=segmenter),
    }
    for code, texts in sentences(test_data).items():
        docs = pl.DataFrame({"text": texts, "language": [code] * len(texts)})
        kept = judge(docs, steps)["reason"].is_null().to_list()
        assert any(kept[:10]) or (code, segmenter) == ("th", "icu")  # its sentences are full of numbers
        assert not any(kept[10:20]), code


def test_names_of_languages_and_what_has_no_published_setting() -> None:
    german = published("lid176")["de"]
    assert FineWeb2Gopher().keep["mean_word_length@de"] == (0, german["max_avg_word_length"])
    assert FineWeb2Gopher(codes="glotlid").keep["mean_word_length@deu_Latn"] == (0, german["max_avg_word_length"])
    assert FineWeb2Language(codes="glotlid").keep["score@deu_Latn"] == (0.821, None)
    assert FineWeb2Gopher(codes="glotlid").stop_words["deu_Latn"][:3] == ("der", "und", "die")
    # English has no settings there, and is judged by those of Gopher, without stop words.
    docs = pl.DataFrame({"text": ["word " * 60], "language": ["en"]})
    assert docs.select(**FineWeb2Gopher().signals())["stop_words"].item() is None
    assert not any(key.endswith(f"{LANGUAGE}en") for step in STEPS.values() for key in step.keep)


def test_rules_of_word_length_are_off_where_a_word_is_a_letter() -> None:
    for code in ("th", "lo", "km", "my"):
        assert FineWeb2Gopher().keep[f"mean_word_length@{code}"] == OFF
        assert FineWeb2Repetition().keep[f"duplicate_5_gram@{code}"] == OFF
        assert FineWeb2Gopher(segmenter="icu").keep[f"mean_word_length@{code}"] != OFF
    assert FineWeb2Repetition().keep["duplicate_5_gram@zh"] == (None, 0.198)
