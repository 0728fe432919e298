"""The memory of the last column: one measurement for many expressions, and never that of another column."""

import threading

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import C4, FineWeb, Gopher, Repetition, tokens, words
from filters.memory import Memory

TEXTS = [f"Document number {i} has some words, and more of them than twelve characters." for i in range(50)]


@pytest.mark.parametrize("lazy", [False, True])
def test_all_filters_of_a_batch_tokenise_once(monkeypatch: pytest.MonkeyPatch, lazy: bool) -> None:
    documents: list[int] = []  # of each call; lists of words are tokenised as well, once a process
    real = tokens.tokenise
    monkeypatch.setattr(tokens, "tokenise", lambda *args: (documents.append(len(args[1]) - 1), real(*args))[1])
    docs = pl.DataFrame({"text": [f"{text} {lazy}" for text in TEXTS]})
    frame = docs.lazy() if lazy else docs
    for step in (Gopher(), Repetition(), C4(), FineWeb()):
        frame = frame.with_columns(expr.alias(f"{step!r}.{name}") for name, expr in step.signals().items())
    measured = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    assert measured.width == 1 + 8 + 13 + 3 + 4
    assert documents.count(len(TEXTS)) == 1


@given(st.lists(st.lists(st.sampled_from(["", "a", "b", None, "long enough to be no inlined view", "x" * 40]))))
def test_the_answer_is_that_of_the_column_asked_about(columns: list[list[str | None]]) -> None:
    memory: Memory[list[str | None]] = Memory()
    for values in columns:
        column = pl.Series(values, dtype=pl.String)
        assert memory.recall(column, pl.Series.to_list) == values
        assert memory.recall(column[::2], pl.Series.to_list) == values[::2]
        assert memory.recall(column[1:], pl.Series.to_list) == values[1:]


def test_a_column_in_new_memory_is_known_again_by_its_values() -> None:
    memory: Memory[int] = Memory()
    calls: list[int] = []
    for _ in range(3):
        memory.recall(pl.Series(["some text that is long", "x"]), lambda _: calls.append(1) or 0)
    assert len(calls) == 1
    memory.recall(pl.Series(["some text that is long", "x"]), lambda _: calls.append(1) or 0, key="another")
    assert len(calls) == 2


def test_threads_get_their_own_answers() -> None:
    wrong = []

    def work(number: int) -> None:
        for i in range(100):
            column = pl.Series([f"{'word ' * number}{i}"])
            if words.measure(column).counts["tokens"][0] != number + 1:
                wrong.append((number, i))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
