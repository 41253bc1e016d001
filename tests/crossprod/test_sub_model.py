"""Sub-models from the sums of a larger model equal fits from rows."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Make 400 rows of 40 groups crossed with 12 others; z is far from zero."""
    rng = np.random.default_rng(3)
    n = 400
    frame = pd.DataFrame({"g": rng.integers(0, 40, n), "h": rng.integers(0, 12, n)})
    frame["x"], frame["z"] = rng.normal(size=n), rng.normal(size=n) + 50
    frame["f"], frame["year"] = rng.choice(["a", "b", "c"], n), rng.integers(2000, 2009, n)
    frame["w"] = rng.uniform(0.5, 2, n)
    u = rng.normal(size=(40, 2)) @ [[1.0, 0.4], [0.0, 0.6]]
    frame["y"] = 2 + frame.x + u[frame.g, 0] + u[frame.g, 1] * frame.x + 0.1 * (frame.z - 50)
    frame["y"] += 0.7 * rng.normal(size=12)[frame.h] + rng.normal(size=n)
    return frame


WHOLE = "y ~ x*f + z + poly(x, 3) + (x + z | g) + (x || h)"
PARTS = [
    "y ~ x + f + (x | g) + (1 | h)",
    "y ~ z + x + (1 | h)",
    "y ~ 0 + x + z + (1 | g)",
    "y ~ x*f + (0 + x | g)",
    "y ~ x + poly(x, 3) + (z | g) + (0 + x | h)",
    "y ~ 1 + (x + z || g)",
    "y ~ x + (x | h) + (1 | g)",
    ". ~ . - x:f - (x + z | g) + (x | g)",
]


@pytest.fixture(scope="module", params=[None, "w"], ids=["plain", "weighted"])
def sums(request, data):
    """Return the sums of the larger model and the weights."""
    return mf.crossproducts(WHOLE, data, weights=request.param), request.param


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.filterwarnings("ignore::mixedfast.DataWarning")
@pytest.mark.parametrize("formula", PARTS)
def test_sub_models_equal_fits_from_rows(data, sums, formula):
    cp, weights = sums
    m = mf.fit(cp, formula=formula)
    whole = mf.lmer(m.formula, data, weights=weights)
    assert m.criterion == pytest.approx(whole.criterion, abs=1e-7)
    params = m.params[whole.params.index]
    np.testing.assert_allclose(params, whole.params, rtol=1e-6, atol=1e-8)
    design_based = ("group", "between-within") if len(whole.n_groups) == 1 else ()
    for ddf in ("satterthwaite", *design_based):
        np.testing.assert_allclose(
            m.coef_table(ddf=ddf).loc[whole.params.index],
            whole.coef_table(ddf=ddf),
            rtol=2e-4,  # df of a slope without intercept, in unshifted sums
            atol=1e-7,
        )
    new = data[:7].drop(columns="y")
    np.testing.assert_allclose(m.predict(new), whole.predict(new), rtol=1e-5)
    assert sorted(m.anova().index) == sorted(whole.anova().index)
    pd.testing.assert_frame_equal(
        m.varcorr.sort_values(["group", "name1"], ignore_index=True),
        whole.varcorr.sort_values(["group", "name1"], ignore_index=True),
        rtol=1e-4,
        atol=1e-6,
    )


def test_the_intercept_of_groups_is_part_of_a_factor_without_intercept(data):
    cp = mf.crossproducts("y ~ x + (0 + f | h)", data)
    m, whole = mf.fit(cp, formula="y ~ x + (1 | h)"), mf.lmer("y ~ x + (1 | h)", data)
    assert m.criterion == pytest.approx(whole.criterion, abs=1e-9)
    pd.testing.assert_frame_equal(m.coef_table(ddf="group"), whole.coef_table(ddf="group"))
    new = data[:7].drop(columns="y")
    np.testing.assert_allclose(m.predict(new), whole.predict(new), rtol=1e-8)


def test_columns_mixed_into_others_can_be_left_out(data):
    cubic = "y ~ year + I(year**2) + I(year**3) + (1 | g)"
    m = mf.lmer(cubic, data)
    m = pickle.loads(pickle.dumps(m)).update(". ~ . - I(year**3)")
    whole = mf.lmer("y ~ year + I(year**2) + (1 | g)", data)
    np.testing.assert_allclose(m.sigma, whole.sigma, rtol=1e-6)  # sums of raw years have 10 digits
    assert m.nobs == whole.nobs


def test_saved_sums_and_results_without_rows(data, sums, tmp_path):
    cp, weights = sums
    cp.save(tmp_path / "sums")
    small = mf.fit(mf.load(tmp_path / "sums"), formula="y ~ x + (1 | g)", REML=False)
    whole = mf.lmer("y ~ x + (1 | g)", data, weights=weights, REML=False)
    assert small.criterion == pytest.approx(whole.criterion, abs=1e-8)
    assert small.update(". ~ . - x").formula == "y ~ (1 | g)"
    assert mf.anova(small.update(". ~ . - x"), small).p_value.iloc[1] < 1e-10
    half = mf.crossproducts("y ~ x + f + (1 | g)", data[:200]) + mf.crossproducts(
        "y ~ x + f + (1 | g)", data[200:]
    )
    np.testing.assert_allclose(
        mf.fit(half, formula="y ~ x + (1 | g)").params,
        mf.lmer("y ~ x + (1 | g)", data).params,
        rtol=1e-9,
    )


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("log(y) ~ x + (1 | g)", "another response"),
        ("y ~ x + offset(z) + (1 | g)", "another response or offset"),
        ("y ~ q + (1 | g)", "'q' in 'q' is not among the variables"),
        ("y ~ 0 + f + (1 | g)", r"the column 'f\[a\]'"),
        ("y ~ x + (f | g)", r"the random term \(f \| g\) is not a part"),
        ("y ~ x + (1 | k)", r"the random term \(1 \| k\) is not a part"),
        ("y ~ x", "no random term"),
    ],
)
def test_models_that_are_no_part(sums, formula, words):
    with pytest.raises(mf.MixedFastError, match=words):
        mf.fit(sums[0], formula=formula)
