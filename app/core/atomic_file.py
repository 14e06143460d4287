"""A large file that is written whole or not at all, and never takes the place of what is there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from app.core.errors import FileRefused

_ASIDE = ".part"


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a new file aside, mode 0600; it gets its name, flushed to disk, when the block ends without an exception.

    A process that is killed leaves ``.NAME.part`` behind, which the next that writes to NAME takes over.

    Raises:
        FileRefused: there is something of that name, another process is writing it, or it cannot be written.
    """
    if path.exists() or path.is_symlink():
        raise FileRefused("There is a file of that name already. Nothing was written.")
    aside = path.with_name(f".{path.name}{_ASIDE}")
    with os.fdopen(_opened(aside), "r+b") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FileRefused("Another process is writing that file now.") from None
        try:
            os.ftruncate(file.fileno(), 0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            _named(aside, path)
            flush_folder(path.parent)
        except OSError as failed:
            raise FileRefused(f"The file cannot be written ({failed.strerror}). Nothing is left of it.") from failed
        finally:
            with suppress(OSError):
                aside.unlink()


def sweep(folder: Path, prefix: str) -> None:
    """Remove what killed processes left of files whose names begin with ``prefix``."""
    for aside in folder.glob(f".{prefix}*{_ASIDE}"):
        with suppress(OSError), aside.open("rb") as file:
            # Whoever still writes it holds the lock.
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            aside.unlink()


def _opened(aside: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with suppress(FileExistsError):
            return os.open(aside, flags | os.O_CREAT | os.O_EXCL, 0o600)
        descriptor = os.open(aside, flags)
        try:
            found = os.fstat(descriptor)
            # Whoever put one there beforehand would read what goes in, or change it afterwards.
            if found.st_uid != os.geteuid() or found.st_nlink != 1:
                raise FileRefused(f"{aside.name} is in the way there, which is not this user's alone: remove it.")
            os.fchmod(descriptor, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
    except OSError as refused:
        raise FileRefused(f"The file cannot be written there ({refused.strerror}).") from refused


def _named(aside: Path, path: Path) -> None:
    # A link, unlike a rename, never takes the place of what is there.
    try:
        os.link(aside, path)
    except FileExistsError:
        raise FileRefused("A file of that name was made meanwhile. Nothing was written.") from None
    except OSError:
        # A file system without links.
        if path.exists():
            raise FileRefused("A file of that name was made meanwhile. Nothing was written.") from None
        aside.rename(path)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on disk: a new one, or one that took another's place."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
