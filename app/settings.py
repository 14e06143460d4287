"""Every setting, typed, documented, and read from the environment (``SILLAGE_…``).

``load`` takes the environment as a mapping and returns an immutable ``Settings``; nothing here reads
the clock, the network or MongoDB, and of files only those that hold a setting. ``docs/settings.md`` names every
setting, and a test says so.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from marshmallow import Schema, ValidationError, validate
from marshmallow import fields as form

from app.core.errors import SettingsInvalid
from app.core.given import TextFraction, TextNumber
from app.core.mail_address import is_mail_address

PREFIX = "SILLAGE_"
# Several hosts, bracketed addresses and sockets with escapes: more than a URL splitter takes.
_MONGODB_URI = re.compile(
    r"(?P<scheme>mongodb(\+srv)?)://([^@/?]*@)?(?P<hosts>[^@/?]+)(/[^?]*)?(\?(?P<options>.*))?", re.DOTALL
)
_MAX_SECRET_BYTES = 65_536
_PORT = re.compile(r":[0-9]+\Z")


def _setting(doc: str, kind: form.Field[Any], default: Any, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"doc": doc, "form": kind, "secret": secret})


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _count(low: int, high: int) -> form.Field[Any]:
    return TextNumber(validate=validate.Range(low, high))


def _seconds(low: float, high: float) -> form.Field[Any]:
    return TextFraction(validate=validate.Range(low, high))


def _zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValidationError("not a time zone of the IANA database, for example Europe/Paris") from None
    return True


def _address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ValidationError("not HOST:PORT, for example 127.0.0.1:8000")
    return True


def _cron(text: str) -> bool:
    try:
        CronTrigger.from_crontab(text, timezone="UTC")
    except ValueError:
        raise ValidationError("not a five-field cron expression, for example '*/15 * * * *'") from None
    return True


_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:(?P<port>[1-9][0-9]{0,4}))?")
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}


def split_origins(text: str) -> list[str]:
    """The origins of a comma-separated list."""
    return [origin.strip() for origin in text.split(",") if origin.strip()]


def _origins(text: str) -> bool:
    origins = split_origins(text)
    if origins == ["*"]:
        return True
    for origin in origins:
        found = _ORIGIN.fullmatch(origin)
        # RFC 6454 6.2: browsers leave out the port that the scheme stands for, so that origin would never match.
        if found is None or int(found["port"] or 0) > 65535 or (found["scheme"], found["port"]) in _DEFAULT_PORTS:
            raise ValidationError(
                "not origins as browsers send them, for example https://tutor.example,http://localhost:3000: lower "
                "case, no path, no final slash, no usual port; or * alone, for all"
            )
    return True


def _mail_address(text: str) -> bool:
    if not is_mail_address(text):
        raise ValidationError("not an e-mail address NAME@DOMAIN, without accents")
    return True


def split_addresses(text: str) -> tuple[str, ...]:
    """The e-mail addresses of a comma-separated list, each once."""
    return tuple(dict.fromkeys(address.strip() for address in text.split(",") if address.strip()))


def _addresses(text: str) -> bool:
    addresses = split_addresses(text)
    if not all(map(is_mail_address, addresses)):
        # Without the one that is wrong: settings are shown, addresses are somebody's.
        raise ValidationError("not e-mail addresses NAME@DOMAIN, without accents, comma-separated")
    if len(addresses) > _MAX_ADDRESSES:
        raise ValidationError(f"more than {_MAX_ADDRESSES} addresses")
    return True


_MAX_ADDRESSES = 20
_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,31}")


def split_purposes(text: str) -> tuple[str, ...]:
    """The codes of a comma-separated list."""
    return tuple(code.strip() for code in text.split(",") if code.strip())


def _purposes(text: str) -> bool:
    codes = split_purposes(text)
    if len(codes) > 50 or not all(_PURPOSE.fullmatch(code) for code in codes):
        raise ValidationError("not codes of lower-case letters, digits and dashes, 32 at most each, comma-separated")
    return True


_SLUG = validate.Regexp(r"^[a-z][a-z0-9-]{0,30}\Z", error="lower-case letters, digits and dashes, 31 at most")


_SMTP_HOST = validate.Regexp(
    r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\Z|^\[?[0-9A-Fa-f:.]{2,45}\]?\Z", error="not the name of a host"
)


_VAULT_NAME = validate.Regexp(r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,100}\Z", error="a path of letters, digits, _ . / and -")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of an installation. Each field's metadata holds its documentation."""

    data_dir: Path = _setting(
        "Folder for the key file, the embedded MongoDB and the exports of this host; its metrics too, where it has no "
        "shared memory.",
        form.String(validate=validate.Length(min=1)),
        Path("var"),
    )
    organisation: str = _setting(
        "The organisation (tenant) served: its data sit in the MongoDB database `sillage_<organisation>`.",
        form.String(validate=_SLUG),
        "default",
    )
    mongodb_uri: str = _setting(
        "MongoDB connection string of a replica set. Empty: start the embedded server.",
        form.String(),
        "",
        secret=True,
    )
    mongodb_uri_file: Path | None = _setting(
        "File with the MongoDB connection string, not readable by others, instead of SILLAGE_MONGODB_URI: the password "
        "in it then stands in no environment. Read at the start.",
        form.String(),
        None,
    )
    mongodb_allow_plaintext: bool = _setting(
        "Accept a MongoDB that is not on this host over a connection without TLS.", form.Boolean(), False
    )
    embedded_cache_mb: int = _setting("Memory of the embedded MongoDB's cache, in MiB.", _count(256, 262_144), 512)
    key_provider: str = _setting(
        "Where the key-encryption keys are: `file`, `environment` (`SILLAGE_KEYS`) or `vault` (Transit engine of "
        "HashiCorp Vault or OpenBao). Empty: `environment` when `SILLAGE_KEYS` is given, else `file`.",
        # Which there are, app/keys/providers says.
        form.String(validate=_SLUG),
        "",
    )
    vault_address: str = _setting(
        "URL of Vault.", form.Url(require_tld=False, schemes={"http", "https"}), "https://127.0.0.1:8200"
    )
    vault_token_file: Path | None = _setting(
        "File with Vault's token, not readable by others; read again when it changes. Empty: `vault-token` in the data "
        "folder.",
        form.String(),
        None,
    )
    vault_ca_file: Path | None = _setting(
        "Certificates (PEM) that Vault's must come from. Empty: those of the system.", form.String(), None
    )
    vault_mount: str = _setting("Path of Vault's Transit engine.", form.String(validate=_VAULT_NAME), "transit")
    vault_key: str = _setting(
        "Name of the Transit key, one with `derived=true`.", form.String(validate=_VAULT_NAME), "sillage"
    )
    vault_timeout_seconds: float = _setting("Longest wait for Vault before 503.", _seconds(0.5, 60), 5.0)
    key_file: Path | None = _setting(
        "File of the key-encryption keys, mode 0600. Empty: `keys.json` in the data folder.",
        form.String(),
        None,
    )
    keys: str = _setting(
        "Key-encryption keys given in the environment instead of a file: `VERSION:BASE64` of 32 bytes, "
        "comma-separated, the last one active. `VERSION:BASE64:STATE` says the state: `active` or `decrypt-only`.",
        form.String(),
        "",
        secret=True,
    )
    tombstones_file: Path | None = _setting(
        "File outside the database that each erasure adds a tombstone to, and each `sillage minors apply` a line, so "
        "that a restore does them again after the loss of the database. Empty: `tombstones.jsonl` beside the key file.",
        form.String(),
        None,
    )
    statement_format: int = _setting(
        "Format in which statements are sealed, one that this version knows (there is 2 alone); every known format is "
        "read. While hosts run a version that does not know a new format yet, set the former one; then leave it out: "
        "the job `reseal` moves what is stored.",
        _count(1, 255),
        2,
    )
    bind: str = _setting(
        "Address the HTTP server listens on, HOST:PORT.", form.String(validate=_address), "127.0.0.1:8000"
    )
    behind_tls: bool = _setting(
        "A proxy in front terminates TLS: allows listening beyond this host.", form.Boolean(), False
    )
    public_url: str = _setting(
        "URL under which clients reach this store: authorities are named by it, `more` links and those of the pages "
        "start with its path.",
        form.Url(require_tld=False, schemes={"http", "https"}),
        "http://127.0.0.1:8000",
    )
    cors_origins: str = _setting(
        "Origins whose pages may call `/xAPI` and `/api/v1` from a browser (CORS), comma-separated; `*` alone for all. "
        "Empty: none.",
        form.String(validate=_origins),
        "",
    )
    portal: bool = _setting(
        "Serve pages for people at `/`: what is kept here, why, for how long, whom to write to.", form.Boolean(), True
    )
    service_name: str = _setting(
        "What the pages call this service, such as `Learning traces, académie of …`.",
        form.String(validate=validate.Length(max=120)),
        "",
    )
    contact: str = _setting(
        "E-mail address for questions about the pages and their accessibility; of a function, not of a person.",
        form.Email(),
        "",
    )
    publisher: str = _setting(
        "Who publishes the pages, with address (legal notice; law 2004-575, art. 1-1).",
        form.String(validate=validate.Length(max=400)),
        "",
    )
    publication_director: str = _setting(
        "The director of publication (legal notice).", form.String(validate=validate.Length(max=200)), ""
    )
    hosted_by: str = _setting(
        "Who hosts the service, with address (legal notice).", form.String(validate=validate.Length(max=400)), ""
    )
    accessibility: str = _setting(
        "What an audit by the RGAA found of the pages: `none` (no audit, or less than half of the criteria), `partial` "
        "or `full`.",
        form.String(validate=validate.OneOf(["none", "partial", "full"])),
        "none",
    )
    demo_without_second_factor: bool = _setting(
        "Sign people in by their password alone, for a demonstration on one's own machine: every page says so.",
        form.Boolean(),
        False,
    )
    sign_in_providers_dir: Path | None = _setting(
        "Folder of files of sign-in providers (OpenID Connect), one JSON file each; read at the start. Empty: people "
        "have local accounts alone.",
        form.String(),
        None,
    )
    proxies: int = _setting(
        "How many proxies in front add the address of whoever asks to `X-Forwarded-For`: attempts to sign in are "
        "slowed down by that address. 0: none does; behind a proxy they are then slowed down by login alone.",
        _count(0, 10),
        0,
    )
    workers: int = _setting("HTTP worker processes.", _count(1, 256), max(2, _cores()))
    threads: int = _setting("Threads of each HTTP worker.", _count(1, 256), 8)
    graceful_seconds: float = _setting(
        "Seconds that requests under way get to finish when the server stops.", _seconds(1, 600), 30.0
    )
    max_held_bytes: int = _setting(
        "Most bytes of request bodies that one HTTP worker holds and works on at once; a larger body is taken alone.",
        _count(1_024, 1 << 40),
        64 * 1024 * 1024,
    )
    max_waiting: int = _setting(
        "Most writes that wait for a thread of one HTTP worker; beyond, 429 or 503.", _count(1, 10_000), 256
    )
    max_wait_seconds: float = _setting(
        "Longest wait of a request for a thread of its HTTP worker before 503.", _seconds(0.1, 60), 5.0
    )
    max_worker_memory_mb: int | None = _setting(
        "Most memory of one HTTP worker, in MiB: beyond, it accepts nobody, finishes what it serves and is replaced. "
        "0: no end. Empty: half of the memory of the machine or container, divided by the workers; 512 at least.",
        _count(0, 1 << 24),
        None,
    )
    max_body_bytes: int = _setting("Largest request body, in bytes.", _count(1_024, 1 << 31), 20 * 1024 * 1024)
    max_statement_bytes: int = _setting(
        "Largest statement, in bytes of its JSON without spaces; never more than SILLAGE_MAX_BODY_BYTES. Whoever reads "
        "statements holds them decoded, so a larger one costs each of its readers.",
        _count(1_024, 8 * 1024 * 1024),
        1024 * 1024,
    )
    max_attachments_bytes: int = _setting(
        "Largest multipart request, in bytes: statements with the data of their attachments.",
        _count(1_024, 1 << 40),
        512 * 1024 * 1024,
    )
    max_batch: int = _setting("Most statements in one POST.", _count(1, 100_000), 10_000)
    page_limit: int = _setting("Most statements in one answer to GET; also what limit=0 gives.", _count(1, 10_000), 500)
    default_version: str = _setting(
        "Version said in the answer to a request that has no version header.",
        form.String(validate=validate.OneOf(["1.0.3", "2.0.0"])),
        "1.0.3",
    )
    timezone: str = _setting(
        "Time zone of days, weeks and months in aggregates.", form.String(validate=_zone), "Europe/Paris"
    )
    minimum_group: int = _setting(
        "Smallest number of distinct learners behind a published figure.", _count(2, 1_000), 11
    )
    heartbeat_seconds: float = _setting(
        "How often a process says that it lives; bounds the lag of Consistent-Through and of revocation.",
        _seconds(0.05, 5),
        0.25,
    )
    process_ttl_seconds: float = _setting("Silence after which a process is declared dead.", _seconds(1, 120), 10.0)
    lease_seconds: float = _setting(
        "Length of the scheduler's lease: another host takes over after this silence.",
        _seconds(2, 600),
        15.0,
    )
    aggregate_cron: str = _setting("When aggregates are refreshed (cron).", form.String(validate=_cron), "*/15 * * * *")
    retention_cron: str = _setting("When retention is applied (cron).", form.String(validate=_cron), "30 2 * * *")
    anchor_cron: str = _setting(
        "When the ends of the audit log's chains are recorded (cron).", form.String(validate=_cron), "*/10 * * * *"
    )
    checkpoint_cron: str = _setting(
        "When a signed checkpoint of the audit log is written to SILLAGE_AUDIT_CHECKPOINT_DIR (cron).",
        form.String(validate=_cron),
        "5 * * * *",
    )
    audit_checkpoint_dir: Path | None = _setting(
        "Folder for signed checkpoints of the audit log: on a disk, or under an account, that whoever administers the "
        "database cannot write to. Empty: none are written by the job.",
        form.String(),
        None,
    )
    audit_spool_dir: Path | None = _setting(
        "Folder that lasts, on a disk of this host, for audit entries of readings on their way to MongoDB: they are "
        "durable there before the answer. Empty: `audit-spool` in the data folder with the embedded MongoDB; with "
        "another one none, entries are written to MongoDB before the answer.",
        form.String(),
        None,
    )
    audit_days: int = _setting(
        "Days that entries of the audit log are kept; then they are removed, and a checkpoint in the log vouches for "
        "them. CNIL (deliberation 2021-122) recommends six months to a year.",
        _count(30, 3_650),
        365,
    )
    request_days: int = _setting(
        "Days that an answered data-subject request is kept, from its receipt; then the job `requests` removes it. "
        "Five years unless told otherwise: as long as a claim about the answer can be brought (code civil, art. 2224).",
        _count(365, 3_650),
        1_826,
    )
    purposes: str = _setting(
        "What a reading may be said to be for (`X-Sillage-Purpose`, `--purpose`), comma-separated codes; the audit log "
        "keeps the code.",
        form.String(validate=_purposes),
        "teaching,support,quality,evaluation,research,security,rights-request,audit",
    )
    purpose_required: bool = _setting(
        "Refuse requests that say no purpose, of credentials that belong to no source (those of people): all but "
        "`/metrics`, acts under `rights` included; and commands about persons and their requests, exports, and looks "
        "into the audit log.",
        form.Boolean(),
        False,
    )
    patterns_cron: str = _setting(
        "When sessions are held to the patterns of profiles (cron).", form.String(validate=_cron), "*/15 * * * *"
    )
    rewrap_cron: str = _setting(
        "When keys under another version than the active one are wrapped anew, if there are any (cron).",
        form.String(validate=_cron),
        "*/10 * * * *",
    )
    erasure_cron: str = _setting(
        "When erasures under way go on, if there are any (cron).", form.String(validate=_cron), "* * * * *"
    )
    requests_cron: str = _setting(
        "When the log is told how many data-subject requests are overdue or due soon, and old ones are removed (cron).",
        form.String(validate=_cron),
        "0 7 * * *",
    )
    reindex_cron: str = _setting(
        "When statements under an old index key follow to the one in force, if there are any (cron).",
        form.String(validate=_cron),
        "*/10 * * * *",
    )
    reseal_cron: str = _setting(
        "When statements in another format follow to the one they are sealed in now, if there may be any (cron).",
        form.String(validate=_cron),
        "30 3 * * *",
    )
    rekey_cron: str = _setting(
        "When a replacement of learners' keys that was begun goes on, if there is one under way (cron).",
        form.String(validate=_cron),
        "*/10 * * * *",
    )
    measure_cron: str = _setting(
        "When it is counted, for `/metrics`, what retention should have deleted and has not (cron).",
        form.String(validate=_cron),
        "20 * * * *",
    )
    export_cron: str = _setting("When exports are written (cron).", form.String(validate=_cron), "0 4 * * 1")
    smtp_host: str = _setting(
        "Mail server that takes messages for everybody (SMTP submission). Empty: no e-mail is sent.",
        form.String(validate=_SMTP_HOST),
        "",
    )
    smtp_port: int | None = _setting(
        "Port of the mail server. Empty: 587 for `starttls`, 465 for `tls`, 25 for `none`.", _count(1, 65_535), None
    )
    smtp_tls: str = _setting(
        "How the connection to the mail server is encrypted: `starttls` (asked for after it is made, and refused where "
        "it is not had), `tls` (from its beginning), or `none`, for a mail server on this host alone.",
        form.String(validate=validate.OneOf(["starttls", "tls", "none"])),
        "starttls",
    )
    smtp_ca_file: Path | None = _setting(
        "Certificates (PEM) that the mail server's must come from. Empty: those of the system.", form.String(), None
    )
    smtp_user: str = _setting("Account at the mail server. Empty: none is needed.", form.String(), "")
    smtp_password_file: Path | None = _setting(
        "File with the password of that account, not readable by others; read again for each connection.",
        form.String(),
        None,
    )
    smtp_sender: str = _setting(
        "E-mail address that messages come from, and that failures of delivery go back to; of a function, not of a "
        "person.",
        form.String(validate=_mail_address),
        "",
    )
    smtp_timeout_seconds: float = _setting(
        "Longest wait for the mail server, for a connection and for each message.", _seconds(1, 120), 20.0
    )
    mail_language: str = _setting(
        "Language of messages to addresses of settings: `fr` or `en`. Other messages are in that of whom they are for.",
        form.String(validate=validate.OneOf(["fr", "en"])),
        "fr",
    )
    mail_cron: str = _setting(
        "When messages that wait are sent, if there are any (cron).", form.String(validate=_cron), "* * * * *"
    )
    dpo_addresses: str = _setting(
        "E-mail addresses, comma-separated, that are told each day how many data-subject requests are late or due "
        "soon; nothing on a day without. Of functions, not of persons.",
        form.String(validate=_addresses),
        "",
    )
    mongodb_timeout_seconds: float = _setting(
        "Longest wait for MongoDB in one request before 503.", _seconds(0.5, 120), 10.0
    )
    log_level: str = _setting(
        "Least serious log entry written.",
        form.String(validate=validate.OneOf(["debug", "info", "warning", "error"])),
        "info",
    )
    log_format: str = _setting(
        "`json`, one object a line, or `console` for people.",
        form.String(validate=validate.OneOf(["json", "console"])),
        "json",
    )

    @property
    def provider(self) -> str:
        """Name of the key provider (``app/keys/providers``)."""
        return self.key_provider or ("environment" if self.keys else "file")

    @property
    def key_path(self) -> Path:
        """The key file: ``key_file``, or ``keys.json`` in the data folder."""
        return self.key_file or self.data_dir / "keys.json"

    @property
    def tombstones_path(self) -> Path:
        """The file of tombstones outside the database."""
        return self.tombstones_file or self.key_path.with_name("tombstones.jsonl")

    @property
    def vault_token_path(self) -> Path:
        """The file of Vault's token: ``vault_token_file``, or ``vault-token`` in the data folder."""
        return self.vault_token_file or self.data_dir / "vault-token"

    @property
    def spool_dir(self) -> Path | None:
        """Folder of the spool of audit entries; None: they are written to MongoDB at once."""
        if self.audit_spool_dir is None and not self.mongodb_uri:
            # The same disk as the embedded MongoDB's.
            return self.data_dir / "audit-spool"
        return self.audit_spool_dir

    @property
    def export_dir(self) -> Path:
        """Folder of data packages."""
        return self.data_dir / "exports"

    @property
    def statement_bytes(self) -> int:
        """Largest statement, in bytes of JSON: no larger than a body."""
        return min(self.max_statement_bytes, self.max_body_bytes)

    @property
    def mail_port(self) -> int:
        """Port of the mail server."""
        return self.smtp_port or {"starttls": 587, "tls": 465}.get(self.smtp_tls, 25)

    @property
    def metrics_dir(self) -> Path:
        """Folder in which the workers of this host share their Prometheus counters."""
        return self.data_dir / "metrics"

    @property
    def database(self) -> str:
        """The MongoDB database of the organisation."""
        return f"sillage_{self.organisation.replace('-', '_')}"


