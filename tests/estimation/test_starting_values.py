"""Starting values: the solution on balanced data, otherwise those of dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.cases import frame

import mixedfast as mf
from mixedfast.crossprod.assemble import assemble
from mixedfast.design.build import build
from mixedfast.estimation.fit import fit_crossproducts, solve_at
from mixedfast.estimation.starting_values import first_theta, starting_theta
from mixedfast.formula.parser import parse


@pytest.mark.parametrize(
    ("dataset", "formula"),
    [
        ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
        ("pastes", "strength ~ 1 + (1 | batch / cask)"),
        ("dyestuff", "Yield ~ 1 + (1 | Batch)"),
    ],
)
def test_balanced_data_are_solved_at_the_start(dataset, formula):
    cp = assemble(build(parse(formula), mf.load_dataset(dataset)))
    fit = fit_crossproducts(cp)
    np.testing.assert_allclose(starting_theta(cp), fit.theta_internal, rtol=1e-8)
    assert fit.optimum.iterations == 0


def test_the_equations_are_rao_s():
    """Return dense MINQUE(0) values, with slopes, crossing and covariates.

    tr(M G_i M G_j) gamma_j = e'G_i e
    """
    rows = frame("sleepstudy").assign(third=np.tile([0, 1, 1, 2], 45), z=np.arange(180.0) % 7)
    design = build(parse("Reaction ~ Days + z + (Days | Subject) + (1 | third)"), rows)
    cp = assemble(design)
    Z = [
        _dense_z(design, term, cp.groups[shape.group])
        for term, shape in zip(design.terms, cp.terms, strict=True)
    ]
    X = np.column_stack([np.ones(180), rows.Days, rows.z])
    M = np.eye(180) - X @ np.linalg.pinv(X)
    G = [
        Z[0][:, :, 0] @ Z[0][:, :, 0].T,
        None,
        Z[0][:, :, 1] @ Z[0][:, :, 1].T,
        Z[1][:, :, 0] @ Z[1][:, :, 0].T,
        np.eye(180),
    ]
    G[1] = Z[0][:, :, 0] @ Z[0][:, :, 1].T + Z[0][:, :, 1] @ Z[0][:, :, 0].T
    e = M @ rows.Reaction.to_numpy()
    equations = [[np.trace(M @ a @ M @ b) for b in G] for a in G]
    gamma = np.linalg.lstsq(np.array(equations), np.array([e @ a @ e for a in G]), rcond=1e-10)[0]
    wanted = gamma[:3] / gamma[4]
    lam = cp.covariance.lambdas(starting_theta(cp))[0]
    np.testing.assert_allclose((lam @ lam.T)[[0, 1, 1], [0, 0, 1]], wanted, rtol=1e-8)


def _dense_z(design, term, group):
    member = np.equal.outer(term.codes, np.arange(group.n_levels)).astype(float)
    columns = [
        np.ones(design.n) if not column else np.asarray(column[0].values, dtype=float)
        for column in term.columns
    ]
    basis = [
        (column - shift) * scale
        for column, shift, scale in zip(columns, group.shift, group.scale, strict=True)
    ]
    return np.stack([member * column[:, None] for column in basis], axis=2)


def test_one_factor_at_a_time_is_near_where_groups_are_uneven():
    """Zipf's degrees: a tenth as far from the optimum as MINQUE(0), or less."""
    rng = np.random.default_rng(3)
    weights = 1.0 / np.arange(1, 301)
    a, b = (rng.choice(300, 20_000, p=weights / weights.sum()) for _ in range(2))
    y = rng.normal(size=300)[a] + 0.5 * rng.normal(size=300)[b] + rng.normal(size=20_000)
    cp = assemble(build(parse("y ~ 1 + (1 | a) + (1 | b)"), {"y": y, "a": a, "b": b}))
    best = fit_crossproducts(cp).deviance
    starts = first_theta(cp, True), starting_theta(cp)
    one, moments = (solve_at(cp, cp.covariance.to_user(start)).deviance - best for start in starts)
    assert 0.0 <= one < 0.1 * moments


def test_without_fixed_effects_nothing_is_taken_out_of_the_moments():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 9, 200), rng.integers(0, 6, 200)
    y = rng.normal(size=9)[a] + 0.7 * rng.normal(size=6)[b] + rng.normal(size=200)
    cp = assemble(build(parse("y ~ 0 + (1 | a) + (1 | b)"), {"y": y, "a": a, "b": b}))
    assert cp.p == 0
    G = [np.equal.outer(a, a).astype(float), np.equal.outer(b, b).astype(float), np.eye(200)]
    gamma = np.linalg.solve([[np.sum(i * j) for j in G] for i in G], [y @ i @ y for i in G])
    np.testing.assert_allclose(starting_theta(cp) ** 2, gamma[:2] / gamma[2], rtol=1e-8)
