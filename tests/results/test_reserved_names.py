"""Names of the user's columns that are also names of ours: both are kept, with a dot before ours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfast as mf
from mixedfast.data.frames_out import apart

#: Covariates, factors and groups that have the names of statistics.
NUMBERS = ("sigma", "estimate", "cooks_distance", "rows", "se", "conf_low")
FACTORS = ("contrast", "df", "emmean", "term")
GROUPS = ("row", "group")


def table(plain: bool) -> pd.DataFrame:
    """Make a table with our names as columns, or with harmless names."""
    rng = np.random.default_rng(71)
    n = 240
    columns = {name: rng.normal(size=n) for name in NUMBERS}
    columns |= {name: rng.choice(["hi", "lo", "mid"], n) for name in FACTORS}
    columns |= {"row": np.repeat(np.arange(12), 20), "group": rng.integers(0, 8, n)}
    frame = pd.DataFrame(columns)
    frame["y"] = (
        frame.sigma
        + rng.normal(size=12)[frame.row]
        + rng.normal(size=8)[frame.group]
        + (frame.contrast == "hi")
        + rng.normal(size=n)
    )
    return frame.rename(columns=harmless) if plain else frame


def harmless(name: str) -> str:
    """Return another name for a column of the user's."""
    return name if name == "y" else f"my_{name}"


def formula(plain: bool) -> str:
    """Write the model in either set of names."""
    rename = harmless if plain else str
    fixed = " + ".join(map(rename, (*NUMBERS, *FACTORS)))
    return f"y ~ {fixed} + (1 | {rename('row')}) + (1 | {rename('group')})"


@pytest.fixture(scope="module")
def pair():
    """Return the same model in our names and in harmless ones."""
    return tuple(mf.lmer(formula(plain), table(plain)) for plain in (False, True))


TABLES = {
    "coef_table": lambda m, name: m.coef_table(),
    "anova": lambda m, name: m.anova(),
    "drop1": lambda m, name: m.drop1(),
    "ranova": lambda m, name: m.ranova(),
    "ddf_table": lambda m, name: m.ddf_table(),
    "varcorr": lambda m, name: m.varcorr,
    "varcorr_se": lambda m, name: m.varcorr_se(),
    "vcov": lambda m, name: m.vcov(),
    "vcov_joint": lambda m, name: m.vcov_joint(),
    "wald": lambda m, name: m.confint("wald"),
    "profile": lambda m, name: m.profile([name("estimate"), name("sigma")]).confint(),
    "bootstrap": lambda m, name: m.bootstrap(20, seed=1).to_frame(),
    "boot limits": lambda m, name: m.bootstrap(20, seed=1).confint(),
    "influence": lambda m, name: m.influence(name("row")).to_frame(),
    "dfbeta": lambda m, name: m.influence(name("row")).dfbeta,
    "emmeans": lambda m, name: m.emmeans(name("df")).to_frame(),
    "emmeans by": lambda m, name: m.emmeans(f"{name('emmean')} | {name('contrast')}").to_frame(),
    "pairs": lambda m, name: m.emmeans(name("df")).pairs(),
    "pairs by": lambda m, name: m.emmeans(f"{name('df')} | {name('contrast')}").pairs(),
    "joint": lambda m, name: m.emmeans(f"{name('df')} | {name('contrast')}").joint(),
    "contrasts of means": lambda m, name: (
        m.emmeans(f"{name('df')} | {name('contrast')}").contrast("eff").to_frame()
    ),
    "letters": lambda m, name: m.emmeans(f"{name('df')} | {name('contrast')}").letters(),
    "slopes": lambda m, name: m.emtrends(name("sigma"), name("df")).to_frame(),
    "contrast": lambda m, name: m.contrast(f"{name('sigma')} = 1"),
    "tidy": lambda m, name: m.tidy(["fixed", "ran_pars", "ran_vals"], conf_int=True),
    "tidy profile": lambda m, name: m.tidy("ran_pars", conf_int=True, method="boot", seed=1),
    "augment": lambda m, name: m.augment(),
    "leverage": lambda m, name: m.leverage(),
    "predict": lambda m, name: m.predict(interval="prediction"),
    "ranef": lambda m, name: m.ranef()[name("row")],
    "coef": lambda m, name: m.coef()[name("group")],
    "glance": lambda m, name: m.glance(),
    "step": lambda m, name: m.step(alpha_fixed=0.9).fixed,
    "step random": lambda m, name: m.step(alpha_fixed=0.9).random,
    "model frame": lambda m, name: m.update(". ~ .").augment(),
}


