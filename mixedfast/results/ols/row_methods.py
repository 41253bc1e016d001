"""What goes back to the rows of a regression: fitted values, residuals, leverage; and to new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._validation import check_choice, check_count, check_flag, check_level, check_seed
from mixedfast.data.frames import as_table
from mixedfast.data.frames_out import given_back
from mixedfast.design.columns import Column, matrix
from mixedfast.design.new_data import apply
from mixedfast.errors import DataError
from mixedfast.inference.ddf.methods import DDF
from mixedfast.inference.prediction.fitted import RESIDUALS
from mixedfast.inference.prediction.predict import INTERVALS, Prediction
from mixedfast.inference.prediction.row_arguments import recipe_of, weights_of_new
from mixedfast.results.ols.base import Regression, without_groups

if TYPE_CHECKING:
    pass

__all__ = ["OLSRows"]


class OLSRows(Regression):
    """Methods that read the rows of the data (or new ones)."""

    @cached_property
    def fitted(self) -> np.ndarray:
        """Fitted values of the rows used, offset included, (n,)."""
        design = self._rows("fitted")
        return self._line(design.x, design.n, design.offset)

    def _columns(self, x: tuple[Column, ...], n: int) -> np.ndarray:
        return matrix(tuple(x[j] for j in self._least.cp.kept), n)

    def _line(self, x: tuple[Column, ...], n: int, offset: np.ndarray | None) -> np.ndarray:
        line = self._columns(x, n) @ self._least.beta
        return line if offset is None else line + offset

    def resid(self, type: str = "response") -> np.ndarray:
        """Residuals of the rows used, (n,).

        Parameters
        ----------
        type : {"response", "pearson", "scaled", "standardized"}
            y - fitted; that times sqrt(weight); the latter over sigma; and over sqrt(1 - leverage) too.

        Returns
        -------
        (n,) array

        Raises
        ------
        ArgumentError
            For an unknown type.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).resid("scaled")[:3].round(3)
        array([-0.039, -0.066, -0.451])
        """
        check_choice("type", type, RESIDUALS)
        design = self._rows("resid")
        out = design.y - self.fitted
        if type == "response":
            return out
        out = out if design.weights is None else out * np.sqrt(design.weights)
        if type == "pearson":
            return out
        out = out / self.sigma
        return out if type == "scaled" else out / np.sqrt(1.0 - self.hatvalues())

    def hatvalues(self) -> np.ndarray:
        """Leverage of each row used, (n,): the diagonal of the hat matrix.

        Returns
        -------
        (n,) array
            Their sum is the number of coefficients.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).hatvalues()[:2].round(4)
        array([0.0192, 0.0138])
        """
        design = self._rows("hatvalues")
        h = self._variance(self._columns(design.x, design.n)) / self.sigma**2
        return h if design.weights is None else h * design.weights

    def _variance(self, X: np.ndarray) -> np.ndarray:
        """x'Var(beta)x of every row, (n,)."""
        return np.einsum("ij,jk,ik->i", X, self._least.vcov, X, optimize=True)

    def cooks_distance(self) -> np.ndarray:
        """Cook's distance of each row used, (n,) (Cook 1977, Technometrics 19).

        Returns
        -------
        (n,) array

        Examples
        --------
        >>> import mixedfast as mf
        >>> int(mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).cooks_distance().argmax())
        9
        """
        h = self.hatvalues()
        return (self.resid("pearson") / (1.0 - h)) ** 2 * h / (self.sigma**2 * self._least.cp.p)

    def predict(
        self,
        newdata: Any = None,
        interval: str | None = None,
        level: float = 0.95,
        se: bool = False,
        weights: Any = None,
        ddf: DDF = "residual",
    ) -> Any:
        """Expected responses, for the rows used or for new ones.

        Parameters
        ----------
        newdata : data frame or dict of arrays, optional
            Default: the rows used. The response need not be there.
        interval : {None, "confidence", "prediction"}
            Limits for the mean, or for a new observation.
        level : float
            Of the interval.
        se : bool
            A table with standard errors even without an interval.
        weights : str or (n,) array, optional
            Of the new observations of a prediction interval: their variance is sigma^2 / weight. Default: 1 (for the rows
            used, their own weights).
        ddf : str
            As for `coef_table`.

        Returns
        -------
        (n,) array, or table
            With `interval` or `se` a table ``fit, se`` and, with `interval`, ``lower, upper``. NaN for a row with a missing
            predictor.

        Raises
        ------
        ArgumentError
            For an unknown interval or level.
        DataError
            For a missing column, or a level of a factor that the fit never saw.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]})
        >>> m.predict({"x": [4.0, None]}).round(6)
        array([6.5, nan])
        >>> m.predict({"x": [4.0]}, interval="prediction").round(2)
           fit    se  lower  upper
        0  6.5  0.39   4.35   8.65
        """
        check_choice("interval", interval, INTERVALS)
        check_level(level)
        check_flag("se", se)
        df = None if without_groups(ddf) == "asymptotic" else float(self.df_resid)
        if newdata is None:
            if weights is not None:
                raise DataError(
                    "predict(weights=...) are of new rows: the rows used keep their own"
                )
            design = self._rows("predict without newdata")
            found = self._predicted(
                self._columns(design.x, design.n), self.fitted, design.weights, df
            )
            index, library = None, self.library
        else:
            table = as_table(newdata)
            given = weights_of_new(weights, table)
            new = apply(recipe_of(self._least.cp), table)
            kept = slice(None) if new.kept_rows is None else new.kept_rows
            line = self._line(new.x, new.n, new.offset)
            some = self._predicted(
                self._columns(new.x, new.n), line, None if given is None else given[kept], df
            )
            found = some.among(table.n, kept)
            index, library = getattr(newdata, "index", None), table.library
        if interval is None and not se:
            return found.fit
        return given_back(
            found.to_frame(interval, level, index).drop(columns="df", errors="ignore"), library
        )

    def _predicted(
        self, X: np.ndarray, line: np.ndarray, weights: np.ndarray | None, df: float | None
    ) -> Prediction:
        variance = self._variance(X)
        noise = self.sigma**2 * (1.0 if weights is None else 1.0 / weights)
        return Prediction(
            line.copy(),
            np.sqrt(variance),
            np.sqrt(variance + noise),
            None if df is None else np.full(len(line), df),
        )

    def simulate(
        self, n: int = 1, seed: int | None = None, newdata: Any = None, weights: Any = None
    ) -> np.ndarray:
        """Draw responses from the fitted model, for the rows used or for new ones.

        Parameters
        ----------
        n : int
            Draws.
        seed : int, optional
            The same seed gives the same numbers, and the first draws of a longer run are those of a shorter one.
        newdata : data frame or dict of arrays, optional
            Default: the rows used.
        weights : str or (rows,) array, optional
            Of the new rows: their variance is sigma^2 / weight. Default: 1.

        Returns
        -------
        (rows, n) array
            NaN for new rows with a missing value.

        Raises
        ------
        ArgumentError, DataError
            As for `LMMResult.simulate`.

        Examples
        --------
        >>> import mixedfast as mf
        >>> mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).simulate(3, seed=1).shape
        (180, 3)
        """
        n = check_count("n", n)
        check_seed(seed)
        if newdata is None:
            if weights is not None:
                raise DataError(
                    "simulate(weights=...) are of new rows: the rows used keep their own"
                )
            mean, own = self.fitted, self._rows("simulate without newdata").weights
        else:
            mean, own = self.predict(newdata), weights_of_new(weights, as_table(newdata))
        noise = self.sigma / (1.0 if own is None else np.sqrt(own))
        streams = np.random.SeedSequence(seed).spawn(n)
        drawn = [
            mean + noise * np.random.default_rng(one).standard_normal(len(mean)) for one in streams
        ]
        return np.column_stack(drawn)
