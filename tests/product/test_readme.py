"""The README does what it says: its first exchange is run as it stands."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import requests

from tests.places import ROOT
from tests.served import environment, free_port, wait_ready

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(sh|json)\n(.*?)```", README, re.DOTALL)


def command_lines(block: str) -> list[str]:
    return [line.partition("  #")[0].strip() for line in block.splitlines() if line.strip()]


def test_it_is_one_screen_with_two_commands() -> None:
    assert len(README.splitlines()) <= 75
    for command in command_lines(BLOCKS[0][1]):
        assert os.access(ROOT / command, os.X_OK)


def test_the_first_exchange(tmp_path: Path, mongodb_uri: str, database_name: str) -> None:
    setup, *commands = command_lines(BLOCKS[1][1])
    assert setup.startswith("scripts/setup")
    port = free_port()
    given = environment(
        {
            "SILLAGE_DATA_DIR": str(tmp_path / "data"),
            "SILLAGE_MONGODB_URI": mongodb_uri,
            "SILLAGE_ORGANISATION": database_name.removeprefix("sillage_"),
            "SILLAGE_BIND": f"127.0.0.1:{port}",
        }
    )
    said = ""
    log = tmp_path / "serve.log"
    server = None
    try:
        for line in commands:
            name, *arguments = shlex.split(line)
            assert name == "sillage"
            command = [sys.executable, "-m", "app.cli", *arguments]
            if arguments == ["serve"]:
                with log.open("wb") as out:
                    server = subprocess.Popen(command, cwd=ROOT, env=given, stdout=out, stderr=out)
            else:
                said += subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=True).stdout
        assert server is not None
        wait_ready(f"http://127.0.0.1:{port}", server, log)
        key, secret = re.findall(r"^(?:key|secret) +(\S+)$", said, re.MULTILINE)
        url, headers, body = curl(BLOCKS[2][1])
        url = url.replace(":8000", f":{port}")
        stored = requests.post(url, headers=headers, data=body, auth=(key, secret), timeout=30)
        assert stored.status_code == 200
        assert re.fullmatch(r'\["[0-9a-f-]{36}"\]', stored.text)
        assert re.fullmatch(r'\["[0-9a-f-]{36}"\]', BLOCKS[3][1].strip())
        refused = requests.post(
            url, headers=headers, data=body.replace('"actor"', '"acter"'), auth=(key, secret), timeout=30
        ).json()
        shown = BLOCKS[4][1]
        for part in (refused["code"], refused["title"]):
            assert part in shown
        fault = next(one for one in refused["faults"] if one["rule"] in shown)
        for name in ("pointer", "section", "message"):
            assert f'"{name}": "{fault[name]}"' in shown
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def curl(block: str) -> tuple[str, dict[str, str], str]:
    """The URL, headers and body of a curl command."""
    words = iter(shlex.split(block.replace("\\\n", " ")))
    assert next(words) == "curl"
    url, headers, body = "", {}, ""
    for word in words:
        if word == "-u":
            assert next(words) == "KEY:SECRET"
        elif word == "-H":
            name, _, text = next(words).partition(": ")
            headers[name] = text
        elif word == "-d":
            body = next(words)
        else:
            url = word
    return url, headers, body
