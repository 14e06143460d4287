"""Pages of the data protection officer, each with the services that it shows."""

from __future__ import annotations

from app.core import clock
from app.web.portal.dpo.audit import AuditPages
from app.web.portal.dpo.desk import Desk
from app.web.portal.dpo.recipients import RecipientPages
from app.web.portal.dpo.register import RegisterPages
from app.web.portal.dpo.requests import RequestPages
from app.web.portal.dpo.retention import RetentionPages
from app.web.portal.dpo.today import TodayPages
from app.web.portal.signed_pages import SignedPages
from app.web.portal.unbounded import UnboundedPages
from app.web.wiring import Needs


def add(container: Needs, signed: SignedPages) -> None:
    """Register them."""
    access, governance, people, platform = container.access, container.governance, container.people, container.platform
    operations, retention = container.operations, container.retention
    sources = access.sources_repository
    pages = UnboundedPages(signed)
    desk = Desk(people.requests, access.users, people.recipients.labels)
    TodayPages(desk, operations.agenda).add_to(pages)
    RequestPages(desk, people.requests, people.request_acts, container.web.exports, platform.today).add_to(pages)
    RegisterPages(desk, governance.register, retention.service, retention.contracts, retention.certificates).add_to(
        pages
    )
    RetentionPages(
        desk,
        retention=retention.service,
        register=governance.register,
        sources=sources,
        audit=governance.audit,
        deletions=retention.deletions,
        certificates=retention.certificates,
        zone=platform.zone,
    ).add_to(pages)
    AuditPages(
        desk,
        people.audit_search,
        governance.audit.spools.behind,
        platform.today,
        platform.zone,
    ).add_to(pages)
    RecipientPages(
        desk,
        disclosures=people.disclosures,
        search=people.audit_search,
        register=governance.register,
        sources=sources,
        figures=operations.figures,
        now=clock.now,
        zone=platform.zone,
    ).add_to(pages)
