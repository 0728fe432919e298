"""Shapes by size: those of published models, and some that are small enough to try things on a laptop.

Each is what `model: {preset: ...}` stands for; any field set beside it wins. The size counts all parameters with the
vocabulary that is given in the comment. RoPE is that of pretraining: the stretched frequencies that some were published
with belong to their longer contexts.
"""

from collections.abc import Mapping
from typing import Any

_GPT2: Mapping[str, Any] = {
    "norm": "layer",
    "feed_forward": "gelu",
    "positions": "learned",
    "biases": "all",
    "norm_eps": 1e-5,
    "tied": True,
}


def _gpt2(layers: int, width: int, heads: int) -> Mapping[str, Any]:
    size = {"layers": layers, "width": width, "heads": heads, "kv_heads": heads, "hidden": 4 * width}
    return {**size, **_GPT2}


def _llama(layers: int, width: int, heads: int, kv_heads: int, hidden: int, **others: Any) -> Mapping[str, Any]:
    size = {"layers": layers, "width": width, "heads": heads, "kv_heads": kv_heads, "hidden": hidden}
    return {**size, "tied": True, "norm_eps": 1e-5, **others}


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "1M": _llama(3, 128, 4, 2, 352),  # vocabulary 4,096
    "5M": _llama(4, 256, 4, 2, 704),  # 8,192
    "15M": _llama(6, 288, 6, 6, 768),  # 32,000; llama2.c's stories15M
    "30M": _llama(15, 384, 6, 2, 1024),  # 16,384; deep and narrow, as Liu et al. 2024 (MobileLLM) found best
    "60M": _llama(15, 512, 8, 2, 1408),  # 32,768
    "124M": _gpt2(12, 768, 12),  # 50,257; GPT-2
    "135M": _llama(30, 576, 9, 3, 1536, rope_theta=100_000.0),  # 49,152; SmolLM2-135M
    "350M": _gpt2(24, 1024, 16),  # 50,257; GPT-2 medium
    "360M": _llama(32, 960, 15, 5, 2560, rope_theta=100_000.0),  # 49,152; SmolLM2-360M
    "0.5B": _llama(24, 896, 14, 2, 4864, biases="qkv", rope_theta=1e6, norm_eps=1e-6),  # 151,936; Qwen2.5-0.5B
    "0.6B": _llama(28, 1024, 16, 8, 3072, head_dim=128, qk_norm=True, rope_theta=1e6, norm_eps=1e-6),  # Qwen3-0.6B
    "1B": _llama(16, 2048, 32, 8, 8192, rope_theta=500_000.0),  # 128,256; Llama-3.2-1B
    "1.7B": _llama(24, 2048, 32, 32, 8192, rope_theta=130_000.0),  # 49,152; SmolLM2-1.7B
    "3B": _llama(28, 3072, 24, 8, 8192, rope_theta=500_000.0),  # 128,256; Llama-3.2-3B
    "7B": _llama(32, 4096, 32, 8, 14336, tied=False),  # 32,000; Mistral-7B
    "8B": _llama(32, 4096, 32, 8, 14336, rope_theta=500_000.0, tied=False),  # 128,256; Llama-3.1-8B
}
