"""Criterion, derivatives and inference against dense algebra, on random designs."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.designs import (
    DENSE,
    FEW,
    a_design,
    a_theta,
    close,
    every_formula,
    in_the_fit_s_basis,
    seeds,
)
from helpers.reference_model import dense_model
from hypothesis import assume, given
from hypothesis import strategies as st

from mixedfast.crossprod.assemble import assemble
from mixedfast.design.build import build
from mixedfast.engines.choose import choose
from mixedfast.estimation.fit import fit_crossproducts, solve_at
from mixedfast.estimation.local_model import DirectModel, StochasticModel
from mixedfast.estimation.newton import COSTLY_TOLERANCE, minimize
from mixedfast.estimation.pls import PLSSystem
from mixedfast.formula.parser import parse
from mixedfast.inference.ddf.information import hessian_theta_sigma
from mixedfast.inference.ddf.kenward_roger import kenward_roger
from mixedfast.inference.ddf.methods import f_test, t_test
from mixedfast.inference.ddf.satterthwaite import satterthwaite

#: Central differences with step 1e-4 of values good to 1e-12: truncation and rounding are both near
#: 1e-8.
DIFFERENCES = 2e-6
STEP = 1e-4


# -- one theta -------------------------------------------------------------------------------------


@every_formula
@FEW
@given(seeds, st.booleans(), st.booleans(), st.sampled_from(["inside", "zero", "singular"]))
def test_solution_agrees_with_dense_algebra(formula, seed, weighted, reml, kind):
    design = a_design(formula, seed, weighted)
    cp = assemble(design)
    theta = cp.covariance.to_user(cp.covariance.to_internal(a_theta(cp.covariance, seed, kind)))
    fit, dense = solve_at(cp, theta, reml), dense_model(design, reml)
    expected = dense.solve(theta)
    # a singular block has many roots, and which one is found is rounding: the block itself is
    # identified
    for ours, theirs in zip(
        cp.covariance.lambdas(fit.theta), cp.covariance.lambdas(theta), strict=True
    ):
        close(ours @ ours.T, theirs @ theirs.T)
    assert fit.deviance == pytest.approx(expected.deviance, rel=DENSE)
    assert fit.sigma == pytest.approx(expected.sigma, rel=DENSE)
    close(fit.beta, expected.beta)
    close(fit.vcov, expected.vcov)
    for g in range(len(cp.groups)):
        close(fit.modes[g], expected.modes[g])
        close(fit.posterior[g], expected.posterior[g])


@every_formula
@FEW
@given(seeds, st.booleans(), st.booleans(), st.sampled_from(["inside", "zero", "singular"]))
def test_derivatives_agree_with_dense_algebra(formula, seed, weighted, reml, kind):
    design = a_design(formula, seed, weighted)
    cp = assemble(design)
    system = PLSSystem(cp, choose(cp), reml)
    theta = a_theta(cp.covariance, seed, kind)
    system.solve(theta)
    dense = in_the_fit_s_basis(dense_model(design, reml), cp, design)
    close(system.gradient(), dense.gradient(theta))
    close(system.hessian(True), dense.hessian(theta))


@every_formula
@FEW
@given(seeds, st.booleans(), st.booleans(), st.sampled_from(["inside", "zero", "singular"]))
def test_derivatives_agree_with_differences(formula, seed, weighted, reml, kind):
    cp = assemble(a_design(formula, seed, weighted))
    system = PLSSystem(cp, choose(cp), reml)
    theta = a_theta(cp.covariance, seed, kind)
    system.solve(theta)
    gradient, hessian = system.gradient(), system.hessian(True)
    slopes, bends = [], []
    for direction in STEP * np.eye(len(theta)):
        up, gradient_up = system.solve(theta + direction).deviance, system.gradient()
        down, gradient_down = system.solve(theta - direction).deviance, system.gradient()
        slopes.append((up - down) / (2.0 * STEP))
        bends.append((gradient_up - gradient_down) / (2.0 * STEP))
    # the curvature sets the size of the truncation error of both
    size = max(1.0, np.abs(hessian).max())
    close(gradient / size, np.array(slopes) / size, DIFFERENCES)
    close(hessian / size, np.array(bends) / size, DIFFERENCES)


@every_formula
@FEW
@given(seeds, st.booleans(), st.sampled_from(["inside", "zero", "singular"]))
def test_unit_vectors_for_probes_give_the_exact_derivatives(formula, seed, reml, kind):
    cp = assemble(a_design(formula, seed, False))
    system = PLSSystem(cp, choose(cp), reml)
    system.solve(a_theta(cp.covariance, seed, kind))
    traces = system.probe(8, few_levels=60)
    gradient, average = system.gradient(), system.hessian(False)
    rough = system.stochastic_derivatives(traces)
    near, apart = system.stochastic_hessian(traces)
    close(rough.gradient, gradient)
    close(rough.hessian, average)
    close(near.gradient, gradient)
    close(near.hessian, system.hessian(True))
    assert not apart.any()


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", ["y ~ x + (1 | a) + (1 | b)", "y ~ x + z + (x | a) + (z | b)"])
def test_z_v_is_the_same_by_the_factor_and_by_the_inverse(formula, reml):
    """... and whether lambda may be divided by or not."""
    cp = assemble(a_design(formula, 3, True))
    engine = choose(cp)
    rng = np.random.default_rng(1)
    F = [rng.normal(size=(group.n_levels, group.k, 2)) for group in cp.groups]
    for smallest in (1.0, 1e-3):
        theta = a_theta(cp.covariance, 5, "inside")
        theta[cp.covariance.diagonal] *= smallest
        engine.factor(cp.covariance.lambdas(theta))
        by_factor = [*engine.project(), *engine.times_k(F)]
        engine.blocks_k()
        for ours, theirs in zip(by_factor, [*engine.project(), *engine.times_k(F)], strict=True):
            close(ours, theirs)
        weights = rng.normal(size=(cp.p + 1, 2))
        for ours, theirs in zip(engine.project(weights), engine.project(), strict=True):
            close(ours, theirs @ weights)


@every_formula
@FEW
@given(seeds, st.booleans(), st.sampled_from(["inside", "zero", "singular"]))
def test_average_information_has_no_negative_direction(formula, seed, reml, kind):
    cp = assemble(a_design(formula, seed, False))
    system = PLSSystem(cp, choose(cp), reml)
    system.solve(a_theta(cp.covariance, seed, kind))
    blocks = system.hessian_blocks()
    directions = [
        (group, row, column)
        for group, size in enumerate(cp.covariance.sizes)
        for row in range(size)
        for column in range(row + 1)
    ]
    matrix = np.empty((len(directions),) * 2)
    for i, (g, a, b) in enumerate(directions):
        for j, (h, c, d) in enumerate(directions):
            matrix[i, j] = blocks[g, h][a, b, c, d] if g <= h else blocks[h, g][c, d, a, b]
    assert np.isfinite(matrix).all()
    close(matrix, matrix.T, 1e-12)
    values = np.linalg.eigvalsh(matrix)
    assert values[0] > -1e-12 * values[-1]


@pytest.mark.parametrize("formula", ["y ~ x + (x | a)", "y ~ x + (x | a) + (1 | b)"])
def test_a_theta_that_cannot_be_factored_is_backed_away_from(formula):
    cp = assemble(a_design(formula, 1, False))
    system = PLSSystem(cp, choose(cp), True)
    assert system.solve(np.full(cp.covariance.n_theta, np.nan)) is None
    assert system.solve(np.full(cp.covariance.n_theta, 1e200)) is None
    assert system.rejected == 2
    before = system.solve(cp.covariance.identity)
    assert before is not None
    fresh = PLSSystem(cp, choose(cp), True).solve(cp.covariance.identity)
    assert before.deviance == fresh.deviance


# -- the optimum and the inference at it -----------------------------------------------------------


@every_formula
@FEW
@given(seeds, st.booleans(), st.booleans())
def test_no_theta_nearby_is_better(formula, seed, weighted, reml):
    design = a_design(formula, seed, weighted)
    cp = assemble(design)
    fit, dense = fit_crossproducts(cp, reml), dense_model(design, reml)
    assert fit.optimum.converged
    rng = np.random.default_rng(seed)
    for length in (1e-3, 0.1, 1.0):
        moved = fit.theta + length * rng.normal(size=fit.theta.shape)
        assert dense.solve(moved).deviance >= fit.deviance - 1e-9 * abs(fit.deviance)


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "formula", ["y ~ x + (1 | a) + (1 | b)", "y ~ x + z + (x | a) + (z | b)", "y ~ x + (1 | c / b)"]
)
@pytest.mark.parametrize(
    ("seed", "reml", "few"),
    [
        (0, True, 0),
        (1, False, 24),
        (2, True, 24),
        (3, False, 0),
        (4, True, 24),
        (1547, False, 0),
        (1547, False, 24),
    ],
)
def test_a_search_with_probes_ends_at_the_same_optimum(formula, spread, seed, reml, few):
    """The tables are fixed, because this does not hold for every table.

    Of 3,600 searches on random tables in one series, no other one ended above the optimum, and in
    four the exact search did not converge. Seeds 4 and 1547 ended 2e-9 to 7e-9 above it, where a
    theta is small.
    """
    cp = assemble(a_design(formula, seed, False, spread))
    exact, costly = (PLSSystem(cp, choose(cp), reml) for _ in range(2))
    start = cp.covariance.identity
    model = StochasticModel(few_levels=few)
    found = minimize(costly, start, model, remaining=COSTLY_TOLERANCE)
    expected = minimize(exact, start, DirectModel(exact=True))
    assert found.converged == expected.converged
    assert found.deviance <= expected.deviance + 10.0 * COSTLY_TOLERANCE or not expected.converged


@every_formula
@FEW
@given(seeds, st.booleans(), st.booleans(), st.sampled_from([0.0, 1.0]))
def test_satterthwaite_agrees_with_dense_algebra(formula, seed, weighted, reml, spread):
    design = a_design(
        formula, seed, weighted, spread
    )  # spread 0: no group differs, most fits are singular
    fit, dense = fit_crossproducts(assemble(design), reml), dense_model(design, reml)
    values = np.linalg.eigvalsh(dense.information(fit.theta, fit.sigma))
    assert (
        satterthwaite(fit).n_dropped == (np.linalg.eigvalsh(hessian_theta_sigma(fit)) <= 1e-8).sum()
    )
    # otherwise there is a direction the data say nothing about, and the inverse is anybody's guess
    assume(values[0] > 1e-4 * values[-1])
    rng = np.random.default_rng(seed)
    contrasts = np.vstack([np.eye(fit.cp.p), rng.normal(size=(1, fit.cp.p))])
    tests = t_test(fit, contrasts, ddf="satterthwaite")
    Phi = dense.solve(fit.theta).vcov
    for i, contrast in enumerate(contrasts):
        expected = dense.satterthwaite(fit.theta, fit.sigma, contrast)
        assert tests["df"][i] == pytest.approx(
            expected, rel=1e-5
        )  # df of few groups magnify rounding
        assert tests["std_error"][i] == pytest.approx(np.sqrt(contrast @ Phi @ contrast), rel=DENSE)


@every_formula
@FEW
@given(seeds, st.booleans(), st.sampled_from([0.0, 1.0]))
def test_kenward_roger_agrees_with_dense_algebra(formula, seed, weighted, spread):
    design = a_design(formula, seed, weighted, spread)
    fit, dense = fit_crossproducts(assemble(design), True), dense_model(design, True)
    ours, expected = kenward_roger(fit), dense.kenward_roger(fit.theta, fit.sigma)
    close(ours.vcov / expected.vcov.max(), expected.vcov / expected.vcov.max(), 1e-7)
    single = [np.eye(fit.cp.p)[i : i + 1] for i in range(fit.cp.p)]
    for L in (*single, np.eye(fit.cp.p)):
        statistic, _, df, *_ = f_test(fit, L, ddf="kenward-roger")
        expected_F, expected_df = expected.f_test(L, L @ fit.beta)
        assert df == pytest.approx(expected_df, rel=1e-6)
        assert statistic == pytest.approx(expected_F, rel=1e-6)


def test_ml_fits_are_tested_with_the_reml_refit_by_kenward_and_roger():
    cp = assemble(a_design("y ~ x + z + (x | a)", 11, False))
    L = np.eye(cp.p)[1:]
    ours = f_test(fit_crossproducts(cp, False), L, ddf="kenward-roger")
    assert ours == pytest.approx(
        f_test(fit_crossproducts(cp, True), L, ddf="kenward-roger"), rel=1e-12
    )


def test_components_make_derivatives_costly_and_not_how_many_there_are():
    school, rng = np.repeat(np.arange(800), 4), np.random.default_rng(3)
    table = {"y": rng.normal(size=3200), "school": school, "child": np.repeat(np.arange(1600), 2)}
    nested = assemble(build(parse("y ~ 1 + (1 | child) + (1 | school)"), table))
    crossed = assemble(
        build(
            parse("y ~ 1 + (1 | child) + (1 | school)"),
            {**table, "school": rng.permutation(school)},
        )
    )
    assert not choose(nested).is_costly
    assert choose(crossed).is_costly
