"""Sending by SMTP: what a server may do, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from app.mail.transport import Attempt, Outcome, Transport
from app.settings import Settings, load
from tests.mail.servers import HOST, PASSWORD, USER, Certificate, certificate, free_port, mail_server, trickling

TO = "ana@school.example"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("tls"))


def message() -> EmailMessage:
    written = EmailMessage()
    written["From"], written["To"], written["Subject"] = "traces@sillage.example", TO, "Trial"
    written.set_content("Texte à lire.\n")
    return written


def sent(settings: Settings, times: int = 1) -> list[Attempt]:
    with Transport(settings) as transport:
        return [transport.send(message(), TO) for _ in range(times)]


def password(folder: Path, text: str = PASSWORD, mode: int = 0o600) -> dict[str, str]:
    file = folder / "password"
    file.write_text(f"{text}\n")
    file.chmod(mode)
    return {"SILLAGE_SMTP_USER": USER, "SILLAGE_SMTP_PASSWORD_FILE": str(file)}


def test_messages_go_over_one_connection() -> None:
    with mail_server() as server:
        assert sent(load(server.settings()), 3) == [Attempt(Outcome.SENT, 250)] * 3
        assert server.box.connections == 1
        assert [to for _, to in server.box.taken] == [[TO]] * 3
        assert server.box.taken[0][0].get_content() == "Texte à lire.\r\n"


def test_starttls_with_an_account(tls: Certificate, tmp_path: Path) -> None:
    more = {"SILLAGE_SMTP_TLS": "starttls", "SILLAGE_SMTP_CA_FILE": str(tls.certificate)}
    with mail_server(tls, auth=True) as server:
        assert sent(load(server.settings(**more, **password(tmp_path))))[0].outcome is Outcome.SENT
        assert server.box.encrypted == [True]
        wrong = sent(load(server.settings(**more, **password(tmp_path, "wrong"))))
        assert wrong == [Attempt(Outcome.CREDENTIALS, 535)]
        readable = sent(load(server.settings(**more, **password(tmp_path, mode=0o644))))
        assert readable == [Attempt(Outcome.CREDENTIALS)]


def test_tls_from_the_beginning(tls: Certificate) -> None:
    more = {"SILLAGE_SMTP_TLS": "tls", "SILLAGE_SMTP_CA_FILE": str(tls.certificate)}
    with mail_server(tls, at_once=True) as server:
        assert sent(load(server.settings(**more)))[0].outcome is Outcome.SENT
        assert server.box.encrypted == [True]


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_is_refused(tls: Certificate, mode: str) -> None:
    with mail_server(tls, at_once=mode == "tls") as server:
        assert sent(load(server.settings(SILLAGE_SMTP_TLS=mode))) == [Attempt(Outcome.TLS)]
        assert not server.box.taken


def test_a_certificate_of_another_host_is_refused(tmp_path: Path) -> None:
    other = certificate(tmp_path, "127.0.0.2")
    with mail_server(other) as server:
        settings = server.settings(SILLAGE_SMTP_TLS="starttls", SILLAGE_SMTP_CA_FILE=str(other.certificate))
        assert sent(load(settings)) == [Attempt(Outcome.TLS)]


def test_nothing_is_sent_in_clear_where_starttls_is_wanted_and_not_offered(tmp_path: Path) -> None:
    with mail_server() as server:
        settings = load(server.settings(SILLAGE_SMTP_TLS="starttls", **password(tmp_path)))
        assert sent(settings) == [Attempt(Outcome.TLS)]
        assert not server.box.taken


@pytest.mark.parametrize(
    ("rcpt", "data", "attempt"),
    [
        ("550 no such mailbox: ana@school.example", None, Attempt(Outcome.RECIPIENT, 550)),
        ("450 come back", None, Attempt(Outcome.DEFERRED, 450)),
        (None, "554 no", Attempt(Outcome.CONTENT, 554)),
        (None, "451 later", Attempt(Outcome.DEFERRED, 451)),
    ],
)
def test_a_message_that_is_refused_does_not_end_the_connection(
    rcpt: str | None, data: str | None, attempt: Attempt
) -> None:
    with mail_server() as server:
        server.box.rcpt, server.box.data = rcpt, data
        with Transport(load(server.settings())) as transport:
            assert transport.send(message(), TO) == attempt
            server.box.rcpt = server.box.data = None
            assert transport.send(message(), TO).outcome is Outcome.SENT
        assert server.box.connections == 1


def test_a_sender_that_the_server_cannot_take_is_no_fault_of_the_recipient() -> None:
    with mail_server(ascii_only=True) as server:
        # Not by the settings, which refuse it.
        settings = replace(load(server.settings()), smtp_sender="traces@académie.example")
        (attempt,) = sent(settings)
        assert attempt == Attempt(Outcome.REFUSED) and not attempt.outcome.final


def test_a_server_that_leaves_is_told_and_asked_again() -> None:
    with mail_server() as server:
        server.box.rcpt = "421 closing"
        with Transport(load(server.settings())) as transport:
            assert transport.send(message(), TO) == Attempt(Outcome.REFUSED, 421)
            server.box.rcpt = None
            assert transport.send(message(), TO).outcome is Outcome.SENT
        assert server.box.connections == 2


def test_a_server_that_dies_midway_is_told_and_asked_again() -> None:
    with mail_server() as server:
        server.box.dies = True
        with Transport(load(server.settings())) as transport:
            assert transport.send(message(), TO) == Attempt(Outcome.CUT_OFF)
            server.box.dies = False
            assert transport.send(message(), TO).outcome is Outcome.SENT


def test_nobody_listens() -> None:
    settings = {
        "SILLAGE_SMTP_HOST": HOST,
        "SILLAGE_SMTP_PORT": str(free_port()),
        "SILLAGE_SMTP_TLS": "none",
        "SILLAGE_SMTP_SENDER": "a@b.example",
    }
    assert sent(load(settings)) == [Attempt(Outcome.UNREACHABLE)]


@pytest.fixture
def slow() -> Iterator[dict[str, str]]:
    yield {"SILLAGE_SMTP_TIMEOUT_SECONDS": "1"}


def test_a_server_that_takes_too_long_is_told(slow: dict[str, str]) -> None:
    with mail_server() as server:
        server.box.waits = 3.0
        assert sent(load(server.settings(**slow))) == [Attempt(Outcome.SLOW)]


@pytest.mark.parametrize("mode", ["none", "tls"])
def test_a_server_that_sends_a_byte_now_and_then_is_cut_off(slow: dict[str, str], mode: str) -> None:
    with trickling() as port:
        settings = {
            "SILLAGE_SMTP_HOST": HOST,
            "SILLAGE_SMTP_PORT": str(port),
            "SILLAGE_SMTP_TLS": mode,
            "SILLAGE_SMTP_SENDER": "a@b.example",
        }
        assert sent(load({**settings, **slow})) == [Attempt(Outcome.SLOW)]
