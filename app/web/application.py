"""The Flask application, without what this service has no use for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from werkzeug.routing import MapAdapter
from werkzeug.wsgi import get_host

# A Host whose labels are ASCII and not too long for names (RFC 1035 2.3.4).
_PLAIN_HOST = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){0,20}[A-Za-z0-9-]{1,63}(?::[0-9]{1,5})?")


class Application(Flask):
    """Flask, all of whose functions are plain ones, and whose routes are the same for every host."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself; Flask would look, for each hook of each request, whether it is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """The finder of routes for a request; Flask's, where its Host is not plain or it asks for another protocol."""
        environ = {} if request is None else request.environ
        host = "" if request is None else get_host(environ)
        if request is None or "HTTP_UPGRADE" in environ or not _PLAIN_HOST.fullmatch(host):
            return super().create_url_adapter(request)
        request.host = host
        return MapAdapter(
            self.url_map,
            host.lower(),
            environ.get("SCRIPT_NAME", ""),
            "",
            environ["wsgi.url_scheme"],
            environ["PATH_INFO"].encode("latin-1").decode(errors="replace"),
            environ["REQUEST_METHOD"],
            environ.get("QUERY_STRING", ""),
        )
