"""Names of parameters, and the index of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ModelData", "parameter_names"]


def parameter_names(columns: list[str]) -> list[str]:
    """Name the elements of the lower triangle of a covariance, row by row.

    Examples
    --------
    >>> parameter_names(["Group", "x"])
    ['Group Var', 'Group x x Cov', 'x Var']
    """
    return [
        f"{one} Var" if i == j else f"{columns[j]} x {one} Cov"
        for i, one in enumerate(columns)
        for j in range(i + 1)
    ]


@dataclass(eq=False)
class ModelData:
    """The names and the index of a model: ``model.data`` of statsmodels.

    Parameters
    ----------
    xnames, exog_re_names, exog_re_names_full, vcomp_names : list of str
    row_labels : Index or None
        The index of the rows used; None when the model was given plain arrays.
    """

    xnames: list[str]
    exog_re_names: list[str]
    exog_re_names_full: list[str]
    vcomp_names: list[str]
    row_labels: Any

    @property
    def param_names(self) -> list[str]:
        """Names of fixed effects, random covariances, components."""
        return [
            *self.xnames,
            *self.exog_re_names_full,
            *(f"{name} Var" for name in self.vcomp_names),
        ]

    @property
    def named(self) -> bool:
        """Whether results are pandas objects."""
        return self.row_labels is not None

    def rows(self, values: np.ndarray) -> Any:
        """Label one number per row: a Series with the index of the data, or the array itself."""
        if self.row_labels is None:
            return values
        import pandas as pd

        return pd.Series(values, index=self.row_labels)
