"""`MixedRegressor` in the tools of scikit-learn."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfast as mf

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.compose import TransformedTargetRegressor  # noqa: E402
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from mixedfast.sklearn import MixedRegressor  # noqa: E402

FORMULA = "~ ses + (1 | school)"


@pytest.fixture(scope="module")
def students() -> pd.DataFrame:
    """Return 40 schools of the hsb data."""
    data = mf.load_dataset("hsb")
    return data[data.school.isin(data.school.unique()[:40])]


def test_fit_and_predict_are_those_of_the_model(students):
    model = MixedRegressor(FORMULA).fit(students, students.math)
    m = mf.lmer("math ~ ses + (1 | school)", students)
    np.testing.assert_allclose(model.model_.params, m.params, rtol=1e-10)
    np.testing.assert_allclose(model.predict(students), m.fitted, rtol=1e-10)
    residual = students.math - m.fitted
    r2 = 1 - (residual**2).sum() / ((students.math - students.math.mean()) ** 2).sum()
    assert model.score(students, students.math) == pytest.approx(r2, rel=1e-12)
    assert model.feature_names_in_.tolist() == list(students.columns)
    named = MixedRegressor("math ~ ses + (1 | school)").fit(students, students.math)
    np.testing.assert_array_equal(named.predict(students), model.predict(students))
    frame = pl.from_pandas(students)
    np.testing.assert_allclose(
        MixedRegressor(FORMULA).fit(frame, frame["math"]).predict(frame), m.fitted, rtol=1e-10
    )


def test_clone_parameters_and_pickle(students):
    model = MixedRegressor(FORMULA, REML=False, groups="school")
    same = clone(model)
    assert same.get_params() == model.get_params()
    assert same.set_params(REML=True).REML
    fitted = model.fit(students, students.math)
    back = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(back.predict(students), fitted.predict(students))


def test_new_groups_and_missing_groups_are_predicted_by_the_fixed_part(students):
    model = MixedRegressor(FORMULA).fit(students, students.math)
    population = model.model_.predict(students, re=False)
    np.testing.assert_allclose(model.predict(students.assign(school=-1)), population, rtol=1e-12)
    np.testing.assert_allclose(model.predict(students[["ses"]]), population, rtol=1e-12)
    fixed = MixedRegressor(FORMULA, re=False).fit(students, students.math)
    np.testing.assert_allclose(fixed.predict(students), population, rtol=1e-12)


def test_cross_validation_by_groups(students):
    found = cross_validate(
        MixedRegressor(FORMULA), students, students.math, groups=students.school, cv=GroupKFold(4)
    )
    assert np.isfinite(found["test_score"]).all()
    split = next(iter(GroupKFold(4).split(students, students.math, students.school)))
    train, test = (students.iloc[rows] for rows in split)
    m = mf.lmer("math ~ ses + (1 | school)", train)
    left = test.math - m.predict(test, re=False)
    r2 = 1 - (left**2).sum() / ((test.math - test.math.mean()) ** 2).sum()
    assert found["test_score"][0] == pytest.approx(r2, rel=1e-9)


def test_groups_by_metadata_routing(students):
    X = students[["ses"]]
    with sklearn.config_context(enable_metadata_routing=True):
        model = MixedRegressor(FORMULA, groups="school").set_fit_request(groups=True)
        found = cross_validate(
            model, X, students.math, params={"groups": students.school}, cv=GroupKFold(4)
        )
    column = cross_validate(
        MixedRegressor(FORMULA), students, students.math, groups=students.school, cv=GroupKFold(4)
    )
    np.testing.assert_allclose(found["test_score"], column["test_score"], rtol=1e-9)
    model = MixedRegressor(FORMULA, groups="school").fit(X, students.math, groups=students.school)
    whole = mf.lmer("math ~ ses + (1 | school)", students)
    np.testing.assert_allclose(model.predict(X, groups=students.school), whole.fitted, rtol=1e-10)
    with pytest.raises(mf.DataError, match="does not name the grouping factor"):
        MixedRegressor(FORMULA).fit(X, students.math, groups=students.school)


def test_pipelines_grids_and_transformed_responses(students):
    numbers = students[["ses"]].to_numpy()
    piped = make_pipeline(StandardScaler(), MixedRegressor("~ x0")).fit(numbers, students.math)
    np.testing.assert_allclose(
        piped.predict(numbers), mf.lm("math ~ ses", students).fitted, rtol=1e-10
    )
    grid = GridSearchCV(
        MixedRegressor(FORMULA), {"formula": [FORMULA, "~ 1 + (1 | school)"]}, cv=3
    ).fit(students, students.math)
    assert grid.best_params_["formula"] == FORMULA
    logs = TransformedTargetRegressor(MixedRegressor(FORMULA), func=np.exp, inverse_func=np.log)
    scaled = students.math / 10
    assert np.isfinite(logs.fit(students, scaled).predict(students)).all()


def test_weights(students):
    weights = np.random.default_rng(0).uniform(0.5, 2, len(students))
    model = MixedRegressor(FORMULA).fit(students, students.math, sample_weight=weights)
    m = mf.lmer("math ~ ses + (1 | school)", students, weights=weights)
    np.testing.assert_allclose(model.model_.params, m.params, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: MixedRegressor("ses").fit(d, d.math), "has no '~'"),
        (lambda d: MixedRegressor("log(math) ~ ses").fit(d, d.math), "TransformedTargetRegressor"),
        (lambda d: MixedRegressor(FORMULA).fit(d, d.math[:5]), r"y has the shape \(5,\)"),
        (
            lambda d: MixedRegressor(FORMULA).fit(d.ses.to_numpy(), d.math),
            "two dimensions, not of 1",
        ),
        (lambda d: MixedRegressor("~ q").fit(d, d.math), "no column 'q'"),
    ],
)
def test_errors(students, call, words):
    with pytest.raises(mf.MixedFastError, match=words):
        call(students)


def test_not_fitted(students):
    with pytest.raises(sklearn.exceptions.NotFittedError):
        MixedRegressor(FORMULA).predict(students)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.delitem(sys.modules, "mixedfast.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(mf.MissingLibraryError, match="pip install scikit-learn"):
        import mixedfast.sklearn  # noqa: F401
