"""Text from a trained model: what follows a prompt, or what lies between a prefix and a suffix."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from training import checkpoint, hf
from training.config import TokenizerSettings, TrainConfig
from training.model import Cache, Decoder, Shape, document_mask
from training.store.tokenizer import Tokenizer, convention

FILL = "<FILL>"
"""In a prompt: the hole between prefix and suffix."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 0.0
    """Logits are divided by it; 0 always takes the likeliest."""
    top_p: float = 1.0
    """Only the likeliest tokens that together have this probability are drawn from (Holtzman et al. 2020)."""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError(
                f"temperature {self.temperature} must be 0 or more, top_p {self.top_p} above 0 and at most 1"
            )


@dataclass(frozen=True)
class Completion:
    """What was written, and why it ended."""

    text: str
    tokens: int
    ended: Literal["end", "length", "context"]
    """The model wrote its end token, the asked number of tokens was reached, or the model's context was full."""


def load(folder: Path) -> tuple[Decoder, Tokenizer]:
    """The model of a folder, and its tokenizer: of a training run (its newest checkpoint), of one checkpoint
    (RUN/checkpoints/step-...), or of a Hugging Face folder.

    Raises FileNotFoundError if there is none, CheckpointError if the named checkpoint is damaged, HuggingFaceError or
    ConfigError if a Hugging Face folder cannot be used.
    """
    if (folder / checkpoint.MANIFEST).is_file():
        checkpoint.verify(folder)
        saved, run = folder, folder.resolve().parent.parent
    elif (folder / "config.json").is_file():
        settings = TokenizerSettings(fim=convention(folder), end=_end(folder))
        return hf.load(folder).eval(), Tokenizer.load(folder, settings)
    else:
        found = checkpoint.latest(folder / "checkpoints")
        if found is None:
            raise FileNotFoundError(f"{folder} has no checkpoint; `gristmill train` writes one")
        saved, run = found, folder
    model = Decoder.empty(Shape.model_validate(checkpoint.read_state(saved)["shape"]))
    model.load_state_dict(checkpoint.read_tensors(saved, "model"))
    config = TrainConfig.model_validate(json.loads((run / "run.json").read_bytes())["config"])
    return model.eval(), Tokenizer.load(run / "tokenizer.json", config.tokenizer)


def _end(folder: Path) -> str:
    """The token that ends a text, as the tokenizer_config.json of a Hugging Face folder has it."""
    path = folder / "tokenizer_config.json"
    named = json.loads(path.read_bytes()).get("eos_token") if path.is_file() else None
    text = named.get("content") if isinstance(named, dict) else named
    return text if isinstance(text, str) else TokenizerSettings().end


def complete(
    model: Decoder, tokenizer: Tokenizer, prompt: str, tokens: int, sampling: Sampling, spm: bool = False
) -> Completion:
    """Go on after a prompt; one with FILL in it is filled there, as `infill` does. Raises ValueError for a prompt that
    cannot be read."""
    if FILL in prompt:
        prefix, _, suffix = prompt.partition(FILL)
        if FILL in suffix:
            raise ValueError(f"a prompt can have one {FILL}")
        return infill(model, tokenizer, prefix, suffix, tokens, sampling, spm)
    return _write(model, tokenizer, tokenizer.encode(prompt), tokens, sampling)


def infill(
    model: Decoder,
    tokenizer: Tokenizer,
    prefix: str,
    suffix: str,
    tokens: int,
    sampling: Sampling,
    spm: bool = False,
) -> Completion:
    """Write what lies between two texts, in prefix-suffix-middle order (Bavarian et al. 2022).

    With `spm` it is suffix, prefix, middle, in which the model goes on right behind the prefix.

    Raises ValueError if the tokenizer has no sentinels or the texts are longer than the model's context.
    """
    before, behind = tokenizer.encode(prefix), tokenizer.encode_inside(suffix)
    if spm:
        asked = [tokenizer.prefix, tokenizer.suffix, *behind, tokenizer.middle, *before]
    else:
        asked = [tokenizer.prefix, *before, tokenizer.suffix, *behind, tokenizer.middle]
    return _write(model, tokenizer, asked, tokens, sampling)


def _write(model: Decoder, tokenizer: Tokenizer, prompt: list[int], tokens: int, sampling: Sampling) -> Completion:
    room = model.shape.context - len(prompt)
    if not prompt or room < 1:
        raise ValueError(
            f"a prompt has 1 to {model.shape.context - 1} tokens (the model's context is {model.shape.context}), "
            f"this one has {len(prompt)}"
        )
    written: list[int] = []
    ended: Literal["end", "length", "context"] = "length" if tokens <= room else "context"
    for token in sample(model, prompt, min(tokens, room), sampling, vocabulary=tokenizer.vocab_size):
        if token in (tokenizer.end, tokenizer.filled):
            ended = "end"
            break
        written.append(token)
    return Completion(tokenizer.decode(written), len(written), ended)


@torch.inference_mode()
def sample(
    model: Decoder, prompt: Sequence[int], tokens: int, sampling: Sampling, vocabulary: int | None = None
) -> Iterator[int]:
    """Up to `tokens` tokens after a prompt, each read once: keys and values of those before are kept.

    `vocabulary` leaves out the rows that pad the embedding to whole tiles.
    """
    device = model.output.device
    generator = torch.Generator(device).manual_seed(sampling.seed)
    cache = Cache(model.shape, 1, len(prompt) + tokens, device)
    new = torch.tensor([prompt], device=device)
    for _ in range(tokens):
        positions = torch.arange(cache.length, cache.length + new.shape[1], device=device)[None]
        mask = document_mask(torch.zeros_like(new), window=model.shape.window) if new.shape[1] > 1 else None
        hidden = model(new, positions, mask, cache)[0, -1]
        logits = torch.nn.functional.linear(hidden, model.output, model.output_bias)
        token = _choose(logits[:vocabulary].float(), sampling, generator)
        yield token
        new = torch.tensor([[token]], device=device)


def _choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token from logits (V,)."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities, tokens = torch.softmax(logits / sampling.temperature, dim=-1).sort(descending=True)
    before = probabilities.cumsum(0) - probabilities
    probabilities[before >= sampling.top_p] = 0.0  # the likeliest has nothing before it and always stays
    return int(tokens[torch.multinomial(probabilities, 1, generator=generator)])
