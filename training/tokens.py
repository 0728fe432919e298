"""The token store: a run's documents as memory-mapped tokens, one folder a source, held-out documents apart."""

from pathlib import Path

from pipeline.configfile import Problem
from training.config import TrainConfig
from training.tokenizer import Tokenizer


class Documents:
    """The documents of a source, either those for training or the held-out ones: `len()` of them."""

    count_tokens: int
    """Tokens of all of them, end tokens included."""
    count_bytes: int
    """UTF-8 bytes of their texts."""


class TokenStore:
    """Tokens of all sources. `sources` is sorted by name; index i of `train` and `held` belongs to `sources[i]`."""

    sources: tuple[str, ...]
    train: tuple[Documents, ...]
    held: tuple[Documents, ...]
    tokenizer: Tokenizer

    @classmethod
    def open(cls, folder: str | Path, tokenizer: Tokenizer) -> "TokenStore":
        """The store that `prepare` built in `out/tokens`."""
        raise NotImplementedError


def missing(config: TrainConfig) -> list[Problem]:
    """What is not there of what the config names: run folders, shards, the tokenizer's file. Cheap; call it first."""
    raise NotImplementedError


def prepare(config: TrainConfig, out: Path) -> tuple[Tokenizer, TokenStore]:
    """Tokenizer (saved as out/tokenizer.json) and store (out/tokens), built or, if nothing changed, reused."""
    raise NotImplementedError
