"""A model in every subset of a table is the model of `lmer` on the rows of the subset."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast import subsets

#: Sums about the mean of all rows instead of that of the subset end a search that much elsewhere.
CLOSE = {"rtol": 2e-6, "atol": 2e-7}


def table(seed: int, n_subsets: int = 5, size: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = 90 * n_subsets
    data = pd.DataFrame(
        {
            "part": rng.integers(0, n_subsets, n),
            "g": rng.integers(0, 12, n),
            "h": rng.integers(0, 5, n),
            "x": rng.normal(size=n) * size + 3.0,
            "f": rng.choice(list("abc"), n),
            "w": rng.uniform(0.5, 2.0, n),
        }
    )
    effect = rng.normal(size=(n_subsets, 12))[data.part, data.g]
    data["y"] = size * (effect + rng.normal(size=n)) + 0.3 * data.x + (data.f == "b") * size
    return data


def same(row: pd.Series, m: mf.LMMResult) -> None:
    assert row["n"] == m.nobs
    assert row["error"] is None
    assert row["singular"] == m.is_singular
    assert row["converged"] == m.converged
    np.testing.assert_allclose(row["criterion"], m.criterion, rtol=1e-9)
    np.testing.assert_allclose(row["sigma"], m.sigma, **CLOSE)
    for name, value in m.params.items():
        scale = max(1.0, abs(value))
        np.testing.assert_allclose(row[name] / scale, value / scale, **CLOSE)
        np.testing.assert_allclose(row[f"se_{name}"], m.bse[name], **CLOSE)
    theta = [row[name] for name in row.index if name.startswith("theta_")]
    np.testing.assert_allclose(theta, m.theta, rtol=2e-5, atol=2e-5)


FORMULAS = [
    "y ~ x + (1 | g)",
    "y ~ x * f + (x | g)",
    "y ~ f + (1 | g) + (1 | h)",
    "y ~ 0 + f + (x || g)",
    "y ~ scale(x) + (1 | g)",
    "log(y + 1000) ~ x + (1 | g:h)",
]


@pytest.mark.filterwarnings("ignore::mixedfast.MixedFastWarning")
@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from(FORMULAS), st.booleans(), st.sampled_from([None, "w"])
)
def test_random_subsets(seed, formula, REML, weights):
    data = table(seed)
    data.loc[np.random.default_rng(seed).integers(0, len(data), 20), "x"] = np.nan
    fits = mf.lmer_by(formula, data, by="part", REML=REML, weights=weights)
    frame = fits.to_frame().set_index("part")
    assert list(frame.index) == sorted(data.part.unique())
    for label, row in frame.iterrows():
        same(row, mf.lmer(formula, data[data.part == label], REML=REML, weights=weights))


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_scales_and_locations_that_differ_between_subsets(size):
    data = table(1, 4, size)
    data["y"] += size * 10.0 ** (2.0 * data.part)
    fits = mf.lmer_by("y ~ x + (x | g)", data, "part")
    assert not fits.errors
    for label, row in fits.to_frame().set_index("part").iterrows():
        m = mf.lmer("y ~ x + (x | g)", data[data.part == label])
        np.testing.assert_allclose(row["criterion"], m.criterion, rtol=1e-9)


def test_sums_are_used_where_the_model_is_clear(monkeypatch):
    def no_rows(self, s):
        raise AssertionError("a subset was fitted from its rows")

    data = table(3)
    monkeypatch.setattr(subsets._One, "row", no_rows)
    assert len(mf.lmer_by("y ~ x + f + (x | g) + (1 | h)", data, "part")) == 5


@pytest.mark.filterwarnings("ignore::mixedfast.MixedFastWarning")
def test_subsets_that_cannot_be_fitted_are_rows_with_their_error():
    data = table(4, 4)
    data.loc[data.part == 1, "g"] = 3
    data.loc[data.part == 2, "y"] = np.nan
    data.loc[data.part == 3, "y"] = 2.0
    fits = mf.lmer_by("y ~ x + (1 | g)", data, by="part")
    frame = fits.to_frame()
    assert frame.error.notna().tolist() == [False, True, True, True]
    assert list(fits.errors) == [1, 2, 3]
    for label, message in fits.errors.items():
        with pytest.raises(mf.MixedFastError) as error:
            mf.lmer("y ~ x + (1 | g)", data[data.part == label])
        assert str(error.value) == message
        with pytest.raises(mf.MixedFastError):
            fits.each[label]
    assert frame.loc[1:, "Intercept"].isna().all()
    assert "3 with an error" in repr(fits)


@pytest.mark.filterwarnings("ignore::mixedfast.MixedFastWarning")
def test_levels_that_a_subset_lacks_are_left_out_there():
    data = table(5, 3)
    data = data[~((data.part == 1) & (data.f == "c"))]
    frame = mf.lmer_by("y ~ f + (1 | g)", data, by="part").to_frame().set_index("part")
    assert np.isnan(frame.loc[1, "f[T.c]"])
    assert frame.drop(index=1)["f[T.c]"].notna().all()
    same(
        frame.loc[1].drop(["f[T.c]", "se_f[T.c]"]), mf.lmer("y ~ f + (1 | g)", data[data.part == 1])
    )


def test_two_columns_define_the_subsets_and_rows_without_one_belong_to_none():
    data = table(6, 2).assign(sex=lambda d: np.where(d.index % 2, "m", "f"))
    data["sex"] = data["sex"].astype(object)
    data.loc[:9, "sex"] = None
    fits = mf.lmer_by("y ~ x + (1 | g)", data, by=["sex", "part"])
    assert fits.keys == (("f", 0), ("f", 1), ("m", 0), ("m", 1))
    assert fits.params.index.names == ["sex", "part"]
    assert fits.to_frame().n.sum() == len(data) - 10
    own = data[(data.sex == "m") & (data.part == 1)]
    same(fits.to_frame().iloc[3], mf.lmer("y ~ x + (1 | g)", own))
    assert fits.each["m", 1].augment().index.equals(own.index)
    with pytest.raises(mf.DataError, match=r"'sex' \(10\)"):
        mf.lmer_by("y ~ x + (1 | g)", data, by=["sex", "part"], na_action="raise")


def test_the_dot_leaves_out_the_columns_of_by():
    data = table(7, 2).drop(columns=["h", "w", "f"])
    fits = mf.lmer_by("y ~ . + (1 | g)", data, by="part")
    assert list(fits.params) == ["Intercept", "x"]
    assert list(fits.each[1].params.index) == ["Intercept", "x"]


def test_other_libraries_and_arrays():
    pl = pytest.importorskip("polars")
    data = table(8, 3)
    weights = data.w.to_numpy()
    expected = mf.lmer_by("y ~ x + (1 | g)", data, by="part", weights=weights).to_frame()
    for other in (pl.from_pandas(data), {name: data[name].to_numpy() for name in data}):
        fits = mf.lmer_by("y ~ x + (1 | g)", other, by="part", weights=weights)
        found = fits.to_frame()
        if isinstance(found, pl.DataFrame):
            found = found.to_pandas()
        assert found.pop("error").isna().all()
        pd.testing.assert_frame_equal(found, expected.drop(columns="error"), check_dtype=False)
        assert fits.each[2].nobs == int(expected.n[2])
        np.testing.assert_allclose(fits.each[2].criterion, expected.criterion[2], rtol=1e-12)


def test_an_interrupt_keeps_what_is_done(monkeypatch, capsys):
    fitted, whole = [], subsets._fit_sums

    def third(*args):
        if len(fitted) == 2:
            raise KeyboardInterrupt
        fitted.append(whole(*args))
        return fitted[-1]

    monkeypatch.setattr(subsets, "_fit_sums", third)
    fits = mf.lmer_by("y ~ x + (1 | g)", table(9), by="part")
    assert "the 2 subsets finished so far are kept" in capsys.readouterr().err
    assert len(fits) == len(fits.to_frame()) == 2
    assert "2 of 5 subsets" in repr(fits)


def test_wrong_arguments():
    data = table(10, 2)
    with pytest.raises(mf.DataError, match="no column 'prat'"):
        mf.lmer_by("y ~ x + (1 | g)", data, by="prat")
    with pytest.raises(mf.DataError, match="no column 'z'"):
        mf.lmer_by("y ~ z + (1 | g)", data, by="part")
    with pytest.raises(mf.DataError, match="table in memory"):
        mf.lmer_by("y ~ x + (1 | g)", "rows.parquet", by="part")
    with pytest.raises(mf.DataError, match="one column twice"):
        mf.lmer_by("y ~ x + (1 | g)", data, by=["part", "part"])
    with pytest.raises(mf.DataError, match="names no column"):
        mf.lmer_by("y ~ x + (1 | g)", data, by=[])
    with pytest.raises(mf.MixedFastError, match="engine"):
        mf.lmer_by("y ~ x + (1 | g)", data, by="part", engine="fast")


def test_a_warning_about_data_comes_once():
    data = table(11, 3).assign(t="1.5")
    data["x"] = data.g * 1.0
    with pytest.warns(mf.MixedFastWarning, match=r"single value in every group.*in 3 of 3 subsets"):
        mf.lmer_by("y ~ x + (x | g)", data, by="part")


def test_pickles_have_no_rows_but_the_results_that_were_used():
    fits = mf.lmer_by("y ~ x + (1 | g)", table(12, 2), by="part")
    assert fits.each[0].nobs == fits.rows[0].n
    again = pickle.loads(pickle.dumps(fits))
    pd.testing.assert_frame_equal(again.to_frame(), fits.to_frame())
    assert again.each[0].criterion == fits.each[0].criterion
    with pytest.raises(mf.DataError, match=r"each\[1\] needs the rows"):
        again.each[1]
    with pytest.raises(KeyError):
        again.each[7]
