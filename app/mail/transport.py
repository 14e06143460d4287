"""The connection to the mail server (SMTP, RFC 5321), and the outcome of each message.

Nothing that the server answers is repeated but its reply code: what it writes may quote an address.
"""

from __future__ import annotations

import ipaddress
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from app.core.errors import SettingsInvalid
from app.settings import Settings, env_name, read_secret

_PERMANENT = 500
_CLOSING = 421


class Outcome(StrEnum):
    """Outcome of an attempt to send a message."""

    SENT = "sent"
    UNREACHABLE = "unreachable"
    """No connection to the server."""
    TLS = "tls"
    """No encrypted connection: not offered, or a certificate that is not valid."""
    CREDENTIALS = "credentials"
    """The server does not take the account, or its password cannot be read."""
    SLOW = "slow"
    """The server did not answer in time."""
    CUT_OFF = "cut-off"
    """The server ended the connection amid a message."""
    REFUSED = "refused"
    """The server refuses whatever comes from here now."""
    DEFERRED = "deferred"
    """The server does not take this message now."""
    RECIPIENT = "recipient-refused"
    """The server will not take a message for this address."""
    CONTENT = "content-refused"
    """The server will not take this message."""

    @property
    def final(self) -> bool:
        """True if trying again does not help."""
        return self in {Outcome.RECIPIENT, Outcome.CONTENT}

    @property
    def of_server(self) -> bool:
        """True if other messages would end the same way now."""
        return not self.final and self not in {Outcome.SENT, Outcome.DEFERRED}


class Attempt(NamedTuple):
    """An attempt to send a message: its outcome, and the reply code of the server, if there was one."""

    outcome: Outcome
    reply: int | None = None


class Transport:
    """Sends messages over one connection, made when the first one is sent. Not to be shared between threads."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is connected yet; the settings name a mail server."""
        self._settings = settings
        self._client: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take leave of the server."""
        self.close()

    def send(self, message: EmailMessage, recipient: str) -> Attempt:
        """Send a message to one address."""
        try:
            with self._bounded() as bound:
                try:
                    return self._send(message, recipient, bound)
                except OSError as failed:
                    return _told(failed, bound.passed)
        finally:
            if self._client is not None and self._client.sock is None:
                self._client = None

    def close(self) -> None:
        """Take leave of the server, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError), self._bounded() as bound:
                bound.clients.append(client)
                client.quit()
            client.close()

    def _send(self, message: EmailMessage, recipient: str, bound: _Bound) -> Attempt:
        if self._client is None:
            # The password first: nothing is asked of the server without it.
            password = self._password()
            if password is None:
                return Attempt(Outcome.CREDENTIALS)
            try:
                self._client = self._connected(password, bound)
            except smtplib.SMTPAuthenticationError as refused:
                bound.end()
                return Attempt(Outcome.CREDENTIALS, refused.smtp_code)
            except smtplib.SMTPNotSupportedError:
                bound.end()
                return Attempt(Outcome.CREDENTIALS if bound.secured else Outcome.TLS)
            except BaseException:
                bound.end()
                raise
        bound.clients.append(self._client)
        try:
            self._client.send_message(message, self._settings.smtp_sender, [recipient])
        except smtplib.SMTPException as failed:
            attempt = _told(failed, bound.passed)
            if attempt.outcome.of_server:
                self._client.close()
            return attempt
        except OSError:
            self._client.close()
            raise
        return Attempt(Outcome.SENT, 250)

    def _connected(self, password: str, bound: _Bound) -> smtplib.SMTP:
        settings = self._settings
        host, port, name = settings.smtp_host.strip("[]"), settings.mail_port, _own_name(settings.public_url)
        seconds = settings.smtp_timeout_seconds
        client: smtplib.SMTP
        if settings.smtp_tls == "tls":
            client = _Encrypted(bound, host, port, name, timeout=seconds, context=self._context())
        else:
            client = _Clear(bound, host, port, name, timeout=seconds)
            if settings.smtp_tls == "starttls":
                # Where it is not offered, or refused, this raises: nothing goes on in clear.
                client.starttls(context=self._context())
        bound.secured = True
        if settings.smtp_user:
            client.login(settings.smtp_user, password)
        return client

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._settings.smtp_ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _password(self) -> str | None:
        """The password of the account; empty without an account, None if its file cannot be read."""
        path = self._settings.smtp_password_file
        if path is None:
            return ""
        try:
            return read_secret(Path(path), env_name("smtp_password_file"))
        except SettingsInvalid:
            return None

    @contextmanager
    def _bounded(self) -> Iterator[_Bound]:
        bound = _Bound(self._settings.smtp_timeout_seconds)
        try:
            yield bound
        finally:
            bound.stop()


