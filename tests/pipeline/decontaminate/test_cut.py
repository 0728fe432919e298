"""What is cut out of documents, and that all else stays as it was."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.decontaminate.step import CutContamination, Decontaminate

Sets = Callable[..., dict[str, Any]]

ASKED = (
    "A gardener plants forty bulbs in the first week of March, and in each week after that five bulbs more than in the "
    "week before it. How many bulbs has she planted when the month of March is over?"
)
TOLD = "She plants 40, 45, 50 and 55 bulbs in the four weeks of the month; together these are 190 bulbs."
SHORT = "the number of bulbs is one hundred and ninety"


@pytest.fixture(scope="module")
def settings(sets: Sets) -> dict[str, Any]:
    return {"sets": sets(school=[(ASKED, TOLD)], other=[(SHORT, "")])}


def _cut(settings: dict[str, Any], texts: list[str | None], **more: Any) -> pl.DataFrame:
    docs = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    return CutContamination.model_validate({**settings, **more}).apply(docs, "cut")


def test_the_question_and_its_answer_go_and_all_else_stays(settings: dict[str, Any]) -> None:
    text = f"Ärger im Garten — page 7.\n\n1) {ASKED}\nAnswer: {TOLD}\n\nΤέλος 👋🏽"
    row = _cut(settings, [text]).row(0, named=True)
    assert row == {
        "text": "Ärger im Garten — page 7.\n\n1) ?\nAnswer: .\n\nΤέλος 👋🏽",
        "cut.spans": 2,
        "cut.chars": len(ASKED) + len(TOLD) - 2,
        "cut.items": "school:0",
        "cut.cut": f"{ASKED[:-1]}\n…\n{TOLD[:-1]}",
    }


def test_clean_texts_are_left_alone(settings: dict[str, Any]) -> None:
    texts = ["", None, "A gardener plants forty bulbs in autumn.", "\u2028x\r\n"]
    found = _cut(settings, texts)
    assert found["text"].to_list() == texts
    assert found["cut.spans"].to_list() == found["cut.chars"].to_list() == [0] * 4
    assert found["cut.items"].null_count() == found["cut.cut"].null_count() == 4
    assert _cut(settings, []).height == 0


def test_margins_end_between_words(settings: dict[str, Any]) -> None:
    text = f"Where are the wild geese now? See: {ASKED} Nobody knows where they are."
    assert _cut(settings, [text], margin=10)["text"].item() == "Where are the wild geese  where they are."
    assert _cut(settings, [text], margin=1000)["text"].item() == ""


def test_the_rules_decide_what_is_cut(settings: dict[str, Any]) -> None:
    part = ASKED[:80]  # fourteen words
    text = f"It is said that {part} and that {SHORT}."
    assert (
        _cut(settings, [text], above={"idf": None, "share": None, "run": 12})["text"].item()
        == f"It is said that  and that {SHORT}."
    )
    assert _cut(settings, [text], above={"idf": None})["text"].item() == f"It is said that {part} and that ."
    assert _cut(settings, [text], above={"idf": None, "share": None, "run": 20})["text"].item() == text
    assert _cut(settings, [text], above={"share": None})["text"].item() == text


def test_short_rows_are_cut_where_they_are_asked_for(settings: dict[str, Any]) -> None:
    text = f"So {SHORT[:26]} hundreds."
    only = {"idf": None, "share": None, "run": 5}
    assert _cut(settings, [text], above=only).select("text", "cut.items").row(0) == ("So  hundreds.", "other:0")


def test_what_moves_together_is_cut_too(settings: dict[str, Any]) -> None:
    half = SHORT[:23]
    nested = f"So {half}{SHORT} {SHORT[23:]}!"
    row = _cut(settings, [nested], above={"idf": None}).row(0, named=True)
    assert (row["text"].split(), row["cut.spans"], row["cut.items"]) == (["So", "!"], 2, "other:0")


def test_a_text_that_nests_without_end_is_emptied(settings: dict[str, Any]) -> None:
    text = SHORT
    for _ in range(30):
        text = f"{SHORT[:23]}{text} {SHORT[23:]}"
    row = _cut(settings, [f"So {text}!"], above={"idf": None}).row(0, named=True)
    assert row["text"] == "" and row["cut.spans"] == 9


_PIECES = st.lists(
    st.sampled_from([ASKED, TOLD, SHORT, ASKED[:90], "Ünder 😀 the oak.", "\n\n", "bulbs", ASKED.upper(), "the month"]),
    max_size=6,
)


@given(_PIECES, st.sampled_from([{"share": None}, {"idf": None}, {"run": 12}]))
def test_nothing_is_left_to_cut_and_nothing_else_is_lost(
    settings: dict[str, Any], pieces: list[str], above: Any
) -> None:
    text = " ".join(pieces)
    once = _cut(settings, [text], above=above)
    row = once.row(0, named=True)
    keep = {rule: [None, limit] for rule, limit in above.items()}
    clean = Decontaminate.model_validate({**settings, "keep": keep}).signals()
    assert once.select(**clean)["items"].item() is None
    assert _cut(settings, [row["text"]], above=above)["text"].item() == row["text"]
    assert len(row["text"]) + row["cut.chars"] == len(text)
    rest = iter(text)
    assert all(character in rest for character in row["text"])  # in its order
    assert (row["cut.items"] is None) == (row["cut.spans"] == 0)
