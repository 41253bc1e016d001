"""Small cells are found in the sums as they are in the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(4)
    n = 300
    return pd.DataFrame(
        {
            "y": 1e6 + rng.normal(size=n),
            "x": 2000.0 + rng.normal(size=n),
            "school": rng.choice(list("abcdefgh"), n),
            "form": rng.integers(1, 6, n),
            "track": rng.choice(["low", "mid", "high"], n, p=[0.1, 0.3, 0.6]),
            "sex": rng.choice(["F", "M"], n),
        }
    )


def counted(rows, *columns):
    sizes = rows.groupby(list(columns)).size()
    return {
        (" & ".join(columns), " & ".join(map(str, np.atleast_1d(cell)))): int(count)
        for cell, count in sizes.items()
    }


@pytest.mark.parametrize("contrasts", [None, {"track": "sum", "sex": "helmert"}])
@pytest.mark.parametrize(
    ("formula", "cells"),
    [
        (
            "y ~ x + track * sex + (1 + x | school)",
            [("school",), ("school", "track"), ("school", "sex")],
        ),
        (
            "y ~ 0 + track + sex + (0 + x | school)",
            [("school",), ("school", "track"), ("school", "sex")],
        ),
        ("y ~ x + (1 | school) + (1 | form)", [("school",), ("form",), ("school", "form")]),
    ],
)
@pytest.mark.parametrize("k", [5, 12, 1000])
def test_every_small_cell_is_found(rows, formula, cells, contrasts, k):
    given = {name: kind for name, kind in (contrasts or {}).items() if name in formula}
    found = mf.crossproducts(formula, rows, contrasts=given or None).small_cells(k)
    expected = {
        cell: n for columns in cells for cell, n in counted(rows, *columns).items() if n < k
    }
    assert dict(zip(zip(found.what, found.cell, strict=True), found.rows, strict=True)) == expected
    assert found.rows.is_monotonic_increasing


def test_after_an_addition_and_a_file_the_counts_are_those_of_all(rows, tmp_path):
    formula, levels = "y ~ x + sex + (1 | school)", {"sex": ["F", "M"]}
    a, b = (mf.crossproducts(formula, part, levels=levels) for part in (rows[:20], rows[20:]))
    (a + b).save(tmp_path / "sums.mf")
    total = mf.load(tmp_path / "sums.mf")
    pd.testing.assert_frame_equal(
        total.small_cells(25), mf.crossproducts(formula, rows).small_cells(25)
    )
    assert len(a.small_cells(2))
    assert not len(total.small_cells(2))


def test_what_cannot_be_counted_is_said(rows):
    with pytest.raises(mf.DataError, match="weights, not numbers of rows"):
        mf.crossproducts("y ~ x + (1 | school)", rows, weights="x").small_cells()
    with pytest.raises(mf.MixedFastError, match="whole number from 1"):
        mf.crossproducts("y ~ x + (1 | school)", rows).small_cells(0)
