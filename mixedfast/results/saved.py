"""Reading of saved results, cross-products and checkpoints."""

from __future__ import annotations

from os import PathLike
from typing import Any

from mixedfast.crossprod import streaming
from mixedfast.data import storage
from mixedfast.results.glmm import GLMMResult
from mixedfast.results.lmm import LMMResult
from mixedfast.results.ols import OLSResult

__all__ = ["load"]

#: The import of a class that a file as a whole may be registers it, with every class that it may
#: hold.
_HOLDERS = (LMMResult, GLMMResult, OLSResult, streaming)


def load(path: str | PathLike[str]) -> Any:
    """Read a file that ``save`` wrote. Reading runs no code from the file.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    LMMResult, GLMMResult, OLSResult or CrossProducts

    Raises
    ------
    DataError
        When the file is not a mixedfast file, of another version, cut short or changed.

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
    return storage.load(path)
