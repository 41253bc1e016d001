"""Steps of a fit, each alone, on small copies of the problems.

Cross-products, one factorization, derivatives.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
from benchmarks.problems import PROBLEMS, SEED
from mixedfast.estimation.fit import fit_crossproducts


@pytest.fixture(
    scope="module", params=[("P8", 0.1), ("P9", 0.03), ("P10d", 0.05)], ids=lambda p: p[0]
)
def case(request):
    """Return formula, table and fit."""
    key, scale = request.param
    problem = PROBLEMS[key]
    table = pd.DataFrame(problem.table(np.random.default_rng(SEED), scale))
    formula = problem.model.formula
    return formula, table, fit_crossproducts(mf.crossproducts(formula, table), reml=True)


@pytest.fixture
def solved(case):
    fit = case[2]
    system = fit.new_system()
    system.solve(fit.theta_internal)
    return system, fit.theta_internal


def test_crossproducts(benchmark, case):
    benchmark(mf.crossproducts, case[0], case[1])


def test_factorization(benchmark, solved):
    system, theta = solved
    benchmark(system.solve, theta)


def test_gradient(benchmark, solved):
    system, theta = solved
    benchmark.pedantic(system.gradient, setup=lambda: solve_again(system, theta), rounds=20)


def test_hessian(benchmark, solved):
    system, theta = solved
    benchmark.pedantic(
        lambda: system.hessian(exact=False), setup=lambda: solve_again(system, theta), rounds=10
    )


def solve_again(system, theta):
    """Forget what is kept from the last derivative at this theta."""
    system.solve(theta)
