"""Gopher's rules as Dolma reads them: against plain Python written from their definition, and cases counted by hand."""

from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any

import messy
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import DolmaGopher, DolmaRepetition, Filter, Gopher, Repetition

Measure = Callable[[Filter, str], dict[str, Any]]

TEXTS = messy.texts(
    ["the", "be", "The", "of…", "#", "a#b", "...", "…", "* a", "- b", "-", "1,2", "a", "a b", "a b c d e"]
)


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def gopher(text: str, stop_words: tuple[str, ...]) -> dict[str, float]:
    words, lines = text.split(), text.split("\n")
    return {
        "words": len(words),
        "median_word_length": median(map(len, words)) if words else 0,
        "symbol_words": share(sum("#" in word or "…" in word for word in words), len(words)),
        "alpha_words": share(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_words": sum(map(words.count, set(stop_words))),
        "bullet_lines": sum(line[:1] in ("*", "-") and line != "" for line in lines) / len(lines),
        "ellipsis_lines": sum(line[-1:] == "…" for line in lines) / len(lines),
    }


def repetition(text: str) -> dict[str, float]:
    words, lines = text.split(), text.split("\n")
    chars = sum(map(len, words))
    repeated = [line for line in lines if lines.count(line) > 1]
    found = {
        "duplicate_lines": len(repeated) / len(lines),
        "duplicate_line_chars": sum(map(len, repeated)) / max(chars, 1),
    }
    for n in range(2, 11):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts, sizes = Counter(grams), [sum(map(len, gram)) for gram in grams]
        if n <= 4:
            top = max(counts, key=lambda gram: counts[gram], default=())
            found[f"top_{n}_gram"] = share(sum(map(len, top)) * counts[top], chars)
        else:
            copies = sum(size for gram, size in zip(grams, sizes, strict=True) if counts[gram] > 1)
            found[f"duplicate_{n}_gram"] = share(copies, sum(sizes))
    return found


@given(st.lists(TEXTS, max_size=4), st.sampled_from([("the", "be"), ("a",), ("é", "#", "1,2", "a", "a")]))
@example(["", "\n", " ", "…", "\u3000#\u3000", "a" * 3000 + " b"], ("a",))
def test_statistics_are_those_of_plain_python(texts: list[str], stop_words: tuple[str, ...]) -> None:
    docs = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    assert docs.select(**DolmaGopher(stop_words=stop_words).signals()).to_dicts() == [
        gopher(text, stop_words) for text in texts
    ]
    assert docs.select(**DolmaRepetition().signals()).to_dicts() == [repetition(text) for text in texts]


def test_quality_of_a_text_counted_by_hand(measure: Measure) -> None:
    text = "* The #1 of of lists…\n - wait... be…\n-\n12 34"
    # * The #1 of of lists… - wait... be… - 12 34: of 1 3 2 2 2 6 1 7 3 1 2 2 characters
    assert measure(DolmaGopher(), text) == {
        "words": 12,
        "median_word_length": 2.0,
        "symbol_words": 3 / 12,  # #1 lists… be…
        "alpha_words": 6 / 12,  # The of of lists… wait... be…
        "stop_words": 2,  # of of: be… and The are others
        "bullet_lines": 2 / 4,  # the second begins with a space
        "ellipsis_lines": 2 / 4,
    }


def test_repetition_of_a_text_counted_by_hand(measure: Measure) -> None:
    text = "to be or not\nto be or not\n\nto be or\n"
    got = measure(DolmaRepetition(), text)
    assert got["duplicate_lines"] == 4 / 5  # two of each; what follows the last newline is an empty line too
    assert got["duplicate_line_chars"] == 24 / 24  # 12 characters twice, white space with them, over 24 in words
    assert got["top_2_gram"] == 4 * 3 / 24  # to be
    assert got["top_3_gram"] == 6 * 3 / 24  # to be or
    assert got["top_4_gram"] == 9 * 2 / 24  # to be or not
    # Of seven 5-grams, from each word on, the first and the fifth are the same, and the second and the sixth, and the
    # third and the seventh; they have 11, 11 and 11 characters, and the fourth has 12.
    assert got["duplicate_5_gram"] == 2 * (11 + 11 + 11) / (2 * (11 + 11 + 11) + 12)
    assert got["duplicate_8_gram"] == 0


def test_both_meanings_stand_side_by_side(measure: Measure) -> None:
    text = "- One point.\n- One point."
    assert measure(Repetition(), text)["duplicate_lines"] == 1 / 2
    assert measure(DolmaRepetition(), text)["duplicate_lines"] == 1
    assert measure(Gopher(), "wait... what?")["ellipsis_ratio"] == 1 / 4
    assert measure(DolmaGopher(), "wait... what?")["symbol_words"] == 0
    assert measure(Gopher(), "a b c extraordinarily")["mean_word_length"] == 4.5
    assert measure(DolmaGopher(), "a b c extraordinarily")["median_word_length"] == 1


def test_a_rule_whose_name_is_misspelt_is_an_error_not_a_rule_that_never_fires() -> None:
    # The published mixing files of Dolma 1.5 name a top n-gram that its tagger calls otherwise.
    for name in ("fraction_of_characters_in_most_common_2gram", "top_2_grams", "top_2gram"):
        with pytest.raises(ValidationError, match=f"unknown signal '{name}'"):
            DolmaRepetition.model_validate({"keep": {name: [None, 0.2]}})
    with pytest.raises(ValidationError, match="did you mean 'top_2_gram'"):
        DolmaRepetition.model_validate({"keep": {"top_2grams": [None, 0.2]}})


@pytest.mark.parametrize("words", range(12))
def test_a_document_of_fewer_words_than_n_is_not_repetitive(measure: Measure, words: int) -> None:
    got = measure(DolmaRepetition(), " ".join(["again"] * words))
    for n in range(2, 11):
        assert (got[f"top_{n}_gram" if n <= 4 else f"duplicate_{n}_gram"] > 0) == (words >= n if n <= 4 else words > n)
