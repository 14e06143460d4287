"""Numbers, days and instants as people give them: each place that takes one takes the documented forms alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st
from marshmallow import Schema, fields

from app.cli import cli
from app.commands.given import Fraction, Moment, Number
from app.core import given
from app.wiring.container import Container

NO_NUMBERS = ("", "٣", "1_0", " 3", "3 ", "+3", "1.5", "3\n", "1e3", "0x1", "१", "1" * 19)
NO_DAYS = ("", "2026-W01-1", "20260101", "202٦-01-01", "2026-1-1", " 2026-01-01", "2026-02-30", "2026-001", "26-01-01")


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        given.number(text)


@pytest.mark.parametrize("text", [text for text in NO_NUMBERS if text != "1.5"] + ["nan", "inf", ".5", "5.", "1.٣"])
def test_what_is_no_fraction_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        given.fraction(text)


@pytest.mark.parametrize("text", NO_DAYS)
def test_what_is_no_day_is_refused(text: str) -> None:
    for read in (given.day, lambda text: given.bound_of_day(text, UTC)):
        with pytest.raises(ValueError, match=r"."):
            read(text)
    with pytest.raises(ValueError, match=r"."):
        given.instant(f"{text}T00:00:00Z")


@any_of(st.integers(0, 10**18 - 1), st.dates(), st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read(number: int, day: date, moment: datetime) -> None:
    assert given.number(str(number)) == number
    assert given.day(day.isoformat()) == day
    assert given.instant(moment.isoformat()) == moment
    assert given.instant(moment.isoformat().replace("+00:00", "Z")) == moment


def test_an_instant_says_its_offset_or_is_of_utc_where_that_is_documented() -> None:
    moment = datetime(2026, 11, 20, 8, tzinfo=timezone(timedelta(hours=1)))
    assert given.instant("2026-11-20T08:00+01:00") == moment
    with pytest.raises(ValueError, match=r"."):
        given.instant("2026-11-20T08:00:00")
    assert given.instant("2026-11-20T08:00:00", without_zone=True) == datetime(2026, 11, 20, 8, tzinfo=UTC)


def test_a_day_begins_and_ends_where_somebody_is() -> None:
    paris = ZoneInfo("Europe/Paris")
    for text in ("2026-03-29", "2026-10-25", "2026-11-20"):
        begins, ends = (given.bound_of_day(text, paris, end=end) for end in (False, True))
        moment = datetime.fromtimestamp(begins / 1_000_000, paris)
        assert moment.isoformat().startswith(f"{text}T00:00:00")
        assert datetime.fromtimestamp(ends / 1_000_000, paris).date() - moment.date() == timedelta(days=1)
    assert given.bound_of_day("1970-01-01", UTC) == 0
    assert given.bound_of_day("9999-12-31", paris) > 0


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Pacific/Honolulu")], ids=str)
@pytest.mark.parametrize(
    ("text", "end"), [("0001-01-01", False), ("0001-01-01", True), ("9999-12-31", True), ("1960-01-01", False)]
)
def test_a_day_that_bounds_nothing_is_refused(zone: tzinfo, text: str, end: bool) -> None:
    with pytest.raises(ValueError, match=r"."):
        given.bound_of_day(text, zone, end=end)


def test_every_body_and_query_of_the_api_is_held_to_them() -> None:
    """Marshmallow's own fields take more: where one stands, a form is taken that no page tells of."""
    assert Container, "every room of it is there"
    held: dict[type[fields.Field[object]], tuple[type[fields.Field[object]], ...]] = {
        fields.Number: (given.Number, given.TextNumber),
        fields.DateTime: (given.Day, given.Instant),
        fields.Boolean: (given.Flag,),
    }
    seen = 0
    for schema in _subclasses(Schema):
        if not schema.__module__.startswith("app.web."):
            continue
        for name, field in schema().fields.items():
            for kind, allowed in held.items():
                if isinstance(field, kind):
                    seen += 1
                    assert isinstance(field, allowed), f"{schema.__module__}.{schema.__name__}.{name}"
    assert seen > 5


def test_every_option_of_the_commands_is_held_to_them() -> None:
    """Each number and each day that a command takes, with what must not be taken for one."""
    seen = 0
    for name, parameter in _parameters(cli, "sillage"):
        kind = parameter.type
        assert not isinstance(kind, click.types.IntParamType | click.types.FloatParamType) or isinstance(
            kind, Number | Fraction
        ), name
        if isinstance(kind, Number):
            refused: tuple[str, ...] = NO_NUMBERS
        elif isinstance(kind, Fraction):
            refused = tuple(text for text in NO_NUMBERS if text != "1.5")
        elif isinstance(kind, click.DateTime):
            assert isinstance(kind, Moment), name
            refused = NO_DAYS
        else:
            continue
        seen += 1
        for text in refused:
            with pytest.raises(click.BadParameter):
                kind.convert(text, parameter, None)
        kind.convert(
            "2026-11-20" if isinstance(kind, Moment) else str(getattr(kind, "min", None) or 1), parameter, None
        )
    assert seen > 10


def test_nothing_else_of_these_packages_reads_what_people_give() -> None:
    """Other callers of Python's own readers read what the store itself wrote; a new place is looked at, and added."""
    own = {
        "contracts.py", "register.py", "erasure.py", "cases.py", "certificates.py", "simulate.py",
    }  # fmt: skip
    found = {
        path.name
        for room in ("web/api", "cli", "governance")
        for path in Path("app", room).glob("*.py")
        if "fromisoformat(" in path.read_text()
    }
    assert found <= own


def _subclasses(kind: type[Schema]) -> Iterator[type[Schema]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def _parameters(command: click.Command, name: str) -> Iterator[tuple[str, click.Parameter]]:
    for parameter in command.params:
        yield name, parameter
    if isinstance(command, click.Group):
        for each, inner in command.commands.items():
            yield from _parameters(inner, f"{name} {each}")
