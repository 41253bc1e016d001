"""Every model of the corpus: no start finds a lower criterion, no optimizer of R does, and the certificate tells the truth.

``make torture`` runs all of them; an ordinary test run takes a sample.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import all_cases, sample
from families import Case

import mixedfast as mf
from mixedfast.fitting import Fit, fit_crossproducts

CASES = list(all_cases() if os.environ.get("TORTURE") == "all" else sample())
REFEREE = json.loads((Path(__file__).parent / "r_best.json").read_text())

#: The criterion may be this much above the lowest one found (deviance units).
TOLERANCE = 1e-6


def resolution(fit: Fit) -> float:
    """What rounding does to the criterion: a few units in the last place of the sums that r^2 is left of."""
    return 16.0 * fit.resolution


def starts(fit: Fit) -> Iterator[np.ndarray]:
    """Near zero, one, far out, and two random places."""
    random = np.random.default_rng(0)
    one = fit.covariance.identity
    yield from (0.03 * one, one, 30.0 * one)
    yield from (one + random.normal(size=len(one)), 3.0 * random.normal(size=len(one)))


def fitted(case: Case) -> tuple[mf.LMMResult, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = mf.lmer(case.formula, case.data, REML=case.reml, **case.options)
    return result, [str(warning.message) for warning in caught if issubclass(warning.category, mf.ConvergenceWarning)]


def referee(fit: Fit, best: dict[str, Any]) -> float:
    """The lowest criterion that R found. Where y'y hides the residuals R's own number is rough, and its theta is asked."""
    if fit.remainder is None:
        return float(best["best"])
    sizes = [fit.cp.groups[term.group].n_levels for term in fit.cp.terms]
    if len(sizes) > 1 and sizes != sorted(sizes, reverse=True):
        return np.inf  # lme4 puts the terms in this order, whatever the formula's
    system = fit.new_system()
    solution = system.solve(fit.covariance.to_internal(np.array(best["theta"], dtype=float)))
    return np.inf if solution is None else solution.deviance


def told(said: list[str]) -> str:
    """Which of the two reasons not to converge a warning gives; there is then no lowest criterion to compare with."""
    return next(reason for reason in ("residual variance runs to zero", "sums of 16 digits") if reason in said[0])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_hard_model(case: Case) -> None:
    if case.refused is not None:
        with pytest.raises(case.refused):
            mf.lmer(case.formula, case.data, REML=case.reml, **case.options)
        return
    result, said = fitted(case)
    assert bool(said) == (not result.converged)
    if not result.converged:
        assert told(said)
        return
    fit = result._fit
    others = [
        fit_crossproducts(fit.cp, case.reml, start=fit.covariance.to_user(start), remainder=fit.remainder)
        for start in starts(fit)
    ]
    allowed = TOLERANCE + resolution(fit)
    # a search that runs off to infinity ends where the criterion is rounding, and knows it
    proven = [other.deviance for other in others if other.optimum is not None and other.optimum.converged]
    assert result.criterion <= min(proven, default=np.inf) + allowed
    if case.name in REFEREE:
        assert result.criterion <= referee(fit, REFEREE[case.name]) + allowed


def test_the_corpus_is_large() -> None:
    everything = list(all_cases())
    assert len(everything) >= 650
    assert len({case.name for case in everything}) == len(everything)
    assert len(REFEREE) >= 300
    assert set(REFEREE) <= {case.name for case in everything}
