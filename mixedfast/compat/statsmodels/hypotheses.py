"""The results of ``t_test``, ``wald_test`` and ``f_test``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from mixedfast.errors import NotDefinedError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ContrastResults", "f_results", "wald_results", "z_results"]


class ContrastResults:
    """The result of a test.

    Attributes
    ----------
    statistic, pvalue : float or (r,) array
    distribution : {"norm", "t", "chi2", "F"}
    effect, sd, tvalue : (r,) arrays
        Of single hypotheses.
    fvalue, df_num, df_denom : float
        Of joint ones; ``df_denom`` of a chi-squared test is its only df, as in statsmodels.
    """

    def __init__(
        self,
        distribution: str,
        statistic: Any,
        pvalue: Any,
        effect: Any = None,
        sd: Any = None,
        df_num: float | None = None,
        df_denom: float | None = None,
    ) -> None:
        self.distribution = distribution
        self.statistic = self.tvalue = statistic
        self.pvalue = pvalue
        self.effect, self.sd = effect, sd
        self.df_num, self.df_denom = df_num, df_denom
        if distribution == "F":
            self.fvalue = statistic
        self.c_names = [f"c{i}" for i in range(len(effect))] if effect is not None else None

    def conf_int(self, alpha: float = 0.05) -> np.ndarray:
        """Compute intervals of the effects, (r, 2)."""
        if self.effect is None:
            raise NotDefinedError("a joint test has no confidence interval")
        reach = self._law().ppf(1.0 - alpha / 2.0) * self.sd
        return np.column_stack((self.effect - reach, self.effect + reach))

    def _law(self) -> Any:
        return stats.t(self.df_denom) if self.distribution == "t" else stats.norm

    def summary_frame(self, xname: list[str] | None = None, alpha: float = 0.05) -> pd.DataFrame:
        """Tabulate the effects."""
        import pandas as pd

        letter = "t" if self.distribution == "t" else "z"
        limits = self.conf_int(alpha)
        columns = {
            "coef": self.effect,
            "std err": self.sd,
            letter: self.statistic,
            f"P>|{letter}|": np.atleast_1d(self.pvalue),
            "Conf. Int. Low": limits[:, 0],
            "Conf. Int. Upp.": limits[:, 1],
        }
        return pd.DataFrame(columns, index=xname or self.c_names)

    def summary(
        self, xname: list[str] | None = None, alpha: float = 0.05, title: str | None = None
    ) -> str:
        """Format the effects as text; one line for a joint test."""
        if self.effect is not None:
            return (
                f"{title or 'Test for Constraints'}\n{self.summary_frame(xname, alpha).to_string()}"
            )
        if self.distribution == "F":
            return (
                f"<F test: F={self.statistic!r}, p={self.pvalue}, df_denom={self.df_denom:.3g}, "
                f"df_num={self.df_num:.3g}>"
            )
        return (
            f"<Wald test (chi2): statistic={self.statistic}, p-value={self.pvalue}, "
            f"df_denom={self.df_denom:.3g}>"
        )

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__


def z_results(effect: np.ndarray, variance: np.ndarray, df: float | None) -> ContrastResults:
    """Test each row separately: a z test, or a t test when `df` is given."""
    sd = np.sqrt(variance)
    z = effect / sd
    law = stats.norm if df is None else stats.t(df)
    return ContrastResults(
        "norm" if df is None else "t", z, 2.0 * law.sf(np.abs(z)), effect, sd, df_denom=df
    )


def wald_results(
    difference: np.ndarray, covariance: np.ndarray, df: float | None, scalar: bool
) -> ContrastResults:
    """Test all rows together by chi-squared."""
    statistic, rank = _quadratic(difference, covariance)
    count = rank if df is None else df
    pvalue = float(stats.chi2.sf(statistic, count))
    return ContrastResults(
        "chi2", statistic if scalar else np.array([[statistic]]), pvalue, df_denom=count
    )


def f_results(
    difference: np.ndarray, covariance: np.ndarray, df: float | None, df_resid: float, scalar: bool
) -> ContrastResults:
    """Test all rows together by F with residual df."""
    statistic, rank = _quadratic(difference, covariance)
    count = df if df is not None else rank
    value = statistic / count
    pvalue = float(stats.f.sf(value, count, df_resid))
    return ContrastResults(
        "F", value if scalar else np.array([[value]]), pvalue, df_num=count, df_denom=df_resid
    )


def _quadratic(difference: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(covariance).all():
        raise NotDefinedError(
            "the hypothesis names a parameter without a standard error: a variance at zero, or a "
            "column that the data do not determine"
        )
    return float(difference @ np.linalg.pinv(covariance) @ difference), float(
        np.linalg.matrix_rank(covariance)
    )
