"""Every error and warning mixedfast raises on purpose.

A message names the column, term or row at fault and says what to do about it.
"""

from __future__ import annotations


class MixedFastError(Exception):
    """Base class of all errors and warnings of mixedfast."""


class ArgumentError(MixedFastError, ValueError):
    """An argument of a method has a value that it does not take."""


class FormulaError(MixedFastError, ValueError):
    """The formula cannot be read, or asks for something that does not exist."""


class DataError(MixedFastError, ValueError):
    """The data cannot be used as they are: a missing column, infinities, no rows left."""


class NotIdentifiedError(MixedFastError, ValueError):
    """The data cannot tell the parameters of the model apart."""


class NotDefinedError(MixedFastError, ValueError):
    """A method (of degrees of freedom, say) is not defined for this design."""


class BuildError(MixedFastError, RuntimeError):
    """A part of mixedfast that this model needs was not built on this machine."""


class MissingLibraryError(MixedFastError, ImportError):
    """An optional library that this needs is not installed; the message tells which, and how to get it."""


class CholmodError(MixedFastError, RuntimeError):
    """CHOLMOD could not do what it was asked, or a factor was used before it was computed."""


class ConvergenceWarning(MixedFastError, UserWarning):
    """The optimizer stopped at a point that its certificate does not call an optimum."""


class SingularFitWarning(MixedFastError, UserWarning):
    """An estimated covariance matrix is singular: a variance is zero or a correlation is one."""
