"""``sillage mail``: says if e-mail works, and what waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from click.testing import CliRunner

from app.commands.mail import mail
from app.core.errors import MailFailed, MailMissing
from app.settings import Settings, load
from app.wiring.container import Container
from tests.mail.servers import Running, mail_server
from tests.stores import initialised

TO = "ana@school.example"


@pytest.fixture
def server() -> Iterator[Running]:
    with mail_server() as running:
        yield running


@pytest.fixture
def container(settings: Settings, database_name: str, server: Running) -> Iterator[Container]:
    given = load(server.settings())
    smtp = {name: getattr(given, name) for name in ("smtp_host", "smtp_port", "smtp_tls", "smtp_sender")}
    with initialised(replace(settings, **smtp), database_name) as made:
        yield made


def run(container: Container, *arguments: str) -> str:
    done = CliRunner().invoke(mail, arguments, obj=container, env={"COLUMNS": "300", "LC_ALL": "C"})
    if done.exception is not None:
        raise done.exception
    return done.output


def test_it_says_that_the_server_took_it(container: Container, server: Running) -> None:
    assert "took the message" in run(container, "test", TO)
    assert server.box.taken[0][0]["Content-Language"] == "fr"
    run(container, "test", TO, "--language", "en")
    assert server.box.taken[1][0]["Content-Language"] == "en"


def test_it_says_why_it_did_not(container: Container, server: Running) -> None:
    server.box.rcpt = f"550 {TO} unknown"
    with pytest.raises(MailFailed) as failed:
        run(container, "test", TO)
    assert "550" in failed.value.detail and TO not in failed.value.detail


def test_without_a_server_it_says_so(settings: Settings, database_name: str) -> None:
    with initialised(settings, database_name) as bare:
        with pytest.raises(MailMissing):
            run(bare, "test", TO)
        assert "No mail server is set up" in run(bare, "list")


def test_what_waits_is_listed_without_whom_it_is_for(container: Container, server: Running) -> None:
    container.mail.mail.send(TO, "trial", "fr", {})
    said = run(container, "list")
    assert "waiting" in said and "trial" in said and "ana" not in said
    server.box.rcpt = "550 no"
    (job,) = (each for each in container.jobs if each.name == "mail")
    with container.platform.leadership.require() as lease:
        assert job.run(lease) == {"sent": 0, "later": 0, "given_up": 1, "removed": 0}
    assert "recipient-refused 550" in run(container, "list")
    entries = container.platform.store.collection("audit").find({"kind": "mail-given-up"})
    assert [entry["actor"] for entry in entries] == ["job:mail"]
