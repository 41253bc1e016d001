"""Estimated marginal means and their pairs, against R's emmeans and against arithmetic."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame, topic

import mixedfast as mf
from mixedfast.design.covariates import Covariate, describe, merge
from mixedfast.errors import ArgumentError, DataError, FormulaError
from mixedfast.inference.hypotheses import emmeans as room
from mixedfast.results.marginal_means import MarginalMeans
from mixedfast.results.tabled import tabled

# R's optimum is good to about 1e-5 in theta; df carry its numerical derivatives.
STANDARD_ERROR = 1e-5
DF = 1e-4
P = 1e-6
# R finds quantiles of the studentized range to about 1e-4.
INTERVAL = 2e-4


def emmeans(fit, *arguments, **options) -> MarginalMeans:
    return tabled(MarginalMeans, room.emmeans(fit, *arguments, **options), "pandas")


@cache
def fitted(name: str):
    record = topic("emmeans")[name]
    return mf.lmer(
        record["formula_py"], frame(record["dataset"]), weights=record.get("prior_weights")
    )


def _plain(value) -> str:
    """Return a level as text, whole numbers without a point."""
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


QUESTIONS = [(name, ddf) for name, record in topic("emmeans").items() for ddf in record["ddf"]]
#: A quantile of the studentized range takes SciPy a tenth of a second: `make test` takes every
#: fifth question.
TUKEY = [
    pytest.param(*question, marks=pytest.mark.exhaustive if i % 5 else ())
    for i, question in enumerate(QUESTIONS)
]


def asked(name, ddf):
    """Return the marginal means of R's record."""
    record, m = topic("emmeans")[name], fitted(name)
    # proportions are counted in the rows; all else is known without them
    design = m._design if record["weights"] == "proportional" else None
    how = {"at": record["at"], "by": record["by"], "weights": record["weights"]}
    return emmeans(m._fit, record["specs"], ddf=ddf, design=design, **how)


def assert_pairs(found, rows):
    for (_, ours), theirs in zip(found.iterrows(), rows, strict=True):
        assert ours.estimate == pytest.approx(theirs["estimate"], abs=STANDARD_ERROR * theirs["SE"])
        assert ours.std_error == pytest.approx(theirs["SE"], rel=STANDARD_ERROR)
        assert ours.df == pytest.approx(theirs["df"], rel=DF)
        assert ours.statistic == pytest.approx(theirs["t.ratio"], abs=1e-4)
        assert ours.p_value == pytest.approx(theirs["p.value"], abs=P)
        assert ours.conf_low == pytest.approx(theirs["lower.CL"], abs=INTERVAL * theirs["SE"])
        assert ours.conf_high == pytest.approx(theirs["upper.CL"], abs=INTERVAL * theirs["SE"])


@pytest.mark.parametrize(("name", "ddf"), TUKEY)
def test_tukey_s_pairs_are_those_of_emmeans(name, ddf):
    expected = topic("emmeans")[name]["ddf"][ddf]["pairs"]
    assert_pairs(asked(name, ddf).pairs("tukey"), expected["tukey"])


@pytest.mark.parametrize(("name", "ddf"), QUESTIONS)
def test_against_emmeans(name, ddf):
    record, means = topic("emmeans")[name], asked(name, ddf)
    variables = [*record["specs"], *([record["by"]] if record["by"] else [])]
    expected = record["ddf"][ddf]
    for (_, ours), theirs in zip(means.to_frame().iterrows(), expected["means"], strict=True):
        assert [_plain(ours[v]) for v in variables] == [_plain(theirs[v]) for v in variables]
        assert ours.emmean == pytest.approx(theirs["emmean"], abs=STANDARD_ERROR * theirs["SE"])
        assert ours.std_error == pytest.approx(theirs["SE"], rel=STANDARD_ERROR)
        assert ours.df == pytest.approx(theirs["df"], rel=DF)
        assert ours.conf_low == pytest.approx(theirs["lower.CL"], abs=DF * theirs["SE"])
        assert ours.conf_high == pytest.approx(theirs["upper.CL"], abs=DF * theirs["SE"])
    for adjust, rows in expected["pairs"].items():
        if adjust != "tukey":
            assert_pairs(means.pairs(adjust), rows)
    # emmeans leaves Kenward and Roger's F unscaled; its joint df is the least of all rows
    if ddf == "satterthwaite":
        for (_, ours), theirs in zip(means.joint().iterrows(), expected["joint"], strict=True):
            assert ours.num_df == theirs["df1"]
            assert ours.f_value == pytest.approx(theirs["F.ratio"], abs=5.01e-4)  # R rounds it


