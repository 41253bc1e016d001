"""Closed forms of joint df, Kenward and Roger's and Satterthwaite's, against rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
from mixedfast.inference.ddf.kenward_roger import factor_and_df
from mixedfast.inference.ddf.methods import joint_df


def published(q: int, A1: Fraction, A2: Fraction) -> tuple[Fraction, Fraction]:
    """lambda and nu as Kenward and Roger (1997, p. 987) write them, exactly."""
    B = (A1 + 6 * A2) / (2 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    d = 3 * q + 2 * (1 - g)
    c1, c2, c3 = g / d, (q - g) / d, (q + 2 - g) / d
    mean = 1 / (1 - A2 / q)
    variance = Fraction(2, q) * (1 + c1 * B) / ((1 - c2 * B) ** 2 * (1 - c3 * B))
    rho = variance / (2 * mean**2)
    nu = 4 + (q + 2) / (q * rho - 1)
    return nu / (mean * (nu - 2)), nu


def agrees(q: int, A1: Fraction, A2: Fraction, rel: float = 1e-10) -> None:
    factor, nu = published(q, A1, A2)
    assert factor_and_df(q, float(A1), float(A2)) == pytest.approx(
        (float(factor), float(nu)), rel=rel
    )


@pytest.mark.parametrize("q", [1, 2, 3, 5, 12])
def test_the_published_formula(q):
    """A1 lies between 2 A2 / (q + 1), as for Hotelling's T2, and q A2, one variance ratio."""
    rng = np.random.default_rng(q)
    for _ in range(300):
        A2 = Fraction(int(rng.integers(1, 10**6)), 2 * 10**6) * q
        share = Fraction(int(rng.integers(0, 1000)), 1000)
        A1 = A2 * (Fraction(2, q + 1) * share + q * (1 - share))
        _, nu = published(q, A1, A2)
        if abs(nu - 2) > Fraction(1, 50) and nu > 0:
            # nu loses digits where rho passes a pole
            agrees(q, A1, A2, 1e-10 * float(max(1, abs(nu), 1 / abs(nu - 2))))


@pytest.mark.parametrize("q", [1, 2, 3, 7])
@pytest.mark.parametrize("df", [1, 2, 4])
@pytest.mark.parametrize("away", [0, *(s * 10.0**-k for k in (1, 4, 8, 12, 16) for s in (1, -1))])
def test_one_variance_ratio_has_no_singularities(q, df, away):
    """With A1 = q A2, as for every single contrast, nu = 2 q / A2 and lambda = 1.

    Also at 2 and 4.
    """
    A2 = 2.0 * q / df * (1.0 + away)
    assert factor_and_df(q, q * A2, A2) == pytest.approx((1.0, df / (1.0 + away)), rel=1e-14)
    exact = Fraction(A2)
    if df != 1 and abs(away) > 1e-14:  # where the published formula is defined
        agrees(q, q * exact, exact, 1e-9)


@pytest.mark.parametrize("q", [2, 3, 7])
def test_four_df_are_a_limit_from_both_sides(q):
    """nu = 4 where v2 = 0, for several variance ratios too."""
    t = Fraction(3, 4) * q
    g = ((q + 1) * t - (q + 4)) / (q + 2)
    d = 3 * q + 2 * (1 - g)
    A2 = 2 * q * d / ((q + 2 - g) * (t + 6))
    with pytest.raises(ZeroDivisionError):
        published(q, t * A2, A2)
    factor, nu = factor_and_df(q, float(t * A2), float(A2))
    assert nu == pytest.approx(4.0, rel=1e-12)
    for side in (1, -1):
        near = A2 * (1 + side * Fraction(1, 10**9))
        agrees(q, t * near, near, 1e-9)
        close = published(q, t * near, near)
        assert (factor, nu) == pytest.approx(tuple(map(float, close)), rel=1e-7)


@pytest.mark.parametrize("q", [1, 2, 5])
def test_without_uncertain_variances_the_df_are_infinite(q):
    assert factor_and_df(q, 0.0, 0.0) == (1.0, np.inf)
    for A2 in (1e-13, 1e-9, 1e-4):
        for t in (2.0 / (q + 1), 0.5 + 0.5 * q, float(q)):
            factor, nu = factor_and_df(q, t * A2, A2)
            assert factor == pytest.approx(1.0, abs=10.0 * A2)
            assert nu == pytest.approx(nu_of_small(q, t) / A2, rel=10.0 * A2 * q + 1e-9)


def nu_of_small(q: int, t: float) -> float:
    """Return the limit of A2 nu: the published formula with A2 = 1e-30."""
    small = Fraction(1, 10**30)
    return float(published(q, Fraction(t) * small, small)[1] * small)


# --- Satterthwaite's joint df -------------------------------------------------------------------


@pytest.mark.parametrize("nu", [[8, 20], [3, 4, 500], [2.0001, 50], [1e3, 1e4], [1e12, 1e13]])
def test_the_joint_df_of_fai_and_cornelius(nu):
    exact = [Fraction(one) for one in nu]
    E = sum(one / (one - 2) for one in exact)
    assert joint_df(np.array(nu, dtype=float)) == pytest.approx(
        float(2 * E / (E - len(nu))), rel=1e-12
    )


