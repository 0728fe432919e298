"""Config files: YAML as people mean it, and errors that say where and what instead."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from pipeline.configfile import ConfigError, ConfigFile


class Optimizer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    lr: float = 0.1
    kind: str = "adam"


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    languages: list[str] = []
    optimizer: Optimizer = Optimizer()
    many: dict[str, Optimizer] = {}
    steps: int = 1


def read(tmp_path: Path, text: str, *overrides: str) -> ConfigFile:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return ConfigFile.read(path, overrides)


def lines(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text, *overrides).load(Settings)
    return [line.replace(f"{tmp_path}/", "") for line in error.value.lines]


def test_norway_and_exponents_mean_what_they_say(tmp_path: Path) -> None:
    settings = read(tmp_path, "languages: [no, on, y, en]\noptimizer: {lr: 1e-4}\n").load(Settings)
    assert settings.languages == ["no", "on", "y", "en"]
    assert settings.optimizer.lr == 1e-4


def test_all_errors_at_once_with_place_and_nearest_key(tmp_path: Path) -> None:
    text = "langauges: [en]\noptimizer:\n  lr: fast\n  kindd: sgd\nmany:\n  a: {lrr: 1}\n"
    assert lines(tmp_path, text) == [
        "run.yaml:1:1: unknown key 'langauges'; did you mean 'languages'?",
        "run.yaml:3:3: optimizer.lr: Input should be a valid number, unable to parse string as a number, found 'fast'",
        "run.yaml:4:3: unknown key 'kindd'; did you mean 'kind'?",
        "run.yaml:6:7: unknown key 'lrr'; did you mean 'lr'?",
    ]


def test_a_key_set_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run.yaml:2:1: 'steps' is set twice, first at .*run.yaml:1:1"):
        read(tmp_path, "steps: 1\nsteps: 2\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [1, 2", "run.yaml:2:1: "),
        ("- a\n- b\n", "a config is a mapping"),
        ("a: !!python/object/apply:os.system [ls]\n", "means nothing here"),
    ],
)
def test_what_is_no_config(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text + "\n")


def test_a_missing_file_and_wrong_bytes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        ConfigFile.read(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: caf\xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        ConfigFile.read(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("steps=7", {"steps": 7}),
        ("optimizer.lr=1e-2", {"optimizer": {"lr": 0.01}}),
        ('languages=["de", "no"]', {"languages": ["de", "no"]}),
        ("languages.0=fr", {"languages": ["fr"]}),
        ("many.new.kind=a=b", {"many": {"new": {"kind": "a=b"}}}),
    ],
)
def test_overrides(tmp_path: Path, override: str, expected: dict[str, Any]) -> None:
    file = read(tmp_path, "languages: [en]\n", override)
    assert file.values == {"languages": ["en"], **expected}
    file.load(Settings)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "write it as key.key=value"),
        ("languages.4=fr", "--set languages.4: 'languages' is a list of 1 items"),
        ("steps=[1", "--set steps=[1: the value is not YAML"),
        ("steps.deep.er=1", "--set steps.deep.er: 'steps' is 3"),
    ],
)
def test_overrides_that_fit_nothing(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, "languages: [en]\nsteps: 3\n", override)
    assert message in str(error.value)


def test_an_error_in_an_override_names_the_override(tmp_path: Path) -> None:
    assert lines(tmp_path, "steps: 3\n", "optimizer.lrate=1") == [
        "--set optimizer.lrate: unknown key 'lrate'; did you mean 'lr'?"
    ]


def test_settings_over_an_anchor_are_seen(tmp_path: Path) -> None:
    text = "many:\n  a: &base {lr: 0.5}\n  b:\n    <<: *base\n    kind: sgd\n"
    assert read(tmp_path, text).load(Settings).many["b"] == Optimizer(lr=0.5, kind="sgd")
