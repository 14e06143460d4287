from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.standards.xapi.timestamps import in_utc, parse, render

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.1234569Z", 123_456),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00+01", 0),
        ("19691231T230000-0100", 0),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01t00:00:01,5z", 1_500_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * SECOND),
        ("2017-01-01T00:59:60.25+01:00", 1_483_228_800 * SECOND + 250_000),
        ("20170101T005960,25+0100", 1_483_228_800 * SECOND + 250_000),
        ("1972-03-01T13:29:60+13:30", 68_256_000 * SECOND),
        ("1970-01-02T00:00:00+23:59", 60 * SECOND),
        ("1970-01-01T01:00:00+0100", 0),
        ("1969-12-31T00:01-23:59", 0),
    ],
)
def test_each_form_is_its_instant(text: str, instant: int) -> None:
    assert parse(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2015-01-01",
        "01/011/2015",
        "2015-13-01T00:00:00Z",
        "2015-02-29T00:00:00Z",
        "2015-01-01T24:00:00Z",
        "2015-01-01T24:00:00.000Z",
        "2015-01-01T24:00:00.000000Z",
        "2015-01-01T24:00",
        "20150101T240000+0100",
        "2015-01-01T12:59:60Z",
        "2015-03-17T23:59:60Z",
        "2016-12-31T23:59:60+01:00",
        "2017-01-01T23:59:60Z",
        "2016-12-31T23:59:61Z",
        "9999-12-31T23:59:60Z",
        "2015-01-01T00:60:00Z",
        "2015-01-01 00:00:00Z",
        "2015-W01-1T00:00:00Z",
        "2015-W01-1T00:00:00.000Z",
        "2015-01-01T00:00:00;000Z",
        "2015-01-01T00:00:00.0 0Z",
        "2015-01-01T00:00:00+01Z",
        "2015-01-01T00:00:00-00:00",
        "2015-01-01T00:00:00-0000",
        "2015-01-01T00:00:00-00",
        "2015-01-01T00:00:00+24:00",
        "2015-01-01T00:00:00+00:60",
        "2015-01-01T00:00:00+01:99",
        "2015-01-01T00:00:00-0160",
        "20150101T000000+9900",
        "2015-01-01T00:00:00+24",
        "2015-01-01T00:00:00Z\n",
        "２015-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_rendering_is_undone_by_parsing(moment: datetime) -> None:
    text = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert render(parse(text)) == text


@given(st.integers(-(10**16), 10**17), st.integers(-14 * 60, 14 * 60))
def test_the_offset_does_not_change_the_instant(instant: int, minutes: int) -> None:
    local = render(instant + minutes * 60 * SECOND)[:-1]
    sign = "-" if minutes < 0 else "+"
    text = f"{local}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    assert parse(text) == instant
    assert in_utc(text) == render(instant)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2015-01-01T24:00:00Z", "00:00:00 of the next"),
        ("2015-01-01T00:00:00+00:60", "an offset within 23:59"),
        ("2015-03-17T23:59:60Z", "ends a month of UTC"),
    ],
)
def test_a_refusal_says_what_to_send(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)
