"""The dialect of a file of delimited text: separator, decimal mark and encoding.

Programs with a German, French or Spanish locale write semicolons between values, decimal commas,
and often Windows-1252 instead of UTF-8. The first lines of a file show all three.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass

from mixedfast.errors import DataWarning, warn

__all__ = ["HEAD_BYTES", "Dialect", "dialect_of", "not_utf8"]

#: Bytes of a file that are looked at.
HEAD_BYTES = 1 << 18
_SEPARATORS = ",;\t|"
_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*")
_POINT = re.compile(r"\s*[+-]?\d*\.\d+\s*")


@dataclass(frozen=True)
class Dialect:
    """How values are written in a file of text.

    Parameters
    ----------
    separator : str
    decimal : {".", ","}
    encoding : str
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"


def dialect_of(head: bytes, where: str, separator: str | None = None) -> Dialect:
    """Find the dialect of a file from its first bytes.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES` of the file, or all.
    where : str
        The name of the file, for the warning.
    separator : str, optional
        The separator, where the name of the file gives it.

    Warns
    -----
    DataWarning
        When the text is not UTF-8.

    Examples
    --------
    >>> dialect_of(b"y;x\\n1,5;2\\n", "a.csv")
    Dialect(separator=';', decimal=',', encoding='utf-8')
    """
    encoding = _encoding(head, where)
    # the last line may be cut
    whole = len(head) < HEAD_BYTES
    lines = head.decode(encoding, errors="ignore").splitlines()[: None if whole else -1]
    if not lines:
        return Dialect(separator or ",", encoding=encoding)
    separator = separator or _separator(lines[0])
    if separator == ",":
        return Dialect(separator, ".", encoding)
    fields = [field for line in csv.reader(lines[1:], delimiter=separator) for field in line]
    commas = any(_COMMA.fullmatch(field) for field in fields)
    points = any(_POINT.fullmatch(field) for field in fields)
    return Dialect(separator, "," if commas and not points else ".", encoding)


def _separator(header: str) -> str:
    """Return the separator that occurs most often outside of quotes; a comma without any."""
    outside = re.sub(r'"[^"]*"', "", header)
    counts = Counter(character for character in outside if character in _SEPARATORS)
    return max(_SEPARATORS, key=lambda mark: counts[mark])


def _encoding(head: bytes, where: str) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(head) - 3 and len(head) >= HEAD_BYTES:
            return "utf-8"  # the last letter is cut
        return not_utf8(where)
    return "utf-8"


def not_utf8(where: str) -> str:
    """Warn that a file is not UTF-8, and return the encoding in which it is read."""
    warn(
        f"{where} is not UTF-8: it is read as Latin-1. Save it as UTF-8 if letters "
        "with accents look wrong",
        DataWarning,
    )
    return "latin-1"
