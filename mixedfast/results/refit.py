"""New fits from old ones: another response, formula or table. A result itself never changes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.errors import DataError
from mixedfast.inference.prediction.row_arguments import response_values
from mixedfast.results.fixed_effects import FixedPart

if TYPE_CHECKING:
    from typing import Self

    from mixedfast.design.types import Design
    from mixedfast.estimation.linear_fit import LinearFit

__all__ = ["Refit", "is_many"]


class Refit(FixedPart):
    """Methods that make new results."""

    @abstractmethod
    def _fit_response(self, design: Design) -> LinearFit:
        """Fit the same model to a design that differs in its response alone."""

    def _without_rows(self, changes: dict[str, Any]) -> Self | None:
        """Return the result of changes that need no rows; None where rows are needed."""
        return None

    def _from_sums(self, formula: str, changes: dict[str, Any]) -> Self | None:
        """Return the result of a sub-model from the sums; None where rows are needed."""
        return None

    def _warn(self) -> None:
        """Warn of a failed search or a singular fit."""

    def refit(self, y: Any) -> Self:
        """Fit the same model to another response for the same rows.

        Only products with y are summed again.

        Parameters
        ----------
        y : (n,) array or series
            One number for each row used, or for each row of the data (rows left out of the fit are
            left out again). On the scale of the model's response: where that is ``log(y)``,
            logarithms.

        Returns
        -------
        LMMResult or OLSResult
            A new one.

        Raises
        ------
        DataError
            When there are not as many values as rows, or some are missing or infinite.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.refit(m.simulate(seed=1)).params.round(2).to_dict()
        {'Intercept': 242.31, 'Days': 9.05}
        """
        design = self._rows("refit")
        other = replace(design, y=response_values(y, design))
        made = type(self)(self._fit_response(other), other)
        made.library, made._index, made._padded = self.library, self._index, self._padded
        made._warn()
        return made

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> Self:
        """Fit again with some arguments changed, all others as in the call that made this result.

        Parameters
        ----------
        formula : str, optional
            May use dots as in R: ``". ~ . + x"``, ``"~ . - (x | g) + (1 | g)"``, ``"log(.) ~ ."``.
        data : data frame or mapping of arrays, optional
            Another table.
        **changes
            Other arguments of the call: ``REML``, ``weights``, ``offset``, ``contrasts``,
            ``na_action``, ``engine``, ...

        Returns
        -------
        LMMResult or OLSResult
            A new one. A change of ``REML``, ``engine`` or ``start`` alone reads no rows, and a
            result without rows is updated to a sub-model from its sums (see `mixedfast.fit`).

        Raises
        ------
        DataError
            When rows are needed and the result has none: give `data`.
        FormulaError, TypeError
            When the formula cannot be read, or there is no such argument.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.update(". ~ . - (Days | Subject) + (1 | Subject)").formula
        'Reaction ~ Days + (1 | Subject)'
        >>> round(m.update(REML=False).criterion, 4)
        1751.9393
        """
        made = self._without_rows(changes) if formula is None and data is None else None
        has_table = self._call is not None and "data" in self._call.arguments
        if made is None and formula is not None and data is None and not has_table:
            try:
                made = self._from_sums(formula, changes)
            except DataError:  # no sub-model, so that rows are needed: the error that follows
                made = None
        if made is None:
            made = self._repeat_call(formula, data, changes)
        made.library = self.library if data is None else made.library
        return made


def is_many(y: Any) -> bool:
    """Return whether a response argument of `refit` holds several responses.

    A table does, and an array with several columns; an array with one column is one response.
    """
    if hasattr(y, "columns") or hasattr(y, "column_names"):
        return True
    return np.ndim(y) == 2 and np.shape(y)[1] != 1
