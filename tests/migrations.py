"""Migrations that a test adds to those of the product, as a later version would."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.operations.schema import migrations

_APPLY = "from __future__ import annotations\n\n\ndef apply(store):\n"


@contextmanager
def later(folder: Path, **applied: str) -> Iterator[None]:
    """For a while there are these migrations, too: by name, the lines of their ``apply(store)``, joined by ``;``."""
    folder.mkdir(exist_ok=True)
    for name, lines in applied.items():
        (folder / f"{name}.py").write_text(f'"""Made by a test."""\n\n{_APPLY}    {lines}\n')
    migrations.__path__.append(str(folder))
    try:
        yield
    finally:
        migrations.__path__.remove(str(folder))
        for name in applied:
            sys.modules.pop(f"{migrations.__name__}.{name}", None)
