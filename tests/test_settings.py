"""Settings: read from the environment, typed, explained, refused when unsafe."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.errors import SettingsInvalid
from app.settings import Settings, describe, load, split_origins

_MAIL = {"SILLAGE_SMTP_HOST": "mail.example", "SILLAGE_SMTP_SENDER": "traces@sillage.example"}


def test_defaults_are_safe_and_complete() -> None:
    settings = load({})
    assert settings == Settings()
    assert settings.bind.startswith("127.0.0.1")
    assert settings.minimum_group == 11
    assert settings.key_path == Path("var/keys.json")


def test_the_spool_is_beside_the_embedded_mongodb_or_where_it_is_said_to_be() -> None:
    elsewhere = {"SILLAGE_MONGODB_URI": "mongodb://127.0.0.1/?replicaSet=x"}
    assert load({"SILLAGE_DATA_DIR": "/data"}).spool_dir == Path("/data/audit-spool")
    assert load(elsewhere).spool_dir is None
    assert load({**elsewhere, "SILLAGE_AUDIT_SPOOL_DIR": "/spool"}).spool_dir == Path("/spool")
    assert load({"SILLAGE_AUDIT_SPOOL_DIR": "/spool"}).spool_dir == Path("/spool")


def test_values_are_typed_and_other_variables_ignored() -> None:
    settings = load({"SILLAGE_WORKERS": " 3 ", "SILLAGE_KEY_FILE": "~/k.json", "PATH": "/bin", "SILLAGE_LOG_LEVEL": ""})
    assert settings.workers == 3
    assert settings.key_path == Path("~/k.json").expanduser()
    assert settings.log_level == "info"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"SILLAGE_WROKERS": "2"}, "Unknown setting: SILLAGE_WROKERS"),
        ({"SILLAGE_WORKERS": "two"}, "SILLAGE_WORKERS"),
        ({"SILLAGE_WORKERS": "0"}, "SILLAGE_WORKERS"),
        ({"SILLAGE_WORKERS": "٣"}, "SILLAGE_WORKERS"),
        ({"SILLAGE_WORKERS": "0_2"}, "SILLAGE_WORKERS"),
        ({"SILLAGE_HEARTBEAT_SECONDS": "١"}, "SILLAGE_HEARTBEAT_SECONDS"),
        ({"SILLAGE_TIMEZONE": "Paris"}, "IANA"),
        ({"SILLAGE_BIND": "8000"}, "HOST:PORT"),
        ({"SILLAGE_BIND": "0.0.0.0:8000"}, "SILLAGE_BEHIND_TLS"),
        ({"SILLAGE_BIND": "[::]:8000"}, "SILLAGE_BEHIND_TLS"),
        ({"SILLAGE_ORGANISATION": "../x"}, "SILLAGE_ORGANISATION"),
        ({"SILLAGE_MINIMUM_GROUP": "1"}, "SILLAGE_MINIMUM_GROUP"),
        ({"SILLAGE_AGGREGATE_CRON": "hourly"}, "cron"),
        ({"SILLAGE_AGGREGATE_CRON": "99 * * * *"}, "cron"),
        ({"SILLAGE_BIND": "127.0.0.1:²"}, "HOST:PORT"),
        ({"SILLAGE_CORS_ORIGINS": "tutor.example"}, "SILLAGE_CORS_ORIGINS: not origins"),
        ({"SILLAGE_CORS_ORIGINS": "https://tutor.example/"}, "no final slash"),
        ({"SILLAGE_CORS_ORIGINS": "https://tutor.example/page"}, "no path"),
        ({"SILLAGE_CORS_ORIGINS": "https://Tutor.example"}, "lower case"),
        ({"SILLAGE_CORS_ORIGINS": "https://tutor.example:443"}, "no usual port"),
        ({"SILLAGE_CORS_ORIGINS": "https://tutor.example:99999"}, "SILLAGE_CORS_ORIGINS"),
        ({"SILLAGE_CORS_ORIGINS": "https://*.example"}, "SILLAGE_CORS_ORIGINS"),
        ({"SILLAGE_CORS_ORIGINS": "*,https://tutor.example"}, "* alone"),
        ({"SILLAGE_CORS_ORIGINS": "null"}, "SILLAGE_CORS_ORIGINS"),
        ({"SILLAGE_CORS_ORIGINS": "https://user:hunter2@tutor.example"}, "SILLAGE_CORS_ORIGINS"),
        ({"SILLAGE_MONGODB_URI": "mongodb+srv://db.example/?tls=false"}, "TLS"),
        ({"SILLAGE_MONGODB_URI": "mongodb://db.example/?nottls=true"}, "TLS"),
        ({"SILLAGE_MONGODB_URI": "mongodb://db.example/?tls=true&ssl=false"}, "TLS"),
        ({"SILLAGE_MONGODB_URI": "postgres://db"}, "mongodb://"),
        ({"SILLAGE_MONGODB_URI": "mongodb://user:hunter2@db.example/?replicaSet=r"}, "TLS"),
        ({"SILLAGE_MONGODB_URI": "mongodb://127.0.0.1,db.example/"}, "TLS"),
        ({"SILLAGE_SMTP_HOST": "mail.example"}, "SILLAGE_SMTP_SENDER go together"),
        ({"SILLAGE_SMTP_SENDER": "a@sillage.example"}, "SILLAGE_SMTP_HOST"),
        ({**_MAIL, "SILLAGE_SMTP_USER": "sillage"}, "SILLAGE_SMTP_PASSWORD_FILE"),
        ({**_MAIL, "SILLAGE_SMTP_PASSWORD_FILE": "/run/hunter2"}, "SILLAGE_SMTP_USER"),
        ({**_MAIL, "SILLAGE_SMTP_TLS": "none"}, "SILLAGE_SMTP_TLS=none is for a mail server on this host"),
        ({**_MAIL, "SILLAGE_SMTP_TLS": "perhaps"}, "SILLAGE_SMTP_TLS"),
        ({**_MAIL, "SILLAGE_SMTP_HOST": "mail.example:25"}, "not the name of a host"),
        ({**_MAIL, "SILLAGE_SMTP_SENDER": "hunter2"}, "SILLAGE_SMTP_SENDER"),
        ({**_MAIL, "SILLAGE_SMTP_SENDER": "hunter2@académie.fr"}, "SILLAGE_SMTP_SENDER: not an e-mail address"),
        ({**_MAIL, "SILLAGE_SMTP_SENDER": "hunter2@[192.168.1.1]"}, "SILLAGE_SMTP_SENDER: not an e-mail address"),
        ({"SILLAGE_DPO_ADDRESSES": "dpo@school.example, hunter2"}, "not e-mail addresses"),
        ({"SILLAGE_DPO_ADDRESSES": "dpo@school.example, hunter2@académie.fr"}, "not e-mail addresses"),
        ({"SILLAGE_DPO_ADDRESSES": "hunter2@[192.168.1.1]"}, "not e-mail addresses"),
        ({"SILLAGE_DPO_ADDRESSES": ",".join(f"a{n}@school.example" for n in range(21))}, "more than 20"),
        ({"SILLAGE_LEASE_SECONDS": "2", "SILLAGE_HEARTBEAT_SECONDS": "2"}, "SILLAGE_LEASE_SECONDS"),
        ({"SILLAGE_PROCESS_TTL_SECONDS": "1", "SILLAGE_HEARTBEAT_SECONDS": "1"}, "SILLAGE_PROCESS_TTL_SECONDS"),
    ],
)
def test_what_is_wrong_or_unsafe_is_refused_with_what_to_do(given: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load(given)
    assert words in refused.value.detail
    assert "hunter2" not in refused.value.detail


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://127.0.0.1:27017/?replicaSet=r",
        "mongodb://localhost,[::1]:27018/",
        "mongodb://db.example/?tls=true",
        "mongodb+srv://db.example/",
        "mongodb://%2Frun%2Fsillage%2Fmongod.sock",
    ],
)
def test_connections_that_stay_here_or_are_encrypted_are_taken(uri: str) -> None:
    assert load({"SILLAGE_MONGODB_URI": uri}).mongodb_uri == uri


@pytest.mark.parametrize(
    ("given", "tls", "port"),
    [
        ({}, "starttls", 587),
        ({"SILLAGE_SMTP_TLS": "tls"}, "tls", 465),
        ({"SILLAGE_SMTP_TLS": "none", "SILLAGE_SMTP_HOST": "127.0.0.1"}, "none", 25),
        ({"SILLAGE_SMTP_PORT": "2525"}, "starttls", 2525),
    ],
)
def test_mail_goes_over_an_encrypted_connection_unless_it_stays_here(
    given: dict[str, str], tls: str, port: int
) -> None:
    settings = load({**_MAIL, **given})
    assert (settings.smtp_tls, settings.mail_port) == (tls, port)


def test_secrets_are_hidden_and_origins_told() -> None:
    given = {
        "SILLAGE_MONGODB_URI": "mongodb://u:hunter2@127.0.0.1/",
        "SILLAGE_KEYS": "1:c2VjcmV0",
        "SILLAGE_WORKERS": "5",
    }
    lines = {line.name: line for line in describe(load(given), given)}
    assert "hunter2" not in str(lines)
    assert "c2VjcmV0" not in str(lines)
    assert lines["SILLAGE_WORKERS"][1:3] == ("5", "environment")
    assert lines["SILLAGE_THREADS"].origin == "default"
    assert all(line.doc for line in lines.values())


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("", []),
        ("*", ["*"]),
        ("https://tutor.example", ["https://tutor.example"]),
        ("https://a.example, http://localhost:3000 ,", ["https://a.example", "http://localhost:3000"]),
        ("http://[::1]:8080,capacitor://localhost", ["http://[::1]:8080", "capacitor://localhost"]),
    ],
)
def test_origins(given: str, origins: list[str]) -> None:
    assert split_origins(load({"SILLAGE_CORS_ORIGINS": given}).cors_origins) == origins


URI = "mongodb://user:hunter2@127.0.0.1/?replicaSet=r"


@pytest.fixture
def uri_file(tmp_path: Path) -> Path:
    file = tmp_path / "uri"
    file.write_text(f"{URI}\n")
    file.chmod(0o600)
    return file


def test_the_connection_string_may_stand_in_a_file(uri_file: Path) -> None:
    given = {"SILLAGE_MONGODB_URI_FILE": str(uri_file)}
    settings = load(given)
    assert settings.mongodb_uri == URI
    line = next(line for line in describe(settings, given) if line.name == "SILLAGE_MONGODB_URI")
    assert (line.value, line.origin) == ("(set, hidden)", "file")
    # A container's secret is often of its group.
    uri_file.chmod(0o440)
    assert load(given).mongodb_uri == URI


@pytest.mark.parametrize(
    ("content", "mode", "also", "words"),
    [
        (URI, 0o600, {"SILLAGE_MONGODB_URI": URI}, "both given"),
        (URI, 0o644, {}, "chmod 600"),
        ("", 0o600, {}, "one line"),
        (f"{URI}\n{URI}", 0o600, {}, "one line"),
        ("mongodb://user:hunter2@db.example/?replicaSet=r", 0o600, {}, "TLS"),
        ("hunter2", 0o600, {}, "mongodb://"),
        (None, 0o600, {}, "cannot be read"),
    ],
)
def test_a_file_of_the_connection_string_that_is_refused_shows_nothing_of_it(
    uri_file: Path, content: str | None, mode: int, also: dict[str, str], words: str
) -> None:
    if content is None:
        uri_file.unlink()
    else:
        uri_file.write_text(content)
        uri_file.chmod(mode)
    with pytest.raises(SettingsInvalid) as refused:
        load({"SILLAGE_MONGODB_URI_FILE": str(uri_file), **also})
    assert words in refused.value.detail
    assert "hunter2" not in refused.value.detail


@pytest.mark.parametrize(
    "given", [{"SILLAGE_BEHIND_TLS": "true"}, {"SILLAGE_BIND": "0.0.0.0:8000", "SILLAGE_BEHIND_TLS": "true"}]
)
def test_a_demonstration_without_second_factor_is_of_this_host_alone(given: dict[str, str]) -> None:
    assert load({"SILLAGE_DEMO_WITHOUT_SECOND_FACTOR": "true"}).demo_without_second_factor
    with pytest.raises(SettingsInvalid, match="SILLAGE_DEMO_WITHOUT_SECOND_FACTOR"):
        load({"SILLAGE_DEMO_WITHOUT_SECOND_FACTOR": "true", **given})
