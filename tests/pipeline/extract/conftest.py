"""What the tests of extraction share: a batch of documents as the step gets it."""

from collections.abc import Callable

import polars as pl
import pytest

from pipeline.schema import DESCRIPTION


@pytest.fixture(scope="session")
def batch() -> Callable[..., pl.DataFrame]:
    def make(pages: list[bytes | None], **columns: list[str | None]) -> pl.DataFrame:
        names = ("url", "charset", "text", "error", *DESCRIPTION.names)
        return pl.DataFrame(
            {"html": pages, **{name: columns.get(name, [None] * len(pages)) for name in names}},
            schema={"html": pl.Binary, **{name: pl.String for name in names}},
        )

    return make
