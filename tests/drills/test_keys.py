"""Drill: keys are rotated and wrapped anew under writers, by processes that are killed midway, and nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from app.crypto.keys import subject_place
from app.keys import organisation as organisation_keys
from app.keys.learners import WrappedKeys
from app.keys.providers import file as keyfile
from app.settings import env_name
from app.wiring.container import Container
from tests.drills.drilling import Senders, impatient, own_mongodb, reckon, until
from tests.served import Server, environment, serving, statement

# ``sillage keys rotate``, in a process that is gone at one moment of it.
ROTATE = """
import os, signal, sys
from pathlib import Path
from app.cli import main
from app.governance.wiring import Sink
from app.keys import organisation as organisation_keys
from app.keys.providers import file as keyfile

moment = sys.argv[1]
def gone(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def after(function, times=1):
    left = [times]
    def wrapped(*given, **named):
        made = function(*given, **named)
        left[0] -= 1
        if not left[0]:
            gone()
        return made
    return wrapped

if moment == "before the first rename":
    Path.rename = gone
elif moment == "given out":
    keyfile.replace = after(keyfile.replace)
elif moment == "recorded":
    Sink.append = after(Sink.append)
elif moment == "active":
    keyfile.replace = after(keyfile.replace, 2)
elif moment == "organisation wrapped":
    organisation_keys.rewrap = after(organisation_keys.rewrap)
sys.argv = ["sillage", "keys", "rotate"]
main()
"""

# ``sillage keys rewrap``, in steps small enough to be killed between two of them.
REWRAP = """
import sys
from app.operations.rotation import kek as keys
from app.cli import main
keys.BATCH = 20
sys.argv = ["sillage", "keys", "rewrap"]
main()
"""


def command(server: Server, *words: str) -> subprocess.Popen[bytes]:
    """A command of its own process, over the server's store."""
    settings = server.settings
    given = {
        env_name(name): str(getattr(settings, name))
        for name in (
            "data_dir",
            "mongodb_uri",
            "organisation",
            "heartbeat_seconds",
            "process_ttl_seconds",
            "mongodb_timeout_seconds",
        )
    }
    with (server.log.parent / "commands.log").open("ab") as out:
        return subprocess.Popen([sys.executable, *words], env=environment(given), stdout=out, stderr=out)


MOMENTS = ("before the first rename", "given out", "recorded", "active", "organisation wrapped")


def test_a_rotation_killed_at_any_moment_is_finished_by_the_next(tmp_path: Path, mongodb_uri: str) -> None:
    with serving(tmp_path, mongodb_uri) as server:
        source, service, path = server.source(), server.container.operations.key_service, server.settings.key_path
        for place, moment in enumerate(MOMENTS):
            before = keyfile.read(path)
            assert command(server, "-c", ROTATE, moment).wait(60) == -signal.SIGKILL
            left = keyfile.read(path)
            # Who serves goes on, and a process that starts now opens everything.
            learner = {"mbox": f"mailto:new{place}@ent.example"}
            assert server.post(source, statement(actor=learner)).status_code == 200, moment
            Container(server.settings).lifecycle.check()
            assert service.verify().whole, moment
            service.rotate()
            done = keyfile.read(path)
            assert before.lost_in(done) == left.lost_in(done) == [], moment
            assert set(organisation_keys.versions(server.container.platform.store)) == {done.active}, moment
            # After its last step, the one that was killed had done everything.
            assert done.active == before.active + (2 if moment == "organisation wrapped" else 1), moment
        assert service.rewrap().learners >= 1
        assert WrappedKeys(server.container.platform.store).versions() == [keyfile.read(path).active]
        found = server.get(server.credential("statements/read")).json()["statements"]
        assert len(found) == len(MOMENTS)


def test_a_rewrap_killed_under_writers_is_finished_and_undoes_nothing(tmp_path: Path) -> None:
    with own_mongodb(tmp_path / "mongodb") as (uri, _), serving(tmp_path, uri) as server:
        impatient(uri)
        store, container = server.container.platform.store, server.container
        wrapped = WrappedKeys(store)
        source = server.source()
        actor = {"account": {"homePage": "https://ent.example", "name": "gone"}}
        assert server.post(source, statement(actor=actor)).status_code == 200
        gone = container.keys.organisation.subject("account:https://ent.example|gone")
        crowd = sorted(container.keys.organisation.subject(f"crowd-{number}") for number in range(3_000))
        container.keys.subjects.ensured(crowd)

        def clear() -> dict[bytes, bytes]:
            keks = keyfile.read(server.settings.key_path).keks
            return {
                one.subject: keks.unwrap(subject_place(server.settings.organisation, one.subject), one.wrapped)
                for one in wrapped.every(None, 100_000)
            }

        known = clear()
        assert gone in known
        with Senders(server, source, threads=3) as senders:
            senders.acknowledged(5)
            container.operations.key_service.rotate()
            process = command(server, "-c", REWRAP)
            until(lambda: wrapped.count(2) >= 600 or process.poll() is not None, 90)
            assert process.poll() is None, "it was done before it could be killed"
            # Erased in the midst of it, one that may or may not have been wrapped anew.
            store.collection("subjects").delete_one({"_id": gone})
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert wrapped.versions() == [1, 2]
            senders.acknowledged(5)
            container.operations.key_service.rewrap()
            senders.acknowledged(5)
            senders.finish()
        # A process that had not noticed in time may have made a key behind the rewrap; the job does the rest.
        container.operations.key_service.rewrap("job:rewrap")
        assert wrapped.versions() == [2]
        now = clear()
        assert gone not in now
        assert {subject: key for subject, key in now.items() if subject in known} == {
            subject: key for subject, key in known.items() if subject != gone
        }
        assert container.operations.key_service.verify().whole
        reckon(server, senders.record)
