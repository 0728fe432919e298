"""Evaluation sets of a test, and an index folder of its own, so that nobody's cache is filled or emptied."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipeline.decontaminate import items

Pairs = Sequence[tuple[str, str]]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(items, "folder", lambda: tmp_path_factory.getbasetemp() / "decontamination")
        yield


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Write sets of (question, answer) and return the setting `sets`."""

    def write(**given: Pairs) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("sets")
        settings = {}
        for name, pairs in given.items():
            path = folder / f"{name}.jsonl"
            path.write_text("".join(json.dumps({"q": asked, "a": told}) + "\n" for asked, told in pairs))
            settings[name] = {"paths": str(path), "question": "q", "answer": "a"}
        return settings

    return write
