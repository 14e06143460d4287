"""``sillage person restrict``, ``unrestrict``, ``object``, ``withdraw-objection``, ``standing`` and ``rectify``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from uuid import UUID

import click

from app.cli.person import person, person_options
from app.cli.purpose import purpose_option
from app.cli.screen import out
from app.errors import FileRefused
from app.governance.persons import Person
from app.governance.rectification import Rectification
from app.governance.restriction import Restriction
from app.storage.person_states import PURPOSES, RESEARCH

case_option = click.option("--case", metavar="ID", help="Request that this is done for (`sillage request list`).")


class Rights(Protocol):
    """What these commands need of the parts that the factory builds."""

    @property
    def restriction(self) -> Restriction:
        """Restriction and objection."""

    @property
    def rectification(self) -> Rectification:
        """Rectification."""


@person.command("restrict")
@person_options
@case_option
@purpose_option
@click.pass_obj
def restrict(parts: Rights, who: Person, case: str | None) -> None:
    """Have a person's data only kept (GDPR art. 18): out of queries, research and deletion, until lifted."""
    parts.restriction.restrict(who, actor="cli:person restrict", case=case)
    out().print("Restricted, in every process that serves. Jobs follow with their next step.")
    out().print("Tell whoever received the data (GDPR art. 19).")


@person.command("unrestrict")
@person_options
@case_option
@purpose_option
@click.pass_obj
def unrestrict(parts: Rights, who: Person, case: str | None) -> None:
    """End a restriction; tell the person before (GDPR art. 18(3))."""
    lifted = parts.restriction.lift(who, actor="cli:person unrestrict", case=case)
    out().print("The restriction is lifted." if lifted else "This person was not restricted.")


@person.command("object")
@person_options
@click.option(
    "--against",
    "purposes",
    multiple=True,
    type=click.Choice(PURPOSES),
    default=(RESEARCH,),
    show_default=True,
    help="What the person objects to. Repeatable.",
)
@click.option("--refuse-new", is_flag=True, help="Refuse new statements and documents of this person at the door.")
@case_option
@purpose_option
@click.pass_obj
def object_to(parts: Rights, who: Person, purposes: tuple[str, ...], refuse_new: bool, case: str | None) -> None:
    """Note an objection (GDPR art. 21): out of aggregates and exports from the next run on."""
    parts.restriction.note_objection(
        who, purposes=purposes, refuse_new=refuse_new, actor="cli:person object", case=case
    )
    out().print(f"The objection to {', '.join(purposes)} is noted.")
    if refuse_new:
        out().print("New statements of this person are refused, and with them the batches that hold them.")


@person.command("withdraw-objection")
@person_options
@case_option
@purpose_option
@click.pass_obj
def withdraw_objection(parts: Rights, who: Person, case: str | None) -> None:
    """Take back what a person objected to; new statements are taken again."""
    withdrawn = parts.restriction.withdraw_objection(who, actor="cli:person withdraw-objection", case=case)
    out().print("The objection is withdrawn." if withdrawn else "This person had not objected.")


@person.command("standing")
@person_options
@purpose_option
@click.pass_obj
def standing(parts: Rights, who: Person) -> None:
    """Show whether a person is restricted, and what they object to."""
    found = parts.restriction.standing(who, actor="cli:person standing")
    console = out()
    since = "no" if found.restricted is None else f"since {found.restricted:%Y-%m-%d %H:%M:%SZ}"
    console.print(f"restricted      {since}")
    console.print(f"objects to      {', '.join(found.objects) or 'nothing'}")
    console.print(f"new statements  {'refused' if found.refuses else 'stored'}")


@person.command("rectify")
@click.argument("statement", metavar="STATEMENT_ID", type=click.UUID)
@click.argument("file", type=click.Path(path_type=Path))
@case_option
@purpose_option
@click.pass_obj
def rectify(parts: Rights, statement: UUID, file: Path, case: str | None) -> None:
    """Void a statement that is wrong and store the one in FILE (JSON) in its place, linked (GDPR art. 16)."""
    try:
        content = file.read_bytes()
    except OSError:
        raise FileRefused("The file of the right statement cannot be read.") from None
    done = parts.rectification.rectify(statement, content, actor="cli:person rectify", case=case)
    out().print(f"Stored as {done.statement}; {done.voiding} voids the wrong one.")
    out().print("Tell whoever received the wrong one (GDPR art. 19).")


COMMANDS = ()
