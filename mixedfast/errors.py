"""Every error and warning mixedfast raises on purpose.

A message names the column, term or row at fault and says what to do about it.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from types import FrameType

#: Words of a message from this length on are shown by their ends: a name of a million letters.
_LONG_WORD = re.compile(r"(\S{80})\S{170,}(\S{20})")


class MixedFastError(Exception):
    """Base class of all errors and warnings of mixedfast."""

    def __init__(self, message: str = "") -> None:
        super().__init__(_LONG_WORD.sub(r"\1...\2", message))


class ArgumentError(MixedFastError, ValueError):
    """An argument of a method has a value that it does not take."""


class FormulaError(MixedFastError, ValueError):
    """The formula cannot be read, or names something that does not exist."""


class DataError(MixedFastError, ValueError):
    """The data cannot be used as they are: a missing column, infinities, no rows left."""


class NotIdentifiedError(MixedFastError, ValueError):
    """The parameters of the model are not identified by the data."""


class NotDefinedError(MixedFastError, ValueError):
    """A method, such as one for degrees of freedom, is not defined for this design."""


class BuildError(MixedFastError, RuntimeError):
    """A part of mixedfast that this model needs was not built on this machine."""


class MissingLibraryError(MixedFastError, ImportError):
    """An optional library is not installed; the message says which, and how to install it."""


class CholmodError(MixedFastError, RuntimeError):
    """A call of CHOLMOD failed, or a factor was used before it was computed."""


class MixedFastWarning(MixedFastError, UserWarning):
    """Base class of all warnings of mixedfast."""


class DataWarning(MixedFastWarning):
    """The data can be used, but a column or a term may not be what was meant."""


class ConvergenceWarning(MixedFastWarning):
    """The optimizer stopped at a point where the certificate of convergence does not hold."""


class SingularFitWarning(MixedFastWarning):
    """An estimated covariance matrix is singular: a variance is zero or a correlation is one."""


_PACKAGE = os.path.dirname(__file__) + os.sep


def warn(message: str, category: type[Warning] = MixedFastWarning) -> None:
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
    ('the fit is singular', 'MixedFastWarning')
    """
    frame: FrameType | None = sys._getframe()
    outermost = depth = 1
    while frame is not None:
        if frame.f_code.co_filename.startswith(_PACKAGE):
            outermost = depth
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=outermost + 1)
