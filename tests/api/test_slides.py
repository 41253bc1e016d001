"""Every number printed on the slides this library grew from, to the digits printed.

Zieffler, A., Introduction to Mixed-Effects Models (slides), University of Minnesota. The slides
have slips, which are not ours to reproduce: 1785 and 1783 where 7185 students and 7183 df are
meant, the equation 12.74 + 3.19(ses) where their own table says 12.74740 and 3.18387, and the
school means are once called houses and cities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
from mixedfast._demo import _statistics
from mixedfast.api import lm
from mixedfast.results import OLSResult

#: The slides' lmerTest was an older one: its df differ from today's in the fourth digit.
OLDER_LMERTEST = 1e-3

#: Today's lmerTest, with its optimizer run to 1e-10, is good to this much.
TODAYS_LMERTEST = 1e-4


def shows(value: float, text: str) -> bool:
    """Whether a number, rounded to the decimals of what was printed, is what was printed."""
    decimals = len(text.partition(".")[2])
    return f"{value:.{decimals}f}" == text


@pytest.fixture(scope="module")
def students() -> pd.DataFrame:
    return mf.load_dataset("hsb")


@pytest.fixture(scope="module")
def cases(students: pd.DataFrame) -> OLSResult:
    return lm("math ~ ses", students)


@pytest.fixture(scope="module")
def schools(students: pd.DataFrame) -> OLSResult:
    means = (
        students.groupby("school", observed=True)[["math", "ses"]]
        .mean()
        .rename(columns={"ses": "meanSES"})
    )
    return lm("math ~ meanSES", means.reset_index())


@pytest.fixture(scope="module")
def m(students: pd.DataFrame) -> Any:
    return mf.lmer("math ~ 1 + ses + (1 + ses | school)", students)


# --- before the mixed model ----------------------------------------------------------------------

OUTCOME = {
    "n": "7185.00",
    "mean": "12.75",
    "sd": "6.88",
    "median": "13.13",
    "trimmed": "12.91",
    "mad": "8.12",
    "min": "-2.83",
    "max": "24.99",
    "range": "27.82",
    "skew": "-0.18",
    "kurtosis": "-0.92",
    "se": "0.08",
}


def test_the_outcome_is_described_as_on_the_slides(students: pd.DataFrame) -> None:
    found = _statistics(students["math"].to_numpy())
    assert list(found) == list(OUTCOME)
    wrong = {name: found[name] for name, text in OUTCOME.items() if not shows(found[name], text)}
    assert not wrong


def test_statistics_of_values_worked_by_hand() -> None:
    # ten values, so the trimmed mean leaves out one at each end; deviations from 6: -5 -4 -3 -2 -1
    # 0 1 2 3 9
    found = _statistics(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 15.0]))
    sd = np.sqrt(150 / 9)
    by_hand = {
        "n": 10,
        "mean": 6,
        "sd": sd,
        "median": 5.5,
        "trimmed": 5.5,
        "mad": 1.4826 * 2.5,
        "range": 14,
    }
    by_hand |= {"skew": 540 / 10 / sd**3, "kurtosis": 7638 / 10 / sd**4 - 3, "se": sd / np.sqrt(10)}
    np.testing.assert_allclose(
        [found[name] for name in by_hand], list(by_hand.values()), rtol=1e-14
    )


LM_COEFFICIENTS = """\
          Estimate Std. Error t value Pr(>|t|)
Intercept 12.74740    0.07569  168.42   <2e-16 ***
ses        3.18387    0.09712   32.78   <2e-16 ***"""

LM_FIT = """\
Residual standard error: 6.416 on 7183 degrees of freedom
Multiple R-squared: 0.1301, Adjusted R-squared: 0.13
F-statistic: 1075 on 1 and 7183 DF, p-value: < 2.2e-16"""


def test_the_regression_on_students(cases: OLSResult) -> None:
    page = str(cases.summary())
    assert LM_COEFFICIENTS in page
    assert LM_FIT in page


LM_ANOVA = """\
            Df Sum Sq Mean Sq F value    Pr(>F)
ses          1  44233   44233  1074.7 < 2.2e-16 ***
Residuals 7183 295644      41"""


def test_its_analysis_of_variance(cases: OLSResult) -> None:
    from mixedfast.report.text import anova_text

    table = cases.anova()
    assert LM_ANOVA in anova_text(table, "")
    # "7185 independent observations = 7184 df"
    assert table["df"].sum() == 7184


SCHOOL_COEFFICIENTS = """\
          Estimate Std. Error t value Pr(>|t|)
