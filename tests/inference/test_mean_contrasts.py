"""Contrasts, slopes, letters and scales of marginal means, against R and against arithmetic."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame, topic
from scipy import stats

import mixedfast as mf
from mixedfast.errors import ArgumentError, FormulaError, NotDefinedError
from mixedfast.inference import studentized_range
from mixedfast.inference.hypotheses.comparison_arrows import comparison_arrows
from mixedfast.inference.hypotheses.emmeans import emmeans as grid_means
from mixedfast.inference.hypotheses.letters import compact_letters
from mixedfast.inference.hypotheses.mean_tests import contrast_means, mean_estimates
from mixedfast.inference.largest_t import LargestT
from mixedfast.inference.transformation import of_link, of_response

# R's optimum is good to about 1e-5 in theta; df carry its numerical derivatives.
STANDARD_ERROR = 1e-5
DF = 1e-4
P = 1e-6
# R finds quantiles of the studentized range to about 1e-4.
INTERVAL = 2e-4
# mvtnorm stops at an absolute error of 1e-3 in p; a quantile then moves by 1e-2 standard errors.
MVT, MVT_INTERVAL = 1e-3, 2e-2

CASES = topic("contrasts")["cases"]
NESTED = topic("contrasts")["nested"]


@cache
def fitted(dataset: str, formula: str):
    return mf.lmer(formula, frame(dataset))


@cache
def asked(name: str):
    """Return the means of R's record."""
    record = CASES[name]
    m = fitted(record["dataset"], record["formula"])
    specs = "1" if record["specs"] == ["1"] else record["specs"]
    how = {"by": record["by"], "ddf": record["ddf"], "at": record["at"]}
    if record["trend"]:
        return m.emtrends(record["trend"], specs, **how)
    return m.emmeans(specs, weights=record["weights"], type=record["type"], **how)


def theirs(row: dict, *names: str) -> float:
    """Return the first of several columns that R's table has; infinite df are missing in it."""
    found = next(row[name] for name in names if name in row)
    return np.inf if found is None else found


@pytest.mark.parametrize("name", CASES)
def test_means_are_those_of_emmeans(name):
    means = asked(name).to_frame()
    estimate = {"1.trend", "x.trend", "emmean", "response"}
    for (_, ours), row in zip(means.iterrows(), CASES[name]["means"], strict=True):
        column = next(n for n in ("emmean", "response", "trend") if n in means)
        value = next(row[n] for n in row if n in estimate)
        assert ours[column] == pytest.approx(value, abs=STANDARD_ERROR * row["SE"])
        assert ours.std_error == pytest.approx(row["SE"], rel=2 * STANDARD_ERROR)
        assert ours.df == pytest.approx(theirs(row, "df"), rel=DF)
        for end, names in (
            ("conf_low", ("lower.CL", "asymp.LCL")),
            ("conf_high", ("upper.CL", "asymp.UCL")),
        ):
            assert ours[end] == pytest.approx(theirs(row, *names), abs=DF * row["SE"])


TABLES = [(name, i) for name, record in CASES.items() for i in range(len(record["tables"]))]


@pytest.mark.parametrize(("name", "which"), TABLES)
def test_contrasts_are_those_of_emmeans(name, which):
    table = CASES[name]["tables"][which]
    ask = dict(table["ask"])
    found = asked(name).contrast(**ask)
    by_mvt = ask["adjust"] in ("mvt", "dunnett")
    frame_ = found.to_frame()
    column = "ratio" if "ratio" in frame_ else "estimate"
    null = 1.0 if column == "ratio" else 0.0
    assert len(found) == len(table["rows"])
    for (_, ours), row in zip(frame_.iterrows(), table["rows"], strict=True):
        error = STANDARD_ERROR * row["SE"]
        assert ours[column] == pytest.approx(theirs(row, "estimate", "ratio"), abs=2 * error)
        assert ours.std_error == pytest.approx(row["SE"], rel=2 * STANDARD_ERROR)
        assert ours.df == pytest.approx(theirs(row, "df"), rel=DF)
        assert ours.statistic == pytest.approx(theirs(row, "t.ratio", "z.ratio"), abs=1e-4)
        assert ours.p_value == pytest.approx(row["p.value"], abs=MVT if by_mvt else P)
        room = (MVT_INTERVAL if by_mvt else INTERVAL) * row["SE"]
        for end, names in (
            ("conf_low", ("lower.CL", "asymp.LCL")),
            ("conf_high", ("upper.CL", "asymp.UCL")),
        ):
            assert ours[end] == pytest.approx(theirs(row, *names), abs=room)
        assert (ours.conf_low > null) | (ours.conf_high < null) == (ours.p_value < 0.05) or ask[
            "adjust"
        ] in ("fdr", "holm")


