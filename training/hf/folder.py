"""Hugging Face folders of Llama models: read into a decoder (continued pretraining), and written from one.

The rotary layout is the same on both sides, so weights only change their names: query, key and value are the rows of
one matrix here, and so are gate and up. What a config asks for that this decoder cannot do is refused by name; nothing
is guessed. Only safetensors are read: pickled weights can run code.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from training.model import Decoder, Shape, rounded
from training.model.rope import RopeScaling
from training.tokenizer import Tokenizer

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_ONLY = {
    "model_type": ("llama",),
    "hidden_act": ("silu", None),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "quantization_config": (None,),
}
"""What a config.json may say where this decoder has one way of doing; None is for a key that is not there."""


class HuggingFaceError(Exception):
    """A folder cannot be read or written; the message names the file and what is unsupported, missing or in the way."""


def load(folder: Path) -> Decoder:
    """The decoder of a Llama folder (config.json and *.safetensors, in one file or several), in float32 on the CPU."""
    shape = read_shape(folder)
    model = Decoder.empty(shape)
    wanted = {theirs for names in _names(shape).values() for theirs in names}
    with ExitStack() as stack:
        places = _places(folder, stack)
        # computed from the config here; a tied output matrix is sometimes written out a second time
        spare = {name for name in places if name.endswith("rotary_emb.inv_freq")} | {"lm_head.weight"}
        if missing := sorted(wanted - places.keys()):
            raise HuggingFaceError(f"{folder}: {len(missing)} tensors are missing, the first is {missing[0]}")
        if unknown := sorted(places.keys() - wanted - spare):
            raise HuggingFaceError(f"{folder}: {unknown[0]} (and {len(unknown) - 1} more) has no place in this decoder")
        with torch.no_grad():
            for name, weight in model.named_parameters():
                parts = [places[theirs].get_tensor(theirs) for theirs in _names(shape)[name]]
                tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
                if tensor.shape != weight.shape:
                    raise HuggingFaceError(
                        f"{folder}: {' + '.join(_names(shape)[name])} is {tuple(tensor.shape)}; "
                        f"config.json makes it {tuple(weight.shape)}"
                    )
                weight.copy_(tensor)
    return model


def read_shape(folder: Path) -> Shape:
    """The shape that config.json describes; raises HuggingFaceError for all that is unsupported at once."""
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HuggingFaceError(f"{path}: {error}") from error
    refused = [
        f"{key}: {json.dumps(config.get(key))}" for key, allowed in _ONLY.items() if config.get(key) not in allowed
    ]
    # transformers 5 has one dict for all of RoPE; before, theta stood beside the scaling
    rope = {"rope_theta": config.get("rope_theta", 10_000.0), **(config.get("rope_scaling") or {})}
    rope |= config.get("rope_parameters") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind not in ("default", "linear", "llama3"):
        refused.append(f"rope_type: {json.dumps(kind)}")
    if rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0)) != 1.0:
        refused.append("partial_rotary_factor")
    if refused:
        raise HuggingFaceError(f"{path}: unsupported: {'; '.join(refused)}")
    scaling = None
    if kind != "default":
        fields = {key: rope[key] for key in RopeScaling.model_fields if key in rope}
        scaling = RopeScaling.model_validate({**fields, "rope_type": kind})
    try:
        heads = config["num_attention_heads"]
        return Shape(
            vocabulary=config["vocab_size"],
            context=config.get("max_position_embeddings", 2048),
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or config["hidden_size"] // heads,
            hidden=config["intermediate_size"],
            rope_theta=rope["rope_theta"],
            rope_scaling=scaling,
            norm_eps=config.get("rms_norm_eps", 1e-6),
            tied=config.get("tie_word_embeddings", False),
        )
    except KeyError as error:
        raise HuggingFaceError(f"{path}: {error.args[0]} is missing") from error


def resized(model: Decoder, vocabulary: int, context: int) -> Decoder:
    """The model for at least `vocabulary` tokens and sequences of `context`; itself if it is large enough.

    A longer context changes no weight: rotary positions go on, and training on them is what teaches their use.

    New rows, of the embedding and of an untied output matrix, are the mean of the old ones: new tokens begin as likely
    as an average one (Hewitt 2021).
    """
    old = model.shape.vocabulary
    if vocabulary <= old and context <= model.shape.context:
        return model
    size = {
        "vocabulary": old if vocabulary <= old else rounded(vocabulary),
        "context": max(context, model.shape.context),
    }
    larger = Decoder.empty(model.shape.model_copy(update=size))
    with torch.no_grad():
        for (name, new), weight in zip(larger.named_parameters(), model.parameters(), strict=True):
            if name in ("embedding.weight", "head.weight"):
                new[:old] = weight
                new[old:] = weight.mean(dim=0)
            else:
                new.copy_(weight)
    return larger


def export(model: Decoder, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a folder that `transformers` opens: config, weights in float32, tokenizer, generation settings.

    It appears whole or not at all, after its weights were read back and compared. Raises HuggingFaceError if there is
    something in the place of `folder`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HuggingFaceError(f"{folder} is there already and not empty")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir()
    tokenizer.save(part)
    _write(part / "config.json", _config(model.shape, tokenizer.end))
    _write(part / "generation_config.json", {"eos_token_id": tokenizer.end, "pad_token_id": tokenizer.end})
    save_file(dict(_theirs(model)), part / WEIGHTS, metadata={"format": "pt"})
    ours = model.state_dict()
    for name, tensor in load(part).state_dict().items():
        if not torch.equal(tensor, ours[name].cpu()):
            raise HuggingFaceError(f"{part / WEIGHTS}: {name} was read back other than it was written")
    if folder.exists():
        folder.rmdir()
    part.rename(folder)


def _names(shape: Shape) -> dict[str, tuple[str, ...]]:
    """Their tensors that make each of our parameters, in the order of rows."""
    names: dict[str, tuple[str, ...]] = {
        "embedding.weight": ("model.embed_tokens.weight",),
        "norm.weight": ("model.norm.weight",),
    }
    for i in range(shape.layers):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        names[f"{ours}.attention_norm.weight"] = (f"{theirs}.input_layernorm.weight",)
        names[f"{ours}.attention.qkv.weight"] = tuple(f"{theirs}.self_attn.{part}_proj.weight" for part in "qkv")
        names[f"{ours}.attention.out.weight"] = (f"{theirs}.self_attn.o_proj.weight",)
        names[f"{ours}.feed_forward_norm.weight"] = (f"{theirs}.post_attention_layernorm.weight",)
        names[f"{ours}.feed_forward.gate_up.weight"] = tuple(f"{theirs}.mlp.{p}_proj.weight" for p in ("gate", "up"))
        names[f"{ours}.feed_forward.down.weight"] = (f"{theirs}.mlp.down_proj.weight",)
    if not shape.tied:
        names["head.weight"] = ("lm_head.weight",)
    return names


def _theirs(model: Decoder) -> Iterator[tuple[str, Tensor]]:
    """The model's parameters under their names."""
    shape = model.shape
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    rows = {"attention.qkv.weight": [query, key, key], "feed_forward.gate_up.weight": [shape.hidden, shape.hidden]}
    names = _names(shape)
    for name, weight in model.named_parameters():
        tensor = weight.detach().cpu()
        split = next((sizes for ending, sizes in rows.items() if name.endswith(ending)), [len(tensor)])
        for theirs, part in zip(names[name], torch.split(tensor, split), strict=True):
            yield theirs, part.contiguous()


