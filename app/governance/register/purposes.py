"""Purpose of a command, as whoever runs it states it: one of the codes of ``SILLAGE_PURPOSES``, kept in the audit log.

Over HTTP each request says it (``app/web/purpose.py``); a command says it once, before it does anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.core.errors import BadParameter


class Purpose:
    """The purpose of what this process does, when it is a command."""

    def __init__(self, known: Sequence[str], *, required: bool) -> None:
        """Nothing is stated yet.

        Args:
            known: The codes that there are.
            required: Whether one must be given.
        """
        self._known = tuple(known)
        self._required = required
        self._stated: Mapping[str, object] = {}

    def state(self, purpose: str | None) -> None:
        """Say what this is for: entries of the audit log hold it from now on.

        Raises:
            BadParameter: it is not one of the codes, or is missing where it is required.
        """
        if purpose is None and self._required:
            raise BadParameter(f"Say what this is for, in --purpose: {', '.join(self._known)}.")
        if purpose is not None and purpose not in self._known:
            raise BadParameter(f"The purpose is not one of this installation's: {', '.join(self._known)}.")
        self._stated = {} if purpose is None else {"purpose": purpose}

    def stated(self) -> Mapping[str, object]:
        """The purpose, to be added to the detail of an audit entry."""
        return self._stated
