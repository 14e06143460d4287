"""Pages of producers: how their source fares, what is wrong with what it sends, keys, the profiles that it promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import orjson
from flask import Response

from app.access.credentials import SECRET_BYTES, Access, NewCredential, Sources
from app.access.roles import Role
from app.access.store import Source, StoredCredential
from app.core import clock, given
from app.core.clock import Today
from app.core.errors import CredentialsRefused, OutsidePerimeter, RegisterInvalid, SillageError
from app.standards.profiles.document import Rule, Template
from app.standards.xapi.versions import OLDEST, SUPPORTED, negotiate
from app.traces.conformance.verdicts import REJECTED, ConformanceService
from app.traces.ingest.checking import Checking
from app.traces.quality.arrivals import Arrivals, SourceReport
from app.traces.turns import Turns
from app.web import bounds
from app.web.portal.charts import Axis, Cell, Chart, Form, Kind, written_csv
from app.web.portal.fault_words import FaultWords
from app.web.portal.files import csv_answer, specification_answer
from app.web.portal.language import translations
from app.web.portal.signed_pages import N_, PageRequest, SignedPages

ROLES: Final = (Role.PRODUCER,)
VERSIONS: Final[tuple[str, ...]] = tuple(version.value for version in SUPPORTED)
MAX_ECHOED: Final = 200_000
"""Characters of checked statements that the form is shown again with."""
ROTATION_DAYS: Final = 14
"""Days for which a key that is replaced is good, unless somebody says otherwise."""


class TemplateDays(NamedTuple):
    """Verdicts under a template: of each of seven days ``(conforming, failing)``, and of all of them.

    Attributes:
        label: As its profile calls it, by language; empty for one that is not loaded any more.
    """

    iri: str
    label: Mapping[str, str]
    days: Sequence[tuple[int, int]]
    conforming: int
    failing: int


class Documented(NamedTuple):
    """A template for those who send: its rules by what they ask, and an example as JSON (None: none could be made)."""

    template: Template
    wanted: Sequence[Rule]
    refused: Sequence[Rule]
    recommended: Sequence[Rule]
    example: str | None


class ProducerPages:
    """Shows a source to whoever answers for it."""

    def __init__(
        self,
        *,
        access: Access,
        sources: Sources,
        arrivals: Arrivals,
        profiles: ConformanceService,
        checking: Checking,
        turns: Turns,
        max_body_bytes: int,
        public_url: str,
        today: Today,
    ) -> None:
        self._access = access
        self._sources = sources
        self._arrivals = arrivals
        self._profiles = profiles
        self._checking = checking
        self._turns = turns
        self._max_body_bytes = max_body_bytes
        self._public_url = public_url.rstrip("/")
        self._today = today

    def add_to(self, pages: SignedPages) -> None:
        """Register the pages: each twice, for those with one source and for those with several."""
        for path, endpoint, view, label in (
            ("", "source", self.source, N_("My source")),
            ("/check", "source_check", self.check, N_("Check statements")),
            ("/keys", "source_keys", self.keys, N_("Keys")),
            ("/profiles", "source_profiles", self.documentation, N_("Formats to send")),
            ("/connection", "source_connection", self.connection, N_("Connect")),
        ):
            pages.show(f"source{path}", endpoint, ROLES, view, menu=label)
            pages.show(f"sources/<source>{path}", f"{endpoint}_of", ROLES, view)
        pages.show("sources/<source>/arrivals.csv", "source_csv", ROLES, self.csv)
        pages.show("sources/<source>/arrivals.vl.json", "source_specification", ROLES, self.specification)
        pages.act("sources/<source>/check", "check_statements", ROLES, self.checked, file_bytes=self._max_body_bytes)
        pages.act("sources/<source>/keys", "change_keys", ROLES, self.changed_keys)

    # --- how it fares -------------------------------------------------------------------------------

    def source(self, asked: PageRequest, source: str | None = None) -> Response:
        """Arrivals of the source, and the faults that it is told of."""
        found = self._source(asked, source)
        if found is None:
            return self._chosen(asked, "source")
        report = self._arrivals.report(found.id)
        return asked.render(
            "producer/source.html",
            "source",
            source=found,
            report=report,
            last=None if report.last is None else clock.moment_of(report.last),
            now=clock.now(),
            silence=report.silence,
            silent_since=clock.moment_of(report.silence.since) if report.silence else None,
            silent_until=clock.moment_of(report.silence.until) if report.silence and report.silence.until else None,
            share=_refused_share(report.week),
            share_before=_refused_share(report.week_before),
            faults=[(each, *_worded(asked.language, each.fault.rule, each.fault.message)) for each in report.faults],
            templates=self._templates(found, report),
            names=[each.day for each in report.days[-7:]],
            charts=(_chart(asked.language, report),),
        )

    def csv(self, asked: PageRequest, source: str) -> Response:
        """The figures of the chart as CSV, and those beside it."""
        found = self._one(asked, source)
        columns = ("day", "stored", "failing", "repeated", "refused_batches", "refused_statements")
        lines = [
            (each.day, each.stored, each.failing, each.repeated, each.batches, each.refused)
            for each in self._arrivals.report(found.id).days
        ]
        return csv_answer("arrivals", written_csv(columns, lines))

    def specification(self, asked: PageRequest, source: str) -> Response:
        """The chart itself."""
        found = self._one(asked, source)
        return specification_answer(_chart(asked.language, self._arrivals.report(found.id)))

    def _templates(self, source: Source, report: SourceReport) -> Sequence[TemplateDays]:
        days = [each.day for each in report.days[-7:]]
        counts: dict[str, dict[tuple[str, str], int]] = {}
        for each in self._profiles.days(source.id, days[0]):
            if "://" in each.template and each.outcome != REJECTED:
                counts.setdefault(each.template, {})[each.day, each.outcome] = each.statements
        labels = {one.id: one.label for profile in self._profiles.list() for one in profile.templates}
        made = []
        for iri, found in sorted(counts.items()):
            series = [(found.get((day, "conforms"), 0), found.get((day, "fails"), 0)) for day in days]
            conforming, failing = (sum(each[at] for each in series) for at in (0, 1))
            made.append(TemplateDays(iri, labels.get(iri, {}), series, conforming, failing))
        return sorted(made, key=lambda each: -each.failing)

    # --- statements before they are sent ------------------------------------------------------------

    def check(self, asked: PageRequest, source: str | None = None) -> Response:
        """The form in which statements are pasted."""
        found = self._source(asked, source)
        if found is None:
            return self._chosen(asked, "source_check")
        return self._check_page(asked, found)

    def checked(self, asked: PageRequest, source: str) -> Response:
        """The verdict on what was pasted, or on a file."""
        found = self._one(asked, source)
        pasted, file = asked.form.text("statements"), asked.form.file("file")
        version = asked.form.text("version") or OLDEST
        if version not in VERSIONS:
            version = VERSIONS[0]
        content = file or pasted.encode()
        shown: dict[str, Any] = {"pasted": pasted if len(pasted) <= MAX_ECHOED else "", "chosen_version": version}
        try:
            # As over HTTP, where the body would be refused before it is looked at.
            if len(content) > self._max_body_bytes:
                return self._check_page(asked, found, too_large=True, status=422, **shown)
            with self._turns.take(len(content)):
                report = self._checking.check(content, found, negotiate(version))
        except SillageError as refused:
            if refused.status >= 500:
                raise
            words = FaultWords(asked.language)
            return self._check_page(
                asked,
                found,
                refused=words.reason(refused.detail),
                title=refused.title_fr if asked.language == "fr" else refused.title,
                faults=[(each, words.reason(each.message), words.advice(each.rule)) for each in refused.faults],
                status=422,
                **shown,
            )
        return self._check_page(asked, found, report=report, judged=_judged(asked.language, report), **shown)

    def _check_page(self, asked: PageRequest, source: Source, *, status: int = 200, **content: Any) -> Response:
        empty = {
            "pasted": "",
            "chosen_version": OLDEST,
            "report": None,
            "judged": (),
            "refused": None,
            "title": "",
            "faults": (),
            "too_large": False,
        }
        return asked.render(
            "producer/check.html",
            "source_check",
            status=status,
            source=source,
            versions=VERSIONS,
            limit=self._max_body_bytes,
            **{**empty, **content},
        )

    # --- keys ---------------------------------------------------------------------------------------

    def keys(self, asked: PageRequest, source: str | None = None) -> Response:
        """The keys of the source."""
        found = self._source(asked, source)
        if found is None:
            return self._chosen(asked, "source_keys")
        return self._keys_page(asked, found)

    def changed_keys(self, asked: PageRequest, source: str) -> Response:
        """Make, replace, end or revoke a key."""
        found, form = self._one(asked, source), asked.form
        act, key, until = form.text("act"), form.text("key"), form.text("until")
        if act not in {"make", "rotate", "end", "revoke"}:
            return self._keys_page(asked, found, fault=N_("Choose what is to be done."), status=422)
        if act == "revoke" and form.text("sure") != "yes":
            return self._keys_page(
                asked, found, fault=N_("Say that you are sure: a revoked key never works again."), status=422
            )
        last: date | None = None
        try:
            last = given.day(until) if until else None
        except ValueError:
            return self._keys_page(asked, found, fault=N_("The last day is a date, as in 2027-08-31."), status=422)
        try:
            made = self._done(asked, found, act, key, last)
        except RegisterInvalid as refused:
            return self._keys_page(asked, found, fault=_known(refused.detail), status=422)
        if made is not None:
            return asked.render(
                "producer/made.html", "source_keys", source=found, made=made, act=act, endpoint=self._endpoint
            )
        return asked.see("source_keys_of", source=found.id)

    def _done(self, asked: PageRequest, source: Source, act: str, key: str, last: date | None) -> NewCredential | None:
        if act in {"make", "rotate"}:
            with asked.once() as first:
                if not first:
                    raise RegisterInvalid(MADE_ALREADY)
                if act == "make":
                    label = asked.form.text("label")
                    return self._sources.issue_another(source.id, label=label, until=last, actor=asked.actor)
                end = last or self._today() + timedelta(days=ROTATION_DAYS)
                return self._sources.rotate(key, source=source.id, until=end, actor=asked.actor)
        if act == "end":
            if last is None:
                raise RegisterInvalid(NO_DAY)
            self._sources.end(key, source=source.id, until=last, actor=asked.actor)
        else:
            self._sources.revoke_own(key, source=source.id, actor=asked.actor)
        return None

    def _keys_page(self, asked: PageRequest, source: Source, *, fault: str = "", status: int = 200) -> Response:
        keys = self._sources.keys(source.id)
        return asked.render(
            "producer/keys.html",
            "source_keys",
            status=status,
            source=source,
            keys=[(each, self._state(each), self._sources.last_day(each)) for each in keys],
            fault=fault,
            tomorrow=self._today() + timedelta(days=1),
            proposed=self._today() + timedelta(days=ROTATION_DAYS),
        )

    def _state(self, key: StoredCredential) -> str:
        if key.revoked is not None:
            return "revoked"
        return "good" if self._sources.good(key) else "ended"

    # --- what to send, and where --------------------------------------------------------------------

    def documentation(self, asked: PageRequest, source: str | None = None) -> Response:
        """The profiles that the source promises: templates, properties, an example of each that conforms."""
        found = self._source(asked, source)
        if found is None:
            return self._chosen(asked, "source_profiles")
        return asked.render(
            "producer/profiles.html",
            "source_profiles",
            source=found,
            profiles=[
                (profile, [_documented(template, example) for template, example in made])
                for profile, made in self._profiles.examples(found)
            ],
        )

    def connection(self, asked: PageRequest, source: str | None = None) -> Response:
        """The endpoint, the headers, and a command to paste."""
        found = self._source(asked, source)
        if found is None:
            return self._chosen(asked, "source_connection")
        sample = {
            "actor": {"account": {"homePage": "https://tool.example", "name": "f7c3a91be0d24c55"}},
            "verb": {"id": "http://adlnet.gov/expapi/verbs/experienced"},
            "object": {"id": "https://tool.example/activities/17"},
        }
        return asked.render(
            "producer/connection.html",
            "source_connection",
            source=found,
            endpoint=self._endpoint,
            check=f"{self._public_url}/api/v1/check",
            verdicts=f"{self._public_url}/api/v1/verdicts",
            sample=orjson.dumps(sample).decode(),
            secret_characters=SECRET_BYTES * 4 // 3 + 1,
        )

    @property
    def _endpoint(self) -> str:
        return f"{self._public_url}/xAPI/"

    # --- which source -------------------------------------------------------------------------------

    def _source(self, asked: PageRequest, source: str | None) -> Source | None:
        """The source that a page is about; None where there are several, and nobody has said which."""
        if source is None:
            own = _own(asked)
            if len(own) != 1:
                return None
            source = own[0]
        return self._one(asked, source)

    def _one(self, asked: PageRequest, source: str) -> Source:
        """One of the visitor's sources.

        Raises:
            OutsidePerimeter: it is none of theirs, or is registered no more.
        """
        bounds.note(asked.principal)
        if source in _own(asked):
            try:
                return self._access.source(source)
            except CredentialsRefused:
                pass
        own = ", ".join(_own(asked))
        raise OutsidePerimeter(f"This page is about another source than yours. Yours: {own}.", asked="source")

    def _chosen(self, asked: PageRequest, endpoint: str) -> Response:
        """The list of the visitor's sources, each leading to the page that was asked for."""
        sources = []
        for id in _own(asked):
            try:
                sources.append(self._access.source(id))
            except CredentialsRefused:
                continue
        return asked.render("producer/choose.html", endpoint, sources=sources, endpoint=f"{endpoint}_of")