def _places(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """The open file that holds each tensor of a folder."""
    index = folder / INDEX
    if index.is_file():
        files = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    elif (folder / WEIGHTS).is_file():
        files = [WEIGHTS]
    else:
        raise HuggingFaceError(f"{folder}: neither {WEIGHTS} nor {INDEX} is there (other formats are not read)")
    places: dict[str, Any] = {}
    for name in files:
        try:
            file = stack.enter_context(cast(Any, safe_open)(folder / name, framework="pt"))
        except (OSError, SafetensorError) as error:
            raise HuggingFaceError(f"{folder / name}: {error}") from error
        places |= dict.fromkeys(file.keys(), file)
    return places


def _config(shape: Shape, end: int) -> dict[str, Any]:
    """config.json, with RoPE in the words of transformers 5 and in those of the versions before it."""
    scaling = None if shape.rope_scaling is None else shape.rope_scaling.model_dump()
    if scaling is not None and scaling["rope_type"] == "linear":
        scaling = {"rope_type": "linear", "factor": scaling["factor"]}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "rms_norm_eps": shape.norm_eps,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.rope_theta,
        "rope_scaling": scaling,
        "rope_parameters": {"rope_theta": shape.rope_theta, **(scaling or {"rope_type": "default"})},
        "tie_word_embeddings": shape.tied,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": end,
        "torch_dtype": "float32",
        "use_cache": True,
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