@pytest.mark.parametrize("which", range(len(NESTED["cases"])))
def test_nested_factors_are_those_of_emmeans(which):
    record, data = NESTED["cases"][which], pd.DataFrame(NESTED["data"])
    m = mf.lmer(record["formula"], data)
    means = m.emmeans(record["specs"], by=record["by"], weights=record["weights"])
    for (_, ours), row in zip(means.to_frame().iterrows(), record["means"], strict=True):
        assert [ours[n] for n in ("site", "region", "tr") if n in row] == [
            row[n] for n in ("site", "region", "tr") if n in row
        ]
        assert ours.emmean == pytest.approx(row["emmean"], abs=STANDARD_ERROR * row["SE"])
        assert ours.std_error == pytest.approx(row["SE"], rel=STANDARD_ERROR)
        assert ours.df == pytest.approx(row["df"], rel=DF)
    for (_, ours), row in zip(means.pairs().iterrows(), record["pairs"], strict=True):
        assert ours.contrast == row["contrast"]
        assert ours.estimate == pytest.approx(row["estimate"], abs=STANDARD_ERROR * row["SE"])
        assert ours.p_value == pytest.approx(row["p.value"], abs=P)


# --- sets of contrasts ---------------------------------------------------------------------------


def cake():
    return fitted("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)")


def test_weights_by_label_and_as_a_matrix():
    means = cake().emmeans("recipe")
    own = means.contrast({"rest": [-1, 0.5, 0.5], "BC": {"B": 1, "C": -1}}).to_frame()
    matrix = means.contrast(np.array([[-1, 0.5, 0.5], [0, 1, -1]])).to_frame()
    assert own["contrast"].tolist() == ["rest", "BC"]
    assert matrix["contrast"].tolist() == ["contrast 1", "contrast 2"]
    pd.testing.assert_frame_equal(own.drop(columns="contrast"), matrix.drop(columns="contrast"))
    mean = means.to_frame().set_index("recipe")["emmean"]
    assert own["estimate"].tolist() == pytest.approx(
        [0.5 * (mean["B"] + mean["C"]) - mean["A"], mean["B"] - mean["C"]]
    )


def test_columns_of_statistics_are_attributes():
    found = cake().emmeans("recipe").contrast("control")
    table = found.to_frame()
    for name in ("estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high"):
        assert getattr(found, name).tolist() == found[name].tolist() == table[name].tolist()
    log = fitted("cake", "log(angle) ~ recipe * temperature + (1 | recipe:replicate)")
    ratios = log.emmeans("recipe", type="response").contrast("control")
    assert ratios.estimate.tolist() == ratios["ratio"].tolist()


def test_the_control_can_be_chosen():
    found = cake().emmeans("recipe").contrast("control", ref="C").to_frame()
    assert found["contrast"].tolist() == ["A - C", "B - C"]


def test_polynomials_are_whole_numbers_and_orthogonal():
    from mixedfast.inference.hypotheses.contrast_sets import contrast_set

    for n in range(2, 12):
        weights = contrast_set("poly", [(i,) for i in range(n)]).weights
        assert len(weights) == min(n - 1, 6)
        assert (weights == np.round(weights)).all()
        assert np.abs(weights.sum(axis=1)).max() == 0.0
        gram = weights @ weights.T
        assert (gram - np.diag(np.diag(gram)) == 0.0).all()
        assert (weights[:, -1] > 0.0).all()
    four = contrast_set("poly", [(i,) for i in range(4)]).weights
    assert four.tolist() == [[-3, -1, 1, 3], [1, -1, -1, 1], [-1, 3, -3, 1]]


def test_joint_tests_of_contrasts():
    m = cake()
    both = m.emmeans(["recipe", "temperature"]).contrast("interaction").joint().iloc[0]
    term = m.anova().loc["recipe:temperature"]
    assert both["f_value"] == pytest.approx(term["f_value"], rel=1e-9)
    assert both["num_df"] == term["num_df"]
    by = m.emmeans("temperature | recipe")
    pd.testing.assert_frame_equal(by.contrast("consecutive").joint(), by.joint())
    assert len(by.contrast("consecutive", family="all").joint()) == 1