NO_DAY: Final = "Give the last day."
MADE_ALREADY: Final = "This form was sent before."
_KNOWN: Final[Sequence[tuple[str, str]]] = (
    (NO_DAY, N_("Give the last day on which the key is good.")),
    ("A key cannot end before today", N_("A key cannot end before today.")),
    ("A key ends within", N_("The last day is too far: a key ends within ten years.")),
    (
        MADE_ALREADY,
        N_("This form was sent before, and its key was shown then. Revoke it if nobody kept it, and make another."),
    ),
    ("This key is revoked", N_("This key is revoked or has ended: make a new one.")),
    ("This source has no such key", N_("This source has no such key.")),
    ("This source is closed", N_("This source is closed, and gets no keys any more.")),
    ("A source has at most", N_("The source has as many keys as it may: revoke those that nothing uses any more.")),
)


def _known(detail: str) -> str:
    """The words of a refusal, for the catalogues."""
    return next((words for start, words in _KNOWN if detail.startswith(start)), N_("This cannot be done."))


def _own(asked: PageRequest) -> Sequence[str]:
    """Ids of the visitor's sources, whichever of their grants they are of."""
    return sorted({source for grant in asked.grants for source in grant.perimeter.sources or ()})


def _refused_share(week: Any) -> float | None:
    received = week.stored + week.repeated + week.refused
    return week.refused / received if received else None


