"""`Pooled`: one model fitted to several plausible values or imputed tables, by Rubin's rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from mixedfast._validation import check_choice, check_level
from mixedfast.errors import ArgumentError, NotDefinedError
from mixedfast.inference.ddf.methods import t_test
from mixedfast.inference.distributions import t_quantile, t_tails
from mixedfast.inference.hypotheses.anova_types import hypotheses
from mixedfast.inference.pooling import JointTest, Pool, d1, d2, rubin

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.results.lmm import LMMResult

__all__ = ["Pooled", "pool", "with_pool"]

F = TypeVar("F", bound=Callable[..., Any])


class Pooled:
    """Fits of one model to several plausible values or imputations, with pooled estimates.

    Made by ``mixedfast.lmer(..., pool=True)`` and `mixedfast.pool`. ``each[i]`` is the full result
    of one fit.

    Examples
    --------
    >>> import mixedfast as mf
    >>> sleep = mf.load_dataset("sleepstudy")
    >>> sleep["pv1"], sleep["pv2"] = sleep.Reaction, sleep.Reaction + 5.0 * (sleep.Days % 2)
    >>> P = mf.lmer(["pv1", "pv2"], "~ Days + (Days | Subject)", sleep, pool=True)
    >>> P.params.round(2).to_dict()
    {'Intercept': 252.31, 'Days': 10.54}
    """

    def __init__(self, each: Sequence[LMMResult]) -> None:
        self.each = tuple(each)
        if len(self.each) < 2:
            raise ArgumentError("pooling needs at least two fits")
        first = self.each[0]
        right = _right(first.formula)
        for i, m in enumerate(self.each):
            if _right(m.formula) != right or m.reml != first.reml:
                raise ArgumentError(
                    f"pool: fit {i} is of another model ({m.formula}) than fit 0 ({first.formula})"
                )
            if m._fit.cp.x_names != first._fit.cp.x_names:
                raise ArgumentError(
                    f"pool: fit {i} has other columns ({', '.join(m._fit.cp.x_names)}) than fit 0; "
                    "the tables must have the same categories"
                )

    def __repr__(self) -> str:
        return f"<Pooled {_right(self.each[0].formula)}; {len(self.each)} fits>"

    @property
    def _names(self) -> list[str]:
        return list(self.each[0]._fit.cp.x_names)

    def _estimates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients (m, p) and their covariances (m, p, p)."""
        fits = [m._fit for m in self.each]
        return np.array([fit.beta for fit in fits]), np.array([fit.vcov for fit in fits])

    def _pool(self, dfcom: str | float) -> Pool:
        Q, U = self._estimates()
        return rubin(Q, np.diagonal(U, axis1=1, axis2=2), self._dfcom(dfcom))

    def _dfcom(self, dfcom: str | float) -> np.ndarray | float:
        """Return the df of the complete data: the mean of Satterthwaite's, none, or a number."""
        if dfcom == "satterthwaite":
            eye = np.eye(len(self._names))
            return np.mean([t_test(m._fit, eye)["df"] for m in self.each], axis=0)
        if isinstance(dfcom, str):
            check_choice("dfcom", dfcom, ("satterthwaite", "none"))
            return np.inf
        if not dfcom > 0:
            raise ArgumentError(f"dfcom={dfcom!r}: a positive number")
        return float(dfcom)

    @property
    def params(self) -> pd.Series:
        """Means of the coefficients over the fits, (p,)."""
        import pandas as pd

        return pd.Series(self._estimates()[0].mean(axis=0), index=self._names)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of `params` by Rubin's rules, (p,)."""
        import pandas as pd

        return pd.Series(self._pool("none").std_error, index=self._names)

    def vcov(self) -> pd.DataFrame:
        """Return the total covariance of the coefficients, (p, p): within plus between fits."""
        import pandas as pd

        Q, U = self._estimates()
        m, p = Q.shape
        total = U.mean(axis=0) + (1.0 + 1.0 / m) * np.cov(Q.T, ddof=1).reshape(p, p)
        return pd.DataFrame(total, index=self._names, columns=self._names)

    @property
    def varcorr(self) -> pd.DataFrame:
        """Means of the variances and covariances over the fits, as `LMMResult.varcorr`.

        Standard deviations and correlations are those of the mean variances.
        """
        tables = [m._in_pandas().varcorr for m in self.each]
        out = tables[0].copy()
        out["variance"] = np.mean([t["variance"].to_numpy() for t in tables], axis=0)
        single = tables[0]["sd"].notna().to_numpy() & tables[0]["corr"].isna().to_numpy()
        sd = {
            (row.group, row.name1): np.sqrt(float(variance))
            for row, variance, one in zip(
                out.itertuples(), out["variance"].to_numpy(), single, strict=True
            )
            if one
        }
        out["sd"] = np.where(single, np.sqrt(out["variance"].clip(lower=0.0)), out["sd"])
        for i, row in enumerate(out.itertuples()):
            if not single[i]:
                product = sd[row.group, row.name1] * sd[row.group, row.name2]
                out.loc[out.index[i], "corr"] = row.variance / product
                out.loc[out.index[i], "sd"] = np.nan
        return out

    def coef_table(
        self,
        df: str = "barnard-rubin",
        dfcom: str | float = "satterthwaite",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return the pooled coefficients with standard errors, df, t tests and intervals.

        Parameters
        ----------
        df : {"barnard-rubin", "rubin"}
            With the df of the complete data (Barnard and Rubin 1999), or for large samples (Rubin
            1987).
        dfcom : {"satterthwaite", "none"} or float
            The df of the complete data: Satterthwaite's of each coefficient, averaged over the
            fits; infinite; or a number.
        level : float

        Returns
        -------
        DataFrame
            Index ``term``; ``estimate, std_error, df, statistic, p_value, conf_low, conf_high, riv,
            fmi``: relative increase of the variance and fraction of missing information.

        Raises
        ------
        ArgumentError
            For an unknown method or level.
        """
        import pandas as pd

        check_choice("df", df, ("barnard-rubin", "rubin"))
        check_level(level)
        found = self._pool("none" if df == "rubin" else dfcom)
        t = found.estimate / found.std_error
        margin = t_quantile(0.5 + 0.5 * level, found.df) * found.std_error
        return pd.DataFrame(
            {
                "estimate": found.estimate,
                "std_error": found.std_error,
                "df": found.df,
                "statistic": t,
                "p_value": t_tails(t, found.df),
                "conf_low": found.estimate - margin,
                "conf_high": found.estimate + margin,
                "riv": found.riv,
                "fmi": found.fmi,
            },
            index=pd.Index(self._names, name="term"),
        )

    def _joint(self, L: np.ndarray, method: str, dfcom: float) -> JointTest:
        """Test L beta = 0 for independent rows L (k, p)."""
        Q, U = self._estimates()
        estimates, covariances = Q @ L.T, L @ U @ L.T
        if method == "D1":
            return d1(estimates, covariances, dfcom)
        return d2(
            np.array(
                [q @ np.linalg.solve(u, q) for q, u in zip(estimates, covariances, strict=True)]
            ),
            len(L),
        )

    def test(self, other: Pooled, method: str = "D1", dfcom: float = np.inf) -> pd.DataFrame:
        """Test this model against a smaller one: the coefficients that `other` lacks are zero.

        Parameters
        ----------
        other : Pooled
            With the same random part and some of the coefficients.
        method : {"D1", "D2"}
            D1 from the covariances of the fits (Li, Raghunathan and Rubin 1991; with a finite
            `dfcom` Reiter 2007), D2 from their Wald statistics.
        dfcom : float
            Df of the complete data, for D1.

        Returns
        -------
        DataFrame
            One row: ``f_value, num_df, den_df, p_value, riv``.

        Raises
        ------
        NotDefinedError
            When `other` has columns that this model lacks, or another random part.
        """
        import pandas as pd

        check_choice("method", method, ("D1", "D2"))
        mine, theirs = self._names, other._names
        extra = [name for name in mine if name not in theirs]
        same = self.each[0]._fit.cp.terms == other.each[0]._fit.cp.terms
        if not set(theirs) <= set(mine) or not extra or not same:
            raise NotDefinedError(
                f"{method} tests coefficients: the other model needs the same random part and only "
                "columns of this one, and lack at least one"
            )
        L = np.eye(len(mine))[[mine.index(name) for name in extra]]
        return pd.DataFrame([self._joint(L, method, dfcom)._asdict()], index=[method])

    def anova(self, type: str = "III", method: str = "D1", dfcom: float = np.inf) -> pd.DataFrame:
        """Test the terms of the fixed part jointly, by D1 or D2.

        Parameters
        ----------
        type : {"I", "II", "III"}
        method, dfcom
            As for `test`.

        Returns
        -------
        DataFrame
            Index ``term``; ``f_value, num_df, den_df, p_value, riv``.
        """
        import pandas as pd

        check_choice("method", method, ("D1", "D2"))
        found = {
            term: self._joint(np.atleast_2d(L), method, dfcom)._asdict()
            for term, L in hypotheses(self.each[0]._fit.cp, type).items()
            if len(L)
        }
        return pd.DataFrame(found).T.rename_axis("term")

    def tidy(self, conf_int: bool = False, level: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient; with `conf_int` the limits of intervals too."""
        table = self.coef_table(level=level).reset_index()
        table.insert(0, "effect", "fixed")
        return table if conf_int else table.drop(columns=["conf_low", "conf_high"])

    def summary(self) -> str:
        """Summarize the pooled fit as text: variances, coefficients and their tests."""
        first = self.each[0]
        return "\n".join(
            [
                f"{len(self.each)} fits of {_right(first.formula)} by "
                f"{'REML' if first.reml else 'maximum likelihood'}, pooled by Rubin's rules",
                "",
                "Variances (means):",
                self.varcorr.to_string(index=False, na_rep="", float_format="%.5g"),
                "",
                "Fixed effects (df of Barnard and Rubin with Satterthwaite's):",
                self.coef_table().to_string(float_format="%.5g"),
            ]
        )


def _right(formula: str) -> str:
    """Return the part of a formula after the response."""
    return "~" + formula.partition("~")[2]


def pool(fits: Sequence[LMMResult]) -> Pooled:
    """Pool fits of one model to several plausible values or imputed tables.

    Parameters
    ----------
    fits : sequence of LMMResult
        At least two.

    Returns
    -------
    Pooled

    Raises
    ------
    ArgumentError
        When the fits are of different models.

    Examples
    --------
    >>> import mixedfast as mf
    >>> sleep = mf.load_dataset("sleepstudy")
    >>> m = mf.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    >>> mf.pool([m, m.refit(m.simulate(seed=1))])
    <Pooled ~ Days + (1 | Subject); 2 fits>
    """
    return Pooled(list(fits))


def with_pool(fit: F) -> F:
    """Add the argument ``pool`` to a function ``fit(formula, data, ...)``.

    With ``pool=True`` it takes a list of responses, a formula without one and a table; or a formula
    and a list of tables.
    """

    @wraps(fit)
    def fitted(*args: Any, pool: bool = False, **options: Any) -> Any:
        if not pool:
            return fit(*args, **options)
        given = signature(fit).bind_partial(*args[:1]).arguments
        formula = given.get("formula", options.get("formula"))
        if isinstance(formula, list | tuple):
            if (
                len(args) < 3
                or not isinstance(args[1], str)
                or not args[1].lstrip().startswith("~")
            ):
                raise ArgumentError(
                    'pool=True with several responses: lmer(["pv1", "pv2"], "~ x + (1 | g)", data, '
                    "pool=True)"
                )
            right, data = args[1], args[2]
            return Pooled([fit(f"{y} {right}", data, *args[3:], **options) for y in formula])
        tables = args[1] if len(args) > 1 else options.pop("data", None)
        if not isinstance(tables, list | tuple) or len(tables) < 2:
            raise ArgumentError(
                "pool=True needs a list of responses, or a formula and a list of tables"
            )
        return Pooled([fit(formula, data, *args[2:], **options) for data in tables])

    own = signature(fit)
    extra = Parameter("pool", Parameter.KEYWORD_ONLY, default=False, annotation="bool")
    fitted.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*own.parameters.values(), extra]
    )
    return cast(F, fitted)