def test_scheffe_protects_every_contrast():
    """The largest possible contrast of the means has the p value of the joint test."""
    means = cake().emmeans("temperature")
    pairs = means.contrast("pairwise", adjust="scheffe").to_frame()
    joint = means.joint().iloc[0]
    bound = np.sqrt(joint["num_df"] * joint["f_value"])
    assert (pairs["statistic"].abs() <= bound + 1e-9).all()
    expected = stats.f.sf(pairs["statistic"] ** 2 / 5, 5, pairs["df"])
    np.testing.assert_allclose(pairs["p_value"], expected, rtol=1e-9)


def test_false_discovery_rates():
    effects = cake().emmeans("temperature").contrast("eff", adjust="fdr").to_frame()
    plain = cake().emmeans("temperature").contrast("eff", adjust="none").to_frame()
    expected = stats.false_discovery_control(plain["p_value"])
    np.testing.assert_allclose(effects["p_value"], expected, rtol=1e-12)


def test_questions_that_cannot_be_answered():
    means = cake().emmeans("temperature", by="recipe")
    for ask, match in (
        ({"method": "helmert"}, "one of 'pairwise', 'control'"),
        ({"adjust": "tukey", "family": "all"}, "take 'mvt'"),
        ({"method": "eff", "adjust": "tukey"}, "one family of pairwise differences"),
        ({"adjust": "dunnett"}, "differences from a control"),
        ({"method": {"x": [1, -1]}}, "2 weights for 6 means"),
        ({"method": {}}, "label -> weights"),
        ({"method": [[0] * 6]}, "all weights are 0"),
        ({"method": {"x": {"1000": 1}}}, "there is no such mean"),
        ({"method": "control", "ref": "300"}, "the means are 175, 185"),
        ({"method": [[1, 2, 3, 4, 5, "x"]]}, "numbers are needed"),
        ({"method": ["pairwise", "poly"]}, "2 given for 1"),
        ({"by": "recipe", "simple": "recipe"}, "not both"),
        ({"simple": "bake"}, "simple='bake'"),
        ({"family": "none"}, "family="),
    ):
        with pytest.raises(ArgumentError, match=match):
            means.contrast(**ask)
    with pytest.raises(ArgumentError, match="holds categories"):
        cake().emtrends("recipe", "temperature")
    with pytest.raises(FormulaError, match="no variable 'minutes'"):
        cake().emtrends("minutes")


# --- the largest of several |t| ------------------------------------------------------------------


def one_factor(a: np.ndarray) -> np.ndarray:
    out = np.outer(a, a)
    np.fill_diagonal(out, 1.0)
    return out


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("df", [3.0, 27.5, np.inf])
def test_dunnett_by_nested_quadrature(k, df):
    """Against Gauss and Legendre's rule over the common variable and over s."""
    a = np.linspace(-0.4, 0.9, k)
    largest = LargestT(one_factor(a))
    assert largest.is_exact
    nodes, weights = np.polynomial.legendre.leggauss(300)
    z, spread = 9.0 * nodes[:, None], np.sqrt(1.0 - a**2)

    def inside(c: float) -> float:
        both = stats.norm.cdf((c - a * z) / spread) - stats.norm.cdf((-c - a * z) / spread)
        return float((9.0 * weights * stats.norm.pdf(z[:, 0])) @ both.prod(axis=1))

    for t in (0.7, 2.3, 4.0):
        if np.isinf(df):
            expected = 1.0 - inside(t)
        else:
            scale = stats.chi(df, scale=1 / np.sqrt(df))
            low, high = scale.ppf([1e-14, 1 - 1e-14])
            s = low + 0.5 * (high - low) * (nodes + 1.0)
            density = 0.5 * (high - low) * weights * scale.pdf(s)
            expected = 1.0 - density @ [inside(t * one) for one in s]
        assert largest.sf(t, df) == pytest.approx(expected, abs=1e-9)
    quantile = largest.isf(0.05, np.array([df]))
    assert largest.sf(quantile, df) == pytest.approx(0.05, rel=1e-9)


