"""What every group of methods of a regression reads: the least-squares fit, and its one df."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mixedfast.errors import DataError, NotDefinedError
from mixedfast.estimation.least_squares import LeastSquares
from mixedfast.inference.ddf.methods import DDF, method
from mixedfast.results.fixed_effects import FixedPart

if TYPE_CHECKING:
    from mixedfast.design.types import Design
    from mixedfast.estimation.fit import Fit

__all__ = ["Regression", "without_groups"]

#: Methods that give n - p when there are no groups: sigma squared is the only variance, so all of them are exact.
_EXACT = ("residual", "containment", "satterthwaite", "kenward-roger")


class Regression(FixedPart):
    """A least-squares fit and, when there are any, the rows it was made from."""

    def __init__(self, fit: LeastSquares, design: Design | None = None) -> None:
        super().__init__(
            cast("Fit", fit), design
        )  # what a regression is asked for, LeastSquares answers as a Fit does
        self._least = fit

    def _rows(self, what: str) -> Design:
        if self._design is not None:
            return self._design
        instead = (
            "give newdata="
            if what.endswith("newdata")
            else "call lm on the table, or set keep_rows = True before saving"
        )
        raise DataError(
            f"{what} needs the rows of the data, and this result was made without them: {instead}"
        )

    @property
    def df_resid(self) -> int:
        """Residual degrees of freedom, n - p."""
        return self._least.nu


def without_groups(ddf: DDF) -> str:
    """The method's name, or "residual" for those that come to the same without groups.

    Raises
    ------
    NotDefinedError
        For an unknown method, and for those that count groups.
    """
    name = method(ddf).name
    if name == "asymptotic":
        return name
    if not name.startswith(_EXACT):
        raise NotDefinedError(
            f"ddf={ddf!r} counts groups, and a linear model has none: take 'residual' (n - p)"
        )
    return "residual"
