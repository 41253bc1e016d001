"""Several grouping factors whose effects, covariates and responses are orders of magnitude apart."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.decimal_model import decimal_solution
from helpers.reference_model import dense_model

import mixedfast as mf

pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")

#: sigma, coefficients over their standard errors, and standard errors from rows: a few thousand
#: units in the last place.
FROM_ROWS = 1e-11
#: log|M| of two factors with effects of 1e4 residual standard deviations; docs/limits.md.
CRITERION = 1e-6
#: The same from sums alone, which are 1e8 times larger than the sums of squares of residuals.
FROM_SUMS = 5e-6

FORMULAS = ("y ~ x + (1 | a) + (1 | b)", "y ~ x + z + (x | a) + (z | b)")
#: Standard deviations of the effects of a and b over those of residuals.
RATIOS = ((1e4, 1.0), (1.0, 1e4), (1e4, 1e4))


def table(formula, ratios, scale=1.0, unit=1.0):
    """Return 40 rows; x is `scale` times larger, y in units of `unit`."""
    rng = np.random.default_rng(1)
    a, b = rng.permutation(np.arange(40) % 6), rng.permutation(np.arange(40) % 4)
    x, z = rng.normal(size=(2, 40))
    y = 3.0 + 0.5 * x + rng.normal(size=40)
    slopes = float("x | a" in formula)
    for codes, values, ratio in ((a, x, ratios[0]), (b, z, ratios[1])):
        effects = ratio * rng.normal(size=(2, 6))[:, codes]
        y += effects[0] + slopes * effects[1] * values
    return {"y": unit * y, "x": scale * x, "z": z / scale, "a": a, "b": b}


def assert_exact(m, dense, tolerance):
    """Compare with 60 digits at the estimated theta."""
    exact = decimal_solution(dense, m.theta)
    assert m.sigma == pytest.approx(exact.sigma, rel=tolerance)
    np.testing.assert_allclose(m.bse, exact.bse, rtol=tolerance)
    np.testing.assert_array_less(np.abs(m.params - exact.beta) / exact.bse, tolerance)
    return abs(m.criterion - exact.deviance)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("ratios", RATIOS)
@pytest.mark.parametrize("source", ["memory", "cholmod", "parquet", "duckdb"])
def test_effects_of_several_factors_1e4_apart(formula, ratios, source, tmp_path):
    """Sums over rows left sigma wrong by 9e-8 and standard errors by 5e-6."""
    data = table(formula, ratios)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(data), path)
    rows = mf.lmer(formula, data)
    if source == "memory":
        m = rows
    elif source == "parquet":
        m = mf.lmer(formula, path)
    elif source == "duckdb":
        duckdb = pytest.importorskip("duckdb")
        m = mf.lmer(formula, duckdb.sql(f"select * from '{path}'"))
    else:
        m = mf.lmer(formula, data, engine=source)
    assert m.converged
    assert assert_exact(m, dense_model(rows._design), FROM_ROWS) < CRITERION


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize(("scale", "unit"), [(1e4, 1.0), (1e-4, 1e4), (1e6, 1e-6), (1e-6, 1e6)])
def test_units_of_covariates_and_responses(formula, scale, unit):
    """Slopes of two factors are then up to 1e12 apart."""
    m = mf.lmer(formula, table(formula, (1.0, 1.0), scale, unit))
    assert assert_exact(m, dense_model(m._design), FROM_ROWS) < 1e-10


@pytest.mark.filterwarnings("ignore::mixedfast.ConvergenceWarning")  # with both ratios 1e4
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("ratios", RATIOS)
def test_cross_products_alone(formula, ratios):
    """Fewer digits, within the resolution that the fit reports."""
    data = table(formula, ratios)
    m, rows = mf.fit(mf.crossproducts(formula, data)), mf.lmer(formula, data)
    assert assert_exact(m, dense_model(rows._design), FROM_SUMS) < m._fit.resolution
