"""The architectures of Hugging Face that this decoder knows: what each calls its parts, and what its shape can be.

One row a thing: a new architecture that only names things differently, or fixes other options, is one more entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.model import Decoder, Shape

Modules = Mapping[str, tuple[str, ...]]

_LLAMA: Modules = {
    "embedding": ("model.embed_tokens",),
    "attention_norm": ("input_layernorm",),
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.query_norm": ("self_attn.q_norm",),
    "attention.key_norm": ("self_attn.k_norm",),
    "attention.out": ("self_attn.o_proj",),
    "feed_forward_norm": ("post_attention_layernorm",),
    "feed_forward.gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "feed_forward.down": ("mlp.down_proj",),
    "norm": ("model.norm",),
    "head": ("lm_head",),
}
_GPT2: Modules = {
    "embedding": ("transformer.wte",),
    "positions": ("transformer.wpe",),
    "attention_norm": ("ln_1",),
    "attention.qkv": ("attn.c_attn",),
    "attention.out": ("attn.c_proj",),
    "feed_forward_norm": ("ln_2",),
    "feed_forward.up": ("mlp.c_fc",),
    "feed_forward.down": ("mlp.c_proj",),
    "norm": ("transformer.ln_f",),
    "head": ("lm_head",),
}
_LLAMA_KEYS = {
    "vocabulary": "vocab_size",
    "context": "max_position_embeddings",
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "hidden": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "tied": "tie_word_embeddings",
}
_GPT2_KEYS = {
    "vocabulary": "vocab_size",
    "context": "n_positions",
    "layers": "n_layer",
    "width": "n_embd",
    "heads": "n_head",
    "hidden": "n_inner",
    "norm_eps": "layer_norm_epsilon",
    "tied": "tie_word_embeddings",
}
_LLAMA_ONLY: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", None),
    "partial_rotary_factor": (1, None),
    "quantization_config": (None,),
    "auto_map": (None,),
}


@dataclass(frozen=True)
class Architecture:
    """One `model_type` of transformers."""

    model_type: str
    class_name: str
    modules: Modules
    """Their modules that make each of ours, in the order of rows; those of a layer without the layer's prefix."""
    layers: str
    """What stands before the number of a layer."""
    base: str
    """What names begin with, but not in a file that was written from the model without its output matrix."""
    keys: Mapping[str, str]
    """Key of config.json by field of the shape."""
    defaults: Mapping[str, Any]
    """By field of the shape: what transformers takes where config.json has no such key."""
    only: Mapping[str, tuple[Any, ...]]
    """What a config.json may say where this decoder has one way of doing; None is for a key that is not there."""
    allows: Mapping[str, tuple[Any, ...]]
    """Values of the shape's fields that it can express; a field that is not named can be anything."""
    transposed: bool = False
    """Whether matrices are stored as (inputs, outputs)."""
    ignored: tuple[str, ...] = field(default=("rotary_emb.inv_freq",))
    """Endings of tensors that hold nothing learned."""

    def obstacles(self, shape: Shape) -> list[str]:
        """What of a shape it cannot express, in words; empty if it can."""
        found = [
            f"{name}: {getattr(shape, name)}"
            for name, values in self.allows.items()
            if getattr(shape, name) not in values
        ]
        if self.model_type == "gpt2":
            if shape.kv_heads != shape.heads:
                found.append(f"kv_heads: {shape.kv_heads} for {shape.heads} heads")
            if shape.head_dim * shape.heads != shape.width:
                found.append(f"head_dim: {shape.head_dim} for width {shape.width} and {shape.heads} heads")
        elif self.model_type == "llama" and shape.width % shape.heads:
            found.append(f"width: {shape.width} for {shape.heads} heads")
        return found


_ROTARY = {"norm": ("rms",), "feed_forward": ("swiglu",), "positions": ("rotary",)}

