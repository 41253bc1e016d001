"""Methods of every result that read the rows of the data: fitted values, residuals, leverage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._validation import check_choice, check_count, check_flag, check_level, check_seed
from mixedfast.data.frames import as_table
from mixedfast.data.frames_out import returns_callers_tables, to_library
from mixedfast.errors import ArgumentError, DataError
from mixedfast.estimation.fit import Fit
from mixedfast.inference.prediction import fitted, leverage
from mixedfast.inference.prediction.degrees_of_freedom import df_finder
from mixedfast.inference.prediction.other_parameters import with_parameters
from mixedfast.inference.prediction.predict import INTERVALS, predict_new, predict_old
from mixedfast.inference.prediction.re_form import chosen_effects
from mixedfast.inference.prediction.row_arguments import offset_of_new, recipe_of, weights_of_new
from mixedfast.inference.prediction.simulate import simulate_new, simulate_old
from mixedfast.results import tables
from mixedfast.results.fixed_effects import FixedPart

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.design.types import Design
    from mixedfast.inference.ddf.methods import DDF

__all__ = ["RowMethods"]


class RowMethods(FixedPart):
    """Methods that read the rows of the data, or new ones."""

    @cached_property
    def fitted(self) -> np.ndarray:
        """Fitted values of the rows used, random effects and offset included, (n,).

        With ``na_action="exclude"`` of all rows, NaN for those left out. A stream is read again
        (see `LMMResult.augment_to`).
        """
        values = self._each_row("fitted", lambda design: fitted.fitted(self._fit, design))
        return self._pad(values)

    def _each_row(self, what: str, numbers: Callable[[Design], np.ndarray]) -> np.ndarray:
        """Compute numbers of every row used, in order, (n,) or (n, ...). A stream is read again."""
        parts = [numbers(design) for design in self._designs(what)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _leverage(self) -> np.ndarray:
        """Compute the leverage through beta and through b, (n, 2), once per fit."""
        return self._fit.memo(
            "leverage",
            lambda: self._each_row(
                "leverage", lambda rows: np.column_stack(leverage.leverage(self._fit, rows))
            ),
        )

    def resid(self, type: str = "response", marginal: bool = False) -> np.ndarray:
        """Compute the residuals of the rows used, (n,).

        Parameters
        ----------
        type : {"response", "pearson", "scaled", "standardized"}
            y - fitted; that times sqrt(weight); the latter divided by sigma; and divided by sqrt(1
            - leverage) too. ``"marginal"`` is short for ``"response"`` with ``marginal=True``.
        marginal : bool
            Residuals about the population mean X beta instead of the fitted values.

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
        if self._padded:
            return self._pad(self._of_used_rows().resid(type, marginal))
        in_memory = self._stream is None

        def of(design: Design) -> np.ndarray:
            if marginal:
                centre = fitted.population(self._fit, design)
            else:
                centre = self.fitted if in_memory else fitted.fitted(self._fit, design)
            hat = None
            if type == "standardized":
                hat = (
                    self.hatvalues() if in_memory else np.add(*leverage.leverage(self._fit, design))
                )
            return fitted.residuals(self._fit, design, centre, type, hat)

        return self._each_row("resid", of)

    def hatvalues(self) -> np.ndarray:
        """Compute the leverage of each row used, (n,), as ``hatvalues`` of lme4.

        The diagonal of the conditional hat matrix, d fitted_i / d y_i with theta fixed, random
        effects included. The sum is the effective number of parameters.

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
        return self._pad(self._leverage().sum(axis=1))

    @returns_callers_tables
    def leverage(self) -> pd.DataFrame:
        """Compute `hatvalues` and its two parts, one row of the table per row used.

        Columns ``hat``, ``fixed`` (through the estimate of beta) and ``random`` (through b given
        beta).

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

        of_beta, of_b = self._pad(self._leverage()).T
        return pd.DataFrame({"hat": of_beta + of_b, "fixed": of_beta, "random": of_b})

    def cooks_distance(self) -> np.ndarray:
        """Compute Cook's distance of each row used, (n,), as ``cooks.distance`` of lme4.

        The variances stay fixed.

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

    def _predict(
        self,
        newdata: Any,
        re: Any,
        allow_new_levels: bool,
        interval: str | None,
        level: float,
        se: bool,
        weights: Any,
        ddf: DDF,
        offset: Any,
    ) -> Any:
        """Predict the response; see `LMMResult.predict`."""
        check_choice("interval", interval, INTERVALS)
        check_level(level)
        check_flag("se", se)
        check_flag("allow_new_levels", allow_new_levels)
        chosen = chosen_effects(self._fit.cp, re)
        with_se, with_spread = se or interval is not None, interval == "prediction"
        population = not any(own.any() for own in chosen)
        find_df = df_finder(self._fit, ddf, interval, population) if with_se else None
        if newdata is None:
            _refuse_vectors("predict", weights, offset)
            design = self._rows("predict without newdata")
            found = predict_old(self._fit, design, chosen, with_se, with_spread, find_df)
            index = self._index if self._index is None else self._row_labels()
            if self._padded:
                index = self._index
                used = slice(None) if design.kept_rows is None else design.kept_rows
                found = found.among(design.n + design.n_dropped, used)
            library = self.library
        else:
            table, recipe = as_table(newdata), recipe_of(self._fit.cp)
            found = predict_new(
                self._fit,
                recipe,
                table,
                chosen,
                allow_new_levels,
                with_se,
                with_spread,
                weights_of_new(weights, table, self._fit.cp, with_spread),
                find_df,
                offset_of_new(offset, table, recipe),
            )
            index, library = getattr(newdata, "index", None), table.library
        if not with_se:
            return found.fit
        return to_library(tables.prediction_table(found, interval, level, index), library)

    def _simulate(
        self,
        n: int,
        seed: int | None,
        kept: Any,
        newdata: Any,
        allow_new_levels: bool,
        weights: Any,
        offset: Any,
        params: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """Draw responses; the effects `kept` stay at their modes. See `LMMResult.simulate`."""
        n = check_count("n", n)
        check_seed(seed)
        check_flag("allow_new_levels", allow_new_levels)
        chosen = chosen_effects(self._fit.cp, kept)
        fit = self._fit
        if params is not None:
            if any(own.any() for own in chosen):
                raise ArgumentError(
                    "simulate(params=...) draws all random effects anew, because the modes of the "
                    'fit belong to its estimates: leave re="new"'
                )
            assert isinstance(fit, Fit)  # only mixed models have the argument
            fit = with_parameters(fit, params)
        if newdata is None:
            _refuse_vectors("simulate", weights, offset)
            return simulate_old(fit, self._rows("simulate without newdata"), n, seed, chosen)
        table, recipe = as_table(newdata), recipe_of(self._fit.cp)
        return simulate_new(
            fit,
            recipe,
            table,
            n,
            seed,
            chosen,
            allow_new_levels,
            weights_of_new(weights, table, self._fit.cp, needed=True),
            offset_of_new(offset, table, recipe),
        )


def _refuse_vectors(method: str, weights: Any, offset: Any) -> None:
    """Raise DataError for weights or an offset without new rows."""
    for label, value in (("weights", weights), ("offset", offset)):
        if value is not None:
            raise DataError(
                f"{method}({label}=...) needs newdata=: the rows used keep their own {label}"
            )
