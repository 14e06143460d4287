"""No route is without a case of what it may cost, and the page says what the bounds are."""

from __future__ import annotations

from app.wiring.web_application import create_app
from tests.costs import bounds, cases
from tests.places import ROOT
from tests.served import Server

PAGE = ROOT / "docs" / "performance.md"


def test_no_route_is_without_a_case(server: Server) -> None:
    app = create_app(server.settings)
    try:
        served = {
            (method, rule.rule) for rule in app.url_map.iter_rules() for method in (rule.methods or set()) - {"OPTIONS"}
        }
        address = app.url_map.bind("x")
        tried = {
            (each.method, address.match(each.path.partition("?")[0], each.method, return_rule=True)[0].rule)
            for each in cases.every()
        }
    finally:
        app.extensions["sillage"].close()
    assert served - tried == set()


def test_the_page_has_the_bounds() -> None:
    page = PAGE.read_text()
    assert "\n".join(bounds.lines()) in page
    assert f"{bounds.MAX_MEMORY:g} MiB" in page
