"""A model for other tokens than it was trained on, disturbed as little as possible.

A new token begins where its text was: at the mean of the rows of the tokens that the old tokenizer cuts it into (as
Linly-Chinese-LLaMA-2 did for 8,076 of them); one that has no such tokens, at the mean of all rows, so that it is as
likely as an average one (Hewitt 2021). Tokens that another tokenizer has at another place take their rows along.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
from torch import Tensor

from training.hf.error import HuggingFaceError
from training.model import Decoder, rounded
from training.store.tokenizer import Tokenizer

Parts = Mapping[int, Sequence[int]]
"""By id of a token: the old ids whose mean it begins at; none for the mean of all."""


def sub_tokens(folder: Path, tokenizer: Tokenizer) -> dict[int, tuple[int, ...]]:
    """The parts of each token that the tokenizer of a Hugging Face folder has not at the same id."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return {}
    try:
        old: Any = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for whatever is wrong with a file
        raise HuggingFaceError(f"{path}: not a tokenizer of the tokenizers library ({error})") from error
    old.encode_special_tokens = True
    old.no_truncation()
    old.no_padding()
    had = old.get_vocab()
    added = tokenizer.inner.get_added_tokens_decoder()
    found: dict[int, tuple[int, ...]] = {}
    for token, number in sorted(tokenizer.inner.get_vocab().items(), key=lambda item: item[1]):
        if had.get(token) == number:
            continue
        if token in had:
            found[number] = (had[token],)
            continue
        text = added[number].content if number in added else tokenizer.decode([number])
        if "\ufffd" in text:  # bytes that are no character alone: their symbols are tokens of byte-level vocabularies
            symbols = [had.get(symbol) for symbol in token]
            found[number] = () if None in symbols else tuple(int(s) for s in symbols if s is not None)
        else:
            found[number] = tuple(old.encode(text, add_special_tokens=False).ids)
    return found


def resized(model: Decoder, vocabulary: int, parts: Parts | None = None) -> Decoder:
    """The model for at least `vocabulary` tokens; itself if nothing is to be changed.

    `parts` (from `sub_tokens`) says which tokens are new, of the embedding and of an untied output matrix; rows behind
    the old ones that it does not name are the mean of all. Layers are shared with the old model, not copied.
    """
    parts = parts or {}
    rows = model.shape.vocabulary
    size = rows if vocabulary <= rows else rounded(vocabulary)
    if not parts and size == rows:
        return model
    tensors = model.state_dict()
    for name, role in model.roles().items():
        if role == "head" or name == "embedding.weight":
            tensors[name] = _rows(tensors[name], size, parts)
    return Decoder.holding(model.shape.model_copy(update={"vocabulary": size}), tensors)


def _rows(old: Tensor, count: int, parts: Parts) -> Tensor:
    """The rows of a vocabulary's matrix for `count` tokens."""
    mean = old.mean(dim=0)
    new = torch.empty(count, old.shape[1], dtype=old.dtype)
    new[: len(old)] = old
    new[len(old) :] = mean
    for token, made_of in parts.items():
        known = [part for part in made_of if part < len(old)]
        new[token] = old[known].mean(dim=0) if known else mean
    return new
