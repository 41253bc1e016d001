"""Errors of reading files, in the same words for whole tables and for batches."""

from __future__ import annotations

from mixedfast.errors import DataError

__all__ = ["ragged", "two_columns", "unreadable"]


def unreadable(where: object, error: Exception, kind: str = "") -> DataError:
    """Return the error for a file, or a part of one, that a library cannot read.

    Examples
    --------
    >>> str(unreadable("a.csv", ValueError("no columns"), "CSV"))
    'a.csv cannot be read as CSV: no columns'
    """
    reason = " ".join(str(error).split())
    return DataError(f"{where} cannot be read{f' as {kind}' if kind else ''}: {reason}")


def ragged(where: object, line: int | str, values: int, names: int) -> DataError:
    """Return the error for a line of text with too many or too few values.

    Parameters
    ----------
    where : object
        The file.
    line : int or str
        The number of the line, or its text.
    values, names : int
        Number of values in the line, and of names in the header.
    """
    return DataError(
        f"{where}, line {line!r}: {values} values, and the header has {names} names: correct the "
        "line, put quotes around text that contains the separator, or name every column"
    )


def two_columns(where: object, name: str) -> DataError:
    """Return the error for two columns of one name."""
    return DataError(f"{where} has two columns {name!r}: rename one, or leave it out")
