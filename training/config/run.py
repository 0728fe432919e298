"""The whole config of a training run; the YAML under configs/train/ is this and nothing else.

What can be judged from the settings alone is judged here. What needs the data (sources, tokens, epochs) is judged by
`training.order.feasibility` before step 0, and reported at the same file:line:column.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from training.config.base import Settings
from training.config.data import FimSettings, Phase, TokenizerSettings
from training.config.evaluation import EvaluationSettings
from training.config.learning import BatchSettings, OptimizerSettings, ScheduleSettings
from training.config.model import ModelSettings


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
