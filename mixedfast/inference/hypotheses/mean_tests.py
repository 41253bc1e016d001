"""Estimates and tests of marginal means and of their contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfast._validation import check_choice
from mixedfast.errors import ArgumentError
from mixedfast.inference.ddf.joint_hypothesis import independent_rows
from mixedfast.inference.ddf.methods import FTest, f_test, method_for, t_test
from mixedfast.inference.hypotheses.comparisons import ADJUSTMENTS, adjusted
from mixedfast.inference.hypotheses.contrast_sets import ContrastSet, contrast_set
from mixedfast.inference.hypotheses.emmeans import GridMeans
from mixedfast.inference.hypotheses.estimable import alias_matrix, estimable, undetermined

__all__ = [
    "FAMILIES",
    "GridContrasts",
    "combined",
    "contrast_means",
    "contrasts_equal",
    "equality_tests",
    "families",
    "mean_estimates",
    "not_estimable",
    "regrouped",
]

#: Comparisons that are adjusted together: those within a level of `by`, or all of them.
FAMILIES = ("by", "all")

#: The adjustment of each set of contrasts, as in R's emmeans.
_ADJUST = {
    "pairwise": "tukey",
    "control": "dunnett",
    "consecutive": "mvt",
    "eff": "fdr",
    "poly": "none",
    "interaction": "none",
    "custom": "none",
}


def mean_estimates(means: GridMeans) -> dict[str, np.ndarray]:
    """Estimate the means: ``emmean, std_error, df, conf_low, conf_high``, (m,) each.

    On the response scale the first is ``response``, standard errors follow by the delta method, and
    the ends of intervals are transformed.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
    >>> mean_estimates(m.emmeans("sector"))["emmean"].round(2)
    array([13.82, 11.72])
    """
    tests = _t_tests(means, means.L)
    eta = tests["estimate"] + means.offset
    ends = [tests[end] + means.offset for end in ("conf_low", "conf_high")]
    if not means.on_response:
        low, high = ends
        return {
            means.statistic: eta,
            "std_error": tests["std_error"],
            "df": tests["df"],
            "conf_low": low,
            "conf_high": high,
        }
    assert means.transformation is not None
    inverse, derivative = means.transformation.inverse, means.transformation.derivative
    assert inverse is not None and derivative is not None
    with np.errstate(invalid="ignore", divide="ignore"):  # an end may lie outside of the range of f
        back = np.array([inverse(end) for end in ends])
        slope = np.abs(derivative(eta))
        falls = derivative(eta) < 0.0
        response = inverse(eta)
    return {
        "response": response,
        "std_error": tests["std_error"] * slope,
        "df": tests["df"],
        "conf_low": np.where(falls, back[1], back[0]),
        "conf_high": np.where(falls, back[0], back[1]),
    }


def not_estimable(means: GridMeans) -> dict[int, str]:
    """Explain why means cannot be estimated: position -> reason."""
    names, cp = means.fit.cp.meta.x_names, means.fit.cp
    needed = undetermined(cp, means.rows)
    zero = ~alias_matrix(cp).any(axis=0)
    out = {}
    for i in np.flatnonzero(needed.any(axis=1)).tolist():
        empty = [names[j] for j in np.flatnonzero(needed[i] & zero)]
        mixed = [names[j] for j in np.flatnonzero(needed[i] & ~zero)]
        if np.isnan(means.rows[i]).any():
            out[i] = "no rows have its combination of levels"
        elif empty:
            out[i] = f"no rows have {_first(empty)}"
        else:
            out[i] = f"the data do not determine {_first(mixed)}"
    return out


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} ({len(names) - 1} more like it)"


def families(means: GridMeans) -> dict[tuple[Any, ...], list[int]]:
    """Group the means by their values of ``by``: values -> positions."""
    out: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(means.levels):
        out.setdefault(row[len(means.specs) :], []).append(i)
    return out


def regrouped(means: GridMeans, by: Sequence[str]) -> GridMeans:
    """Divide the same means into families by other variables of theirs."""
    named = (*means.specs, *means.by)
    for name in by:
        check_choice("by", name, named)
    specs = tuple(name for name in named if name not in by)
    order = [named.index(name) for name in (*specs, *by)]
    levels = tuple(tuple(row[i] for i in order) for row in means.levels)
    return replace(means, specs=specs, by=tuple(by), levels=levels)


# --- contrasts -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class GridContrasts:
    """Contrasts of marginal means and their tests.

    Parameters
    ----------
    means : GridMeans
    labels : tuple of str, length c
    groups : tuple of tuple
        One per contrast: the values of ``means.by``.
    weights : (c, m) array
    tests : dict of str to (c,) array
        The estimate, ``std_error, df, statistic, p_value, conf_low, conf_high``. The estimate is
        ``estimate``, or ``ratio`` or ``odds_ratio`` on the response scale.
    adjust : str
        How p values and intervals allow for the number of contrasts in a family.
    family : {"by", "all"}
    error : float
        The largest standard error of p values by quasi-Monte Carlo; zero where they are exact.
    """

    means: GridMeans
    labels: tuple[str, ...]
    groups: tuple[tuple[Any, ...], ...]
    weights: np.ndarray
    tests: dict[str, np.ndarray]
    adjust: str
    family: str
    error: float


def contrast_means(
    means: GridMeans,
    method: Any = "pairwise",
    adjust: str | None = None,
    ref: Any = None,
    family: str = "by",
) -> GridContrasts:
    """Test contrasts of the means of each family.

    Parameters
    ----------
    means : GridMeans
    method, ref
        See `contrast_set`.
    adjust : one of ADJUSTMENTS, optional
        By default that of R's emmeans for this set of contrasts: Tukey's for pairwise differences,
        Dunnett's for those from a control.
    family : {"by", "all"}
        The contrasts that are adjusted together: within a level of ``by``, or all.

    Raises
    ------
    ArgumentError
        For an unknown set or adjustment, and where an adjustment does not fit the contrasts.
    """
    check_choice("family", family, FAMILIES)
    if adjust is not None:
        check_choice("adjust", adjust, ADJUSTMENTS)
    as_ratio = means.on_response and bool(means.transformation and means.transformation.difference)
    groups = families(means)
    sets = []
    for members in groups.values():
        levels = [means.levels[i][: len(means.specs)] for i in members]
        sets.append(contrast_set(method, levels, ref, "/" if as_ratio else "-"))
    together = family == "all" and len(groups) > 1
    how = _chosen(sets[0], adjust, together)
    weights = np.zeros((sum(len(one.labels) for one in sets), len(means.levels)))
    start, pieces = 0, []
    for one, members in zip(sets, groups.values(), strict=True):
        stop = start + len(one.labels)
        weights[start:stop, members] = one.weights
        pieces.append((slice(start, stop), len(members)))
        start = stop
    if together:
        pieces = [(slice(0, start), len(means.levels))]
    tests, error = _tested(means, weights, how, pieces)
    return GridContrasts(
        means=means,
        labels=tuple(label for one in sets for label in one.labels),
        groups=tuple(by for by, one in zip(groups, sets, strict=True) for _ in one.labels),
        weights=weights,
        tests=_as_ratios(means, tests) if as_ratio else tests,
        adjust=how,
        family=family,
        error=error,
    )


def _chosen(one: ContrastSet, adjust: str | None, together: bool) -> str:
    """Choose the adjustment, or check that the one given fits the contrasts."""
    if adjust is None:
        default = _ADJUST[one.method]
        return "mvt" if together and default == "tukey" else default
    if adjust == "tukey" and (one.method != "pairwise" or together):
        what = "one family of pairwise differences"
        raise ArgumentError(f"adjust='tukey' is for {what}: take 'mvt', which fits all contrasts")
    if adjust == "dunnett" and one.method != "control":
        what = "differences from a control"
        raise ArgumentError(f"adjust='dunnett' is for {what}: take 'mvt', which fits all contrasts")
    return adjust


def _tested(
    means: GridMeans, weights: np.ndarray, adjust: str, pieces: list[tuple[slice, int]]
) -> tuple[dict[str, np.ndarray], float]:
    """Test contrasts, adjusted within each piece of them, and return the error of the p values."""
    rows, offset = combined(means, weights)
    L = estimable(means.fit.cp, rows)
    tests = _t_tests(means, L)
    estimate = tests["estimate"] + offset
    statistic = tests["statistic"] + offset / tests["std_error"]
    p_value, margin, error = np.empty((3, len(L)))
    for piece, n_means in pieces:
        if not len(L[piece]):  # one mean has no contrasts
            continue
        own, df = statistic[piece], tests["df"][piece]
        tested = L[piece][~np.isnan(own)]
        largest = None
        if adjust in ("mvt", "dunnett") and len(tested):
            # the first fit of a process does without SciPy's special functions
            from mixedfast.inference.largest_t import LargestT

            largest = LargestT(_correlation(means, tested))
        rank = _rank(means, tested) if adjust == "scheffe" else 0
        found = adjusted(own, df, adjust, means.level, n_means, rank, largest)
        p_value[piece], error[piece] = found.p_value, found.error
        margin[piece] = found.critical * tests["std_error"][piece]
    return {
        "estimate": estimate,
        "std_error": tests["std_error"],
        "df": tests["df"],
        "statistic": statistic,
        "p_value": p_value,
        "conf_low": estimate - margin,
        "conf_high": estimate + margin,
    }, float(np.nanmax(error, initial=0.0))


def combined(means: GridMeans, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Combine the rows and the offsets of means; means without weight do not count.

    Returns
    -------
    rows : (c, p_all) array
    offset : (c,) array
    """
    unknown = np.isnan(means.rows).any(axis=1)
    rows = weights @ np.where(unknown[:, None], 0.0, means.rows)
    offset = weights @ np.where(unknown, 0.0, means.offset)
    lost = (weights[:, unknown] != 0.0).any(axis=1)
    rows[lost], offset[lost] = np.nan, np.nan
    return rows, offset


