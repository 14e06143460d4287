"""Calendar months, as Regulation 1182/71 counts them."""

from __future__ import annotations

import calendar
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.months import months_after


@pytest.mark.parametrize(
    ("day", "months", "end"),
    [
        # European Data Protection Board, Guidelines 01/2022, on the month of GDPR art. 12(3).
        ("2023-03-05", 1, "2023-04-05"),
        ("2023-08-31", 1, "2023-09-30"),
        ("2027-01-31", 1, "2027-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2026-11-30", 3, "2027-02-28"),
        ("2026-02-28", -3, "2025-11-28"),
    ],
)
def test_regulation_1182_71_art_3_the_same_date_or_the_last_of_the_month(day: str, months: int, end: str) -> None:
    assert months_after(date.fromisoformat(day), months) == date.fromisoformat(end)


@given(st.dates(date(1900, 1, 1), date(2200, 1, 1)), st.integers(-200, 200))
def test_it_is_in_that_month_and_never_later_than_that_date(day: date, months: int) -> None:
    end = months_after(day, months)
    assert (end.year - day.year) * 12 + end.month - day.month == months
    assert end.day == day.day or (end.day < day.day and end.day == calendar.monthrange(end.year, end.month)[1])
