"""A Hugging Face folder as a whole: where continued pretraining begins, and what a trained model is written into."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from training.hf import check, origin
from training.hf.architecture import architecture_of
from training.hf.check import Check
from training.hf.config import CONFIG, ends, written
from training.hf.error import HuggingFaceError
from training.hf.resize import resized, sub_tokens
from training.hf.weights import WEIGHTS, load, tensors
from training.model import Decoder
from training.store.tokenizer import Tokenizer


def begun(folder: Path, tokenizer: Tokenizer, out: Path) -> tuple[Decoder, Check]:
    """The model of a folder, ready to be trained on with this tokenizer, and how its logits were checked.

    What an export will want again of the folder is kept in the run `out`. Raises HuggingFaceError.
    """
    model = load(folder)
    checked = check.imported(model, folder)
    origin.keep(folder, out)
    return resized(model, tokenizer.vocab_size, sub_tokens(folder, tokenizer)), checked


def export(model: Decoder, tokenizer: Tokenizer, folder: Path, kept: Path | None = None) -> Check:
    """Write a folder that `transformers` opens: config, weights in float32, tokenizer, generation settings.

    `kept` is what the run has of the folder that the model came from (`origin_of`). The folder appears whole or not at
    all, after its weights were read back and its logits compared; the answer says by whom. Raises HuggingFaceError for
    that, for a shape that no architecture has, and if there is something in the place of `folder`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HuggingFaceError(f"{folder} is there already and not empty")
    before = origin.config(kept)
    try:
        architecture = architecture_of(model.shape, before.get("model_type"))
    except ValueError as error:
        raise HuggingFaceError(f"{folder}: {error}") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir()
    tokenizer.save(part)
    _write(part / CONFIG, written(model.shape, architecture, tokenizer.end, before))
    generation = origin.generation(kept)
    _write(part / "generation_config.json", generation | ends(generation or before, tokenizer.end))
    for template in origin.templates(kept):
        shutil.copyfile(template, part / template.name)
    save_file(dict(tensors(model, architecture)), part / WEIGHTS, metadata={"format": "pt"})
    ours = model.state_dict()
    for name, tensor in load(part).state_dict().items():
        if not torch.equal(tensor, ours[name].cpu()):
            raise HuggingFaceError(f"{part / WEIGHTS}: {name} was read back other than it was written")
    checked = check.exported(model, part)
    if folder.exists():
        folder.rmdir()
    part.rename(folder)
    return checked


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
