"""Standard errors of variance components, against the likelihood itself."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.cases import fitted_model, frame

import mixedfast as mf

MODELS = [
    "dyestuff",
    "sleepstudy",
    "clinics_slope",
    "pastes",
    "penicillin",
    "clinics_weights",
    "years_intercept",
]


def label(row) -> str:
    if row.group == "Residual":
        return "sigma"
    if not isinstance(row.name2, str):
        return f"sd_{row.name1}|{row.group}"
    return f"cor_{row.name2}.{row.name1}|{row.group}"


@pytest.mark.parametrize("name", MODELS)
def test_they_are_the_slope_of_zeta(name):
    """Near the ML estimate zeta = (value - estimate) / standard error, whatever the parameter."""
    m = fitted_model(name, REML=False)
    profile = m.profile()
    errors = m.varcorr_se()
    for row in errors.itertuples():
        trace = profile.traces[label(row)]
        at = int(np.argmin(np.abs(trace.zeta)))
        found = row.corr_se if isinstance(row.name2, str) else row.sd_se
        # the slope at the estimate is read off the neighbours by a polynomial of fourth order
        assert found * trace.slope[at] == pytest.approx(1.0, rel=5e-3)


@pytest.mark.parametrize("reml", [True, False])
def test_of_a_balanced_one_way_layout(reml):
    """sigma^2 is a mean square with J(n-1) df.

    Its asymptotic variance is 2 sigma^4 / df, for ML and REML.
    """
    m = fitted_model("dyestuff", REML=reml)
    residual = m.varcorr_se().iloc[-1]
    assert residual.variance_se == pytest.approx(m.sigma**2 * np.sqrt(2.0 / 24.0), rel=1e-6)
    assert residual.sd_se == pytest.approx(m.sigma * np.sqrt(0.5 / 24.0), rel=1e-6)


def test_rows_are_those_of_varcorr():
    m = fitted_model("clinics_block_pair", REML=True)
    keys = ["group", "name1", "name2"]
    assert m.varcorr_se()[keys].equals(m.varcorr[keys])


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
def test_a_variance_at_zero_has_none():
    m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff2"))
    found = m.varcorr_se()
    assert found.loc[0, ["variance_se", "sd_se"]].isna().all()
    assert found.loc[1, "sd_se"] > 0


def test_they_follow_the_units():
    data = frame("sleepstudy")
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", data)
    other = mf.lmer(
        "y ~ h + (h | Subject)", data.assign(y=1e3 * data["Reaction"] + 5e4, h=24.0 * data["Days"])
    )
    ours, theirs = m.varcorr_se(), other.varcorr_se()
    assert theirs["sd_se"][[0, 3]].tolist() == pytest.approx(
        (1e3 * ours["sd_se"][[0, 3]]).tolist(), rel=1e-5
    )
    assert theirs["sd_se"][1] == pytest.approx(1e3 / 24.0 * ours["sd_se"][1], rel=1e-5)
    assert theirs["corr_se"][2] == pytest.approx(ours["corr_se"][2], rel=1e-5)