Intercept  12.6573     0.1533   82.57   <2e-16 ***
meanSES     5.9093     0.3714   15.91   <2e-16 ***"""

SCHOOL_FIT = """\
Residual standard error: 1.939 on 158 degrees of freedom
Multiple R-squared: 0.6157, Adjusted R-squared: 0.6132
F-statistic: 253.1 on 1 and 158 DF, p-value: < 2.2e-16"""


def test_the_regression_on_school_means(schools: OLSResult) -> None:
    page = str(schools.summary())
    assert SCHOOL_COEFFICIENTS in page
    assert SCHOOL_FIT in page
    # "about 62% of the variation", from 160 schools
    assert f"{schools.r2().r2:.0%}" == "62%"
    assert schools.nobs == 160


# --- the mixed model -----------------------------------------------------------------------------

FIXED = {"Intercept": ("12.6650", "0.1898", "66.71"), "ses": ("2.3938", "0.1181", "20.27")}


@pytest.mark.parametrize("term", FIXED)
def test_the_fixed_effects(m: Any, term: str) -> None:
    estimate, error, ratio = FIXED[term]
    assert shows(m.params[term], estimate)
    assert shows(m.bse[term], error)
    assert shows(m.params[term] / m.bse[term], ratio)


def test_the_fixed_effects_in_the_text(m: Any) -> None:
    # "12.67" at the average status and "2.39" per standard deviation; 12.665 rounds up, and so do
    # they
    assert shows(m.params["Intercept"], "12.67")
    assert shows(m.params["ses"], "2.39")


def test_the_variance_components(m: Any) -> None:
    printed = [("4.8286", "2.1974"), ("0.4129", "0.6426"), ("36.8302", "6.0688")]
    variances = m.varcorr[m.varcorr["name2"].isna()]
    assert len(variances) == len(printed)
    for (variance, sd), (shown_variance, shown_sd) in zip(
        variances[["variance", "sd"]].to_numpy(), printed, strict=True
    ):
        assert shows(variance, shown_variance)
        assert shows(sd, shown_sd)
    assert shows(m.varcorr["corr"].dropna().item(), "-0.11")


def test_the_counts(m: Any) -> None:
    assert (m.nobs, m.n_groups) == (7185, {"school": 160})


def test_the_mixed_analysis_of_variance(m: Any) -> None:
    row = m.anova().loc["ses"]
    assert row["num_df"] == 1
    assert shows(row["sum_sq"], "15126")
    assert shows(row["mean_sq"], "15126")
    assert shows(row["f_value"], "410.7")
    # the slides divide what they printed: 15126 / 36.8302 = 410.6956
    assert shows(round(row["mean_sq"]) / round(m.sigma**2, 4), "410.6956")


@pytest.mark.parametrize(
    "df", [7183, 158]
)  # best and worst case; the slides say 1783 for the first
def test_the_best_and_worst_case_p_values_are_zero_as_printed(m: Any, df: int) -> None:
    from scipy import stats

    # zero, or the last place of 1.0, in which SciPy's versions differ
    assert 1 - stats.f.cdf(m.anova().loc["ses", "f_value"], 1, df) <= np.finfo(float).eps


# --- which df ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "older", "today"), [("Intercept", 145.51, 145.5509), ("ses", 157.39, 157.5297)]
)
def test_satterthwaite_df_and_p_values(m: Any, term: str, older: float, today: float) -> None:
    row = m.coef_table().loc[term]
    np.testing.assert_allclose(row["df"], older, rtol=OLDER_LMERTEST)
    np.testing.assert_allclose(row["df"], today, rtol=TODAYS_LMERTEST)
    # printed "<2e-16 ***"
    assert 0 < row["p_value"] < 2e-16


def test_the_df_table_has_the_slides_extremes(m: Any) -> None:
    # N - q - 1 = 160 - 1 - 1, and all students as independent
    for method, df in (("group", 158), ("residual", 7183)):
        np.testing.assert_allclose(m.coef_table(ddf=method)["df"], df)


# --- the demonstration ---------------------------------------------------------------------------


def test_the_demonstration_prints_the_slides_numbers() -> None:
    from mixedfast._demo import demo_text

    page = demo_text()
    for part in (
        LM_COEFFICIENTS,
        LM_FIT,
        LM_ANOVA,
        SCHOOL_FIT,
        SCHOOL_COEFFICIENTS.splitlines()[1],
    ):
        assert part in page
    for number in (
        *OUTCOME.values(),
        "0.3607556",
        "12.6650",
        "2.3938",
        "4.8286",
        "36.8302",
        "15126",
        "410.7",
    ):
        assert number in page
    assert not any(line.endswith(" ") for line in page.splitlines())


def test_the_residuals_of_a_school_lean_to_one_side(
    cases: OLSResult, students: pd.DataFrame
) -> None:
    from mixedfast._demo import _expected_leaning, _intraclass

    codes = students["school"].cat.codes.to_numpy()
    # R 4.2.2: ICC of resid(lm(math ~ ses)) by the one-way analysis of variance
    assert shows(_intraclass(cases.resid(), codes), "0.0908")
    # independent noise has none: 160 schools put the estimate within 0.02 of zero
    noise = np.random.default_rng(1).normal(size=len(codes))
    assert abs(_intraclass(noise, codes)) < 0.02
    # three tosses lean at 2 or 3 of a kind, always; four at 3 or 4 of a kind, 10 times in 16
    np.testing.assert_allclose(_expected_leaning(np.array([3, 4])), 1 + 10 / 16)
