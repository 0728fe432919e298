"""Settings of what the model sees: the tokenizer, phases and their mixtures, fill-in-the-middle."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.config.base import Settings, Share

Weight = Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]
"""A constant, or `[start, end]`: linear over the phase."""


class TokenizerSettings(Settings):
    """A `tokenizer.json` of the tokenizers library, or a byte-level BPE trained on the shards."""

    path: str | None = None
    """A file, or a folder that holds `tokenizer.json`; None trains one."""
    vocab_size: Annotated[int, Field(ge=320)] = 8192
    """Of the one that is trained, special tokens included."""
    sample_bytes: Annotated[int, Field(ge=1)] = 50_000_000
    """Text that it is trained on, taken evenly over all sources' documents."""
    end: str = "<|endoftext|>"
    prefix: str = "<|fim_prefix|>"
    middle: str = "<|fim_middle|>"
    suffix: str = "<|fim_suffix|>"


class FimSettings(Settings):
    """Fill-in-the-middle for one source (Bavarian et al. 2022): document-level, cut at characters."""

    rate: Share = 0.5
    """Share of documents that are rearranged."""
    spm: Share = 0.5
    """Of those, the share in suffix-prefix-middle order; the others are prefix-suffix-middle."""


class Phase(Settings):
    """A stretch of the run with its mixture."""

    share: Annotated[float, Field(gt=0)] = 1.0
    """Length relative to the other phases."""
    weights: Literal["auto"] | Mapping[str, Weight] = "auto"
    """Token share of each source, normalised at every moment; `auto` follows the sizes of the sources."""

    @model_validator(mode="after")
    def _something_to_read(self) -> Self:
        if self.weights != "auto":
            ends = [w if isinstance(w, tuple) else (w, w) for w in self.weights.values()]
            if not sum(start for start, _ in ends) or not sum(end for _, end in ends):
                raise ValueError("weights: at the start and at the end of a phase, some source needs a weight above 0")
        return self