class Line(NamedTuple):
    """One setting as ``sillage settings`` prints it; ``value`` of a secret is never its text."""

    name: str
    value: str
    origin: str
    doc: str


def env_name(name: str) -> str:
    """Environment variable of a setting: ``data_dir`` is ``SILLAGE_DATA_DIR``."""
    return PREFIX + name.upper()


def _form() -> Schema:
    return Schema.from_dict({spec.name: spec.metadata["form"] for spec in fields(Settings)})()


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings from an environment.

    Raises:
        SettingsInvalid: an unknown ``SILLAGE_…`` name, a malformed value, or an unsafe combination;
            the detail names the variable and says what to write, and never shows a value.
    """
    known = {env_name(spec.name): spec.name for spec in fields(Settings)}
    given = {key: text.strip() for key, text in environ.items() if key.startswith(PREFIX)}
    unknown = sorted(key for key in given if key not in known)
    if unknown:
        raise SettingsInvalid(f"Unknown setting: {', '.join(unknown)}. `sillage settings` lists the ones that exist.")
    raw = {known[key]: text for key, text in given.items() if text}
    try:
        values: dict[str, Any] = dict(_form().load(raw))
    except ValidationError as refused:
        messages = refused.messages_dict
        raise SettingsInvalid(
            "; ".join(f"{env_name(name)}: {' '.join(map(str, texts))}" for name, texts in sorted(messages.items()))
        ) from None
    for name in (
        "data_dir",
        "mongodb_uri_file",
        "key_file",
        "tombstones_file",
        "audit_checkpoint_dir",
        "audit_spool_dir",
        "vault_token_file",
        "vault_ca_file",
        "sign_in_providers_dir",
        "smtp_ca_file",
        "smtp_password_file",
    ):
        if name in values:
            values[name] = Path(values[name]).expanduser()
    if "mongodb_uri_file" in values:
        if "mongodb_uri" in values:
            raise SettingsInvalid("SILLAGE_MONGODB_URI and SILLAGE_MONGODB_URI_FILE are both given. Give one of them.")
        values["mongodb_uri"] = read_secret(values["mongodb_uri_file"], env_name("mongodb_uri_file"))
    settings = Settings(**values)
    _refuse_unsafe(settings)
    return settings


def read_secret(path: Path, name: str) -> str:
    """The one line of a file of a secret; ``name`` is the variable that names the file.

    Raises:
        SettingsInvalid: it cannot be read, others may read it, or it is not one line; nothing of it is shown.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_SECRET_BYTES)
    except OSError as refused:
        raise SettingsInvalid(f"{name}: the file cannot be read ({refused.strerror}).") from None
    if mode & stat.S_IRWXO:
        raise SettingsInvalid(f"{name}: the file can be read by others: run `chmod 600` on it.")
    lines = content.decode("utf-8", "replace").strip().splitlines()
    if len(lines) != 1:
        raise SettingsInvalid(f"{name}: the file must hold one line, and nothing else.")
    return lines[0]


