"""Estimates and tests of marginal means and of their contrasts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from mixedfast._validation import check_choice
from mixedfast.inference.ddf.methods import FTest, f_test, t_test
from mixedfast.inference.hypotheses.comparisons import (
    ADJUSTMENTS,
    adjusted_p_values,
    critical_values,
)
from mixedfast.inference.hypotheses.emmeans import GridMeans
from mixedfast.inference.hypotheses.estimable import alias_matrix, estimable, undetermined

__all__ = ["equality_tests", "families", "mean_estimates", "not_estimable", "pairwise"]


def mean_estimates(means: GridMeans) -> dict[str, np.ndarray]:
    """Estimate the means: ``emmean, std_error, df, conf_low, conf_high``, (m,) each.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
    >>> mean_estimates(m.emmeans("sector"))["emmean"].round(2)
    array([13.82, 11.72])
    """
    tests = _t_tests(means, means.L)
    return {
        "emmean": tests["estimate"] + means.offset,
        "std_error": tests["std_error"],
        "df": tests["df"],
        "conf_low": tests["conf_low"] + means.offset,
        "conf_high": tests["conf_high"] + means.offset,
    }


def not_estimable(means: GridMeans) -> dict[int, str]:
    """Explain why means cannot be estimated: position -> reason."""
    names, cp = means.fit.cp.meta.x_names, means.fit.cp
    needed = undetermined(cp, means.rows)
    zero = ~alias_matrix(cp).any(axis=0)
    out = {}
    for i in np.flatnonzero(needed.any(axis=1)).tolist():
        if np.isnan(means.rows[i]).any():
            out[i] = "no rows have its combination of levels"
            continue
        empty = [names[j] for j in np.flatnonzero(needed[i] & zero)]
        mixed = [names[j] for j in np.flatnonzero(needed[i] & ~zero)]
        parts = [f"no rows have {_first(empty)}"] if empty else []
        parts += [f"the data do not determine {_first(mixed)}"] if mixed and not empty else []
        out[i] = "; ".join(parts)
    return out


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} ({len(names) - 1} more like it)"


def families(means: GridMeans) -> dict[tuple[Any, ...], list[int]]:
    """Group the means by their values of ``by``: values -> positions."""
    out: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(means.levels):
        out.setdefault(row[len(means.specs) :], []).append(i)
    return out


def pairwise(
    means: GridMeans, members: list[int], adjust: str = "tukey"
) -> tuple[list[tuple[int, int]], dict[str, np.ndarray]]:
    """Test all differences of two means of a family.

    Parameters
    ----------
    means : GridMeans
    members : list of int
        Positions of the means.
    adjust : one of ADJUSTMENTS
        How p values and intervals allow for the number of means (Tukey) or of comparisons.

    Returns
    -------
    pairs : list of (int, int)
    tests : dict of str to array
        ``estimate, std_error, df, statistic, p_value, conf_low, conf_high``, one value per pair.

    Raises
    ------
    ArgumentError
        For an unknown adjustment.
    """
    check_choice("adjust", adjust, ADJUSTMENTS)
    pairs = list(itertools.combinations(members, 2))
    first, second = (np.array([pair[k] for pair in pairs], dtype=int) for k in (0, 1))
    tests = _t_tests(means, estimable(means.fit.cp, means.rows[first] - means.rows[second]))
    offset = means.offset[first] - means.offset[second]
    estimate = tests["estimate"] + offset
    statistic = tests["statistic"] + offset / tests["std_error"]
    critical = critical_values(means.level, tests["df"], len(members), adjust)
    margin = critical * tests["std_error"]
    return pairs, {
        "estimate": estimate,
        "std_error": tests["std_error"],
        "df": tests["df"],
        "statistic": statistic,
        "p_value": adjusted_p_values(statistic, tests["df"], len(members), adjust),
        "conf_low": estimate - margin,
        "conf_high": estimate + margin,
    }


def equality_tests(means: GridMeans) -> dict[tuple[Any, ...], FTest]:
    """Test in each family that all means are equal; NaN when a difference cannot be estimated."""
    return {by: _equality_test(means, members) for by, members in families(means).items()}


def _equality_test(means: GridMeans, members: list[int]) -> FTest:
    """Test that some means are equal."""
    L = estimable(means.fit.cp, means.rows[members[1:]] - means.rows[members[0]])
    rhs = means.offset[members[0]] - means.offset[members[1:]]
    if not len(L) or np.isnan(L).any():
        return FTest(*(np.nan,) * 5)
    return f_test(means.fit, L, rhs, means.ddf)


def _t_tests(means: GridMeans, L: np.ndarray) -> dict[str, np.ndarray]:
    """Test L beta = 0 row by row; NaN for rows that cannot be estimated."""
    known = ~np.isnan(L).any(axis=1)
    out = {}
    for name, values in t_test(means.fit, L[known], 0.0, means.ddf, means.level).items():
        out[name] = np.full(len(L), np.nan)
        out[name][known] = values
    return out
