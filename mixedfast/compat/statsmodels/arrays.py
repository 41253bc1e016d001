"""Arrays and data frames given by users, converted to NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.compat.statsmodels import formulas
from mixedfast.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["complete", "default_names", "frame", "matrix"]


def matrix(name: str, values: Any, prefix: str) -> tuple[np.ndarray, list[str], bool]:
    """Convert to (n, k) floats with column names; also return whether the names are from pandas."""
    import pandas as pd

    if isinstance(values, pd.DataFrame):
        return np.asarray(values, dtype=float), [str(column) for column in values.columns], True
    matrix = np.asarray(values, dtype=float)
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise DataError(f"{name} has {matrix.ndim} dimensions; it must be a matrix")
    if isinstance(values, pd.Series) and values.name is not None:
        return matrix, [str(values.name)], True
    return matrix, [f"{prefix}{j + 1}" for j in range(matrix.shape[1])], False


def default_names(exog: np.ndarray, names: list[str]) -> list[str]:
    """Name the first constant column ``const`` and the others ``x1, x2, ...``."""
    constant = np.flatnonzero(np.ptp(exog, axis=0) == 0.0) if len(exog) else np.empty(0, dtype=int)
    if not len(constant):
        return names
    rest = names[:-1]
    return [*rest[: constant[0]], "const", *rest[constant[0] :]]


def complete(
    y: np.ndarray, X: np.ndarray, Z: np.ndarray | None, labels: np.ndarray, missing: str
) -> np.ndarray:
    """Find the complete rows of arrays, bool (n,); see `formulas.drop_missing`."""
    import pandas as pd

    if missing not in ("none", "drop", "raise"):
        raise DataError(f'missing={missing!r}: "none", "drop" or "raise"')
    table = pd.DataFrame({"endog": y, "exog": np.isnan(X).any(axis=1)})
    table["exog"] = table["exog"].where(~table["exog"])
    if Z is not None:
        absent = pd.Series(np.isnan(Z).any(axis=1))
        table["exog_re"] = absent.where(~absent)
    return formulas.drop_missing(table, labels, list(table.columns), missing)


def frame(data: Any) -> pd.DataFrame:
    """Convert a table of any library to pandas."""
    import pandas as pd

    if hasattr(data, "to_pandas"):
        return data.to_pandas()
    return pd.DataFrame(data)
