"""A real OpenBao in its development mode, for tests: the fork of HashiCorp Vault whose Transit protocol is the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hvac
import requests

from app.keys.providers.vault_transit import Place
from tests.served import free_port

BAO = shutil.which("bao", path=str(Path(sys.executable).parent)) or shutil.which("bao")

POLICY = """
path "transit/encrypt/sillage" { capabilities = ["update"] }
path "transit/decrypt/sillage" { capabilities = ["update"] }
path "transit/rewrap/sillage"  { capabilities = ["update"] }
path "transit/keys/sillage"    { capabilities = ["read"] }
"""


class Vault:
    """A running server, and what its operator may do.

    Attributes:
        address: Its URL.
        root: A client that may do everything.
        token_file: A token that may do what ``docs/keys.md`` says, and no more.
    """

    def __init__(self, address: str, root: hvac.Client, unseal_key: str, token_file: Path) -> None:
        self.address = address
        self.root = root
        self.token_file = token_file
        self._unseal_key = unseal_key

    def place(self, name: str = "sillage") -> Place:
        """The place of a key of that name."""
        return Place(self.address, "transit", name, self.token_file, None, 5.0)

    def token(self) -> str:
        """A fresh token of the service."""
        made: str = self.root.auth.token.create(policies=["sillage"], no_default_policy=True)["auth"]["client_token"]
        return made

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """Seal it for a while."""
        self.root.sys.seal()
        try:
            yield
        finally:
            self.root.sys.submit_unseal_key(self._unseal_key)
            limit = time.monotonic() + 20
            # It leads again a moment after it was opened.
            while requests.get(f"{self.address}/v1/sys/health", timeout=5).status_code != 200:
                assert time.monotonic() < limit
                time.sleep(0.05)


@contextmanager
def running(folder: Path) -> Iterator[Vault]:
    """Start one, with a Transit key ``sillage``; stopped afterwards."""
    assert BAO is not None
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    log = folder / "bao.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [BAO, "server", "-dev", "-dev-root-token-id=root", f"-dev-listen-address=127.0.0.1:{port}"],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        )
    try:
        limit = time.monotonic() + 60
        while not (found := re.search(r"Unseal Key: (\S+)", log.read_text())) or not _ready(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.05)
        root = hvac.Client(url=address, token="root")
        root.sys.enable_secrets_engine("transit")
        root.secrets.transit.create_key("sillage", key_type="aes256-gcm96", derived=True)
        root.sys.create_or_update_policy("sillage", POLICY)
        token_file = folder / "vault-token"
        vault = Vault(address, root, found[1], token_file)
        token_file.touch(mode=0o600)
        token_file.write_text(vault.token() + "\n")
        yield vault
    finally:
        process.terminate()
        process.wait(20)


def _ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/v1/sys/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False
