"""Write files whole or not at all.

Everything the package writes goes through `whole_file`: saved results and checkpoints, reports,
augmented rows.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from mixedfast._validation import check_path
from mixedfast.errors import DataError

__all__ = ["whole_file", "write_text"]

_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def whole_file(
    what: str, path: str | PathLike[str], inputs: Iterable[str | PathLike[str]] = ()
) -> Iterator[BinaryIO]:
    """Open a file that takes its place when the block ends without an error.

    The bytes go to a new file ``NAME.<random>.part`` in the same folder, which then replaces the
    target. A link is followed. A file that is replaced keeps its permissions. After an error the
    old file is whole and the new one is removed.

    Parameters
    ----------
    what : str
        The call or argument to name in errors, such as ``"save"``.
    path : path
    inputs : paths
        Files that are being read, which must not be replaced.

    Raises
    ------
    DataError
        When the path is a folder, device, pipe or socket, or one of the inputs.
    OSError
        When the file cannot be written; it names `path`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with whole_file("save", f"{folder}/numbers.txt") as file:
    ...         _ = file.write(b"1 2 3")
    ...     os.listdir(folder)
    ['numbers.txt']
    """
    given = check_path(what, path)
    target, mode = _regular(what, given)
    for source in inputs:
        if _is_same(target, Path(source)):
            raise DataError(
                f"{what}: {given} is the file that the data are read from: give another name"
            )
    unfinished = target.with_name(f"{target.name}.{secrets.token_hex(8)}.part")
    try:
        with _new_file(unfinished, private=mode is not None) as file:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except OSError as error:
        # without a number it is no error of a file: what the block reads may raise its own
        if error.errno is not None and error.filename in (None, str(unfinished), str(target)):
            raise type(error)(error.errno, error.strerror, str(given)) from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(
    what: str,
    path: str | PathLike[str],
    text: str,
    inputs: Iterable[str | PathLike[str]] = (),
) -> None:
    """Write a text as UTF-8, whole or not at all (see `whole_file`)."""
    with whole_file(what, path, inputs) as file:
        file.write(text.encode("utf-8"))


def _regular(what: str, path: Path) -> tuple[Path, int | None]:
    """Return the file that a path leads to, and its permissions if it exists."""
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target, None
    for is_kind, kind in _SPECIAL:
        if is_kind(mode):
            raise DataError(f"{what}: {path} is {kind}: give the name of a file")
    return target, stat.S_IMODE(mode)


def _is_same(target: Path, source: Path) -> bool:
    return target.exists() and source.exists() and os.path.samefile(target, source)


def _new_file(path: Path, private: bool) -> BinaryIO:
    """Create a file that did not exist, readable by others as the process allows unless private."""
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600 if private else 0o666), "w+b")
