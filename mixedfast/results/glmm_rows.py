"""The methods of a generalized linear mixed model that need rows: predictions, residuals, draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._validation import check_choice, check_count, check_flag, check_level, check_seed
from mixedfast.data.frames import as_table
from mixedfast.errors import ArgumentError
from mixedfast.estimation.glmm.cumulative import category_probabilities
from mixedfast.estimation.glmm.fit import GLMMFit
from mixedfast.estimation.glmm.responses import Response, response_of
from mixedfast.inference.distributions import t_quantile
from mixedfast.inference.prediction.generalized import (
    RESIDUALS,
    average_of,
    draw,
    residuals,
    simulated_eta,
)
from mixedfast.inference.prediction.henderson import linear_predictor, prior_variance
from mixedfast.inference.prediction.predict import (
    Prediction,
    new_variance,
    predict_new,
    predict_old,
)
from mixedfast.inference.prediction.re_form import chosen_effects
from mixedfast.inference.prediction.row_arguments import offset_of_new, recipe_of
from mixedfast.inference.prediction.row_tiles import rows_of_design
from mixedfast.results.estimates import Estimates

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GLMMRowMethods"]


class GLMMRowMethods(Estimates):
    """Fitted values, residuals, predictions and simulated responses."""

    _fit: GLMMFit  # type: ignore[assignment]
    #: Numbers of trials of the rows used.
    _trials: np.ndarray | None = None

    @cached_property
    def fitted(self) -> np.ndarray:
        """Means at the conditional modes, (n,): probabilities or expected counts.

        Of a cumulative model the probability of each category, (n, C).
        """
        if self._fit.family.is_ordered:
            return self._probabilities(self._eta)
        return self._pad(self._fit.family.mean(self._eta))

    def _probabilities(self, eta: np.ndarray) -> np.ndarray:
        """Compute the probabilities of the categories of a cumulative model, (n, C)."""
        return category_probabilities(self._fit.family.link, eta, self._fit.extra)

    @cached_property
    def _eta(self) -> np.ndarray:
        """Linear predictors at the conditional modes, on the rows used."""
        return linear_predictor(self._fit, rows_of_design(self._fit.cp, self._rows("fitted")))

    def _response(self) -> Response:
        """Return the response of the rows used."""
        design = self._rows("resid")
        return response_of(
            self._fit.family, design.response_name, design.y, self._trials, design.weights
        )

    def resid(self, type: str = "deviance", seed: int | None = 0) -> np.ndarray:
        """Return residuals at the conditional modes, (n,).

        Parameters
        ----------
        type : {"deviance", "pearson", "response", "working", "quantile"}
            Signed roots of the contributions to the deviance; in units of the standard deviation;
            observed less expected; the same on the scale of the link; or randomized quantile
            residuals, standard normal under the model (Dunn and Smyth 1996).
        seed : int, optional
            Of the randomized residuals.
        """
        check_choice("type", type, RESIDUALS)
        check_seed(seed)
        data = self._response()
        found = residuals(
            self._fit.family,
            self._eta,
            data.y,
            data.size,
            data.observed,
            type,
            seed,
            self._fit.extra,
        )
        return self._pad(found)

    def predict(
        self,
        newdata: Any = None,
        type: str = "response",
        re: Any = True,
        allow_new_levels: bool = False,
        interval: str | None = None,
        level: float = 0.95,
        offset: Any = None,
    ) -> np.ndarray | pd.DataFrame:
        """Predict means or linear predictors.

        Parameters
        ----------
        newdata : data frame or mapping of arrays, optional
            Default: the rows used.
        type : {"response", "link"}
            Means (probabilities, expected counts), or linear predictors.
        re : bool, str or "average"
            True: at the conditional modes. False: at random effects of zero, the mean of a typical
            group. "average": the mean over the distribution of the random effects, by quadrature,
            as in the population. A formula or name keeps these effects and sets others to zero.
        allow_new_levels : bool
            Whether groups that are not in the fit have effects of zero instead of an error.
        interval : {None, "confidence"}
            Intervals of the linear predictor, from the joint uncertainty of the parameters and the
            modes, transformed to the scale of `type`. Not with ``re="average"``.
        level : float
        offset : str or (rows,) array, optional
            Of the new rows, where that of the fit was an array.

        Returns
        -------
        (rows,) array, or DataFrame
            With an interval: ``fit, se, lower, upper``; ``se`` is on the scale of the link. Of a
            cumulative model with ``type="response"`` the probabilities of the categories, (rows,
            C), one column for each.
        """
        check_choice("type", type, ("response", "link"))
        check_choice("interval", interval, (None, "confidence"))
        check_flag("allow_new_levels", allow_new_levels)
        check_level(level)
        family = self._fit.family
        if family.is_ordered and type == "response":
            return self._predicted_categories(newdata, re, allow_new_levels, interval, offset)
        if isinstance(re, str) and re == "average":
            if interval is not None:
                raise ArgumentError('predict: no interval with re="average"; use re=False')
            return self._average(newdata, type, offset)
        chosen = chosen_effects(self._fit.cp, re)
        found = self._predicted(newdata, chosen, allow_new_levels, interval is not None, offset)
        transform = family.mean if type == "response" else np.asarray
        if found.se is None:
            return transform(found.fit)
        import pandas as pd

        margin = t_quantile(0.5 + 0.5 * level, np.array(np.inf)) * found.se
        ends = found.fit - margin, found.fit + margin
        lower, upper = (transform(np.asarray(end)) for end in ends)
        if type == "response" and family.link == "inverse":
            lower, upper = upper, lower
        return pd.DataFrame(
            {"fit": transform(found.fit), "se": found.se, "lower": lower, "upper": upper}
        )

    def _predicted_categories(
        self, newdata: Any, re: Any, new_levels: bool, interval: str | None, offset: Any
    ) -> pd.DataFrame:
        """Predict the probabilities of the categories of a cumulative model."""
        import pandas as pd

        if interval is not None:
            raise ArgumentError('predict: intervals of a cumulative model need type="link"')
        if isinstance(re, str) and re == "average":
            eta, variance = self._average_parts(newdata, offset)
            found = average_of(self._probabilities, eta, variance)
        else:
            chosen = chosen_effects(self._fit.cp, re)
            found = self._probabilities(
                self._predicted(newdata, chosen, new_levels, False, offset).fit
            )
        return pd.DataFrame(found, columns=list(self._fit.family.categories))

    def _predicted(
        self, newdata: Any, chosen: list[np.ndarray], new_levels: bool, se: bool, offset: Any
    ) -> Prediction:
        """Predict on the scale of the link."""
        fit = self._fit
        if newdata is None:
            found = predict_old(fit, self._rows("predict without newdata"), chosen, se, False)
            parts = (part if part is None else self._pad(part) for part in (found.fit, found.se))
            return Prediction(*parts)  # type: ignore[arg-type]
        table, recipe = as_table(newdata), recipe_of(fit.cp)
        own = offset_of_new(offset, table, recipe)
        return predict_new(fit, recipe, table, chosen, new_levels, se, False, offset=own)

    def _average(self, newdata: Any, type: str, offset: Any) -> np.ndarray:
        """Predict means over the distribution of the random effects."""
        family = self._fit.family
        if family.is_ordered:
            raise ArgumentError('predict: re="average" needs type="response" in a cumulative model')
        mean = average_of(family.mean, *self._average_parts(newdata, offset))
        return mean if type == "response" else family.link_of(mean)

    def _average_parts(self, newdata: Any, offset: Any) -> tuple[np.ndarray, np.ndarray]:
        """Compute linear predictors without random effects, and the variance of these, (n,)."""
        none = chosen_effects(self._fit.cp, False)
        eta = self._predicted(newdata, none, True, False, offset).fit
        if newdata is None:
            rows = rows_of_design(self._fit.cp, self._rows("predict"))
            variance = self._pad(prior_variance(self._fit, rows))
        else:
            every = chosen_effects(self._fit.cp, True)
            table, recipe = as_table(newdata), recipe_of(self._fit.cp)
            own = offset_of_new(offset, table, recipe)
            variance = new_variance(self._fit, recipe, table, every, own)
        return eta, variance

    def simulate(self, n: int = 1, seed: int | None = None, re: str = "new") -> np.ndarray:
        """Draw responses from the fitted model, for the rows used.

        Parameters
        ----------
        n : int
            Draws.
        seed : int, optional
            The same seed gives the same numbers; draw r depends only on the seed and r.
        re : {"new", "kept"}
            New random effects in every draw, or the conditional modes.

        Returns
        -------
        (rows, n) array
            Successes or counts.
        """
        check_count("n", n)
        check_seed(seed)
        check_choice("re", re, ("new", "kept"))
        fit, design = self._fit, self._rows("simulate")
        kept = chosen_effects(fit.cp, re == "kept")
        fixed = rows_of_design(fit.cp, design, kept)
        drawn = rows_of_design(fit.cp, design, [~own for own in kept])
        size = self._response().size
        out = np.empty((design.n, n))
        for r, child in enumerate(np.random.SeedSequence(seed).spawn(n)):
            rng = np.random.default_rng(child)
            out[:, r] = draw(
                fit.family, simulated_eta(fit, fixed, drawn, rng), size, rng, fit.extra
            )
        return out
