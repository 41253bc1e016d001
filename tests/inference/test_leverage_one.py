"""Rows that determine their fitted value: leverage 1, and no residual to speak of."""

from __future__ import annotations

import numpy as np
import pytest

import mixedfast as mf


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("mixed", [True, False])
def test_rows_with_a_dummy_of_their_own(mixed, scale):
    data = mf.load_dataset("sleepstudy")
    data["Reaction"] *= scale
    data["own"] = (np.arange(180) == 7).astype(float)
    if mixed:
        m = mf.lmer("Reaction ~ Days + own + (Days | Subject)", data)
    else:
        m = mf.lm("Reaction ~ Days + own", data)
    assert m.hatvalues()[7] == pytest.approx(1.0, abs=1e-12)
    for values in (m.resid("standardized"), m.cooks_distance(), m.augment()[".cooksd"]):
        assert np.flatnonzero(np.isnan(values)).tolist() == [7]
    others = np.arange(180) != 7
    rest = data[others]
    same = mf.lmer("Reaction ~ Days + (Days | Subject)", rest) if mixed else None
    if same is not None:  # the row says nothing about the others
        np.testing.assert_allclose(
            m.resid("standardized")[others], same.resid("standardized"), rtol=1e-4, atol=1e-6
        )
