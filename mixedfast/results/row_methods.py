"""What goes back to the rows: fitted values, residuals, leverage; and to new ones: predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._validation import check_choice, check_flag, check_level
from mixedfast.data.frames import as_table
from mixedfast.data.frames_out import given_back, in_callers_library
from mixedfast.errors import DataError
from mixedfast.inference.prediction import fitted, leverage
from mixedfast.inference.prediction.degrees_of_freedom import df_finder
from mixedfast.inference.prediction.predict import INTERVALS, predict_new, predict_old
from mixedfast.inference.prediction.re_form import chosen_effects
from mixedfast.inference.prediction.row_arguments import recipe_of, weights_of_new
from mixedfast.results.base import Fitted

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.design.types import Design
    from mixedfast.inference.ddf.methods import DDF

__all__ = ["RowMethods"]


class RowMethods(Fitted):
    """Methods that read the rows of the data (or new ones)."""

    @cached_property
    def fitted(self) -> np.ndarray:
        """Fitted values of the rows used, random effects included, (n,). A stream is read again (see `augment_to`)."""
        return self._each_row("fitted", lambda design: fitted.fitted(self._fit, design))

    def _each_row(self, what: str, numbers: Callable[[Design], np.ndarray]) -> np.ndarray:
        """Some number of every row used, in order, (n,) or (n, ...): a stream is read again."""
        parts = [numbers(design) for design in self._designs(what)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _leverage(self) -> np.ndarray:
        """Leverage through beta and through b, (n, 2)."""
        return self._fit.memo(
            "leverage",
            lambda: self._each_row(
                "leverage", lambda rows: np.column_stack(leverage.leverage(self._fit, rows))
            ),
        )

    def resid(self, type: str = "response", marginal: bool = False) -> np.ndarray:
        """Residuals of the rows used, (n,).

        Parameters
        ----------
        type : {"response", "pearson", "scaled", "standardized"}
            y - fitted; that times sqrt(weight); the latter over sigma; and over sqrt(1 - leverage) too.
            ``"marginal"`` is short for ``"response"`` with ``marginal=True``.
        marginal : bool
            About the population's line X beta instead of the fitted values.

        Returns
        -------
        (n,) array

        Raises
        ------
        ArgumentError
            For an unknown type.
        DataError
            When the result has no rows.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.resid("scaled")[:3].round(3)
        array([-0.16 , -0.571, -1.649])
        """
        check_choice("type", type, (*fitted.RESIDUALS, "marginal"))
        if type == "marginal":
            type, marginal = "response", True
        check_flag("marginal", marginal)
        held = self._stream is None

        def of(design: Design) -> np.ndarray:
            if marginal:
                centre = fitted.population(self._fit, design)
            else:
                centre = self.fitted if held else fitted.fitted(self._fit, design)
            hat = None
            if type == "standardized":
                hat = self.hatvalues() if held else np.add(*leverage.leverage(self._fit, design))
            return fitted.residuals(self._fit, design, centre, type, hat)

        return self._each_row("resid", of)

    def hatvalues(self) -> np.ndarray:
        """Leverage of each row used, (n,): the diagonal of the conditional hat matrix, as lme4's ``hatvalues``.

        d fitted_i / d y_i with theta held, random effects included. The sum is the effective number of parameters.

        Returns
        -------
        (n,) array

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.hatvalues()[:2].round(4), round(float(m.hatvalues().sum()), 3)
        (array([0.2293, 0.1697]), 29.022)
        """
        return self._leverage().sum(axis=1)

    @in_callers_library
    def leverage(self) -> pd.DataFrame:
        """`hatvalues` and its two parts, a row of the table for each row used.

        Columns ``hat``, ``fixed`` (through the estimate of beta) and ``random`` (through b given beta).

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.leverage().head(2).round(4)
              hat   fixed  random
        0  0.2293  0.0068  0.2225
        1  0.1697  0.0046  0.1651
        """
        import pandas as pd

        of_beta, of_b = self._leverage().T
        return pd.DataFrame({"hat": of_beta + of_b, "fixed": of_beta, "random": of_b})

    def cooks_distance(self) -> np.ndarray:
        """Cook's distance of each row used, (n,), variances held: as lme4's ``cooks.distance``.

        Returns
        -------
        (n,) array

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> int(m.cooks_distance().argmax())
        59
        """
        return leverage.cooks_distance(self._fit, self.resid("pearson"), self.hatvalues())

    def predict(
        self,
        newdata: Any = None,
        re: Any = True,
        allow_new_levels: bool = False,
        interval: str | None = None,
        level: float = 0.95,
        se: bool = False,
        weights: Any = None,
        ddf: DDF = "asymptotic",
    ) -> Any:
        """Predict the response, for the rows used or for new ones.

        Parameters
        ----------
        newdata : data frame or mapping of arrays, optional
            Default: the rows used. Only columns that the prediction needs must be there; the response need not.
        re : bool, str or list of str
            Random effects to add: True (all), False (none: the population's mean), or those named, as a formula
            ``"(1 | school)"`` or as grouping factors ``["school"]``.
        allow_new_levels : bool
            Predict groups the fit never saw (or that are missing) with random effects of zero; their uncertainty is the
            effects' whole variance.
        interval : {None, "confidence", "prediction"}
            Limits for the mean x'beta + z'b, or for a new observation.
        level : float
            Of the interval.
        se : bool
            A table with standard errors even without an interval.
        weights : str or (n,) array, optional
            Of the new observations of a prediction interval: their residual variance is sigma^2 / weight. Default: 1 (for the
            rows used, their own weights).
        ddf : str or TraceMethod
            Limits from t distributions with these degrees of freedom: ``"satterthwaite"`` for any prediction; other methods
            of `coef_table` for confidence intervals of the population's mean (``re=False``), which are contrasts. The
            default takes the normal distribution, as if the variances were known.

        Returns
        -------
        (n,) array, or table
            With `interval` or `se` a table ``fit, se`` (and ``df`` where `ddf` is asked for) and, with `interval`,
            ``lower, upper``; in the library of `newdata` and, in pandas, with its index. Rows with a missing value are NaN.

        Raises
        ------
        ArgumentError
            For an unknown interval or level.
        DataError
            Names the column that is missing, or the level that the fit never saw.
        NotDefinedError
            When the df method is unknown or not defined for such predictions.

        Notes
        -----
        ``se`` is the standard error of x'beta^ + z'b^ as a prediction of x'beta + z'b: exact, from the joint covariance of
        beta^ and b^ - b given theta (Henderson 1975, Biometrics 31). A prediction interval adds the residual variance, and the
        variance of random effects that `re` leaves out, for a new observation has them too. Satterthwaite's df are those of
        that whole variance: 2 f^2 / (g'Ag), f the variance, g its gradient in the variance components and A their covariance.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.predict({"Days": [9, 10], "Subject": ["308", "308"]}).round(1)
        array([430.7, 450.3])
        >>> m.predict({"Days": [10]}, re=False, interval="confidence").round(1)
             fit    se  lower  upper
        0  356.1  16.0  324.7  387.5
        >>> m.predict({"Days": [10]}, re=False, interval="confidence", ddf="satterthwaite").round(1)
             fit    se    df  lower  upper
        0  356.1  16.0  17.0  322.3  389.9
        """
        check_choice("interval", interval, INTERVALS)
        check_level(level)
        check_flag("se", se)
        check_flag("allow_new_levels", allow_new_levels)
        chosen = chosen_effects(self._fit.cp, re)
        wanted = se or interval is not None
        find_df = (
            df_finder(self._fit, ddf, interval, not any(own.any() for own in chosen))
            if wanted
            else None
        )
        if newdata is None:
            if weights is not None:
                raise DataError(
                    "predict(weights=...) are of new rows: the rows used keep their own"
                )
            found = predict_old(
                self._fit,
                self._rows("predict without newdata"),
                chosen,
                wanted,
                interval == "prediction",
                find_df,
            )
            index, library = None, self.library
        else:
            table = as_table(newdata)
            found = predict_new(
                self._fit,
                recipe_of(self._fit.cp),
                table,
                chosen,
                allow_new_levels,
                wanted,
                interval == "prediction",
                weights_of_new(weights, table),
                find_df,
            )
            index, library = getattr(newdata, "index", None), table.library
        return (
            found.fit if not wanted else given_back(found.to_frame(interval, level, index), library)
        )
