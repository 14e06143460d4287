"""The machine that is measured: what the measurements take of it, and how their tables name it."""

from __future__ import annotations

import os
import platform
import socket
from datetime import UTC, datetime

# What MongoDB takes unless told, half of all memory but a gigabyte; here at most 8 GiB.
CACHE_MB = max(256, min(8192, (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 - 1024) // 2))


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def described() -> str:
    """Its processors, the version of Python, and the day (UTC)."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
