"""Mail servers for tests: real ones, that take messages, refuse them, are slow or die midway."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
USER, PASSWORD = "sillage", "right-password"


class Certificate(NamedTuple):
    """A certificate for ``HOST``, and its key, in files."""

    certificate: Path
    key: Path

    @property
    def context(self) -> ssl.SSLContext:
        """TLS of a server that has it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def certificate(folder: Path, host: str = HOST) -> Certificate:
    """A certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    files = Certificate(folder / "certificate.pem", folder / "key.pem")
    files.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


class Mailbox:
    """The messages that a server took, and its answers.

    Attributes:
        taken: Messages, in the order in which they came; of each the addresses of its envelope, too.
        rcpt: Its answer to an address; None: it takes it.
        data: Its answer to a message; None: it takes it.
        dies: It ends the connection once it has the message, without an answer.
        waits: Seconds that it takes for a message.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[EmailMessage, list[str]]] = []
        self.connections = 0
        self.encrypted: list[bool] = []
        self.rcpt: str | None = None
        self.data: str | None = None
        self.dies = False
        self.waits = 0.0

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]) -> Any:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.rcpt is not None:
            return self.rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.waits:
            time.sleep(self.waits)
        if self.dies:
            server.transport.abort()
            return ""
        if self.data is not None:
            return self.data
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        self.taken.append((message, envelope.rcpt_tos))
        return "250 OK"


class Running(NamedTuple):
    """A server that runs: where, and its mailbox."""

    port: int
    box: Mailbox

    def settings(self, **more: str) -> dict[str, str]:
        """The settings of whoever sends by it."""
        return {
            "SILLAGE_SMTP_HOST": HOST,
            "SILLAGE_SMTP_PORT": str(self.port),
            "SILLAGE_SMTP_TLS": "none",
            "SILLAGE_SMTP_SENDER": "traces@sillage.example",
            "SILLAGE_SMTP_TIMEOUT_SECONDS": "20",
            **more,
        }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as tried:
        tried.bind((HOST, 0))
        return int(tried.getsockname()[1])


@contextmanager
def mail_server(
    tls: Certificate | None = None, *, at_once: bool = False, auth: bool = False, ascii_only: bool = False
) -> Iterator[Running]:
    """A mail server: in clear, with STARTTLS that it insists on, or encrypted from the beginning (``at_once``).

    ``ascii_only``: it does not offer SMTPUTF8 (RFC 6531).
    """
    box = Mailbox()

    def check(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        right = isinstance(given, LoginPassword) and (given.login, given.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        return AuthResult(success=right, handled=False)

    options: dict[str, Any] = {"auth_require_tls": False, "enable_SMTPUTF8": not ascii_only}
    if auth:
        options |= {"authenticator": check, "auth_required": True}
    if tls is not None and not at_once:
        options |= {"tls_context": tls.context, "require_starttls": True}
    controller = Controller(
        box,
        hostname=HOST,
        port=free_port(),
        ssl_context=tls.context if tls is not None and at_once else None,
        **options,
    )
    controller.start()
    try:
        yield Running(controller.port, box)
    finally:
        controller.stop()


@contextmanager
def trickling(every: float = 0.4) -> Iterator[int]:
    """A server that sends a byte now and then, for ever: the port."""
    stop = threading.Event()
    with socket.create_server((HOST, 0)) as listening:
        listening.settimeout(0.1)

        def serve() -> None:
            while not stop.is_set():
                with suppress(TimeoutError):
                    client, _ = listening.accept()
                    with client, suppress(OSError):
                        while not stop.wait(every):
                            client.sendall(b"2")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            stop.set()
            thread.join()
