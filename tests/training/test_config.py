"""Settings of training: what is read back from a run is what was given, and shapes that cannot be are refused."""

import pytest
from pydantic import ValidationError

from training.config import TrainConfig


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"layers": 2, "width": 64, "heads": 4, "tied": False},
        {"init_from": "somewhere"},
        {"preset": "124M", "layers": 3},
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "qk_norm": True, "head_dim": 32},
    ],
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
        ({"preset": "135MB"}, "there is no preset '135MB'; did you mean '135M'"),
        ({"preset": "135M", "init_from": "somewhere"}, "preset cannot be set beside it"),
        ({"preset": "135M", "width": 512}, "width 512 must be a multiple of 2 x heads"),
        ({"head_dim": 7}, "head_dim .7. must be even"),
        ({"positions": "learned", "rope_theta": 1e5}, "rope_theta and rope_scaling say nothing"),
        ({"rope_scaling": {"rope_type": "ntk", "factor": 2}}, "'linear', 'dynamic', 'llama3' or 'yarn'"),
        (
            {"rope_scaling": {"rope_type": "llama3", "factor": 2, "high_freq_factor": 1}},
            "must be above low_freq_factor",
        ),
    ],
)
def test_shapes_that_cannot_be(model: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate({"data": "run", "steps": 3, "model": model})
