"""Examination of one model of the corpus: the fit, other starts, and R's optimizers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from families import Case

import mixedfast as mf
from mixedfast.estimation.fit import Fit, fit_crossproducts

__all__ = ["REFEREE", "Verdict", "examine", "theta_of_r"]

REFEREE: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "r_best.json").read_text())

#: The two reasons not to converge that a warning may give; there is then no lowest criterion to
#: compare with.
REASONS = ("residual variance runs to zero", "sums of 16 digits")


@dataclass(frozen=True)
class Verdict:
    """What became of a model.

    Parameters
    ----------
    converged, singular : bool
    searched : bool
        Whether the search ended at an optimum, unique or not.
    said : tuple of str
        Its convergence warnings.
    above_starts, above_r : float
        By how much the criterion is above the lowest that other starts, and R's optimizers, find;
        NaN where nobody was asked.
    resolution : float
        What rounding may do to the criterion, as the fit itself says.
    """

    converged: bool
    singular: bool
    searched: bool
    said: tuple[str, ...]
    above_starts: float
    above_r: float
    resolution: float

    @property
    def reason(self) -> str:
        """Why it did not converge, by the words of its warning."""
        return next(
            (reason for reason in REASONS if any(reason in words for words in self.said)), ""
        )


def starts(fit: Fit) -> Iterator[np.ndarray]:
    """Near zero, one, far out, and two random places."""
    random = np.random.default_rng(0)
    one = fit.covariance.identity
    yield from (0.03 * one, one, 30.0 * one)
    yield from (one + random.normal(size=len(one)), 3.0 * random.normal(size=len(one)))


def examine(case: Case) -> Verdict:
    """Fit a model that is not to be refused, and search again from elsewhere."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = mf.lmer(case.formula, case.data, REML=case.reml, **case.options)
    said = tuple(
        str(warning.message)
        for warning in caught
        if issubclass(warning.category, mf.ConvergenceWarning)
    )
    fit = result._fit
    above_starts = above_r = np.nan
    searched = fit.optimum is None or fit.optimum.converged
    if searched:
        others = [
            fit_crossproducts(
                fit.cp, case.reml, start=fit.covariance.to_user(start), remainder=fit.remainder
            )
            for start in starts(fit)
        ]
        # a search that runs off to infinity ends where the criterion is rounding, and knows it
        proven = [
            other.deviance
            for other in others
            if other.optimum is not None and other.optimum.converged
        ]
        above_starts = result.criterion - min(proven, default=np.inf)
        if case.name in REFEREE:
            above_r = result.criterion - referee(fit, REFEREE[case.name])
    return Verdict(
        result.converged, result.is_singular, searched, said, above_starts, above_r, fit.resolution
    )


#: A response further from zero than so many times its spread leaves R's criterion with ten digits.
FAR = 1e6


def referee(fit: Fit, best: dict[str, Any]) -> float:
    """Return the lowest criterion that R found, computed again where R's own number is rough.

    Where y'y hides the residuals, columns are nearly dependent or y is far from zero, R's own
    number is rough (by 2e-6 near 1e9, by 6e-5 with squares of years, says 50-digit arithmetic), and
    its theta is asked.

    NaN where the system is not positive definite at R's theta: then nobody was asked.
    """
    far = abs(fit.cp.shift[-1] * fit.cp.scale[-1]) > FAR
    if fit.remainder is None and fit.cp.mix is None and not far:
        return float(best["best"])
    solution = fit.new_system().solve(fit.covariance.to_internal(theta_of_r(fit, best)))
    return np.nan if solution is None else solution.deviance


def theta_of_r(fit: Fit, best: dict[str, Any]) -> np.ndarray:
    """Return R's theta in the order of mixedfast, by the names of factors and columns.

    lme4 puts factors with more levels first.
    """
    values = iter(best["theta"])
    named: dict[tuple[frozenset[str], str, str], float] = {}
    for term in best["terms"]:
        columns = [_plain(column) for column in term["columns"]]
        for j, right in enumerate(columns):
            for left in columns[j:]:
                named[_factor(term["group"]), left, right] = float(next(values))
    theta = []
    for term in fit.covariance.terms:
        group = fit.cp.groups[term.group]
        names = [_plain(name) for name in group.names]
        theta += [
            named[_factor(group.name), names[a], names[b]]
            for a, b in zip(*term.rows_columns, strict=True)
        ]
    return np.array(theta)


def _factor(name: str) -> frozenset[str]:
    """a:b is b:a."""
    return frozenset(name.split(":"))


def _plain(column: str) -> str:
    """Return a column's name in the form common to both: ``f[T.b]`` here is ``fb`` in R."""
    return {"Intercept": "(Intercept)"}.get(column, column).replace("[T.", "").replace("]", "")
