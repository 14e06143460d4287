"""The key-encryption keys in HashiCorp Vault, or OpenBao: their Transit engine wraps and opens, and gives no key out.

The Transit key is *derived* (``derived=true``): the place of each wrapped key is its context, from which Vault derives
what seals it, so a key moved to another learner or purpose does not open, and ``rewrap`` keeps that. A version of the
Transit key is the version noted beside what it wraps.

One request for a batch of keys, whatever its length up to ``MAX_AT_ONCE``. What Vault keeps from being done (sealed,
away, token refused) is ``KeysUnavailable``, 503: nothing is stored, the same request may be sent again. The token is
read from its file again when that changes, as Vault's agent renews it.
"""

from __future__ import annotations

import base64
import binascii
import stat
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import hvac
import requests
import structlog
from hvac.exceptions import InvalidPath, InvalidRequest, VaultError

from app.core.clock import RandomBytes
from app.core.errors import KeyMissing, KeyRefused, KeysUnavailable
from app.crypto.keys import Wrapped
from app.keys.keyring import Listed
from app.keys.providers.file import ACTIVE, DECRYPT_ONLY, DESTROYED
from app.settings import Settings

MAX_AT_ONCE = 200
"""Keys in one request: each is four strings of JSON, and OpenBao takes 1,000 unless its listener is told otherwise."""

_DOES_NOT_OPEN = (
    "The Transit key does not open this store. Give the address, mount and name of the key that it was made with."
)
_log = structlog.stdlib.get_logger("sillage.keys")


class Place(NamedTuple):
    """Location of the Transit key.

    Attributes:
        address: URL of Vault.
        mount: Path of the Transit engine.
        name: Name of the key.
        token_file: File whose first line is the token.
        ca_file: Certificates that Vault's must come from; None for those of the system.
        timeout: Longest wait for an answer, in seconds.
    """

    address: str
    mount: str
    name: str
    token_file: Path
    ca_file: Path | None
    timeout: float


