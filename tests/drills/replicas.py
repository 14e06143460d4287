"""A replica set of three members for drills: on loopback, or each in a network of its own that can be cut.

Small caches, an election within about two seconds, and nothing of it left when the context ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from app.platform.mongo.embedded.server import find_binary
from tests.drills.drilling import alive, until
from tests.served import free_port

NAME = "drill"
ELECTION_SECONDS = 2.0
"""Silence of the primary after which the others elect another one."""
_PORT_IN_NETWORK = 27017


@dataclass
class Member:
    """One ``mongod``; ``network`` is the name of its network namespace, empty on loopback."""

    host: str
    port: int
    folder: Path
    network: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the ``mongod``."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it, over what an earlier one left in its folder; it is up some time later."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = [
            *(("ip", "netns", "exec", self.network) if self.network else ()),
            # Whatever becomes of the tests, it does not outlive them.
            *(("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()),
            *(str(find_binary()), "--dbpath", str(data), "--bind_ip", self.host, "--port", str(self.port)),
            *("--replSet", NAME, "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"),
            *("--logpath", str(self.folder / "mongod.log"), "--logappend", "--quiet"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # What a killed worker leaves open is given up soon, as the embedded server's is.
            *("--setParameter", "transactionLifetimeLimitSeconds=3"),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped in whatever it does; goes on afterwards."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def hello(self) -> dict[str, Any]:
        """The member's ``hello``; empty when it does not answer."""
        try:
            with MongoClient[dict[str, Any]](
                self.host, self.port, directConnection=True, serverSelectionTimeoutMS=700, timeoutMS=700
            ) as client:
                return dict(client.admin.command("hello"))
        except PyMongoError:
            return {}


class Replicas:
    """The members of a running replica set."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        hosts = ",".join(member.address for member in members)
        self.uri = f"mongodb://{hosts}/?replicaSet={NAME}"

    def initiate(self) -> None:
        """Make one set of them, and wait for its primary."""
        until(lambda: all(map(self._up, self.members)), 60)
        document = {
            "_id": NAME,
            "members": [{"_id": place, "host": member.address} for place, member in enumerate(self.members)],
            "settings": {
                "electionTimeoutMillis": int(ELECTION_SECONDS * 1_000),
                "heartbeatIntervalMillis": 300,
                "heartbeatTimeoutSecs": 2,
            },
        }
        with self._direct(self.members[0]) as client:
            client.admin.command("replSetInitiate", document)
        until(self._whole, 60)

    def settle(self) -> None:
        """Start those that a drill has left dead, and wait until all follow one primary."""
        for member in self.members:
            if not alive(member.pid):
                member.start()
        until(self._whole, 60)

    @property
    def can_be_cut(self) -> bool:
        """True if the members have networks of their own."""
        return bool(self.members[0].network)

    def primary(self, seconds: float = 60.0, *, other_than: Member | None = None) -> Member:
        """The member that the majority follows; waits for one."""
        found: list[Member] = []

        def look() -> bool:
            # One that was paused or cut off may still take itself for the primary: it has an older term.
            said = [(member, member.hello()) for member in self.members if member is not other_than]
            leading = [(hello["electionId"], place) for place, (_, hello) in enumerate(said) if _leads(hello)]
            found[:] = [said[max(leading)[1]][0]] if leading else []
            return bool(found)

        until(look, seconds)
        return found[0]

    def cut(self, member: Member) -> None:
        """Let no packet pass between this member and the others; clients reach all of them."""
        self._routes("add", member)

    def join(self, member: Member) -> None:
        """Undo ``cut``."""
        self._routes("del", member)

    def _routes(self, verb: str, member: Member) -> None:
        for other in self.members:
            if other is not member:
                _ip("-n", member.network, "route", verb, "blackhole", f"{other.host}/32")

    def _whole(self) -> bool:
        said = [member.hello() for member in self.members]
        return sum(map(_leads, said)) == 1 and sum(bool(hello.get("secondary")) for hello in said) == 2

    def _up(self, member: Member) -> bool:
        assert alive(member.pid), (member.folder / "mongod.log").read_text()[-3_000:]
        return bool(member.hello())

    def _direct(self, member: Member) -> MongoClient[dict[str, Any]]:
        return MongoClient(member.host, member.port, directConnection=True)


def _leads(hello: dict[str, Any]) -> bool:
    return bool(hello.get("isWritablePrimary")) and "electionId" in hello


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def replica_set(folder: Path, *, separate: bool = False) -> Iterator[Replicas]:
    """Three members, a primary among them.

    Args:
        folder: Where their data and logs are.
        separate: Each in a network namespace of its own, so that ``cut`` works; see ``networks_possible``.
    """
    with ExitStack() as stack:
        if separate:
            members = _networks(folder, stack)
        else:
            members = [
                Member(f"127.0.0.{place}", free_port(f"127.0.0.{place}"), folder / f"member-{place}")
                for place in (11, 12, 13)
            ]
        for member in members:
            stack.callback(member.kill)
            member.start()
        replicas = Replicas(members)
        replicas.initiate()
        yield replicas


def networks_possible() -> bool:
    """True if networks can be made here: it takes root, ip (Debian: iproute2), and a kernel that allows it."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    trial, cable = f"sillage-{os.getpid()}", f"sdt{os.getpid()}"
    try:
        _ip("netns", "add", trial)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "e0", "netns", trial)
        _ip("link", "add", f"{cable}b", "type", "bridge")
        _ip("-n", trial, "route", "add", "blackhole", "198.18.0.0/32")
    except subprocess.CalledProcessError:
        return False
    finally:
        _remove("link", f"{cable}b")
        _remove("link", cable)
        _remove("netns", trial)
    return True


def _networks(folder: Path, stack: ExitStack) -> list[Member]:
    """Three network namespaces, joined with this one by a bridge."""
    tag = os.getpid() % 65_536
    # RFC 2544: addresses for tests between networks; nobody else has them.
    block, bridge = f"198.{18 + tag % 2}.{tag // 2 % 256}", f"sdb{tag}"
    members = []
    _ip("link", "add", bridge, "type", "bridge")
    stack.callback(_remove, "link", bridge)
    _ip("addr", "add", f"{block}.1/24", "dev", bridge)
    _ip("link", "set", bridge, "up")
    for place in (11, 12, 13):
        network, cable = f"sillage-{tag}-{place}", f"sdv{tag}-{place}"
        _ip("netns", "add", network)
        stack.callback(_remove, "netns", network)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "e0", "netns", network)
        _ip("link", "set", cable, "master", bridge, "up")
        _ip("-n", network, "addr", "add", f"{block}.{place}/24", "dev", "e0")
        _ip("-n", network, "link", "set", "e0", "up")
        _ip("-n", network, "link", "set", "lo", "up")
        members.append(Member(f"{block}.{place}", _PORT_IN_NETWORK, folder / f"member-{place}", network))
    return members


def _remove(kind: str, name: str) -> None:
    subprocess.run(["ip", kind, "del", name], check=False, capture_output=True)
