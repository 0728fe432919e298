"""Texts that a model writes while it learns: by the same prompts and the same draws at every moment."""

from dataclasses import asdict

import torch

from training.config import SampleSettings
from training.generate import Sampling, complete
from training.metrics import Journal
from training.model import Decoder
from training.store.tokenizer import Tokenizer


def write_samples(journal: Journal, step: int, model: Decoder, tokenizer: Tokenizer, settings: SampleSettings) -> None:
    """Append a row {"step", "prompt", "text", "tokens", "ended"} for each prompt.

    Draws are seeded by the number of the prompt alone: a run that was stopped and one that was not write the same, and
    what changes from step to step is the model. Raises ValueError for a prompt that the model cannot read.
    """
    model.eval()
    with torch.compiler.set_stance("force_eager"):  # every new token has another shape, for each of which it would stop
        _write(journal, step, model, tokenizer, settings)
    model.train()


def _write(journal: Journal, step: int, model: Decoder, tokenizer: Tokenizer, settings: SampleSettings) -> None:
    for number, prompt in enumerate(settings.prompts):
        sampling = Sampling(settings.temperature, settings.top_p, seed=number)
        journal.write(
            {"step": step, "prompt": prompt, **asdict(complete(model, tokenizer, prompt, settings.tokens, sampling))}
        )
