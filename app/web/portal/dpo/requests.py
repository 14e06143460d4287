"""Data-subject requests, step by step, each with the act beside it: from opening one to the receipt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
from flask import Response

from app.access.restrictions.store import PURPOSES, RESEARCH
from app.core import clock, given
from app.core.clock import Today
from app.core.errors import BadParameter, BadRequest, NotFound, SillageError
from app.people.erasure.store import Erasure
from app.people.request_acts import ANSWERS, FOUND, RequestActs, taken
from app.people.requests.service import DataSubjectRequests
from app.people.requests.steps import ANSWERED, DONE, IDENTIFIED, KINDS, REFUSED, DataSubjectRequest
from app.web.portal.dpo.desk import ROLES, Desk, status_of
from app.web.portal.dpo.who import ACCOUNTS, said
from app.web.portal.files import attachment
from app.web.portal.frame import HEADERS
from app.web.portal.signed_pages import N_, PageRequest
from app.web.portal.unbounded import UnboundedPages
from app.web.subject_access import ExportAnswers

_LISTED = 100
_MAX_NOTE: Final = 10_000
_TOLD: Final = "recipients-listed"
# GDPR art. 19: of these, whoever received the data is told.
_TELLING: Final = frozenset({"rectification", "erasure", "restriction"})


class Stage(NamedTuple):
    """A stage of a request.

    Attributes:
        what: The step by which it is done, as the request has it.
        state: ``done``, ``now`` or ``later``.
        at: When it was done.
    """

    what: str
    state: str
    at: datetime | None = None


def stages(request: DataSubjectRequest, erasures: Sequence[Erasure] = ()) -> list[Stage]:
    """The stages of a request: those done, the one to take now, those after it."""
    answer = ANSWERS[request.kind]
    wanted = ["opened", "identified", FOUND, answer]
    if request.kind in _TELLING:
        wanted.append(_TOLD)
    wanted.append(REFUSED if request.status == REFUSED else DONE)
    last = {step.what: clock.moment_of(step.at) for step in request.steps}
    begun = [one.destroyed for one in erasures] if answer == "erased" else []
    # What was not counted before it was answered, or was closed without, is not asked for afterwards.
    passed = max((place for place, what in enumerate(wanted) if what in last or (what == answer and begun)), default=0)
    found: list[Stage] = []
    for place, what in enumerate(wanted):
        if what in last:
            found.append(Stage(what, "done", last[what]))
        elif place >= passed and request.pending:
            now = all(one.state == "done" for one in found)
            found.append(Stage(what, "now" if now else "later", begun[0] if what == answer and begun else None))
    return found


class RequestPages:
    """Shows requests, and takes their steps."""

    def __init__(
        self, desk: Desk, requests: DataSubjectRequests, acts: RequestActs, exports: ExportAnswers, today: Today
    ) -> None:
        """``today``: where the controller is."""
        self._desk = desk
        self._requests = requests
        self._acts = acts
        self._today = today
        self._exports = exports
        self._steps: Mapping[str, Callable[[PageRequest, str], Mapping[str, Any]]] = {
            "identify": self._identify,
            "find": self._find,
            "recipients": self._recipients,
            "standing": self._standing,
            "lift": self._lift,
            "withdraw": self._withdraw,
            "identifiers": lambda asked, id: {"shown": True},
        }
        self._pages: Mapping[str, Callable[[PageRequest, str], Response]] = {
            "refuse": self._refuse,
            "extend": self._extend,
            "close": self._close,
            "export": self._export,
            "erase": self._erase,
            "rectify": self._rectify,
            "object": self._object,
            "restrict": self._restrict,
        }

    def add_to(self, pages: UnboundedPages) -> None:
        """Register the pages."""
        acts = f"dpo/requests/<id>/<any({','.join(self._pages)}):act>"
        pages.show("dpo/requests", "dpo_requests", ROLES, self.requests, menu=N_("Requests"))
        pages.show("dpo/requests/open", "dpo_open_request", ROLES, self.opening, purpose=True)
        pages.act("dpo/requests/open", "dpo_request_opened", ROLES, self.open, purpose=True)
        pages.show("dpo/requests/<id>", "dpo_request", ROLES, self.request, purpose=True)
        pages.act("dpo/requests/<id>", "dpo_request_step", ROLES, self.step, purpose=True)
        pages.show(acts, "dpo_request_act", ROLES, self.page, purpose=True)
        pages.act(acts, "dpo_request_acted", ROLES, self.act, purpose=True)
        pages.show("dpo/requests/<id>/receipt", "dpo_receipt", ROLES, self.receipt, purpose=True)
        pages.show("dpo/requests/<id>/proofs/<uuid:erasure>", "dpo_proof", ROLES, self.proof, purpose=True)

    # --- the list, and a new one ------------------------------------------------------------------------

    def requests(self, asked: PageRequest) -> Response:
        """Requests that wait, the most urgent first, and those answered; without a word on whose they are."""
        answered = sorted(self._requests.list(ANSWERED, limit=_LISTED), key=lambda one: str(one.answered), reverse=True)
        return self._desk.render(
            asked,
            "requests.html",
            "dpo_requests",
            pending=self._requests.list(),
            answered=answered,
            standing=self._requests.standing(),
        )

    def opening(self, asked: PageRequest) -> Response:
        """The form of a new request."""
        return self._opening(asked, {}, {})

    def open(self, asked: PageRequest) -> Response:
        """Open a request: once, however often the button is pressed."""
        form = asked.form
        who, kind, received, note = said(form), form.text("kind"), form.text("received"), form.text("note")
        faults = dict(who.faults)
        if kind not in KINDS:
            faults["kind"] = "missing"
        if len(note) > _MAX_NOTE:
            faults["note"] = "long"
        day: date | None = None
        try:
            day = given.day(received) if received else None
        except ValueError:
            faults["received"] = "invalid"
        if faults:
            return self._opening(asked, form.all(), faults, 422)
        try:
            with asked.once() as first:
                if not first:
                    return asked.see("dpo_requests")
                opened = self._requests.open(kind, who.data_subject, received=day, note=note, actor=asked.actor)
        except BadRequest:
            return self._opening(asked, form.all(), {"received": "invalid"}, 422)
        return asked.see("dpo_request", id=opened.id)

    def _opening(
        self, asked: PageRequest, given: Mapping[str, str], faults: Mapping[str, str], status: int = 200
    ) -> Response:
        return self._desk.render(
            asked,
            "open_request.html",
            "dpo_requests",
            status=status,
            given=given,
            faults=faults,
            kinds=KINDS,
            accounts=ACCOUNTS,
        )

    # --- one request ------------------------------------------------------------------------------------

    def request(self, asked: PageRequest, id: str) -> Response:
        """A request in full; the reading is on record."""
        return self._shown(asked, id)

    def step(self, asked: PageRequest, id: str) -> Response:
        """Take a step that needs no page of its own, and show the request with what came of it."""
        take = self._steps.get(asked.form.text("act"))
        if take is None:
            raise BadParameter("The form asks for something that is not known here. Load its page again.")
        try:
            outcome = take(asked, id)
        except NotFound:
            self._requests.show(id, actor=asked.actor)
            return asked.see("dpo_request", id=id)
        except SillageError as problem:
            return self._shown(asked, id, status=status_of(problem), problem=problem)
        return self._shown(asked, id, **outcome) if outcome else asked.see("dpo_request", id=id)

    def _shown(self, asked: PageRequest, id: str, *, status: int = 200, **outcome: Any) -> Response:
        found = self._requests.show(id, actor=asked.actor)
        erasures = self._acts.erasures(found)
        told = {
            "faults": {},
            "given": {},
            "shown": False,
            "found": None,
            "received": None,
            "standing_now": None,
            "done": "",
            **outcome,
        }
        return self._desk.render(
            asked,
            "request.html",
            "dpo_requests",
            status=status,
            request=found,
            stages=stages(found, erasures),
            days=(found.due - self._today()).days,
            answer=ANSWERS[found.kind],
            erasures=erasures,
            erased=not found.identifiers,
            called=self._desk.called(),
            taken=lambda what: taken(found, what),
            **told,
        )

    def _identify(self, asked: PageRequest, id: str) -> Mapping[str, Any]:
        note, faults = _said(asked, "note")
        if faults:
            return {"status": 422, "faults": faults, "given": asked.form.all()}
        self._requests.identify(id, note=note, actor=asked.actor)
        return {}

    def _find(self, asked: PageRequest, id: str) -> Mapping[str, Any]:
        return {"found": self._acts.find(id, actor=asked.actor)}

    def _recipients(self, asked: PageRequest, id: str) -> Mapping[str, Any]:
        return {"received": self._acts.recipients(id, actor=asked.actor)}

    def _standing(self, asked: PageRequest, id: str) -> Mapping[str, Any]:
        return {"standing_now": self._acts.standing(id, actor=asked.actor)}

    def _lift(self, asked: PageRequest, id: str) -> Mapping[str, Any]:
        return {"done": "lifted" if self._acts.lift(id, actor=asked.actor) else "not-restricted"}

    def _withdraw(self, asked: PageRequest, id: str) -> Mapping[str, Any]:
        withdrawn = self._acts.withdraw_objection(id, actor=asked.actor)
        return {"done": "withdrawn" if withdrawn else "not-objecting"}

    # --- acts with a page of their own ------------------------------------------------------------------

    def page(self, asked: PageRequest, id: str, act: str) -> Response:
        """The page on which an act is confirmed."""
        return self._act_page(asked, id, act)

    def act(self, asked: PageRequest, id: str, act: str) -> Response:
        """Carry an act out, and lead back to the request."""
        try:
            return self._pages[act](asked, id)
        except NotFound as problem:
            if act == "rectify":
                return self._act_page(asked, id, act, status=404, problem=problem)
            raise
        except SillageError as problem:
            return self._act_page(asked, id, act, status=status_of(problem), problem=problem)

    def _act_page(
        self,
        asked: PageRequest,
        id: str,
        act: str,
        *,
        status: int = 200,
        faults: Mapping[str, str] | None = None,
        problem: SillageError | None = None,
    ) -> Response:
        found = self._requests.show(id, actor=asked.actor)
        content: dict[str, Any] = {}
        if act == "erase" and found.status == IDENTIFIED and found.identifiers and status == 200:
            # Before it goes: how much. A page that is looked at takes no step of the request.
            content["found"] = self._acts.count(id, actor=asked.actor)
        return self._desk.render(
            asked,
            f"request_{act}.html",
            "dpo_requests",
            status=status,
            request=found,
            given=asked.form.all(),
            faults=faults or {},
            problem=problem,
            purposes=PURPOSES,
            **{"found": None, **content},
        )

    def _refuse(self, asked: PageRequest, id: str) -> Response:
        reason, faults = _said(asked, "reason", required=True)
        if faults:
            return self._act_page(asked, id, "refuse", status=422, faults=faults)
        self._requests.refuse(id, reason=reason, actor=asked.actor)
        return asked.see("dpo_request", id=id)

    def _extend(self, asked: PageRequest, id: str) -> Response:
        reason, faults = _said(asked, "reason", required=True)
        if faults:
            return self._act_page(asked, id, "extend", status=422, faults=faults)
        self._requests.extend(id, reason=reason, actor=asked.actor)
        return asked.see("dpo_request", id=id)

    def _close(self, asked: PageRequest, id: str) -> Response:
        note, faults = _said(asked, "note")
        if faults:
            return self._act_page(asked, id, "close", status=422, faults=faults)
        self._requests.done(id, note=note, actor=asked.actor)
        return asked.see("dpo_request", id=id)

    def _export(self, asked: PageRequest, id: str) -> Response:
        answer = self._exports.of(lambda: self._acts.export(id, actor=asked.actor), f"{id}.zip")
        answer.headers.update(HEADERS)
        return answer

    def _erase(self, asked: PageRequest, id: str) -> Response:
        if asked.form.text("sure") != "yes":
            return self._act_page(asked, id, "erase", status=422, faults={"sure": "missing"})
        found = self._requests.show(id, actor=asked.actor)
        if not found.identifiers or self._acts.erasures(found):
            # The button was pressed twice: it is under way, or done.
            return asked.see("dpo_request", id=id)
        self._acts.erase(id, actor=asked.actor)
        return asked.see("dpo_request", id=id)

    def _rectify(self, asked: PageRequest, id: str) -> Response:
        statement, content = asked.form.text("statement"), asked.form.text("content")
        faults = {}
        try:
            wrong = UUID(statement)
        except ValueError:
            faults["statement"] = "invalid"
        if not content:
            faults["content"] = "missing"
        if faults:
            return self._act_page(asked, id, "rectify", status=422, faults=faults)
        self._acts.rectify(id, wrong, content.encode(), actor=asked.actor)
        return asked.see("dpo_request", id=id)

    def _object(self, asked: PageRequest, id: str) -> Response:
        purposes = asked.form.texts("purposes") or (RESEARCH,)
        refuse_new = asked.form.text("refuse_new") == "yes"
        self._acts.note_objection(id, purposes=purposes, refuse_new=refuse_new, actor=asked.actor)
        return asked.see("dpo_request", id=id)

    def _restrict(self, asked: PageRequest, id: str) -> Response:
        self._acts.restrict(id, actor=asked.actor)
        return asked.see("dpo_request", id=id)

    # --- what is handed over ----------------------------------------------------------------------------

    def receipt(self, asked: PageRequest, id: str) -> Response:
        """The receipt of a request, to print and hand over: who of the staff did it is not on it."""
        found = self._requests.show(id, actor=asked.actor)
        erasures = self._acts.erasures(found)
        proofs = {one.id: orjson.loads(one.receipt)["content"] for one in erasures if one.receipt is not None}
        return self._desk.render(
            asked,
            "receipt.html",
            "dpo_requests",
            request=found,
            stages=[stage for stage in stages(found, erasures) if stage.state == "done"],
            extended=taken(found, "extended"),
            erasures=[(one, proofs.get(one.id)) for one in erasures],
            recipients=_recipients(found) if taken(found, _TOLD) else None,
        )

    def proof(self, asked: PageRequest, id: str, erasure: UUID) -> Response:
        """The signed receipt of an erasure, as a file."""
        found = self._requests.show(id, actor=asked.actor)
        document = next((one.receipt for one in self._acts.erasures(found) if one.id == erasure), None)
        if document is None:
            raise NotFound("There is no such receipt, or not yet: the erasure is under way.")
        return attachment(f"receipt-{erasure}.json", document, "application/json")


def _said(asked: PageRequest, name: str, *, required: bool = False) -> tuple[str, Mapping[str, str]]:
    """A note or a reason, and what is wrong with it: ``missing`` or ``long``."""
    text = asked.form.text(name)
    if required and not text:
        return text, {name: "missing"}
    return text, {name: "long"} if len(text) > _MAX_NOTE else {}


def _recipients(request: DataSubjectRequest) -> list[str]:
    """The names of those who received the data, as noted last; empty when nobody looked."""
    listed: object = next((step.detail.get("recipients") for step in reversed(request.steps) if step.what == _TOLD), ())
    return sorted(map(str, listed)) if isinstance(listed, list | tuple) else []
