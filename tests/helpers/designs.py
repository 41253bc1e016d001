"""Random tables, designs and theta for comparisons with dense algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.reference_model import DenseModel
from hypothesis import settings
from hypothesis import strategies as st

from mixedfast.design.build import build
from mixedfast.formula.parser import parse

FORMULAS = {
    "one factor": "y ~ x + (1 | a)",
    "one slope": "y ~ x + (0 + x | a)",
    "slope": "y ~ x + z + (x | a)",
    "two slopes": "y ~ x + (x + z | a)",
    "uncorrelated": "y ~ x + (x || a)",
    "terms on one group": "y ~ x + (x | a) + (0 + z | a)",
    "no intercept": "y ~ 0 + x + z + (1 | a)",
    "crossed": "y ~ x + (1 | a) + (1 | b)",
    "nested": "y ~ x + (1 | c / b)",
    "crossed slopes": "y ~ x + z + (x | a) + (z | b)",
    "many terms": "y ~ x + (x | a) + (z || b) + (1 | c)",
}
#: Dense inverses of 60 x 60 matrices with condition numbers up to 1e4.
DENSE = 1e-9
FEW = settings(max_examples=5)
every_formula = pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
seeds = st.integers(0, 2**32 - 1)


def close(ours, theirs, tolerance=DENSE):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(
        ours, theirs, rtol=0, atol=tolerance * max(1.0, np.abs(theirs).max(initial=0.0))
    )


def a_table(seed, n=60, spread=1.0):
    """Crossed a (7) and b (5), c (3) above b; effects of every group, x far from zero."""
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(np.arange(n) % 7), rng.permutation(np.arange(n) % 5)
    x, z = 5.0 + rng.normal(size=n), rng.normal(size=n)
    effects = rng.normal(size=7)[a] + rng.normal(size=5)[b] + rng.normal(size=3)[b % 3]
    slopes = rng.normal(size=7)[a] * (x - 5.0) + rng.normal(size=5)[b] * z
    y = 3.0 + 0.5 * x + spread * (effects + slopes) + rng.normal(size=n)
    return {
        "y": y,
        "x": x,
        "z": z,
        "a": a,
        "b": b,
        "c": b % 3,
        "w": rng.uniform(0.3, 3.0, n),
        "o": rng.normal(size=n),
    }


def a_design(formula, seed, weighted, spread=1.0):
    more = {"weights": "w", "offset": "o"} if weighted else {}
    return build(parse(formula), a_table(seed, spread=spread), **more)


def a_theta(cov, seed, kind):
    """Return theta inside the cone, at zero, or with one diagonal element zero.

    The other elements may have any sign.
    """
    rng = np.random.default_rng(seed)
    theta = np.where(
        cov.diagonal, rng.uniform(0.2, 1.5, cov.n_theta), 0.5 * rng.normal(size=cov.n_theta)
    )
    if kind == "zero":
        return np.zeros_like(theta)
    if kind == "singular":
        theta[rng.choice(np.flatnonzero(cov.diagonal))] = 0.0
    return theta


def in_the_fit_s_basis(dense: DenseModel, cp, design) -> DenseModel:
    """Return the same model with the columns of Z shifted and scaled as in the fit."""
    Z = []
    for group, z in zip(cp.groups, dense.Z, strict=True):
        codes = next(term.codes for term in design.terms if term.group == group.name)
        member = np.equal.outer(codes, np.arange(group.n_levels))
        Z.append((z - member[:, :, None] * group.shift) * group.scale)
    return replace(dense, Z=tuple(Z))
