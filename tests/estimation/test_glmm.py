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
from scipy import integrate, stats

from mixedfast.design.build import build
from mixedfast.engines.choose import choose
from mixedfast.estimation.glmm.cumulative import category_probabilities, thresholds_of
from mixedfast.estimation.glmm.designs import without_intercept
from mixedfast.estimation.glmm.dispersion import constant_of
from mixedfast.estimation.glmm.families import Family, family_of
from mixedfast.estimation.glmm.fit import fit_glmm, structure_of, system_of
from mixedfast.estimation.glmm.quadrature import QuadratureSystem
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
    design = build(parse(case["formula"]), rows, weights=case.get("weights"))
    trials = None if case.get("trials") is None else rows[case["trials"]].to_numpy(dtype=float)
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


#: lme4's quadrature, against an independent program.
AT_NODES = 1e-7


@pytest.mark.parametrize("name", names("binomial", "poisson", n_agq=True))
def test_quadrature(name):
    case, design, family, response = prepared(name)
    cp = structure_of(design)
    system = system_of(cp, design, response, family, "expected", "auto", case["n_agq"])
    for at in case["fixed_points"]:
        x = point(cp, at["theta"], at["beta"])
        assert system.value(x) == pytest.approx(at["deviance"], abs=AT_NODES)
    fit = fit_glmm(cp, design, response, family, n_agq=case["n_agq"])
    assert fit.optimum.converged
    assert fit.deviance == pytest.approx(case["deviance"], abs=AT_OPTIMUM)
    errors = np.array([row["se"] for row in case["coefs"]])
    assert (np.abs(fit.beta - list(case["fixef"].values())) / errors).max() < 2e-4
    np.testing.assert_allclose(fit.theta, case["theta"], atol=2e-5)
    unit = np.outer(errors, errors)
    np.testing.assert_allclose(fit.vcov / unit, case["vcov_hessian"] / unit, atol=2e-4)


@pytest.mark.parametrize(
    "family",
    [
        ("binomial", "logit"),
        ("binomial", "probit"),
        ("poisson", "log"),
        ("nbinom2", "log"),
        ("Gamma", "log"),
    ],
)
@given(
    seed=st.integers(0, 2**32 - 1), nodes=st.integers(1, 9), term=st.sampled_from(["1", "0 + x"])
)
def test_gradient_of_quadrature(family, seed, nodes, term):
    """Against differences, also at a zero variance; one node is Laplace's approximation."""
    table, _, theta, beta = drawn(
        family if family[0] == "binomial" else ("poisson", "log"), "one", seed
    )
    kind = family_of(*family)
    table["y"] += 0.5 * (kind.name == "Gamma")
    theta[0] *= seed % 4 > 0
    design = build(parse(f"y ~ x + f + offset(off) + ({term} | g)"), table, weights="w")
    trials = table["trials"].to_numpy(dtype=float) if kind.name == "binomial" else None
    response = response_of(kind, "y", design.y, trials, design.weights)
    cp = structure_of(design)
    extra = np.full(int(kind.name in ("nbinom2", "Gamma")), 0.3)
    x = np.concatenate([point(cp, theta, beta), extra])
    laplace = system_of(cp, design, response, kind, kind.curvature)
    system = QuadratureSystem(
        laplace.rows, response, kind, choose(cp, "auto"), kind.curvature, nodes
    )
    value = system.value(x)
    if nodes == 1:
        assert value == pytest.approx(laplace.value(x), rel=1e-12)
    gradient, expected = system.full_gradient(), finite_differences(system.value, x)
    assert np.abs(gradient - expected).max() < GRADIENT * max(1.0, np.abs(expected).max())


def test_quadrature_is_the_integral():
    """Nodes enough: the deviance is that of numerical integration over each level."""
    table, formula, theta, beta = drawn(("binomial", "logit"), "one", 4)
    design = build(parse(formula), table)
    kind = Family("binomial", "logit")
    response = response_of(kind, "y", design.y, table["trials"].to_numpy(dtype=float))
    cp = structure_of(design)
    system = system_of(cp, design, response, kind, "expected", "auto", 25)
    theta[0] = 1.3
    found = system.value(point(cp, theta, beta))
    X = np.column_stack([np.ones(len(table)), table["x"], table["f"] == "b", table["f"] == "c"])
    fixed, total = X @ beta + table["off"].to_numpy(), 0.0
    for _, at in table.groupby("g").indices.items():

        def likelihood(u, at=at):
            p = 1.0 / (1.0 + np.exp(-fixed[at] - 1.3 * u))
            own = stats.binom.pmf(table["y"].to_numpy()[at], table["trials"].to_numpy()[at], p)
            return own.prod() * stats.norm.pdf(u)

        total -= 2.0 * np.log(integrate.quad(likelihood, -9, 9, epsrel=1e-12, epsabs=0)[0])
    assert found == pytest.approx(total, abs=1e-8)


#: clmm stops at a relative gradient: its estimates are this many standard errors from the optimum.
CLMM = 5e-5


