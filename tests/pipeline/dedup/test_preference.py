"""Who stays, against Python's own sort; wrong wishes are named where they stand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config
from pipeline.configfile import ConfigError, ConfigFile
from pipeline.dedup import preference
from pipeline.dedup.exact import Exact

SCHEMA = {
    "root": pl.Int64,
    "ordinal": pl.UInt64,
    "source": pl.String,
    "date": pl.String,
    "doc_id": pl.String,
    "text": pl.String,
    "gopher.words": pl.Int64,
    "read.score": pl.Float64,
}
SOURCES = ("web", "books", "news")

_ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(SOURCES),
        st.sampled_from([None, "2023", "2024-01-02", "2024-01-02T03:04:05Z"]),
        st.sampled_from([None, "a", "b", "10", "9"]),
        st.sampled_from(["", "x", "ää", "a long text"]),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, 0.5, float("nan"), -1.0]),
    ),
    max_size=12,
)
_WISHES = st.lists(
    st.sampled_from(
        [
            *("source", "latest", "earliest", "longest", "shortest", "id"),
            *("highest gopher.words", "lowest gopher.words", "highest read.score", "lowest read.score"),
        ]
    ),
    max_size=4,
    unique=True,
)


def key(wish: str, row: dict[str, Any]) -> Any:
    """What Python sorts by: missing values last, then small ones first."""
    word, _, signal = wish.partition(" ")
    value = {
        "source": SOURCES.index(row["source"]),
        "latest": row["date"],
        "earliest": row["date"],
        "longest": -len(row["text"]),
        "shortest": len(row["text"]),
        "id": row["doc_id"],
    }.get(word, row.get(signal))
    if value is None or value != value:
        return (1,)
    if word == "latest":
        return (0, _Reversed(value))
    return (0, -value if word == "highest" else value)


class _Reversed(str):
    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


@given(_ROWS, _WISHES, st.randoms(use_true_random=False))
def test_members_are_in_the_order_that_is_wished(rows: list[tuple[Any, ...]], wishes: Sequence[str], random) -> None:
    docs = [dict(zip(SCHEMA, (row[0], ordinal, *row[1:]), strict=True)) for ordinal, row in enumerate(rows)]
    expected = sorted(docs, key=lambda row: (row["root"], *(key(wish, row) for wish in wishes), row["ordinal"]))
    shuffled = list(docs)
    random.shuffle(shuffled)
    frame = pl.DataFrame(shuffled, schema=SCHEMA, orient="row")
    members = frame.select("root", "ordinal").hstack(preference.values(frame, wishes))
    found = preference.in_order(members, wishes, SOURCES)
    assert found["ordinal"].to_list() == [row["ordinal"] for row in expected]


def test_one_wish_is_a_list_of_one() -> None:
    assert Exact(prefer="latest").prefer == ("latest",) == Exact(prefer=["latest"]).prefer
    assert Exact(prefer="highest  gopher.words").prefer == ("highest gopher.words",)


CONFIG = """
sources:
  here: {{paths: [{folder}/a.jsonl]}}
steps:
  gopher: {{}}
  extract: {{}}
  exact: {{prefer: {prefer}}}
  fineweb: {{}}
"""


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("newest", "'newest' is no preference; choose from: source, latest,"),
        ("highest", "such as 'highest gopher.words'"),
        ("highest gopher.word", "nothing before 'exact' measures 'gopher.word'; did you mean 'gopher.words'?"),
        ("lowest fineweb.short_lines", "nothing before 'exact' measures 'fineweb.short_lines'"),
        ("highest read.score", "nothing before 'exact' measures 'read.score'"),
    ],
)
def test_what_cannot_be_preferred_is_named(tmp_path: Path, wish: str, words: str) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG.format(folder=tmp_path, prefer=f"[source, {wish}]"))
    with pytest.raises(ConfigError) as caught:
        config.load(ConfigFile.read(tmp_path / "run.yaml"))
    assert words in str(caught.value) and "run.yaml:7:" in str(caught.value)


def test_signals_of_steps_before_can_be_preferred(tmp_path: Path) -> None:
    wishes = "[highest gopher.words, lowest extract.confidence]"
    (tmp_path / "run.yaml").write_text(CONFIG.format(folder=tmp_path, prefer=wishes))
    assert config.load(ConfigFile.read(tmp_path / "run.yaml")).steps["exact"].model_dump()["prefer"] == (
        "highest gopher.words",
        "lowest extract.confidence",
    )
