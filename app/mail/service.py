"""E-mail: messages are kept until the mail server has taken them, tried again for two days, then given up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final, NamedTuple

import orjson
import structlog

from app.core.audit_sink import AuditSink
from app.core.clock import Clock, RandomBytes
from app.core.errors import BadRequest, DecryptionFailed, MailMissing, Unavailable
from app.core.mail_address import is_mail_address
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import MAIL_GIVEN_UP
from app.mail.messages import Composer, Message
from app.mail.outbox_store import ENDED_DAYS, GIVEN_UP, SENT, WAITING, OutboxRepository, Queued, place
from app.mail.transport import Attempt, Outcome, Transport
from app.standards.xapi.identifiers import agent_identifier

MAX_HOURS: Final = 48
"""Hours after which a message that could not be sent is given up."""
MAX_WAITING: Final = 10_000
"""Most messages that wait."""
MAX_AT_ONCE: Final = 200
"""Most messages that one run of the job tries."""
RETRY_MINUTES: Final = (1, 5, 15, 60)
"""Back-off, in minutes, before the first, second, … further attempt; the last goes on."""
MAX_LISTED: Final = 1_000

_MINUTE: Final = 60_000_000
_DAY: Final = 1_440 * _MINUTE

_log = structlog.stdlib.get_logger("sillage.mail")


class Standing(NamedTuple):
    """The numbers of messages that wait, and that were given up; seconds that the oldest has waited."""

    waiting: int
    given_up: int
    oldest_seconds: float


class Delivered(NamedTuple):
    """Outcome of a run of the job: messages sent, left for later, given up; and those forgotten for their age."""

    sent: int
    later: int
    given_up: int
    removed: int


class Mail:
    """Messages by e-mail."""

    def __init__(
        self,
        repository: OutboxRepository,
        keys: OrganisationKeys,
        composer: Composer,
        transport: Callable[[], Transport] | None,
        sender: str,
        audit: AuditSink,
        now_us: Clock,
        random: RandomBytes,
    ) -> None:
        """Nothing is connected yet.

        Args:
            repository: Messages on their way.
            keys: Seal them.
            composer: Composes them.
            transport: Makes a connection to the mail server; None: there is none.
            sender: The address that they come from.
            audit: The audit log.
            now_us: Microseconds since 1970 UTC.
            random: Ids.
        """
        self._repository = repository
        self._keys = keys
        self._composer = composer
        self._transport = transport
        self._sender = sender
        self._audit = audit
        self._now_us = now_us
        self._random = random

    @property
    def configured(self) -> bool:
        """True if the settings name a mail server; without one, ``send`` refuses."""
        return self._transport is not None

    def send(
        self, to: str, template: str, language: str, values: Mapping[str, object], *, once: str | None = None
    ) -> bool:
        """Have a message sent: it is kept from now on, and on its way within a minute or so.

        Args:
            to: The address, of one mailbox.
            template: Name of a template in ``app/mail/templates/``.
            language: That of whom it is for, ``fr`` or ``en``.
            values: What the template names.
            once: A name, within a month, of this very message: no second one of that name goes to the address.

        Returns:
            True if it is kept; False if it was, or is being, sent already (``once``).

        Raises:
            MailMissing: there is no mail server: nothing is sent. Tell whoever asked.
            BadRequest: this is no address.
            Unavailable: too many messages wait.
        """
        if self._transport is None:
            raise MailMissing("Set SILLAGE_SMTP_HOST and SILLAGE_SMTP_SENDER, then try `sillage mail test`.")
        require_address(to)
        message = self._composer.compose(template, language, values)
        if self._repository.count(WAITING) >= MAX_WAITING:
            raise Unavailable("Too many messages wait for the mail server. Try again later.", retry_after=600)
        subject = self._keys.subject(agent_identifier({"mbox": f"mailto:{to}"}) or "")
        id = self._random(16) if once is None else self._keys.mac("mail", f"{once}\0{to.lower()}".encode())[:16]
        now = self._now_us()
        content = orjson.dumps({"to": to, **message._asdict()})
        queued = Queued(
            id,
            WAITING,
            template,
            language,
            now,
            now,
            0,
            None,
            None,
            once is not None,
            self._keys.encrypt(place(id), content),
        )
        return self._repository.add(queued, subject)

    def deliver(self, check: Callable[[], None]) -> Delivered:
        """Try what is due: the job ``mail``. May be cut off anywhere: at worst a message is sent twice, with one id.

        Args:
            check: Called before each message; what it raises ends the run.
        """
        check()
        now = self._now_us()
        removed = self._repository.remove_ended(now - ENDED_DAYS * _DAY)
        due = self._repository.due(now, MAX_AT_ONCE)
        counted = {SENT: 0, WAITING: 0, GIVEN_UP: 0}
        if due:
            transport = None if self._transport is None else self._transport()
            try:
                for id in due:
                    check()
                    # Read only now: an erasure may have deleted it since the run began.
                    queued = self._repository.waiting(id)
                    if queued is None:
                        continue
                    attempt = self._try(transport, queued)
                    counted[self._note(queued, attempt)] += 1
                    if attempt.outcome.of_server:
                        # The others would end the same way. They are due still.
                        break
            finally:
                if transport is not None:
                    transport.close()
        return Delivered(counted[SENT], counted[WAITING], counted[GIVEN_UP], removed)

    def try_out(self, to: str, language: str) -> Attempt:
        """Send a message at once, to see if that works; nothing is kept of it.

        Raises:
            MailMissing: there is no mail server.
            BadRequest: this is no address.
        """
        if self._transport is None:
            raise MailMissing("Set SILLAGE_SMTP_HOST and SILLAGE_SMTP_SENDER.")
        require_address(to)
        message = self._composer.compose("trial", language, {})
        with self._transport() as transport:
            return transport.send(self._written(self._random(16), to, language, message, self._now_us()), to)

    def list(self) -> Sequence[Queued]:
        """Messages that wait, then those that were given up; nothing of whom they are for."""
        return self._repository.list(MAX_LISTED)

    def standing(self) -> Standing:
        """The numbers of messages that wait, and that were given up."""
        oldest = self._repository.oldest()
        return Standing(
            self._repository.count(WAITING),
            self._repository.count(GIVEN_UP),
            0.0 if oldest is None else max(0.0, (self._now_us() - oldest) / 1e6),
        )

    def _try(self, transport: Transport | None, queued: Queued) -> Attempt:
        if transport is None:
            return Attempt(Outcome.UNREACHABLE)
        try:
            content = orjson.loads(self._keys.decrypt(place(queued.id), queued.sealed or b""))
        except DecryptionFailed:
            return Attempt(Outcome.CONTENT)
        message = Message(content["subject"], content["text"], content["html"])
        to = content["to"]
        return transport.send(self._written(queued.id, to, queued.language, message, queued.created), to)

    def _note(self, queued: Queued, attempt: Attempt) -> str:
        now = self._now_us()
        if attempt.outcome is Outcome.SENT:
            self._repository.end(queued, SENT, now)
            return SENT
        error = attempt.outcome.value if attempt.reply is None else f"{attempt.outcome.value} {attempt.reply}"
        wait = RETRY_MINUTES[min(queued.tries, len(RETRY_MINUTES) - 1)] * _MINUTE
        if not attempt.outcome.final and now + wait < queued.created + MAX_HOURS * 60 * _MINUTE:
            self._repository.wait(queued.id, error=error, next=now + wait)
            return WAITING
        # First: operators see why nothing came, whatever comes next.
        detail = {"message": queued.id.hex(), "template": queued.template, "error": error, "tries": queued.tries + 1}
        self._audit.append(MAIL_GIVEN_UP, "job:mail", detail)
        self._repository.end(queued, GIVEN_UP, now, error)
        _log.warning("message given up", template=queued.template, error=error, tries=queued.tries + 1)
        return GIVEN_UP

    def _written(self, id: bytes, to: str, language: str, message: Message, created: int) -> EmailMessage:
        written = EmailMessage(SMTP)
        domain = self._sender.rpartition("@")[2]
        written["From"] = Address(self._composer.name, addr_spec=self._sender)
        written["To"] = Address(addr_spec=to)
        written["Subject"] = message.subject
        written["Date"] = format_datetime(datetime.fromtimestamp(created / 1e6, UTC))
        # The same at each attempt: whoever gets it twice keeps one.
        written["Message-ID"] = f"<{id.hex()}@{domain}>"
        # RFC 3834: no machine answers it.
        written["Auto-Submitted"] = "auto-generated"
        written.set_content(message.text)
        written.add_alternative(message.html, subtype="html")
        # After: until there are two forms, it would be that of the first.
        written["Content-Language"] = language
        return written


def require_address(text: str) -> None:
    """Refuse what is not the address of one mailbox.

    Raises:
        BadRequest: it is not.
    """
    if not is_mail_address(text):
        raise BadRequest("This is no e-mail address: NAME@DOMAIN, without accents, 254 characters at most.")
