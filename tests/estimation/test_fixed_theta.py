"""At a given theta no optimizer is involved: the algebra against lme4's, for every golden model."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.cases import frame, golden, golden_names, renamed, topic

import mixedfast as mf
from mixedfast.estimation.fit import solve_at

#: Both programs carry about 14 digits through; lme4 works on raw columns and loses the most of
#: them.
ALGEBRA = 1e-10
#: X'V^-1 X is the difference of X'X and what Z explains. For insteval at theta = 4 it is 4e4 times
#: smaller than they are, so both programs lose four to five of their digits in the intercept.
COEFFICIENT = 1e-9
POINTS = ("identity", "zero", "inside", "wide")
FIXED = topic("fixed_theta")


def crossproducts(record):
    return mf.crossproducts(
        record["formula_py"], frame(record["dataset"]), weights=record.get("weights")
    )


@pytest.fixture(scope="module", params=sorted(FIXED))
def case(request):
    record = golden(request.param)
    return record, crossproducts(record)


def test_every_golden_model_is_here():
    assert set(FIXED) == set(golden_names())


@pytest.mark.parametrize("point", POINTS)
def test_algebra_at_a_given_theta(case, point):
    record, cp = case
    theirs = FIXED[record["id"]][point]
    fit = solve_at(cp, np.atleast_1d(theirs["theta"]).astype(float), record["REML"])
    solution, scale = fit.solution, fit.cp.scale
    assert fit.deviance == pytest.approx(theirs["criterion"], rel=ALGEBRA)
    assert fit.sigma == pytest.approx(theirs["sigma"], rel=ALGEBRA)
    # basis-free: M(theta) is Z'WZ between two lambdas, whatever the columns of Z are measured in
    assert solution.ldL2 == pytest.approx(theirs["ldL2"], rel=ALGEBRA, abs=1e-9)
    assert solution.r2 / scale[-1] ** 2 == pytest.approx(theirs["pwrss"], rel=ALGEBRA)
    user_ldRX2 = solution.ldRX2 - 2.0 * np.log(scale[:-1]).sum()
    assert user_ldRX2 == pytest.approx(theirs["ldRX2"], rel=ALGEBRA, abs=1e-9)
    at = [fit.cp.x_names.index(name) for name in renamed(list(theirs["fixef"]), record["id"])]
    # a coefficient is judged against its standard error: one near zero has no relative digits of
    # its own
    size = np.maximum(np.abs(fit.beta), np.sqrt(np.diag(fit.vcov)))[at]
    assert np.abs((fit.beta[at] - list(theirs["fixef"].values())) / size).max() < COEFFICIENT
