"""Covariate summaries for marginal means.

In a table of marginal means a covariate has its mean value, and one with only two values (a dummy
typed as a number) is averaged over both, as in the R package emmeans. Both facts add over tables,
so cross-products contain them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixedfast._stored import stored

__all__ = ["ARRAY_OFFSET", "Covariate", "Covariates", "describe", "merge"]

#: The name of an offset that is given as an array.
ARRAY_OFFSET = "(offset)"
#: Rows looked at first: most covariates have three values among these.
_LOOK = 64


@stored("Covariate")
@dataclass(frozen=True)
class Covariate:
    """Mean of a variable over rows, unweighted, and its values if there are at most two.

    Parameters
    ----------
    mean : float
    values : tuple of float
        Ascending; empty when there are more than two.
    """

    mean: float
    values: tuple[float, ...]


Covariates = Mapping[str, Covariate]


def describe(values: np.ndarray) -> Covariate:
    """Summarize a column without missing values.

    Examples
    --------
    >>> describe(np.array([0, 1, 1, 1])), describe(np.arange(3.0))
    (Covariate(mean=0.75, values=(0.0, 1.0)), Covariate(mean=1.0, values=()))
    """
    few = sorted(set(values[:_LOOK].tolist()))
    if len(few) == 1:
        others = values != few[0]
        at = int(np.argmax(others))
        few = sorted([*few, values[at].item()]) if others[at] else few
    if len(few) > 2 or not ((values == few[0]) | (values == few[-1])).all():
        few = []
    return Covariate(float(np.mean(values, dtype=np.float64)), tuple(float(value) for value in few))


def merge(a: Covariates, n_a: int, b: Covariates, n_b: int) -> dict[str, Covariate]:
    """Merge the summaries of two tables; leave out variables that only one table has."""
    out = {}
    for name in a.keys() & b.keys():
        both = sorted({*a[name].values, *b[name].values})
        few = both if a[name].values and b[name].values and len(both) <= 2 else []
        out[name] = Covariate((n_a * a[name].mean + n_b * b[name].mean) / (n_a + n_b), tuple(few))
    return out
