"""Tables of tests and estimates in pandas, made of the numbers that `mixedfast.inference` computes.

The methods of results give these tables in the data-frame library of the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._progress import Show
from mixedfast._validation import check_count, check_flag, check_seed
from mixedfast.inference.ddf.methods import DDF, METHODS, f_test, t_test
from mixedfast.inference.distributions import t_quantile
from mixedfast.inference.hypotheses import anova, contrasts, model_comparison, regression
from mixedfast.inference.hypotheses.bootstrap_comparison import bootstrap_p_value, null_statistics
from mixedfast.inference.hypotheses.coefficients import coefficient_tests, tests_by_method
from mixedfast.inference.hypotheses.ranova import random_term_tests
from mixedfast.inference.intervals.joint_information import joint_information, variance_errors

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.crossprod.types import CrossProducts
    from mixedfast.design.types import Design
    from mixedfast.estimation.fit import Fit
    from mixedfast.estimation.least_squares import LeastSquares
    from mixedfast.estimation.linear_fit import LinearFit
    from mixedfast.inference.prediction.predict import Prediction

__all__ = [
    "anova_table",
    "bootstrap_tests",
    "coef_table",
    "compare",
    "contrast",
    "ddf_table",
    "drop1",
    "joint_vcov",
    "numbered",
    "prediction_table",
    "ranova",
    "regression_anova",
    "theta_names",
    "varcorr_errors",
    "wald_intervals",
]


# --- coefficients -------------------------------------------------------------------------------


def coef_table(fit: LinearFit, ddf: DDF = "satterthwaite", level: float = 0.95) -> pd.DataFrame:
    """Make the table of all coefficients, index ``term``; NaN for columns not identified."""
    import pandas as pd

    index = pd.Index(list(fit.cp.meta.x_names), name="term")
    return pd.DataFrame(coefficient_tests(fit, ddf, level), index=index)


def ddf_table(fit: LinearFit, methods: tuple[str, ...] = METHODS) -> pd.DataFrame:
    """Make the table of every method: index ``(term, method)``, columns ``df, p_value, note``."""
    import pandas as pd

    rows = [
        (term, tests.method, tests.df[i], tests.p_value[i], tests.note)
        for found in [tests_by_method(fit, methods)]
        for i, term in enumerate(fit.cp.x_names)
        for tests in found
    ]
    frame = pd.DataFrame(rows, columns=["term", "method", "df", "p_value", "note"])
    return frame.set_index(["term", "method"])


def wald_intervals(fit: LinearFit, level: float, ddf: DDF) -> pd.DataFrame:
    """Make the table of Wald intervals of the coefficients, ``conf_low, conf_high``."""
    return coef_table(fit, ddf, level)[["conf_low", "conf_high"]]


# --- hypotheses ---------------------------------------------------------------------------------


def contrast(
    fit: LinearFit,
    L: Any,
    rhs: float | Sequence[float] = 0.0,
    ddf: DDF = "satterthwaite",
    joint: bool = False,
    level: float = 0.95,
) -> pd.DataFrame:
    """Make the table of linear combinations, one row per combination, or of their F test.

    See `mixedfast.inference.hypotheses.contrasts.contrasts` for `L` and `rhs`.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sex + (1 | school)", mf.load_dataset("hsb"))
    >>> contrast(m._fit, "ses = 2, 2*ses - sex[T.Male] = 0").round(3)[["estimate", "std_error"]]
                              estimate  std_error
    ses = 2                      2.356      0.105
    2*ses - sex[T.Male] = 0      3.525      0.275
    >>> contrast(m._fit, {"ses": 1, "sex[T.Male]": -1}, joint=True)["num_df"].tolist()
    [1]
    """
    import pandas as pd

    check_flag("joint", joint)
    found = contrasts.contrasts(fit, L, rhs)
    if not joint:
        return pd.DataFrame(t_test(fit, found.L, found.rhs, ddf, level), index=list(found.labels))
    test = f_test(fit, found.L, found.rhs, ddf)
    columns = ["num_df", "den_df", "f_value", "p_value"]
    return pd.DataFrame([test._asdict()], index=[", ".join(found.labels)])[columns]


def anova_table(
    fit: LinearFit, type: str | int = "III", ddf: DDF = "satterthwaite"
) -> pd.DataFrame:
    """Make the table of F tests of the terms of the fixed part, index ``term``."""
    return _by_term(anova.term_tests(fit, type, ddf), anova.TermTest).astype(float)


def drop1(fit: LinearFit, ddf: DDF = "satterthwaite") -> pd.DataFrame:
    """Make the table of F tests of single deletions, as `anova_table`."""
    return _by_term(anova.deletion_tests(fit, ddf), anova.TermTest).astype(float)


def regression_anova(fit: LeastSquares, type: str, ddf: DDF) -> pd.DataFrame:
    """Make the table of the terms of a regression and its residuals, index ``term``."""
    table = _by_term(regression.regression_anova(fit, type, ddf), regression.SquaresTest)
    return table.astype({"df": int} if table["df"].notna().all() else {})


def ranova(fit: Fit) -> pd.DataFrame:
    """Make the table of likelihood-ratio tests of the random terms, index ``term``.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> ranova(m._fit)[["npar", "chisq", "df"]].round(3)
                              npar   chisq   df
    term
    <none>                       6     NaN  NaN
    Days in (Days | Subject)     4  42.837  2.0
    """
    tests = random_term_tests(fit)
    return _by_term(tests, type(tests[0]))


def numbered(tests: Sequence[tuple[int, Any]], kind: Any) -> pd.DataFrame:
    """Make a table of tests of terms with their place in the order of elimination."""
    table = _by_term([test for _, test in tests], kind)
    table.insert(0, "eliminated", [place for place, _ in tests])
    return table


def compare(
    fits: Sequence[LinearFit], names: Sequence[str] | None = None, refit: bool = True
) -> pd.DataFrame:
    """Make the table of nested models, fewest parameters first, with likelihood-ratio tests.

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> small = mf.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> large = mf.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> compare([large._fit, small._fit], ["large", "small"])[["npar", "chisq", "df"]].round(3)
           npar   chisq   df
    small     4     NaN  NaN
    large     6  42.139  2.0
    """
    import pandas as pd

    table = pd.DataFrame(model_comparison.compare(fits, names, refit)).set_index("model")
    return table.rename_axis(None)


def bootstrap_tests(
    table: pd.DataFrame,
    fits: Sequence[LinearFit],
    designs: Sequence[Design],
    n: int,
    seed: int | None,
    progress: Show,
) -> pd.DataFrame:
    """Replace the p values of `compare` by those of a parametric bootstrap.

    Parameters
    ----------
    table : DataFrame
    fits : sequence of LinearFit
        By maximum likelihood, in the order of the table.
    designs : sequence of Design
        Their rows.
    n, seed, progress
        See `mixedfast.inference.hypotheses.bootstrap_comparison.null_statistics`.
    """
    check_seed(seed)
    p_values = [np.nan]
    for i, observed in enumerate(table["chisq"].tolist()[1:]):
        drawn = null_statistics(
            fits[i],
            fits[i + 1],
            (designs[i], designs[i + 1]),
            check_count("n", n),
            seed,
            progress,
        )
        p_values.append(bootstrap_p_value(observed, drawn))
    return table.rename(columns={"p_value": "p_chisq"}).assign(p_value=p_values)


def _by_term(rows: Sequence[tuple[Any, ...]], kind: Any) -> pd.DataFrame:
    """Make a table of named tuples, with the field ``term`` as index."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(kind._fields)).set_index("term")


