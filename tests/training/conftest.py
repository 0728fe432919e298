"""What the tests of training share: one thread, packed batches, and small Llama models made by transformers."""

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.schema import SHARD

SIZES = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
"""Of the small models that transformers makes."""


@pytest.fixture(scope="session")
def compiler() -> None:
    """Skips what torch compiles where it cannot."""
    if shutil.which("g++") is None:
        pytest.skip("torch compiles for a CPU with g++, which is not here")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums in one thread: results do not depend on the machine."""
    torch = pytest.importorskip("torch", reason="needs the extra [train]")
    torch.set_num_threads(1)


@pytest.fixture
def packed() -> Callable[..., Any]:
    """Make a batch out of documents' sizes: `packed([[5, 3], [7]], vocabulary)` has two rows, the second padded."""
    from training.packing import NO_LOSS, PADDING, Batch

    def make(rows: list[list[int]], vocabulary: int, tokens: int | None = None, seed: int = 0) -> Batch:
        random = np.random.default_rng(seed)
        length = tokens or max(sum(row) for row in rows)
        inputs = np.zeros((len(rows), length), np.int64)
        targets = np.full((len(rows), length), NO_LOSS, np.int64)
        segments = np.full((len(rows), length), PADDING, np.int32)
        positions = np.zeros((len(rows), length), np.int64)
        for r, documents in enumerate(rows):
            at = 0
            for d, size in enumerate(documents):
                document = random.integers(0, vocabulary, size)
                inputs[r, at : at + size] = document
                targets[r, at : at + size - 1] = document[1:]
                segments[r, at : at + size] = d
                positions[r, at : at + size] = np.arange(size)
                at += size
        return Batch(inputs, targets, segments, positions, np.arange(len(rows), dtype=np.int64) % 2)

    return make


@pytest.fixture
def llama(tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """Make a random Llama with transformers and save it: the model and its folder."""
    transformers: ModuleType = pytest.importorskip("transformers", reason="the opponent of these tests")
    import torch

    def make(max_shard_size: str = "1GB", **changes: Any) -> tuple[Any, Path]:
        torch.manual_seed(0)
        settings: dict[str, Any] = {
            **SIZES,
            "initializer_range": 0.2,
            "attn_implementation": "eager",
            **changes,
        }
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings)).eval()
        folder = tmp_path / "llama"
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        return model, folder

    return make


@pytest.fixture
def foreign(tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """Make a random model of any architecture with transformers, far from its initial values, and save it.

    `foreign("qwen2", num_hidden_layers=3)` gives the model and its folder. Norms and biases are random too, so that one
    that is forgotten, or has another's place, is seen.
    """
    transformers: ModuleType = pytest.importorskip("transformers", reason="the opponent of these tests")
    import torch

    gpt2 = {"vocab_size": 128, "n_embd": 32, "n_inner": 48, "n_layer": 2, "n_head": 4, "n_positions": 64}
    gpt2 |= dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    classes = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3", "gpt2": "GPT2"}

    def make(kind: str, max_shard_size: str = "1GB", **changes: Any) -> tuple[Any, Path]:
        torch.manual_seed(0)
        config_class = getattr(transformers, f"{classes[kind]}Config")
        settings = {**(gpt2 if kind == "gpt2" else SIZES), "attn_implementation": "eager", **changes}
        name = "GPT2LMHeadModel" if kind == "gpt2" else f"{classes[kind]}ForCausalLM"
        model = getattr(transformers, name)(config_class(**settings)).eval()
        with torch.no_grad():
            for parameter, weight in model.named_parameters():
                if weight.ndim == 1:
                    weight.normal_(1.0 if parameter.endswith("weight") else 0.0, 0.3)
                else:
                    weight.normal_(0.0, 0.2)
        folder = tmp_path / kind
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        return model, folder

    return make


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated run with two sources: `code`, modules of the standard library, and `prose`, sentences about numbers."""
    run = tmp_path_factory.mktemp("curated")
    modules = sorted(Path(inspect.__file__).parent.glob("*.py"))
    code = [path.read_text(encoding="utf-8")[:6000] for path in modules[:60]]
    random = np.random.default_rng(0)
    words = ["one", "two", "three", "four", "five", "plus", "minus", "makes", "never", "always", "Zahl", "größer"]
    prose = [" ".join(random.choice(words, size)) + "." for size in random.integers(5, 300, 150)]
    for source, texts in (("code", code), ("prose", prose)):
        (run / "shards" / source).mkdir(parents=True)
        rows = [
            {
                **dict.fromkeys(SHARD.names),
                "id": f"{source}-{i}",
                "text": text,
                "source": source,
                "origin": f"{source}.jsonl#{i}",
            }
            for i, text in enumerate(texts)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=SHARD), run / "shards" / source / "part-00000.parquet")
    return run


@pytest.fixture(scope="session")
def byte_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small byte-level tokenizer that has all special tokens."""
    from training.config import TokenizerSettings
    from training.store.tokenizer import Tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    text = Path(inspect.__file__).read_text(encoding="utf-8")
    Tokenizer.train([text], TokenizerSettings(vocab_size=700)).save(folder)
    return folder


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory, byte_pairs: Path) -> Callable[..., Any]:
    """Make texts by source into a store: `stored({"code": [...]}, steps=3)` gives the config and the store.

    Document i of source s has the id `s-i`; `shard` is the number of documents in a shard's file.
    """
    from training.config import TrainConfig
    from training.store.tokens import prepare

    def make(sources: dict[str, list[str]], /, shard: int = 50, out: Path | None = None, **settings: Any) -> Any:
        run = tmp_path_factory.mktemp("run")
        for source, texts in sources.items():
            (run / "shards" / source).mkdir(parents=True)
            rows = [
                {
                    **dict.fromkeys(SHARD.names),
                    "id": f"{source}-{i}",
                    "text": text,
                    "source": source,
                    "origin": f"{source}.jsonl#{i}",
                }
                for i, text in enumerate(texts)
            ]
            for part, at in enumerate(range(0, max(len(rows), 1), shard)):
                table = pa.Table.from_pylist(rows[at : at + shard], schema=SHARD)
                pq.write_table(table, run / "shards" / source / f"part-{part:05}.parquet", row_group_size=7)
        config = TrainConfig.model_validate(
            {
                "data": str(run),
                "steps": 4,
                "context": 16,
                "batch": {"sequences": 4},
                "tokenizer": {"path": str(byte_pairs)},
                "max_epochs": 1000,
                **settings,
            }
        )
        return config, prepare(config, out or tmp_path_factory.mktemp("out"))[1]

    return make
