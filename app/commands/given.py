"""Numbers, days and instants on the command line: the forms that the help shows, and no others
(``app/core/given.py``).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import click

from app.commands.words import _, ngettext

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_FRACTION = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}:[0-9]{2})?")


class Number(click.IntRange):
    """A number in decimal digits, within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        if isinstance(value, str) and _WHOLE.fullmatch(value) is None:
            self.fail(_("{value!r} is not a number of decimal digits.", value=value), param, ctx)
        return super().convert(value, param, ctx)


class Fraction(click.FloatRange):
    """A number with or without a decimal point, within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        if isinstance(value, str) and _FRACTION.fullmatch(value) is None:
            self.fail(_("{value!r} is not a number.", value=value), param, ctx)
        return super().convert(value, param, ctx)


class Moment(click.DateTime):
    """A day, or an instant, in one of its formats, with all its digits."""

    def __init__(self, *formats: str) -> None:
        """``formats``: as of ``strptime``; a day when none is given."""
        super().__init__(formats or ("%Y-%m-%d",))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The moment, a datetime without an offset."""
        if not isinstance(value, datetime) and _MOMENT.fullmatch(value) is None:
            text = ngettext(
                "{value!r} does not match the format {format}.",
                "{value!r} does not match the formats {formats}.",
                len(self.formats),
            )
            shown = ", ".join(map(repr, self.formats))
            self.fail(text.format(value=value, format=shown, formats=shown), param, ctx)
        return super().convert(value, param, ctx)
