"""Words of faults for people: what is wrong, in the language of the page, and what to do about it.

Faults are worded in English where they are found, by fixed texts with names of xAPI in them; here each is known by its
form. One that is not is shown as it is, and said to be English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from app.core.language import SOURCE
from app.web.portal.language import translations
from app.web.portal.signed_pages import N_


class Said(NamedTuple):
    """A text, and the language that it is in."""

    text: str
    language: str


_PLAIN: Final = frozenset(
    {
        # The standard, by the schema.
        N_("The standard has no such property here (names are case-sensitive)."),
        N_("Must not be null; null is allowed only inside extensions."),
        N_("A group as authority is anonymous: it has no identifier of its own."),
        N_("A group as authority must list its two members."),
        N_("A group needs members, one at least, or exactly one of mbox, mbox_sha1sum, openid, account."),
        N_("An Activity (also when no objectType is said), Agent, Group, StatementRef or SubStatement."),
        N_("An Agent, or a Group of exactly two agents, one of them the application's account (OAuth)."),
        N_("An Agent, or a Group that says so."),
        N_("An agent needs exactly one of mbox, mbox_sha1sum, openid, account."),
        N_("An authority group has exactly two members, one of them with an account."),
        N_("Any JSON under keys that are IRIs."),
        N_("As the object of a Statement, but never a SubStatement: they do not nest."),
        N_("Must be 2.0.x or 1.0.x."),
        N_("Must be 1.0 or 1.0.x."),
        N_("Must be a URI with its scheme; one of http or https names a host."),
        N_("Must be a UUID in its standard form: 8-4-4-4-12 hexadecimal digits."),
        N_("Must be a media type in printable ASCII (RFC 9110 8.3.1), for example text/plain; charset=utf-8."),
        N_("Must be an IRI (RFC 3987) with its scheme, without spaces; one of http or https names a host."),
        N_(
            "Must be an ISO 8601 duration, for example PT4H35M59.14S; weeks stand alone, and only the last component "
            "may have decimals."
        ),
        N_("Must be an ISO 8601 duration, for example PT4H35M59.14S; weeks stand alone."),
        N_("Must be an RFC 3339 date and time with its offset, for example 2026-11-22T10:00:00.123Z."),
        N_("Must be an ISO 8601 date and time, for example 2026-11-22T10:00:00.123Z."),
        N_("Must be an RFC 5646 language tag, for example fr or fr-FR."),
        N_("Must be mailto: and an e-mail address."),
        N_("Must be the 40 hexadecimal digits of a SHA-1."),
        N_("Must be the hexadecimal digits of a SHA-2 (224, 256, 384 or 512 bits)."),
        N_("Must not be empty."),
        N_("One activity, or an array of activities."),
        N_("Only the last component of a duration may have decimals."),
        N_("The object of a voiding Statement must be a StatementRef that says so."),
        N_("`platform` is allowed only when the object of the Statement is an Activity."),
        N_("`revision` is allowed only when the object of the Statement is an Activity."),
        # Rules beside it.
        N_("Must be a JSON object."),
        N_("This key is given twice in the same object. Keep one."),
        N_("`min` must not be more than `max`."),
        N_("`raw` must not be less than `min`."),
        N_("`raw` must not be more than `max`."),
        N_("An earlier component of this list has the same id."),
        N_("An attachment of an application/json request needs a `fileUrl`: no data come with it."),
        N_("An attachment without `fileUrl` needs its data in a part of its own, after the statements."),
        N_("The `contentType` of a signature must be application/octet-stream."),
        N_("A signature comes with its statement, in a part of its own, not by `fileUrl`."),
        N_("Another attachment of this request has the same `sha2`; a signature is of one statement only."),
        N_("Another statement has this id and differs from this one. Send the same content, or a new id."),
        N_("The id differs from the statementId parameter."),
        N_("PUT takes one statement."),
        N_("This person objects to new data. Leave this statement out."),
        N_("The data of the person whose statement this is are restricted. Leave this voiding out."),
        # Profiles, schools, minors.
        N_(
            "The profile that the statement names has patterns, and without a registration the statement is in no "
            "session. Give the statements of a session one registration."
        ),
        N_("A profile defines this extension; it belongs in context."),
        N_("A profile defines this extension; it belongs in result."),
        N_("A profile defines this extension; it belongs in the definition of an activity."),
        N_("A profile defines this extension; it does not follow the schema that it gives."),
        N_("A profile defines this extension; it needs a registration beside it."),
        N_("A profile defines this extension; it names a profile that is not among the category context activities."),
        N_("This is no UAI: seven digits and the letter that goes with them. Check it against the school's own."),
        N_("The directory in force on the statement's date has no such school. Check the UAI."),
        N_("This school is not open on the statement's date. Check the UAI, and the timestamp."),
        N_("This is no MEF code: 10 or 11 digits."),
        N_("The nomenclature in force on the statement's date has no such MEF code. Check the code."),
        N_("This MEF code is not open on the statement's date. Check the code, and the timestamp."),
        N_("A name stands here, or an account made of one. Identify people by an opaque account alone."),
        N_("An e-mail address, or its hash, stands here. Identify people by an opaque account instead."),
        N_("What stands here has the form of an INE, the national number of a pupil, which has no place in a trace."),
        N_(
            "The statement is signed: nothing can be taken out of it, and its signature repeats it. Sign a statement "
            "without names, e-mail addresses and INE."
        ),
        # Bodies that are no statements.
        N_("The body is empty. Send one statement or an array of statements."),
        N_("The body starts with a byte order mark. Send UTF-8 without one."),
        N_("A statement is too long; nothing was stored."),
        N_("The body is neither a statement nor an array of statements."),
    }
)

_KINDS: Final[Mapping[str, str]] = {
    "a string": N_("a string"),
    "a number": N_("a number"),
    "an integer": N_("an integer"),
    "true or false": N_("true or false"),
    "an object": N_("an object"),
    "an array": N_("an array"),
}

# The first one that a text has wholly the form of.
_FORMS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"Missing: (?P<names>.+)\."), N_("Missing: %(names)s.")),
    (re.compile(r"Must be one of (?P<names>.+) \(case-sensitive\)\."), N_("One of these (case-sensitive): %(names)s.")),
    (re.compile(r"Must be (?P<names>`[^`]+`) \(case-sensitive\)\."), N_("Must be %(names)s (case-sensitive).")),
    (re.compile(r"Must be at least (?P<names>[-0-9.]+)\."), N_("Must be at least %(names)s.")),
    (re.compile(r"Must be at most (?P<names>[-0-9.]+)\."), N_("Must be at most %(names)s.")),
    (
        re.compile(r"Must have at most (?P<names>[0-9,]+) characters: statements are found by it\."),
        N_("Too long: statements are found by this text, which has at most %(names)s characters."),
    ),
    (re.compile(r"Must have at least (?P<names>[0-9]+) items?\."), N_("Too few items: the least is %(names)s.")),
    (
        re.compile(r"Not a valid time: .+"),
        N_("Not a valid date and time of ISO 8601, as in 2026-11-22T10:00:00.123Z, or none of the calendar."),
    ),
    (
        re.compile(r"The statement at /(?P<names>[0-9]+) of this batch has the same id\."),
        N_("The statement at /%(names)s of this batch has the same id."),
    ),
    (
        re.compile(
            r"The statement has more than (?P<names>[0-9,]+) bytes of JSON\. Send what it carries as an "
            r"attachment or a document\."
        ),
        N_("The statement is too long; the limit is %(names)s bytes. Send what it carries as a document."),
    ),
    (
        re.compile(r"Names more than (?P<names>[0-9,]+) agents and activities\. .+"),
        N_("It names too many agents and activities; the limit is %(names)s. Send several statements."),
    ),
    (re.compile(r"(?P<names>.+): a value is required here\.", re.DOTALL), N_("%(names)s: a value is required here.")),
    (re.compile(r"(?P<names>.+): no value is allowed here\.", re.DOTALL), N_("%(names)s: no value is allowed here.")),
    (
        re.compile(r"(?P<names>.+): at least one of the values that the template lists is required\.", re.DOTALL),
        N_("%(names)s: at least one of the values that the template lists is required."),
    ),
    (
        re.compile(r"(?P<names>.+): only the values that the template lists are allowed\.", re.DOTALL),
        N_("%(names)s: only the values that the template lists are allowed."),
    ),
    (
        re.compile(r"(?P<names>.+): a value that the template forbids stands here\.", re.DOTALL),
        N_("%(names)s: a value that the template forbids stands here."),
    ),
    (
        re.compile(r"A StatementRef is needed here \((?P<names>\w+)\)\."),
        N_("A StatementRef is needed here (%(names)s)."),
    ),
    (
        re.compile(r"The statement that is referred to follows none of the templates that (?P<names>\w+) lists\."),
        N_("The statement that is referred to follows none of the templates that %(names)s lists."),
    ),
    (re.compile(r"The body is not UTF-8 at byte (?P<names>[0-9]+)\."), N_("The text is not UTF-8, at byte %(names)s.")),
    (
        re.compile(r"The body is cut off: the JSON ends too early, at (?P<names>line [0-9]+, column [0-9]+)\."),
        N_("The text is cut off: the JSON ends too early, at this place: %(names)s."),
    ),
    (
        re.compile(r"The body is not JSON at (?P<names>line [0-9]+, column [0-9]+) .+"),
        N_("This is not JSON, at this place: %(names)s."),
    ),
    (
        re.compile(r"The JSON is nested more deeply than (?P<names>[0-9]+) levels\."),
        N_("The JSON is nested too deeply; the most is %(names)s levels."),
    ),
    (
        re.compile(r"The body holds more than (?P<names>[0-9,]+) (?:JSON values|statements)\. Send .+"),
        N_("Too much at once; the limit is %(names)s. Send several smaller batches."),
    ),
    (
        re.compile(r"The body is larger than the (?P<names>[0-9,]+) bytes that one request may hold\. .+"),
        N_("This is too large; the limit is %(names)s bytes. Send smaller batches."),
    ),
)

_PLACES: Final = re.compile(r"line ([0-9]+), column ([0-9]+)")

_ADVICE: Final[Mapping[str, str]] = {
    "duration-format": N_("Write the letter T before hours, minutes and seconds: one minute and a half is PT1M30S."),
    "timestamp-format": N_(
        "Write the time with its offset, and send it when the event takes place, not when it is sent."
    ),
    "timestamp-value": N_("Write the time with its offset, and look whether the clock of the device is right."),
    "score-order": N_("Send raw, min and max of the same scale, with min below max; scaled is between −1 and 1."),
    "agent-identifier": N_(
        "Identify people by one thing alone: an account with homePage and name, the name being opaque."
    ),
    "batch-repeated-id": N_("Give each statement an id of its own (UUID), and keep it when you send the same again."),
    "id-taken": N_("Give each statement an id of its own (UUID), and keep it when you send the same again."),
    "duplicate-key": N_("Write each property once: most programs would silently keep the last one alone."),
    "minors-name": N_("Leave names out, and give accounts names that are made by chance, the same for the same pupil."),
    "minors-email": N_("Replace the address by an account whose name is made by chance."),
    "minors-ine": N_("Never send the INE. The digital workspace knows the pupil; the trace need not."),
    "minors-signed": N_("Sign statements in which nobody is named."),
    "uai-key": N_("Copy the UAI from the school's own papers: the last letter is a check."),
    "uai-unknown": N_("Look the school up in the national directory."),
    "uai-closed": N_("Look the school up in the national directory: it may have merged with another."),
    "extension-value": N_("Look at the extension in the documentation of the profile: it gives the form of its value."),
    "extension-misplaced": N_("Move the extension to the part of the statement that is named."),
    "session-registration": N_("Make a UUID when a session begins, and send it as context.registration to its end."),
    "template-included": N_("Send the property at this place: the template of the profile wants it."),
    "template-excluded": N_("Leave the property out: the template of the profile does not want it."),
    "template-any": N_("Send one of the values that the template lists; the documentation of the profile has them."),
    "template-all": N_("Send only values that the template lists; the documentation of the profile has them."),
    "template-none": N_("Send another value: this one is forbidden by the template."),
    "statement-size": N_("Send what is long as a document (State or Activity Profile), or as an attachment."),
}

_ADVICE_BY_KIND: Final[tuple[tuple[str, str], ...]] = (
    ("-missing-property", N_("Add the property, spelled as the standard spells it.")),
    (
        "-unknown-property",
        N_("Correct the spelling, or move what is your own into extensions, under an IRI of yours."),
    ),
    ("-type", N_("Send a value of that kind: numbers, true and false stand without quotation marks.")),
    ("-format", N_("Write the value in that form, at the moment it is made rather than when it is sent.")),
    ("-value", N_("Send one of the values that the standard lists, in the same letters.")),
    ("-range", N_("Send a number within these bounds, or leave it out where it is not known.")),
    ("-size", N_("Leave the property out where there is nothing to say.")),
)
_OTHERWISE: Final = N_("Compare with the section that is named, and check a corrected statement before you send it.")


class FaultWords:
    """Words of faults in the language of a page."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._text: Callable[[str], str] = translations(language).gettext

    def reason(self, message: str) -> Said:
        """The reason, by the message of a fault or the detail of an error."""
        if self._language == SOURCE:
            return Said(message, SOURCE)
        if message in _PLAIN:
            return Said(self._text(message), self._language)
        for form, words in _FORMS:
            found = form.fullmatch(message)
            if found is not None:
                return Said(
                    self._text(words) % {"names": self._names(found.groupdict().get("names", ""))}, self._language
                )
        kinds = message.removeprefix("Must be ").removesuffix(".")
        if kinds in _KINDS or all(part in _KINDS for part in kinds.split(" or ")):
            parts = [kinds] if kinds in _KINDS else kinds.split(" or ")
            alternatives = self._text(N_(" or ")).join(self._text(_KINDS[part]) for part in parts)
            return Said(self._text(N_("Must be %(names)s.")) % {"names": alternatives}, self._language)
        return Said(message, SOURCE)

    def advice(self, rule: str) -> str:
        """Advice about a fault of a rule."""
        known = _ADVICE.get(rule)
        if known is None:
            known = next((words for kind, words in _ADVICE_BY_KIND if rule.endswith(kind)), _OTHERWISE)
        return self._text(known)

    def _names(self, names: str) -> str:
        place = _PLACES.fullmatch(names)
        if place is None:
            return names
        return self._text(N_("line %(line)s, column %(column)s")) % {"line": place[1], "column": place[2]}
