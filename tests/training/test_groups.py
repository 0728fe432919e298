"""Files of repositories joined into documents: nothing lost, in order, rearranged one file at a time, found again."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.configfile import ConfigError
from pipeline.schema import SHARD
from training import fim
from training.config import SourceSettings, TrainConfig
from training.fim import Mode
from training.order import Order
from training.provenance.takedown import consumed, erase
from training.provenance.trace import Trace
from training.store.groups import Group
from training.store.tokens import TokenStore, prepare

SCHEMA = pa.schema([*SHARD, pa.field("repository", pa.string()), pa.field("path", pa.string())])
FILES = [
    ("me/tools", "b.py", "def b():\n    return a() + 1\n"),
    ("me/tools", "a.py", "def a():\n    return 41\n"),
    (None, "alone.py", "print('by itself')\n"),
    ("you/app", "src/main.rs", "fn main() {\n    println!(\"größer 👩‍🔬\");\n}\n"),
    ("me/tools", None, "no path\n"),
    ("you/app", "README.md", "# App\n"),
    (None, None, "neither\n"),
]  # fmt: skip


def prepared(
    tmp_path: Path, byte_pairs: Path, files: list[tuple[str | None, str | None, str]], **changes: Any
) -> tuple[TrainConfig, TokenStore]:
    folder = tmp_path / "run" / "shards" / "code"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            **dict.fromkeys(SCHEMA.names),
            "id": f"code-{i}",
            "text": text,
            "source": "code",
            "origin": f"code.jsonl#{i}",
            "repository": repository,
            "path": path,
        }
        for i, (repository, path, text) in enumerate(files)
    ]
    for part in range(2):
        pq.write_table(pa.Table.from_pylist(rows[part::2], schema=SCHEMA), folder / f"part-{part:05}.parquet")
    config = TrainConfig.model_validate(
        {
            "data": str(tmp_path / "run"),
            "steps": 4,
            "context": 64,
            "batch": {"sequences": 4},
            "max_epochs": 1000,
            "tokenizer": {"path": str(byte_pairs), "fim": "qwen"},
            "sources": {"repos": {"of": "code", "group": {"by": "repository", "path": "path"}}},
            "phases": [{"weights": {"repos": 1}}],
            **changes,
        }
    )
    return config, prepare(config, tmp_path / "out")[1]


def texts(store: TokenStore, part: str = "train") -> dict[str, str]:
    documents = getattr(store, part)[store.sources.index("repos")]
    return {documents.name(d): store.text(documents, d) for d in range(len(documents))}


def held_and_trained(store: TokenStore) -> set[str]:
    """Files by id, of both parts of the source that is joined."""
    number = store.sources.index("code")
    return {part[number].name(d) for part in (store.train, store.held) for d in range(len(part[number]))}


def expected(files: list[tuple[str | None, str | None, str]], chosen: list[int], form: str) -> dict[str, str]:
    """Documents of those files, written out by hand's rule."""
    made: dict[str, str] = {}
    rows = sorted((files[i][0] or f"~{i}", files[i][1] or f"code-{i}", i) for i in chosen)
    for name, path, i in rows:
        text = files[i][2]
        if files[i][0] is None:
            made[f"code-{i}"] = text
        elif form == "qwen":
            made[name] = made.get(name, f"<|repo_name|>{name}\n") + f"<|file_sep|>{path}\n{text}\n"
        elif form == "starcoder":
            made[name] = made.get(name, f"<repo_name>{name}") + f"<file_sep>{path}\n{text}"
        else:
            made[name] = made.get(name, "") + f"#{path}\n{text}\n"
    return made


@pytest.mark.parametrize("form", ["qwen", "starcoder", "deepseek"])
def test_files_are_joined_as_published(tmp_path: Path, byte_pairs: Path, form: str) -> None:
    tokenizer = {"vocab_size": 400, "fim": form}
    _, store = prepared(tmp_path, byte_pairs, FILES, tokenizer=tokenizer)
    code = store.sources.index("code")
    for part in ("train", "held"):
        documents = getattr(store, part)[code]
        chosen = [int(documents.name(d)[5:]) for d in range(len(documents))]
        assert texts(store, part) == expected(FILES, chosen, form)
    assert held_and_trained(store) == {f"code-{i}" for i in range(len(FILES))}


