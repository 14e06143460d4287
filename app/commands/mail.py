"""``sillage mail``: messages by e-mail."""

from __future__ import annotations

import click

from app.commands.container import Container
from app.commands.screen import instant, out, table
from app.commands.words import N_, _
from app.core.errors import MailFailed
from app.core.language import LANGUAGES
from app.mail.transport import Outcome


@click.group()
def mail() -> None:
    """Messages by e-mail."""


@mail.command("test")
@click.argument("address", metavar="ADDRESS")
@click.option("--language", type=click.Choice([*LANGUAGES]), help="Of the message.  [default: SILLAGE_MAIL_LANGUAGE]")
@click.pass_obj
def test(container: Container, address: str, language: str | None) -> None:
    """Send a message to ADDRESS, one of your own, and say if the mail server took it. Nothing is kept of it."""
    attempt = container.mail.mail.try_out(address, language or container.settings.mail_language)
    if attempt.outcome is not Outcome.SENT:
        reply = "" if attempt.reply is None else _(" The server answered {reply}.", reply=attempt.reply)
        raise MailFailed(_(_ADVICE[attempt.outcome]) + reply)
    out().print(_("The mail server took the message. Look if it arrives, and not among unwanted mail."))


@mail.command("list")
@click.pass_obj
def list_messages(container: Container) -> None:
    """List messages that wait for the mail server, and those given up in the last 30 days; not whom they are for."""
    rows = table("message", "template", "language", "state", "asked for", "tries", "last outcome", "next attempt")
    for one in container.mail.mail.list():
        rows.add_row(
            one.id.hex(),
            one.template,
            one.language,
            one.state,
            instant(one.created),
            str(one.tries),
            one.error or "-",
            instant(one.next),
        )
    console = out()
    console.print(rows)
    if not container.mail.mail.configured:
        console.print(_("No mail server is set up: nothing is sent. Set SILLAGE_SMTP_HOST and SILLAGE_SMTP_SENDER."))


_ADVICE = {
    Outcome.UNREACHABLE: N_("No connection: check SILLAGE_SMTP_HOST and SILLAGE_SMTP_PORT, and the network."),
    Outcome.TLS: N_("No encrypted connection: check SILLAGE_SMTP_TLS, the server's certificate, SILLAGE_SMTP_CA_FILE."),
    Outcome.CREDENTIALS: N_(
        "The account is refused: check SILLAGE_SMTP_USER and SILLAGE_SMTP_PASSWORD_FILE (one line, "
        "not readable by others)."
    ),
    Outcome.SLOW: N_("The server did not answer within SILLAGE_SMTP_TIMEOUT_SECONDS."),
    Outcome.CUT_OFF: N_("The server ended the connection."),
    Outcome.REFUSED: N_("The server refuses what comes from here: check SILLAGE_SMTP_SENDER, and the server's log."),
    Outcome.DEFERRED: N_("The server does not take it now, and may later: such a message would be tried again."),
    Outcome.RECIPIENT: N_("The server will not take a message for this address."),
    Outcome.CONTENT: N_("The server will not take this message."),
}

COMMANDS = (mail,)