def _correlation(means: GridMeans, L: np.ndarray) -> np.ndarray:
    """Compute the correlations of contrasts, (c, c), by polarization of their standard errors."""
    chosen = method_for(means.fit, means.ddf)
    source = chosen.fit(means.fit)
    unit = L / chosen.std_errors(source, L)[:, None]
    out = np.eye(len(L))
    for i in range(len(L) - 1):
        sums = chosen.std_errors(source, unit[i] + unit[i + 1 :])
        out[i, i + 1 :] = out[i + 1 :, i] = 0.5 * sums**2 - 1.0
    return out


def _rank(means: GridMeans, L: np.ndarray) -> int:
    """Return the number of linearly independent contrasts."""
    source = method_for(means.fit, means.ddf).fit(means.fit)
    return len(independent_rows(source, L, np.zeros(len(L))).L)


def _as_ratios(means: GridMeans, tests: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Transform differences of logarithms into ratios; tests stay those of the differences."""
    assert means.transformation is not None
    scale = np.log(means.transformation.base)
    ratio = np.exp(scale * tests["estimate"])
    return {
        means.transformation.difference: ratio,
        "std_error": tests["std_error"] * scale * ratio,
        "df": tests["df"],
        "statistic": tests["statistic"],
        "p_value": tests["p_value"],
        "conf_low": np.exp(scale * tests["conf_low"]),
        "conf_high": np.exp(scale * tests["conf_high"]),
    }


# --- joint tests ---------------------------------------------------------------------------------


def equality_tests(means: GridMeans) -> dict[tuple[Any, ...], FTest]:
    """Test in each family that all means are equal; NaN when a difference cannot be estimated."""
    out = {}
    for by, members in families(means).items():
        weights = np.zeros((len(members) - 1, len(means.levels)))
        weights[:, members[1:]] = np.eye(len(members) - 1)
        weights[:, members[0]] = -1.0
        out[by] = _joint(means, weights)
    return out


def contrasts_equal(contrasts: GridContrasts) -> dict[tuple[Any, ...], FTest]:
    """Test that all contrasts are zero: in each level of ``by``, or all if they are one family."""
    groups = list(contrasts.groups)
    if contrasts.family == "all":
        return {(): _joint(contrasts.means, contrasts.weights)}
    return {
        by: _joint(contrasts.means, contrasts.weights[[group == by for group in groups]])
        for by in dict.fromkeys(groups)
    }


def _joint(means: GridMeans, weights: np.ndarray) -> FTest:
    """Test that some combinations of means are zero."""
    rows, offset = combined(means, weights)
    L = estimable(means.fit.cp, rows)
    if not len(L) or np.isnan(L).any():
        return FTest(*(np.nan,) * 5)
    return f_test(means.fit, L, -offset, means.ddf)


def _t_tests(means: GridMeans, L: np.ndarray) -> dict[str, np.ndarray]:
    """Test L beta = 0 row by row; NaN for rows that cannot be estimated."""
    known = ~np.isnan(L).any(axis=1)
    out = {}
    for name, values in t_test(means.fit, L[known], 0.0, means.ddf, means.level).items():
        out[name] = np.full(len(L), np.nan)
        out[name][known] = values
    return out
