"""The decoder: a transformer that reads packed documents without looking from one into another.

One class for all architectures: what distinguishes Llama, Mistral, Qwen and GPT-2 are options of its shape. There is no
dropout: a token is seen a few times at most. Shapes: S sequences, T tokens, W width, H heads, K key-value heads, D
dimensions of a head, V vocabulary.
"""

from collections.abc import Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.model.block import Block
from training.model.cache import Cache
from training.model.mask import Mask
from training.model.norm import norm
from training.model.rope import frequencies, magnitude, rotations
from training.model.shape import Shape

Role = Literal["matrix", "embedding", "head", "norm", "bias"]


class Decoder(nn.Module):
    """Tokens in, normalised hidden states out; `output` is the matrix that turns those into logits."""

    radians: Tensor | None
    """Of each pair of a head's dimensions, per position."""
    magnitude: Tensor | None
    """What cosine and sine are multiplied with. Both are tensors, so that what is compiled does not contain them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.recompute = False
        """Whether a backward pass computes each layer again instead of keeping what is inside of it."""
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        learned = shape.positions == "learned"
        self.positions = nn.Embedding(shape.context, shape.width) if learned else None
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.layers))
        self.norm = norm(shape)
        self.head = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.register_buffer("radians", None if learned else torch.empty(shape.head_dim // 2), persistent=False)
        self.register_buffer("magnitude", None if learned else torch.empty(()), persistent=False)

    @classmethod
    def empty(cls, shape: Shape) -> Self:
        """A decoder on the CPU whose parameters are still to be filled; rotary frequencies are right."""
        with torch.device("meta"):
            model = cls(shape)
        model.to_empty(device="cpu")
        model.become(shape)
        return model

    @classmethod
    def holding(cls, shape: Shape, tensors: Mapping[str, Tensor]) -> Self:
        """A decoder whose parameters are these tensors themselves, by name: no copy, and one precision for all."""
        with torch.device("meta"):
            model = cls(shape)
        model.load_state_dict(tensors, assign=True)
        for name, buffer in list(model.named_buffers()):
            setattr(model, name, torch.empty_like(buffer, device=model.embedding.weight.device))
        model.become(shape)
        return model

    @classmethod
    def fresh(cls, shape: Shape, seed: int) -> Self:
        """A decoder with random parameters, the same for a seed on every device.

        Matrices are normal with deviation 1 / sqrt(inputs), and the two that write into the residual stream smaller by
        sqrt(2 x layers) so that depth does not add variance (Radford et al. 2019). The first prediction is even: a tied
        embedding, which is also the output matrix, gets deviation 0.02; an untied one 1, and its output matrix zero.
        Learned positions get half the deviation of tokens.
        """
        model = cls.empty(shape)
        generator = torch.Generator().manual_seed(seed)
        token = 0.02 if shape.tied else 1.0
        roles = model.roles()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                match roles[name]:
                    case "norm" if name.endswith("weight"):
                        weight.fill_(1.0)
                    case "norm" | "bias" | "head":
                        weight.zero_()
                    case "embedding":
                        deviation = token / 2 if name == "positions.weight" else token
                        weight.normal_(0.0, deviation, generator=generator)
                    case "matrix":
                        residual = name.endswith(("attention.out.weight", "feed_forward.down.weight"))
                        scale = (2 * shape.layers) ** -0.5 if residual else 1.0
                        weight.normal_(0.0, scale * weight.shape[1] ** -0.5, generator=generator)
        return model

    def become(self, shape: Shape) -> None:
        """Go on with the context and the rotary frequencies of `shape`; parameters stay.

        Raises ValueError where the shapes differ in more, or in the rows of learned positions.
        """
        if shape != self.shape.at(shape) or (self.positions is not None and shape.context != self.shape.context):
            raise ValueError("a model can change its context and its rotary frequencies, and nothing else of its shape")
        self.shape = shape
        if self.radians is not None and self.magnitude is not None:
            self.radians.copy_(frequencies(shape.head_dim, shape.rope_theta, shape.rope_scaling))
            self.magnitude.fill_(magnitude(shape.rope_scaling))

    @property
    def output(self) -> Tensor:
        """The output matrix (V, W); with tied embeddings it is the embedding."""
        return self.embedding.weight if self.head is None else self.head.weight

    @property
    def output_bias(self) -> Tensor | None:
        """What is added to the logits (V,); no architecture so far has it."""
        return None

    def roles(self) -> dict[str, Role]:
        """What each parameter is for, by its name: what an optimizer groups them by.

        `matrix`: the weights of linear layers inside blocks; `embedding`: tokens' and learned positions'; `head`: an
        untied output matrix; `norm`: weights and biases of norms; `bias`: those of linear layers.
        """
        return {name: _role(name) for name, _ in self.named_parameters()}

    def forward(self, tokens: Tensor, positions: Tensor, mask: Mask | None, cache: Cache | None = None) -> Tensor:
        """Hidden states (S, T, W) of tokens (S, T) at positions (S, T) within their documents.

        With a cache, `tokens` go on where it ends, and their keys and values are added to it.
        """
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions(positions)
        turn = None
        if self.radians is not None and self.magnitude is not None:
            turn = rotations(positions, self.radians, self.magnitude)
        recompute = self.recompute and cache is None and torch.is_grad_enabled()
        for block in self.blocks:
            x = (
                checkpoint(block, x, turn, mask, None, use_reentrant=False)
                if recompute
                else block(x, turn, mask, cache)
            )
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.norm(x)  # type: ignore[no-any-return]

    def logits(self, tokens: Tensor, positions: Tensor, mask: Mask | None, cache: Cache | None = None) -> Tensor:
        """Logits (S, T, V), all at once: for generation and tests; training never holds them (training.loss)."""
        return F.linear(self(tokens, positions, mask, cache), self.output)

    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(weight.numel() for weight in self.parameters())


def _role(name: str) -> Role:
    module, _, kind = name.rpartition(".")
    if module in ("embedding", "positions"):
        return "embedding"
    if module == "head":
        return "head"
    if module.endswith("norm"):
        return "norm"
    return "bias" if kind == "bias" else "matrix"