def test_large_repositories_are_divided_between_files(tmp_path: Path, byte_pairs: Path) -> None:
    files: list[tuple[str | None, str | None, str]] = [
        ("big/one", f"{i:02}.py", f"x{i} = {i}\n" * 9) for i in range(20)
    ]
    group = {"by": "repository", "path": "path", "most": 150}
    _, store = prepared(tmp_path, byte_pairs, files, sources={"repos": {"of": "code", "group": group}})
    repos, code = (store.train[store.sources.index(name)] for name in ("repos", "code"))
    assert isinstance(repos, Group)
    assert len(repos) > 3 and sorted(texts(store)) == sorted(
        ["big/one", *(f"big/one#{n}" for n in range(2, len(repos) + 1))]
    )
    assert sorted(repos.members[:, 0].tolist()) == list(range(len(code)))  # each file once
    for d in range(len(repos)):
        numbers = repos.members[repos.first[d] : repos.first[d + 1], 0]
        assert sum(len(code.ids(int(n))) for n in numbers) <= 150 or len(numbers) == 1
        assert store.text(repos, d).startswith("<|repo_name|>big/one\n<|file_sep|>")
    for number, begin, end in repos.members.tolist():
        assert store.tokenizer.decode(repos.tokens[begin:end].tolist()).endswith(f".py\n{store.text(code, number)}")


@pytest.fixture
def joined(tmp_path: Path, byte_pairs: Path) -> tuple[TrainConfig, TokenStore]:
    files: list[tuple[str | None, str | None, str]] = [
        (f"owner/{i % 3}", f"dir/{i}.py", f"def f{i}(a):\n    return [a, {i}]  # größer 👩‍🔬\n" * (i % 4 + 1))
        for i in range(30)
    ]
    return prepared(tmp_path, byte_pairs, files, fim={"repos": {"rate": 1.0}}, steps=40)


def test_one_file_is_rearranged_where_it_stands(joined: tuple[TrainConfig, TokenStore]) -> None:
    _, store = joined
    tokenizer = store.tokenizer
    repos = store.train[store.sources.index("repos")]
    chosen = set()
    for d in range(len(repos)):
        ids = repos.ids(d)[:-1]
        for key in range(200):
            made = fim.rearrange(ids, Mode(1 + key % 2), key, tokenizer)
            assert tokenizer.decode(fim.restore(made, tokenizer)) == store.text(repos, d)
            assert len(made) <= len(ids) + fim.SENTINELS + fim.SLACK
            control = [
                token for token in made.tolist() if token in (tokenizer.prefix, tokenizer.suffix, tokenizer.middle)
            ]
            assert control == [tokenizer.prefix, tokenizer.suffix, tokenizer.middle]
            before = tokenizer.decode(made[: made.tolist().index(tokenizer.prefix)].tolist())
            header = before.rpartition("<|file_sep|>")[2]
            assert header.endswith(".py\n") and header.count("\n") == 1  # as in Qwen2.5-Coder's examples
            chosen.add((d, header))
    assert len(chosen) == len(repos.members)  # any file, in time


def test_a_path_is_in_the_prefix_for_starcoder_and_joined_text_is_one_for_deepseek(
    tmp_path: Path, byte_pairs: Path
) -> None:
    for form, begin in (("starcoder", "<file_sep><fim_prefix>"), ("deepseek", "<｜fim▁begin｜>")):
        tokenizer = {"vocab_size": 400, "fim": form}
        _, store = prepared(tmp_path, byte_pairs, FILES * 2, tokenizer=tokenizer, fim={"repos": {}})
        repos = store.train[store.sources.index("repos")]
        ids = max((repos.ids(d)[:-1] for d in range(len(repos))), key=len)
        for key in range(20):
            made = fim.rearrange(ids, Mode.PSM, key, store.tokenizer)
            shown = store.tokenizer.decode(made.tolist())
            assert begin in shown and (form == "starcoder" or shown.startswith(begin))
            assert store.tokenizer.decode(fim.restore(made, store.tokenizer)) == store.tokenizer.decode(ids.tolist())