def test_pairwise_differences_are_the_studentized_range():
    """Quasi-Monte Carlo within six of the standard errors it states."""
    for n in (3, 5, 8):
        C = np.array([np.eye(n)[i] - np.eye(n)[j] for i, j in itertools.combinations(range(n), 2)])
        largest = LargestT(C @ C.T / 2)
        assert not largest.is_exact
        t, df = np.array([0.5, 1.0, 2.0, 3.0, 5.0]), np.array([5.0, 12.5, 40.0, 40.0, np.inf])
        expected = studentized_range.sf(t * np.sqrt(2.0), n, df)
        error = largest.error(t, df)
        assert (np.abs(largest.sf(t, df) - expected) <= 6.0 * error + 1e-12).all()
        assert (error <= 2e-4).all()
        again = LargestT(C @ C.T / 2)
        assert np.array_equal(again.sf(t, df), largest.sf(t, df))
        assert np.isnan(largest.sf([np.nan, 1.0], [4.0, np.nan])).all()
        quantile = largest.isf(0.05, np.array([12.5, 40.0]))
        np.testing.assert_allclose(largest.sf(quantile, [12.5, 40.0]), 0.05, rtol=1e-9)


@pytest.mark.parametrize("k", [4, 9])
def test_products_near_the_correlations_make_them_more_accurate(k):
    """Against plain Monte Carlo, within five of its standard errors."""
    rng = np.random.default_rng(k)
    R = one_factor(rng.uniform(0.5, 0.8, k)) + 0.02 * rng.normal(size=(k, k))
    R = 0.5 * (R + R.T)
    np.fill_diagonal(R, 1.0)
    largest = LargestT(R)
    assert not largest.is_exact
    df = 14.5
    Z = rng.multivariate_normal(np.zeros(k), R, size=200_000)
    drawn = np.abs(Z).max(axis=1) / np.sqrt(rng.chisquare(df, len(Z)) / df)
    for t in (1.0, 2.0, 3.0):
        share = (drawn > t).mean()
        error = np.sqrt(share * (1.0 - share) / len(drawn))
        assert largest.sf(t, df) == pytest.approx(share, abs=5.0 * error)
        assert largest.error(t, df) < 2e-5
    many = np.linspace(3.0, 200.0, 40)
    quantile = largest.isf(0.05, many)  # interpolated
    np.testing.assert_allclose(largest.sf(quantile, many), 0.05, rtol=1e-5)


def test_one_statistic_is_t_and_far_tails_are_bonferroni():
    one = LargestT(np.eye(1))
    assert one.sf(2.0, 7.0) == pytest.approx(2 * stats.t.sf(2.0, 7.0), rel=1e-12)
    assert one.isf(0.05, np.array([7.0])) == pytest.approx(stats.t.isf(0.025, 7.0), rel=1e-12)
    six = LargestT(one_factor(np.full(6, np.sqrt(0.5))))
    for df in (40.0, np.inf):
        bound = 12 * stats.t.sf(9.0, df)
        assert six.sf(9.0, df) == pytest.approx(bound, rel=0.05)
        assert six.sf(9.0, df) < bound


# --- slopes, scales, letters, pictures -----------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_slopes_do_not_depend_on_how_they_are_written(scale):
    data = frame("clinics").assign(x=lambda d: d["x"] * scale + 3 * scale)
    formulas = ("y ~ f * x + I(x**2) + (1 | g)", "y ~ f * x + f:I(x * x) + poly(x, 2) + (1 | g)")
    plain = mf.lmer(formulas[0], data)
    at = {"x": [2.5 * scale, 4.0 * scale]}
    found = plain.emtrends("x", ["f", "x"], at=at).to_frame()
    b = plain.params
    for _, row in found.iterrows():
        own = 0.0 if row["f"] == "a" else b[f"f[T.{row['f']}]:x"]
        expected = b["x"] + own + 2 * b["I(x ** 2)"] * row["x"]
        assert row["trend"] == pytest.approx(expected, rel=1e-8)
    curved = mf.lmer(formulas[1], data).emtrends("x", "f").to_frame()
    assert curved["std_error"].gt(0).all()


def test_slopes_of_a_model_of_names_are_coefficients():
    m = fitted("clinics", "y ~ f * x + z + (1 | g)")
    found = m.emtrends("x", "f").to_frame()
    table = m.coef_table()
    assert found["trend"].iloc[0] == pytest.approx(table.estimate["x"], rel=1e-12)
    assert found["std_error"].iloc[0] == pytest.approx(table.std_error["x"], rel=1e-12)
    pairs = m.emtrends("x", "f").pairs("none")
    assert -pairs["estimate"].iloc[0] == pytest.approx(table.estimate["f[T.b]:x"], rel=1e-10)
    assert pairs["df"].iloc[0] == pytest.approx(table.df["f[T.b]:x"], rel=1e-8)
    assert "slopes of x" in str(m.emtrends("x", "f"))


