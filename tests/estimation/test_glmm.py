"""Generalized linear mixed models: deviance and gradient at fixed parameters, optima, standard errors.

Against lme4 (tests/golden/glmm) and against dense algebra on random designs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.glmm_cases import frame, golden, names
from helpers.reference_families import DenseModel, finite_differences, inverse_link
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.design.build import build
from mixedfast.estimation.glmm.families import Family
from mixedfast.estimation.glmm.fit import fit_glmm, structure_of, system_of
from mixedfast.estimation.glmm.responses import response_of
from mixedfast.formula.parser import parse

LAPLACE = names("binomial", "poisson", n_agq=False)
#: lme4's PIRLS stops at a relative change of the deviance: its values are this far from the modes'.
AT_FIXED_POINTS = 1.2e-5
AT_OPTIMUM = 1e-6
#: Gradients against fourth-order differences of the deviance, relative to the largest element.
GRADIENT = 1e-6


def prepared(name):
    """Build the design and the response of a golden model."""
    case = golden(name)
    rows = frame(case["dataset"])
    design = build(parse(case["formula"]), rows, weights=case["weights"])
    trials = None if case["trials"] is None else rows[case["trials"]].to_numpy(dtype=float)
    family = Family(case["family"], case["link"])
    response = response_of(family, design.response_name, design.y, trials, design.weights)
    return case, design, family, response


def point(cp, theta, beta):
    """Parameters of the user's columns in the internal basis."""
    return np.concatenate(
        [
            cp.covariance.to_internal(np.atleast_1d(np.asarray(theta, dtype=float))),
            cp.scaling.to_internal_beta(np.asarray(beta, dtype=float)),
        ]
    )


@pytest.mark.parametrize("engine", ["block", "cholmod"])
@pytest.mark.parametrize("name", LAPLACE)
def test_fixed_points(name, engine):
    case, design, family, response = prepared(name)
    cp = structure_of(design)
    system = system_of(cp, design, response, family, case["curvature"], engine)
    for at in case["fixed_points"]:
        assert system.value(point(cp, at["theta"], at["beta"])) == pytest.approx(
            at["deviance"], abs=AT_FIXED_POINTS
        )
        if "ldL2" in at:
            assert system.logdet == pytest.approx(at["ldL2"], abs=1e-4)
            assert system.modes.penalty == pytest.approx(at["u_sumsq"], abs=1e-3)


@pytest.mark.parametrize("name", LAPLACE)
def test_optimum(name):
    case, design, family, response = prepared(name)
    fit = fit_glmm(structure_of(design), design, response, family, case["curvature"])
    assert fit.optimum.converged
    assert fit.optimum.decrement < 1e-9
    assert fit.deviance == pytest.approx(case["deviance"], abs=AT_OPTIMUM)
    errors = np.array([row["se"] for row in case["coefs"]])
    # in standard errors: `grad_max` of the referee leaves up to 1.2e-4
    assert (np.abs(fit.beta - list(case["fixef"].values())) / errors).max() < 2e-4
    np.testing.assert_allclose(fit.theta, case["theta"], atol=2e-5)
    unit = np.outer(errors, errors)
    # the referee's Hessian is by Richardson's differences of lme4's deviance
    singular = any(fit.singular_terms)
    referee = case["vcov_rx" if singular else "vcov_hessian"]
    np.testing.assert_allclose(fit.vcov / unit, referee / unit, atol=2e-4)
    np.testing.assert_allclose(fit.vcov_given_theta / unit, case["vcov_rx"] / unit, atol=2e-5)
    for g, group in enumerate(fit.cp.groups):
        own = case["ranef"][group.name]
        levels = [list(group.levels).index(level) for level in np.atleast_1d(own["levels"])]
        values = np.array(own["values"]).reshape(len(levels), -1)
        np.testing.assert_allclose(fit.modes[g][levels], values, atol=2e-5)
        total = (fit.modes[g] ** 2).sum(axis=0)
        np.testing.assert_allclose(total, np.atleast_1d(own["sumsq"]), rtol=5e-5)
        variances = np.array(case["condvar"][group.name])  # of (x || g) the first term only
        k = variances.shape[-1]
        np.testing.assert_allclose(
            fit.posterior[g][levels][:, :k, :k], variances[: len(levels)], rtol=5e-5, atol=1e-7
        )