ARCHITECTURES = (
    Architecture(
        model_type="llama",  # SmolLM and SmolLM2 too
        class_name="LlamaForCausalLM",
        modules=_LLAMA,
        layers="model.layers",
        base="model.",
        keys=_LLAMA_KEYS,
        defaults={"context": 2048, "norm_eps": 1e-6, "tied": False},
        only=_LLAMA_ONLY,
        allows={**_ROTARY, "biases": ("none", "attention", "all"), "qk_norm": (False,), "window": (None,)},
    ),
    Architecture(
        model_type="mistral",
        class_name="MistralForCausalLM",
        modules=_LLAMA,
        layers="model.layers",
        base="model.",
        keys=_LLAMA_KEYS,
        defaults={"context": 131_072, "norm_eps": 1e-6, "tied": False, "kv_heads": 8},
        only={**_LLAMA_ONLY, "attention_bias": (False, None), "mlp_bias": (False, None)},
        allows={**_ROTARY, "biases": ("none",), "qk_norm": (False,)},
    ),
    Architecture(
        model_type="qwen2",  # Qwen1.5, Qwen2 and Qwen2.5
        class_name="Qwen2ForCausalLM",
        modules=_LLAMA,
        layers="model.layers",
        base="model.",
        keys=_LLAMA_KEYS,
        defaults={"context": 32_768, "norm_eps": 1e-6, "tied": False, "kv_heads": 32},
        only=_LLAMA_ONLY,
        allows={**_ROTARY, "biases": ("qkv",), "qk_norm": (False,)},
    ),
    Architecture(
        model_type="qwen3",
        class_name="Qwen3ForCausalLM",
        modules=_LLAMA,
        layers="model.layers",
        base="model.",
        keys=_LLAMA_KEYS,
        defaults={"context": 32_768, "norm_eps": 1e-6, "tied": False, "kv_heads": 32, "head_dim": 128},
        only={**_LLAMA_ONLY, "mlp_bias": (False, None)},
        allows={**_ROTARY, "biases": ("none", "attention"), "qk_norm": (True,)},
    ),
    Architecture(
        model_type="gpt2",
        class_name="GPT2LMHeadModel",
        modules=_GPT2,
        layers="transformer.h",
        base="transformer.",
        keys=_GPT2_KEYS,
        defaults={"context": 1024, "norm_eps": 1e-5, "tied": True},
        only={
            "activation_function": ("gelu_new", "gelu_pytorch_tanh", None),
            "scale_attn_weights": (True, None),
            "scale_attn_by_inverse_layer_idx": (False, None),
            "add_cross_attention": (False, None),
            "quantization_config": (None,),
            "auto_map": (None,),
        },
        allows={
            "norm": ("layer",),
            "feed_forward": ("gelu",),
            "positions": ("learned",),
            "biases": ("all",),
            "qk_norm": (False,),
            "window": (None,),
        },
        transposed=True,
        ignored=("attn.bias", "attn.masked_bias"),
    ),
)

BY_TYPE: Mapping[str, Architecture] = {one.model_type: one for one in ARCHITECTURES}


def architecture_of(shape: Shape, preferred: str | None = None) -> Architecture:
    """The architecture that a shape is written as: the preferred type if it can express it, else the first that can.

    Raises ValueError with what stands in the way of the one that comes nearest.
    """
    order = sorted(ARCHITECTURES, key=lambda one: (len(one.obstacles(shape)), one.model_type != preferred))
    if obstacles := order[0].obstacles(shape):
        raise ValueError(
            f"no architecture of Hugging Face has this shape; {order[0].model_type} comes nearest, but not with "
            f"{'; '.join(obstacles)}"
        )
    return order[0]


def names(model: Decoder, architecture: Architecture) -> dict[str, tuple[str, ...]]:
    """Their tensors that make each parameter of a model, in the order of rows."""
    found = {}
    for ours, _ in model.named_parameters():
        module, _, kind = ours.rpartition(".")
        prefix = ""
        if module.startswith("blocks."):
            _, layer, module = module.split(".", 2)
            prefix = f"{architecture.layers}.{layer}."
        found[ours] = tuple(f"{prefix}{theirs}.{kind}" for theirs in architecture.modules[module])
    return found
