"""The order of training: which documents make step N, as a pure function of (config, seed, N)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.configfile import Problem
from training.config import TrainConfig
from training.fim import Mode
from training.tokens import TokenStore


class Piece(NamedTuple):
    """A stretch of one document in a sequence; offsets count the tokens that the document is laid out on."""

    source: int
    document: int
    epoch: int
    start: int
    length: int
    mode: Mode


@dataclass(frozen=True)
class SequencePlan:
    """One row of a step: the source, its how-manieth sequence this is, and the pieces that fill it."""

    source: int
    sequence: int
    pieces: tuple[Piece, ...]


class Order:
    """What the trainer sees. `step(n)` for n from 0 (the first) to config.steps - 1."""

    def __init__(self, config: TrainConfig, store: TokenStore) -> None:
        self.config = config
        self.store = store

    def step(self, n: int) -> tuple[SequencePlan, ...]:
        raise NotImplementedError

    def digest(self, n: int) -> str:
        """Hex hash of what step n is made of."""
        raise NotImplementedError


def feasibility(config: TrainConfig, store: TokenStore) -> list[Problem]:
    """What cannot work with these sources: unknown names, empty sources, more epochs than allowed."""
    raise NotImplementedError


__all__ = ["Order", "Piece", "Sequence", "SequencePlan", "feasibility"]
