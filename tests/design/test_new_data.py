"""Columns taken out of a design, and new rows coded as the rows of the fit."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from helpers.design_frame import FRAME, ROUNDING, N, design

from mixedfast.design.columns import matrix
from mixedfast.design.new_data import code_new_data
from mixedfast.errors import DataError


def test_keep_columns() -> None:
    made = design("y ~ x*f").keep_columns([1, 2, 5]).keep_columns([0, 2])
    assert (made.x_names, made.kept, made.has_intercept) == (("x", "x:f[T.b]"), (1, 5), False)
    assert len(made.all_x_names) == 6
    assert [len(code_new_data(made.recipe, FRAME).x), made.recipe.kept] == [2, (1, 5)]


@pytest.mark.parametrize(
    "formula",
    ["y ~ x*f + C(k) + (f | g) + (1 | s:g)", "y ~ poly(x, 2)*f + bs(z, df=4) + (scale(x) | s/g)"],
)
def test_new_data_are_coded_as_the_old_ones(formula: str) -> None:
    made = design(formula, contrasts={"f": "sum"})
    recipe = pickle.loads(pickle.dumps(made.recipe))
    rows = np.array([7, 3, 11, 4])
    new = code_new_data(recipe, FRAME.drop(columns="y").iloc[rows].astype({"f": str}))
    assert new.n == 4 and new.kept_rows is None
    np.testing.assert_allclose(matrix(new.x, 4), matrix(made.x, N)[rows], **ROUNDING)
    for (codes, columns), term in zip(new.terms, made.terms, strict=True):
        np.testing.assert_array_equal(codes, term.codes[rows])
        np.testing.assert_allclose(matrix(columns, 4), matrix(term.columns, N)[rows], **ROUNDING)


def test_recipes_hold_no_rows() -> None:
    sizes = []
    for copies in (1, 20):
        made = design("y ~ x*f + log(x) + (x | g)", pd.concat([FRAME] * copies))
        sizes.append(len(pickle.dumps(made.recipe)))
    assert sizes[0] == sizes[1]


def test_new_groups_missing_groups_and_missing_rows() -> None:
    recipe = design("y ~ x + (1 | g/s)").recipe
    new = code_new_data(
        recipe,
        {"x": [1.0, np.nan, 2.0, 3.0], "g": [99.0, 1.0, np.nan, 1.0], "s": ["u", "u", "u", "new"]},
    )
    assert new.kept_rows is not None and new.kept_rows.tolist() == [0, 2, 3]
    (inner, _), (outer, _) = new.terms
    assert inner.tolist() == [-1, -1, -1]
    assert outer.tolist() == [-1, -1, 1]


def test_population_predictions_need_no_groups() -> None:
    new = code_new_data(design("y ~ x + (z | g)").recipe, {"x": [1.0]}, groups=False)
    assert new.terms == () and matrix(new.x, 1).tolist() == [[1.0, 1.0]]


def test_offsets_of_new_data() -> None:
    recipe = design("y ~ x + offset(z) + (1 | g)", offset="h").recipe
    new = code_new_data(recipe, {"x": [1.0], "z": [2.0], "h": [0.5], "g": [1]})
    assert new.offset is not None and new.offset.tolist() == [2.5]


@pytest.mark.parametrize(
    "formula", ["y ~ f + (1 | g)", "y ~ f + log(x) + (1 | g)", "y ~ 1 + (f | s)"]
)
def test_unknown_level_in_new_data(formula: str) -> None:
    with pytest.raises(DataError, match="'f' has levels that the fit did not have: q"):
        code_new_data(design(formula).recipe, FRAME.assign(f="q"))


def test_unknown_value_under_C_in_new_data() -> None:
    with pytest.raises(DataError, match="'k' has levels that the fit did not have: 7"):
        code_new_data(design("y ~ C(k)").recipe, {"k": [7]})


def test_numbers_that_became_categories() -> None:
    with pytest.raises(DataError, match="'x' was numeric"):
        code_new_data(design("y ~ x").recipe, {"x": ["a"]})