class TransitKeys:
    """Wraps and opens by Vault's Transit engine. Safe to share between threads."""

    def __init__(self, place: Place) -> None:
        """Ask Vault for the versions of the key.

        Raises:
            KeyMissing: there is no such key, or no token.
            KeyRefused: the key is of another kind than is needed.
            KeysUnavailable: Vault does not answer, is sealed, or refuses the token.
        """
        self._place = place
        self._local = threading.local()
        self._listed: tuple[Listed, ...] = ()
        self.active = 0
        self.refresh()

    @property
    def current(self) -> TransitKeys:
        """The keys as they are: always those that Vault has now."""
        return self

    def listed(self) -> tuple[Listed, ...]:
        """The versions, as last asked for."""
        return self._listed

    def notice(self) -> None:
        """Nothing: whoever wraps or opens asks Vault, which has every version."""

    def opening(self) -> Collection[int]:
        """The versions that Vault opens, as last asked for."""
        return {one.number for one in self._listed if one.state != DESTROYED}

    def refresh(self) -> None:
        """Ask for the versions again; raises as the constructor does."""
        try:
            found = self._ask("GET", f"keys/{self._place.name}", None)
        except InvalidPath:
            raise KeyMissing(
                f"Vault has no Transit key of that name. Make it: `vault write {self._place.mount}/keys/"
                f"{self._place.name} type=aes256-gcm96 derived=true`."
            ) from None
        except InvalidRequest:
            raise KeyRefused("Vault does not take SILLAGE_VAULT_KEY for the name of a key.") from None
        if not (found.get("derived") and found.get("supports_encryption")):
            raise KeyRefused("The Transit key is not derived: make one with `type=aes256-gcm96 derived=true`.")
        latest, least = int(found["latest_version"]), int(found["min_decryption_version"])
        made = {int(number): _instant(at) for number, at in found["keys"].items()}
        # Those below are archived: Vault says no more of them, and does not open with them.
        self._listed = tuple(
            Listed(
                number,
                ACTIVE if number == latest else DECRYPT_ONLY if number >= least else DESTROYED,
                made.get(number),
                None,
                "",
            )
            for number in range(1, latest + 1)
        )
        self.active = latest

    def wrap(self, place: str, key: bytes, random: RandomBytes) -> Wrapped:
        """Wrap ``key`` for one place with the latest version."""
        return self.wrap_all([(place, key)], random)[0]

    def unwrap(self, place: str, wrapped: Wrapped) -> bytes:
        """Unwrap a key.

        Raises:
            KeyRefused: the Transit key does not open it.
            KeysUnavailable: Vault cannot be asked.
        """
        return self.unwrap_all([(place, wrapped)])[0]

    def wrap_all(self, items: Sequence[tuple[str, bytes]], random: RandomBytes) -> list[Wrapped]:
        """Wrap keys, each for its place; Vault takes its own randomness."""
        made: list[Wrapped] = []
        for some in _slices(items):
            asked = [{"plaintext": _text(key), "context": _text(place.encode())} for place, key in some]
            made += [_read(_whole(one)["ciphertext"]) for one in self._batch("encrypt", asked)]
        self.active = max([self.active, *(one.version for one in made)])
        return made

    def unwrap_all(self, items: Sequence[tuple[str, Wrapped]]) -> list[bytes]:
        """Unwrap keys; raises as ``unwrap``, if one cannot be."""
        opened: list[bytes] = []
        for some in _slices(items):
            opened += [_bytes(_whole(one)["plaintext"]) for one in self._batch("decrypt", _asked(some))]
        return opened

    def rewrap_all(self, items: Sequence[tuple[str, Wrapped]], random: RandomBytes) -> list[Wrapped | None]:
        """Wrap keys with the latest version, within Vault; None for each that does not open."""
        made: list[Wrapped | None] = []
        for some in _slices(items):
            made += [
                None if one.get("error") else _read(one["ciphertext"]) for one in self._batch("rewrap", _asked(some))
            ]
        return made

    def _batch(self, verb: str, items: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        try:
            found = self._ask("POST", f"{verb}/{self._place.name}", {"batch_input": list(items)})
        except InvalidPath:
            raise KeyRefused(_DOES_NOT_OPEN) from None
        except InvalidRequest as refused:
            # 400 is what Vault answers when an item of a batch does not open, beside what became of each.
            found = (refused.json or {}).get("data") or {}
            if "batch_results" not in found:
                raise KeyRefused(_DOES_NOT_OPEN) from None
        results: list[dict[str, Any]] = found["batch_results"]
        if len(results) != len(items):
            raise KeysUnavailable("Vault answered for another number of keys than was asked.")
        return results

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> dict[str, Any]:
        """The ``data`` of Vault's answer.

        Raises:
            InvalidPath, InvalidRequest: 404 and 400.
            KeysUnavailable: any other failure. Nothing of the answer is shown: it may quote what was sent.
        """
        client = self._client()
        try:
            answer = client.adapter.request(method, f"/v1/{self._place.mount}/{path}", json=body)
            data: dict[str, Any] = answer["data"]
            return data
        except (InvalidPath, InvalidRequest):
            raise
        except (VaultError, requests.RequestException, KeyError, TypeError, ValueError) as failed:
            _log.error("Vault cannot be asked", kind=type(failed).__name__)
            raise KeysUnavailable(
                "Vault, which holds the key-encryption keys, does not answer, is sealed, or refuses its token. Nothing "
                "was stored; send the same request again later."
            ) from failed

    def _client(self) -> hvac.Client:
        token, stamp = self._token()
        made = getattr(self._local, "client", None)
        if made is None or self._local.stamp != stamp:
            place = self._place
            made = hvac.Client(
                url=place.address,
                token=token,
                verify=str(place.ca_file) if place.ca_file else True,
                timeout=place.timeout,
                # A redirection would send keys to an address that nobody gave.
                allow_redirects=False,
            )
            self._local.client, self._local.stamp = made, stamp
        return made

    def _token(self) -> tuple[str, object]:
        path = self._place.token_file
        try:
            found = path.stat()
            stamp = found.st_ino, found.st_mtime_ns, found.st_size
            if getattr(self._local, "stamp", None) == stamp:
                return self._local.client.token, stamp
            if found.st_mode & stat.S_IRWXO:
                raise KeyRefused("The token file of Vault can be read by others: run `chmod 600` on it.")
            return path.read_text().split("\n", 1)[0].strip(), stamp
        except (OSError, UnicodeDecodeError):
            raise KeyMissing("The token file of Vault (SILLAGE_VAULT_TOKEN_FILE) cannot be read.") from None


class VaultProvider:
    """Keys that stay with Vault."""

    file = None
    unchangeable = (
        "The keys are with Vault, which makes, rotates, destroys and backs them up: docs/keys.md says how. "
        "`sillage keys rewrap` follows a rotation."
    )
    kept = ("Key-encryption keys: with Vault. Back its storage up: without it nothing stored can be read.",)

    def __init__(self, place: Place) -> None:
        self._place = place

    def lost(self) -> bool:
        """Never: Vault says itself what it lacks."""
        return False

    def create(self, random: RandomBytes, now: datetime) -> str:
        """Nothing is made: the Transit key is the operator's to make."""
        return ""

    def open(self) -> TransitKeys:
        """The keys; raises as ``TransitKeys``."""
        return TransitKeys(self._place)


def provider(settings: Settings) -> VaultProvider:
    """The provider for ``SILLAGE_KEY_PROVIDER=vault``."""
    return VaultProvider(
        Place(
            settings.vault_address,
            settings.vault_mount,
            settings.vault_key,
            settings.vault_token_path,
            settings.vault_ca_file,
            settings.vault_timeout_seconds,
        )
    )


def _asked(items: Sequence[tuple[str, Wrapped]]) -> list[dict[str, str]]:
    return [
        {"ciphertext": f"vault:v{wrapped.version}:{_text(wrapped.sealed)}", "context": _text(place.encode())}
        for place, wrapped in items
    ]


def _slices(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), MAX_AT_ONCE):
        yield items[start : start + MAX_AT_ONCE]


def _whole(one: dict[str, Any]) -> dict[str, Any]:
    if one.get("error"):
        raise KeyRefused(_DOES_NOT_OPEN)
    return one


def _read(ciphertext: str) -> Wrapped:
    try:
        _, version, sealed = ciphertext.split(":")
        return Wrapped(int(version.removeprefix("v")), _bytes(sealed))
    except ValueError:
        raise KeysUnavailable("Vault answered what is no wrapped key.") from None


def _instant(at: object) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if isinstance(at, int) else None


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise KeysUnavailable("Vault answered what is not base64.") from None
