"""Predictions of a search with random probes, against exact derivatives where it ended."""

from __future__ import annotations

import numpy as np
import pytest

from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.combine import subtract
from mixedfast.design.build import build
from mixedfast.engines.choose import choose
from mixedfast.estimation.fit import fit_crossproducts
from mixedfast.estimation.local_model import DirectModel, NeighbourModel, StochasticModel
from mixedfast.estimation.newton import COSTLY_TOLERANCE, NEIGHBOUR_TOLERANCE, minimize
from mixedfast.estimation.pls import PLSSystem
from mixedfast.estimation.starting_values import first_theta
from mixedfast.estimation.steps import CERTIFICATE_TOLERANCE, newton_step
from mixedfast.formula.parser import parse
from mixedfast.inference.diagnostics.influence import parts_of_rows

FORMULAS = [
    "y ~ x + (1 | a) + (1 | b)",
    "y ~ x + (x | a) + (1 | b)",
    "y ~ x + (x | a) + (z | b)",
    "y ~ x + (x || a) + (1 | b)",
    "y ~ x + (x | a) + (1 | b) + (1 | c)",
    "y ~ x + (1 | a) + (1 | b) + (1 | c) + (1 | d)",
]
#: The deviance of two searches for one optimum: rounding of some 1e4 rows and what
#: `COSTLY_TOLERANCE` leaves.
SAME_DEVIANCE = 1e-7
#: What is foreseen rests on the spread of eight probes, and on the last two promises.
FORESIGHT = 10.0


def a_model(seed, formula):
    return assemble(a_design(seed, formula))


def a_design(seed, formula):
    """Crossed factors of 6 to 120 levels, of equal or very unequal sizes.

    Variances are zero to 400 times the residual one.
    """
    rng = np.random.default_rng(seed)
    n = int(np.exp(rng.uniform(np.log(300), np.log(3000))))
    data = {"x": rng.normal(size=n), "z": rng.normal(size=n)}
    y = 0.5 * data["x"] + rng.normal(size=n)
    for name in "abcd":
        if f"| {name})" not in formula:
            continue
        levels = int(np.exp(rng.uniform(np.log(6), np.log(120))))
        share = 1.0 / np.arange(1, levels + 1) ** rng.choice([0.0, 0.5, 1.0, 1.5])
        data[name] = rng.choice(levels, size=n, p=share / share.sum())
        size = rng.choice([0.0, 0.02, 0.1, 0.3, 1.0, 3.0, 20.0])
        y = y + size * rng.normal(size=levels)[data[name]]
        if name in "ab":
            y = (
                y
                + size
                * rng.choice([0.0, 0.3])
                * rng.normal(size=levels)[data[name]]
                * data["xz"["ab".index(name)]]
            )
    return build(parse(formula), {"y": y, **data})


@pytest.mark.parametrize("engine", ["block", "cholmod"])
@pytest.mark.parametrize("few_levels", [0, 24])
@pytest.mark.parametrize("formula", FORMULAS)
def test_what_probes_foresee_is_there(formula, few_levels, engine):
    if engine == "cholmod":
        pytest.importorskip("mixedfast.engines._cholmod")
    for seed in range(3):
        cp = a_model([seed, FORMULAS.index(formula)], formula)
        reml = seed % 2 == 0
        system, direct = (PLSSystem(cp, choose(cp, engine), reml) for _ in range(2))
        found = minimize(
            system,
            first_theta(cp, reml),
            StochasticModel(few_levels=few_levels),
            remaining=COSTLY_TOLERANCE,
        )
        assert found.converged and found.kind == "from probes"
        direct.solve(found.theta)
        assert direct.solution.deviance == pytest.approx(found.deviance, abs=SAME_DEVIANCE)
        still = newton_step(direct.gradient(), direct.hessian(True))[1]
        # a search that foresaw nothing evaluated its certificate before the last step
        assert still <= max(FORESIGHT * found.decrement, FORESIGHT * COSTLY_TOLERANCE)
        assert direct.escape().decrease < CERTIFICATE_TOLERANCE
        tight = minimize(direct, found.theta, DirectModel(exact=True))
        assert found.deviance - tight.deviance <= SAME_DEVIANCE
        apart = found.theta - tight.theta
        assert 0.5 * apart @ direct.hessian(True) @ apart <= FORESIGHT * COSTLY_TOLERANCE


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_neighbours_hessian_leads_to_the_optimum(formula):
    """Without the largest and the smallest levels, and others in between."""
    for seed in range(3):
        design = a_design([seed, FORMULAS.index(formula)], formula)
        whole = assemble(design)
        fit = fit_crossproducts(whole, seed % 2 == 0)
        if any(fit.singular_terms):
            continue
        term = design.terms[0]
        sizes = np.bincount(term.codes, minlength=len(term.levels))
        for level in np.argsort(sizes)[:: max(1, len(sizes) // 5)]:
            part = next(parts_of_rows(whole, design, np.where(term.codes == level, 0, -1), 1))
            rest = PLSSystem(
                subtract(whole, part), choose(subtract(whole, part), "block"), fit.reml
            )
            model = NeighbourModel(
                fit.curvature().hessian, len(sizes), part.n / whole.n, DirectModel(exact=False)
            )
            found = minimize(rest, fit.theta_internal, model, remaining=NEIGHBOUR_TOLERANCE)
            tight = minimize(rest, found.theta, DirectModel(exact=True))
            apart = found.theta - tight.theta
            assert (
                found.converged
                and 0.5 * apart @ tight.hessian @ apart <= FORESIGHT * NEIGHBOUR_TOLERANCE
            )


def test_a_neighbour_too_far_away_is_given_up():
    """A Hessian ten times too large makes short steps, and the engine's own ends the search."""
    cp = a_model([0, 0], FORMULAS[0])
    system = PLSSystem(cp, choose(cp, "block"), True)
    tight = minimize(system, first_theta(cp, True), DirectModel(exact=True))
    model = NeighbourModel(10.0 * tight.hessian, 6, 0.2, DirectModel(exact=True))
    found = minimize(system, 1.5 * tight.theta, model, remaining=NEIGHBOUR_TOLERANCE)
    assert found.converged
    assert found.deviance == pytest.approx(tight.deviance, abs=SAME_DEVIANCE)
