"""Tables of results in the caller's data-frame library.

Results make pandas tables. Here such a table is converted to the library of the data: polars data
give polars tables, Arrow data Arrow tables, other data pandas tables. The columns are the same; an
index becomes columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, cast

import narwhals as nw
import numpy as np

from mixedfast.data.frames import ColumnData, Numeric, as_table
from mixedfast.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LIBRARIES",
    "apart",
    "as_pandas",
    "beside",
    "returns_callers_tables",
    "table_of",
    "to_library",
]

LIBRARIES = ("pandas", "polars", "pyarrow")


class KnowsLibrary(Protocol):
    """An object whose tables are made in the library that it names."""

    @property
    def library(self) -> str: ...


Self = TypeVar("Self", bound=KnowsLibrary)
P = ParamSpec("P")
R = TypeVar("R")


def returns_callers_tables(
    method: Callable[Concatenate[Self, P], R],
) -> Callable[Concatenate[Self, P], R]:
    """Decorate a method that makes pandas tables: convert them to the library ``self.library``.

    Tables inside a dict or a tuple are converted too. Annotations name the type of pandas.
    """

    @wraps(method)
    def given(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        made: R = to_library(method(self, *args, **kwargs), self.library)
        return made

    return given


def to_library(made: Any, library: str) -> Any:
    """Convert a pandas table, or those in a dict or tuple, to another library.

    A named index becomes columns, an index without a name the column ``term``. Missing values
    become null. A column whose name occurs before gets a number. Other objects are returned as they
    are.

    Parameters
    ----------
    made : DataFrame, dict, tuple or anything else
    library : {"pandas", "polars", "pyarrow"}

    Raises
    ------
    DataError
        For another `library`, or one that is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> to_library(pd.DataFrame({"estimate": [1.5]}, index=["x"]), "pyarrow").to_pylist()
    [{'term': 'x', 'estimate': 1.5}]
    """
    import pandas as pd

    if library not in LIBRARIES:
        raise DataError(f"library = {library!r}: tables can be given as {', '.join(LIBRARIES)}")
    if library == "pandas":
        return made
    if isinstance(made, dict):
        return {name: to_library(part, library) for name, part in made.items()}
    if type(made) is tuple:
        return tuple(to_library(part, library) for part in made)
    return _made_by(library, _with_index(made)) if isinstance(made, pd.DataFrame) else made


def apart(ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """Name columns or rows of a table apart from the user's names: a dot before each that is taken.

    The user's names never change. All tables of results follow this rule.

    Parameters
    ----------
    ours : iterable of str
        Names of statistics, such as ``estimate``.
    theirs : iterable of str
        Names of the user's variables or coefficients in the same table.

    Examples
    --------
    >>> apart(["estimate", "df"], ["dose", "df"])
    ['estimate', '.df']
    """
    taken = set(map(str, theirs))
    out = []
    for name in ours:
        while name in taken:
            name = f".{name}"
        out.append(name)
    return out


def table_of(
    columns: Mapping[str, Sequence[Any]],
    library: str,
    types: Mapping[str, type] = MappingProxyType({}),
) -> Any:
    """Return columns as a table of a library.

    Parameters
    ----------
    columns : dict of str to sequence, all of one length
    library : {"pandas", "polars", "pyarrow"}
    types : dict of str to type
        Of columns that may be empty.

    Examples
    --------
    >>> table_of({"cell": ["a"], "rows": [1]}, "polars").to_dicts()
    [{'cell': 'a', 'rows': 1}]
    """
    import pandas as pd

    return to_library(pd.DataFrame(dict(columns)).astype(dict(types)), library)


def as_pandas(table: Any) -> pd.DataFrame:
    """Convert a table of results to pandas; a first column ``term`` becomes the index.

    Parameters
    ----------
    table : data frame of any library, or mapping of arrays

    Raises
    ------
    DataError
        When `table` is not a table.

    Examples
    --------
    >>> import polars as pl
    >>> as_pandas(pl.DataFrame({"term": ["x", "y"], "df": [1.5, None]})).df.to_dict()
    {'x': 1.5, 'y': nan}
    """
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table
    columns = {name: as_table(table).column(name) for name in as_table(table).names}
    frame = pd.DataFrame({name: _listed(column) for name, column in columns.items()})
    return frame.set_index("term") if list(frame)[:1] == ["term"] else frame


def _listed(column: ColumnData) -> np.ndarray:
    """Return the values of a column, with None for missing categories."""
    if isinstance(column, Numeric):
        return column.values
    return np.concatenate([column.levels.astype(object), np.array([None], dtype=object)])[
        column.codes
    ]


def beside(
    data: Any, rows: np.ndarray | None, columns: dict[str, np.ndarray], of: int | None = None
) -> Any:
    """Return rows of the user's table with new columns at the right.

    Parameters
    ----------
    data : data frame, or mapping of arrays (which becomes a pandas table)
    rows : ndarray of int, or None for all
    columns : dict of str to ndarray
        One value per row that is kept.
    of : int, optional
        Number of rows that the table must have.

    Returns
    -------
    A table of the same library as `data`.

    Raises
    ------
    DataError
        When `data` is not a table, or has another number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> residuals = {".resid": np.array([0.5, -0.5])}
    >>> beside({"x": [1, 2, 3]}, np.array([0, 2]), residuals).values.tolist()
    [[1.0, 0.5], [3.0, -0.5]]
    """
    import pandas as pd

    found = as_table(data).n
    if found != (found if of is None else of):
        raise DataError(f"the data have {found} rows, those of the fit had {of}")
    native = pd.DataFrame(data) if isinstance(data, dict) else data
    frame = nw.from_native(native, eager_only=True)
    kept = frame if rows is None else frame[rows]
    new = nw.from_dict(columns, backend=frame.implementation)
    index = getattr(kept.to_native(), "index", None)  # pandas aligns columns by their index
    aligned = [
        nw.from_native(s.to_native().set_axis(index), series_only=True) if index is not None else s
        for s in new.iter_columns()
    ]
    return kept.with_columns(*aligned).to_native()


def _with_index(frame: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """Return names and columns, after those of an index that does not just count the rows."""
    import pandas as pd

    columns = [(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    if not (isinstance(frame.index, pd.RangeIndex) and frame.index.name is None):
        keys = frame.index.to_frame(index=False)
        labels = ["term" if name is None else str(name) for name in frame.index.names]
        columns = [*((label, keys.iloc[:, i]) for i, label in enumerate(labels)), *columns]
    seen: dict[str, int] = {}
    out = []
    for name, values in columns:
        seen[name] = seen.get(name, 0) + 1
        out.append((name if seen[name] == 1 else f"{name}_{seen[name]}", values))
    return out


def _made_by(library: str, columns: list[tuple[str, pd.Series]]) -> Any:
    plain = {name: _plain(values) for name, values in columns}
    schema = {name: dtype for name, (_, dtype) in plain.items()}
    backend = cast(Literal["polars", "pyarrow"], library)
    try:
        made = nw.from_dict(
            {name: values for name, (values, _) in plain.items()}, schema, backend=backend
        )
    except ModuleNotFoundError as error:
        raise DataError(
            f"the data were a {library} table, and {library} is not installed: "
            "set library = 'pandas' on the result"
        ) from error
    return made.to_native()


def _plain(values: pd.Series) -> tuple[Any, Any]:
    """Return values with None for missing ones, and their dtype for narwhals."""
    kinds = {"f": nw.Float64(), "i": nw.Int64(), "u": nw.Int64(), "b": nw.Boolean()}
    array = values.to_numpy()
    missing = values.isna().to_numpy()
    if array.dtype.kind in kinds and not missing.any():
        return array, kinds[array.dtype.kind]
    listed = [
        None if gone else value
        for value, gone in zip(array.tolist(), missing.tolist(), strict=True)
    ]
    known = {np.asarray(value).dtype.kind for value in listed if value is not None}
    if len(known) == 1 and known <= set(kinds):
        return listed, kinds[known.pop()]
    if not known and array.dtype.kind in kinds:
        return listed, kinds[array.dtype.kind]
    return [None if value is None else str(value) for value in listed], nw.String()
