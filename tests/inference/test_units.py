"""Joint tests in other units: F and the df that do not depend on the basis stay the same."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.cases import frame

import mixedfast as mf
from mixedfast.errors import FormulaError
from mixedfast.inference.ddf.methods import METHODS, f_test

#: What the scale of a column may change: rounding of the fit.
SAME = 1e-6
#: Methods whose joint df depend neither on units nor on the coding.
INVARIANT = [name for name in METHODS if name not in ("satterthwaite", "hlm")]


def tables(m, ddf):
    """F tests of two coefficients, of the terms and of deletions, (rows, 3)."""
    columns = ["num_df", "f_value", "den_df"]
    rows = [m.contrast(["x", "z"], ddf=ddf, joint=True)[columns].to_numpy()]
    rows += [m.anova(type, ddf=ddf)[columns].to_numpy() for type in ("I", "II", "III")]
    rows.append(m.drop1(ddf)[columns].to_numpy())
    return np.vstack(rows)


@pytest.mark.parametrize("scale", [1e-10, 1e-5, 1e4, 1e10])
@pytest.mark.parametrize("ddf", ["kenward-roger", "satterthwaite", "between-within", "asymptotic"])
def test_scales_of_covariates(scale, ddf):
    data = frame("clinics")
    formula = "y ~ x + z + f + (1 | g)"
    expected = tables(mf.lmer(formula, data), ddf)
    found = tables(mf.lmer(formula, data.assign(x=data["x"] * scale)), ddf)
    upto = 2 if ddf == "satterthwaite" else 3
    np.testing.assert_allclose(found[:, :upto], expected[:, :upto], rtol=SAME)


def test_raw_powers_are_all_tested():
    sleep = mf.load_dataset("sleepstudy")
    m = mf.lmer("Reaction ~ poly(Days, 4, raw=True) + (1 | Subject)", sleep)
    orthogonal = mf.lmer("Reaction ~ poly(Days, 4) + (1 | Subject)", sleep)
    names = [name for name in m.params.index if name != "Intercept"]
    for table in (m.contrast(names, joint=True), m.anova()):
        row = table.iloc[0]
        assert row["num_df"] == 4 and row["f_value"] == pytest.approx(42.47, abs=5e-3)
        assert row["f_value"] == pytest.approx(orthogonal.anova()["f_value"].iloc[0], rel=1e-6)
        assert row["p_value"] == pytest.approx(orthogonal.anova()["p_value"].iloc[0], rel=1e-3)


def test_standard_errors_1e4_apart_lose_no_hypothesis():
    """Income in dollars and a tax in percent: both are tested."""
    rng = np.random.default_rng(5)
    state = np.repeat(np.arange(48), 7)
    tax, income = rng.gamma(2.0, 0.25, 336), rng.normal(14_000.0, 2000.0, 336)
    effect = rng.normal(size=48)[state]
    y = 2.0 + 0.3 * tax - 3e-4 * income + effect + rng.normal(size=336)
    data = {"y": y, "tax": tax, "income": income, "thousands": income / 1000.0, "state": state}
    dollars = mf.lmer("y ~ tax + income + (1 | state)", data)
    thousands = mf.lmer("y ~ tax + thousands + (1 | state)", data)
    for ddf in INVARIANT:
        a = dollars.contrast(["tax", "income"], ddf=ddf, joint=True).iloc[0]
        b = thousands.contrast(["tax", "thousands"], ddf=ddf, joint=True).iloc[0]
        assert a["num_df"] == b["num_df"] == 2
        np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=SAME)
    a = dollars.contrast(["tax", "income"], joint=True).iloc[0]
    b = thousands.contrast(["tax", "thousands"], joint=True).iloc[0]
    assert a["f_value"] == pytest.approx(b["f_value"], rel=SAME)


@pytest.mark.parametrize("ddf", [name for name in METHODS if name != "hlm"])
def test_scales_of_rows(ddf):
    fit = mf.lmer("y ~ x + z + (x | g)", frame("clinics"))._fit
    L, rhs = np.array([[0.0, 1, 0], [0, 1, 1]]), np.array([0.1, 0.3])
    expected = f_test(fit, L, rhs, ddf)
    for scale in (1e-12, 1e-6, 1e6, 1e12):
        rows = np.array([1.0, scale])
        found = f_test(fit, rows[:, None] * L, rows * rhs, ddf)
        assert found.num_df == 2
        assert found.f_value == pytest.approx(expected.f_value, rel=1e-12)
        if ddf != "satterthwaite":
            assert found.den_df == pytest.approx(expected.den_df, rel=1e-10)


@pytest.mark.parametrize("ddf", [name for name in METHODS if name != "hlm"])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_dependent_rows_change_nothing(ddf, scale):
    """Rows that are combinations of others, in any units; also with right-hand sides."""
    fit = mf.lmer("y ~ x + z + (x | g)", frame("clinics"))._fit
    L, rhs = np.array([[0.0, 1, 0], [0, 0, 1]]), np.array([0.1, 0.3])
    more = np.vstack([L, scale * (L[0] - 2.0 * L[1]), L[0]])
    values = np.array([0.1, 0.3, scale * (0.1 - 0.6), 0.1])
    once, found = f_test(fit, L, rhs, ddf), f_test(fit, more, values, ddf)
    assert found.num_df == 2 and found.f_value == pytest.approx(once.f_value, rel=1e-9)
    if ddf != "satterthwaite":  # its df depend on the rows, as in lmerTest
        assert found.den_df == pytest.approx(once.den_df, rel=1e-9)
    with pytest.raises(FormulaError, match="contradict"):
        f_test(fit, more, values + np.array([0, 0, scale, 0]), ddf)


def test_two_times_a_second_apart_are_two_means():
    """A covariate far from zero: the means at two of its values differ by 1e-9 of either."""
    data = frame("clinics")
    late = data.assign(x=1.6e9 + data["x"])
    m = mf.lmer("y ~ x + (1 | g)", late)
    joint = m.emmeans("x", at={"x": [1.6e9, 1.6e9 + 1.0]}).joint().iloc[0]
    slope = m.coef_table().loc["x"]
    assert joint["f_value"] == pytest.approx(slope["statistic"] ** 2, rel=1e-6)
    both = m.contrast([[1.0, 1.6e9], [1.0, 1.6e9 + 1.0]], joint=True).iloc[0]
    assert both["num_df"] == 2


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_marginal_means(scale):
    """Differences of means at two values of a covariate, beside those of a factor."""
    data = frame("clinics")
    m, other = (
        mf.lmer("y ~ f * x + (1 | g)", data.assign(x=data["x"] * factor)) for factor in (1.0, scale)
    )
    expected = m.emmeans(["f", "x"], at={"x": [0.0, 1.0]}).joint().iloc[0]
    found = other.emmeans(["f", "x"], at={"x": [0.0, scale]}).joint().iloc[0]
    assert found["num_df"] == expected["num_df"]
    assert found["f_value"] == pytest.approx(expected["f_value"], rel=SAME)


# --- columns that others determine --------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 2.0, 1e6, 1e12])
def test_a_copy_in_other_units_stands_in_for_a_column(scale):
    """Deleting x changes nothing when z = scale x is in the model."""
    data = frame("clinics").assign(copy=lambda d: scale * d["x"])
    m = mf.lmer("y ~ x + copy + z + (1 | g)", data)
    assert m.dropped_columns == ("copy",)
    table = m.drop1()
    assert table["f_value"].isna().to_dict() == {"x": True, "copy": True, "z": False}
    without = mf.lmer("y ~ x + z + (1 | g)", data).drop1()
    assert table.loc["z", "f_value"] == pytest.approx(without.loc["z", "f_value"], rel=SAME)


@pytest.mark.parametrize(
    ("shift", "scale"), [(0.0, 1.0), (0.0, 1e-9), (0.0, 1e9), (1.6e9, 1.0), (1.6e9, 1e5)]
)
def test_an_empty_cell_beside_a_covariate(shift, scale):
    """The means that cannot be estimated are the same ones, far from zero and in any unit."""
    data = frame("clinics")
    cell = (data["f"] == data["f"].unique()[0]) & (data["x"] > data["x"].median())
    data = data.assign(half=np.where(data["x"] > data["x"].median(), "high", "low"))[~cell]
    moved = data.assign(z=shift + scale * data["z"])
    expected = mf.lmer("y ~ f * half + z + (1 | g)", data)
    m = mf.lmer("y ~ f * half + z + (1 | g)", moved)
    assert len(m.dropped_columns) == 1
    for specs in (["f", "half"], "f", "half"):
        a, b = (fit.emmeans(specs).to_frame() for fit in (m, expected))
        assert (b["emmean"].isna().any() and (~b["emmean"].isna()).any()) or specs == "half"
        np.testing.assert_allclose(a["emmean"], b["emmean"], rtol=SAME)
        np.testing.assert_allclose(a["std_error"], b["std_error"], rtol=1e-5)
    for type in ("I", "II", "III"):
        found, wanted = (fit.anova(type)[["num_df", "f_value"]] for fit in (m, expected))
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(m.drop1()["f_value"], expected.drop1()["f_value"], rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_slopes_in_an_empty_cell(scale):
    """Type III of factors and slopes by factor, some of which could not be identified."""
    data = frame("clinics")
    half = np.where(data["x"] > data["x"].median(), "high", "low")
    data = data.assign(half=half)[~((data["f"] == data["f"].unique()[0]) & (half == "high"))]
    formula = "y ~ f * half * z + (1 | g)"
    m, other = (mf.lmer(formula, data.assign(z=data["z"] * factor)) for factor in (1.0, scale))
    assert len(m.dropped_columns) == 2
    for type in ("I", "II", "III"):
        expected, found = (fit.anova(type)[["num_df", "f_value"]] for fit in (m, other))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
