"""`gristmill doctor` finds what is wrong, and only that."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import doctor

Findings = dict[str, dict[str, str]]


def diagnose(folder: Path, **environment: str) -> Findings:
    """Findings by name, of the command run in `folder`."""
    result = subprocess.run(
        [str(Path(sys.executable).with_name("gristmill")), "doctor", "--json"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    findings = json.loads(result.stdout)
    assert result.returncode == (1 if any(found["state"] == "fail" for found in findings) else 0), result.stderr
    return {found["name"]: found for found in findings}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """An installation in order, in an empty folder."""
    return diagnose(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Three things wrong at once: a damaged model, a library that crashes, and a stranger's `filters.py`."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "filters.py").write_text("raise SystemExit('a stranger')\n")
    (folder / "lid.176.ftz").write_bytes(b"not a model")
    (folder / "libraries" / "fasttext").mkdir(parents=True)
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n"
    (folder / "libraries" / "fasttext" / "__init__.py").write_text(crash)
    return diagnose(folder, GRISTMILL_ASSETS=str(folder), PYTHONPATH=str(folder / "libraries"))


def test_nothing_fails_in_the_environment_of_the_tests(sound: Findings) -> None:
    assert {name: found for name, found in sound.items() if found["state"] == "fail"} == {}


def test_what_ray_and_torch_say_of_themselves_is_shown(sound: Findings) -> None:
    for name in ("ray", "torch"):
        version = importlib.metadata.version(name)
        assert version in sound[name]["detail"]


def test_a_model_that_was_not_fetched_is_told_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GRISTMILL_ASSETS", raising=False)
    found = doctor.language_model()
    assert (found.state, found.remedy) == ("warn", "gristmill assets fetch")


def test_a_damaged_model_is_not_taken_for_a_model(broken: Findings) -> None:
    assert broken["language model"]["state"] == "fail"
    assert "SHA-256" in broken["language model"]["detail"]


def test_a_module_of_the_same_name_in_the_folder_is_found(broken: Findings) -> None:
    assert broken["module names"]["state"] == "fail"
    assert "filters.py instead of" in broken["module names"]["detail"]


def test_a_library_that_cannot_be_imported_fails_by_name(broken: Findings) -> None:
    assert broken["imports"]["state"] == "fail"
    assert "fasttext: ended by signal 11" in broken["imports"]["detail"]
    assert "polars" not in broken["imports"]["detail"]
