"""Tables come back in the library the data came in."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
from mixedfast.data.frames_out import beside, to_library
from mixedfast.errors import DataError

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

FORMULA = "Reaction ~ Days + (Days | Subject)"


def sleep() -> pd.DataFrame:
    return mf.load_dataset("sleepstudy").assign(Subject=lambda d: d.Subject.astype(str))


MAKERS: dict[str, tuple[Any, type]] = {
    "pandas": (lambda d: d, pd.DataFrame),
    "polars": (pl.from_pandas, pl.DataFrame),
    "pyarrow": (pa.Table.from_pandas, pa.Table),
    "dict": (lambda d: {name: d[name].to_numpy() for name in d}, pd.DataFrame),
}


@pytest.fixture(scope="module", params=list(MAKERS))
def case(request: pytest.FixtureRequest) -> tuple[mf.LMMResult, type]:
    make, kind = MAKERS[request.param]
    return mf.lmer(FORMULA, make(sleep())), kind


def every_table(m: mf.LMMResult) -> dict[str, Any]:
    boot = m.bootstrap(4, seed=1)
    prof = m.profile(["Days"])
    return {
        "coef_table": m.coef_table(),
        "vcov": m.vcov(),
        "varcorr": m.varcorr,
        "ranef": m.ranef()["Subject"],
        "ranef+": m.ranef(cond_var=True)["Subject"][0],
        "coef": m.coef()["Subject"],
        "ddf_table": m.ddf_table(),
        "anova": m.anova(),
        "ranova": m.ranova(),
        "drop1": m.drop1(),
        "confint": m.confint(),
        "contrast": m.contrast("Days = 1"),
        "profile": prof.to_frame(),
        "profile intervals": prof.confint(),
        "bootstrap": boot.to_frame(),
        "bootstrap intervals": boot.confint(),
        "mf.anova": mf.anova(m, m.__class__(m._fit, m._design)),
    }


def test_every_table_is_the_callers(case: tuple[mf.LMMResult, type]) -> None:
    m, kind = case
    for name, table in every_table(m).items():
        assert type(table) is kind, name


def test_the_numbers_are_the_same(case: tuple[mf.LMMResult, type]) -> None:
    m, kind = case
    reference = every_table(mf.lmer(FORMULA, sleep()))
    for name, table in every_table(m).items():
        wanted = reference[name] if kind is pd.DataFrame else to_library(reference[name], m.library)
        plain = (
            [table, wanted] if kind is pd.DataFrame else [t.to_pandas() for t in (table, wanted)]
        )
        pd.testing.assert_frame_equal(*plain, check_dtype=False)


def test_an_index_becomes_columns_and_missing_becomes_null() -> None:
    m = mf.lmer(FORMULA, pl.from_pandas(sleep()))
    assert m.coef_table().columns[0] == "term"
    assert m.vcov().columns == ["term", "Intercept", "Days"]
    assert m.ranef()["Subject"].columns == ["Subject", "Intercept", "Days"]
    assert m.ddf_table().columns[:2] == ["term", "method"]
    assert m.varcorr["name2"].to_list() == [None, None, "Days", None]
    assert m.varcorr.schema["name2"] == pl.String
    assert m.varcorr["sd"].null_count() == 1


def test_lazy_polars_gives_polars() -> None:
    m = mf.lmer(FORMULA, pl.from_pandas(sleep()).lazy())
    assert isinstance(m.coef_table(), pl.DataFrame)


def test_series_stay_pandas() -> None:
    m = mf.lmer(FORMULA, pl.from_pandas(sleep()))
    assert isinstance(m.params, pd.Series) and isinstance(m.bse, pd.Series)


def test_the_library_goes_with_the_result_and_can_be_changed() -> None:
    m = mf.lmer(FORMULA, pl.from_pandas(sleep()))
    assert isinstance(pickle.loads(pickle.dumps(m)).coef_table(), pl.DataFrame)
    same = copy.copy(m)
    same.library = "pandas"
    assert isinstance(same.coef_table(), pd.DataFrame)
    assert isinstance(m.coef_table(), pl.DataFrame)
    assert same.resid().shape == (180,), "a copy keeps the rows"
    same.library = "excel"
    with pytest.raises(DataError, match="pandas, polars, pyarrow"):
        same.coef_table()


def test_pages_do_not_depend_on_the_library() -> None:
    data = sleep()
    assert str(mf.lmer(FORMULA, pl.from_pandas(data)).summary()) == str(
        mf.lmer(FORMULA, data).summary()
    )
    line = "Reaction ~ Days"
    assert str(mf.lm(line, pl.from_pandas(data)).summary()) == str(mf.lm(line, data).summary())
    assert isinstance(mf.lm(line, pl.from_pandas(data)).anova(), pl.DataFrame)


def test_marginal_means_are_the_callers() -> None:
    cake = pl.from_pandas(
        mf.load_dataset("cake")[["angle", "recipe", "replicate"]].astype(
            {"recipe": str, "replicate": str}
        )
    )
    means = mf.lmer("angle ~ recipe + (1 | replicate)", cake).emmeans("recipe")
    assert isinstance(means.to_frame(), pl.DataFrame)
    assert isinstance(means.pairs(), pl.DataFrame)
    assert "emmean" in str(means)


def test_twice_the_same_name_is_numbered() -> None:
    frame = pd.DataFrame([[1, 2.0, True]], columns=["a", "a", "b"])
    assert to_library(frame, "polars").columns == ["a", "a_2", "b"]


def test_columns_beside_the_users_own() -> None:
    data = pd.DataFrame(
        {"x": [1, 2, 3], "when": pd.to_datetime(["2020-01-01"] * 3)}, index=[7, 7, 9]
    )
    rows, new = np.array([0, 2]), {".resid": np.array([0.5, -0.5])}
    out = beside(data, rows, new)
    assert out.index.tolist() == [7, 9]
    assert out[".resid"].tolist() == [0.5, -0.5]
    assert beside(pl.from_pandas(data), rows, new)[".resid"].to_list() == [0.5, -0.5]
    assert beside(pa.Table.from_pandas(data), None, {"n": np.arange(3)})["n"].to_pylist() == [
        0,
        1,
        2,
    ]
