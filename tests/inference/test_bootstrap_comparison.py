"""Likelihood-ratio tests by parametric bootstrap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.cases import topic

import mixedfast as mf
from mixedfast.inference.hypotheses.bootstrap_comparison import null_statistics

pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")


def table() -> pd.DataFrame:
    """Return six subjects of the sleep study, as tests/r/bootstrap_lrt.R."""
    data = mf.load_dataset("sleepstudy")
    data = data[data.Subject.isin(data.Subject.unique()[:6])].reset_index(drop=True)
    return data.assign(z=np.sin(np.arange(1, len(data) + 1)))


@pytest.mark.parametrize("case", topic("bootstrap_lrt"), ids=lambda case: case["large"])
def test_p_values_are_those_of_pbkrtest(case):
    models = [mf.lmer(case[name], table(), REML=False) for name in ("small", "large")]
    n = 400
    found = mf.anova(*models, method="pb", n=n, seed=1)
    assert found.chisq.iloc[1] == pytest.approx(case["lrt"], abs=1e-4)
    p = case["p"]
    # four standard errors of the difference of two Monte Carlo estimates
    spread = 4 * np.sqrt((p * (1 - p) + 1 / n) * (1 / n + 1 / case["n"]))
    assert abs(found.p_value.iloc[1] - p) <= spread
    assert np.isnan(found.p_value.iloc[0])
    np.testing.assert_array_equal(found.p_chisq, mf.anova(*models).p_value)


def test_each_draw_is_the_statistic_of_two_fits():
    data = table()
    small = mf.lmer("Reaction ~ Days + (1 | Subject)", data, REML=False)
    large = mf.lmer("Reaction ~ Days + z + (Days | Subject)", data, REML=False)
    drawn = null_statistics(small._fit, large._fit, (small._design, large._design), 5, 3, False)
    responses = small.simulate(5, seed=3)
    for statistic, y in zip(drawn, responses.T, strict=True):
        both = [
            mf.lmer(m.formula, data.assign(Reaction=y), REML=False).criterion
            for m in (small, large)
        ]
        assert statistic == pytest.approx(max(both[0] - both[1], 0.0), abs=1e-5)
    longer = null_statistics(small._fit, large._fit, (small._design, large._design), 7, 3, False)
    np.testing.assert_array_equal(longer[:5], drawn)


def test_a_regression_is_the_smaller_model():
    data = table()
    line = mf.lm("Reaction ~ Days", data)
    parallel = mf.lmer("Reaction ~ Days + (1 | Subject)", data)
    found = mf.anova(parallel, line, method="pb", n=50, seed=1)
    assert found.index.tolist() == [line.formula, parallel.formula]
    assert found.p_value.iloc[1] == pytest.approx(1 / 51)


def test_wrong_calls():
    data = table()
    m = mf.lmer("Reaction ~ Days + (1 | Subject)", data)
    bare = mf.fit(mf.crossproducts("Reaction ~ Days + (Days | Subject)", data))
    with pytest.raises(mf.DataError, match="needs the rows of the data"):
        mf.anova(m, bare, method="pb")
    with pytest.raises(mf.ArgumentError, match="use refit=True"):
        mf.anova(m, m, method="pb", refit=False)
    with pytest.raises(mf.ArgumentError, match="method='boot'"):
        mf.anova(m, m, method="boot")
    with pytest.raises(mf.ArgumentError, match="n=0"):
        mf.anova(m, m.update("~ . + z"), method="pb", n=0)
