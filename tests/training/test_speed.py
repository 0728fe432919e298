"""The meter's numbers against ones that are written out by hand."""

import json

import pytest
import torch

from training.compute import Compute
from training.config import MeterSettings, ModelSettings
from training.model import Decoder, Shape
from training.speed import Operations, Speed, datasheet_peak, measured_peak

CPU = Compute(torch.device("cpu"), torch.float32, False, False)


def test_operations_of_gpt2_small_by_hand() -> None:
    # A Llama of the width of GPT-2 small: attention 4 x 768^2, feed-forward 3 x 768 x 2048, output 50,304 x 768
    settings = ModelSettings(layers=12, width=768, heads=12, kv_heads=12, hidden=2048)
    with torch.device("meta"):
        model = Decoder(Shape.of(settings, 50_257, 1024))
    weights = 12 * (4 * 768**2 + 3 * 768 * 2048) + 50_304 * 768
    assert Operations.of(model, 2048) == Operations(
        6 * weights + 12 * 12 * 768 * 2048, 6 * weights + 6 * 12 * 768 * 2048
    )


@pytest.mark.parametrize("tied", [True, False])
def test_the_output_counts_once_and_the_embedding_only_as_output(tied: bool) -> None:
    settings = ModelSettings(layers=1, width=16, heads=2, kv_heads=1, hidden=32, tied=tied)
    model = Decoder.fresh(Shape.of(settings, 64, 32), 0)
    assert Operations.of(model, 8).palm == 6 * (16 * 32 + 16 * 16 + 3 * 16 * 32 + 64 * 16) + 12 * 16 * 8


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989.5),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.5),
        ("NVIDIA GH200 480GB", 989.5),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A10G", 70.0),
        ("NVIDIA L40S", 362.05),
        ("NVIDIA L4", 121.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA GeForce GTX 1080", None),
    ],
)
def test_devices_are_found_by_their_names(name: str, tera: float | None) -> None:
    assert datasheet_peak(name) == (None if tera is None else tera * 1e12)


def test_utilisation_is_operations_by_peak() -> None:
    model = Decoder.fresh(Shape.of(ModelSettings(layers=1, width=16, heads=2, kv_heads=1, hidden=32), 64, 32), 0)
    speed = Speed.of(MeterSettings(peak=2.0), model, (32, 128), CPU)
    for context in (32, 128):
        shares, counted = speed.utilisation(1e6, context), Operations.of(model, context)
        assert shares["mfu"] == pytest.approx(1e6 * counted.palm / 2e12)
        assert shares["mfu_causal"] == pytest.approx(1e6 * counted.causal / 2e12)
    assert json.loads(json.dumps(speed.record()))["measured_peak"] is None
    unknown = Speed.of(MeterSettings(), model, [32], CPU)
    assert unknown.peak is None and set(unknown.utilisation(1e6, 32).values()) == {None}


def test_a_measured_peak_is_of_the_order_of_what_a_product_takes() -> None:
    peak = measured_peak(CPU, seconds=0.2)
    assert 1e8 < peak < 1e15


def test_the_meter_says_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import metrics

    now = [100.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now[0])
    with metrics.Meter(0, 1000) as meter:
        for step in range(1, 5):
            meter.update(step, 2.5, 1234.0, 0.5, 0.25)
            now[0] += 30.0
    said = capsys.readouterr().err
    # 30 seconds a step after the first, 996 steps to go at step 4
    assert "step 4/1000  loss 2.500  1,234 tokens/s  MFU 50.0%  25% waiting for data  8:18:00 left" in said