@pytest.mark.parametrize(
    "expr",
    ["log(y)", "log10(y)", "np.log2(3 * y)", "log(y + 2)", "log1p(y)", "sqrt(y)", "y ** 0.3",
     "1 / y", "-1 / (y + 1)", "np.cbrt(y)", "I(2 - y / 3)", "np.arcsin(sqrt(y / 9))", "exp(-y)",
     "`my y` / 100", "np.arcsinh(y)", "expm1(y)"],
)  # fmt: skip
def test_transformations_are_inverted(expr):
    found = of_response(expr)
    y = np.linspace(0.5, 4.0, 9)
    names = {"y": y, "np": np, "my y": y, "I": lambda v: v} | {
        n: getattr(np, n) for n in ("log", "log10", "log1p", "sqrt", "exp", "expm1")
    }
    eta = eval(expr.replace("`my y`", "y"), names)
    np.testing.assert_allclose(found.inverse(eta), y, rtol=1e-12)
    h = 1e-6
    slope = (found.inverse(eta + h) - found.inverse(eta - h)) / (2 * h)
    np.testing.assert_allclose(found.derivative(eta), slope, rtol=1e-6)
    assert (found.difference == "ratio") == (expr in ("log(y)", "log10(y)", "np.log2(3 * y)"))


def test_scales_that_cannot_be_inverted():
    assert of_response("y") is None
    assert of_response("y * x").inverse is None
    data = frame("cake").assign(t=lambda d: d["angle"] / 2)
    m = mf.lmer("angle * t ~ recipe + (1 | recipe:replicate)", data)
    assert "on the scale of angle * t" in str(m.emmeans("recipe"))
    with pytest.raises(NotDefinedError, match="the inverse of angle \\* t is not known"):
        m.emmeans("recipe", type="response")


def test_a_falling_transformation_keeps_the_ends_in_order():
    m = fitted("cake", "1 / angle ~ recipe + temperature + (1 | recipe:replicate)")
    link = m.emmeans("recipe").to_frame()
    found = m.emmeans("recipe", type="response").to_frame()
    assert (found["conf_low"] < found["response"]).all()
    np.testing.assert_allclose(found["conf_low"], 1.0 / link["conf_high"], rtol=1e-12)


def test_letters_are_those_of_multcomp():
    m = mf.lm("angle ~ temperature + recipe", frame("cake"))
    found = m.emmeans("temperature").letters(adjust="mvt").set_index("temperature")["letters"]
    assert found.to_dict() == topic("contrasts")["letters"]


def test_letters_say_which_means_differ():
    rng = np.random.default_rng(4)
    for n in (1, 2, 5, 9):
        for _ in range(20):
            differ = np.triu(rng.random((n, n)) < rng.random(), 1)
            differ = differ | differ.T
            letters = compact_letters(range(n), differ)
            assert all(letters)
            for i, j in itertools.combinations(range(n), 2):
                assert differ[i, j] != bool(set(letters[i]) & set(letters[j]))


def test_arrows_show_the_tests():
    rng = np.random.default_rng(8)
    contradicted = total = 0
    for _ in range(40):
        n = int(rng.integers(2, 8))
        first, second = np.triu_indices(n, 1)
        se = rng.uniform(0.5, 1.0, n)
        limit = 2.8 * np.sqrt(se[first] ** 2 + se[second] ** 2)
        mean = rng.normal(scale=3, size=n)
        arrows = comparison_arrows(mean, first, second, limit)
        gap = np.abs(mean[first] - mean[second])
        apart = arrows.length[first] + arrows.length[second] < gap
        wrong = set(zip(first[apart != (gap > limit)], second[apart != (gap > limit)], strict=True))
        assert wrong == set(arrows.contradicted)
        contradicted, total = contradicted + len(wrong), total + len(gap)
    assert contradicted < 0.02 * total


def test_the_picture_of_means():
    pytest.importorskip("matplotlib")
    m = fitted("cake", "log(angle) ~ recipe * temperature + (1 | recipe:replicate)")
    means = m.emmeans("temperature | recipe", type="response")
    axes = means.plot()
    table = means.to_frame()
    assert [ax.get_title() for ax in axes] == ["recipe = A", "recipe = B", "recipe = C"]
    for ax, level in zip(axes, "ABC", strict=True):
        own = table[table["recipe"] == level]
        assert [t.get_text() for t in ax.get_yticklabels()] == own["temperature"].tolist()
        drawn = next(line for line in ax.lines if line.get_label() == "mean")
        np.testing.assert_allclose(drawn.get_xdata(), own["response"])
    assert "log(angle)" in axes[0].get_xlabel()
    import matplotlib.pyplot as plt

    plt.close("all")


