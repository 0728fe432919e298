"""Attention on a CPU that skips most of what the mask hides: the queries of a row in tiles, each against its own keys.

torch's kernel for CPUs takes a mask and computes all of T x T. Here each tile of queries is one call of that kernel
against the keys from the first that any of its tokens may see to its own last one: the half above the diagonal and what
lies in earlier documents is never computed. The sums are the same, in another order. The price is the kernel's operator
by its internal name; where a version of torch does not have it, `AVAILABLE` is false and the plain mask is used.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

QUERIES = 64
"""Queries of a tile: fewer skip more, and call the kernel more often."""
TOKENS = 1024
"""Tokens of the rows of a call, if one row is shorter."""

_FORWARD: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_BACKWARD: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)
AVAILABLE = _FORWARD is not None and _BACKWARD is not None


class Tiles(NamedTuple):
    """A document mask for `attend`."""

    bias: Tensor
    """(S, 1, T, T) float32: 0 where a query may look at a key, else minus infinity."""
    first: Tensor
    """(S, tiles) int64: the first key that any query of a tile may look at."""

    @classmethod
    def of(cls, seen: Tensor) -> "Tiles":
        """From a bool mask (S, 1, T, T), in which what is seen ends at the query itself."""
        bias = torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))
        first = seen[:, 0].to(torch.uint8).argmax(dim=-1)  # the first key of each query; all see themselves
        return cls(bias, torch.stack([part.amin(dim=1) for part in torch.split(first, QUERIES, dim=1)], dim=1))


def attend(queries: Tensor, keys: Tensor, values: Tensor, tiles: Tiles) -> Tensor:
    """Softmax attention of (S, H, T, D) over (S, K, T, D)."""
    out: Tensor = _attend(queries, keys, values, tiles.bias, tiles.first)[0]
    return out


def _calls(first: Tensor, heads: int, tokens: int) -> Iterator[tuple[slice, slice, slice]]:
    """Rows, queries and keys of each call.

    As many rows at once as keep all threads busy, and more of them where they are short, for every call makes threads
    wait for each other; but rows together read the keys that any of them needs.
    """
    size = max(-(-torch.get_num_threads() // heads), TOKENS // tokens)
    starts: list[list[int]] = first.tolist()
    for row in range(0, len(starts), size):
        together = starts[row : row + size]
        for tile, at in enumerate(range(0, tokens, QUERIES)):
            end = min(at + QUERIES, tokens)
            yield slice(row, row + size), slice(at, end), slice(min(start[tile] for start in together), end)


def _widened(part: Tensor, heads: int) -> Tensor:
    """Keys or values for every head of queries."""
    return part if part.shape[1] == heads else part.repeat_interleave(heads // part.shape[1], dim=1)


def _blank(like: Tensor, heads: int) -> Tensor:
    """(S, heads, T, D), in memory by token, as products of whole tokens want it."""
    rows, _, tokens, size = like.shape
    return like.new_empty(rows, tokens, heads, size).transpose(1, 2)


def mixed(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Without gradients: what `attend` gives, and the logarithm of each softmax's normaliser (S, H, T)."""
    rows, heads, tokens, _ = queries.shape
    keys, values = _widened(keys, heads), _widened(values, heads)
    out, logsumexp = _blank(queries, heads), queries.new_empty(rows, heads, tokens, dtype=torch.float32)
    for row, query, key in _calls(first, heads, tokens):
        out[row, :, query], logsumexp[row, :, query] = _FORWARD(
            queries[row, :, query],
            keys[row, :, key],
            values[row, :, key],
            attn_mask=bias[row, :, query, key],
        )
    return out, logsumexp


_attend = torch.library.custom_op("gristmill::attend", mixed, mutates_args=())


@_attend.register_fake
def _(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    rows, heads, tokens, _ = queries.shape
    return _blank(queries, heads), queries.new_empty(rows, heads, tokens, dtype=torch.float32)


def write_gradients(
    gradient: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor,
    first: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    into: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Write the gradients of queries, keys and values `into` tensors of their shapes."""
    rows, heads, tokens, size = queries.shape
    groups = keys.shape[1]
    keys, values = _widened(keys, heads), _widened(values, heads)
    for_queries, for_keys, for_values = into
    if groups != heads:
        for_keys, for_values = _blank(queries, heads), _blank(queries, heads)
    for_keys.zero_()
    for_values.zero_()
    for row, query, key in _calls(first, heads, tokens):
        for_queries[row, :, query], more_keys, more_values = _BACKWARD(
            gradient[row, :, query],
            queries[row, :, query],
            keys[row, :, key],
            values[row, :, key],
            out[row, :, query],
            logsumexp[row, :, query],
            0.0,
            False,
            attn_mask=bias[row, :, query, key],
        )
        for_keys[row, :, key] += more_keys
        for_values[row, :, key] += more_values
    if groups != heads:
        shared = (rows, tokens, groups, heads // groups, size)
        for part, target in ((for_keys, into[1]), (for_values, into[2])):
            torch.sum(part.transpose(1, 2).view(shared), 3, out=target.transpose(1, 2))


def _blanks(
    gradient: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor,
    first: Tensor,
    out: Tensor,
    logsumexp: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    heads, groups = queries.shape[1], keys.shape[1]
    return _blank(queries, heads), _blank(queries, groups), _blank(queries, groups)


@torch.library.custom_op("gristmill::attend_backward", mutates_args=())
def _gradients(
    gradient: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor,
    first: Tensor,
    out: Tensor,
    logsumexp: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    told = gradient, queries, keys, values, bias, first, out, logsumexp
    into = _blanks(*told)
    write_gradients(*told, into)
    return into


_gradients.register_fake(_blanks)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx: Any, gradient: Tensor, _logsumexp: Tensor) -> tuple[Tensor | None, ...]:
    return (*_gradients(gradient, *ctx.saved_tensors), None, None)


_attend.register_autograd(_backward, setup_context=_keep)
