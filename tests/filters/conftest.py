"""What the tests of filters share."""

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import pytest

from filters import Filter


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
