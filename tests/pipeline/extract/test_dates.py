"""Days in the forms in which pages write them."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract.dates import day, day_in_path, searched

FORMS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%Y-%m-%dT23:59:59+09:00",
    "%Y%m%dT235959Z",
    "%Y%m%d235959",
    "%Y-%m-%d 00:00",
    "%B %d, %Y",
    "%b %d %Y",
    "%b. %d, %Y at 10:30",
    "%d %B %Y",
    "%A, %B %d, %Y",
    "%a, %d %b %Y 10:00:00 GMT",
    "Published on %d-%b-%Y",
)


@given(st.dates(date(1990, 1, 1), date(2099, 12, 31)), st.sampled_from(FORMS))
def test_every_form_gives_the_day(when: date, form: str) -> None:
    assert day(when.strftime(form)) == when.isoformat()


@given(st.dates(date(1990, 1, 1), date(2099, 12, 31)))
def test_a_day_that_could_be_another_is_none(when: date) -> None:
    known = when.day > 12 or when.day == when.month
    for form in ("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y"):
        assert day(when.strftime(form)) == (when.isoformat() if known else None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1st of May 2020", "2020-05-01"),
        ("March 3rd, 2021", "2021-03-03"),
        ("2021-2-3", "2021-02-03"),
        ("2021-02-30", None),
        ("2021-13-01", None),
        ("2021-05", None),
        ("2021", None),
        ("0001-01-01", None),
        ("1970-01-01T00:00:00Z", None),
        ("1700000000", None),
        ("12021-02-03", None),
        ("tomorrow", None),
        ("", None),
        ("x" * 100 + " 2021-02-03", None),
    ],
)
def test_days_of_texts(text: str, expected: str | None) -> None:
    assert day(text) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/2020/04/30/title", "2020-04-30"),
        ("/blog/2020-04-30-title.html", "2020-04-30"),
        ("/news/20200430/title", "2020-04-30"),
        ("/2020/04/30", "2020-04-30"),
        ("/2020/04/30.html", "2020-04-30"),
        ("/2020/04/", None),
        ("/2020/04-30/x", None),
        ("/item/20201350", None),
        ("/item/202004301", None),
        ("", None),
    ],
)
def test_days_of_addresses(path: str, expected: str | None) -> None:
    assert day_in_path(path) == expected


@given(st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    for found in (day(text), day_in_path(text)):
        assert found is None or found == date.fromisoformat(found).isoformat()


@pytest.mark.parametrize("control", ["\x1a", "\x0b", "\ufffe", "&#26;", "&#xfffe;"])
def test_the_search_goes_past_characters_that_xml_has_not(control: str) -> None:
    page = f"<p>{control}<script></script>\n<p>b<time datetime=2020-03-04>x</time>"
    assert searched(page.encode(), None) == "2020-03-04"
    assert searched(f"{control}<script/>\n<s>".encode(), None) is None
