"""Random models and tables against dense algebra: criterion, gradient, and the optimum.

Forty a run, the same ones every time. ``MODELS=2000 python -m pytest
tests/estimation/test_random_models.py`` takes as many new ones (`make fuzz` does).
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from helpers.designs import a_theta, close, in_the_fit_s_basis
from helpers.reference_model import dense_model
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast.crossprod.assemble import assemble
from mixedfast.design.build import build
from mixedfast.engines.choose import choose
from mixedfast.estimation.fit import fit_crossproducts, solve_at
from mixedfast.estimation.pls import PLSSystem
from mixedfast.formula.parser import parse

MODELS = int(os.environ.get("MODELS", "40"))
N = 72
#: Dense inverses of 72 x 72 matrices; slopes on interactions make them less well-conditioned than
#: those of test_system.
DENSE = 1e-7
#: What a search leaves between its criterion and the lowest, in units of the criterion.
OPTIMUM = 1e-6

FIXED = [
    "x",
    "z",
    "f",
    "h",
    "x:z",
    "x:f",
    "f:h",
    "x*f",
    "f*h",
    "I(x**2)",
    "x/f",
    "C(f, contr.sum)",
    "log(w)",
]
EFFECTS = ["1", "x", "0 + x", "z", "x + z", "0 + z", "f", "0 + f", "x:f", "1 + I(x**2)"]
GROUPS = ["a", "b", "c", "a:c", "c/b", "a*c"]


@st.composite
def models(draw):
    """Draw a formula, a table for it, and options."""
    fixed = draw(st.lists(st.sampled_from(FIXED), max_size=3, unique=True))
    bars = st.tuples(
        st.sampled_from(EFFECTS), st.sampled_from(["|", "||"]), st.sampled_from(GROUPS)
    )
    random = [
        f"({effects} {bar} {group})"
        for effects, bar, group in draw(st.lists(bars, min_size=1, max_size=3, unique=True))
    ]
    intercept = draw(st.sampled_from([[], ["0"], ["1"]])) if fixed else []
    offset = ["offset(o)"] if draw(st.booleans()) else []
    formula = "y ~ " + " + ".join([*intercept, *draw(st.permutations([*fixed, *random, *offset]))])
    seed, holes = draw(st.integers(0, 2**32 - 1)), draw(st.booleans())
    return formula, a_table(seed, holes), {"weights": draw(st.sampled_from([None, "w"]))}


def a_table(seed, holes):
    """Return a table with crossed groups a (6) and b (8), c (4) above b, factors f (2) and h (3).

    With `holes` a few values are missing.
    """
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(np.arange(N) % 6), rng.permutation(np.arange(N) % 8)
    x, z = 2.0 + rng.normal(size=N), rng.normal(size=N)
    y = 1.0 + x + rng.normal(size=6)[a] + rng.normal(size=8)[b] * z + rng.normal(size=N)
    f, h = (
        np.array(["u", "v"])[rng.permutation(np.arange(N) % 2)],
        np.array(list("pqr"))[rng.permutation(np.arange(N) % 3)],
    )
    if holes:
        x[rng.integers(0, N, 3)] = np.nan
        y[rng.integers(0, N, 2)] = np.nan
    return {
        "y": y,
        "x": x,
        "z": z,
        "f": f,
        "h": h,
        "a": a,
        "b": b,
        "c": b % 4,
        "w": rng.uniform(0.5, 2.0, N),
        "o": rng.normal(size=N),
    }


@settings(
    max_examples=MODELS,
    phases=[Phase.explicit, Phase.generate],
    derandomize="MODELS" not in os.environ,
)
@given(
    models(),
    st.booleans(),
    st.sampled_from(["block", "cholmod"]),
    st.sampled_from(["inside", "zero", "singular"]),
)
def test_any_model_agrees_with_dense_algebra(model, reml, engine, kind):
    formula, table, options = model
    if engine == "cholmod":
        pytest.importorskip("mixedfast.engines._cholmod")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (mf.SingularFitWarning, UserWarning))
        try:
            design = build(parse(formula), table, **options)
        except (
            mf.NotIdentifiedError,
            mf.FormulaError,
        ):  # terms that repeat one another, effects no data can tell apart
            reject()
        cp, dense = assemble(design), dense_model(design, reml)
        if (
            np.linalg.matrix_rank(dense.X) < dense.X.shape[1]
        ):  # dense algebra has no rule which columns to leave out
            reject()
        theta = a_theta(cp.covariance, 1, kind)
        user = cp.covariance.to_user(theta)
        found, expected = solve_at(cp, user, reml), dense.solve(user)
        assert found.deviance == pytest.approx(expected.deviance, rel=DENSE), formula
        close(found.beta, expected.beta, DENSE)

        system = PLSSystem(cp, choose(cp, engine), reml)
        system.solve(theta)
        close(system.gradient(), in_the_fit_s_basis(dense, cp, design).gradient(theta), DENSE)

        fit = fit_crossproducts(cp, reml)
        assert fit.deviance == pytest.approx(dense.solve(fit.theta).deviance, rel=DENSE), formula
        rng = np.random.default_rng(0)
        for size in (0.01, 0.1, 1.0):
            near = fit.theta + size * rng.normal(size=len(fit.theta))
            assert dense.solve(near).deviance >= fit.deviance - OPTIMUM, formula
