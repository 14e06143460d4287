"""Notices of data-subject requests that are late or due soon, by e-mail to data protection officers: counts alone."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from app.core.clock import Today
from app.core.errors import BadRequest, MailMissing
from app.mail.service import Mail
from app.people.requests.service import SOON_DAYS, Standing

_log = structlog.stdlib.get_logger("sillage.people")


class RequestNotices:
    """Tells, once a day, how many requests are late or due soon."""

    def __init__(self, mail: Mail, addresses: Sequence[str], language: str, today: Today) -> None:
        """``addresses``: of data protection officers; none: nobody is told. ``language``: of the notices."""
        self._mail = mail
        self._addresses = tuple(addresses)
        self._language = language
        self._today = today

    def tell(self, standing: Standing) -> int:
        """Tell each address, unless nothing is due, or it was told today; how many are told now."""
        if not (standing.overdue or standing.due_soon) or not self._addresses:
            return 0
        values = {"overdue": standing.overdue, "due_soon": standing.due_soon, "days": SOON_DAYS}
        once = f"requests-due {self._today().isoformat()}"
        told = 0
        for address in self._addresses:
            try:
                told += self._mail.send(address, "requests-due", self._language, values, once=once)
            except (MailMissing, BadRequest) as refused:
                _log.warning("an address is not told of requests that are due", error=refused.code)
        return told
