"""Drill: statements move to a newer format under writers, by a process that is killed midway; nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from app.crypto.bodies import LATEST, format_of
from app.traces import wiring
from tests import formats as formats_known
from tests.drills.drilling import Senders, reckon, until
from tests.formats import FORMER
from tests.served import environment, serving

# ``sillage keys reseal``, in steps small enough to be killed between two of them.
RESEAL = """
import sys
from app.operations.rotation import reseal
from app.cli import main
reseal.BATCH = 20
sys.argv = ["sillage", "keys", "reseal", "--share", "0.3"]
main()
"""


@pytest.mark.long
def test_a_reseal_killed_under_writers_goes_on_and_loses_nothing(
    tmp_path: Path, mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing = formats_known.environment_knowing(tmp_path, os.environ.get("PYTHONPATH", ""))
    monkeypatch.setattr(wiring, "DICTIONARIES", formats_known.files(tmp_path))
    # Workers that still write the former format, as while a new build is brought in host by host: they read both.
    with serving(tmp_path, mongodb_uri, environ=knowing, statement_format=str(FORMER)) as server:
        statements, source = server.container.traces.statements, server.source()
        given = {name: text for name, text in server.environ.items() if name.startswith("SILLAGE_")}
        given["SILLAGE_STATEMENT_FORMAT"] = str(LATEST)

        def formats(before: int = 1 << 62) -> Counter[int]:
            return Counter(format_of(row.body) for row in statements.span(None, before, 1_000_000))

        def reseal(*words: str) -> subprocess.Popen[bytes]:
            with (tmp_path / "commands.log").open("ab") as out:
                return subprocess.Popen(
                    [sys.executable, *words], env={**environment(given), **knowing}, stdout=out, stderr=out
                )

        with Senders(server, source, threads=2) as senders:
            senders.acknowledged(20)
            process = reseal("-c", RESEAL)
            until(lambda: formats()[LATEST] >= 100 or process.poll() is not None)
            assert process.poll() is None, "it was done before it could be killed"
            process.send_signal(signal.SIGKILL)
            process.wait()
            moved = formats()
            assert moved[FORMER] and moved[LATEST]
            noted = server.container.platform.store.collection("resealing").find_one({"_id": LATEST})
            assert noted is not None
            assert "finished" not in noted
            senders.acknowledged(3)
            assert reseal("-m", "app.cli", "keys", "reseal").wait(60) == 0
            senders.acknowledged(3)
            senders.finish()
        done = server.container.platform.store.collection("resealing").find_one({"_id": LATEST})
        assert done is not None
        # It went on from there: all that was stored when it began is in the new format, nothing was gone through twice.
        assert (done["until"], done["unopened"], "finished" in done) == (noted["until"], 0, True)
        assert set(formats(done["until"])) == {LATEST}
        assert done["seen"] <= formats(done["until"]).total() + 20
        assert reckon(server, senders.record)
