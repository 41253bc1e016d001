"""Marginal means on random designs against a dense construction with a dummy for every cell.

The construction shares nothing with the package but the estimated variances: overparametrized
dummies of every term, generalized least squares by a pseudoinverse, averages over the listed grid,
and estimability by the row space of the dummies.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast.errors import MixedFastWarning

#: Solutions of the two constructions; the scales of the columns reach over twelve powers of ten.
SAME = 1e-6
#: A row of length one lies in the row space when this little of it is outside.
OUTSIDE = 1e-7

#: Terms of each model: variables of a term; x is the covariate.
MODELS = {
    "y ~ a * b + x": [(), ("a",), ("b",), ("a", "b"), ("x",)],
    "y ~ a + b * c": [(), ("a",), ("b",), ("c",), ("b", "c")],
    "y ~ a * x + c": [(), ("a",), ("x",), ("a", "x"), ("c",)],
    "y ~ a + n + b": [(), ("a",), ("n",), ("b",)],
    "y ~ a * n + x": [(), ("a",), ("n",), ("a", "n"), ("x",)],
    "y ~ n + b:c": [(), ("n",), ("b", "c")],
}
LEVELS = {"a": "pqr", "b": "uv", "c": "klm", "n": ["p1", "p2", "q1", "r1", "r2", "r3"]}


def table(seed: int, scale: float, empty: bool, weighted: bool) -> pd.DataFrame:
    """Make an unbalanced table; n is nested in a, and some cells of a and b may be empty."""
    rng = np.random.default_rng(seed)
    n = 70
    data = pd.DataFrame({name: rng.choice(list(LEVELS[name]), n) for name in "abc"})
    data["n"] = [
        value + str(rng.integers(1, 1 + (2, 1, 3)["pqr".index(value)])) for value in data["a"]
    ]
    data["x"] = rng.normal(5.0, 2.0, n) * scale
    data["w"] = rng.uniform(0.5, 2.0, n) if weighted else 1.0
    data["g"] = np.arange(n) % 9
    data["y"] = (
        rng.normal(size=n) + 2.0 * rng.normal(size=9)[data["g"]] + (data["a"] == "q")
    ) * scale
    if empty:
        data = data[(data["a"] != "r") | (data["b"] != "v")]
    return data.reset_index(drop=True)


def dummies(terms, rows: pd.DataFrame, levels: dict[str, list[str]], scale: float) -> np.ndarray:
    """Evaluate a column for every cell of every term."""
    columns = []
    for term in terms:
        number = rows["x"].to_numpy() / scale if "x" in term else np.ones(len(rows))
        factors = [name for name in term if name != "x"]
        for cell in itertools.product(*(levels[name] for name in factors)):
            column = number.copy()
            for name, value in zip(factors, cell, strict=True):
                column = column * (rows[name] == value).to_numpy()
            columns.append(column)
    return np.column_stack(columns)


def grid(data: pd.DataFrame, terms, specs: list[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """List the cells of the grid of each mean; n has only the levels of its own a."""
    used = list(dict.fromkeys(name for term in terms for name in term if name != "x"))
    levels = {name: sorted(data[name].unique()) for name in used}
    rows = pd.DataFrame(itertools.product(*levels.values()), columns=used)
    if {"a", "n"} <= set(used):
        rows = rows[rows["n"].str[0] == rows["a"]]
    rows["x"] = data["x"].mean()
    return dict(tuple(rows.groupby(specs)))


def averaged(D: np.ndarray, cells: pd.DataFrame, by_stage: bool) -> np.ndarray:
    """Average rows: the levels of n within a first, everything else with equal weights."""
    if not by_stage:
        return D.mean(axis=0)
    share = 1.0 / cells.groupby("a")["a"].transform("size").to_numpy()
    return share @ D / share.sum()


@settings(max_examples=60, deadline=None)
@given(
    formula=st.sampled_from(sorted(MODELS)),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    empty=st.booleans(),
    weighted=st.booleans(),
)
def test_against_dummies_of_every_cell(formula, seed, scale, empty, weighted):
    data, terms = table(seed, scale, empty, weighted), MODELS[formula]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedFastWarning)  # a singular fit is as good
        m = mf.lmer(f"{formula} + (1 | g)", data, weights="w")
    levels = {name: sorted(data[name].unique()) for name in LEVELS}
    D = dummies(terms, data, levels, scale)
    between, within = m.varcorr["variance"] / scale**2
    V = between * (data["g"].to_numpy()[:, None] == data["g"].to_numpy()) + np.diag(
        within / data["w"]
    )
    root = np.linalg.cholesky(np.linalg.inv(V)).T
    pseudo = np.linalg.pinv(root @ D, rcond=1e-10)
    beta = pseudo @ root @ (data["y"].to_numpy() / scale)
    basis = np.linalg.svd(D)[2][: np.linalg.matrix_rank(D)]
    factors = list(dict.fromkeys(name for term in terms for name in term if name != "x"))
    for spec in factors:
        cells = grid(data, terms, [spec])
        rows = np.array(
            [
                averaged(dummies(terms, own, levels, scale), own, {"a", "n"} <= set(own))
                for own in cells.values()
            ]
        )
        means = m.emmeans(spec)
        found = means.to_frame().sort_values(spec)
        assert found[spec].tolist() == [key[0] for key in cells]
        check(found["emmean"], found["std_error"], rows, beta, pseudo, basis, scale)
        pairs = means.pairs("none")
        order = {value: i for i, value in enumerate(found[spec])}
        listed = means.to_frame()[spec].tolist()
        differences = np.array(
            [rows[order[a]] - rows[order[b]] for a, b in itertools.combinations(listed, 2)]
        )
        check(pairs["estimate"], pairs["std_error"], differences, beta, pseudo, basis, scale)


def check(estimate, std_error, rows, beta, pseudo, basis, scale) -> None:
    """Compare estimates, standard errors, and which of them exist."""
    outside = rows - (rows @ basis.T) @ basis
    length = np.linalg.norm(rows, axis=1)
    estimable = np.linalg.norm(outside, axis=1) <= OUTSIDE * length
    assert estimate.notna().tolist() == estimable.tolist()
    expected = (rows @ beta)[estimable]
    errors = np.linalg.norm(rows @ pseudo, axis=1)[estimable]
    known = estimate.to_numpy()[estimable] / scale
    assert np.abs(known - expected) == pytest.approx(0.0, abs=SAME * errors.max(initial=1.0))
    assert std_error.to_numpy()[estimable] / scale == pytest.approx(errors, rel=SAME)