def test_limits_of_the_joint_df():
    assert joint_df(np.array([1e18, 3e18])) == pytest.approx(1.5e18)
    assert joint_df(np.array([np.inf, np.inf])) == np.inf
    assert joint_df(np.array([np.inf, 10.0])) == pytest.approx(2.0 + 4.0 / (2.0 / 8.0))
    assert joint_df(np.array([2.0, 30.0])) == 2.0
    assert joint_df(np.array([2.0 + 1e-12, 30.0])) == pytest.approx(2.0, abs=1e-9)


# --- models -------------------------------------------------------------------------------------


def balanced(groups: int, values: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"g": np.repeat(list("abcdefgh")[:groups], len(values) // groups), "y": values}
    )


def test_five_balanced_groups_have_four_df():
    data = balanced(5, [3, 2, 3, 4, 4, 5, 5, 8, 3, 4, 1, 4, 7, 8, 6, 7, 3, 4, 5, 4])
    m = mf.lmer("y ~ 1 + (1 | g)", data)
    row = m.coef_table("kenward-roger").loc["Intercept"]
    assert row["std_error"] == pytest.approx(0.774597, rel=1e-6)
    assert row["df"] == pytest.approx(4.0, rel=1e-9)
    assert row["p_value"] == pytest.approx(0.0043687, rel=1e-4)
    joint = m.contrast("Intercept", ddf="kenward-roger", joint=True).iloc[0]
    assert joint["den_df"] == pytest.approx(4.0, rel=1e-9)
    assert joint["f_value"] == pytest.approx(row["statistic"] ** 2, rel=1e-12)


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("groups", [2, 3, 4, 5, 6])
def test_balanced_groups_have_one_df_less_than_groups(groups):
    rng = np.random.default_rng(groups)
    for _ in range(20):
        effects = np.repeat(3.0 * rng.normal(size=groups), 4)
        data = balanced(groups, (effects + rng.normal(size=4 * groups)).tolist())
        with np.errstate(all="raise"):
            m = mf.lmer("y ~ 1 + (1 | g)", data)
            row = m.coef_table("kenward-roger").loc["Intercept"]
        if not m.is_singular:
            assert row["df"] == pytest.approx(groups - 1, rel=1e-6)
            means = data.groupby("g")["y"].mean()
            assert row["std_error"] == pytest.approx(means.std() / np.sqrt(groups), rel=1e-6)


# --- the invariant rule ---------------------------------------------------------------------------

INVARIANT = mf.Satterthwaite(joint="invariant")


def crop(seed: int) -> pd.DataFrame:
    """Return varieties in blocks, with a variance of its own for each and missing plots."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "block": np.repeat([f"b{i}" for i in range(9)], 12),
            "variety": np.tile(["V1", "V2", "V3"], 36),
            "water": rng.choice(["dry", "wet"], 108),
        }
    )
    effects = rng.normal(size=(9, 3)) * [0.3, 1.0, 2.0]
    data["y"] = effects[np.repeat(range(9), 12), np.tile(range(3), 36)] + rng.normal(size=108)
    return data[rng.uniform(size=108) < 0.8]


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("seed", range(4))
def test_the_invariant_df_are_those_of_the_hypothesis(seed):
    """Types II and III and `drop1` agree for any contrasts, and so do all rows of one span."""
    data, formula = crop(seed), "y ~ variety + water + (0 + variety || block)"
    found, default = [], []
    for coding in ("treatment", "sum", "helmert", "poly"):
        m = mf.lmer(formula, data, contrasts={"variety": coding})
        for ddf, out in ((INVARIANT, found), ("satterthwaite", default)):
            tables = [m.anova(type="II", ddf=ddf), m.anova(ddf=ddf), m.drop1(ddf=ddf)]
            out += [table.den_df["variety"] for table in tables]
    assert found == pytest.approx([found[0]] * 12, rel=1e-6)
    assert np.ptp(default) > 1e-3 * default[0]  # or nothing is shown
    L = np.random.default_rng(seed).normal(size=(2, 2)) @ np.eye(4)[1:3]
    assert m.contrast(L, joint=True, ddf=INVARIANT).den_df.iloc[0] == pytest.approx(
        found[0], rel=1e-6
    )


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
def test_the_invariant_df_of_one_row_are_those_of_satterthwaite():
    m = mf.lmer("y ~ variety + water + (0 + variety || block)", crop(0))
    for row in np.random.default_rng(0).normal(size=(5, 4)):
        joint = m.contrast(row, joint=True, ddf=INVARIANT).den_df.iloc[0]
        assert joint == pytest.approx(m.contrast(row).df.iloc[0], rel=1e-12)


def test_an_unknown_rule_is_an_error():
    with pytest.raises(mf.MixedFastError, match=r'"eigenvectors" or "invariant"'):
        mf.Satterthwaite(joint="orthogonal")
