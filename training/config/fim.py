"""Settings of fill-in-the-middle, and how published vocabularies spell its sentinels."""

from collections.abc import Mapping
from typing import Any, Literal

from training.config.base import Settings, Share

Convention = Literal["qwen", "starcoder", "codellama", "deepseek"]

CONVENTIONS: Mapping[Convention, Mapping[str, str]] = {
    "qwen": {
        "end": "<|endoftext|>",
        "prefix": "<|fim_prefix|>",
        "middle": "<|fim_middle|>",
        "suffix": "<|fim_suffix|>",
        "repository": "<|repo_name|>",
        "file": "<|file_sep|>",
    },
    "starcoder": {
        "end": "<|endoftext|>",
        "prefix": "<fim_prefix>",
        "middle": "<fim_middle>",
        "suffix": "<fim_suffix>",
        "repository": "<repo_name>",
        "file": "<file_sep>",
    },
    "codellama": {
        "end": "</s>",
        "prefix": "▁<PRE>",
        "middle": "▁<MID>",
        "suffix": "▁<SUF>",
        "filled": "▁<EOT>",
    },
    "deepseek": {
        "end": "<｜end▁of▁sentence｜>",
        "prefix": "<｜fim▁begin｜>",
        "middle": "<｜fim▁end｜>",
        "suffix": "<｜fim▁hole｜>",
    },
}
"""Special tokens by what they are for: Qwen2.5-Coder (Hui et al. 2024), StarCoder (Li et al. 2023, of repositories
those of StarCoder2: Lozhkov et al. 2024), Code Llama (Roziere et al. 2023), DeepSeek-Coder (Guo et al. 2024)."""


class FimSettings(Settings):
    """Fill-in-the-middle for one source (Bavarian et al. 2022)."""

    rate: Share = 0.5
    """Share of documents (of their parts, if the level is `context`) that are rearranged."""
    spm: Share = 0.5
    """Of those, the share in suffix-prefix-middle order; the others are prefix-suffix-middle."""
    level: Literal["document", "context"] = "document"
    """Whether a document that is longer than a sequence is rearranged in all of its parts or in none, or each part
    draws for itself, as is done to what a context holds. Bavarian et al. found `context` slightly better. It needs
    parts that are known before they are drawn for, which `packing: best_fit` and `buckets` have."""
    cuts: Literal["characters", "lines", "syntax"] = "characters"
    """Where texts are cut. `characters`: anywhere, also inside of words. `lines`: what is filled in are whole lines.
    `syntax`: it is a piece of code by its brackets or indentation, such as an argument, a statement or the body of a
    function. Texts without it (fewer than three lines) are cut at characters."""


def spelled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a tokenizer with the special tokens of their convention where they name none."""
    names = next((names for name, names in CONVENTIONS.items() if name == values.get("fim", "qwen")), {})
    return {**names, **values}


def divided(fim: Mapping[str, FimSettings], packing: str) -> None:
    """Raise ValueError where parts of documents are to draw for themselves and are not known beforehand."""
    for source, settings in fim.items():
        if settings.level == "context" and packing == "concatenate":
            raise ValueError(
                f"fim.{source}.level: context needs 'packing: best_fit' or 'buckets'; "
                "where documents are cut by sequences, a part is not known before it is drawn for"
            )
