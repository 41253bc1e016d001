"""Columns as pandas tables, which formulaic needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from mixedfast.data.frames import ColumnData, Numeric

__all__ = ["pandas_column", "pandas_table"]


def pandas_table(columns: Mapping[str, ColumnData], n: int, as_floats: Collection[str] = ()) -> Any:
    """Return columns of `n` rows as a pandas table.

    Whole numbers in the columns `as_floats` become floats: as integers ``year**6`` would overflow
    without an error.
    """
    import pandas as pd

    data = {name: _values(column, name in as_floats) for name, column in columns.items()}
    return pd.DataFrame(data, index=pd.RangeIndex(n), copy=False)


def pandas_column(column: ColumnData) -> Any:
    """Return a column as a pandas series."""
    import pandas as pd

    return pd.Series(_values(column))


def _values(column: ColumnData, as_floats: bool = False) -> Any:
    import pandas as pd

    if isinstance(column, Numeric):
        whole = column.values.dtype.kind in "iu"
        return column.values.astype(np.float64) if as_floats and whole else column.values
    return pd.Categorical.from_codes(column.codes, categories=pd.Index(column.levels.tolist()))
