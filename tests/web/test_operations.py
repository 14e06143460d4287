"""Health, readiness and metrics of one process."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from app.core.errors import DatabaseUnavailable, ScopeMissing
from app.web import logs, operations


def refuse() -> None:
    raise DatabaseUnavailable("MongoDB has no primary now.")


def broken() -> None:
    raise KeyError("Zoé Durand")


def deny() -> None:
    raise ScopeMissing("metrics/read")


def client(*, trust_host: bool = True, **checks: object) -> FlaskClient:
    app = Flask("test")
    metrics = operations.Metrics("1.2.3")
    logs.install(app, metrics.answered, quiet=operations.ENDPOINTS)
    app.register_blueprint(operations.blueprint(metrics, checks, deny, trust_host=trust_host))  # type: ignore[arg-type]
    app.register_error_handler(ScopeMissing, lambda error: ("", error.status))
    return app.test_client()


def test_alive_even_when_nothing_else_works() -> None:
    assert client(mongodb=refuse).get("/healthz").json == {"alive": True}


def test_ready_when_every_check_passes() -> None:
    answer = client(mongodb=lambda: None).get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"ready": True})


def test_not_ready_gives_every_reason_and_no_foreign_message() -> None:
    answer = client(mongodb=refuse, keys=lambda: None, migrations=broken).get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json is not None
    assert answer.json["reasons"] == [
        {"check": "mongodb", "code": "database-unavailable", "detail": "MongoDB has no primary now."},
        {"check": "migrations", "code": "error", "detail": "The log says more."},
    ]
    assert "Zo" not in answer.get_data(as_text=True)


def test_metrics_count_routes_not_paths() -> None:
    web = client()
    web.get("/healthz")
    web.get("/nobody/zoe.durand")
    web.open("/healthz", method="ZOE")
    text = web.get("/metrics").get_data(as_text=True)
    assert 'sillage_http_requests_total{method="GET",route="/healthz",status="200"} 1.0' in text
    assert 'route="unmatched",status="404"' in text
    assert 'method="other"' in text
    assert 'sillage_info{version="1.2.3"} 1.0' in text
    assert "zoe" not in text.lower()


def test_who_may_read_metrics() -> None:
    assert client().get("/metrics").status_code == 200
    assert client().get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 403
    assert client().get("/metrics", environ_base={"REMOTE_ADDR": "::1"}).status_code == 200
    assert client().get("/metrics", headers={"Forwarded": "for=192.0.2.7"}).status_code == 403
    assert client(trust_host=False).get("/metrics").status_code == 403


def test_request_ids() -> None:
    web = client()
    assert web.get("/healthz", headers={"X-Request-ID": "abc-12345"}).headers["X-Request-ID"] == "abc-12345"
    for odd in ("short", "zoe@example.org", "a" * 65, "a b c d e f g"):
        fresh = web.get("/healthz", headers={"X-Request-ID": odd}).headers["X-Request-ID"]
        assert len(fresh) == 32 and fresh != odd


def test_a_check_that_passed_is_not_made_again_for_a_while() -> None:
    made: list[str] = []
    failing = False
    now = [0.0]

    def check() -> None:
        made.append("")
        if failing:
            refuse()

    web = client(migrations=operations.remembered(check, 5.0, lambda: now[0]))
    for now[0] in (0.0, 1.0, 4.9):
        assert web.get("/readyz").status_code == 200
    assert len(made) == 1
    failing = True
    for now[0] in (5.0, 5.1):
        assert web.get("/readyz").status_code == 503
    assert len(made) == 3  # a failure is never taken to hold
    failing = False
    assert web.get("/readyz").status_code == 200
