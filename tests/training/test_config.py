"""Settings of training: what is read back from a run is what was given, and shapes that cannot be are refused."""

import pytest
from pydantic import ValidationError

from training.config import TrainConfig


@pytest.mark.parametrize(
    "model", [{}, {"layers": 2, "width": 64, "heads": 4, "tied": False}, {"init_from": "somewhere"}]
)
def test_settings_read_back_are_the_same(model: dict[str, object]) -> None:
    config = TrainConfig.model_validate({"data": "run", "steps": 3, "model": model, "fim": {"code": {"rate": 0.9}}})
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"init_from": "somewhere", "layers": 6}, "init_from sets the shape, so layers cannot be set beside it"),
        ({"width": 100, "heads": 3}, "must be a multiple of 2 x heads"),
        ({"heads": 4, "kv_heads": 3}, "must be a multiple of kv_heads"),
    ],
)
def test_shapes_that_cannot_be(model: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate({"data": "run", "steps": 3, "model": model})