def _worded(language: str, rule: str, message: str) -> tuple[Any, str]:
    words = FaultWords(language)
    return words.reason(message), words.advice(rule)


def _judged(language: str, report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    words = FaultWords(language)
    return [
        {
            **each,
            "faults": [
                {**fault, "reason": words.reason(fault["message"]), "advice": words.advice(fault["rule"])}
                for fault in each["faults"]
            ],
        }
        for each in report["judged"]
    ]


def _chart(language: str, report: SourceReport) -> Chart:
    _ = translations(language).gettext
    accepted, failing, refused = _("Accepted"), _("Accepted with a remark"), _("Refused")
    cells = []
    for each in report.days:
        day = f"{date.fromisoformat(each.day):%d/%m}"
        for name, value in (
            (accepted, each.stored - each.failing),
            (failing, each.failing),
            (refused, each.refused),
        ):
            cells.append(Cell(day, float(value), name))
    return Chart(
        id="arrivals",
        language=language,
        title=_("What came, day by day"),
        note=_(
            "Statements by outcome, in days of UTC; the last day is not over. A refused batch is stored in no part."
        ),
        form=Form.BARS,
        places=Axis("day", _("Day")),
        figures=Axis("statements", _("Statements")),
        kind=Kind.COUNT,
        series=Axis("outcome", _("Outcome")),
        cells=cells,
    )


def _documented(template: Template, example: Mapping[str, Any] | None) -> Documented:
    return Documented(
        template,
        [rule for rule in template.rules if rule.presence == "included" or (rule.presence is None)],
        [rule for rule in template.rules if rule.presence == "excluded"],
        [rule for rule in template.rules if rule.presence == "recommended"],
        None if example is None else orjson.dumps(example, option=orjson.OPT_INDENT_2).decode(),
    )