# -- random designs --------------------------------------------------------------------------------

FAMILIES = [
    ("binomial", "logit"),
    ("binomial", "probit"),
    ("binomial", "cloglog"),
    ("binomial", "cauchit"),
    ("poisson", "log"),
    ("poisson", "sqrt"),
]
STRUCTURES = {
    "one": ("(1 | g)", 1),
    "slope": ("(1 + x | g)", 3),
    "uncorrelated": ("(1 + x || g)", 2),
    "crossed": ("(1 | g) + (1 | h)", 2),
    "crossed slope": ("(1 + x | g) + (1 | h)", 4),
    "nested": ("(1 | h/g)", 2),
}


def drawn(family, structure, seed):
    """Draw a table, its formula, theta and beta; responses of the family with these parameters."""
    rng = np.random.default_rng(seed)
    n, J, K = 60, 7, 4
    term, m = STRUCTURES[structure]
    table = pd.DataFrame(
        {
            "x": 0.5 * rng.normal(size=n) + 1.0,
            "f": rng.choice(["a", "b", "c"], n),
            "g": rng.integers(0, J, n).astype(str),
            "h": rng.integers(0, K, n).astype(str),
            "trials": rng.integers(1, 6, n),
            "w": rng.integers(1, 4, n) * 0.5,
            "off": rng.normal(size=n) * 0.3,
        }
    )
    beta = rng.normal(size=4) * [0.5, 0.2, 0.3, 0.3]
    if family[1] == "sqrt":
        beta[0] += 3.0
    eta = beta[0] + 0.2 * table["x"] + table["off"]
    eta = eta + 0.5 * rng.normal(size=J)[table["g"].astype(int)]
    mean = np.abs(inverse_link(family[1], eta.to_numpy())[0])
    counts = (
        rng.binomial(table["trials"], np.clip(mean, 0.0, 1.0))
        if family[0] == "binomial"
        else rng.poisson(mean)
    )
    theta = rng.normal(size=m) * 0.4
    return table.assign(y=counts * 1.0), f"y ~ x + f + offset(off) + {term}", theta, beta


def dense(design, response, family):
    """Make the dense twin of a design."""
    from mixedfast.design.columns import matrix

    return DenseModel(
        family.name,
        family.link,
        response.y,
        response.size,
        matrix(design.x, design.n),
        [(term.codes, matrix(term.columns, design.n)) for term in design.terms],
        design.offset,
    )


@pytest.mark.parametrize("family", FAMILIES)
@given(
    structure=st.sampled_from(list(STRUCTURES)),
    curvature=st.sampled_from(["expected", "observed"]),
    engine=st.sampled_from(["block", "cholmod"]),
    seed=st.integers(0, 2**32 - 1),
    zero=st.sampled_from(["none", "all", "last"]),
)
def test_dense_twin_and_gradient(family, structure, curvature, engine, seed, zero):
    table, formula, theta, beta = drawn(family, structure, seed)
    if zero == "all":
        theta[:] = 0.0
    if zero == "last":
        theta[-1] = 0.0
    design = build(parse(formula), table, weights="w")
    kind = Family(*family)
    trials = table["trials"].to_numpy(dtype=float) if family[0] == "binomial" else None
    response = response_of(kind, "y", design.y, trials, design.weights)
    cp = structure_of(design)
    system = system_of(cp, design, response, kind, curvature, engine)
    x = point(cp, theta, beta)
    value = system.value(x)
    if not np.isfinite(value):  # observed weights need not give a positive definite M
        assert curvature == "observed" and not kind.is_canonical
        return
    lambdas = _by_term(cp, x[: system.n_theta])
    twin = dense(design, response, kind).deviance(lambdas, beta, curvature)
    assert value == pytest.approx(twin - 2.0 * response.constant, rel=1e-9, abs=1e-8)
    gradient = system.full_gradient()
    expected = finite_differences(system.value, x)
    assert np.abs(gradient - expected).max() < GRADIENT * max(1.0, np.abs(expected).max())


def _by_term(cp, theta):
    """Relative covariance factors of each term in the user's columns."""
    cov = cp.covariance
    lambdas = cov.lambdas(cov.to_user(theta))
    return [cov.term_block(term, lambdas) for term in cov.terms]
