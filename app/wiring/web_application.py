"""The web application: the services over HTTP, and what every request goes through."""

from __future__ import annotations

import os
from functools import partial

from flask import Flask

from app.access.authenticators import Authenticators
from app.access.basic import Basic
from app.settings import Settings, load, split_origins, split_purposes
from app.web import body, bounds, caching, compression, cors, logs, operations, paths, problem_details
from app.web.application import Application
from app.web.cross_site import CrossSite
from app.web.gate import AUTHENTICATORS, Gate
from app.web.mounting import API, XAPI
from app.web.portal import public
from app.web.purpose import Purposes
from app.web.refusal import EXTENSION, Refusal
from app.web.xapi import about, alternate, headers
from app.wiring.container import Container
from app.wiring.feature import features_of


def create_app(settings: Settings | None = None, kind: type[Container] = Container) -> Flask:
    """The WSGI application of one worker process, its container started.

    Args:
        settings: Those of the environment, if none are given.
        kind: The container, with the list of features.

    Raises:
        SillageError: settings, keys or database do not allow to serve; the detail says what to do.
    """
    chosen = load(os.environ) if settings is None else settings
    container = kind(chosen)
    container.lifecycle.start()
    app = Application("sillage", static_folder=None)
    # A redirection would be to the address that this server sees, which behind a proxy is neither the name nor TLS.
    # ``paths`` takes slashes together instead, under the prefix of xAPI.
    app.url_map.merge_slashes = False
    app.extensions["sillage"] = container
    # What a client may send at all; each resource has its own, lower or equal, limit.
    app.config["MAX_FORM_MEMORY_SIZE"] = 0
    app.json.sort_keys = False  # type: ignore[attr-defined] # the default provider has it
    metrics, statement_queries = container.web.metrics, container.traces.statement_queries
    logs.install(app, metrics.answered, quiet=operations.ENDPOINTS)
    authenticators = Authenticators((Basic(container.access.credentials),))
    app.extensions[AUTHENTICATORS] = authenticators
    rendering = problem_details.Rendering(XAPI)
    answered = problem_details.install(app, rendering, authenticators.challenges)
    bounds.install(app, container.governance.sink, answered)
    compression.install(app)
    caching.install(app, {about.ENDPOINT, *public.ENDPOINTS}, public.LASTING)
    body.install(app)
    alternate.install(app, prefix=XAPI, max_body_bytes=chosen.max_body_bytes)
    # The outermost: whatever looks at a path after it, forms included, sees the one that is meant.
    paths.install(app, prefix=XAPI)
    origins, prefixes = split_origins(chosen.cors_origins), (XAPI, API)
    cors.install(app, origins, prefixes)
    app.extensions[operations.EXTENSION] = metrics
    app.extensions[EXTENSION] = Refusal(
        headers.headers_outside(XAPI, chosen.default_version, statement_queries.consistent_through),
        cors.headers_outside(origins, prefixes),
        rendering=rendering,
        count=metrics.shed,
        meant=partial(paths.meant_by, prefix=XAPI),
    )
    purposes = Purposes(
        split_purposes(chosen.purposes),
        required=chosen.purpose_required,
        activity=lambda source: container.access.credentials.source(source).activity,
    )
    gate = Gate(authenticators, container.platform.presence, purposes, CrossSite(origins))
    headers.install(app, XAPI, chosen.default_version, statement_queries.consistent_through)
    for feature in features_of(kind):
        for mounted in feature.routes(container, gate):
            app.register_blueprint(mounted.blueprint, url_prefix=mounted.prefix or None)
    return app