@given(st.data())
def test_any_stretch_of_joined_files_comes_back(joined_once: Any, data: st.DataObject) -> None:
    store = joined_once
    tokenizer, repos = store.tokenizer, store.train[store.sources.index("repos")]
    ids = max((repos.ids(d)[:-1] for d in range(len(repos))), key=len)
    begin = data.draw(st.integers(0, len(ids) - fim.LEAST))
    part = ids[begin : data.draw(st.integers(begin + fim.LEAST, len(ids)))]
    key, mode = data.draw(st.integers(0, 2**64 - 1)), data.draw(st.sampled_from([Mode.PSM, Mode.SPM]))
    cuts = data.draw(st.sampled_from(["characters", "lines", "syntax"]))
    back = fim.restore(fim.rearrange(part, mode, key, tokenizer, cuts), tokenizer)
    whole = [*ids[:begin].tolist(), *back, *ids[begin + len(part) :].tolist()]
    assert tokenizer.decode(whole) == tokenizer.decode(ids.tolist())


@pytest.fixture(scope="module")
def joined_once(tmp_path_factory: pytest.TempPathFactory, byte_pairs: Path) -> TokenStore:
    return prepared(tmp_path_factory.mktemp("joined"), byte_pairs, FILES * 3)[1]


def test_files_are_found_in_what_was_trained_on_and_taken_down(joined: tuple[TrainConfig, TokenStore]) -> None:
    config, store = joined
    run = store.folder.parent
    (run / "run.json").write_text(f'{{"config": {config.model_dump_json()}}}')
    (run / "metrics.jsonl").write_text('{"step": 40}\n')
    trace = Trace(run)
    repos = store.train[store.sources.index("repos")]
    assert isinstance(repos, Group)
    member, begin, end = repos.members[5].tolist()
    name = store.train[store.sources.index("code")].name(member)
    inside, alone = ({found.source: found for found in trace.documents([name])}[s] for s in ("repos", "code"))
    assert inside.id == alone.id == name and inside.origin == alone.origin == f"code.jsonl#{name[5:]}"
    document = int(np.searchsorted(repos.first, 5, side="right") - 1)
    visits = Order(config, store).visits(store.sources.index("repos"), document)
    assert [(v.step, v.row) for v in inside.visits] == [(step + 1, row) for step, row, _ in visits] and visits
    assert alone.visits == ()
    shown = trace.step(1)
    assert {piece.id for piece in shown} <= {repos.name(d) for d in range(len(repos))}
    assert all(piece.origin is not None and piece.origin.startswith("code.jsonl#") for piece in shown)

    text = store.tokenizer.decode(repos.tokens[begin:end].tolist())
    before = store.text(repos, document)
    found = consumed(run, [name])
    assert {(c.id, c.source) for c in found} == {(name, "repos"), (name, "code")}
    assert erase(run, found) == 2
    after = TokenStore.open(store.folder, store.tokenizer)
    mine = after.train[after.sources.index("repos")]
    assert text in before and text not in after.text(mine, document)
    assert set(mine.tokens[begin:end].tolist()) == {store.tokenizer.end}
    assert np.array_equal(np.delete(mine.tokens, np.s_[begin:end]), np.delete(repos.tokens, np.s_[begin:end]))
    assert erase(run, found) == 0


def test_a_store_is_made_again_when_its_grouping_changes(tmp_path: Path, byte_pairs: Path) -> None:
    _, first = prepared(tmp_path, byte_pairs, FILES)
    tokens = first.folder / "repos" / "train" / "tokens.bin"
    stamp = tokens.stat().st_mtime_ns
    prepared(tmp_path, byte_pairs, FILES)
    assert tokens.stat().st_mtime_ns == stamp
    _, other = prepared(tmp_path, byte_pairs, FILES, sources={"repos": {"of": "code", "group": {"by": "repository"}}})
    assert tokens.stat().st_mtime_ns != stamp
    assert any("<|file_sep|>code-" in text for text in texts(other).values())


def test_what_cannot_be_joined(tmp_path: Path, byte_pairs: Path) -> None:
    for settings, message in (
        ({"group": {"by": "x"}}, "belongs to a source that is made 'of' another one"),
        ({"of": "code", "group": {"by": "x"}, "order": {"by": "tokens"}}, "joined documents come once"),
    ):
        with pytest.raises(ValidationError, match=message):
            SourceSettings.model_validate(settings)
    for by, message in (
        ("repo", r"no signal 'repo'.*did you mean 'repository'"),
        ("language_score", "no names by which documents could be joined"),
        ("tokens", "'tokens' has numbers"),
    ):
        with pytest.raises(ConfigError, match=message):
            prepared(tmp_path, byte_pairs, FILES, sources={"repos": {"of": "code", "group": {"by": by}}})