class _Bound:
    """The time that a message may take: a server that sends a byte now and then is cut off in the end."""

    def __init__(self, seconds: float) -> None:
        self.clients: list[smtplib.SMTP] = []
        self.secured = False
        self.passed = False
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mail-bound", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        wait = self._seconds
        while not self._done.wait(wait):
            self.passed, wait = True, 0.1
            for client in self.clients:
                sock = getattr(client, "sock", None)
                if sock is not None:
                    with suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Close the connections that were made."""
        for client in self.clients:
            client.close()

    def stop(self) -> None:
        """Watch no longer."""
        self._done.set()
        self._thread.join()


class _Clear(smtplib.SMTP):
    """A connection that is in reach of its bound before it is made."""

    def __init__(self, bound: _Bound, *given: Any, **named: Any) -> None:
        bound.clients.append(self)
        super().__init__(*given, **named)


class _Encrypted(smtplib.SMTP_SSL):
    """The same, encrypted from its beginning."""

    def __init__(self, bound: _Bound, *given: Any, **named: Any) -> None:
        bound.clients.append(self)
        super().__init__(*given, **named)


def _told(failed: OSError, late: bool) -> Attempt:
    """The outcome that a failure means, those of the ``smtplib`` too. ``late``: the time of the message had passed."""
    # smtplib says of a silent server that it has left.
    if late or isinstance(failed, TimeoutError) or isinstance(failed.__context__, TimeoutError):
        return Attempt(Outcome.SLOW)
    for kind, told in _FAILURES:
        if isinstance(failed, kind):
            return told(failed)
    return Attempt(Outcome.UNREACHABLE)


def _recipient(failed: smtplib.SMTPRecipientsRefused) -> Attempt:
    (reply, _), *_ = failed.recipients.values()
    return _by_reply(reply, Outcome.RECIPIENT)


def _by_reply(reply: int, final: Outcome) -> Attempt:
    if reply == _CLOSING:
        return Attempt(Outcome.REFUSED, reply)
    return Attempt(final if reply >= _PERMANENT else Outcome.DEFERRED, reply)


# The more special before the less.
_FAILURES: tuple[tuple[type[OSError], Callable[[Any], Attempt]], ...] = (
    (smtplib.SMTPServerDisconnected, lambda _: Attempt(Outcome.CUT_OFF)),
    (smtplib.SMTPRecipientsRefused, _recipient),
    (smtplib.SMTPDataError, lambda failed: _by_reply(failed.smtp_code, Outcome.CONTENT)),
    (smtplib.SMTPResponseException, lambda failed: Attempt(Outcome.REFUSED, failed.smtp_code)),
    (smtplib.SMTPException, lambda _: Attempt(Outcome.REFUSED)),
    (ssl.SSLError, lambda _: Attempt(Outcome.TLS)),
    (ConnectionResetError, lambda _: Attempt(Outcome.CUT_OFF)),
    (BrokenPipeError, lambda _: Attempt(Outcome.CUT_OFF)),
)


def _own_name(url: str) -> str:
    """The name by which this host greets the server (RFC 5321 4.1.1.1): that of the public URL."""
    name = urlsplit(url).hostname or "localhost"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
