"""Validation of statements against the standard: each rule that is broken, and its place.

Both are read from ``schemas/xapi/<version>/statement.json``; what a schema cannot say is in ``rules.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any

from app.core import contracts
from app.core.errors import Fault, InvalidStatement
from app.core.lossless import rounded
from app.standards.xapi import Statement
from app.standards.xapi.rules import MAX_FAULTS as MAX_FAULTS
from app.standards.xapi.rules import broken, repeated_ids, unbroken
from app.standards.xapi.versions import NEWEST, Version
from app.standards.xapi.wording import Wording, Work

MAX_STEPS = 50_000
"""Things looked at to word the refusal of a body: an ordinary statement takes a hundred. Past these, one fault of each
statement is told."""


def validate(
    statements: Sequence[Statement],
    version: Version,
    *,
    many: bool,
    data_follow: bool = False,
    work: Work | None = None,
) -> None:
    """Hold statements to the standard.

    Args:
        statements: As ``decode`` gives them.
        version: Of the request: each has a schema of its own.
        many: Whether the body was an array, so that pointers start with the statement's place in it.
        data_follow: Whether the data of attachments come after the statements, to be looked at then.
        work: What may be looked at to word the refusal, when more than these statements share it.

    Raises:
        InvalidStatement: with the first ``MAX_FAULTS`` faults, in the order of the body; none of them holds a value
            that was sent, but a pointer holds keys that were.
    """
    wording = _wording(version)
    if _all_hold(wording, statements):
        found = _broken(statements, version, many, data_follow)
    else:
        found = _refusals(statements, version, many, data_follow, work or Work(MAX_STEPS))
    faults = list(islice(found, MAX_FAULTS))
    if faults:
        raise InvalidStatement(faults=faults)


def actor_faults(actor: object, pointer: str) -> list[Fault]:
    """The rules that an Agent or Group outside a statement breaks, for example as a query parameter."""
    wording = _sought("actor")
    try:
        if wording.is_valid(actor):
            return []
    except ValueError:
        # As in ``_refused``; no actor has a number.
        actor = rounded(actor)
    return list(islice(wording.faults(actor, pointer, Work(MAX_STEPS)), MAX_FAULTS))


def matches(format_name: str, text: str) -> bool:
    """True if a text has the form of ``iri``, ``uuid``, ``languageTag``… (a string definition of the schemas)."""
    return _sought(format_name).is_valid(text)


def _broken(statements: Sequence[Statement], version: Version, many: bool, data_follow: bool) -> Iterator[Fault]:
    for place, statement in enumerate(statements):
        if not unbroken(statement):
            yield from broken(statement, version, f"/{place}" if many else "", data_follow=data_follow)
    if many and len(statements) > 1:
        yield from repeated_ids(statements, version)


def _refusals(
    statements: Sequence[Statement], version: Version, many: bool, data_follow: bool, work: Work
) -> Iterator[Fault]:
    wording = _wording(version)
    whole = True
    for place, statement in enumerate(statements):
        pointer = f"/{place}" if many else ""
        refused = _refused(wording, statement)
        if refused is None:
            yield from broken(statement, version, pointer, data_follow=data_follow)
        else:
            whole = False
            yield from islice(wording.faults(refused, pointer, work), MAX_FAULTS)
    if whole and many and len(statements) > 1:
        yield from repeated_ids(statements, version)


def _all_hold(wording: Wording, statements: Sequence[Statement]) -> bool:
    try:
        return all(map(wording.is_valid, statements))
    except ValueError:
        return False  # as below


def _refused(wording: Wording, statement: Statement) -> Statement | None:
    """The statement, with numbers that the validator knows, when the schema does not take it; else None."""
    # A number that 64 bits do not hold (``lossless.Digits``) is of no type that the validator knows, where it looks at
    # numbers at all: not in extensions. The schemas say of which type something is, never of which it is not.
    try:
        if wording.is_valid(statement):
            return None
    except ValueError:
        pass
    plain: Statement = rounded(statement)
    return None if plain is not statement and wording.is_valid(plain) else plain


@cache
def _wording(version: Version) -> Wording:
    return Wording(contracts.load(*version.spec.schema))


@cache
def _sought(part: str) -> Wording:
    # What is looked for may be as long as it likes: statements were stored before there was a bound, and are still to
    # be found and erased.
    return Wording(_of_any_length(contracts.load(*NEWEST.spec.schema)), part)


def _of_any_length(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _of_any_length(part) for name, part in schema.items() if name != "maxLength"}
    return list(map(_of_any_length, schema)) if isinstance(schema, list) else schema
