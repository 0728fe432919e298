"""What the tests of filters share."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from filters import Filter, assets


@pytest.fixture(scope="session")
def measure() -> Callable[[Filter, str], dict[str, Any]]:
    """Give all signals of a filter for one text."""

    def of(step: Filter, text: str) -> dict[str, Any]:
        return pl.DataFrame({"text": [text]}).select(**step.signals()).row(0, named=True)

    return of


@pytest.fixture(scope="session")
def broken() -> Callable[[Filter, Mapping[str, Any]], str | None]:
    """Give the first signal outside its range."""

    def first(step: Filter, signals: Mapping[str, Any]) -> str | None:
        for name, value in signals.items():
            low, high = step.keep.get(name, (None, None))
            if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
                return name
        return None

    return first


@pytest.fixture(scope="session")
def lid_model(request: pytest.FixtureRequest) -> Path:
    """The language model: from the test data or the cache, else fetched; a test is skipped where it cannot be had."""
    if assets.cached(assets.LID176) is None:
        given = Path(os.environ.get("GRISTMILL_TEST_DATA", "")) / "C-lid176-ftz"
        if given.joinpath(assets.LID176).is_file():
            os.environ["GRISTMILL_ASSETS"] = str(given)
            request.addfinalizer(lambda: os.environ.pop("GRISTMILL_ASSETS"))
    try:
        return assets.path(assets.LID176)
    except assets.AssetError as error:
        pytest.skip(f"the language model cannot be had: {error}")
