"""Loss by source on held-out documents: the same documents every time, so that two evaluations can be compared."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from training.compute import Compute
from training.config import TrainConfig
from training.loss import IGNORED
from training.model import Decoder
from training.packing import validation
from training.tokens import TokenStore

Row = dict[str, dict[str, float]]


@torch.no_grad()
def evaluate(
    model: Decoder, trunk: Callable[..., Tensor], store: TokenStore, config: TrainConfig, compute: Compute
) -> Row:
    """Mean loss of each source (nats per token), tokens it was taken over, and bits per byte of text.

    Gives {"loss": {source: ...}, "bits_per_byte": {...}, "tokens": {...}}; a source without held-out documents is left
    out. Bits per byte do not depend on the tokenizer; they use the tokens per byte of all held-out documents of the
    source, of which the loss looks at `evaluation.tokens`.
    """
    model.eval()
    losses: dict[str, float] = {}
    bits: dict[str, float] = {}
    counts: dict[str, float] = {}
    for source, held in zip(store.sources, store.held, strict=True):
        total, count = 0.0, 0
        for batch in validation(store, source, config):
            size = config.batch.micro or config.batch.sequences
            for start in range(0, len(batch.inputs), size):
                total += float(compute.nll(model, trunk, batch, slice(start, start + size))[0])
            count += int((batch.targets != IGNORED).sum())
        if count:
            losses[source] = total / count
            bits[source] = total / count / math.log(2) * held.count_tokens / held.count_bytes
            counts[source] = count
    model.train()
    return {"loss": losses, "bits_per_byte": bits, "tokens": counts}
