"""A check that a table has the rows whose sums a fit has."""

from __future__ import annotations

import numpy as np

from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.types import Design
from mixedfast.errors import DataError

__all__ = ["check_same_sums"]

#: Difference of two sums of products, relative to the lengths of their columns, that the order of
#: addition and the number of threads explain.
_ROUNDING = 1e-9


def check_same_sums(cp: CrossProducts, design: Design, what: str) -> None:
    """Raise DataError when the rows of a design do not have the sums of a fit.

    Parameters
    ----------
    cp : CrossProducts
    design : Design
        Coded by the recipe of the fit.
    what : str
        The call to name in the error.
    """
    if design.n == cp.n:
        found = assemble(design, scaling=cp.scaling)
        length = np.sqrt(np.diag(cp.xy))
        if np.all(np.abs(found.xy - cp.xy) <= _ROUNDING * np.outer(length, length)):
            return
        differ = "their sums differ"
    else:
        differ = f"they are {design.n} complete rows, and the fit had {cp.n}"
    raise DataError(
        f"{what}: these are not the rows of the fit, {differ}. Give the table of the fit; for "
        "other rows use predict(newdata)"
    )
