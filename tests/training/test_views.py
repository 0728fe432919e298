"""Sources made of others by signals: against the rows of shards and ledger, chosen one by one."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.configfile import ConfigError, ConfigFile
from pipeline.schema import LEDGER, SHARD
from training.config import SourceSettings, TrainConfig
from training.order import Order, feasibility
from training.packing import batch
from training.provenance.takedown import consumed, erase
from training.store.tokens import TokenStore, missing, prepare

Row = dict[str, Any]
LEDGER_SCHEMA = pa.schema([*LEDGER, pa.field("edu.score", pa.float64()), pa.field("gopher.words", pa.uint32())])


def rows_of(count: int, seed: int = 3) -> list[Row]:
    """Documents with all that may be asked of them; some things were not measured."""
    random = np.random.default_rng(seed)
    return [
        {
            "id": f"web-{i}",
            "text": f"text {i} " * int(random.integers(1, 40)),
            "language": ["de", "fr", None][int(random.integers(3))],
            "edu.score": None if random.random() < 0.2 else float(random.integers(0, 6)),
            "gopher.words": int(random.integers(1, 9)),
            "cluster_size": None if random.random() < 0.5 else int(random.integers(2, 12)),
        }
        for i in range(count)
    ]


def written(folder: Path, rows: list[Row], parts: int = 3, ledger: bool = True) -> Path:
    """A curated run of these documents, among others that were dropped."""
    (folder / "shards" / "web").mkdir(parents=True, exist_ok=True)
    (folder / "ledger" / "web").mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        name = f"web/part-{part:05}.parquet"
        mine = rows[part::parts]
        blank = {**dict.fromkeys(SHARD.names), "source": "web", "origin": "web.jsonl#0"}
        shard = [{**blank, **{k: row[k] for k in ("id", "text", "language")}} for row in mine]
        pq.write_table(pa.Table.from_pylist(shard, schema=SHARD), folder / "shards" / name, row_group_size=5)
        told: list[Row] = []
        for row in mine:
            blank = {**dict.fromkeys(LEDGER_SCHEMA.names), "ordinal": 0, "origin": "x", "source": "web"}
            blank |= {"chars": 0, "bytes": 0}
            told.append({**blank, "id": f"dropped before {row['id']}", "verdict": "dropped", "edu.score": 5.0})
            blank["bytes"] = len(row["text"].encode())
            told.append({**blank, **{k: row[k] for k in row if k in LEDGER_SCHEMA.names}, "verdict": "kept"})
        if ledger:
            pq.write_table(pa.Table.from_pylist(told, schema=LEDGER_SCHEMA), folder / "ledger" / name)
    return folder


@pytest.fixture
def stocked(tmp_path: Path, byte_pairs: Path) -> Callable[..., tuple[TrainConfig, TokenStore]]:
    """`stocked(rows, {"edu": {...}})` makes a run of the rows and a store with these sources."""

    def make(rows: list[Row], sources: dict[str, Any], out: str = "out", **changes: Any) -> Any:
        config = TrainConfig.model_validate(
            {
                "data": str(written(tmp_path / "run", rows)),
                "steps": 10,
                "context": 32,
                "batch": {"sequences": 4},
                "tokenizer": {"path": str(byte_pairs)},
                "sources": sources,
                "max_epochs": 1000,
                "evaluation": {"holdout": 0.2},
                **changes,
            }
        )
        assert missing(config) == []
        return config, prepare(config, tmp_path / out)[1]

    return make


def ids(store: TokenStore, source: str) -> tuple[list[str], list[str]]:
    """The names of training and held-out documents, in the order of their numbers."""
    number = store.sources.index(source)
    train, held = ([part[number].name(d) for d in range(len(part[number]))] for part in (store.train, store.held))
    return train, held


RANGES = st.tuples(st.none() | st.integers(0, 3), st.none() | st.integers(3, 6)).map(list)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["edu.score", "gopher.words", "cluster_size"]), RANGES),
    st.none() | st.lists(st.sampled_from(["de", "fr", "en"]), min_size=1, max_size=2, unique=True),
    st.none() | st.dictionaries(st.integers(0, 8), st.integers(0, 4), min_size=1, max_size=3),
    st.integers(1, 80),
)
def test_documents_are_chosen_by_signals_as_often_as_is_said(
    tmp_path_factory: pytest.TempPathFactory,
    byte_pairs: Path,
    where: dict[str, Any],
    languages: list[str] | None,
    times: dict[int, int] | None,
    count: int,
) -> None:
    folder, rows = tmp_path_factory.mktemp("chosen"), rows_of(count)
    asked: dict[str, Any] = {"of": "web", "where": where | ({} if languages is None else {"language": languages})}
    if times is not None:
        asked["repeat"] = {"times": sorted(times.items())}
    settings = {"data": str(written(folder / "run", rows)), "steps": 1, "tokenizer": {"path": str(byte_pairs)}}
    config = TrainConfig.model_validate({**settings, "sources": {"some": asked}, "evaluation": {"holdout": 0.2}})
    store = prepare(config, folder / "out")[1]

    def wanted(row: Row) -> int:
        row = {**row, "cluster_size": row["cluster_size"] or 1}
        for signal, (low, high) in where.items():
            if row[signal] is None or row[signal] < (low or 0) or row[signal] > (9999 if high is None else high):
                return 0
        if languages is not None and row["language"] not in languages:
            return 0
        often = 1
        for start, many in sorted((times or {}).items()):
            often = many if row["cluster_size"] >= start else often
        return often

    by_id = {row["id"]: row for row in rows}
    train, held = ids(store, "some")
    base_train, base_held = ids(store, "web")
    assert Counter(train) == Counter({name: n for name in base_train if (n := wanted(by_id[name]))})
    assert sorted(held) == sorted(name for name in base_held if wanted(by_id[name]))
    documents, whole = store.train[store.sources.index("some")], store.train[store.sources.index("web")]
    for number, name in enumerate(train):
        assert store.text(documents, number) == by_id[name]["text"]
        assert number in documents.find(name) and documents.shard(number) == whole.shard(whole.find(name)[0])
    assert documents.count_tokens == sum(len(documents.ids(d)) for d in range(len(documents)))
    assert documents.count_bytes == sum(len(by_id[name]["text"].encode()) for name in train)
    assert documents.unique_tokens == sum(len(whole.ids(whole.find(name)[0])) for name in set(train))


@pytest.mark.parametrize("descending", [False, True])
def test_a_source_in_the_order_of_a_signal_is_read_in_it_in_every_epoch(
    descending: bool, stocked: Callable[..., Any]
) -> None:
    rows = rows_of(60)
    sources = {
        name: {"of": "web", "order": {"by": by, "descending": descending}}
        for name, by in (("graded", "edu.score"), ("grown", "tokens"))
    }
    phases = [{"weights": {"graded": 1, "grown": 1}}]
    config, store = stocked(rows, sources, steps=120, phases=phases, fim={"graded": {"rate": 0.5}})
    order = Order(config, store)
    met: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    for n in range(config.steps):
        assert batch(order, n).inputs.shape == (4, 32)
        for plan in order.step(n):
            for piece in plan.pieces:
                if (piece.epoch, piece.document) not in met[plan.source][-1:]:
                    met[plan.source].append((piece.epoch, piece.document))
    sign = -1 if descending else 1
    scores = {row["id"]: np.inf if row["edu.score"] is None else sign * row["edu.score"] for row in rows}
    for source, value in (
        (0, lambda d: scores[store.train[0].name(d)]),
        (1, lambda d: sign * len(store.train[1].ids(d))),
    ):
        epochs = {epoch: [d for e, d in met[source] if e == epoch] for epoch in (0, 1)}
        assert sorted(epochs[0]) == list(range(len(store.train[source])))
        assert [value(d) for d in epochs[0]] == sorted(value(d) for d in epochs[0])
        assert epochs[1] == epochs[0][: len(epochs[1])] and len(epochs[1]) > 3
        ties = [store.train[source].keys[d] for d in epochs[0] if value(d) == value(epochs[0][-1])]
        assert ties == sorted(ties)
    assert len({scores[store.train[0].name(d)] for d in range(len(store.train[0]))}) < len(store.train[0])
    jumped = Order(config, store)
    assert [jumped.digest(n) for n in (99, 3)] == [order.digest(n) for n in (99, 3)]


def test_copies_are_seen_apart_and_each_as_often_as_is_said(stocked: Callable[..., Any]) -> None:
    sources = {"again": {"of": "web", "repeat": {"times": [[1, 1], [2, 3]]}}}
    config, store = stocked(rows_of(80), sources, steps=300, phases=[{"weights": {"again": 1}}])
    order = Order(config, store)
    seen: dict[int, list[str]] = {}
    last = None
    for n in range(config.steps):
        for plan in order.step(n):
            for piece in plan.pieces:
                if (piece.epoch, piece.document) != last:
                    seen.setdefault(piece.epoch, []).append(store.train[0].name(piece.document))
                last = piece.epoch, piece.document
    sizes = {row["id"]: row["cluster_size"] or 1 for row in rows_of(80)}
    assert Counter(seen[0]) == Counter({name: 3 if sizes[name] > 1 else 1 for name in set(ids(store, "web")[0])})
    assert Counter(seen[1]) == Counter(seen[0]) and seen[1] != seen[0]
    assert sum(a == b for a, b in zip(seen[0], seen[0][1:], strict=False)) < 10
    assert order.fresh_equivalent(0) < order.passes(0) * store.train[0].count_tokens
    (name,) = {name for name in seen[0] if sizes[name] > 1 and seen[0].count(name) == 3} & {seen[0][0]} or {seen[0][0]}
    visits = [visit for d in store.train[0].find(name) for visit in order.visits(0, d)]
    assert len({(piece.document, piece.epoch) for _, _, piece in visits if piece.epoch == 0}) == seen[0].count(name)


def test_curated_sources_alone_share_where_weights_are_auto(stocked: Callable[..., Any]) -> None:
    config, store = stocked(rows_of(40), {"edu": {"of": "web", "where": {"edu.score": [2, None]}}})
    order = Order(config, store)
    assert {plan.source for n in range(10) for plan in order.step(n)} == {store.sources.index("web")}
    assert feasibility(config, store) == []


def test_a_view_is_made_again_when_its_definition_or_what_it_is_made_of_changes(
    stocked: Callable[..., Any], tmp_path: Path
) -> None:
    rows = rows_of(40)
    asked = {"edu": {"of": "web", "where": {"edu.score": [2, None]}, "max_epochs": 3}}

    def made_at() -> tuple[int, int]:
        folder = tmp_path / "out" / "tokens"
        return tuple((folder / name / "train" / "keys.bin").stat().st_mtime_ns for name in ("web", "edu"))  # type: ignore[return-value]

    config, _ = stocked(rows, asked)
    first = made_at()
    prepare(config, tmp_path / "out")
    for path in tmp_path.glob("run/*/*/*.parquet"):
        os.utime(path)
    asked["edu"]["max_epochs"] = 5  # alters no document
    prepare(TrainConfig.model_validate({**config.model_dump(mode="json"), "sources": asked}), tmp_path / "out")
    assert made_at() == first

    asked["edu"]["where"] = {"edu.score": [4, None]}
    _, store = stocked(rows, asked)
    second = made_at()
    assert second[0] == first[0] and second[1] != first[1]
    assert set(ids(store, "edu")[0]) == {
        row["id"] for row in rows if (row["edu.score"] or 0) >= 4 and row["id"] in ids(store, "web")[0]
    }

    for row in rows:
        row["edu.score"] = 5.0
    _, store = stocked(rows, asked)  # the same shards, another ledger
    third = made_at()
    assert third[0] == first[0] and third[1] != second[1]
    assert ids(store, "edu")[0] == ids(store, "web")[0]

    rows[0]["text"] = "another text"
    _, store = stocked(rows, asked)
    assert made_at()[0] != third[0] and made_at()[1] != third[1]
    _, store = stocked(rows, {})
    assert store.sources == ("web",) and not (tmp_path / "out" / "tokens" / "edu").exists()


def test_a_shard_that_lost_rows_is_still_matched_by_ids(stocked: Callable[..., Any], tmp_path: Path) -> None:
    rows = rows_of(30)
    config, _ = stocked(rows, {})
    shard = tmp_path / "run" / "shards" / "web" / "part-00001.parquet"
    pq.write_table(pq.read_table(shard).slice(3), shard)
    asked = {"high": {"of": "web", "where": {"gopher.words": [5, None]}}}
    _, store = prepare(
        TrainConfig.model_validate({**config.model_dump(mode="json"), "sources": asked}), tmp_path / "out"
    )
    left = set(sum(ids(store, "web"), []))
    assert len(left) == 27
    assert set(sum(ids(store, "high"), [])) == {r["id"] for r in rows if r["id"] in left and r["gopher.words"] >= 5}
    ledger = tmp_path / "run" / "ledger" / "web" / "part-00002.parquet"
    pq.write_table(pq.read_table(ledger).slice(4), ledger)
    with pytest.raises(ConfigError, match=r"part-00002\.parquet does not have all documents"):
        prepare(TrainConfig.model_validate({**config.model_dump(mode="json"), "sources": asked}), tmp_path / "out")


@pytest.mark.parametrize("ledger", [True, False])
def test_long_documents_come_more_often_by_their_tokens(tmp_path: Path, byte_pairs: Path, ledger: bool) -> None:
    from training.plan import make_plan

    rows = rows_of(150)
    run = written(tmp_path / "run", rows, ledger=ledger)
    config: dict[str, Any] = {
        "data": str(run),
        "steps": 3,
        "context": 32,
        "batch": {"sequences": 4},
        "tokenizer": {"path": str(byte_pairs)},
        "max_epochs": 1000,
        "evaluation": {"holdout": 0.2},
        "sources": {
            "upsampled": {"of": "web", "repeat": {"by": "tokens", "times": [[1, 1], [60, 3], [100, 5]]}},
            "between": {"of": "web", "where": {"tokens": [40, 80]}, "order": {"by": "tokens"}},
        },
    }
    tokenizer, store = prepare(TrainConfig.model_validate(config), tmp_path / "out")
    sizes = {row["id"]: len(tokenizer.encode(row["text"])) for row in rows}
    train, held = ids(store, "web")
    upsampled, between = ids(store, "upsampled"), ids(store, "between")
    often = {name: 1 + 2 * (sizes[name] >= 60) + 2 * (sizes[name] >= 100) for name in train}
    assert Counter(upsampled[0]) == Counter(often) and set(often.values()) == {1, 3, 5}
    assert sorted(upsampled[1]) == sorted(held)  # what is held out comes once
    assert sorted(between[0]) == sorted(name for name in train if 40 <= sizes[name] <= 80)
    assert [sizes[name] for name in between[0]] == sorted(sizes[name] for name in between[0])
    assert sorted(between[1]) == sorted(name for name in held if 40 <= sizes[name] <= 80)
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    about = make_plan(ConfigFile.read(tmp_path / "config.yaml"), None).sources  # a token is taken to have four bytes
    chosen = {row["id"]: len(row["text"].encode()) for row in rows}
    heavy = sum(size * (1 + 2 * (size >= 240) + 2 * (size >= 400)) for size in chosen.values())
    ratio = about["upsampled"].tokens / about["web"].tokens
    assert ratio == pytest.approx(heavy / sum(chosen.values()), rel=1e-3)


def test_what_cannot_be_is_said_with_its_place_before_anything_is_read(tmp_path: Path) -> None:
    run = written(tmp_path / "run", rows_of(9))
    path = tmp_path / "config.yaml"
    path.write_text(
        f"data: {run}\nsteps: 3\nsources:\n"
        "  web: {of: web}\n"
        "  a: {of: wob}\n"
        "  b: {of: web, where: {edu.scor: [1, 2], language: [1, 2], gopher.words: [few]}}\n"
        "  c: {of: web, repeat: {by: language, times: [[1, 2]]}}\n"
        "  d: {of: web, where: {tokens: [few]}, order: {by: gopher.wrds}}\n"
    )
    file = ConfigFile.read(path)
    lines = file.error(missing(file.load(TrainConfig))).lines
    places = [line.split("config.yaml:")[1].split(":")[0] for line in lines]
    assert places == ["4", "5", "6", "6", "6", "7", "8", "8"]
    for line, said in zip(
        lines,
        (
            "'web' is a curated source already",
            "there is no curated source 'wob'; did you mean 'web'?",
            "web/part-00000.parquet has no signal 'edu.scor'; did you mean 'edu.score'?",
            "'language' has words",
            "'gopher.words' has numbers",
            "'language' has words",
            "'tokens' has numbers",
            "did you mean 'gopher.words'?",
        ),
        strict=True,
    ):
        assert said in line
    for old in (run / "ledger" / "web").iterdir():
        old.unlink()
    path.write_text(f"data: {run}\nsteps: 3\nsources:\n  b: {{of: web, where: {{edu.score: [1, 2]}}}}\n")
    (problem,) = missing(ConfigFile.read(path).load(TrainConfig))
    assert "its run has no ledger" in problem.message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"where": {"a": [1, 2]}}, "where: belongs to a source that is made 'of' another one"),
        ({"of": "web", "where": {"a": [3, 2]}}, "the lower end 3 is above the upper end 2"),
        ({"of": "web", "repeat": {"times": [[2, 1], [1, 1]]}}, "times: values must rise"),
        ({"of": "web", "repeat": {"times": [[1, 2]]}, "order": {"by": "tokens"}}, "take either 'repeat' or 'order'"),
    ],
)
def test_sources_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SourceSettings.model_validate(settings)


def test_caps_by_source_are_held_and_say_what_the_repetition_is_worth(stocked: Callable[..., Any]) -> None:
    sources = {"edu": {"of": "web", "where": {"edu.score": [3, None]}, "max_epochs": 2}}
    weights = {"web": 1, "g": {"weight": 1, "of": ["edu"], "max_epochs": 90}}
    config, store = stocked(rows_of(60), sources, steps=200, phases=[{"weights": weights}])
    order = Order(config, store)
    (problem,) = feasibility(config, store)
    assert problem.place == ("sources", "edu", "max_epochs")
    passes = order.passes(0)
    assert f"{passes:.1f} epochs, and max_epochs is 2" in problem.message
    worth = store.train[0].count_tokens * (1 + 15.387756 * (1 - np.exp(-(passes - 1) / 15.387756)))
    assert f"worth {worth:,.0f} tokens of fresh text" in problem.message
    fits = int(problem.message.split("take at most ")[1].split(" of")[0])
    assert feasibility(config.model_copy(update={"steps": fits}), store) == []
    assert json.loads((store.folder / "edu" / "manifest.json").read_text())["definition"]["of"] == "web"


def test_a_plan_knows_about_how_much_a_source_has_before_anything_is_tokenised(
    stocked: Callable[..., Any], tmp_path: Path
) -> None:
    from training.plan import make_plan

    rows = rows_of(200)
    sources = {
        "edu": {"of": "web", "where": {"edu.score": [3, None]}},
        "again": {"of": "web", "repeat": {"times": [[2, 4]]}},
    }
    config, store = stocked(rows, sources, phases=[{"weights": {"edu": 1, "again": 1}}], steps=900)
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config.model_dump(mode="json", exclude_unset=True)))
    about, exact = (make_plan(ConfigFile.read(path), out) for out in (None, tmp_path / "out"))
    assert not about.exact and exact.exact
    for number, name in enumerate(store.sources):
        assert exact.sources[name].tokens == store.train[number].count_tokens
        known = about.sources[name].tokens / about.sources["web"].tokens
        assert known == pytest.approx(store.train[number].count_tokens / store.train[2].count_tokens, rel=0.1)  # web
    assert exact.sources["again"].fresh < exact.sources["again"].needed
    path.write_text(path.read_text().replace("[3.0, null]", "[4.0, null]").replace("[3, null]", "[4, null]"))
    assert not make_plan(ConfigFile.read(path), tmp_path / "out").exact  # of another definition


def test_a_document_that_is_taken_down_is_gone_from_what_is_made_of_its_source(
    stocked: Callable[..., Any], tmp_path: Path
) -> None:
    sources = {"again": {"of": "web", "repeat": {"times": [[2, 3]]}}}
    config, store = stocked(rows_of(60), sources, steps=90, phases=[{"weights": {"again": 1}}])
    names = ids(store, "again")[0]
    name = next(name for name in names if names.count(name) == 3)
    run = tmp_path / "out"
    (run / "run.json").write_text(json.dumps({"config": config.model_dump(mode="json")}))
    (run / "metrics.jsonl").write_text("".join(f'{{"step": {n}}}\n' for n in range(1, 91)))
    told = [document for document in consumed(run, {name}) if document.source == "again"]
    assert len(told) == 3 and all(document.first_step for document in told)
    assert erase(run, consumed(run, {name})) == 1  # its tokens lie in one place
    opened = TokenStore.open(run / "tokens", store.tokenizer)
    again = opened.train[opened.sources.index("again")]
    assert all(set(again.ids(d).tolist()) == {store.tokenizer.end} for d in again.find(name))
    texts = {row["id"]: row["text"] for row in rows_of(60)}
    for d in set(range(len(again))) - set(again.find(name)):
        assert opened.text(again, d) == texts[again.name(d)]
