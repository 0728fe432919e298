"""The ready recipes of training: each is a valid config, and its arithmetic is what its comments say."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.configfile import ConfigFile
from training.config import TrainConfig
from training.mixture import Mixture, infeasible
from training.schedule import share_of_peak
from training.steps import Steps

FOLDER = Path(__file__).parents[2] / "configs" / "train"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
CURRICULA = {
    "plain": ["books", "code", "web", "wiki"],
    "linly": ["english", "german", "parallel"],
    "llama3": ["books", "code", "french", "german", "icelandic", "math", "papers", "web", "wiki"],
    "olmo": ["best", "code", "instructions", "math", "papers", "stackexchange", "web", "wiki"],
}


def load(name: str) -> TrainConfig:
    return ConfigFile.read(FOLDER / f"{name}.yaml").load(TrainConfig)


def mixed(name: str) -> tuple[TrainConfig, Mixture]:
    """The recipe on synthetic sources of 10^9 tokens each, but for Icelandic, a thousandth of that."""
    config, sources = load(name), CURRICULA[name]
    sizes = [10**6 if source == "icelandic" else 10**9 for source in sources]
    assert infeasible(config, dict(zip(sources, sizes, strict=True))) == []
    return config, Mixture.of(config, sources, sizes)


def shares(name: str, mixture: Mixture, begin: float, end: float) -> dict[str, float]:
    """What each source has of the tokens in a part of the run, counted."""
    first, last = (mixture.counts(round(at * mixture.slots)) for at in (begin, end))
    return dict(zip(CURRICULA[name], ((last - first) / (last - first).sum()).tolist(), strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_valid_config_that_reads_back_the_same(name: str) -> None:
    config = load(name)
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("name", CURRICULA)
def test_a_curriculum_names_its_sources_and_no_other(name: str) -> None:
    config, mixture = mixed(name)
    counts = mixture.counts(mixture.slots)
    assert counts.sum() == Steps.of(config).slots(0) and counts.min() > 0
    for missing in CURRICULA[name]:
        others = dict.fromkeys((source for source in CURRICULA[name] if source != missing), 10**9)
        assert any(f"no source '{missing}'" in problem.message for problem in infeasible(config, others))
    empty = dict.fromkeys(CURRICULA[name], 0)
    assert {problem.message.split("'")[1] for problem in infeasible(config, empty)} == set(CURRICULA[name])


def test_plain_is_the_same_from_beginning_to_end() -> None:
    config, mixture = mixed("plain")
    assert mixture.jumps == ()
    for begin in (0.0, 0.5, 0.99):
        here = shares("plain", mixture, begin, begin + 0.01)
        assert here == pytest.approx({"books": 0.04, "code": 0.15, "web": 0.75, "wiki": 0.06}, abs=1e-3)
    assert mixture.slots * config.context == pytest.approx(2.6e9, rel=0.02)


def test_linly_goes_from_english_and_parallel_text_to_the_target_language() -> None:
    _, mixture = mixed("linly")
    assert mixture.jumps == ()
    first, grown = shares("linly", mixture, 0, 0.002), shares("linly", mixture, 0.4, 1)
    assert first == pytest.approx({"english": 0.45, "german": 0.1, "parallel": 0.45}, abs=0.01)
    assert grown == pytest.approx({"english": 0.15, "german": 0.8, "parallel": 0.05}, abs=1e-3)
    german = [shares("linly", mixture, at, at + 0.02)["german"] for at in np.arange(0, 0.4, 0.02)]
    assert german == sorted(german)
    half = shares("linly", mixture, 0, 0.4)  # straight lines: half-way between their ends
    assert half == pytest.approx({"english": 0.30, "german": 0.45, "parallel": 0.25}, abs=1e-3)


def test_llama3_anneals_while_the_rate_falls() -> None:
    config, mixture = mixed("llama3")
    before, end = shares("llama3", mixture, 0, 0.9), shares("llama3", mixture, 0.9999, 1)
    assert before["code"] == pytest.approx(0.17, abs=1e-4)
    assert before["web"] + before["wiki"] + before["books"] == pytest.approx(0.5, abs=1e-4)
    assert before["papers"] + before["math"] == pytest.approx(0.25, abs=1e-4)
    assert before["icelandic"] / before["german"] == pytest.approx(1e-3**0.3, abs=1e-3)
    assert end["math"] == pytest.approx(0.28, abs=0.01) and end["web"] == pytest.approx(0.15, abs=0.01)
    assert mixture.jumps == ()
    assert share_of_peak(config.schedule, 0.8999) == 1.0 > share_of_peak(config.schedule, 0.9001)
    assert share_of_peak(config.schedule, 1.0) == 0.0


def test_olmo_changes_its_mixture_where_the_rate_begins_to_fall() -> None:
    config, mixture = mixed("olmo")
    assert mixture.jumps == pytest.approx((0.9 * mixture.slots,))
    first, second = shares("olmo", mixture, 0, 0.9), shares("olmo", mixture, 0.9, 1)
    assert first["web"] == pytest.approx(0.95, abs=1e-4) and first["best"] == 0
    assert second["best"] == pytest.approx(0.47, abs=1e-4) and second["web"] == 0
    assert second["stackexchange"] == pytest.approx(second["instructions"], abs=1e-4)
    assert share_of_peak(config.schedule, 0.8999) == 1.0 > share_of_peak(config.schedule, 0.9001)