# --- variances ----------------------------------------------------------------------------------


def joint_vcov(fit: Fit) -> pd.DataFrame:
    """Make the table of the covariance of coefficients and relative variances."""
    import pandas as pd

    found = joint_information(fit)
    return pd.DataFrame(found.vcov, index=list(found.names), columns=list(found.names))


def varcorr_errors(fit: Fit) -> pd.DataFrame:
    """Make the table of standard errors of variances, standard deviations and correlations."""
    import pandas as pd

    return pd.DataFrame(variance_errors(fit))


# --- predictions --------------------------------------------------------------------------------


def prediction_table(
    found: Prediction, interval: str | None, level: float, index: Any = None
) -> pd.DataFrame:
    """Make the table of predictions: ``fit, se`` and, for an interval, ``lower, upper``.

    ``df`` is a column where it differs by row.
    """
    import pandas as pd
    from scipy.special import ndtri

    of_rows = found.df is not None and found.df.ndim > 0
    columns = {"fit": found.fit, "se": found.se} | ({"df": found.df} if of_rows else {})
    if interval is not None:
        width = found.se if interval == "confidence" else found.spread
        tail = 0.5 + 0.5 * level
        reach = ndtri(tail) if found.df is None else t_quantile(tail, found.df)
        half = reach * np.asarray(width)
        columns |= {"lower": found.fit - half, "upper": found.fit + half}
    return pd.DataFrame(columns, index=index)


def theta_names(cp: CrossProducts) -> list[str]:
    """Name the elements of theta: ``theta_Days.Intercept|Subject``."""
    out = []
    for term, group in zip(cp.terms, cp.term_groups, strict=True):
        names = cp.groups[term.group].names[term.start : term.start + term.k]
        rows, columns = term.structure.places
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
            effect = names[i] if i == j else f"{names[i]}.{names[j]}"
            out.append(f"theta_{effect}|{group}")
    return out
