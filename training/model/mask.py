"""Document masks: each token sees itself and what came before it in its own document, and nothing else."""

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from training.model import tiles
from training.model.tiles import Tiles

Mask = Tensor | BlockMask | Tiles
BLOCK = 128
"""Queries and keys of a tile of flex attention."""


def attention_mask(segments: Tensor, window: int | None, compiled: bool) -> Mask:
    """The document mask in the form that is fastest to train with: what `document_mask` says, for the same results.

    On a GPU flex attention skips what is masked, but only compiled is it fast; on a CPU tiles do.
    """
    if segments.is_cuda:
        return block_mask(segments, window) if compiled else document_mask(segments, window)
    seen = document_mask(segments, window)
    return Tiles.of(seen) if segments.device.type == "cpu" and tiles.AVAILABLE else seen


def document_mask(segments: Tensor, window: int | None = None) -> Tensor:
    """Who may look at whom: each token at itself and at what came before it in its own document.

    `segments` (S, T) numbers the documents of each row; with `window` a token looks at so many, itself among them. The
    answer is a bool tensor (S, 1, T, T). Made once a batch, all layers share it.
    """
    seen = (segments[:, :, None] == segments[:, None, :]).tril()
    return (seen if window is None else seen.triu(1 - window))[:, None]


def block_mask(segments: Tensor, window: int | None = None) -> BlockMask:
    """The same for flex attention, which skips tiles that are wholly masked and asks no questions in whole ones.

    Which tiles are, follows from where the documents begin, so that nothing of T x T is ever made. A number that comes
    again after another one (padding does) is another document here.
    """
    rows, tokens = segments.shape
    place = torch.arange(tokens, device=segments.device)
    new = torch.ones_like(segments, dtype=torch.bool)
    new[:, 1:] = segments[:, 1:] != segments[:, :-1]
    begin = torch.where(new, place, 0).cummax(dim=1).values  # of each token's document

    def visible(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = (query >= key) & (begin[row, query] == begin[row, key])
        return seen if window is None else seen & (query - key < window)

    first = place[::BLOCK]
    last = (first + BLOCK - 1).clamp(max=tokens - 1)
    low, high = begin[:, first], begin[:, last]  # the first key that any query of a tile sees, and that all see
    if window is not None:
        low, high = torch.maximum(low, first - window + 1), torch.maximum(high, last - window + 1)
    number = torch.arange(len(first), device=segments.device)
    earlier = number[:, None] > number
    some = (earlier | (number[:, None] == number)) & (last >= low[:, :, None])
    whole = earlier & (high[:, :, None] <= first) & (last - first == BLOCK - 1)[:, None]
    return BlockMask.from_kv_blocks(
        *_listed(some & ~whole), *_listed(whole), BLOCK, visible, seq_lengths=(tokens, tokens)
    )


def _listed(tiles_: Tensor) -> tuple[Tensor, Tensor]:
    """Of a bool tensor (S, queries, keys): how many in each row of tiles, and which, those first; with one head."""
    counted = tiles_[:, None].to(torch.int32)
    order = counted.argsort(dim=-1, descending=True, stable=True)
    return counted.sum(dim=-1, dtype=torch.int32), order.to(torch.int32)
