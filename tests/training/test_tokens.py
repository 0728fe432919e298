"""The token store against the shards it was made from, and when it is made again."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from pipeline.configfile import ConfigError
from pipeline.schema import SHARD
from training.config import TrainConfig
from training.store.tokens import TokenStore, missing, prepare

TEXTS = [f"Text {i}: größer 日本語 <|endoftext|>\n" * (i % 5) for i in range(120)]


def files(config: TrainConfig) -> list[Path]:
    assert isinstance(config.data, str)
    return sorted(Path(config.data).glob("shards/*/*.parquet"))


def made_at(out: Path) -> dict[str, int]:
    """When the tokens of each source were written."""
    return {path.parent.parent.name: path.stat().st_mtime_ns for path in out.glob("tokens/*/train/tokens.bin")}


def test_every_document_is_stored_once_as_the_tokenizer_reads_it(stored: Callable[..., Any], byte_pairs: Path) -> None:
    config, store = stored({"prose": TEXTS[:30], "code": TEXTS}, evaluation={"holdout": 0.2})
    peer = tokenizers.Tokenizer.from_file(str(byte_pairs / "tokenizer.json"))
    peer.encode_special_tokens = True
    assert store.sources == ("code", "prose")
    names = []
    for documents in (store.train[0], store.held[0]):
        for d in range(len(documents)):
            text = TEXTS[int(documents.name(d).removeprefix("code-"))]
            assert documents.ids(d).tolist() == [*peer.encode(text).ids, store.tokenizer.end]
            assert store.text(documents, d) == text
            assert documents.find(documents.name(d)) == [d]
            path, row = documents.shard(d)
            assert pq.read_table(path)["id"][row].as_py() == documents.name(d)
            assert documents.origin(d) == documents.name(d).replace("code-", "code.jsonl#")
            names.append(documents.name(d))
        assert len(documents.tokens) == documents.count_tokens
        assert sum(len(documents.ids(d)) for d in range(len(documents))) == documents.count_tokens
    assert sorted(names) == sorted(f"code-{i}" for i in range(120))
    assert store.train[0].count_bytes + store.held[0].count_bytes == sum(len(text.encode()) for text in TEXTS)
    assert 10 < len(store.held[0]) < 40
    assert store.train[0].find("code-absent") == []
    with pytest.raises(ValueError, match="read-only"):
        store.train[0].tokens[0] = 1


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_small_sources_hold_out_one_document_but_never_all(count: int, stored: Callable[..., Any]) -> None:
    for holdout in (0.001, 0.5):
        _, store = stored({"code": TEXTS[:count]}, evaluation={"holdout": holdout})
        assert len(store.train[0]) >= 1
        assert len(store.held[0]) >= (count > 1)
        assert len(store.train[0]) + len(store.held[0]) == count


def test_held_out_documents_do_not_depend_on_the_seed(stored: Callable[..., Any]) -> None:
    held = []
    for seed in (1, 2):
        _, store = stored({"code": TEXTS}, seed=seed)
        held.append({store.held[0].name(d) for d in range(len(store.held[0]))})
    assert held[0] == held[1]


def test_what_is_unchanged_is_reused_and_what_changed_is_made_again(stored: Callable[..., Any], tmp_path: Path) -> None:
    config, _ = stored({"code": TEXTS, "prose": TEXTS[:20]}, out=tmp_path)
    before = made_at(tmp_path)
    (tmp_path / "tokens" / ".code.part").mkdir()  # what a killed run leaves behind
    prepare(config, tmp_path)
    for path in files(config):
        os.utime(path)  # touched, with the same content
    prepare(config, tmp_path)
    assert made_at(tmp_path) == before

    shard = files(config)[-1]
    table = pq.read_table(shard)
    pq.write_table(table.slice(0, 10), shard)
    _, store = prepare(config, tmp_path)
    after = made_at(tmp_path)
    assert after["code"] == before["code"] and after["prose"] != before["prose"]
    assert len(store.train[1]) + len(store.held[1]) == 10

    shard.unlink()
    _, store = prepare(config, tmp_path)
    assert store.sources == ("code",) and not (tmp_path / "tokens" / "prose").exists()

    prepare(config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"holdout": 0.3})}), tmp_path)
    assert made_at(tmp_path)["code"] != before["code"]


def test_a_run_that_moved_is_found_by_tracing_and_not_tokenised_again(
    stored: Callable[..., Any], tmp_path: Path
) -> None:
    config, _ = stored({"code": TEXTS[:9]}, out=tmp_path / "out")
    before = made_at(tmp_path / "out")
    Path(config.data).rename(tmp_path / "moved")
    _, store = prepare(config.model_copy(update={"data": str(tmp_path / "moved")}), tmp_path / "out")
    assert made_at(tmp_path / "out") == before
    assert (store.train[0].origin(0) or "").startswith("code.jsonl#")
    (tmp_path / "moved").rename(tmp_path / "away")
    assert store.train[0].origin(0) is None


def test_a_tokenizer_is_trained_once_and_on_training_documents_only(stored: Callable[..., Any], tmp_path: Path) -> None:
    texts = [f"verylongword{'abcdefghijkl'[i % 12] * 9} and so on" for i in range(60)]
    config, store = stored({"code": texts}, tokenizer={"vocab_size": 5000}, out=tmp_path, evaluation={"holdout": 0.3})
    saved = (tmp_path / "tokenizer.json").read_bytes()
    again, _ = prepare(config, tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == saved
    assert again.has_fim and again.inner.to_str() == store.tokenizer.inner.to_str()
    held = {store.text(store.held[0], d) for d in range(len(store.held[0]))}
    (tmp_path / "other").mkdir()
    other_config, _ = stored({"code": texts}, tokenizer={"vocab_size": 5000}, out=tmp_path / "other")
    assert held and other_config.data != config.data
    smaller = config.model_copy(update={"tokenizer": config.tokenizer.model_copy(update={"vocab_size": 400})})
    tokenizer, _ = prepare(smaller, tmp_path)
    assert tokenizer.vocab_size <= 400


def test_sentinels_are_added_only_where_they_are_asked_for(
    stored: Callable[..., Any], tmp_path: Path, byte_pairs: Path
) -> None:
    values = json.loads((byte_pairs / "tokenizer.json").read_text())
    values["added_tokens"] = [token for token in values["added_tokens"] if "fim" not in token["content"]]
    for name in [name for name in values["model"]["vocab"] if "fim" in name]:
        values["model"]["vocab"][name.replace("fim", "old")] = values["model"]["vocab"].pop(name)
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    _, plain = stored({"code": TEXTS}, tokenizer={"path": str(tmp_path / "tokenizer.json")})
    _, filling = stored({"code": TEXTS}, tokenizer={"path": str(tmp_path)}, fim={"code": {}})
    assert not plain.tokenizer.has_fim and filling.tokenizer.has_fim
    assert filling.tokenizer.vocab_size == plain.tokenizer.vocab_size + 3
    _, given = stored({"code": TEXTS}, tokenizer={}, model={"init_from": str(tmp_path)})
    assert given.tokenizer.vocab_size == plain.tokenizer.vocab_size


def test_a_large_vocabulary_has_room(stored: Callable[..., Any], tmp_path: Path) -> None:
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(f"unused {i}" for i in range(70_000))]
    inner = tokenizers.Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(["<|endoftext|>"])
    inner.save(str(tmp_path / "tokenizer.json"))
    _, store = stored({"code": TEXTS}, tokenizer={"path": str(tmp_path)})
    assert store.train[0].tokens.dtype == np.uint32 and store.train[0].tokens.max() == 70_256
    texts = {store.text(store.train[0], d) for d in range(len(store.train[0]))}
    assert texts <= set(TEXTS) and len(texts) > 50


def test_sources_of_the_same_name_in_two_runs_are_one(stored: Callable[..., Any], tmp_path: Path) -> None:
    first, _ = stored({"code": TEXTS[:10]})
    second, _ = stored({"code": TEXTS[:7], "prose": TEXTS[:5]})
    _, store = prepare(first.model_copy(update={"data": (first.data, second.data)}), tmp_path)
    assert store.sources == ("code", "prose")
    assert len(store.train[0]) + len(store.held[0]) == 17


def test_what_is_missing_is_said_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    values: dict[str, Any] = {"data": [str(tmp_path / "no"), str(tmp_path / "empty")], "steps": 1}
    config = TrainConfig.model_validate({**values, "tokenizer": {"path": str(tmp_path / "tokenizer")}})
    assert [p.place for p in missing(config)] == [("data", 0), ("data", 1), ("tokenizer", "path")]
    config = TrainConfig.model_validate({**values, "data": (), "model": {"init_from": str(tmp_path / "model")}})
    assert [p.place for p in missing(config)] == [("data",), ("model", "init_from")]
    with pytest.raises(ConfigError, match="name at least one curated run"):
        prepare(config, tmp_path / "out")


def test_a_run_that_is_named_twice_is_refused(stored: Callable[..., Any]) -> None:
    config, _ = stored({"code": TEXTS[:3]})
    other = f"{config.data}/../{Path(config.data).name}"
    (problem,) = missing(config.model_copy(update={"data": (config.data, other)}))
    assert problem.place == ("data", 1) and "named twice" in problem.message


@pytest.mark.parametrize("damage", ["truncated", "columns", "null"])
def test_a_damaged_shard_is_named(damage: str, stored: Callable[..., Any], tmp_path: Path) -> None:
    config, _ = stored({"code": TEXTS}, shard=200)
    (path,) = files(config)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "columns":
        pq.write_table(pa.table({"id": ["a"], "body": ["text"]}), path)
    else:
        nullable = pa.schema([pa.field(f.name, f.type) for f in SHARD])
        rows = [{**dict.fromkeys(SHARD.names), "id": "a"}]
        pq.write_table(pa.Table.from_pylist(rows, schema=nullable), path)
    with pytest.raises(ConfigError, match=str(path)):
        prepare(config, tmp_path)


def test_a_store_that_is_not_whole_is_not_opened(stored: Callable[..., Any], tmp_path: Path) -> None:
    _, store = stored({"code": TEXTS}, out=tmp_path)
    tokens = tmp_path / "tokens" / "code" / "train" / "tokens.bin"
    tokens.write_bytes(tokens.read_bytes()[:-2])
    with pytest.raises(ConfigError, match=r"tokens\.bin: .* bytes, should have"):
        TokenStore.open(tmp_path / "tokens", store.tokenizer)
    tokens.unlink()
    with pytest.raises(ConfigError, match="tokenize again"):
        TokenStore.open(tmp_path / "tokens", store.tokenizer)
    with pytest.raises(ConfigError, match="made with another tokenizer"):
        TokenStore.open(tmp_path / "tokens", stored({"code": TEXTS}, tokenizer={})[1].tokenizer)


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shards" / "web").mkdir(parents=True)
    (tmp_path / "shards" / "web" / "part-00000.parquet").touch()
    config = TrainConfig(data=str(tmp_path), steps=1)
    assert missing(config) == []
    (tmp_path / "run.json").write_text('{"complete": false}')
    (problem,) = missing(config)
    assert problem.place == ("data",) and "not finished" in problem.message
    (tmp_path / "run.json").write_text('{"complete": true}')
    assert missing(config) == []
