"""The ready recipes of training: each is a valid config, and its arithmetic is what its comments say."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.configfile import ConfigFile
from training import positions
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
    "code": ["code", "math", "repositories", "web"],
    "long": ["books", "code", "long_books", "long_papers", "papers", "web"],
}


def load(name: str) -> TrainConfig:
    return ConfigFile.read(FOLDER / f"{name}.yaml").load(TrainConfig)


def mixed(name: str) -> tuple[TrainConfig, Mixture]:
    """The recipe on synthetic sources of 10^9 tokens each, but for Icelandic, a thousandth of that."""
    config, sources = load(name), CURRICULA[name]
    sizes = [10**6 if source == "icelandic" else 10**9 for source in sources]
    assert infeasible(config, dict(zip(sources, sizes, strict=True))) == []
    return config, Mixture.of(config, Steps.of(config), sources, sizes)


def shares(name: str, mixture: Mixture, begin: float, end: float) -> dict[str, float]:
    """What each source has of the tokens in a part of the run, counted."""
    (whole,) = mixture.stages
    first, last = (whole.counts(round(at * whole.slots)) for at in (begin, end))
    return dict(zip(CURRICULA[name], ((last - first) / (last - first).sum()).tolist(), strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_valid_config_that_reads_back_the_same(name: str) -> None:
    config = load(name)
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("name", CURRICULA)
def test_a_curriculum_names_its_sources_and_no_other(name: str) -> None:
    config, mixture = mixed(name)
    counts = [stage.counts(stage.slots) for stage in mixture.stages]
    steps = Steps.of(config)
    assert [int(stage.sum()) for stage in counts] == [steps.slots(stage.number) for stage in steps.stages]
    assert np.sum(counts, axis=0).min() > 0
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
    assert Steps.of(config).tokens == pytest.approx(2.6e9, rel=0.02)


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
    assert mixture.jumps == pytest.approx((0.9,))
    first, second = shares("olmo", mixture, 0, 0.9), shares("olmo", mixture, 0.9, 1)
    assert first["web"] == pytest.approx(0.95, abs=1e-4) and first["best"] == 0
    assert second["best"] == pytest.approx(0.47, abs=1e-4) and second["web"] == 0
    assert second["stackexchange"] == pytest.approx(second["instructions"], abs=1e-4)
    assert share_of_peak(config.schedule, 0.8999) == 1.0 > share_of_peak(config.schedule, 0.9001)


def test_long_goes_from_8k_to_128k_with_yarn_and_more_of_the_long_documents() -> None:
    config, mixture = mixed("long")
    steps, shapes = Steps.of(config), positions.shapes(config, positions.first_shape(config))
    assert positions.problems(config) == []
    assert [stage.context for stage in steps.stages] == [8192, 16_384, 32_768, 131_072]
    assert [shape.context for shape in shapes] == [8192, 16_384, 32_768, 131_072]
    assert [shape.rope_scaling and shape.rope_scaling.factor for shape in shapes] == [None, 2, 4, 16]
    assert [steps.rows(stage.begin) for stage in steps.stages] == [64, 32, 16, 4]
    assert [steps.at_once(stage.begin) for stage in steps.stages] == [4, 2, 1, 1]
    lengths = [(stage.end - stage.begin) / steps.count for stage in steps.stages]
    assert lengths == pytest.approx([0.85, 0.06, 0.05, 0.04], abs=1e-3)
    assert share_of_peak(config.schedule, 0.8499) == 1.0 > share_of_peak(config.schedule, 0.8501)
    for stage in mixture.stages[1:]:
        counts = dict(zip(CURRICULA["long"], stage.counts(stage.slots) / stage.slots, strict=True))
        assert counts["long_books"] + counts["long_papers"] == pytest.approx(0.4, abs=2e-3)
        assert counts["web"] == pytest.approx(0.4, abs=2e-3) and counts["books"] == 0


def test_code_is_seven_tenths_of_files_and_then_of_repositories() -> None:
    config, mixture = mixed("code")
    files, repositories = mixture.stages
    names = CURRICULA["code"]
    first, last = (dict(zip(names, (s.counts(s.slots) / s.slots).tolist(), strict=True)) for s in mixture.stages)
    assert first == pytest.approx({"code": 0.7, "math": 0.1, "repositories": 0.0, "web": 0.2}, abs=1e-3)
    assert last == pytest.approx({"code": 0.2, "math": 0.1, "repositories": 0.5, "web": 0.2}, abs=1e-3)
    assert repositories.slots * 32768 / (files.slots * 8192) == pytest.approx(0.3 / 5.2, rel=0.02)
    group = config.sources["repositories"].group
    assert group is not None and config.fim["repositories"].level == "context"
