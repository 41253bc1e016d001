"""What every group of methods of a result reads: the fit, and the rows when there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mixedfast.data.categories import Categorical, drop_unused
from mixedfast.data.frames import as_table
from mixedfast.errors import ArgumentError, DataError
from mixedfast.formula.update import update_formula

if TYPE_CHECKING:
    from typing import Self

    import numpy as np

    from mixedfast.crossprod.streaming import Stream
    from mixedfast.design.types import Design
    from mixedfast.estimation.fit import Fit

__all__ = ["Call", "Fitted"]

#: What helps where rows are not in memory and `augment_to` would not.
_INSTEAD = {
    "refit": "call lmer with the other column as the response",
    "simulate without newdata": "give newdata= (bootstrap() needs no rows, for it draws their sums)",
    "predict without newdata": "give newdata=, or let augment_to() write the fitted values of all rows",
    "influence": "call lmer on the rows",
    "slopes": "call lmer on a table in memory",
    "residuals_by_group": "call lmer on a table in memory",
}


@dataclass(frozen=True, eq=False)
class Call:
    """How a result was asked for: the function, and its arguments by name. Holds the table, not a copy of it."""

    door: Callable[..., Any]
    arguments: dict[str, Any]

    def without_rows(self) -> Call:
        """The same without the table and what belongs to its rows."""
        of_rows = {
            name for name in ("weights", "offset") if not isinstance(self.arguments.get(name), str)
        } | {"data"}
        return replace(
            self,
            arguments={
                name: value for name, value in self.arguments.items() if name not in of_rows
            },
        )


class Fitted:
    """A fit and, unless it came from cross-products, the rows it was made from: a design, or a stream to read again.

    Attributes
    ----------
    keep_rows : bool
        Whether pickles and files carry the rows; they do not until it is set.
    """

    keep_rows = False
    _call: Call | None = None

    def __init__(
        self, fit: Fit, design: Design | None = None, stream: Stream | None = None
    ) -> None:
        self._fit = fit
        self._design = design
        self._stream = stream
        #: What tables are given as: "pandas", "polars" or "pyarrow", as the data came in. May be set.
        self.library = fit.cp.meta.library

    @property
    def is_streamed(self) -> bool:
        """Whether the rows are read again from where they lie instead of from memory."""
        return self._stream is not None

    def _in_pandas(self) -> Self:
        """The same result with pandas tables, for rooms that read them."""
        if self.library == "pandas":
            return self
        same = copy(self)
        same.library = "pandas"
        return same

    def _designs(self, what: str) -> Iterator[Design]:
        """The rows, all at once from memory or batch by batch from a stream."""
        if self._stream is None:
            yield self._rows(what)
        else:
            yield from self._stream.designs()

    def _rows(self, what: str) -> Design:
        if self._design is not None:
            return self._design
        if self._stream is not None:
            lacking, again = (
                "all rows in memory, and this result was made from a stream",
                "augment_to(path)",
            )
        else:
            lacking, again = (
                "the rows of the data, and this result was made without them",
                "augment_to(path, data=...)",
            )
        raise DataError(
            f"{what} needs {lacking}: {_INSTEAD.get(what, f'{again} writes fitted values, residuals and leverage')}"
        )

    def _levels_of(
        self, group: str, design: Design, what: str
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """A grouping factor or another column of the data: its name, the level of each row used (-1: none), and the labels."""
        if not isinstance(group, str):
            raise ArgumentError(
                f"{what}(group={group!r}): the name of a grouping factor or of a column"
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
            raise DataError(f"{what}({group!r}): {here}, and there is no table to look further")
        column = as_table(self._call.arguments["data"]).grouping(group)
        codes = column.codes if design.kept_rows is None else column.codes[design.kept_rows]
        used = drop_unused(Categorical(codes, column.levels))
        return group, used.codes, used.levels

    def _again(self, door: str, formula: str | None, data: Any, changes: dict[str, Any]) -> Self:
        """The call that made this result, with changes."""
        if self._call is None:
            raise DataError(
                "update: this result was made from cross-products, by refit or from a file, so there is no call to repeat: "
                f"call {door}"
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
        made: Self = self._call.door(**arguments)
        return made

    def __copy__(self) -> Self:
        """A copy that shares the fit and the rows, which a pickle would leave behind."""
        same = object.__new__(type(self))
        same.__dict__.update(self.__dict__)
        return same

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """As a copy: fit and rows never change, so that nothing in them needs a second instance."""
        return copy(self)

    def __getstate__(self) -> dict[str, Any]:
        """Pickles carry no rows (set ``m.keep_rows = True`` before pickling to carry them)."""
        state = {**self.__dict__, "_stream": None}
        if not self.keep_rows:
            state["_design"] = None
            state["_call"] = None if self._call is None else self._call.without_rows()
            state.pop("fitted", None)
        return state
