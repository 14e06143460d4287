"""Notices of requests that are due: counts alone, once a day, to the addresses of a setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta

import pytest
from structlog.testing import capture_logs

from app.settings import Settings, load
from app.wiring.container import Container
from tests.mail.servers import Running, mail_server
from tests.people.people import person
from tests.stores import initialised

BY = "cli:request open"


@pytest.fixture
def server() -> Iterator[Running]:
    with mail_server() as running:
        yield running


@pytest.fixture
def container(settings: Settings, database_name: str, server: Running) -> Iterator[Container]:
    given = load(server.settings(SILLAGE_DPO_ADDRESSES="dpo@school.example, dpo2@school.example"))
    names = ("smtp_host", "smtp_port", "smtp_tls", "smtp_sender", "dpo_addresses")
    with initialised(replace(settings, **{name: getattr(given, name) for name in names}), database_name) as made:
        yield made


def job(container: Container, name: str) -> Mapping[str, object]:
    (found,) = (each for each in container.jobs if each.name == name)
    with container.platform.leadership.require() as lease:
        return found.run(lease)


def opened(container: Container, name: str, days: int) -> None:
    received: date = container.platform.today() - timedelta(days=days)
    container.people.requests.open("access", person(name), received=received, note="by letter", actor=BY)


def test_each_address_is_told_once_a_day_how_many_are_due(container: Container, server: Running) -> None:
    opened(container, "ana", 60)
    opened(container, "bo", 27)
    opened(container, "cem", 1)
    assert job(container, "requests")["told"] == 2
    assert job(container, "requests")["told"] == 0
    assert job(container, "mail")["sent"] == 2
    assert job(container, "requests")["told"] == 0
    assert {to for _, (to,) in server.box.taken} == {"dpo@school.example", "dpo2@school.example"}
    for message, _ in server.box.taken:
        assert message["Subject"] == "Demandes d’exercice de droits\u00a0: 1 en retard, 1 à échéance proche"
        text = message.get_body(("plain",)).get_content()
        assert "ana" not in text and "access" not in text and "r-" not in text


def test_nobody_is_told_of_nothing(container: Container) -> None:
    opened(container, "ana", 1)
    assert job(container, "requests")["told"] == 0


def test_an_address_that_is_none_does_not_keep_others_from_being_told(container: Container) -> None:
    opened(container, "ana", 60)
    # Not by the settings, which refuse it.
    odd = Container(replace(container.settings, dpo_addresses="dpo@académie.example, dpo2@school.example"))
    try:
        with capture_logs() as logs:
            assert job(odd, "requests")["told"] == 1
    finally:
        odd.close()
    assert [each["error"] for each in logs if "not told" in each["event"]] == ["bad-request"]
    assert "académie" not in repr(logs)


def test_without_a_mail_server_the_job_goes_on(container: Container) -> None:
    opened(container, "ana", 60)
    bare = Container(replace(container.settings, smtp_host="", smtp_sender=""))
    try:
        assert job(bare, "requests")["told"] == 0
    finally:
        bare.close()