def _on_this_host(host: str) -> bool:
    if host in {"localhost", ""} or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refuse_unsafe(settings: Settings) -> None:
    host = settings.bind.rpartition(":")[0]
    if not _on_this_host(host) and not settings.behind_tls:
        raise SettingsInvalid(
            "SILLAGE_BIND listens beyond this host in clear. Put a proxy that terminates TLS in front and set "
            "SILLAGE_BEHIND_TLS=true, or listen on 127.0.0.1."
        )
    if settings.demo_without_second_factor and (settings.behind_tls or not _on_this_host(host)):
        raise SettingsInvalid(
            "SILLAGE_DEMO_WITHOUT_SECOND_FACTOR is for a demonstration on this host alone: leave it out, or listen on "
            "127.0.0.1 with SILLAGE_BEHIND_TLS off."
        )
    if settings.mongodb_uri:
        _refuse_unsafe_database(settings)
    if (settings.provider == "environment") != bool(settings.keys):
        raise SettingsInvalid("SILLAGE_KEYS goes with SILLAGE_KEY_PROVIDER=environment, and with no other provider.")
    if settings.provider == "vault":
        _refuse_unsafe_vault(settings)
    _refuse_unsafe_mail(settings)
    if settings.lease_seconds <= 2 * settings.heartbeat_seconds:
        raise SettingsInvalid("SILLAGE_LEASE_SECONDS must be more than twice SILLAGE_HEARTBEAT_SECONDS.")
    if settings.process_ttl_seconds <= 4 * settings.heartbeat_seconds:
        raise SettingsInvalid("SILLAGE_PROCESS_TTL_SECONDS must be more than four times SILLAGE_HEARTBEAT_SECONDS.")


