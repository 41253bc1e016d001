"""Cross-products add: tables read apart and added are the table read whole."""

from __future__ import annotations

import numpy as np
import pytest
from cases import frame, golden

import mixedfast as mf

# sums in another order, in shifted and scaled columns
ROUNDING = 1e-9
MODELS = ["hsb_seed", "sleepstudy", "penicillin", "pastes", "clinics_weights", "clinics_no_intercept", "words_slopes",
          "years_intercept", "classes_nested"]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("order", ["as it is", "shuffled"])
def test_parts_added_are_the_whole(name, order):
    record = golden(name)
    data = frame(record["dataset"])
    if order == "shuffled":
        data = data.iloc[np.random.default_rng(3).permutation(len(data))]
    cut = len(data) // 3

    def products(rows):
        return mf.crossproducts(record["formula_py"], rows, weights=record.get("weights"))

    try:
        added = products(data[:cut]) + products(data[cut:])
    except mf.MixedFastError as error:
        assert order == "as it is"  # a part may lack a level of a factor, or repeat in no group: it says so
        assert str(error)
        return
    whole, parts = mf.fit(products(data), REML=record["REML"]), mf.fit(added, REML=record["REML"])
    assert parts.nobs == whole.nobs
    assert parts.criterion == pytest.approx(whole.criterion, rel=ROUNDING)
    np.testing.assert_allclose(parts.params, whole.params, rtol=1e-6, atol=1e-6 * whole.bse.max())
    np.testing.assert_allclose(parts.coef_table().df, whole.coef_table().df, rtol=1e-5)
    assert parts.r2() == pytest.approx(whole.r2(), rel=1e-6)
    for group, modes in whole.ranef().items():
        ours = parts.ranef()[group].loc[modes.index]
        np.testing.assert_allclose(ours, modes, atol=1e-5 * np.abs(modes.to_numpy()).max())


def test_different_models_do_not_add():
    sleep = frame("sleepstudy")
    a = mf.crossproducts("Reaction ~ Days + (1 | Subject)", sleep)
    with pytest.raises(mf.DataError, match="different models"):
        a + mf.crossproducts("Reaction ~ 1 + (1 | Subject)", sleep)
