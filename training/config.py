"""Every setting of a training run, as frozen models: the YAML under configs/train/ and nothing else.

What can be judged from the settings alone is judged here. What needs the data (sources, tokens, epochs) is judged by
`training.order.feasibility` before step 0, and reported at the same file:line:column.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]
"""A constant, or `[start, end]`: linear over the phase."""


class Settings(BaseModel):
    """A part of the config: frozen, and every key is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenizerSettings(Settings):
    """A `tokenizer.json` of the tokenizers library, or a byte-level BPE trained on the shards."""

    path: str | None = None
    """A file, or a folder that holds `tokenizer.json`; None trains one."""
    vocab_size: Annotated[int, Field(ge=320)] = 8192
    """Of the one that is trained, special tokens included."""
    sample_bytes: Annotated[int, Field(ge=1)] = 50_000_000
    """Text that it is trained on, taken evenly over all sources' documents."""
    end: str = "<|endoftext|>"
    prefix: str = "<|fim_prefix|>"
    middle: str = "<|fim_middle|>"
    suffix: str = "<|fim_suffix|>"


class FimSettings(Settings):
    """Fill-in-the-middle for one source (Bavarian et al. 2022): document-level, cut at characters."""

    rate: Share = 0.5
    """Share of documents that are rearranged."""
    spm: Share = 0.5
    """Of those, the share in suffix-prefix-middle order; the others are prefix-suffix-middle."""


class Phase(Settings):
    """A stretch of the run with its mixture."""

    share: Annotated[float, Field(gt=0)] = 1.0
    """Length relative to the other phases."""
    weights: Literal["auto"] | Mapping[str, Weight] = "auto"
    """Token share of each source, normalised at every moment; `auto` follows the sizes of the sources."""

    @model_validator(mode="after")
    def _something_to_read(self) -> Self:
        if self.weights != "auto":
            ends = [w if isinstance(w, tuple) else (w, w) for w in self.weights.values()]
            if not sum(start for start, _ in ends) or not sum(end for _, end in ends):
                raise ValueError("weights: at the start and at the end of a phase, some source needs a weight above 0")
        return self


class ModelSettings(Settings):
    """A Llama-shaped decoder. With `init_from`, the shape comes from that folder and is not set here."""

    init_from: str | None = None
    """A Hugging Face folder of a Llama model (config.json, *.safetensors, tokenizer.json): continued pretraining."""
    layers: Annotated[int, Field(ge=1)] = 6
    width: Annotated[int, Field(ge=8)] = 256
    heads: Annotated[int, Field(ge=1)] = 4
    kv_heads: Annotated[int, Field(ge=1)] = 2
    hidden: Annotated[int, Field(ge=8)] = 704
    """Width of the SwiGLU layer."""
    rope_theta: Annotated[float, Field(gt=1)] = 10_000.0
    norm_eps: Annotated[float, Field(gt=0)] = 1e-5
    tied: bool = True
    """Input embedding and output matrix are one."""

    @model_serializer(mode="wrap")
    def _shape_or_folder(self, all_fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return all_fields(self) if self.init_from is None else {"init_from": self.init_from}

    @model_validator(mode="after")
    def _shapes_fit(self) -> Self:
        given = self.model_fields_set - {"init_from"}
        if self.init_from is not None and given:
            raise ValueError(f"init_from sets the shape, so {', '.join(sorted(given))} cannot be set beside it")
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError(f"width {self.width} must be a multiple of 2 x heads ({self.heads})")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        return self


class OptimizerSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019), decay on matrices only; or Muon."""

    use: Literal["adamw", "muon"] = "adamw"
    """`muon` (Jordan et al. 2024) makes the steps of the layers' matrices orthogonal, at the scale of AdamW's (Liu et
    al. 2025), so that `lr` means the same; `betas[1]` is its momentum. AdamW changes the other weights."""
    lr: Annotated[float, Field(gt=0)] = 6e-4
    betas: tuple[Share, Share] = (0.9, 0.95)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest global gradient norm; None does not clip."""


class ScheduleSettings(Settings):
    """Learning rate over progress: linear warm-up, a plateau, then decay (WSD); `decay: 1` decays all the way."""

    warmup: Share = 0.02
    decay: Share = 0.2
    """Share of the run, at its end, in which the rate falls."""
    shape: Literal["linear", "cosine", "sqrt"] = "sqrt"
    """`sqrt` is 1 - sqrt(p) (Haegele et al. 2024)."""
    final: Share = 0.0
    """The last rate as a share of the peak."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup + self.decay > 1 and self.decay < 1:
            raise ValueError(f"warmup ({self.warmup}) and decay ({self.decay}) are together longer than the run")
        return self


class BatchSettings(Settings):
    """The global batch of a step, and how much of it is on the device at once."""

    sequences: Annotated[int, Field(ge=1)] = 32
    micro: Annotated[int, Field(ge=1)] | None = None
    """Sequences in one forward pass; None takes all. Smaller accumulates gradients and changes no order."""


class EvaluationSettings(Settings):
    """Loss by source on held-out documents, the same ones every time."""

    every: Annotated[int, Field(ge=1)] | None = None
    """Steps between evaluations; None evaluates at step 0 and at the end."""
    holdout: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Share of each source's documents that is never trained on, chosen by a hash of the id."""
    tokens: Annotated[int, Field(ge=1)] = 65_536
    """Most tokens of each source that are looked at."""


class CheckpointSettings(Settings):
    """Atomic checkpoints."""

    every: Annotated[int, Field(ge=1)] | None = None
    """Steps between checkpoints; None saves at the end (and when the run is told to stop)."""
    keep: Annotated[int, Field(ge=1)] = 2
    """How many are kept; the oldest go."""


class TrainConfig(Settings):
    """A training run."""

    data: str | tuple[str, ...]
    """Curated run folders; their sources go by name, and the same name in two runs is one source."""
    seed: int = 1
    steps: Annotated[int, Field(ge=1)]
    context: Annotated[int, Field(ge=8)] = 512
    """Tokens of a sequence."""
    batch: BatchSettings = BatchSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = (Phase(),)
    fim: Annotated[Mapping[str, FimSettings], PlainSerializer(dict)] = {}
    """By source; sources that are not named are never rearranged."""
    max_epochs: Annotated[float, Field(gt=0)] = 4.0
    """More passes over a source are an error before step 0 (Muennighoff et al. 2023: four are almost free)."""
    model: ModelSettings = ModelSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    device: Annotated[str, AfterValidator(lambda name: _device(name))] = "auto"
    """`auto` takes a GPU if there is one; `cpu`, `cuda`, `cuda:1`."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 compute on a GPU and float32 on a CPU; weights are always kept in float32."""
    compile: bool | Literal["auto"] = "auto"
    """torch.compile; `auto` compiles on a GPU."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads; None leaves torch's own choice."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.batch.micro is not None and self.batch.sequences % self.batch.micro:
            raise ValueError(
                f"batch.sequences ({self.batch.sequences}) must be a multiple of batch.micro ({self.batch.micro})"
            )
        return self


def _device(name: str) -> str:
    if name not in ("auto", "cpu", "cuda", "mps") and not name.startswith("cuda:"):
        raise ValueError(f"'{name}' is no device; choose auto, cpu, cuda or cuda:N")
    return name
