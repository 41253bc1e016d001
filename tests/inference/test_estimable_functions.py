"""Hypotheses of types I to III against exact rational arithmetic, with empty cells."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
from helpers.estimable_functions import Effect, expected_hypotheses
from helpers.reference_kernels import product_of
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast.inference.hypotheses.anova_types import hypotheses

#: Angles between row spaces. The package takes ranks and bases from sums of at most forty rows of
#: small whole numbers.
ANGLE = 1e-7

#: ``DESIGNS=5000 python -m pytest tests/inference/test_estimable_functions.py`` takes new ones.
DESIGNS = int(os.environ.get("DESIGNS", "120"))

MODELS = {
    "a * b": "a b a:b",
    "b * a": "b a a:b",
    "a * b + c": "a b c a:b",
    "a + a:b": "a a:b",
    "b + a:b": "b a:b",
    "a:b": "a:b",
    "0 + a + b": "-1 a b",
    "0 + a:b": "-1 a:b",
    "a + b": "a b",
    "a + b + c": "a b c",
    "a * b * c": "a b c a:b a:c b:c a:b:c",
    "a * b + b * c": "a b c a:b b:c",
    "a / b / c": "a a:b a:b:c",
    "c + a:b + x": "c x a:b",
    "a * x": "a x a:x",
    "x + a:x": "x a:x",
    "a + a:x": "a a:x",
    "a * b + x": "a b x a:b",
    "a * b + a:x": "a b a:b a:x",
    "a * b * x": "a b x a:b a:x b:x a:b:x",
    "a * x * z": "a x z a:x a:z x:z a:x:z",
    "a + x + z + x:z": "a x z x:z",
    "b + a:x + b:x": "b a:x b:x",
}
CODINGS = (None, "sum", "helmert", "poly", "matrix")
#: Formulaic takes a matrix as it is where R and SAS have one column per level: without the terms
#: that a term contains.
WITHOUT_MATRIX = {
    "a + a:b",
    "b + a:b",
    "a:b",
    "0 + a + b",
    "0 + a:b",
    "a / b / c",
    "c + a:b + x",
    "a + a:x",
    "a * b + a:x",
    "b + a:x + b:x",
}


def effect(name: str) -> Effect:
    parts = name.split(":")
    return Effect(
        frozenset(part for part in parts if part in "abc"),
        frozenset(part for part in parts if part in "xz"),
    )


@st.composite
def designs(draw):
    """Draw a formula, rows with some cells left out, and contrasts of the factors."""
    formula = draw(st.sampled_from(sorted(MODELS)))
    sizes = {name: draw(st.integers(2, most)) for name, most in zip("abc", (4, 3, 2), strict=True)}
    used = sorted({part for name in MODELS[formula].split() for part in name.split(":")} & {*"abc"})
    seed = draw(st.integers(0, 2**32 - 1))
    share = draw(st.sampled_from([0.3, 0.5, 0.8, 1.0]))
    flat = draw(st.booleans())
    rng = np.random.default_rng(seed)
    cells = [tuple(int(v) for v in cell) for cell in np.ndindex(*(sizes[name] for name in used))]
    cells = [cell for cell in cells if rng.uniform() < share]
    rows = []
    for cell in cells:
        x, z = (int(v) for v in rng.integers(-2, 3, 2))
        for _ in range(int(rng.integers(1, 4))):
            row = dict(zip(used, cell, strict=True))
            own = (x, z) if flat and rng.uniform() < 0.8 else map(int, rng.integers(-2, 3, 2))
            rows.append(row | dict(zip("xz", own, strict=True)))
    codings = st.sampled_from(CODINGS[:-1] if formula in WITHOUT_MATRIX else CODINGS)
    contrasts = {name: draw(codings) for name in used}
    return formula, rows[:40], contrasts, seed


def of_the_package(formula, rows, contrasts, seed):
    """Return the cross-products and the columns of X that the package keeps, (n, p)."""
    data = pd.DataFrame(rows)
    codings = {}
    for name, coding in contrasts.items():
        data[name] = "l" + data[name].astype(str)
        k = data[name].nunique()
        if coding == "matrix":
            codings[name] = a_matrix(np.random.default_rng(seed), k)
        elif coding is not None:
            codings[name] = coding
    data["y"] = np.random.default_rng(seed).normal(size=len(data))
    m = mf.lm(f"y ~ {formula}", data, contrasts=codings or None)
    cp, columns = m._fit.cp, m._design.x
    X = np.column_stack([product_of(column, len(data)) for column in columns])
    return cp, X[:, [m._design.x_names.index(name) for name in cp.x_names]]


def a_matrix(rng, k):
    """Return contrasts (k, k-1) of small whole numbers that distinguish all levels."""
    while True:
        found = rng.integers(-3, 4, (k, k - 1))
        if np.linalg.matrix_rank(np.column_stack([np.ones(k), found])) == k:
            return found.tolist()


def assert_same_rows(found, expected, what):
    """Check that the rows of two matrices span the same space."""
    bases = []
    for rows in (found, expected):
        rows = rows[np.abs(rows).max(axis=1, initial=0.0) > 0.0]
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        _, s, V = np.linalg.svd(rows, full_matrices=False)
        bases.append(V[s > 1e-9])
    assert len(bases[0]) == len(bases[1]), what
    if len(bases[0]):
        missing = bases[1] - bases[1] @ bases[0].T @ bases[0]
        assert np.abs(missing).max() < ANGLE, what


@settings(max_examples=DESIGNS, derandomize="DESIGNS" not in os.environ)
@given(designs(), st.sampled_from(["I", "II", "III"]))
def test_hypotheses_are_those_of_sas(design, type):
    formula, rows, contrasts, seed = design
    if len(rows) < 4 or any(len({row[name] for row in rows}) < 2 for name in contrasts):
        reject()
    try:
        cp, X = of_the_package(formula, rows, contrasts, seed)
        found = hypotheses(cp, type)
    except (mf.NotIdentifiedError, mf.NotDefinedError, mf.DataError):
        reject()
    # as in R, a covariate that repeats others and left no column counts as left out
    left_out = {
        frozenset(term.factors)
        for term in cp.meta.fixed_terms
        if "categorical" not in term.kinds and not np.isin(term.columns, cp.kept).any()
    }
    names = [name for name in MODELS[formula].split() if name != "-1"]
    names = [name for name in names if frozenset(name.split(":")) not in left_out]
    effects = [effect(name) for name in names]
    first = [] if MODELS[formula].startswith("-1") else [Effect(frozenset())]
    rational = expected_hypotheses([*first, *effects], rows, type)[len(first) :]
    by_parts = {frozenset(name.split(":")): L for name, L in found.items()}
    for name, M in zip(names, rational, strict=True):
        L = np.array(M, dtype=float).reshape(-1, len(rows)) @ X
        scale = np.linalg.norm(X, axis=0)
        assert_same_rows(by_parts[frozenset(name.split(":"))] / scale, L / scale, (name, type))
