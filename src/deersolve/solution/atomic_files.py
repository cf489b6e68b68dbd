"""Files that are whole or not there: written beside their place, and moved to it when they are finished."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import mismatch


def place(what: str, path: str | os.PathLike[str]) -> Path:
    """Return where a file is to be written, links followed; raise if it cannot be, with ``what`` in the message.

    Nothing is there but a file that may be replaced, or nothing at all; a draft beside it can be made.
    """
    try:
        file = Path(os.path.realpath(path))
        if not file.parent.is_dir():
            raise mismatch(what, "a file in a folder that exists", str(path))
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(file.lstat().st_mode):
                raise mismatch(what, "the name of a file", f"{path}, which is something else")
            if not os.access(file, os.W_OK):
                raise mismatch(what, "a file that may be replaced", f"{path}, which is protected")
        with drafted(file):
            return file
    except OSError as error:
        raise mismatch(what, "a file that can be written", f"{path} ({reason(error)})") from error


def reason(error: OSError) -> str:
    """Return why something could not be read or written, without the name of the file."""
    return error.strerror or str(error)


@contextlib.contextmanager
def drafted(file: Path) -> Iterator[Path]:
    """Make an empty file beside a place, of the same kind and with a name of its own; remove it in the end."""
    draft = file.with_name(f".draft-{secrets.token_hex(8)}{file.suffix}")
    try:
        draft.touch(exist_ok=False)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give the name of a draft to write; it takes the place of ``file`` where nothing was raised."""
    with drafted(file) as draft:
        yield draft
        with draft.open("rb+") as written:
            os.fsync(written.fileno())
        with contextlib.suppress(OSError):  # nothing is there, or it has no mode
            shutil.copymode(file, draft)
        draft.replace(file)
