"""Ends of accounts, as sources announce them: durations of retention may run from there (``retention.py``)."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from app.access.links import Admission
from app.core import given
from app.core.audit_sink import AuditSink
from app.core.clock import Clock
from app.core.errors import BadRequest, Fault, MalformedJSON
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import ACCOUNTS_ANNOUNCED
from app.keys.data_subject_cipher import DataSubjectCipher
from app.people.finding.finder import data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject, PseudonymsBySource
from app.retention.closed_account_store import PLACE, AccountRepository, Closing

CLOSED, REOPENED = EVENTS = ("closed", "reopened")
MAX_EVENTS = 10_000
"""Most events that are taken at once."""
COLUMNS = ("home_page", "name", "mbox", "mbox_sha1sum", "openid", "event", "on")
"""Of a CSV file; those of the kinds of identifiers that are not there may be left out."""

_FAULTS_SHOWN = 20
_END_US = 253_402_300_800_000_000  # of the year 9999, UTC
_SECTION = "Sillage, ends of accounts"


class Event(NamedTuple):
    """An account ended, or was opened again.

    Attributes:
        account: Whose it is.
        event: ``closed`` or ``reopened``.
        on: When, in microseconds since 1970 UTC; None: now.
    """

    account: IdentifiedDataSubject
    event: str
    on: int | None


class Announced(NamedTuple):
    """The numbers of accounts that were noted as ended, and of ends that were taken back."""

    closed: int
    reopened: int


class Accounts:
    """Notes the ends of accounts."""

    def __init__(
        self,
        repository: AccountRepository,
        keys: OrganisationKeys,
        cipher: DataSubjectCipher,
        audit: AuditSink,
        now_us: Clock,
        sources: Admission,
        pseudonyms: PseudonymsBySource,
    ) -> None:
        """``sources`` lets those through for which something may be stored now.

        ``pseudonyms`` finds those that a source's statements may have.
        """
        self._repository = repository
        self._keys = keys
        self._cipher = cipher
        self._audit = audit
        self._now_us = now_us
        self._sources = sources
        self._pseudonyms = pseudonyms

    def announce(self, source: str, events: Sequence[Event], *, actor: str) -> Announced:
        """Note what a source says of its accounts, all or nothing; saying it again changes nothing.

        Args:
            source: Id of the source; only its statements are concerned.
            events: At most ``MAX_EVENTS``; of several about one account the last one counts.
            actor: Who says it, for the audit log.

        Raises:
            ActivityNotInForce: nothing may be stored for this source now.
        """
        self._sources.require(source)
        now = self._now_us()
        last: dict[str, Event] = {}
        made: dict[str, Event] = {}
        certain: set[str] = set()
        pseudonyms = self._pseudonyms.of_source(source)
        for event in events:
            account = pseudonyms.whole(event.account)
            last |= dict.fromkeys(account.identifiers, event)
            made |= dict.fromkeys((name for name in account.every if name not in account.identifiers), event)
            certain |= account.certain
        # What is said of an account by its pseudonym holds.
        made = {name: event for name, event in made.items() if name not in last}
        ended = {self._keys.subject(name): (name, event) for name, event in last.items() if event.event == CLOSED}
        also = {self._keys.subject(name): (name, event) for name, event in made.items() if event.event == CLOSED}
        # Of pseudonyms that it may never make, those that something is stored under.
        known = self._cipher.known(subject for subject, (name, _) in also.items() if name not in certain)
        also = {subject: one for subject, one in also.items() if subject in known or one[0] in certain}
        counts = Counter(event.event for event in last.values())
        detail = {"source": source, "closed": counts[CLOSED], "reopened": counts[REOPENED]}
        self._audit.append(ACCOUNTS_ANNOUNCED, actor, detail)
        # First what keeps data: if the other half fails, nothing goes that should stay.
        reopened, under = (
            self._repository.reopen(source, [self._keys.subject(name) for name, one in some if one.event == REOPENED])
            for some in (last.items(), made.items())
        )
        ended |= also
        who = self._cipher.encrypt(PLACE, {subject: name.encode() for subject, (name, _) in ended.items()})
        self._repository.close(
            source,
            [
                Closing(subject, now if event.on is None else event.on, who[subject])
                for subject, (_, event) in ended.items()
            ],
        )
        return Announced(counts[CLOSED], max(reopened, under))


def of_json(content: bytes) -> list[Event]:
    """The events of ``{"accounts": [{"agent": {…}, "event": "closed", "on": "2026-11-20"}, …]}``.

    ``event`` is ``closed`` when absent, ``on`` (a day, or an instant with its offset; a day is its midnight UTC) now.

    Raises:
        MalformedJSON, BadRequest: it is not of that form; the faults say where.
    """
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise MalformedJSON("The body is not one well-formed UTF-8 JSON document.") from None
    listed = document.get("accounts") if isinstance(document, dict) and document.keys() == {"accounts"} else None
    if not isinstance(listed, list):
        raise _refused([Fault("", "accounts", _SECTION, "Must be an object with one member, the array `accounts`.")])
    _refuse_many(len(listed))
    faults: list[Fault] = []
    events = [_event(one, f"/accounts/{place}", faults) for place, one in enumerate(listed)]
    return _whole(events, faults)


def of_csv(content: bytes) -> list[Event]:
    """The events of a CSV file (UTF-8, commas or semicolons, a head line with names of ``COLUMNS``), one line each.

    Raises:
        BadRequest: it is not of that form; the faults say in which line, from 1 for the head.
    """
    try:
        text = content.decode("utf-8-sig")
        # Spreadsheets in French write semicolons; no column of ours has one in its name.
        separator = ";" if ";" in text.partition("\n")[0] else ","
        lines = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))
    except (UnicodeDecodeError, csv.Error):
        message = "Must be CSV in UTF-8, separated by commas or semicolons."
        raise _refused([Fault("", "csv", _SECTION, message)]) from None
    _refuse_many(len(lines))
    faults: list[Fault] = []
    events = []
    for place, line in enumerate(lines, 2):
        said = {name: text.strip() for name, text in line.items() if name is not None and isinstance(text, str)}
        if line.keys() - set(COLUMNS) or None in line.values():
            message = f"The head line has names among: {', '.join(COLUMNS)}; each line has as many values."
            faults.append(Fault(f"/{place}", "csv", _SECTION, message))
            continue
        agent: dict[str, Any] = {name: said[name] for name in ("mbox", "mbox_sha1sum", "openid") if said.get(name)}
        if said.get("home_page") or said.get("name"):
            agent["account"] = {"homePage": said.get("home_page", ""), "name": said.get("name", "")}
        event = {"agent": agent, **{name: said[name] for name in ("event", "on") if said.get(name)}}
        events.append(_event(event, f"/{place}", faults))
    return _whole(events, faults)


def _event(one: object, pointer: str, faults: list[Fault]) -> Event | None:
    """An event; what is wrong with it is added to ``faults``."""
    if not isinstance(one, dict) or not one.keys() <= {"agent", "event", "on"}:
        faults.append(Fault(pointer, "accounts", _SECTION, "Must be an object with `agent`, and `event` and `on`."))
        return None
    event, on = one.get("event", CLOSED), one.get("on")
    if event not in EVENTS:
        faults.append(Fault(f"{pointer}/event", "accounts-event", _SECTION, f"Must be {' or '.join(EVENTS)}."))
    moment = None
    try:
        moment = None if on is None else _microseconds(on)
    except (TypeError, ValueError):
        message = "Must be a day, or an instant with its offset from UTC, in ISO 8601, from 1970 on: 2026-11-20."
        faults.append(Fault(f"{pointer}/on", "accounts-on", _SECTION, message))
    if not isinstance(one.get("agent"), dict):
        faults.append(Fault(f"{pointer}/agent", "accounts", _SECTION, "Must be an xAPI Agent."))
        return None
    try:
        return Event(data_subject_of([one["agent"]]), str(event), moment)
    except BadRequest as refused:
        # Its pointers begin with the place in a list of one.
        faults += [fault._replace(pointer=f"{pointer}/agent{fault.pointer[2:]}") for fault in refused.faults]
        return None


def _whole(events: Sequence[Event | None], faults: Sequence[Fault]) -> list[Event]:
    if faults:
        raise _refused(faults)
    return [event for event in events if event is not None]


def _microseconds(said: object) -> int:
    if not isinstance(said, str):
        raise TypeError
    if len(said) == len("2026-11-20"):
        day = given.day(said)
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    else:
        moment = given.instant(said)
    instant = round(moment.timestamp() * 1_000_000)
    # Near the ends of the calendar an offset leads out of it: retention, which counts days from there, would fail.
    if not 0 <= instant < _END_US:
        raise ValueError
    return instant


def _refuse_many(count: int) -> None:
    if count > MAX_EVENTS:
        raise BadRequest(f"There are more than {MAX_EVENTS} accounts. Send several smaller lists.")


def _refused(faults: Sequence[Fault]) -> BadRequest:
    return BadRequest("The list of accounts is not valid; nothing of it was noted.", faults=faults[:_FAULTS_SHOWN])
