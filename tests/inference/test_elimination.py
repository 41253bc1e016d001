"""Backward elimination: values of lmerTest, and what happens at the edges."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers.cases import topic

import mixedfast as mf

CASES = topic("step")


def table() -> pd.DataFrame:
    """Return the sleep study with the columns of tests/r/step.R."""
    data = mf.load_dataset("sleepstudy")
    i = np.arange(1, 181)
    data["z"], data["w"] = np.sin(i), np.cos(7 * i)
    data["f"], data["h"] = np.resize(["a", "b", "c"], 180), np.resize(np.arange(1, 10), 180)
    return data


def plain(term: str) -> str:
    """Return the name of a term without a written-out intercept."""
    return term.replace("(1 + ", "(")


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["formula"])
@pytest.mark.parametrize("rows", [True, False])
def test_step_is_that_of_lmertest(case, rows):
    m = mf.lmer(case["formula"], table())
    found = (m if rows else pickle.loads(pickle.dumps(m))).step()
    for ours, theirs, columns in (
        (found.random, case["random"], {"chisq": "LRT", "df": "Df", "p_value": "Pr(>Chisq)"}),
        (found.fixed, case["fixed"], {"f_value": "F value", "den_df": "DenDF"}),
    ):
        known = {plain(row["term"]): row for row in theirs}
        assert sorted(map(plain, ours.index)) == sorted(known)
        for term, row in ours.iterrows():
            wanted = known[plain(term)]
            assert row.eliminated == (wanted["Eliminated"] or 0)
            for own, other in columns.items():
                value = np.nan if wanted[other] is None else wanted[other]
                # lmerTest differentiates numerically, and its search ends a little earlier
                np.testing.assert_allclose(row[own], value, rtol=2e-3, atol=1e-4)
    formula = case["model"].replace(" + 1", "")
    direct = mf.lmer(formula, table())
    assert found.model.criterion == pytest.approx(direct.criterion, abs=1e-6)
    assert (found.model._design is not None) == rows
    assert f"Model found: {found.model.formula}" in repr(found)


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
def test_keep_and_alpha():
    m = mf.lmer("Reaction ~ Days*f + z + (Days + z | Subject)", table())
    kept = m.step(keep=["z", "z in (Days + z | Subject)"])
    assert kept.random.eliminated.eq(0).all() and kept.fixed.eliminated["z"] == 0
    strict = m.step(alpha_fixed=1e-12, alpha_random=1e-12)
    assert strict.model.formula == "Reaction ~ Days + (1 | Subject)"  # p of Days is below 1e-12
    loose = m.step(alpha_fixed=0.999, alpha_random=0.999)
    assert loose.fixed.eliminated.eq(0).all()
    with pytest.raises(mf.DataError, match="keep= names 'q', and the terms are"):
        m.step(keep="q")
    with pytest.raises(mf.ArgumentError, match="alpha_fixed=5"):
        m.step(alpha_fixed=5)


def test_rows_with_missing_values_and_other_libraries():
    data = table()
    data.loc[3, "z"] = np.nan
    found = mf.lmer("Reaction ~ Days + z + (Days | Subject)", data).step()
    assert found.model.formula == "Reaction ~ Days + (Days | Subject)"
    assert found.model.nobs == 179 and found.model._design is None
    polars = mf.lmer("Reaction ~ Days + z + (Days | Subject)", pl.from_pandas(table())).step()
    assert isinstance(polars.fixed, pl.DataFrame)
    assert isinstance(polars.model.coef_table(), pl.DataFrame)


def test_offsets_and_backticks_stay():
    data = table().rename(columns={"z": "my z", "Subject": "the subject"}).assign(o=1.0)
    m = mf.lmer("Reaction ~ Days + `my z` + offset(o) + (Days | `the subject`)", data)
    found = m.step()
    assert found.model.formula == "Reaction ~ Days + offset(o) + (Days | `the subject`)"