def test_pages():
    means = cake().emmeans("temperature | recipe")
    found = means.contrast("consecutive")
    text = str(found)
    assert "multivariate t for 5 contrasts within each level of recipe" in " ".join(text.split())
    assert "standard error at most" in text
    assert "<table" in found._repr_html_()
    assert r"\toprule" in found.summary().to_latex()
    assert "Dunnett" in str(means.contrast("control", family="all"))
    log = fitted("cake", "log(angle) ~ recipe * temperature + (1 | recipe:replicate)")
    assert "on the scale of log(angle)" in str(log.emmeans("recipe"))
    shown = log.emmeans("recipe", type="response")
    assert "back-transformed from log(angle)" in str(shown)
    assert "tests on the scale of log(angle)" in " ".join(str(shown.contrast()).split())


def test_one_mean_has_no_contrasts():
    overall = cake().emmeans("1")
    for method in ("pairwise", "control", "consecutive", "poly", "eff"):
        assert len(overall.contrast(method)) == 0
    assert overall.pairs().empty
    assert str(overall.contrast())
    with pytest.raises(ArgumentError, match="there is one mean"):
        overall.contrast("interaction")


def test_families_without_an_estimable_contrast():
    """All differences within a level of p rest on an empty cell."""
    rng = np.random.default_rng(2)
    data = pd.DataFrame(
        [(p, q) for p in "ab" for q in "xy" for _ in range(10)], columns=["p", "q"]
    ).query("p != 'b' or q != 'y'")
    data["g"] = np.arange(len(data)) % 10
    data["y"] = rng.normal(size=len(data)) + rng.normal(size=10)[data["g"]]
    means = mf.lmer("y ~ p * q + (1 | g)", data).emmeans("q", by="p")
    for adjust in ("mvt", "scheffe", "holm", "fdr", "bonferroni", "sidak", "none"):
        found = means.contrast("pairwise", adjust=adjust).to_frame()
        assert found["p_value"].isna().tolist() == [False, True]
        plain = means.pairs("none")
        assert found["p_value"].iloc[0] == pytest.approx(plain["p_value"].iloc[0], rel=1e-10)
    assert means.letters()["letters"].tolist()[-1] == ""


def test_results_can_be_pickled():
    import pickle

    log = fitted("cake", "log(angle) ~ recipe * temperature + (1 | recipe:replicate)")
    means = log.emmeans("recipe", type="response")
    for result in (means, means.contrast("control")):
        again = pickle.loads(pickle.dumps(result))
        pd.testing.assert_frame_equal(again.to_frame(), result.to_frame())


def test_links_of_generalized_models():
    """Means on the scale of probabilities and odds ratios, of any fit with a link."""
    from scipy.special import expit

    fit = fitted("clinics", "y ~ f * x + z + (1 | g)")._fit
    logit = of_link("logit", expit, lambda eta: expit(eta) * (1.0 - expit(eta)))
    how = {"ddf": "asymptotic", "transformation": logit}
    link = mean_estimates(grid_means(fit, "f", **how))
    means = grid_means(fit, "f", type="response", **how)
    found = mean_estimates(means)
    p = expit(link["emmean"])
    np.testing.assert_allclose(found["response"], p, rtol=1e-12)
    np.testing.assert_allclose(found["std_error"], p * (1 - p) * link["std_error"], rtol=1e-12)
    np.testing.assert_allclose(found["conf_low"], expit(link["conf_low"]), rtol=1e-12)
    ratios = contrast_means(means, "pairwise")
    odds = p / (1 - p)
    assert ratios.labels[0] == "a / b"
    assert ratios.tests["odds_ratio"][0] == pytest.approx(odds[0] / odds[1], rel=1e-9)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_are_the_callers(library):
    pytest.importorskip(library)
    table = frame("cake")
    data = {name: table[name].astype(str).to_numpy() for name in ("recipe", "replicate")}
    data["angle"] = table["angle"].to_numpy(dtype=float)
    if library == "polars":
        import polars as native

        rows = native.DataFrame(data)
    else:
        import pyarrow as native

        rows = native.table({name: native.array(values) for name, values in data.items()})
    means = mf.lmer("angle ~ recipe + (1 | recipe:replicate)", rows).emmeans("recipe")
    for made in (means.letters(), means.pairs(), means.contrast("control").to_frame()):
        assert type(made).__module__.split(".")[0] == library
    assert len(means.contrast("control")["p_value"]) == 2
