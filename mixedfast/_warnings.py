"""Warnings that point at the user's line."""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType

__all__ = ["warn"]

_PACKAGE = os.path.dirname(__file__) + os.sep


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the line that called mixedfast, however deep inside the package it arises.

    The caller of the outermost frame of the package is that line: frames of the standard library
    may lie in between (those of a context manager, say).

    Parameters
    ----------
    message : str
    category : type of warning

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("the fit is singular")
    >>> str(caught[0].message), caught[0].category.__name__
    ('the fit is singular', 'UserWarning')
    """
    frame: FrameType | None = sys._getframe()
    outermost = depth = 1
    while frame is not None:
        if frame.f_code.co_filename.startswith(_PACKAGE):
            outermost = depth
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=outermost + 1)
