"""F tests of the terms of the fixed part."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.methods import DDF, f_test, method_for
from mixedfast.inference.hypotheses.anova_types import Hypotheses, deletions, hypotheses

__all__ = ["TermTest", "deletion_tests", "term_tests"]


class TermTest(NamedTuple):
    """The F test of one term; all NaN when the term has no column that the data determine.

    The mean square is sigma^2 times the Wald statistic over its df. So F is the mean square over
    sigma^2, but for the method of Kenward and Roger, which also scales F.
    """

    term: str
    sum_sq: float
    mean_sq: float
    num_df: float
    den_df: float
    f_value: float
    p_value: float


def term_tests(
    fit: LinearFit, type: str | int = "III", ddf: DDF = "satterthwaite"
) -> list[TermTest]:
    """Test every term of the fixed part but the intercept.

    Parameters
    ----------
    fit : LinearFit
    type : {"III", "II", "I", "marginal"}
        See `hypotheses`; 1, 2 and 3 are accepted too.
    ddf : str or TraceMethod
        The method for the denominator degrees of freedom.

    Raises
    ------
    NotDefinedError
        For an unknown type or method.

    References
    ----------
    Kuznetsova, Brockhoff and Christensen (2017), JSS 82(13).

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sex + (1 | school)", mf.load_dataset("hsb"))
    >>> [(test.term, round(test.f_value, 2)) for test in term_tests(m._fit)]
    [('ses', 499.46), ('sex', 51.53)]
    """
    wanted = {"1": "I", "2": "II", "3": "III"}.get(str(type), str(type))
    return _tests(fit, hypotheses(fit.cp, wanted), ddf)


def deletion_tests(fit: LinearFit, ddf: DDF = "satterthwaite") -> list[TermTest]:
    """Test the terms that can be deleted one at a time: those whose factors no other term has.

    Parameters
    ----------
    fit : LinearFit
    ddf : str or TraceMethod

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses * sex + (1 | school)", mf.load_dataset("hsb"))
    >>> [test.term for test in deletion_tests(m._fit)]
    ['ses:sex']
    """
    return _tests(fit, deletions(fit.cp), ddf)


def _tests(fit: LinearFit, tests: Hypotheses, ddf: DDF) -> list[TermTest]:
    """Test L beta = 0 for the matrix L of each term."""
    sigma2 = method_for(fit, ddf).fit(fit).sigma ** 2
    out = []
    for term, L in tests.items():
        if not len(L):
            out.append(TermTest(term, *(np.nan,) * 6))
            continue
        F, num_df, den_df, p_value, wald = f_test(fit, L, ddf=ddf)
        sum_sq = sigma2 * wald
        out.append(TermTest(term, sum_sq, sum_sq / num_df, num_df, den_df, F, p_value))
    return out
