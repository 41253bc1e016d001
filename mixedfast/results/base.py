"""The base of every result: the fit, and the rows of the data where they are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mixedfast.crossprod.same_sums import check_same_sums
from mixedfast.data.categories import Categorical, drop_unused
from mixedfast.data.frames import as_table, pandas_index
from mixedfast.design.coded_rows import check_same_rows, design_of
from mixedfast.design.covariates import ARRAY_OFFSET
from mixedfast.errors import ArgumentError, DataError
from mixedfast.formula.update import update_formula
from mixedfast.inference.prediction.row_arguments import recipe_of
from mixedfast.results.foreign_names import no_attribute

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd

    from mixedfast.crossprod.streaming import Stream
    from mixedfast.design.types import Design
    from mixedfast.estimation.linear_fit import LinearFit

__all__ = ["Call", "Fitted"]

_KEEP = "set keep_rows = True before saving"


@dataclass(frozen=True, eq=False)
class Call:
    """The call that made a result: the function and its arguments, with the table, not a copy.

    Parameters
    ----------
    function : callable
    arguments : dict
    path : Path or None
        The file from which the table was read.
    """

    function: Callable[..., Any]
    arguments: dict[str, Any]
    path: Path | None = None

    def without_rows(self) -> Call:
        """Return the same call without the table and without arrays that belong to its rows."""
        of_rows = {
            name for name in ("weights", "offset") if not isinstance(self.arguments.get(name), str)
        } | {"data"}
        kept = {name: value for name, value in self.arguments.items() if name not in of_rows}
        return replace(self, arguments=kept)


class Fitted:
    """A fit with the rows it was made from: a design in memory, a stream to read again, or neither.

    Attributes
    ----------
    keep_rows : bool
        Whether pickles and files carry the rows. False until it is set.
    """

    keep_rows = False
    _call: Call | None = None
    #: The index of the data, of a pandas table.
    _index: Any = None
    #: Whether values of rows have NaN for the rows left out.
    _padded = False
    #: The function that fits such a model.
    _function: ClassVar[str]
    #: Advice where rows are missing, by the method that needs them.
    _instead: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(
        self, fit: LinearFit, design: Design | None = None, stream: Stream | None = None
    ) -> None:
        self._fit = fit
        self._design = design
        self._stream = stream
        #: The library of the tables: "pandas", "polars" or "pyarrow", as the data came in. May be
        #: set.
        self.library = fit.cp.meta.library

    if not TYPE_CHECKING:  # checkers of types report unknown names by themselves

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError, with the name that is used here for that of another library."""
            raise no_attribute(self, name)

    @property
    def is_streamed(self) -> bool:
        """Whether the rows are read again from their files instead of from memory."""
        return self._stream is not None

    def _in_pandas(self) -> Self:
        """Return the same result with pandas tables, and without padding, for reports."""
        if self.library == "pandas":
            return self._of_used_rows()
        same = copy(self._of_used_rows())
        same.library = "pandas"
        return same

    def _designs(self, what: str) -> Iterator[Design]:
        """Yield the rows: all at once from memory, or batch by batch from a stream."""
        if self._stream is None:
            yield self._rows(what)
        else:
            yield from self._stream.designs()

    def _rows(self, what: str) -> Design:
        """Return the rows in memory, for a method named `what`.

        Raises
        ------
        DataError
            When they are not in memory; the message says what to do instead.
        """
        if self._design is not None:
            return self._design
        if self._stream is not None:
            lacking = "all rows in memory, and this result was made from a stream"
            remedy = "augment_to(path) writes fitted values, residuals and leverage"
        else:
            lacking = "the rows of the data, and this result was made without them"
            remedy = f"call {self._function} on the table, or {_KEEP}"
        raise DataError(f"{what} needs {lacking}: {self._instead.get(what, remedy)}")

    def _row_labels(self) -> pd.Index:
        """Return the index of the rows used: that of the data, or their places as ``.row``."""
        import pandas as pd

        design = self._rows("the index")
        rows = np.arange(design.n) if design.kept_rows is None else design.kept_rows
        if self._index is None or self.library != "pandas":
            return pd.Index(rows, name=".row")
        return self._index if design.kept_rows is None else self._index[rows]

    def _of_used_rows(self) -> Self:
        """Return the same result without the padding of ``na_action="exclude"``."""
        if not self._padded:
            return self
        same = copy(self)
        same.__dict__.pop("fitted", None)
        same._padded = False
        return same

    def _pad(self, values: np.ndarray) -> np.ndarray:
        """Insert NaN for the rows left out, with ``na_action="exclude"``: (n, ...) or more rows."""
        design = self._design
        if not self._padded or design is None or design.kept_rows is None:
            return values
        out = np.full((design.n + design.n_dropped, *values.shape[1:]), np.nan)
        out[design.kept_rows] = values
        return out

    def _with_rows(self, what: str, data: Any) -> Self:
        """Return the same result with the rows of a table, which must be those of the fit.

        Raises
        ------
        DataError
            When they are not, or the fit had weights or an offset that was an array and is gone.
        """
        if self._design is not None:
            check_same_rows(self._design, data, what)
            return self
        cp = self._fit.cp
        recipe = recipe_of(cp)
        for label, lost in (
            ("weights", cp.meta.weighted and recipe.weights_column is None),
            ("offset", ARRAY_OFFSET in recipe.covariates),
        ):
            if lost:
                raise DataError(
                    f"{what}: the {label} of this fit were an array, which this result came "
                    f"without: {_KEEP}, or fit again with {label} as a column of the data"
                )
        design = design_of(recipe, data)
        check_same_sums(cp, design, what)
        same = copy(self)
        same.__dict__.pop("fitted", None)
        same._design, same._index = design, pandas_index(data)
        return same

    def _levels_of(
        self, group: str, design: Design, what: str
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """Return name, codes (n,) and labels of a grouping factor or of another column of the data.

        The code of a row without a level is -1.
        """
        if not isinstance(group, str):
            raise ArgumentError(
                f"{what}(group={group!r}): give the name of a grouping factor or of a column"
            )
        for term in design.terms:
            if sorted(term.group.split(":")) == sorted(part.strip() for part in group.split(":")):
                return term.group, term.codes, term.levels
        if self._call is None or "data" not in self._call.arguments:
            known = ", ".join(dict.fromkeys(term.group for term in design.terms))
            here = (
                f"the grouping factors are {known}"
                if known
                else "a regression has no grouping factors"
            )
            raise DataError(
                f"{what}({group!r}): {here}, and this result has no table of other columns"
            )
        column = as_table(self._call.arguments["data"]).grouping(group)
        codes = column.codes if design.kept_rows is None else column.codes[design.kept_rows]
        used = drop_unused(Categorical(codes, column.levels))
        return group, used.codes, used.levels

    def _repeat_call(self, formula: str | None, data: Any, changes: dict[str, Any]) -> Self:
        """Repeat the call that made this result, with changes.

        Raises
        ------
        DataError
            When there was no such call, or its table is gone.
        """
        if self._call is None:
            raise DataError(
                "update: this result was made from cross-products, by refit or from a file, so "
                f"there is no call to repeat: call {self._function}"
            )
        arguments = {**self._call.arguments, **changes}
        if data is not None:
            arguments["data"] = data
        if "data" not in arguments:
            raise DataError(
                "update needs the rows of the data, and this result came without them: give data="
            )
        own = self._fit.cp.meta.formula
        arguments["formula"] = own if formula is None else update_formula(own, formula)
        made: Self = self._call.function(**arguments)
        return made

    def __copy__(self) -> Self:
        """Return a copy that shares the fit and the rows, which a pickle would leave behind."""
        same = object.__new__(type(self))
        same.__dict__.update(self.__dict__)
        return same

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a shallow copy: fit and rows never change."""
        return copy(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle, without rows unless ``keep_rows`` is set."""
        state = {**self.__dict__, "_stream": None}
        if not self.keep_rows:
            state["_design"] = state["_index"] = None
            state["_call"] = None if self._call is None else self._call.without_rows()
            state.pop("fitted", None)
        return state
