"""How a search ends: a good fit gives no warning, a bad one always does, and both say why."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.cases import frame
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast import ConvergenceWarning, SingularFitWarning
from mixedfast.crossprod.assemble import assemble
from mixedfast.design.build import build
from mixedfast.engines.choose import choose
from mixedfast.estimation import newton
from mixedfast.estimation.boundary import off_boundary, scale_decrease
from mixedfast.estimation.fit import fit_crossproducts
from mixedfast.estimation.local_model import DirectModel
from mixedfast.estimation.pls import PLSSystem
from mixedfast.estimation.steps import CERTIFICATE_TOLERANCE
from mixedfast.formula.parser import parse

MODELS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "pastes": "strength ~ 1 + (1 | batch/cask)",
    "cake": "angle ~ recipe * temperature + (1 | recipe:replicate)",
}
#: Of the deviance: half of what the certificate allows would still be seen.
SAME_FIT = 0.5 * CERTIFICATE_TOLERANCE


def fitted(formula, data, **options):
    """Return the fit and whether it warned that it did not converge.

    Only warnings of singular fits may come beside.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        m = mf.lmer(formula, data, **options)
    kinds = {w.category for w in caught}
    assert kinds <= {ConvergenceWarning, SingularFitWarning}
    assert (ConvergenceWarning in kinds) == (not m.converged)
    return m, ConvergenceWarning in kinds


@pytest.mark.parametrize("start", ["zero", "tiny", "far", "negative"])
@pytest.mark.parametrize("name", MODELS)
def test_a_bad_start_ends_at_the_optimum(name, start):
    best = mf.lmer(MODELS[name], mf.load_dataset(name))
    m = len(best.theta)
    theta = {
        "zero": np.zeros(m),
        "tiny": np.full(m, 1e-4),
        "far": np.full(m, 50.0),
        "negative": -np.ones(m),
    }[start]
    found, warned = fitted(MODELS[name], mf.load_dataset(name), start=theta)
    assert not warned
    assert found.criterion == pytest.approx(best.criterion, abs=1e-8)


@pytest.mark.parametrize("limit", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_a_search_cut_short_warns(name, limit, monkeypatch):
    best = mf.lmer(MODELS[name], mf.load_dataset(name))
    # the compiled search has its own copy of the limit
    monkeypatch.setattr(newton, "MAX_ITERATIONS", limit)
    monkeypatch.setattr("mixedfast.estimation.fit.EXACT_OPERATIONS", -1.0)  # no second search
    start = np.full(len(best.theta), 8.0)
    found, warned = fitted(MODELS[name], mf.load_dataset(name), start=start, engine="block")
    assert warned
    assert "the iteration limit" in found.optimization["message"]
    assert found.criterion > best.criterion + SAME_FIT


def test_a_search_cut_short_at_the_optimum_does_not_warn(monkeypatch):
    best = mf.lmer(MODELS["sleepstudy"], mf.load_dataset("sleepstudy"))
    monkeypatch.setattr(newton, "MAX_ITERATIONS", 0)
    _, warned = fitted(
        MODELS["sleepstudy"],
        mf.load_dataset("sleepstudy"),
        start=best.theta * (1 + 1e-7),
        engine="block",
    )
    assert not warned


RANDOM = ["(1|g)", "(x|g)", "(x||g)", "(1|g)+(1|h)", "(x|g)+(1|h)", "(x||g)+(z|h)", "(1|g/h)"]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    random=st.sampled_from(RANDOM),
    sds=st.tuples(*[st.sampled_from([0.0, 0.01, 0.3, 1.0, 10.0])] * 3),
    log_scale=st.floats(-3, 3),
    start=st.sampled_from(["zero", "tiny", "noise"]),
    reml=st.booleans(),
)
def test_fits_from_two_starts_agree_or_warn(seed, random, sds, log_scale, start, reml):
    rng = np.random.default_rng(seed)
    n = 120
    g, h, x, z = (
        rng.integers(0, 9, n),
        rng.integers(0, 7, n),
        rng.normal(size=n),
        rng.normal(size=n),
    )
    y = (
        1
        + x
        + sds[0] * rng.normal(size=9)[g]
        + sds[1] * rng.normal(size=7)[h]
        + sds[2] * rng.normal(size=9)[g] * x
    )
    data = {"y": y + rng.normal(size=n), "x": x * 10**log_scale, "z": z, "g": g, "h": h}
    formula = f"y ~ x + {random}"
    best, failed = fitted(formula, data, REML=reml)
    assert not failed
    m = len(best.theta)
    theta = {"zero": np.zeros(m), "tiny": np.full(m, 1e-3), "noise": rng.normal(size=m)}[start]
    other, warned = fitted(formula, data, REML=reml, start=theta)
    assert not warned
    # A likelihood may have several optima, and both are proven; none may be passed by for rounding.
    gap = abs(other.criterion - best.criterion)
    assert (
        gap < SAME_FIT
        or min(
            best.optimization["min_hessian_eigenvalue"],
            other.optimization["min_hessian_eigenvalue"],
        )
        > 0
    )


