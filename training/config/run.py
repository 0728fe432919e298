"""The whole config of a training run; the YAML under configs/train/ is this and nothing else.

What can be judged from the settings alone is judged here. What needs the data (sources, tokens, epochs) is judged by
`training.order.feasibility` before step 0, and reported at the same file:line:column.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from training.config.base import Settings
from training.config.batch import BatchSettings
from training.config.continuing import ContinuingSettings, ReplaySettings
from training.config.data import Phase, SourceSettings, TokenizerSettings
from training.config.evaluation import EvaluationSettings
from training.config.feeding import FeedingSettings
from training.config.fim import FimSettings, divided
from training.config.guard import GuardSettings
from training.config.meter import MeterSettings
from training.config.model import ModelSettings
from training.config.optimizer import AdamW, OptimizerSettings
from training.config.schedule import ScheduleSettings, Wsd
from training.config.tracking import TrackingSettings


class CheckpointSettings(Settings):
    """Atomic checkpoints."""

    every: Annotated[int, Field(ge=1)] | None = None
    """Steps between checkpoints; None saves at the end (and when the run is told to stop)."""
    keep: Annotated[int, Field(ge=1)] = 2
    """How many are kept; the oldest go."""
    keep_every: Annotated[int, Field(ge=1)] | None = None
    """Those of steps that are multiples of this stay for ever, and are not counted in `keep`."""


class TrainConfig(Settings):
    """A training run."""

    data: str | tuple[str, ...]
    """Curated run folders; their sources go by name, and the same name in two runs is one source."""
    seed: int = 1
    steps: Annotated[int, Field(ge=1)]
    context: Annotated[int, Field(ge=8)] = 512
    """Tokens of a sequence, unless a phase says otherwise; times `batch.sequences` it gives the tokens of a step."""
    packing: Literal["concatenate", "best_fit", "buckets"] = "concatenate"
    """How documents fill sequences. `concatenate` writes them one behind the other and cuts. `best_fit` cuts only what
    is longer than a sequence and fits the rest together (Ding et al. 2024). `buckets` cuts documents into halves,
    quarters ... of a sequence and puts pieces of a length together (Pouransari et al. 2024)."""
    batch: BatchSettings = BatchSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    sources: Annotated[Mapping[str, SourceSettings], PlainSerializer(dict)] = {}
    """Sources that are made of curated ones by their signals, and caps by source; what is not named is as curated."""
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = (Phase(),)
    fim: Annotated[Mapping[str, FimSettings], PlainSerializer(dict)] = {}
    """By source; sources that are not named are never rearranged."""
    max_epochs: Annotated[float, Field(gt=0)] = 4.0
    """More passes over a source are an error before step 0 (Muennighoff et al. 2023: four are almost free)."""
    model: ModelSettings = ModelSettings()
    continuing: ContinuingSettings | None = None
    optimizer: OptimizerSettings = AdamW()
    schedule: ScheduleSettings = Wsd()
    evaluation: EvaluationSettings = EvaluationSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    z_loss: Annotated[float, Field(ge=0)] = 0.0
    """Times log(Z)^2, added to the loss of each target: keeps the softmax's normaliser Z near one (Chowdhery et al.
    2022, section 5, with 1e-4). What is journalled and evaluated is the loss without it."""
    guard: GuardSettings = GuardSettings()
    feeding: FeedingSettings = FeedingSettings()
    meter: MeterSettings = MeterSettings()
    tracking: TrackingSettings = TrackingSettings()
    device: Annotated[str, AfterValidator(lambda name: _device(name))] = "auto"
    """`auto` takes a GPU if there is one; `cpu`, `cuda`, `cuda:1`."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 on a GPU and float32 on a CPU. Weights in bfloat16 have float32 masters, which are what the
    optimizer changes and checkpoints hold."""
    compile: bool | Literal["auto", "model", "block"] = "auto"
    """torch.compile: `model` makes one program of all layers, `block` one that all layers use, which takes a fraction
    of the time to compile. `auto` is `model` on a GPU, and nothing on a CPU, where it gains about 2 %."""
    float8: bool | Literal["auto"] = False
    """Products of the layers' large matrices in 8-bit floats, on NVIDIA GPUs from compute capability 8.9. It pays from
    about a billion parameters at widths of 2048 and more: for H100s 16 % (1B) to 30 % (7B) more tokens a second are
    published, and fewer than in bfloat16 at 124 million. `auto` uses it where it pays, `true` wherever the dimensions
    of a matrix allow; needs `dtype: bfloat16`, and `compile` to be fast."""
    recompute: bool = False
    """Keep only what goes from layer to layer and compute the rest again on the way back: less memory, more work."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads; None leaves torch's own choice."""

    @property
    def contexts(self) -> tuple[int, ...]:
        """Tokens of a sequence in each phase."""
        found: list[int] = []
        for phase in self.phases:
            found.append(phase.context or (found[-1] if found else self.context))
        return tuple(found)

    @property
    def replay(self) -> ReplaySettings | None:
        """What is read again of what the model knows."""
        return None if self.continuing is None else self.continuing.replay

    @model_validator(mode="after")
    def _possible(self) -> Self:
        divided(self.fim, self.packing)
        if self.continuing is not None:
            _continues(self.continuing, self)
        return self


def _device(name: str) -> str:
    if name not in ("auto", "cpu", "cuda", "mps") and not name.startswith("cuda:"):
        raise ValueError(f"'{name}' is no device; choose auto, cpu, cuda or cuda:N")
    return name


def _continues(continuing: ContinuingSettings, config: TrainConfig) -> None:
    """Raise ValueError where a continued run contradicts itself."""
    if config.model.init_from is None:
        raise ValueError("continuing: there is nothing to continue; name a Hugging Face folder in model.init_from")
    replayed = () if continuing.replay is None else continuing.replay.sources
    for i, phase in enumerate(config.phases):
        if twice := sorted({leaf.name for leaf in phase.leaves()} & set(replayed)):
            raise ValueError(
                f"phases.{i}.weights: {', '.join(twice)} has its share from continuing.replay; take it out here"
            )