def test_three_ways_to_ask():
    m = fitted("trial_drug_by_sex")
    frames = [
        emmeans(m._fit, *ask).to_frame()
        for ask in (("drug | sex",), ("~ drug | sex",), (["drug"], None, "sex"))
    ]
    for other in frames[1:]:
        pd.testing.assert_frame_equal(frames[0], other)
    both = emmeans(m._fit, "drug * sex").to_frame()
    pd.testing.assert_frame_equal(both, frames[0])


def test_bonferroni_is_the_plain_p_value_times_the_family():
    means = emmeans(fitted("trial_drug")._fit, "drug")
    plain, adjusted = means.pairs("none"), means.pairs("bonferroni")
    np.testing.assert_allclose(
        adjusted["p_value"], np.minimum(3 * plain["p_value"], 1.0), rtol=1e-12
    )
    with pytest.raises(ArgumentError, match="one of 'tukey', 'dunnett', 'mvt'"):
        means.pairs("duncan")


def test_pairs_are_differences_of_means():
    means = emmeans(fitted("trial_drug")._fit, "drug")
    table = means.to_frame().set_index("drug")["emmean"]
    pairs = means.pairs("none").set_index("contrast")["estimate"]
    assert pairs["ctl - low"] == pytest.approx(table["ctl"] - table["low"], rel=1e-12)
    assert pairs["low - max"] == pytest.approx(table["low"] - table["max"], rel=1e-12)


def test_asymptotic_df():
    means = emmeans(fitted("trial_drug")._fit, "drug", ddf="asymptotic")
    assert np.isinf(means.to_frame()["df"]).all()
    exact, tukey = means.pairs("none")["p_value"], means.pairs("tukey")["p_value"]
    assert (tukey > exact).all()


def test_covariates_are_held_at_the_mean_of_the_variable_itself():
    data = frame("clinics")
    m = mf.lmer("y ~ f + exp(x) + (1 | g)", data)
    held = emmeans(m._fit, "f", at={"x": data["x"].mean()}).to_frame()
    found = emmeans(m._fit, "f").to_frame()
    pd.testing.assert_frame_equal(held, found)
    by_hand = m.params["Intercept"] + m.params["exp(x)"] * np.exp(data["x"].mean())
    assert found["emmean"].iloc[0] == pytest.approx(by_hand, rel=1e-10)


def test_weights_do_not_move_the_mean_of_a_covariate():
    data = frame("clinics")
    m = mf.lmer("y ~ f + x + (1 | g)", data, weights=np.linspace(0.5, 3.0, len(data)))
    means = emmeans(m._fit, "f")
    assert means.at["x"] == pytest.approx(data["x"].mean(), rel=1e-12)


def test_no_intercept_gives_the_same_means():
    data = frame("clinics")
    one, two = (
        emmeans(mf.lmer(f"y ~ {x} + (1 | g)", data)._fit, "f").to_frame()
        for x in ("f + x", "0 + f + x")
    )
    np.testing.assert_allclose(one["emmean"], two["emmean"], rtol=1e-8)
    np.testing.assert_allclose(one["std_error"], two["std_error"], rtol=1e-6)


def test_offset_is_part_of_the_mean():
    data = frame("clinics")
    m = mf.lmer("y ~ f + offset(o) + (1 | g)", data)
    plain, moved = (emmeans(m._fit, "f", at={"o": o}) for o in (0.0, 2.0))
    np.testing.assert_allclose(
        moved.to_frame()["emmean"], plain.to_frame()["emmean"] + 2.0, rtol=1e-12
    )
    np.testing.assert_allclose(moved.pairs()["statistic"], plain.pairs()["statistic"], rtol=1e-12)


