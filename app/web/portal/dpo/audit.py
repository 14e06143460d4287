"""Search of the audit log, in sentences: who read the data of whom, and why. Each search is itself on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from flask import Response

from app.core.clock import Today, moment_of
from app.core.errors import BadCursor, BadRequest
from app.core.given import bound_of_day
from app.core.language import number
from app.governance.audit import log
from app.governance.audit.log import KINDS, Behind, readable
from app.governance.audit.store import Entry
from app.people.audit_search import AuditSearch, Wanted
from app.web.portal.charts import written_csv
from app.web.portal.dpo.desk import ROLES, Desk
from app.web.portal.dpo.who import ACCOUNTS, said
from app.web.portal.files import csv_answer
from app.web.portal.language import translations
from app.web.portal.signed_pages import N_, PageRequest
from app.web.portal.unbounded import UnboundedPages

PAGE: Final = 50
MAX_FILE: Final = 10_000
"""Entries of a file."""
_AT_ONCE: Final = 1_000
_DAYS: Final = 30
"""Days that the form looks back, unless others are said."""

GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "readings": (
        *(log.STATEMENTS_READ, log.DOCUMENTS_READ, log.PERSON_READ, log.AGGREGATE_READ, log.EXPORT_WRITTEN),
        *(log.PERSON_ACCESS_STARTED, log.PERSON_ACCESS_GIVEN, log.PERSON_FOUND, log.RECIPIENTS_READ),
        *(log.STANDING_READ, log.REQUEST_READ, log.OWN_DATA_READ),
    ),
    "rights": (
        *(log.REQUEST_OPENED, log.REQUEST_IDENTIFIED, log.REQUEST_EXTENDED, log.REQUEST_DONE, log.REQUEST_REFUSED),
        *(log.REQUEST_ACT, log.REQUEST_READ, log.REQUESTS_REMOVED, log.PERSON_FOUND, log.RECIPIENTS_READ),
        *(log.PERSON_ACCESS_STARTED, log.PERSON_ACCESS_GIVEN, log.ERASURE_STARTED, log.ERASURE_FINISHED),
        *(log.ERASURES_REAPPLIED, log.PERSON_RESTRICTED, log.PERSON_UNRESTRICTED, log.STANDING_READ),
        *(log.OBJECTION_NOTED, log.OBJECTION_WITHDRAWN, log.STATEMENT_RECTIFIED),
    ),
    "deletions": (
        *(log.RETENTION_STARTED, log.RETENTION_APPLIED, log.RETENTION_RUN, log.DELETION_STARTED),
        *(log.DELETION_APPLIED, log.DOCUMENTS_DELETED, log.CERTIFICATES_REAPPLIED, log.AUDIT_CUT),
    ),
    "register": (
        *(log.ACTIVITY_ADDED, log.ACTIVITY_ENDED, log.SOURCE_ADDED, log.SOURCE_CLOSED, log.SOURCE_MOVED),
        *(log.CONFIGURATION_CHANGED, log.PROFILE_ADDED, log.NOMENCLATURE_LOADED, log.MINORS_DATA),
        *(log.MINORS_APPLY_STARTED, log.MINORS_APPLIED),
    ),
    "access": (
        *(log.CREDENTIAL_CREATED, log.CREDENTIAL_REVOKED, log.USER_ADDED, log.USER_CHANGED, log.USER_REMOVED),
        *(log.USER_INVITED, log.SIGNED_IN, log.SIGN_IN_REFUSED, log.SIGNED_OUT, log.OUTSIDE_PERIMETER),
        *(log.LINK_CODE_GIVEN, log.LINK_MADE, log.LINK_ENDED, log.CREDENTIAL_ENDS),
    ),
    "log": (log.AUDIT_READ, log.AUDIT_CHECKPOINT, log.AUDIT_CUT),
}
"""Kinds of entries that people look for together."""


class AuditPages:
    """Searches the audit log."""

    def __init__(
        self,
        desk: Desk,
        search: AuditSearch,
        behind: Callable[[], Sequence[Behind]],
        today: Today,
        zone: ZoneInfo,
    ) -> None:
        """``behind``: hosts whose readings are not all here."""
        self._desk = desk
        self._search = search
        self._behind = behind
        self._today = today
        self._zone = zone

    def add_to(self, pages: UnboundedPages) -> None:
        """Register the pages."""
        pages.show("dpo/audit", "dpo_audit", ROLES, self.form, menu=N_("Audit log"), purpose=True)
        pages.act("dpo/audit", "dpo_audit_searched", ROLES, self.search, purpose=True)

    def form(self, asked: PageRequest) -> Response:
        """The question; nothing is read yet."""
        since = self._today() - timedelta(days=_DAYS)
        return self._shown(asked, {"since": since.isoformat(), "group": "readings"}, {})

    def search(self, asked: PageRequest) -> Response:
        """The entries that are as asked, as sentences or as a file."""
        form = asked.form
        given = {name: text for name, text in form.all().items() if name not in {"cursor", "step"}}
        who = said(form)
        # Nobody in particular is meant where nobody is said.
        faults = {name: what for name, what in who.faults.items() if (name, what) != ("who", "nobody")}
        instants: dict[str, int | None] = {"since": None, "until": None}
        for name in instants:
            if form.text(name):
                try:
                    instants[name] = bound_of_day(form.text(name), self._zone, end=name == "until")
                except ValueError:
                    faults[name] = "invalid"
        group, kind = form.text("group"), form.text("kind")
        if (group and group not in GROUPS) or (kind and kind not in KINDS):
            faults["group"] = "invalid"
        if faults:
            return self._shown(asked, given, faults, status=422)
        wanted = Wanted(
            who.agents or None,
            form.text("actor")[:100] or None,
            (kind,) if kind else GROUPS.get(group, ()),
            instants["since"],
            instants["until"],
        )
        if form.text("step") == "csv":
            return self._file(asked, wanted)
        try:
            page = self._search.find(wanted, form.text("cursor") or None, PAGE, who=asked.actor)
        except BadCursor:
            return self._shown(asked, given, {"cursor": "invalid"}, status=422)
        except BadRequest:
            return self._shown(asked, given, {"who": "many"}, status=422)
        return self._shown(
            asked,
            given,
            {},
            page=page,
            further=bool(form.text("cursor")),
            about_person=bool(who.agents),
            behind=self._behind(),
        )

    def _shown(
        self,
        asked: PageRequest,
        given: Mapping[str, str],
        faults: Mapping[str, str],
        *,
        status: int = 200,
        **found: Any,
    ) -> Response:
        called = self._desk.called()
        content = {"page": None, "further": False, "about_person": False, "behind": (), **found}
        return self._desk.render(
            asked,
            "audit.html",
            "dpo_audit",
            status=status,
            given=given,
            faults=faults,
            accounts=ACCOUNTS,
            groups=tuple(GROUPS),
            kinds=sorted(KINDS),
            actors=called.listed(),
            called=called,
            max_file=MAX_FILE,
            **content,
        )

    def _file(self, asked: PageRequest, wanted: Wanted) -> Response:
        called = self._desk.called()
        entries, cut = self._every(asked, wanted)
        columns = ("at", "kind", "actor", "called", "purpose", "detail")
        lines = [
            (
                moment_of(entry.at).isoformat().replace("+00:00", "Z"),
                entry.kind,
                entry.actor,
                called(entry.actor),
                entry.detail.get("purpose", ""),
                orjson.dumps(readable(entry.detail)).decode(),
            )
            for entry in entries
        ]
        if cut:
            _ = translations(asked.language).gettext
            limit = number(MAX_FILE, asked.language)
            said = _("The file ends after %(count)s entries, and there are older ones: ask for a shorter time.")
            lines.append(("", "", "", "", "", said % {"count": limit}))
        return csv_answer("audit", written_csv(columns, lines))

    def _every(self, asked: PageRequest, wanted: Wanted) -> tuple[Sequence[Entry], bool]:
        """The entries of a file, and whether there are more than it may have."""
        entries: list[Entry] = []
        cursor: str | None = None
        for _ in range(MAX_FILE // _AT_ONCE):
            page = self._search.find(wanted, cursor, _AT_ONCE, who=asked.actor)
            entries += page.entries
            cursor = page.next
            if cursor is None:
                break
        return entries, cursor is not None
