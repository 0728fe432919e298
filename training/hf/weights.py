"""The tensors of a Hugging Face folder: read into a decoder, and taken out of one under their names.

Only safetensors are read: pickled weights can run code. Fused matrices are cut and joined by rows; GPT-2 stores its
matrices the other way round.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from training.hf.architecture import Architecture, names
from training.hf.config import described
from training.hf.error import HuggingFaceError
from training.model import Decoder

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def load(folder: Path) -> Decoder:
    """The decoder of a folder (config.json and *.safetensors, in one file or several), in float32 on the CPU.

    Raises HuggingFaceError for what config.json asks for that the decoder cannot do, and for tensors that are missing,
    without a place, of another shape, or not of a floating-point type.
    """
    shape, architecture = described(folder)
    model = Decoder.empty(shape)
    wanted = names(model, architecture)
    with ExitStack() as stack:
        places = _places(folder, stack, architecture)
        # a tied output matrix is sometimes written out a second time
        spare = {name for name in places if name.endswith(architecture.ignored)} | {"lm_head.weight"}
        known = {theirs for parts in wanted.values() for theirs in parts}
        if missing := sorted(known - places.keys()):
            raise HuggingFaceError(f"{folder}: {len(missing)} tensors are missing, the first is {missing[0]}")
        if unknown := sorted(places.keys() - known - spare):
            raise HuggingFaceError(f"{folder}: {unknown[0]} (and {len(unknown) - 1} more) has no place in this decoder")
        roles = model.roles()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                parts = [places[theirs][0].get_tensor(places[theirs][1]) for theirs in wanted[name]]
                if strange := [part.dtype for part in parts if part.dtype not in _FLOATS]:
                    raise HuggingFaceError(f"{folder}: {' + '.join(wanted[name])} is {strange[0]}, not of floats")
                if architecture.transposed and roles[name] == "matrix":
                    parts = [part.T for part in parts]
                tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
                if tensor.shape != weight.shape:
                    theirs = tuple(tensor.T.shape) if architecture.transposed else tuple(tensor.shape)
                    ours = tuple(weight.T.shape) if architecture.transposed else tuple(weight.shape)
                    raise HuggingFaceError(
                        f"{folder}: {' + '.join(wanted[name])} is {theirs}; config.json makes it {ours}"
                    )
                weight.copy_(tensor)
    return model


def tensors(model: Decoder, architecture: Architecture) -> Iterator[tuple[str, Tensor]]:
    """The model's parameters under their names, on the CPU, each in memory of its own order."""
    shape, roles = model.shape, model.roles()
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    rows = {"attention.qkv": [query, key, key], "feed_forward.gate_up": [shape.hidden, shape.hidden]}
    wanted = names(model, architecture)
    for name, weight in model.named_parameters():
        tensor = weight.detach().cpu()
        fused = next((sizes for module, sizes in rows.items() if f".{module}." in name), [len(tensor)])
        split = fused if len(wanted[name]) > 1 else [len(tensor)]
        for theirs, part in zip(wanted[name], torch.split(tensor, split), strict=True):
            turned = part.T if architecture.transposed and roles[name] == "matrix" else part
            yield theirs, turned.contiguous()


def _places(folder: Path, stack: ExitStack, architecture: Architecture) -> dict[str, tuple[Any, str]]:
    """By full name: the open file that holds each tensor of a folder, and what it is called there."""
    index = folder / INDEX
    if index.is_file():
        try:
            files = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HuggingFaceError(f"{index}: not an index of weights ({error!r})") from error
    elif (folder / WEIGHTS).is_file():
        files = [WEIGHTS]
    else:
        raise HuggingFaceError(f"{folder}: neither {WEIGHTS} nor {INDEX} is there (other formats are not read)")
    found: dict[str, tuple[Any, str]] = {}
    for name in files:
        if Path(name).name != name:
            raise HuggingFaceError(f"{index}: {name!r} is not a file of this folder")
        try:
            file = stack.enter_context(cast(Any, safe_open)(folder / name, framework="pt"))
        except (OSError, SafetensorError) as error:
            raise HuggingFaceError(f"{folder / name}: {error}") from error
        found |= {key: (file, key) for key in file.keys()}
    if not any(key.startswith(architecture.base) for key in found):  # written from the model without its output matrix
        found = {key if key.startswith("lm_head.") else architecture.base + key: place for key, place in found.items()}
    return found
