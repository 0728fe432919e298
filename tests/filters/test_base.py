"""What every filter does with `keep`: laid over the defaults, checked, and the same again when read back."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import FILTERS, Gopher
from filters.base import Filter, Range


def test_naming_one_signal_leaves_the_others_on() -> None:
    assert Gopher.model_validate({"keep": {"words": [100, None]}}).keep == {**Gopher().keep, "words": (100, None)}


def test_null_switches_one_off() -> None:
    off = Gopher.model_validate({"keep": {"words": None}})
    assert off.keep == {**Gopher().keep, "words": (None, None)}


class German(Gopher):
    """Has a range for one language."""

    defaults: ClassVar[Mapping[str, Range]] = {**Gopher.defaults, "words@de": (40, None), "alpha_words@de": (0.7, None)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"words": (50, 100_000), "words@de": (40, None)}),
        ({"words@de": [30, None]}, {"words": (50, 100_000), "words@de": (30, None)}),
        ({"words@de": None}, {"words": (50, 100_000), "words@de": (None, None)}),
        ({"words@fr": [9, None]}, {"words": (50, 100_000), "words@de": (40, None), "words@fr": (9, None)}),
        ({"words": [10, None]}, {"words": (10, None)}),
        ({"words": [10, None], "words@de": [5, None]}, {"words": (10, None), "words@de": (5, None)}),
        ({"words": None}, {"words": (None, None)}),
    ],
)
def test_ranges_for_single_languages(given: dict[str, Any], expected: dict[str, Range]) -> None:
    step = German.model_validate({"keep": given})
    assert {key: ends for key, ends in step.keep.items() if key.startswith("words")} == expected
    assert step.keep["alpha_words@de"] == (0.7, None)
    assert German.model_validate(step.model_dump(mode="json")) == step


@pytest.mark.parametrize("name", [name for name, kind in FILTERS.items() if issubclass(kind, Filter)])
@given(data=st.data())
def test_settings_read_back_are_the_same(name: str, data: st.DataObject) -> None:
    kind = FILTERS[name]
    assert issubclass(kind, Filter)
    ends = st.none() | st.just((0.25, None)) | st.just((None, 0.5))
    required = {"lists": __file__} if name == "bad_words" else {}
    signals = kind.model_validate(required).signals()
    keep = data.draw(st.dictionaries(st.sampled_from(list(signals)), ends))
    step = kind.model_validate({**required, "keep": keep})
    assert kind.model_validate(step.model_dump(mode="json")) == step


def test_a_signal_that_is_not_there() -> None:
    with pytest.raises(ValidationError, match="unknown signal 'wrods' in keep; did you mean 'words'"):
        Gopher.model_validate({"keep": {"wrods": None}})
    with pytest.raises(ValidationError, match="unknown signal 'wrods' in keep; did you mean 'words'"):
        Gopher.model_validate({"keep": {"wrods@de": [1, 2]}})
    with pytest.raises(ValidationError, match="name a language after '@', such as words@de"):
        Gopher.model_validate({"keep": {"words@": [1, 2]}})
    with pytest.raises(ValidationError, match="unknown signal 'wrods' in keep; did you mean 'words'"):
        Gopher.model_validate({"keep": {"wrods": [1, 2]}})


def test_a_range_that_nothing_can_be_in() -> None:
    with pytest.raises(ValidationError, match=r"the lower end 3.0 is above the upper end 2.0"):
        Gopher.model_validate({"keep": {"words": [3, 2]}})
