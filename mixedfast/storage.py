"""Results and cross-products as files.

A file is a line that says what it is, a checksum, and a pickle. Pickles can run code when they are read: load only
files you trust.
"""

from __future__ import annotations

import hashlib
import pickle
from os import PathLike
from pathlib import Path
from typing import Any

from mixedfast.errors import DataError

__all__ = ["load", "save"]

_FIRST_LINE = b"mixedfast file, version 1\n"
_DIGEST = hashlib.sha256().digest_size


def save(thing: Any, path: str | PathLike[str]) -> None:
    """Write a result or cross-products; no rows go with it (see ``LMMResult.keep_rows``)."""
    body = pickle.dumps(thing, protocol=5)
    Path(path).write_bytes(_FIRST_LINE + hashlib.sha256(body).digest() + body)


def load(path: str | PathLike[str]) -> Any:
    """Read what `save` wrote.

    The file holds a pickle: load only files you trust.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    LMMResult or CrossProducts

    Raises
    ------
    DataError
        When the file is not one of ours, of another version, cut short or changed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     m.save(pathlib.Path(folder) / "sleep.mf")
    ...     again = mf.load(pathlib.Path(folder) / "sleep.mf")
    >>> again.criterion == m.criterion
    True
    """
    content = Path(path).read_bytes()
    if not content.startswith(_FIRST_LINE):
        raise DataError(f"{path} was not written by this version of mixedfast's save")
    digest = content[len(_FIRST_LINE) : len(_FIRST_LINE) + _DIGEST]
    body = content[len(_FIRST_LINE) + _DIGEST :]
    if hashlib.sha256(body).digest() != digest:
        raise DataError(f"{path} is damaged: its checksum does not match")
    return pickle.loads(body)
