"""What every filter does with `keep`: laid over the defaults, checked, and the same again when read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters import FILTERS, Gopher
from filters.base import Filter


def test_naming_one_signal_leaves_the_others_on() -> None:
    assert Gopher.model_validate({"keep": {"words": [100, None]}}).keep == {**Gopher().keep, "words": (100, None)}


def test_null_switches_one_off() -> None:
    off = Gopher.model_validate({"keep": {"words": None}})
    assert off.keep == {name: ends for name, ends in Gopher().keep.items() if name != "words"}


@pytest.mark.parametrize("name", [name for name, kind in FILTERS.items() if issubclass(kind, Filter)])
@given(data=st.data())
def test_settings_read_back_are_the_same(name: str, data: st.DataObject) -> None:
    kind = FILTERS[name]
    assert issubclass(kind, Filter)
    ends = st.none() | st.just((0.25, None)) | st.just((None, 0.5))
    keep = data.draw(st.dictionaries(st.sampled_from(list(kind().signals())), ends))
    step = kind.model_validate({"keep": keep})
    assert kind.model_validate(step.model_dump(mode="json")) == step


def test_a_signal_that_is_not_there() -> None:
    with pytest.raises(ValidationError, match="unknown signal 'wrods' in keep; did you mean 'words'"):
        Gopher.model_validate({"keep": {"wrods": [1, 2]}})


def test_a_range_that_nothing_can_be_in() -> None:
    with pytest.raises(ValidationError, match=r"the lower end 3.0 is above the upper end 2.0"):
        Gopher.model_validate({"keep": {"words": [3, 2]}})