def _refuse_unsafe_vault(settings: Settings) -> None:
    address = urlsplit(settings.vault_address)
    if address.scheme != "https" and not _on_this_host(address.hostname or ""):
        raise SettingsInvalid("SILLAGE_VAULT_ADDRESS reaches another host without TLS, and keys go over it. Use https.")


def _refuse_unsafe_mail(settings: Settings) -> None:
    if bool(settings.smtp_host) != bool(settings.smtp_sender):
        raise SettingsInvalid("SILLAGE_SMTP_HOST and SILLAGE_SMTP_SENDER go together. Give both, or neither.")
    if bool(settings.smtp_user) != (settings.smtp_password_file is not None):
        raise SettingsInvalid("SILLAGE_SMTP_USER and SILLAGE_SMTP_PASSWORD_FILE go together. Give both, or neither.")
    if settings.smtp_tls == "none" and not _on_this_host(settings.smtp_host):
        raise SettingsInvalid(
            "SILLAGE_SMTP_TLS=none is for a mail server on this host alone: messages hold links that open accounts. "
            "Use starttls or tls, or a relay on this host."
        )


def _refuse_unsafe_database(settings: Settings) -> None:
    uri = _MONGODB_URI.fullmatch(settings.mongodb_uri)
    if uri is None:
        raise SettingsInvalid(
            "SILLAGE_MONGODB_URI must start with mongodb:// or mongodb+srv://, then hosts, /, and options after a ?."
        )
    options = [(name.lower(), text.lower()) for name, text in parse_qsl(uri["options"] or "", keep_blank_values=True)]
    said = {text for name, text in options if name in {"tls", "ssl"}}
    # What is said twice, or said to be off, is held for off.
    encrypted = said == {"true"} or (uri["scheme"] == "mongodb+srv" and not said)
    near = all(_on_this_host(_PORT.sub("", unquote(host))) for host in uri["hosts"].split(","))
    if not (encrypted or near or settings.mongodb_allow_plaintext):
        raise SettingsInvalid(
            "SILLAGE_MONGODB_URI reaches another host without TLS. Add tls=true to it, or set "
            "SILLAGE_MONGODB_ALLOW_PLAINTEXT=true if the network between is private."
        )


def describe(settings: Settings, environ: Mapping[str, str]) -> list[Line]:
    """Each setting with its value and origin (``environment``, ``file`` or ``default``); secrets are hidden."""
    lines = []
    for spec in fields(Settings):
        name = env_name(spec.name)
        value = getattr(settings, spec.name)
        text = ("(set, hidden)" if value else "(not set)") if spec.metadata["secret"] else _text(value)
        origin = "environment" if environ.get(name, "").strip() else "default"
        if spec.name == "mongodb_uri" and settings.mongodb_uri_file is not None:
            origin = "file"
        lines.append(Line(name, text, origin, spec.metadata["doc"]))
    return lines


def _text(value: object) -> str:
    return "(not set)" if value is None else str(value)