@pytest.mark.parametrize("name", names("Gamma", "nbinom2"))
def test_dispersion(name):
    """Deviances at fixed parameters and at the optimum, and standard errors, of glmmTMB."""
    case, design, family, response = prepared(name)
    cp = structure_of(design)
    system = system_of(cp, design, response, family, case["curvature"])
    sign = 1.0 if family.name == "nbinom2" else -1.0
    for at in case["fixed_points"]:
        x = np.concatenate([point(cp, at["sd"], at["beta"]), [sign * at["tmb_betad"]]])
        assert system.value(x) == pytest.approx(at["deviance"], abs=1e-7)
    fit = fit_glmm(cp, design, response, family, case["curvature"])
    assert fit.optimum.converged
    assert fit.deviance == pytest.approx(case["deviance"], abs=1e-7)
    errors = np.array([row["se"] for row in case["coefs"]])
    assert (np.abs(fit.beta - list(case["fixef"].values())) / errors).max() < 1e-6
    assert sign * fit.extra[0] == pytest.approx(case["tmb_betad"], abs=1e-6)
    np.testing.assert_allclose(fit.theta, case["sd"], rtol=1e-6)
    # both Hessians are from differences
    unit = np.outer(errors, errors)
    np.testing.assert_allclose(
        fit.vcov / unit, np.array(case["vcov_hessian"]) / unit, rtol=0, atol=2e-6
    )


def test_thresholds():
    """The cumulative model of `ordinal::clmm`."""
    case = golden("wine_ordinal")
    rows = frame(case["dataset"])
    design = build(parse(case["formula"]), rows, ordered=True)
    family = Family(case["family"], case["link"])
    used = without_intercept(design)
    response = response_of(family, "rating", design.y)
    fit = fit_glmm(structure_of(used), used, response, family, "observed")
    assert fit.optimum.converged
    assert fit.deviance == pytest.approx(case["deviance"], abs=1e-5)
    rows_of_r = case["coefs"]
    errors = np.array([row["Std. Error"] for row in rows_of_r])
    estimates = np.concatenate([thresholds_of(fit.extra), fit.beta])
    off = np.abs(estimates - [row["Estimate"] for row in rows_of_r]) / errors
    assert off.max() < CLMM
    np.testing.assert_allclose(np.sqrt(np.diag(fit.vcov)), errors[-2:], rtol=2e-4)
    assert fit.theta[0] == pytest.approx(case["sd"][0], rel=CLMM)


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


# -- families with parameters of their own ---------------------------------------------------------

WITH_PARAMETERS = [
    *[
        (name, link)
        for name in ("nbinom2", "Gamma", "inverse_gaussian")
        for link in ("log", "sqrt")
    ],
    ("Gamma", "inverse"),
    *[("cumulative", link) for link in ("logit", "probit", "cloglog")],
]


def loglik_of(family, eta, y, extra):
    """Log densities by SciPy."""
    if family.name == "cumulative":
        cdf = {"logit": stats.logistic.cdf, "probit": stats.norm.cdf}.get(
            family.link, lambda x: -np.expm1(-np.exp(x))
        )
        ends = np.concatenate([[-40.0], thresholds_of(extra), [40.0]])
        at = y.astype(int)
        return np.log(cdf(ends[at + 1] - eta) - cdf(ends[at] - eta))
    mu = inverse_link(family.link, eta)[0]
    size = np.exp(extra[0])
    if family.name == "nbinom2":
        return stats.nbinom.logpmf(y, size, size / (size + mu))
    if family.name == "Gamma":
        return stats.gamma.logpdf(y, 1.0 / size, scale=mu * size)
    return stats.invgauss.logpdf(y, mu * size, scale=1.0 / size)


@pytest.mark.parametrize("family", WITH_PARAMETERS)
@given(
    structure=st.sampled_from(list(STRUCTURES)),
    curvature=st.sampled_from(["expected", "observed"]),
    seed=st.integers(0, 2**32 - 1),
    zero=st.booleans(),
)
def test_parameters_of_families(family, structure, curvature, seed, zero):
    """Log likelihoods against SciPy, and the gradient in all parameters against differences."""
    kind = family_of(*family)
    curvature = "observed" if kind.is_ordered else curvature
    rng = np.random.default_rng(seed)
    table, formula, theta, beta = drawn(("poisson", family[1]), structure, seed)
    if family[1] in ("sqrt", "inverse"):  # linear predictors far from zero
        beta[:] = [4.0, 0.2, 0.3, -0.3]
        theta *= 0.3
    extra = rng.normal(size=1) * 0.5
    if kind.is_ordered:
        table["y"] = np.concatenate([[0, 1, 2, 3], rng.integers(0, 4, len(table) - 4)]) * 1.0
        extra = np.concatenate([[-1.0], rng.normal(size=2) * 0.3])
    elif kind.name != "nbinom2":
        table["y"] = rng.gamma(2.0, 1.0, len(table)) + 0.2
    if zero:
        theta[:] = 0.0
    design = build(parse(formula), table, weights="w")
    if kind.is_ordered:
        design, beta = without_intercept(design), beta[1:]
    response = response_of(kind, "y", design.y, None, design.weights)
    cp = structure_of(design)
    system = system_of(cp, design, response, kind, curvature)
    x = np.concatenate([point(cp, theta, beta), extra])
    value = system.value(x)
    if not np.isfinite(value):  # observed weights need not give a positive definite M
        assert curvature == "observed" and not kind.is_ordered
        return
    eta, order = system.modes.eta, system.rows.order
    own = response.size[order] @ loglik_of(kind, eta, response.y[order], extra)
    found = system.modes.loglik + constant_of(kind, extra, response)
    assert found == pytest.approx(own, rel=1e-10)
    gradient, expected = system.full_gradient(), finite_differences(system.value, x)
    assert np.abs(gradient - expected).max() < GRADIENT * max(1.0, np.abs(expected).max())


@given(seed=st.integers(0, 2**32 - 1), link=st.sampled_from(["logit", "probit", "cloglog"]))
def test_probabilities_of_categories_add_to_one(seed, link):
    rng = np.random.default_rng(seed)
    found = category_probabilities(link, rng.normal(size=9), rng.normal(size=4))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    assert (found >= 0).all()
