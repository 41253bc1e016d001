"""``na_action="exclude"``: values of rows are padded with NaN, and nothing else changes."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfast as mf


def table(gaps: bool = True) -> pd.DataFrame:
    """Return the sleep study with an index of its own and three missing values."""
    data = mf.load_dataset("sleepstudy").set_index(np.arange(180) * 2 + 5)
    if gaps:
        data.loc[[5, 25], "Reaction"] = np.nan
        data["Days"] = data.Days.astype(float)
        data.loc[105, "Days"] = np.nan
    return data


FITS = {
    "lmer": lambda data, how: mf.lmer("Reaction ~ Days + (Days | Subject)", data, na_action=how),
    "lm": lambda data, how: mf.lm("Reaction ~ Days", data, na_action=how),
}
VALUES = {
    "fitted": lambda m: m.fitted,
    "resid": lambda m: m.resid(),
    "standardized": lambda m: m.resid("standardized"),
    "marginal": lambda m: m.resid(marginal=True),
    "hatvalues": lambda m: m.hatvalues(),
    "cooks_distance": lambda m: m.cooks_distance(),
    "predict": lambda m: m.predict(),
    "lower": lambda m: m.predict(interval="prediction")["lower"].to_numpy(),
    "leverage": lambda m: m.leverage()["fixed"].to_numpy(),
}


@pytest.fixture(params=FITS, scope="module")
def pair(request):
    """Return the same fit with both actions."""
    return tuple(FITS[request.param](table(), how) for how in ("exclude", "omit"))


@pytest.mark.parametrize("what", VALUES)
def test_values_of_rows_are_padded(pair, what):
    padded, used = (VALUES[what](m) for m in pair)
    assert padded.shape == (180,)
    left_out = np.flatnonzero(table().isna().any(axis=1))
    assert np.flatnonzero(np.isnan(padded)).tolist() == left_out.tolist()
    np.testing.assert_array_equal(np.delete(padded, left_out), used)


def test_all_else_is_the_same(pair):
    exclude, omit = pair
    pd.testing.assert_frame_equal(exclude.augment(), omit.augment())
    pd.testing.assert_frame_equal(exclude.coef_table(), omit.coef_table())
    assert str(exclude.summary()) == str(omit.summary())
    pd.testing.assert_frame_equal(
        exclude.plot.data("residuals"), omit.plot.data("residuals"), check_index_type=False
    )
    pd.testing.assert_frame_equal(exclude.plot.data("qq"), omit.plot.data("qq"))
    new = table(gaps=False)[:5]
    np.testing.assert_array_equal(exclude.predict(new), omit.predict(new))


def test_the_index_of_predictions_is_that_of_the_data(pair):
    assert pair[0].predict(interval="confidence").index.equals(table().index)
    assert len(pair[1].predict(interval="confidence")) == 177


def test_new_results_pad_as_the_old_ones(pair):
    m = pair[0]
    assert m.refit(table().Reaction.fillna(1.0)).fitted.shape == (180,)
    assert m.update("~ . + I(Days**2)").fitted.shape == (180,)
    m.keep_rows = True
    assert pickle.loads(pickle.dumps(m)).fitted.shape == (180,)
    m.keep_rows = False
    if isinstance(m, mf.LMMResult):
        assert m.update(REML=False).fitted.shape == (180,)


def test_without_missing_values_there_is_nothing_to_pad():
    m = FITS["lmer"](table(gaps=False), "exclude")
    assert not np.isnan(m.fitted).any()
    assert m.predict(interval="confidence").shape[0] == 180
    polars = FITS["lmer"](pl.from_pandas(table().reset_index(drop=True)), "exclude")
    assert polars.predict(interval="confidence").shape[0] == 180


def test_batches_are_refused():
    with pytest.raises(mf.DataError, match="'exclude' is for a table in memory"):
        FITS["lmer"]([pl.from_pandas(table()).to_arrow()], "exclude")
