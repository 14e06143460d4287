"""Routes are found as Flask finds them, whatever the Host says."""

from __future__ import annotations

import pytest
from flask import Flask, Response

from app.web.application import Application

HOSTS = [
    "lrs.example",
    "LRS.Example:8000",
    "127.0.0.1:80",
    "[::1]:8000",
    "a..b",
    "x" * 64 + ".example",
    "é.example",
    "",
]


def answer(kind: type[Flask], host: str, path: str, **fields: str) -> tuple[int, bytes, str | None]:
    app = kind("test", static_folder=None)

    @app.get("/names/<name>")
    def name(name: str) -> Response:
        return Response(name)

    @app.get("/folder/")
    def folder() -> Response:
        return Response("folder")

    told = app.test_client().get(path, base_url="http://x/", headers={"Host": host, **fields})
    return told.status_code, told.data, told.headers.get("Location")


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "path", ["/names/a", "/names/%C3%A9", "/names/%FF", "/folder", "/folder?a=%C3%A9", "/none", "//names/a"]
)
def test_routes_are_found_as_flask_finds_them(host: str, path: str) -> None:
    assert answer(Application, host, path) == answer(Flask, host, path)


def test_what_asks_for_another_protocol_is_told_what_flask_tells_it() -> None:
    asked = {"Connection": "upgrade", "Upgrade": "websocket"}
    assert answer(Application, "x", "/names/a", **asked) == answer(Flask, "x", "/names/a", **asked)
