"""Looking at the data before any model: one variable's statistics, and correlations.

The statistics are those of R's ``psych::describe``, whose table opens the analysis this library
grew from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.data.frames import Numeric, Table, as_table
from mixedfast.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["correlation", "describe"]

#: Makes the median absolute deviation of normal data estimate their standard deviation.
_MAD_SCALE = 1.4826

#: The share of the values cut from each end for the trimmed mean.
_TRIM = 0.1


def describe(x: Any) -> pd.Series:
    """Statistics of one numeric variable.

    Parameters
    ----------
    x : array_like or Series, shape (n,)
        Missing values (NaN) are left out and not counted.

    Returns
    -------
    Series
        ``n``, ``mean``, ``sd`` (divisor n - 1), ``median``, ``trimmed`` (mean without the lowest and the
        highest tenth), ``mad`` (median absolute deviation times 1.4826), ``min``, ``max``, ``range``,
        ``skew`` and ``kurtosis`` (excess; central moments over powers of the sd, "type 3"), ``se`` of
        the mean. Named after `x` when `x` has a name.

    Raises
    ------
    DataError
        When `x` is not one column of numbers, or no value is left.

    References
    ----------
    Joanes and Gill (1998), Comparing measures of sample skewness and kurtosis, The Statistician 47.

    Examples
    --------
    >>> describe([1.0, 2.0, 3.0, 4.0, 10.0]).round(3)[["mean", "median", "mad", "skew"]]
    mean      4.000
    median    3.000
    mad       1.483
    skew      0.815
    dtype: float64
    """
    import pandas as pd

    values = _known_numbers(x)
    n = values.size
    mean, median = values.mean(), float(np.median(values))
    sd = values.std(ddof=1) if n > 1 else float("nan")
    deviations = values - mean
    # a constant has no shape: 0/0, not an error
    skew, kurtosis = (
        ((deviations**3).mean() / sd**3, (deviations**4).mean() / sd**4 - 3.0)
        if sd > 0
        else (np.nan, np.nan)
    )
    statistics = {
        "n": float(n),
        "mean": mean,
        "sd": sd,
        "median": median,
        "trimmed": _trimmed_mean(values),
        "mad": _MAD_SCALE * float(np.median(np.abs(values - median))),
        "min": values.min(),
        "max": values.max(),
        "range": values.max() - values.min(),
        "skew": skew,
        "kurtosis": kurtosis,
        "se": sd / np.sqrt(n),
    }
    return pd.Series(statistics, dtype=float, name=getattr(x, "name", None))


def _known_numbers(x: Any) -> np.ndarray:
    """The values of `x` that are not missing, float64."""
    try:
        values = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"describe needs numbers: {error}") from error
    if values.ndim != 1:
        raise DataError(
            f"describe takes one variable, but this has shape {values.shape}: choose a column"
        )
    known = values[~np.isnan(values)]
    if known.size == 0:
        raise DataError("describe has nothing to describe: no value, or all of them missing")
    return known


def _trimmed_mean(values: np.ndarray) -> float:
    cut = int(values.size * _TRIM)
    return float(np.sort(values)[cut : values.size - cut].mean())


def correlation(data: Any, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Pearson correlations of numeric columns.

    Parameters
    ----------
    data : pandas or polars DataFrame, pyarrow Table or dict of arrays
    columns : sequence of str, optional
        All numeric columns unless named.

    Returns
    -------
    DataFrame, shape (k, k)
        From the rows in which none of the columns is missing.

    Raises
    ------
    DataError
        When a column is missing or not numeric, or fewer than two complete rows are left.

    Examples
    --------
    >>> correlation({"x": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 7.0]}).round(4)
            x       y
    x  1.0000  0.9934
    y  0.9934  1.0000
    """
    import pandas as pd

    table = as_table(data)
    names = (
        list(columns) if columns is not None else [n for n in table.names if _is_numeric(table, n)]
    )
    values = np.vstack([_numeric(table, name) for name in names]) if names else np.empty((0, 0))
    complete = values[:, ~np.isnan(values).any(axis=0)]
    if complete.shape[1] < 2:
        raise DataError("a correlation needs at least two rows without missing values")
    return pd.DataFrame(np.atleast_2d(np.corrcoef(complete)), index=names, columns=names)


def _is_numeric(table: Table, name: str) -> bool:
    return isinstance(table.column(name), Numeric)


def _numeric(table: Table, name: str) -> np.ndarray:
    column = table.column(name)
    if not isinstance(column, Numeric):
        raise DataError(f"column {name!r} is not numeric: a correlation needs numbers")
    return column.values.astype(np.float64)