# -- what proves it --------------------------------------------------------------------------------


def test_the_hessian_is_exact_when_it_is_read():
    m = mf.lmer(MODELS["penicillin"], mf.load_dataset("penicillin"), engine="block")
    assert not m._fit.optimum.exact_hessian  # the search made do with average information
    said = m.optimization
    assert said["hessian"] == "exact"
    assert said["min_hessian_eigenvalue"] == pytest.approx(
        np.linalg.eigvalsh(m._fit.system.hessian(True))[0]
    )
    assert said["decrement"] < 1e-12


@pytest.mark.parametrize("engine", ["block", "cholmod"])
def test_where_the_exact_hessian_is_too_dear_it_says_so(engine, monkeypatch):
    if engine == "cholmod":
        pytest.importorskip("mixedfast.engines._cholmod")
    monkeypatch.setattr("mixedfast.estimation.fit.EXACT_OPERATIONS", 1.0)
    m = mf.lmer(MODELS["penicillin"], mf.load_dataset("penicillin"), engine=engine)
    assert m._fit.system.traces.trace_operations() > 1.0
    assert m.optimization["hessian"] == "average information"
    assert m.converged


def system_at(factor):
    design = build(parse(MODELS["penicillin"]), mf.load_dataset("penicillin"))
    cp = assemble(design)
    system = PLSSystem(cp, choose(cp), True)
    best = fit_crossproducts(cp).theta_internal
    return system, best * factor


@pytest.mark.parametrize("factor", [0.1, 2.0, 1e5, 1e7])
def test_the_scale_of_a_term_is_seen_however_far_off(factor):
    system, theta = system_at(np.array([factor, 1.0]))
    before = system.solve(theta).deviance
    system.gradient()
    decrease, target = scale_decrease(system)
    assert decrease > CERTIFICATE_TOLERANCE
    _, deviance = newton.line_search(system, theta, before, target - theta, 0.0)
    assert deviance < before - CERTIFICATE_TOLERANCE


def test_the_scale_of_a_term_is_level_at_the_optimum():
    system, theta = system_at(1.0)
    system.solve(theta)
    assert scale_decrease(system).decrease < 1e-12


def test_a_decrement_that_no_longer_falls_has_stalled():
    falling = [10.0**-k for k in range(4, 14)]
    assert not newton._has_stalled(falling)
    assert newton._has_stalled([1.0, 1e-9, 1e-9, 2e-9, 9e-10, 1e-9, 1e-9])
    assert not newton._has_stalled([1.0, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3])