@pytest.mark.parametrize("what", TABLES)
def test_every_table_has_the_same_numbers_and_names_of_its_own(pair, what):
    ours, plain = pair
    found, wanted = TABLES[what](ours, str), TABLES[what](plain, harmless)
    assert found.shape == wanted.shape
    assert len(set(found.columns)) == len(found.columns)
    assert found.index.is_unique
    for position in range(found.shape[1]):
        here, there = found.iloc[:, position], wanted.iloc[:, position]
        if here.dtype.kind == "f":
            np.testing.assert_allclose(here, there, rtol=1e-7, atol=1e-10)
    found.reset_index()


def test_names_of_the_user_stay_and_ours_get_a_dot(pair):
    m = pair[0]
    assert list(m.emmeans("df").to_frame()) == [
        *("df", "emmean", "std_error", ".df", "conf_low", "conf_high")
    ]
    by = m.emmeans("df | contrast").pairs()
    assert list(by)[:2] == [".contrast", "contrast"]
    assert by[".contrast"].str.contains(" - ").all()
    limits = m.profile(["sigma", ".sigma"]).confint()
    plain = pair[1].profile(["my_sigma", "sigma"]).confint()
    np.testing.assert_allclose(limits.loc["sigma"], plain.loc["my_sigma"], rtol=1e-7)
    np.testing.assert_allclose(limits.loc[".sigma"], plain.loc["sigma"], rtol=1e-7)
    frame = m.influence("row").to_frame()
    assert list(frame)[:3] == [".rows", ".cooks_distance", "converged"]
    assert m.influence("row").cooks_distance.notna().all()


def test_columns_with_dots_are_not_written_over():
    data = mf.load_dataset("sleepstudy").assign(**{".fitted": 1.0})
    m = mf.lmer("Reaction ~ Days + (1 | Subject)", data)
    again = m.augment(data)
    assert (again[".fitted"] == 1.0).all()
    np.testing.assert_array_equal(again["..fitted"], m.fitted)


def test_polars_tables_keep_the_user_s_names():
    m = mf.lmer("y ~ sigma + (1 | row)", pl.from_pandas(table(plain=False)))
    assert m.augment().columns[:4] == [".row", "y", "sigma", "row"]


def test_two_terms_of_a_group_with_one_effect():
    rng = np.random.default_rng(12)
    data = pd.DataFrame({"g": np.repeat(np.arange(30), 8), "a": rng.normal(size=240)})
    data["b"] = rng.normal(size=240)
    u = rng.normal(size=(30, 4))
    data["y"] = (
        u[data.g, 0]
        + data.a * (u[data.g, 1] + 0.3 * u[data.g, 0])
        + data.b * (u[data.g, 2] - 0.4 * u[data.g, 0])
        + rng.normal(size=240)
    )
    with pytest.warns(mf.ConvergenceWarning, match=r"\(Intercept \| g\) and \(Intercept \| g.1\)"):
        m = mf.lmer("y ~ a + b + (a | g) + (b | g)", data)
    covariances = m.varcorr[m.varcorr.name2.notna()]
    assert covariances[["group", "name1", "name2"]].values.tolist() == [
        ["g", "Intercept", "a"],
        ["g.1", "Intercept", "b"],
    ]
    page = str(m.summary())
    first, second = (f"{value:.2f}" for value in covariances["corr"])
    lines = page.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("Groups"))
    assert lines[at + 2].split()[-1] == first
    assert lines[at + 3].split()[0] == "g.1"
    assert lines[at + 4].split()[-1] == second
    names = m.bootstrap(3, seed=1).confint().index
    assert names.is_unique
    assert {"sd_Intercept|g", "sd_Intercept|g.1", "cor_b.Intercept|g.1"} <= set(names)
    assert list(m.varcorr_se().group) == list(m.varcorr.group)


def test_apart():
    assert apart(["a", "b"], ["b", ".b"]) == ["a", "..b"]
