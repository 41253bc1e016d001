"""The same table in DuckDB and in Polars, and models for which these engines sum the rows twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf

pa = pytest.importorskip("pyarrow")
duckdb = pytest.importorskip("duckdb")
pl = pytest.importorskip("polars")


def in_duckdb(data):
    table = pa.Table.from_pandas(data, preserve_index=False)
    return duckdb.from_arrow(table)


def in_polars(data):
    return pl.from_pandas(data).lazy()


ENGINES = {"duckdb": in_duckdb, "polars": in_polars}


def far_apart(formula, apart, engine):
    """Compare a fit whose residual products the engine sums with the fit in memory.

    Groups are numbers, text and pairs of both; there are one or two factors.
    """
    rng = np.random.default_rng(12)
    n = 1500
    g, s, x, b = (
        rng.integers(0, 40, n).astype(np.int32),
        rng.integers(0, 15, n),
        rng.normal(size=n),
        rng.random(n) < 0.5,
    )
    effects = {
        "(1 | g)": rng.normal(size=40)[g],
        "(1 | s)": rng.normal(size=15)[s],
        "(1 + x | s)": rng.normal(size=15)[s] + rng.normal(size=15)[s] * x,
        "(0 + x | b:g)": rng.normal(size=(2, 40))[b.astype(int), g] * x,
    }
    data = pd.DataFrame(
        {
            "y": apart * sum(own for term, own in effects.items() if term in formula)
            + rng.normal(size=n),
            "x": x,
            "t": 2000.0 + rng.integers(0, 9, n),
            "o": rng.normal(size=n),
            "w": rng.uniform(0.5, 2.0, n),
            "g": g,
            "b": b,
            "s": "s" + pd.Series(s).astype(str),
        }
    )
    whole, pushed = mf.lmer(formula, data, weights="w"), mf.lmer(formula, engine(data), weights="w")
    assert whole._fit.remainder is not None and pushed._fit.remainder is not None
    assert pushed.criterion == pytest.approx(whole.criterion, rel=1e-9)
    assert (np.abs(np.asarray(pushed.params) - whole.params) < 1e-9 * whole.bse).all()
    if len(whole._fit.cp.groups) == 1:  # of two factors log|M| has fewer digits, in memory too
        assert pushed.sigma == pytest.approx(whole.sigma, rel=1e-9)
        np.testing.assert_allclose(pushed.bse, whole.bse, rtol=1e-9)


def holes(data, columns, rng):
    for column in columns:
        data[column] = data[column].where(rng.random(len(data)) > 0.02)
    return data
