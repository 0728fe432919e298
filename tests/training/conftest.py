"""What the tests of training share: one thread, packed batches, and small Llama models made by transformers."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest


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
            "vocab_size": 128,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 64,
            "initializer_range": 0.2,
            "attn_implementation": "eager",
            **changes,
        }
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings)).eval()
        folder = tmp_path / "llama"
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        return model, folder

    return make
