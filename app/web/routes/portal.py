"""Routes of pages for people."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from app.core import clock
from app.operations.measures import Measures
from app.settings import split_purposes
from app.web.gate import Gate
from app.web.mounting import Mounted
from app.web.portal import public
from app.web.portal.account import AccountPages
from app.web.portal.assets import Assets
from app.web.portal.door import Door
from app.web.portal.explorer.pages import ExplorerPages
from app.web.portal.family import FamilyPages
from app.web.portal.frame import Frame, Installation
from app.web.portal.operator import OperatorPages
from app.web.portal.operator_record import OperatorRecord
from app.web.portal.producer import ProducerPages
from app.web.portal.public_record import PublicRecord
from app.web.portal.schools import SchoolPages
from app.web.portal.sign_in import SignInPages
from app.web.portal.signed_pages import SignedPages
from app.web.portal.users import UserPages
from app.web.portal.visitors import Visitors
from app.web.routes import dpo_pages
from app.web.routes.web import checks
from app.web.wiring import Needs


def routes(container: Needs, _: Gate) -> Sequence[Mounted]:
    """The blueprint; none where the operator wants no pages."""
    settings, platform = container.settings, container.platform
    if not settings.portal:
        return ()
    record = PublicRecord(
        register=container.governance.register,
        statements=container.traces.statements,
        aggregates=container.research.aggregates,
        profiles=container.traces.profiles,
        sources=container.access.sources_repository,
        measures=Measures(platform.store),
        zone=platform.zone,
    )
    frame = Frame(
        Installation.of(settings), platform.today, platform.zone, urlsplit(settings.public_url).path.rstrip("/")
    )
    blueprint = public.blueprint(frame, record, Assets())
    sessions = container.access.sessions
    visitors = Visitors(sessions, container.keys.organisation, platform.presence)
    pages = SignedPages(blueprint, frame, visitors, sessions, split_purposes(settings.purposes))
    OperatorPages(
        OperatorRecord(container, checks(container)),
        container.operations.sources,
        container.retention.contracts,
        container.governance.register,
        container.traces.profiles,
        settings.public_url,
    ).add_to(pages)
    ProducerPages(
        access=container.access.credentials,
        sources=container.operations.sources,
        arrivals=container.traces.arrivals,
        profiles=container.traces.profiles,
        checking=container.traces.checking,
        turns=container.traces.turns,
        max_body_bytes=settings.max_body_bytes,
        public_url=settings.public_url,
        today=platform.today,
    ).add_to(pages)
    publisher = settings.publisher or settings.service_name or settings.organisation
    ExplorerPages(container.research.readings, platform.zone, publisher, settings.public_url).add_to(pages)
    access = container.access
    AccountPages(sessions, visitors, access.local_sign_in, access.provider_sign_in, frame, settings.public_url).add_to(
        pages
    )
    UserPages(
        access.users,
        sessions,
        access.local_sign_in,
        access.invitations,
        access.provider_sign_in,
        container.governance.register,
        access.sources_repository.list,
        container.operations.sources,
        today=platform.today,
        now=clock.now,
        zone=platform.zone,
    ).add_to(pages)
    door = Door(container.keys.organisation, settings.proxies, behind_tls=settings.behind_tls)
    SignInPages(
        frame, visitors, sessions, access.local_sign_in, access.invitations, access.provider_sign_in, door
    ).add_to(blueprint)
    FamilyPages(container.people.links, container.people.family, container.web.exports).add_to(pages)
    research = container.research
    SchoolPages(
        container.schools.directory,
        research.school_figures,
        record,
        container.access.sources_repository,
        platform.today,
    ).add_to(pages)
    dpo_pages.add(container, pages)
    return (Mounted(blueprint, ""),)
