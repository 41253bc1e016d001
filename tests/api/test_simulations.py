"""Power by simulation and permutation tests, against closed forms and enumeration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import nct, t

import mixedfast as mf
from mixedfast.data.frames import as_table
from mixedfast.design.new_groups import with_groups

# a Monte Carlo result outside this interval is wrong, but for one in a million
CERTAIN = 1.0 - 1e-6


def trial(J, n):
    """Make the rows of J schools with n students each, every second school treated."""
    school = np.repeat(np.arange(J), n)
    return {"school": school, "treat": school % 2}


@pytest.mark.parametrize(("J", "n", "effect", "theta"), [(20, 20, 0.5, 0.5), (40, 5, 0.4, 0.3)])
def test_power_of_a_balanced_trial_is_that_of_the_noncentral_t(J, n, effect, theta):
    found = mf.power(
        "score ~ treat + (1 | school)",
        {"treat": effect},
        data=trial(10, 4),
        params={"theta": theta, "sigma": 1.0},
        n_groups=J,
        n_per_group=n,
        n_sim=600,
        level=CERTAIN,
        seed=3,
        progress=False,
    ).to_frame()
    se = np.sqrt((theta**2 + 1.0 / n) * 4.0 / J)
    limit = t.ppf(0.975, J - 2)
    exact = nct.sf(limit, J - 2, effect / se) + nct.cdf(-limit, J - 2, effect / se)
    assert found.conf_low[0] < exact < found.conf_high[0]
    assert found[["n_groups", "n_per_group", "n_obs", "n_failed"]].values.tolist() == [
        [J, n, J * n, 0]
    ]


def test_size_of_the_test_is_alpha():
    found = mf.power(
        "score ~ treat + (1 | school)",
        {"treat": 0.0},
        data=trial(12, 6),
        params={"theta": 0.8, "sigma": 1.0, "Intercept": 50.0},
        n_sim=600,
        alpha=0.2,
        level=CERTAIN,
        seed=5,
    )
    row = found.to_frame().iloc[0]
    assert row.conf_low < 0.2 < row.conf_high
    assert "treat = 0 at level 0.2" in str(found)


def test_same_seed_same_power():
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    one, two = (mf.power(m, {"Days": 3.0}, n_groups=[9, 18], n_sim=20, seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())
    assert one.to_frame().n_obs.tolist() == [90, 180]


def test_power_of_a_joint_hypothesis():
    m = mf.lmer("math ~ ses * sex + (1 | school)", mf.load_dataset("hsb"))
    found = mf.power(
        m,
        {"ses:sex[T.Male]": 0.0},
        n_groups=20,
        test="sex[T.Male] = 0, ses:sex[T.Male] = 0",
        n_sim=10,
        seed=1,
    )
    assert found.hypothesis == "sex[T.Male] = 0, ses:sex[T.Male] = 0"


def test_groups_keep_their_shares_and_nested_levels_are_new():
    rows = pd.DataFrame(trial(10, 4))
    rows["pupil"] = np.arange(40)
    rows["item"] = np.arange(40) % 4
    treat = rows[["treat"]].to_numpy(float)
    made = with_groups(as_table(rows), "school", ["pupil", "item"], 25, 8, like=treat)
    assert made.n == 200
    treated = pd.Series(made.column("treat").values).groupby(made.grouping("school").codes).mean()
    assert treated.isin([0.0, 1.0]).all() and treated.sum() in (12, 13)
    pupils = pd.Series(made.grouping("school").codes).groupby(made.grouping("pupil").codes)
    assert len(pupils) == 100 and (pupils.nunique() == 1).all()
    assert len(made.grouping("item").levels) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effects": {}}, "give a mapping of coefficients"),
        ({"effects": {"tret": 1.0}}, "there is no coefficient 'tret'"),
        ({"params": {"theta": 0.5}}, "params= with theta and sigma"),
        ({"n_groups": 0}, "n_groups=0: a whole number from 1"),
        ({"n_groups": []}, "n_groups is empty"),
        ({"group": "treat"}, "the grouping factors are school"),
        ({"model": 5}, "give a fitted linear mixed model, or a formula"),
        ({"model": "log(score) ~ treat + (1 | school)"}, r"the response log\(score\)"),
    ],
)
def test_wrong_arguments_of_power(change, message):
    call = {
        "model": "score ~ treat + (1 | school)",
        "effects": {"treat": 1.0},
        "data": trial(6, 3),
        "params": {"theta": 0.5, "sigma": 1.0},
        "n_sim": 5,
    }
    with pytest.raises(mf.MixedFastError, match=message):
        mf.power(**{**call, **change})


def test_too_few_groups_are_named():
    with pytest.raises(mf.NotIdentifiedError, match=r"n_groups=1 .* do not determine treat"):
        mf.power(
            "score ~ treat + (1 | school)",
            {"treat": 1.0},
            data=trial(6, 3),
            params={"theta": 0.5, "sigma": 1.0},
            n_groups=1,
        )


def test_crossed_factors_need_a_name():
    rows = trial(6, 6) | {"item": np.tile(np.arange(6), 6)}
    call = {"data": rows, "params": {"theta": [0.5, 0.5], "sigma": 1.0}, "n_sim": 3, "seed": 1}
    formula = "y ~ treat + (1 | school) + (1 | item)"
    with pytest.raises(mf.ArgumentError, match="are crossed: name the one"):
        mf.power(formula, {"treat": 1.0}, **call)
    found = mf.power(formula, {"treat": 1.0}, group="school", n_groups=12, **call)
    assert found.to_frame().n_obs.tolist() == [72]


# --- permutation ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few():
    rng = np.random.default_rng(8)
    rows = pd.DataFrame(trial(7, 5))
    rows["y"] = rows.treat + rng.normal(size=7)[rows.school] + rng.normal(size=35)
    return rows


def test_p_value_is_that_of_all_assignments(few):
    """3 of 7 schools treated: 35 assignments, each fitted."""
    m = mf.lmer("y ~ treat + (1 | school)", few)

    def statistic(treated):
        m = mf.lmer("y ~ treat + (1 | school)", few.assign(treat=few.school.isin(treated)))
        return float((m.params.iloc[1] / m.bse.iloc[1]) ** 2)

    everything = [statistic(chosen) for chosen in combinations(range(7), 3)]
    found = mf.permute(m, "treat", 600, seed=2)
    observed = statistic([1, 3, 5])
    assert found.f_value == pytest.approx(observed, rel=1e-6)
    exact = np.mean([one >= observed * (1 - 1e-6) for one in everything])
    spread = np.sqrt(exact * (1 - exact) / 600)
    assert abs(found.p_value - exact) < 5 * spread + 1 / 600
    # each draw is one of the 35
    distance = np.abs(found.drawn[:, None] / np.array(everything) - 1).min(axis=1)
    assert distance.max() < 1e-5
    assert "among the 7 levels of school" in str(found)
    assert found.to_frame().n.tolist() == [600]


def test_rows_are_shuffled_within_groups():
    data = mf.load_dataset("sleepstudy").iloc[::-1]
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", data)
    one, two = (mf.permute(m, "Days", 19, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one.drawn, two.drawn)
    assert one.p_value == 0.05 and "within the 18 levels of Subject" in str(one)
    assert np.median(one.drawn) < 4.0


def test_blocks_hold_a_treatment(few):
    rows = few.assign(district=few.school // 4)
    m = mf.lmer("y ~ treat + (1 | school)", rows)
    found = mf.permute(m, "treat", 200, within="district", seed=1)
    # 2 of 4 schools in one district, 1 of 3 in the other: 18 assignments
    assert len(np.unique(found.drawn.round(6))) <= 18


@pytest.mark.parametrize(
    ("column", "within", "message"),
    [
        ("school", None, "the variables of the fixed part are treat"),
        ("treat", "school", "does not vary there"),
    ],
)
def test_wrong_arguments_of_permute(few, column, within, message):
    m = mf.lmer("y ~ treat + (1 | school)", few)
    with pytest.raises(mf.MixedFastError, match=message):
        mf.permute(m, column, 9, within=within)


def test_permute_needs_the_table(few):
    cp = mf.crossproducts("y ~ treat + (1 | school)", few)
    with pytest.raises(mf.DataError, match="permute"):
        mf.permute(mf.fit(cp), "treat")
    with pytest.raises(mf.ArgumentError, match="give a fitted linear mixed model"):
        mf.permute("y ~ treat", "treat")