def test_an_offset_given_as_an_array_is_held_at_its_mean():
    """emmeans in R gives the same means for an offset in the formula and as an argument."""
    data = frame("clinics")
    term, array, column = (
        mf.lmer("y ~ x + f + offset(o) + (1 | g)", data),
        mf.lmer("y ~ x + f + (1 | g)", data, offset=data["o"].to_numpy()),
        mf.lmer("y ~ x + f + (1 | g)", data, offset="o"),
    )
    for other in (array, column):
        pd.testing.assert_frame_equal(other.emmeans("f").to_frame(), term.emmeans("f").to_frame())
    assert array.emmeans("f").offset == pytest.approx(data["o"].mean())
    plain = array.emmeans("f", offset=0.0).to_frame()["emmean"]
    np.testing.assert_allclose(
        plain + 3.0, array.emmeans("f", offset=3.0).to_frame()["emmean"], rtol=1e-12
    )
    # the same from cross-products added up, without a row
    parts = [
        mf.crossproducts("y ~ x + f + (1 | g)", part, offset=part["o"].to_numpy())
        for part in (data[:100], data[100:])
    ]
    added = mf.fit(parts[0] + parts[1]).emmeans("f").to_frame()
    pd.testing.assert_frame_equal(added, array.emmeans("f").to_frame(), rtol=1e-6)


def test_a_covariate_with_two_values_counts_as_a_factor():
    """As R's emmeans has it (cov.keep = 2), with and without the rows."""
    data = frame("clinics").assign(
        k=lambda d: (d["x"] > 0).astype(float), s=lambda d: np.where(d["x"] > 0, "b", "a")
    )
    number, coded = (mf.lmer(f"y ~ f * {v} + z + (1 | g)", data) for v in ("k", "s"))
    columns = ["emmean", "std_error", "df"]
    for ask in (("f", None), ("k", "f")):
        theirs = coded.emmeans(*("s" if v == "k" else v for v in ask[:1]), by=ask[1]).to_frame()
        for m in (number, mf.fit(mf.crossproducts("y ~ f * k + z + (1 | g)", data))):
            ours = m.emmeans(ask[0], by=ask[1])
            np.testing.assert_allclose(ours.to_frame()[columns], theirs[columns], rtol=1e-6)
    shares = number.emmeans("f", weights="proportional").to_frame()["emmean"]
    np.testing.assert_allclose(
        shares, coded.emmeans("f", weights="proportional").to_frame()["emmean"], rtol=1e-8
    )
    assert "averaged over k" in str(number.emmeans("f"))
    held = number.emmeans("f", at={"k": 0.5})
    assert held.at["k"] == 0.5


