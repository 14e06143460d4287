"""A MongoDB that stands alone has no transactions: refused at the start, not at the first batch."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from app.core.errors import DatabaseRefused, DatabaseUnavailable
from app.platform.mongo.connection import Store
from app.platform.mongo.embedded.server import find_binary


def test_a_standalone_server_is_refused_with_what_to_do(tmp_path: Path) -> None:
    socket = tmp_path / "m.sock"
    options = ["--dbpath", str(tmp_path), "--bind_ip", str(socket), "--unixSocketPrefix", str(tmp_path), "--quiet"]
    server = subprocess.Popen([str(find_binary()), *options], stdout=subprocess.DEVNULL)
    try:
        store = Store.open(f"mongodb://{quote(str(socket), safe='')}", "sillage_alone", timeout_seconds=5)
        limit = time.monotonic() + 20
        while True:
            try:
                with pytest.raises(DatabaseRefused, match="replSet"):
                    store.require_transactions()
                break
            except DatabaseUnavailable:
                assert time.monotonic() < limit
                time.sleep(0.1)
        store.close()
    finally:
        server.terminate()
        server.wait(30)