def test_two_searches_make_one_log():
    system, theta = system_at(np.array([3.0, 0.2]))
    first = newton.minimize(system, theta, DirectModel(exact=False))
    both = first.then(newton.minimize(system, first.theta, DirectModel(exact=True)))
    assert both.exact_hessian
    assert both.iterations == first.iterations + len(both.log) - len(first.log) - 1


def test_a_search_that_creeps_to_the_boundary_is_put_there():
    """Near zero the derivatives in theta vanish: a search once ended 1e-6 above the optimum."""
    random = np.random.default_rng(21904)
    g = np.repeat(np.arange(30), 4)
    x = random.normal(size=120)
    noise = random.normal(size=120)
    noise -= 0.95 * np.repeat(noise.reshape(30, 4).mean(axis=1), 4)
    data = {"g": g, "x": x, "y": x + noise}
    found, warned = fitted("y ~ x + (x | g)", data)
    assert not warned
    starts = ([1.0, 0.0, 1.0], [0.1, 0.3, 0.0], [0.003, 0.3, 0.01])
    assert (
        found.criterion
        <= min(fitted("y ~ x + (x | g)", data, start=start)[0].criterion for start in starts) + 1e-7
    )


def test_a_slope_out_of_the_boundary_that_is_rounding_is_no_way_down(recwarn) -> None:
    """dd/dH of rank one has an eigenvalue of zero, which rounding puts below it, and v'Gv above."""
    fit = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))._fit
    cov = fit.cp.covariance
    for seed in range(400):
        w = np.random.default_rng(seed).normal(size=2)
        system = SimpleNamespace(
            covariance=cov,
            theta=np.zeros(3),
            lambdas=[np.zeros((2, 2))],
            term_effects=[36],
            gradient_blocks=lambda w=w: [np.outer(w, w)],
            precision_sums=lambda: [np.eye(2)],
            hessian_blocks=lambda: {(0, 0): np.einsum("ac,bd->abcd", np.eye(2), np.eye(2))},
        )
        fall, theta = off_boundary(system)
        assert 0.0 <= fall < 1e-25
        assert np.isfinite(theta).all()
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_a_slope_that_rounding_leaves_of_a_factor_in_both_parts_is_no_way_down(recwarn) -> None:
    """The slope was -2e-13 of sums of 16, its curvature negative: the step was infinite."""
    formula = "angle ~ recipe * poly(temp, 2) + (1 | recipe/replicate)"
    for reml in (True, False):
        m = mf.lmer(
            formula,
            mf.load_dataset("cake"),
            REML=reml,
            contrasts={"recipe": "sum"},
            weights="temp",
            engine="block",
        )
        m.anova(ddf="kenward-roger")
        assert m.optimization["rejected"] == 0
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_a_way_down_of_negative_curvature_is_of_finite_length():
    """The quadratic model has no minimum along it."""
    fit = mf.lmer("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))._fit
    system = SimpleNamespace(
        covariance=fit.cp.covariance,
        theta=np.zeros(1),
        lambdas=[np.zeros((1, 1))],
        term_effects=[18],
        gradient_blocks=lambda: [np.array([[-3.0]])],
        precision_sums=lambda: [np.array([[180.0]])],
        hessian_blocks=lambda: {(0, 0): np.full((1, 1, 1, 1), -1.0)},
    )
    fall, theta = off_boundary(system)
    assert fall > CERTIFICATE_TOLERANCE
    assert 0.0 < abs(theta[0]) < np.inf


def test_slopes_without_an_intercept_are_searched_from_several_starts():
    """nlme's Dialyzer: the search from moments ends 0.658 above the lowest optimum that lme4 and start=[3, 3] reach."""
    data = frame("dialyzer")
    formula = (
        "rate ~ poly(pressure, 4) * QB + (0 + pressure | Subject) + (0 + I(pressure**2) | Subject)"
    )
    for start in (None, [3.0, 3.0], [0.01, 3.0]):
        assert mf.lmer(formula, data, start=start).criterion == pytest.approx(652.0384243387)
