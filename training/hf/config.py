"""config.json: read into a shape, and written from one.

What it asks for that the decoder cannot do is refused by name, all of it at once. Keys that transformers itself does
not know for an architecture change nothing there, and nothing here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.configfile import nearest
from training.config.rope import RopeScaling
from training.hf.architecture import BY_TYPE, Architecture
from training.hf.error import HuggingFaceError
from training.model import Shape

CONFIG = "config.json"
_THETA = 10_000.0
_WINDOW, _FULL_LAYERS = 4096, 28
"""What transformers takes for `sliding_window` and `max_window_layers` where a config does not say."""
_OF_THE_RUN = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "layer_types")
"""Keys of the model that one began from that are not true of what became of it."""


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as it stands; raises HuggingFaceError."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HuggingFaceError(f"{path}: {error}") from error
    if not isinstance(config, dict):
        raise HuggingFaceError(f"{path} is not a JSON object")
    return config


def read_shape(folder: Path) -> Shape:
    """The shape that config.json describes; raises HuggingFaceError for all that is unsupported at once."""
    return described(folder)[0]


def described(folder: Path) -> tuple[Shape, Architecture]:
    """The shape that config.json describes and its architecture; raises as `read_shape` does."""
    path, config = folder / CONFIG, read_config(folder)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in BY_TYPE:
        hint = nearest(str(kind), list(BY_TYPE))
        raise HuggingFaceError(f"{path}: unsupported: model_type: {json.dumps(kind)}; {hint}")
    architecture = BY_TYPE[kind]
    refused = [
        f"{key}: {json.dumps(config.get(key))}"
        for key, allowed in architecture.only.items()
        if config.get(key) not in allowed
    ]
    fields: dict[str, Any] = {
        name: config[key] if key in config else architecture.defaults.get(name)
        for name, key in architecture.keys.items()
    }
    missing = [architecture.keys[name] for name in ("vocabulary", "layers", "width", "heads") if fields[name] is None]
    if not missing:
        fields["kv_heads"] = fields.get("kv_heads") or fields["heads"]
        fields["head_dim"] = fields.get("head_dim") or fields["width"] // fields["heads"]
        if fields["heads"] % fields["kv_heads"]:
            refused.append(f"{fields['heads']} heads of queries for {fields['kv_heads']} of keys")
    if kind == "gpt2":
        fields |= {"norm": "layer", "feed_forward": "gelu", "positions": "learned", "biases": "all"}
        if not missing:
            fields["hidden"] = fields["hidden"] or 4 * fields["width"]
    else:
        fields |= {"qk_norm": kind == "qwen3"}
        missing += ["intermediate_size"] if fields["hidden"] is None else []
        fields |= _rope(config, fields["context"], refused)
        fields["biases"] = _biases(kind, config, refused)
        fields["window"] = _window(kind, config, fields["layers"] or 0, fields["context"], refused)
    if missing or refused:
        lines = [f"{key} is missing" for key in missing] + ([f"unsupported: {'; '.join(refused)}"] if refused else [])
        raise HuggingFaceError(f"{path}: {'; '.join(lines)}")
    try:
        return Shape.model_validate(fields), architecture
    except ValidationError as error:
        wrong = [(architecture.keys.get(str(at["loc"][0]), str(at["loc"][0])), at["msg"]) for at in error.errors()]
        raise HuggingFaceError(f"{path}: {'; '.join(f'{key}: {said}' for key, said in wrong)}") from error


def _rope(config: Mapping[str, Any], context: int, refused: list[str]) -> dict[str, Any]:
    """`rope_theta` and `rope_scaling`; transformers 5 has one dict for all of it, before theta stood beside."""
    rope = {"rope_theta": config.get("rope_theta", _THETA), **(config.get("rope_scaling") or {})}
    rope |= config.get("rope_parameters") or {}
    if any(isinstance(value, dict) for value in rope.values()):
        refused.append("rope_parameters by kind of layer")
        return {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if rope.get("partial_rotary_factor", 1) != 1:
        refused.append(f"partial_rotary_factor: {json.dumps(rope['partial_rotary_factor'])}")
    if kind == "default":
        return {"rope_theta": rope["rope_theta"]}
    given = {key: rope[key] for key in RopeScaling.model_fields if rope.get(key) is not None} | {"rope_type": kind}
    original = config.get("original_max_position_embeddings") or given.get("original_max_position_embeddings")
    if kind in ("llama3", "yarn"):
        given["original_max_position_embeddings"] = original or context
        if "factor" not in given and original:
            given["factor"] = context / original
    try:
        return {"rope_theta": rope["rope_theta"], "rope_scaling": RopeScaling.model_validate(given)}
    except ValidationError as error:
        for at in error.errors():
            name = ".".join(map(str, at["loc"])) or "rope_scaling"
            refused.append(f"{name}: {json.dumps(given[name])}" if name in given else f"{name}: {at['msg']}")
        return {}


def _biases(kind: str, config: Mapping[str, Any], refused: list[str]) -> str:
    """Which linear layers have a bias."""
    attention, inner = bool(config.get("attention_bias")), bool(config.get("mlp_bias"))
    if kind == "qwen2":
        return "qkv"
    if kind == "llama" and inner:
        if not attention:
            refused.append("mlp_bias: true without attention_bias")
        return "all"
    return "attention" if kind in ("llama", "qwen3") and attention else "none"


def _window(kind: str, config: Mapping[str, Any], layers: int, context: int, refused: list[str]) -> int | None:
    """The window of attention, if all layers have it."""
    if kind == "llama" or (kind.startswith("qwen") and not config.get("use_sliding_window")):
        return None
    window: int | None = config.get("sliding_window", _WINDOW)
    if kind == "mistral" or window is None:
        return window
    full = config.get("max_window_layers", _FULL_LAYERS)
    kinds = config.get("layer_types") or ["sliding_attention" if i >= full else "full_attention" for i in range(layers)]
    if len(set(kinds)) > 1 and window < context:
        refused.append(f"sliding_window: {window} in {kinds.count('sliding_attention')} of {layers} layers")
    return window if set(kinds) == {"sliding_attention"} else None


def written(shape: Shape, architecture: Architecture, end: int, origin: Mapping[str, Any]) -> dict[str, Any]:
    """config.json of a shape; keys of the model that it began from stay where they are still true.

    RoPE is there in the words of transformers 5 and in those of the versions before it.
    """
    same = origin.get("model_type") == architecture.model_type
    config = {key: value for key, value in origin.items() if same and key not in _OF_THE_RUN}
    config |= {"architectures": [architecture.class_name], "model_type": architecture.model_type}
    config |= {key: getattr(shape, name) for name, key in architecture.keys.items()}
    if architecture.model_type == "gpt2":
        config |= {"n_ctx": shape.context, "activation_function": "gelu_new"}
        config |= {key: config.get(key, 0.0) for key in ("resid_pdrop", "embd_pdrop", "attn_pdrop")}
    else:
        config |= _rope_of(shape) | {"hidden_act": "silu", "attention_dropout": config.get("attention_dropout", 0.0)}
        config.pop("original_max_position_embeddings", None)
    if architecture.model_type in ("llama", "qwen3"):
        config["attention_bias"] = shape.biases in ("attention", "all")
    if architecture.model_type == "llama":
        config["mlp_bias"] = shape.biases == "all"
    if architecture.model_type == "mistral":
        config["sliding_window"] = shape.window
    if architecture.model_type.startswith("qwen"):
        full = shape.layers if shape.window is None else 0
        config |= {"use_sliding_window": shape.window is not None, "max_window_layers": full}
        config["sliding_window"] = shape.window
    config |= {"bos_token_id": origin.get("bos_token_id"), **ends(origin, end)}
    return config | {"torch_dtype": "float32", "use_cache": True}


def ends(origin: Mapping[str, Any], end: int) -> dict[str, Any]:
    """`eos_token_id` with the end of training's documents in it, and `pad_token_id`."""
    given = origin.get("eos_token_id")
    known = given if isinstance(given, list) else [] if given is None else [given]
    eos = given if end in known else [end, *known] if known else end
    pad = origin.get("pad_token_id")
    return {"eos_token_id": eos, "pad_token_id": end if pad is None else pad}


def _rope_of(shape: Shape) -> dict[str, Any]:
    scaling: dict[str, Any] | None = None
    if shape.rope_scaling is not None:
        wanted = {
            "linear": ("rope_type", "factor"),
            "dynamic": ("rope_type", "factor"),
            "llama3": (
                "rope_type",
                "factor",
                "low_freq_factor",
                "high_freq_factor",
                "original_max_position_embeddings",
            ),
            "yarn": (
                "rope_type",
                "factor",
                "original_max_position_embeddings",
                "beta_fast",
                "beta_slow",
                "truncate",
                "attention_factor",
                "mscale",
                "mscale_all_dim",
            ),
        }[shape.rope_scaling.rope_type]
        scaling = shape.rope_scaling.model_dump(include=set(wanted), exclude_none=True)
    return {
        "rope_theta": shape.rope_theta,
        "rope_scaling": scaling,
        "rope_parameters": {"rope_theta": shape.rope_theta, **(scaling or {"rope_type": "default"})},
    }
