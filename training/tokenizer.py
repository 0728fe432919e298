"""The tokenizer: a wrapper of the tokenizers library that knows the special tokens of training."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from training.config import TokenizerSettings


class Tokenizer:
    """Text to ids and back; special tokens written out in a text are text, never control."""

    def __init__(self, inner: Any, settings: TokenizerSettings) -> None:
        self.inner = inner
        self.settings = settings

    @classmethod
    def load(cls, path: str | Path, settings: TokenizerSettings) -> Self:
        raise NotImplementedError

    @classmethod
    def train(cls, texts: Iterable[str], settings: TokenizerSettings) -> Self:
        raise NotImplementedError

    def with_fim(self) -> "tuple[Tokenizer, int]":
        """The same with the sentinels that were missing, and how many ids that added (at the end of the vocabulary)."""
        raise NotImplementedError

    def save(self, folder: str | Path) -> None:
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        raise NotImplementedError

    def decode(self, ids: Sequence[int]) -> str:
        raise NotImplementedError

    @property
    def vocab_size(self) -> int:
        raise NotImplementedError

    @property
    def has_fim(self) -> bool:
        raise NotImplementedError

    @property
    def end(self) -> int:
        raise NotImplementedError

    @property
    def prefix(self) -> int:
        """ValueError if the tokenizer has no sentinels (likewise middle, suffix)."""
        raise NotImplementedError

    @property
    def middle(self) -> int:
        raise NotImplementedError

    @property
    def suffix(self) -> int:
        raise NotImplementedError
