"""Tables of tests against R: anova of types I to III, drop1, ranova, likelihood ratios."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.cases import (
    STOPPED_SHORT,
    frame,
    golden,
    golden_names,
    rename_term,
    shared_model,
    topic,
)

import mixedfast as mf
from mixedfast.errors import DataError, NotDefinedError
from mixedfast.inference.hypotheses.anova_types import contains, hypotheses
from mixedfast.results.tables import anova_table, compare, drop1, ranova

# lmerTest differentiates numerically: its df carry about 1e-5. It rounds the weights of type III to
# seven digits, which shows when F is small: hence the absolute part of F.
DF = 1e-4
F = {"rel": 1e-6, "abs": 1e-6}
P = 1e-6
#: Log-likelihoods: R's optimum is good to about 1e-8 relative.
LOGLIK = 1e-8

#: Singular: which directions of a flat Hessian are dropped decides the df, and the two optima
#: differ in them.
FLAT = {"clinics_factor_slope"}
SLOW = {"insteval", "insteval_ml"}
NAMES = [name for name in golden_names() if name not in STOPPED_SHORT | SLOW]
TYPES = ("I", "II", "III")


def having(*keys: str) -> list[str]:
    return [name for name in NAMES if all(golden(name).get(key) for key in keys)]


def assert_f_table(table: pd.DataFrame, rows: list[dict], name: str, check_df: bool = True) -> None:
    terms = [rename_term(row["term"], name) for row in rows]
    assert set(table.index) == set(terms)
    for term, row in zip(terms, rows, strict=True):
        ours = table.loc[term]
        if row["F value"] is None:
            assert ours.isna().all()
            continue
        assert ours.num_df == row["NumDF"]
        assert ours.f_value == pytest.approx(row["F value"], **F)
        assert ours.mean_sq == pytest.approx(row["Mean Sq"], rel=1e-5, abs=1e-6)
        assert ours.sum_sq == pytest.approx(row["Sum Sq"], rel=1e-5, abs=1e-6)
        if check_df:
            assert ours.den_df == pytest.approx(row["DenDF"], rel=DF)
            assert ours.p_value == pytest.approx(row["Pr(>F)"], abs=P)


# --- F tests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("name", having("anova_satterthwaite_III"))
def test_satterthwaite(name, type):
    table = anova_table(shared_model(name)._fit, type)
    assert_f_table(
        table, golden(name)[f"anova_satterthwaite_{type}"], name, check_df=name not in FLAT
    )


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("name", having("anova_kr_I"))
def test_kenward_roger(name, type):
    record = golden(name)
    rows = record["anova_kr"] if type == "III" else record[f"anova_kr_{type}"]
    assert_f_table(anova_table(shared_model(name)._fit, type, "kenward-roger"), rows, name)


def test_types_by_number():
    fit = shared_model("trial_interaction")._fit
    for number, type in enumerate(TYPES, start=1):
        pd.testing.assert_frame_equal(anova_table(fit, number), anova_table(fit, type))
    with pytest.raises(NotDefinedError, match="choose from I, II, III, marginal"):
        anova_table(fit, "IV")
    with pytest.raises(NotDefinedError, match="ddf='satterwaite'"):
        anova_table(fit, ddf="satterwaite")


@pytest.mark.parametrize("type", ["II", "III"])
def test_contrasts_of_the_fit_do_not_matter(type):
    data = frame("trial")
    codings = [
        None,
        {"drug": "sum", "sex": "helmert"},
        {"drug": [[1.0, 0], [0, 5], [2, 2]], "sex": "sum"},
    ]
    tables = [
        anova_table(mf.lmer("y ~ drug * sex + x + (1 | block)", data, contrasts=c)._fit, type)
        for c in codings
    ]
    for other in tables[1:]:
        np.testing.assert_allclose(
            other["f_value"], tables[0]["f_value"], rtol=1e-7
        )  # optima agree to about 1e-9
    if type == "III":
        for other in tables[1:]:
            np.testing.assert_allclose(other["den_df"], tables[0]["den_df"], rtol=1e-7)


def test_marginal_does_depend_on_the_contrasts():
    plain, summed = (
        anova_table(shared_model(name)._fit, "marginal")
        for name in ("trial_interaction", "trial_sum")
    )
    assert abs(plain.loc["sex", "f_value"] - summed.loc["C(sex, contr.sum)", "f_value"]) > 1e-3


def test_last_term_of_every_type_is_the_same_hypothesis():
    fit = shared_model("trial_threeway")._fit
    values = [anova_table(fit, type).loc["drug:sex:x", "f_value"] for type in TYPES]
    np.testing.assert_allclose(values, values[0], rtol=1e-9)


def test_type_three_of_a_spline_and_a_factor():
    """A factor times a numeric factor of several columns: the same as writing the columns out."""
    data = frame("trial")
    whole = mf.lmer("y ~ drug * poly(x, 2) + (1 | block)", data)
    table = anova_table(whole._fit, "III")
    assert table["num_df"].tolist() == [2.0, 2.0, 4.0]
    L = hypotheses(whole._fit.cp, "III")["poly(x, 2)"]
    names = whole._fit.cp.x_names
    for row, power in zip(L, ("[1]", "[2]"), strict=True):
        weights = {names[j]: w for j, w in enumerate(row) if w}
        slopes = {name for name in names if name.endswith(f"poly(x, 2){power}")}
        assert set(weights) == slopes
        assert sorted(weights.values()) == pytest.approx([1 / 3, 1 / 3, 1.0])


def test_containment_is_by_the_same_numeric_factors():
    terms = {term.name: term for term in shared_model("trial_threeway")._fit.cp.meta.fixed_terms}
    assert contains(terms["drug:x"], terms["x"])
    assert contains(terms["drug:sex"], terms["drug"])
    assert not contains(terms["drug:x"], terms["drug"])
    assert not contains(terms["drug"], terms["drug"])


# --- an empty cell --------------------------------------------------------------------------------

EMPTY = {
    "treatment": ("y ~ a * b + x + (1 | g)", {}),
    "mixed": (
        "y ~ C(a, contr.sum) * C(b, contr.helmert) + x + (1 | g)",
        {"a": "C(a, contr.sum)", "b": "C(b, contr.helmert)"},
    ),
}


@pytest.fixture(scope="module", params=EMPTY)
def empty(request):
    record = topic("empty_cells")
    formula, names = EMPTY[request.param]
    m = mf.lmer(formula, pd.DataFrame(record["data"]))
    return (
        m._fit,
        record[request.param],
        {**names, "a:b": ":".join(names.get(v, v) for v in "ab")},
    )


@pytest.mark.parametrize("type", TYPES)
def test_empty_cell(empty, type):
    fit, record, names = empty
    table = anova_table(fit, type)
    for row in record["anova"][type]:
        ours = table.loc[names.get(row["term"], row["term"])]
        assert ours.num_df == row["NumDF"]
        assert ours.f_value == pytest.approx(row["F value"], **F)
        assert ours.den_df == pytest.approx(row["DenDF"], rel=DF)


def test_empty_cell_deletions(empty):
    fit, record, names = empty
    table = drop1(fit)
    assert table.index.tolist() == [names.get(row["term"], row["term"]) for row in record["drop1"]]
    assert table["f_value"].tolist() == pytest.approx(
        [row["F value"] for row in record["drop1"]], **F
    )


def test_empty_cell_hypotheses_are_those_of_sas():
    """Goodnight's hypotheses for an empty cell have odd weights such as -1/12.

    MASS::fractions in R agrees.
    """
    record = topic("empty_cells")
    m = mf.lmer(EMPTY["treatment"][0], pd.DataFrame(record["data"]))
    found = hypotheses(m._fit.cp, "III")
    for term, L in record["treatment"]["L"].items():
        np.testing.assert_allclose(found[term], np.array(L), atol=1e-7)  # R writes seven digits


def test_empty_cell_without_the_alias_is_refused():
    m = mf.lmer(EMPTY["mixed"][0], pd.DataFrame(topic("empty_cells")["data"]))
    with pytest.raises(NotDefinedError, match="could not be identified"):
        hypotheses(replace(m._fit.cp, alias=None), "III")


# --- deletions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in having("drop1") if name != "clinics_rank"])
def test_drop1(name):
    assert_f_table(
        drop1(shared_model(name)._fit), golden(name)["drop1"], name, check_df=name not in FLAT
    )


def test_drop1_of_a_term_another_can_stand_in_for():
    m = shared_model("clinics_rank")
    assert_f_table(drop1(m._fit), golden("clinics_rank")["drop1"], "clinics_rank")


# --- random terms ---------------------------------------------------------------------------------

#: lmerTest puts (1 | g) in place of a numeric slope that stands alone. That is no submodel: here
#: the slope is left out.
NO_SUBMODEL = {
    ("clinics_block_pair", "z in (0 + z | g)"),
    ("clinics_slope_only", "x in (0 + x | g)"),
    ("clinics_slope_weights", "x in (0 + x | g)"),
    ("orthodont_slope_only", "age in (0 + age | Subject)"),
    ("words_slope_only", "x in (0 + x | subject)"),
}


@pytest.mark.parametrize("name", having("ranova"))
def test_ranova(name):
    rows = [row for row in golden(name)["ranova"] if (name, row["term"]) not in NO_SUBMODEL]
    table = ranova(shared_model(name)._fit)
    assert len(table) == len(golden(name)["ranova"])
    for row in rows:
        ours = table.loc[row["term"]]
        assert ours.npar == row["npar"]
        assert ours.loglik == pytest.approx(row["logLik"], rel=LOGLIK)
        assert ours.aic == pytest.approx(row["AIC"], rel=LOGLIK)
        if row["LRT"] is not None:
            assert ours.df == row["Df"]
            assert ours.chisq == pytest.approx(
                row["LRT"], abs=1e-4
            )  # twice the difference of two log-likelihoods
            assert ours.p_value == pytest.approx(row["Pr(>Chisq)"], abs=1e-4)


def test_ranova_of_a_lone_slope_leaves_it_out():
    table = ranova(shared_model("clinics_block_pair")._fit)
    smaller = mf.lmer("y ~ x + z + (x | g)", frame("clinics"))
    assert table.loc["z in (0 + z | g)", "loglik"] == pytest.approx(smaller.loglik, rel=LOGLIK)
    assert table.loc["z in (0 + z | g)", "df"] == 1
    alone = ranova(shared_model("clinics_slope_only")._fit).loc["x in (0 + x | g)"]
    assert alone.npar == 3
    assert alone.chisq > 0


def test_ranova_respects_marginality_in_random_interactions():
    data = frame("trial")
    with pytest.warns(mf.SingularFitWarning):
        m = mf.lmer("y ~ sex * x + (sex * x | block)", data)
    assert ranova(m._fit).index.tolist() == ["<none>", "sex:x in (sex * x | block)"]


# --- likelihood ratios ----------------------------------------------------------------------------

COLUMNS = {
    "npar": "npar",
    "aic": "AIC",
    "bic": "BIC",
    "loglik": "logLik",
    "deviance": "deviance",
    "chisq": "Chisq",
    "df": "Df",
    "p_value": "Pr(>Chisq)",
}


@pytest.mark.parametrize("name", topic("lrt"))
def test_likelihood_ratio(name):
    record = topic("lrt")[name]
    fits = [mf.lmer(formula, frame(record["dataset"]))._fit for formula in record["formulas"]]
    before = [fit.theta.copy() for fit in fits]
    table = compare(fits[::-1], ["large", "small"])
    assert table.index.tolist() == ["small", "large"]
    for row in record["table"]:
        for ours, theirs in COLUMNS.items():
            expected = np.nan if row[theirs] is None else row[theirs]
            assert table.loc[row["term"], ours] == pytest.approx(expected, rel=1e-7, nan_ok=True)
    for fit, theta in zip(fits, before, strict=True):
        assert fit.reml
        np.testing.assert_array_equal(fit.theta, theta)


def test_refit_false_keeps_reml_where_that_can_be_compared():
    data = frame("sleepstudy")
    small, large = (mf.lmer(f"Reaction ~ Days + ({z} | Subject)", data) for z in ("1", "Days"))
    table = compare([small._fit, large._fit], refit=False)
    assert table["deviance"].tolist() == [small.criterion, large.criterion]
    other = mf.lmer("Reaction ~ 1 + (1 | Subject)", data)
    with pytest.raises(NotDefinedError, match="different fixed effects"):
        compare([small._fit, other._fit], refit=False)
    by_ml = mf.lmer("Reaction ~ Days + (1 | Subject)", data, REML=False)
    with pytest.raises(NotDefinedError, match="REML criterion and a deviance"):
        compare([by_ml._fit, large._fit], refit=False)


def test_same_number_of_parameters_has_no_p_value():
    data = frame("clinics")
    fits = [mf.lmer(f"y ~ {x} + (1 | g)", data)._fit for x in ("x", "z")]
    table = compare(fits)
    assert table["df"].iloc[1] == 0
    assert np.isnan(table["p_value"].iloc[1])


def test_models_of_other_data_are_refused():
    data = frame("sleepstudy")
    m = mf.lmer("Reaction ~ Days + (1 | Subject)", data)
    with pytest.raises(
        DataError, match=r"Days \+ .* fitted to 180 rows and Reaction ~ 1 .* to 179"
    ):
        compare([m._fit, mf.lmer("Reaction ~ 1 + (1 | Subject)", data.iloc[1:])._fit])
    with pytest.raises(DataError, match="same response"):
        compare(
            [
                m._fit,
                mf.lmer(
                    "Reaction ~ 1 + (1 | Subject)", data.assign(Reaction=data["Reaction"] + 1)
                )._fit,
            ]
        )
    with pytest.raises(DataError, match="offset and weights"):
        compare(
            [
                m._fit,
                mf.lmer("Reaction ~ 1 + (1 | Subject)", data, weights=np.linspace(1, 2, 180))._fit,
            ]
        )
    with pytest.raises(DataError, match="two models"):
        compare([m._fit])


def test_same_response_is_seen_with_and_without_an_intercept():
    data = frame("sleepstudy")
    fits = [mf.lmer(f"Reaction ~ {x} + (1 | Subject)", data)._fit for x in ("Days", "0 + Days")]
    assert compare(fits)["npar"].tolist() == [3, 4]


@pytest.mark.parametrize(
    "case", topic("containment")["cases"], ids=lambda case: f"{case['formula']}, {case['type']}"
)
def test_terms_contain_others_as_sas_says(case):
    """Where lmerTest's anova tests other hypotheses (tests/r/containment.R).

    F and df are lmerTest's for the hypothesis of the name.
    """
    data = pd.DataFrame(topic("containment")["data"])
    table = mf.lmer(case["formula"], data).anova(type=case["type"])
    for term, row in zip(table.index, case["rows"], strict=True):
        assert sorted(term.split(":")) == sorted(row["term"].split(":"))
        assert table.loc[term, "f_value"] == pytest.approx(row["F"], rel=1e-5)
        assert table.loc[term, "den_df"] == pytest.approx(row["df"], rel=1e-3)


def test_a_control_group_beside_a_factorial():
    """The factors determine the indicator of treatment, which has no hypothesis of type II or III.

    lmerTest tests one coefficient there. The other terms are contrasts of the four treated cells.
    """
    rng = np.random.default_rng(3)
    cell = np.tile(["control", "a1b1", "a1b2", "a2b1", "a2b2"], 12)[:-4]
    data = pd.DataFrame({"cell": cell, "g": np.repeat(list("uvwxyz"), 10)[:-4]})
    treated = data["cell"] != "control"
    data["trt"] = np.where(treated, "yes", "no")
    data["a"] = data["cell"].str[:2].where(treated, "none")
    data["b"] = data["cell"].str[2:].where(treated, "none")
    data["y"] = rng.normal(size=len(data)) + rng.normal(size=6)[data["g"].factorize()[0]]
    m = mf.lmer("y ~ trt + a * b + (1 | g)", data)
    means = mf.lmer("y ~ 0 + cell + (1 | g)", data)
    for type in ("II", "III"):
        assert m.anova(type).loc["trt"].isna().all()
    a = means.contrast("cell[a1b1] + cell[a1b2] - cell[a2b1] - cell[a2b2] = 0").iloc[0]
    ab = means.contrast("cell[a1b1] - cell[a1b2] - cell[a2b1] + cell[a2b2] = 0").iloc[0]
    for term, test in (("a", a), ("a:b", ab)):
        found = m.anova("III").loc[term]
        assert found["num_df"] == 1
        assert found["f_value"] == pytest.approx(test["statistic"] ** 2, rel=1e-6)
        assert found["den_df"] == pytest.approx(test["df"], rel=1e-6)
