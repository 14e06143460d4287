"""Pages of the data protection officer while MongoDB does not answer: told so, nothing done, and on afterwards."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from app.access.roles import Role
from tests.drills.drilling import own_mongodb, state_of, until
from tests.served import serving
from tests.web.portal.signed_in import signed_in
from tests.web.portal.signed_table import TABLE

TIMEOUT = "1.5"


def test_every_page_and_form_says_so_and_does_nothing(tmp_path: Path) -> None:
    with (
        own_mongodb(tmp_path / "mongodb") as (uri, folder),
        serving(tmp_path, uri, workers="1", mongodb_timeout_seconds=TIMEOUT) as server,
    ):
        server.source("tutor")
        dpo = signed_in(server, Role.DPO)
        page = dpo.get("/en/dpo/requests/open").text
        once = re.search(r'name="once" value="(\w+)"', page)
        token = re.search(r'name="token" value="(\w+)"', page)
        assert once is not None and token is not None
        opening = {"kind": "access", "mbox": "pupil@ecole.example", "once": once[1]}
        rows = [row for row in TABLE if row.roles == (Role.DPO,)]
        os.kill(state_of(folder).server, signal.SIGSTOP)
        try:
            for row in rows:
                path = f"/fr/{row.path}"
                answer = dpo.get(path) if row.fields is None else dpo.post(path, row.fields, token=token[1])
                assert answer.status_code == 503, row
                assert "database-unavailable" in answer.text
            assert dpo.post("/en/dpo/requests/open", opening, token=token[1]).status_code == 503
        finally:
            os.kill(state_of(folder).server, signal.SIGCONT)
        until(lambda: dpo.get("/en/dpo").status_code == 200)
        # The same form is sent again, and twice at that: one request.
        for _ in range(2):
            assert dpo.post("/en/dpo/requests/open", opening, token=token[1]).status_code == 303
        assert server.container.people.requests.standing().pending == 1
