"""The list of features. Whoever adds one adds its line here, and touches nothing else of the wiring."""

from __future__ import annotations

from app.access.wiring import AccessServices
from app.commands import (
    accounts,
    backup,
    contracts,
    erasure,
    jobs,
    mail,
    minors,
    nomenclature,
    person,
    person_access,
    profile,
    requests,
    restriction,
    simulate,
    sources,
    users,
)
from app.commands import governance as governance_commands
from app.commands import keys as key_commands
from app.commands import research as research_commands
from app.governance.wiring import GovernanceServices
from app.keys.wiring import KeyServices
from app.mail.wiring import MailServices
from app.operations.wiring import OperationServices
from app.people.wiring import PeopleServices
from app.platform.wiring import PlatformServices
from app.research.wiring import ResearchServices
from app.retention.wiring import RetentionServices
from app.schools.wiring import SchoolServices
from app.traces.wiring import TraceServices
from app.web.routes import people as people_routes
from app.web.routes import portal as portal_routes
from app.web.routes import research as research_routes
from app.web.routes import retention as retention_routes
from app.web.routes import traces as trace_routes
from app.web.routes import web as web_routes
from app.web.wiring import WebServices
from app.wiring.feature import Feature


class Features:
    """Every feature, in the order in which it is built: each from those above it, and what its ``Needs`` names."""

    platform: Feature[PlatformServices] = Feature(PlatformServices, commands=jobs.COMMANDS)
    keys: Feature[KeyServices] = Feature(KeyServices, commands=key_commands.COMMANDS)
    governance: Feature[GovernanceServices] = Feature(
        GovernanceServices,
        commands=governance_commands.COMMANDS,
    )
    mail: Feature[MailServices] = Feature(MailServices, commands=mail.COMMANDS)
    schools: Feature[SchoolServices] = Feature(SchoolServices, commands=nomenclature.COMMANDS)
    access: Feature[AccessServices] = Feature(AccessServices, commands=(*sources.COMMANDS, *users.COMMANDS))
    traces: Feature[TraceServices] = Feature(
        TraceServices,
        routes=trace_routes.routes,
        commands=(*profile.COMMANDS, *simulate.COMMANDS),
    )
    research: Feature[ResearchServices] = Feature(
        ResearchServices,
        routes=research_routes.routes,
        commands=research_commands.COMMANDS,
    )
    people: Feature[PeopleServices] = Feature(
        PeopleServices,
        routes=people_routes.routes,
        commands=(
            *person.COMMANDS,
            *person_access.COMMANDS,
            *erasure.COMMANDS,
            *restriction.COMMANDS,
            *requests.COMMANDS,
        ),
    )
    retention: Feature[RetentionServices] = Feature(
        RetentionServices,
        routes=retention_routes.routes,
        commands=(*contracts.COMMANDS, *accounts.COMMANDS),
    )
    operations: Feature[OperationServices] = Feature(
        OperationServices,
        commands=(*minors.COMMANDS, *backup.COMMANDS),
    )
    web: Feature[WebServices] = Feature(
        WebServices,
        routes=lambda container, gate: (*web_routes.routes(container, gate), *portal_routes.routes(container, gate)),
    )