def test_a_number_coded_as_categories_is_a_factor():
    data = frame("clinics").assign(k=lambda d: d["f"].cat.codes.astype(int))
    coded, plain = (
        emmeans(mf.lmer(f"y ~ {f} + x + (1 | g)", data)._fit, v).to_frame()
        for f, v in (("C(k)", "k"), ("f", "f"))
    )
    assert coded["k"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(coded["emmean"], plain["emmean"], rtol=1e-8)


def test_an_empty_cell_cannot_be_estimated():
    """Neither cells nor averages over them can be estimated; R's emmeans prints nonEst."""
    data = pd.DataFrame(topic("empty_cells")["data"])
    for formula in (
        "y ~ a * b + x + (1 | g)",
        "y ~ C(a, contr.sum) * C(b, contr.helmert) + x + (1 | g)",
    ):
        m = mf.lmer(formula, data)
        cells = emmeans(m._fit, ["a", "b"]).to_frame().set_index(["a", "b"])["emmean"]
        assert cells[cells.isna()].index.tolist() == [("b", "C")]
        a = emmeans(m._fit, "a")
        assert a.to_frame()["emmean"].isna().tolist() == [False, True, False]
        pairs = a.pairs("holm").set_index("contrast")["p_value"]
        assert pairs.isna().tolist() == [True, False, True]
        plain = a.pairs("none").set_index("contrast")["p_value"]
        for adjust in (
            "holm",
            "bonferroni",
        ):  # what cannot be estimated counts in the family: emmeans, and our intervals
            adjusted = a.pairs(adjust).set_index("contrast")["p_value"]
            np.testing.assert_allclose(adjusted, np.minimum(3 * plain, 1.0), rtol=1e-12)


def _nested(seed: int, formula: str = "tr * region + site") -> tuple[pd.DataFrame, object]:
    """Three sites in one region and five in the other, a few rows missing."""
    rng = np.random.default_rng(seed)
    rows = [(f"s{s}", t, k) for s in range(8) for t in "AB" for k in range(6)]
    data = pd.DataFrame(rows, columns=["site", "tr", "k"])
    data["region"] = np.where(data["site"] < "s5", "N", "S")
    data["plot"] = data["site"] + (data["k"] // 2).astype(str)
    data["x"] = rng.normal(size=len(data))
    effects = {plot: rng.normal() for plot in data["plot"].unique()}
    data["y"] = rng.normal(size=len(data)) + (data["tr"] == "B") + data["plot"].map(effects)
    data = data.drop(index=rng.choice(len(data), 8, replace=False)).reset_index(drop=True)
    return data, mf.lmer(f"y ~ {formula} + (1 | plot)", data)


@pytest.mark.parametrize(
    "formula",
    ["tr * region + site", "tr + region + C(site, contr.sum)", "0 + tr + region + region:site + x"],
)
def test_nested_factors_are_averaged_within_their_outer_factor(formula):
    """Against averages of predictions over the cells that exist."""
    data, m = _nested(1, formula)
    cells = data[["region", "site"]].drop_duplicates()
    grid = cells.merge(pd.DataFrame({"tr": ["A", "B"]}), how="cross").assign(x=data["x"].mean())
    grid["fit"] = m.predict(grid.assign(plot="new"), re=False)
    sites = grid.groupby(["region", "site"])["fit"].mean()
    regions = grid.groupby("region")["fit"].mean()
    found = m.emmeans("site").to_frame()
    assert list(found)[:2] == ["site", "region"]
    assert found.set_index(["region", "site"])["emmean"].to_dict() == pytest.approx(
        sites.to_dict(), rel=1e-9
    )
    found = m.emmeans("region")
    assert found.to_frame().set_index("region")["emmean"].to_dict() == pytest.approx(
        regions.to_dict(), rel=1e-9
    )
    assert "nested factors: site in region" in " ".join(str(found).split())
    treated = grid.groupby(["tr", "region"])["fit"].mean().groupby("tr").mean()
    found = m.emmeans("tr").to_frame().set_index("tr")["emmean"]
    assert found.to_dict() == pytest.approx(treated.to_dict(), rel=1e-9)
    overall = m.emmeans("1").to_frame()
    assert overall["1"].tolist() == ["overall"]
    assert overall["emmean"].iloc[0] == pytest.approx(regions.mean(), rel=1e-9)


def test_comparisons_within_nested_factors():
    m = _nested(6)[1]
    found = m.emmeans("site", by="region").contrast("control")
    assert found["contrast"].tolist() == [
        *(f"s{i} - s0" for i in range(1, 5)),
        *(f"s{i} - s5" for i in (6, 7)),
    ]
    assert "for 2 to 4 contrasts within each level of region" in " ".join(str(found).split())
    south = m.emmeans("site", at={"region": "S"}).to_frame()
    assert south["site"].tolist() == ["s5", "s6", "s7"]
    assert m.emmeans("tr", by="site").by == ("site", "region")


def test_nesting_is_found_without_the_rows(tmp_path):
    """In a stream and in a saved result."""
    data, m = _nested(3)
    formula = "y ~ tr * region + site + (1 | plot)"
    path = tmp_path / "rows.parquet"
    data.to_parquet(path)
    m.save(tmp_path / "saved")
    for other in (mf.lmer(formula, str(path)), mf.load(tmp_path / "saved")):
        for specs in ("site", "region", "tr | region"):
            found, expected = other.emmeans(specs), m.emmeans(specs)
            assert found.nested == ("site in region",)
            pd.testing.assert_frame_equal(found.to_frame(), expected.to_frame(), rtol=1e-6)
            pd.testing.assert_frame_equal(found.pairs(), expected.pairs(), rtol=1e-5)


def test_a_difference_is_estimable_where_means_are_not():
    """One empty cell of p:q leaves no mean of f estimable, and every difference of two."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        [(p, q, f) for p in "abc" for q in "xy" for f in "uvw" for _ in range(4)],
        columns=["p", "q", "f"],
    ).query("p != 'c' or q != 'y'")
    data["g"] = np.arange(len(data)) % 10
    data["y"] = rng.normal(size=len(data)) + rng.normal(size=10)[data["g"]]
    m = mf.lmer("y ~ p * q + f + (1 | g)", data)
    means = m.emmeans("f")
    assert means.to_frame()["emmean"].isna().all()
    assert "not estimable: u: no rows have p[T.c]:q[T.y]" in " ".join(str(means).split())
    expected = m.contrast(["f[T.v] = 0", "f[T.w] = 0", "f[T.w] - f[T.v] = 0"])
    found = means.pairs("none")
    for name in ("estimate", "statistic"):
        np.testing.assert_allclose(found[name], -expected[name], rtol=1e-9)
    np.testing.assert_allclose(found["df"], expected["df"], rtol=1e-9)
    assert means.joint()["num_df"].tolist() == [2.0]


def test_weights_are_counted_in_the_rows():
    data = _nested(2)[0]
    data["k"] = data["k"].astype(str)
    m = mf.lmer("y ~ tr * k + region + (1 | plot)", data)
    cells = data.groupby(["tr", "k", "region"]).size().rename("n").reset_index()
    cells["fit"] = m.predict(cells.assign(plot="new"), re=False)
    every = pd.DataFrame(
        [(t, k, r) for t in "AB" for k in data["k"].unique() for r in "NS"],
        columns=["tr", "k", "region"],
    )
    every["fit"] = m.predict(every.assign(plot="new"), re=False)
    both = data.groupby(["k", "region"]).size().rename("w").reset_index()
    shares = {name: data[name].value_counts() for name in ("k", "region")}
    weighted = {
        "equal": every.assign(w=1.0),
        "proportional": every.merge(both, on=["k", "region"]),
        "outer": every.assign(
            w=every["k"].map(shares["k"]) * every["region"].map(shares["region"])
        ),
        "cells": cells.assign(w=cells["n"]),
        "flat": cells.assign(w=1.0),
    }
    for weights, table in weighted.items():
        wf = table.assign(wf=table["w"] * table["fit"]).groupby("tr")[["wf", "w"]].sum()
        found = m.emmeans("tr", weights=weights).to_frame().set_index("tr")["emmean"]
        assert found.to_dict() == pytest.approx((wf["wf"] / wf["w"]).to_dict(), rel=1e-9), weights


def test_many_factors_are_averaged_one_by_one():
    """Twelve factors of six levels span a grid of two billion cells."""
    rng = np.random.default_rng(5)
    names = [f"f{k}" for k in range(12)]
    data = pd.DataFrame({name: rng.choice(list("abcdef"), 400) for name in names})
    data["tr"], data["g"] = rng.choice(["c", "t"], 400), np.arange(400) % 20
    data["y"] = rng.normal(size=400) + rng.normal(size=20)[data["g"]]
    m = mf.lmer("y ~ tr + " + " + ".join(names) + " + (1 | g)", data)
    base = m.params["Intercept"] + m.params.filter(regex=r"^f\d").sum() / 6
    found = m.emmeans("tr").to_frame()["emmean"]
    np.testing.assert_allclose(found, [base, base + m.params["tr[T.t]"]], rtol=1e-12)


def test_categories_of_intervals():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 6), "age": rng.uniform(18, 80, 120)})
    data["band"] = pd.cut(data["age"], [0, 30, 50, 99])
    data["y"] = data["age"] / 10 + rng.normal(size=120) + rng.normal(size=20)[data["g"]]
    named = data.assign(band=data["band"].astype(str))
    found, expected = (
        mf.lmer("y ~ band + (1 | g)", table).emmeans("band").to_frame() for table in (data, named)
    )
    assert found["band"].tolist() == data["band"].cat.categories.astype(str).tolist()
    np.testing.assert_allclose(found["emmean"], expected["emmean"], rtol=1e-9)


def test_questions_that_cannot_be_answered():
    fit = fitted("trial_drug")._fit
    with pytest.raises(FormulaError, match="did you mean 'drug'"):
        emmeans(fit, "drugs")
    with pytest.raises(FormulaError, match="no variable 'weight'"):
        emmeans(fit, "drug", at={"weight": 1})
    with pytest.raises(FormulaError, match="contains no variable"):
        emmeans(fit, " | sex")
    with pytest.raises(DataError, match="the levels of drug are"):
        emmeans(fit, "drug", at={"drug": ["ctl", "placebo"]})
    with pytest.raises(DataError, match="counts rows"):
        emmeans(fit, "drug", weights="proportional")
    with pytest.raises(ArgumentError, match="'proportional', 'outer', 'cells', 'flat'"):
        emmeans(fit, "drug", weights="size")
    with pytest.raises(DataError, match="do not occur together"):
        emmeans(_nested(0)[1]._fit, "site", at={"site": ["s0", "s1"], "region": ["S"]})


def test_it_prints_itself():
    means = emmeans(fitted("trial_drug_by_sex")._fit, "drug | sex")
    text = str(means)
    assert "emmean" in text.splitlines()[0]
    assert "at x = " in text.splitlines()[-1]
    assert repr(means) == text
    assert "<table" in means._repr_html_()


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_the_joint_test_is_that_of_the_contrasts(ddf):
    m = fitted("trial_drug_by_sex")
    means = m.emmeans("drug | sex", ddf=ddf)
    joint = means.joint()
    assert joint["sex"].tolist() == ["F", "M"]
    for i, row in joint.iterrows():
        L = means.L[3 * i + 1 : 3 * i + 3] - means.L[3 * i]
        direct = m.contrast(L, joint=True, ddf=ddf).iloc[0]
        assert direct.tolist() == pytest.approx(row[direct.index].tolist(), rel=1e-9)


@pytest.mark.parametrize(
    "values",
    [[0, 1, 1], [2.5] * 3, [2.5] * 70 + [1.0], [1, 2, 3], [1.0] * 70 + [2.0, 3.0], [True, False]],
)
def test_covariates_are_described_and_add(values):
    column = np.array(values)
    few = np.unique(column)
    found = describe(column)
    assert found == Covariate(
        pytest.approx(column.mean()), tuple(few.astype(float)) if len(few) <= 2 else ()
    )
    half = len(values) // 2
    both = merge(
        {"x": describe(column[:half])},
        half,
        {"x": describe(column[half:]), "y": found},
        len(values) - half,
    )
    assert both == {"x": Covariate(pytest.approx(column.mean()), found.values)}


def test_variables_whose_names_are_no_python():
    rng = np.random.default_rng(0)
    table = {
        "y": rng.normal(size=120) + np.arange(120) // 12 % 5,
        "my x": rng.normal(size=120),
        "a<b": np.array(["u", "v", "w"])[np.arange(120) % 3],
        "x-1": np.array(["r", "s"])[np.arange(120) // 3 % 2],
        "g": np.arange(120) // 12,
    }
    plain = dict(zip(["y", "x", "a", "b", "g"], table.values(), strict=True))
    odd = mf.lmer("y ~ `my x` + `a<b`*`x-1` + (1 | g)", table)
    named = mf.lmer("y ~ x + a*b + (1 | g)", plain)
    assert np.array_equal(
        odd.emmeans("a<b").to_frame()["emmean"], named.emmeans("a").to_frame()["emmean"]
    )
    assert np.array_equal(odd.anova().to_numpy(), named.anova().to_numpy())
