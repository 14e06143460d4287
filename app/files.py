"""Every kind of file that the product writes, gathered from the modules that write them.

``docs/personal-data.md`` lists them. A module that writes a file and is not here fails a test
(``tests/test_files.py``).
"""

from __future__ import annotations

from app.commands import person_access, requests, signed, simulate
from app.core.personal_data import DeclaredFile
from app.governance.audit import checkpoints, spool_file
from app.keys.providers import file as key_file
from app.operations.backup import backup_file, tombstone_file
from app.platform.mongo.embedded import server as embedded
from app.research import export
from app.serve import server
from app.web import memory

FILES: tuple[DeclaredFile, ...] = (
    *embedded.FILES,
    *key_file.FILES,
    *tombstone_file.FILES,
    *backup_file.FILES,
    *checkpoints.FILES,
    *spool_file.FILES,
    *export.FILES,
    *person_access.FILES,
    *requests.FILES,
    *signed.FILES,
    *simulate.FILES,
    *memory.FILES,
    *server.FILES,
)
