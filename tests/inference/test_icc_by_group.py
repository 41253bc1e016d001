"""Intraclass correlations by grouping factor."""

import numpy as np
import pytest

import mixedfast as mf


def test_shares_of_the_groups_add_up_to_the_adjusted_icc() -> None:
    m = mf.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("penicillin"))
    variance = m.varcorr.set_index("group").variance
    found = m.icc(by="group")
    expected = variance[found.index] / variance.sum()
    np.testing.assert_allclose(found, expected)
    assert found.sum() == pytest.approx(m.icc().adjusted)
    with pytest.raises(mf.ArgumentError, match="by="):
        m.icc(by="plate")
