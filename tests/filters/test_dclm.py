"""Gopher's quality rules as DCLM reads them: against plain Python written from their definition, and by hand."""

from collections.abc import Callable
from typing import Any

import messy
import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from filters import DclmGopher, Filter, Gopher

Measure = Callable[[Filter, str], dict[str, Any]]

TEXTS = messy.texts(
    ["the", "THE", "Be", "of,", "É", "#", "##", "...", "....", ". . .", ". . . .", "…", "• a", "* b", "●", "- c", "_1"]
)


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def fold(word: str) -> str:
    return word.encode().lower().decode()  # of bytes, hence of ASCII alone


def gopher(text: str, stop_words: tuple[str, ...]) -> dict[str, float]:
    words, lines = text.split(), list(filter(None, map(str.strip, text.split("\n"))))
    return {
        "words": sum(word[0].isalnum() for word in words),
        "mean_word_length": share(sum(map(len, words)), len(words)),
        "symbol_ratio": share(sum(map(text.count, ("#", "...", ". . .", "…"))), len(words)),
        "bullet_lines": share(sum(line.startswith(("●", "•", "*", "-")) for line in lines), len(lines)),
        "ellipsis_lines": share(sum(line.endswith(("...", ". . .", "…")) for line in lines), len(lines)),
        "alpha_words": share(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_words": sum(fold(word) in stop_words for word in words),
    }


@given(st.lists(TEXTS, max_size=4), st.sampled_from([("the", "be"), ("é", "themselves", "a"), ("É", "_1", "#")]))
@example(["", "\n", "THEMSELVES themselveS\n- . . .", ". . . . . ."], ("themselves",))
def test_statistics_are_those_of_plain_python(texts: list[str], stop_words: tuple[str, ...]) -> None:
    docs = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    assert docs.select(**DclmGopher(stop_words=stop_words).signals()).to_dicts() == [
        gopher(text, stop_words) for text in texts
    ]


def test_a_text_counted_by_hand(measure: Measure) -> None:
    assert measure(DclmGopher(), '● "The" THE the # …\n\n  - of 12 . . .\nBe...') == {
        "words": 5,  # THE the of 12 Be...
        "mean_word_length": (1 + 5 + 3 + 3 + 1 + 1 + 1 + 2 + 2 + 1 + 1 + 1 + 5) / 13,
        "symbol_ratio": 4 / 13,
        "bullet_lines": 2 / 3,
        "ellipsis_lines": 1,
        "alpha_words": 5 / 13,  # "The" THE the of Be...
        "stop_words": 3,  # THE the of
    }


def test_both_meanings_stand_side_by_side(measure: Measure) -> None:
    text = "The the the"
    assert (measure(Gopher(), text)["stop_words"], measure(DclmGopher(), text)["stop_words"]) == (1, 3)
    text = "a, b"
    assert (measure(Gopher(), text)["alpha_words"], measure(DclmGopher(), text)["alpha_words"]) == (2 / 3, 1)
    text = "* a"
    assert (measure(Gopher(), text)["bullet_lines"], measure(DclmGopher(), text)["bullet_lines"]) == (0, 1)
