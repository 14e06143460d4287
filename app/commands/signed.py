"""Signed documents (receipts, certificates) on the command line: written to new files, verified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from app.commands.screen import out
from app.commands.words import N_, _
from app.core.errors import FileRefused
from app.core.personal_data import GIVEN, DeclaredFile, PersonalFile
from app.crypto import signing
from app.crypto.signing import Signed

_F = TypeVar("_F", bound=Callable[..., Any])


FILES = (
    DeclaredFile(
        "*",
        GIVEN,
        PersonalFile(
            what="`sillage receipt write`, `sillage certificate write`: signed receipts and certificates: MACs in "
            "the place of identifiers",
            retain="as long as whoever was given it keeps it",
            erase="stays: it is the proof of an erasure",
            restore="untouched; `sillage certificate reapply` reads certificates",
        ),
    ),
)


_WRITTEN = {"receipt": N_("Receipt"), "certificate": N_("Certificate")}


def verify_options(command: _F) -> _F:
    """FILE and ``--public-key``, for ``verified``."""
    key = click.option(
        "--public-key",
        "public_key",
        required=True,
        type=click.Path(path_type=Path),
        help="The organisation's public key, as `sillage keys public` prints it.",
    )
    return click.argument("file", type=click.Path(path_type=Path))(key(command))


def verified(file: Path, public_key: Path, kind: str) -> Signed:
    """The document in a file, its signature right, which is said.

    Raises:
        FileRefused: one of the files cannot be read. ``kind``: what the document is called (``receipt``).
    """
    signed = signing.verified(
        read(file, f"{kind} or the public key"), signing.parse_public_key(read(public_key, f"{kind} or the public key"))
    )
    out().print(_("The signature is right: {format}.", format=signed.format))
    return signed


def read(file: Path, what: str) -> bytes:
    """The content of a file.

    Raises:
        FileRefused: it cannot be read; ``what`` it is, without its article, stands in the error.
    """
    try:
        return file.read_bytes()
    except OSError:
        raise FileRefused(f"The {what} cannot be read.") from None


def write(document: bytes, file: Path, kind: str, *, quiet: bool = False) -> None:
    """Write a document to a new file, and say so unless ``quiet``.

    Raises:
        FileRefused: there is one of that name, or it cannot be written; ``kind`` names the command that does it later.
    """
    try:
        with file.open("xb") as target:
            target.write(document)
    except FileExistsError:
        raise FileRefused("The file is there already; it is not overwritten.") from None
    except OSError:
        raise FileRefused(f"The {kind} cannot be written there. `sillage {kind} write` writes it elsewhere.") from None
    if not quiet:
        out().print(f"{_(_WRITTEN[kind])}: {file}")
