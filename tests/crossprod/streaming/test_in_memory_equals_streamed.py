"""Whichever way the sums were made, all results are the same.

Tests, intervals, tables, and what goes back to the rows.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from helpers.lazy_engines import in_duckdb, in_polars
from helpers.streams import batches

import mixedfast as mf

pq = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")

# sums in another order and about another shift end a search that much elsewhere
CLOSE, NEAR_ZERO = 2e-6, 1e-7

MODELS = {
    "slope": ("y ~ dose * sex + (1 + dose | clinic)", {}),
    "slope only": ("y ~ dose + sex + (0 + dose | clinic)", {}),
    "crossed": ("y ~ dose + sex + (1 | clinic) + (1 | rater)", {}),
    "no intercept": ("y ~ 0 + sex + dose + size + (1 | clinic)", {"REML": False}),
    "weights": ("y ~ dose + sex + size + (1 | clinic)", {"weights": "w", "offset": "shift"}),
}
DDF = [
    "residual",
    "group",
    "hlm",
    "inner-outer",
    "between-within",
    "containment",
    "satterthwaite",
    "kenward-roger",
    "asymptotic",
]

QUESTIONS = {
    **{f"coefficients, {ddf}": lambda m, ddf=ddf: m.coef_table(ddf=ddf) for ddf in DDF},
    **{
        f"anova, type {kind}": lambda m, kind=kind: m.anova(type=kind)
        for kind in ("I", "II", "III")
    },
    "ddf_table": lambda m: m.ddf_table(),
    "vcov": lambda m: m.vcov(ddf="kenward-roger"),
    "contrast": lambda m: m.contrast({m.params.index[-1]: 1.0}),
    "emmeans": lambda m: m.emmeans("sex").to_frame(),
    "pairs": lambda m: m.emmeans("sex").pairs(),
    "ranova": lambda m: m.ranova(),
    "drop1": lambda m: m.drop1(),
    "Wald": lambda m: m.confint(),
    "profile": lambda m: m.confint(method="profile"),
    "likelihood ratio": lambda m: mf.anova(m, m.update(REML=False)),
    "update": lambda m: m.update(REML=False).coef_table(),
    "r2": lambda m: pd.Series(m.r2()),
    "icc": lambda m: pd.Series(m.icc()),
    "varcorr": lambda m: m.varcorr,
    "ranef": lambda m: pd.concat(m.ranef()),
    "conditional variances": lambda m: pd.Series(
        np.concatenate([v.ravel() for _, v in m.ranef(cond_var=True).values()])
    ),
    "coef": lambda m: pd.concat(m.coef()),
    "glance": lambda m: m.glance(),
    "tidy": lambda m: m.tidy("all"),
    "predict": lambda m: m.predict(rows()[:20], interval="prediction"),
}


@cache
def rows():
    rng = np.random.default_rng(12)
    n = 240
    clinic, rater = rng.integers(0, 12, n), rng.integers(0, 5, n)
    size = rng.uniform(1.0, 9.0, 12).round(1)
    table = pd.DataFrame(
        {
            "dose": rng.normal(size=n).round(2),
            "sex": np.where(rng.random(n) < 0.5, "F", "M"),
            "size": size[clinic],
            "clinic": [f"c{i:02d}" for i in clinic],
            "rater": [f"r{i}" for i in rater],
            "w": rng.uniform(0.5, 2.0, n).round(2),
            "shift": rng.normal(size=n).round(2),
            "id": np.arange(n),
        }
    )
    b = rng.normal(size=(12, 2))
    y = (
        2000.0
        + b[clinic, 0]
        + (1.0 + b[clinic, 1]) * table.dose
        + rng.normal(size=5)[rater]
        + (table.sex == "M")
    )
    return table.assign(y=y + rng.normal(size=n) / np.sqrt(table.w))


def through_a_file(formula, how, folder):
    REML, more = (
        how.get("REML", True),
        {name: value for name, value in how.items() if name != "REML"},
    )
    mf.crossproducts(formula, rows(), **more).save(folder / "sums.mf")
    return mf.fit(mf.load(folder / "sums.mf"), REML=REML)


ROADS = {
    "file": through_a_file,
    "stream": lambda formula, how, _: mf.lmer(formula, batches(rows(), 3), **how),
    "duckdb": lambda formula, how, _: mf.lmer(formula, in_duckdb(rows()), **how),
    "polars": lambda formula, how, _: mf.lmer(formula, in_polars(rows()), **how),
}


def numbers(answer):
    answer = answer.to_frame() if isinstance(answer, pd.Series) else answer
    return answer.select_dtypes("number").to_numpy(dtype=float)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("road", ROADS)
def test_every_question_has_the_same_answer(model, road, tmp_path):
    formula, how = MODELS[model]
    whole, other = mf.lmer(formula, rows(), **how), ROADS[road](formula, how, tmp_path)
    other.library = "pandas"
    asked = 0
    for name, question in QUESTIONS.items():
        try:
            expected = question(whole)
        except mf.MixedFastError as refusal:  # what the model has no answer to
            with pytest.raises(type(refusal)):
                question(other)
            continue
        answer = question(other)
        assert list(answer.index) == list(expected.index), name
        np.testing.assert_allclose(
            numbers(answer), numbers(expected), rtol=CLOSE, atol=NEAR_ZERO, err_msg=name
        )
        asked += 1
    assert asked >= len(QUESTIONS) - (
        5 if model == "crossed" else 3
    )  # rules for one factor are refused


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_goes_back_to_its_rows(model, tmp_path):
    formula, how = MODELS[model]
    whole, m = mf.lmer(formula, rows(), **how), mf.lmer(formula, batches(rows(), 4), **how)

    def same(ours, theirs):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)

    same(m.fitted, whole.fitted)
    same(m.hatvalues(), whole.hatvalues())
    same(m.leverage(), whole.leverage())
    same(m.cooks_distance(), whole.cooks_distance())
    for kind in ("response", "pearson", "scaled", "standardized", "marginal"):
        same(m.resid(kind), whole.resid(kind))
    m.augment_to(tmp_path / "a.parquet", columns=["id"], leverage=True)
    m.save(tmp_path / "m.mf")
    mf.load(tmp_path / "m.mf").augment_to(
        tmp_path / "b.parquet", columns=["id"], leverage=True, data=rows()
    )
    expected = whole.augment()
    for name in ("a.parquet", "b.parquet"):
        written = pq.read_table(tmp_path / name).to_pandas()
        assert written.id.tolist() == rows().id.tolist()
        for column in (".fitted", ".resid", ".hat", ".cooksd", ".fixed"):
            same(written[column], expected[column])


@pytest.mark.parametrize("model", [name for name in MODELS if name != "crossed"])
def test_levels_are_left_out_of_a_stream_by_their_sums(model):
    formula, how = MODELS[model]
    whole, m = mf.lmer(formula, rows(), **how), mf.lmer(formula, batches(rows(), 4), **how)
    ours, theirs = m.influence("clinic").to_frame(), whole.influence("clinic").to_frame()
    assert list(ours.index) == list(theirs.index) and list(ours) == list(theirs)
    np.testing.assert_array_equal(ours.rows, theirs.rows)
    np.testing.assert_allclose(numbers(ours), numbers(theirs), rtol=1e-5, atol=1e-5)


def test_what_is_nested_goes_with_its_level_and_what_is_crossed_is_named():
    data = rows().assign(ward=lambda d: d.clinic + "/" + (d.id % 3).astype(str))
    formula = "y ~ dose + sex + (1 + dose | clinic) + (1 | ward)"
    whole, m = mf.lmer(formula, data), mf.lmer(formula, batches(data, 3))
    theirs = whole.influence("clinic").to_frame()
    np.testing.assert_allclose(
        numbers(m.influence("clinic").to_frame()), numbers(theirs), rtol=1e-5, atol=1e-5
    )
    with pytest.raises(
        mf.DataError,
        match=r"influence\('ward'\).*levels of 'clinic' have rows in several levels of 'ward'",
    ):
        m.influence("ward")
    for group in (None, "sex"):
        with pytest.raises(
            mf.DataError, match=r"only levels of a grouping factor of the model.*clinic"
        ):
            m.influence(group)


def test_weights_given_as_an_array_are_not_remembered(tmp_path):
    m = mf.lmer("y ~ dose + (1 | clinic)", rows(), weights=rows().w.to_numpy())
    with pytest.raises(mf.DataError, match="weights of this fit were an array"):
        m.augment_to(tmp_path / "never.parquet", data=rows())


def test_lazy_frames_give_their_batches_for_what_needs_rows(tmp_path):
    relation = in_duckdb(rows())
    m = mf.lmer("y ~ dose + (1 | clinic)", relation)
    with pytest.raises(mf.DataError, match="to_arrow_reader"):
        m.augment_to(tmp_path / "never.parquet", data=relation)
    m.augment_to(tmp_path / "rows.parquet", data=relation.to_arrow_reader())
    written = pq.read_table(tmp_path / "rows.parquet")
    np.testing.assert_allclose(
        written.column(".fitted"), mf.lmer("y ~ dose + (1 | clinic)", rows()).fitted, rtol=1e-9
    )
