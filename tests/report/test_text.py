"""Printed pages: digits as R shows them, layout, and the page of the seed's model in full."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
from mixedfast.errors import DataError
from mixedfast.report.number_format import chop, p_values, significant, stars
from mixedfast.report.page import Page
from mixedfast.report.sections import Cells, Grid, Heading
from mixedfast.report.text import Summary, anova_text

GOLDEN = Path(__file__).parents[1] / "golden"

# --- digits: what R 4.2.2 prints -----------------------------------------------------------------

# format.pval(x, digits = 3)
R_P_VALUES = [
    ([5.55e-5, 0.02, 3e-4], ["5.55e-05", "2e-02", "3e-04"]),
    ([0.000913, 0.0005, 0.5], ["0.000913", "0.000500", "0.500000"]),
    ([1.234e-5, 1.2345e-7], ["1.23e-05", "1.23e-07"]),
    ([9.99e-4, 1e-30, 1e-8], ["0.000999", "< 2e-16", "1e-08"]),
    ([1.0, 0.0], ["1", "<2e-16"]),
    ([1e-4], ["1e-04"]),
    ([2.7e-4, 6.4e-7, 0.0217], ["0.00027", "6.4e-07", "0.02170"]),
    ([float("nan"), 0.2], ["NA", "0.2"]),
    ([], []),
]


@pytest.mark.parametrize(("values", "shown"), R_P_VALUES)
def test_p_values_are_those_of_r(values: list[float], shown: list[str]) -> None:
    assert p_values(values, 3) == shown


# format(x, digits)
R_NUMBERS = [
    ([12.7474, 0.075689], 4, ["12.74740", "0.07569"]),
    ([295644.2, 44233.4], 5, ["295644", "44233"]),
    ([0.4129285, 36.83016, 4.828636], 4, ["0.4129", "36.8302", "4.8286"]),
    ([0.0, 13.81], 4, ["0.00", "13.81"]),
    ([1e-10, 1.0], 4, ["1e-10", "1e+00"]),
    ([1e-120, 2.5e-110], 2, ["1.0e-120", "2.5e-110"]),
    ([123456789.0], 4, ["123456789"]),
    ([float("nan"), float("inf"), -float("inf"), 1.5], 3, ["NA", "Inf", "-Inf", "1.5"]),
    ([float("nan")], 3, ["NA"]),
]


@pytest.mark.parametrize(("values", "digits", "shown"), R_NUMBERS)
def test_numbers_of_a_column_are_those_of_r(
    values: list[float], digits: int, shown: list[str]
) -> None:
    assert significant(values, digits) == shown


def test_chop_never_shows_a_negative_zero() -> None:
    assert str(chop([-1e-9, 100.0], 4)) == "[0.0, 100.0]"


def test_stars_change_at_the_limits_of_the_legend() -> None:
    limits = [0.0, 0.001, 0.0011, 0.01, 0.05, 0.1, 0.11, float("nan")]
    assert [stars(p) for p in limits] == ["***", "***", "**", "**", "*", ".", "", ""]


# --- layout --------------------------------------------------------------------------------------


def test_columns_align_and_lines_end_without_spaces() -> None:
    grid = Grid(
        (
            Cells("", ("a", "long"), left=True),
            Cells("x", ("1.5", "")),
            Cells("", ("*", ""), left=True),
        )
    )
    assert str(Page([grid])) == "       x\na    1.5 *\nlong"


def test_html_escapes_and_keeps_every_cell() -> None:
    shown = Page(
        ["a < b\nc", Grid((Cells("Pr(>|t|)", ("<2e-16",)),), heading="H & M", note="---\nlegend")]
    )._repr_html_()
    assert "<p>a &lt; b<br>c</p>" in shown
    assert "<caption>H &amp; M</caption>" in shown
    assert ">Pr(&gt;|t|)</th>" in shown
    assert ">&lt;2e-16</td>" in shown
    assert "<p>legend</p>" in shown


PAGE = Page(
    [
        Heading("Model_1 & co", 1),
        "R^2 is 5 %\nof <all>",
        Grid(
            (Cells("", ("a_b", "x*y"), left=True), Cells("Est|t|", ("-1.5", "2"))),
            heading="100 %:",
            note="---\nend",
        ),
    ]
)


def test_markdown_is_a_pipe_table_and_escapes() -> None:
    assert PAGE.to_markdown() == (
        "# Model\\_1 & co\n\nR^2 is 5 %  \nof \\<all\\>\n\n**100 %:**\n\n"
        "|      | Est\\|t\\| |\n|:-----|---------:|\n| a\\_b |     -1.5 |\n| x\\*y |        2 |\n\nend"
    )


def test_latex_is_a_tabular_and_escapes() -> None:
    assert PAGE.to_latex().splitlines() == [
        r"\section*{Model\_1 \& co}",
        "",
        r"R\textasciicircum{}2 is 5 \%\\",
        r"of \textless{}all\textgreater{}",
        "",
        r"\noindent 100 \%:\\",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r" & Est\textbar{}t\textbar{} \\",
        r"\midrule",
        r"a\_b & $-$1.5 \\",
        r"x*y & 2 \\",
        r"\bottomrule",
        r"\end{tabular}\\ {\footnotesize end}",
    ]


def test_latex_takes_no_label_for_a_length() -> None:
    assert r"{[}a] \\" in Page([Grid((Cells("", ("[a]",), left=True),))]).to_latex()


def test_a_summary_has_every_form() -> None:
    page = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).summary()
    for shown in (str(page), page._repr_html_(), page.to_markdown(), page.to_latex()):
        assert "251.405" in shown and "Subject" in shown and "1743.6" in shown


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_any_table_becomes_a_page(library: str) -> None:
    pytest.importorskip(library)
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    in_pandas = [
        mf.page(t)
        for t in (
            m.coef_table(),
            m.anova(),
            m.tidy(["fixed", "ran_pars"]),
            m.varcorr,
            m.ddf_table(),
        )
    ]
    m.library = library
    here = [
        mf.page(t) for t in (m.coef_table(), m.anova(), m.tidy(["fixed", "ran_pars"]), m.varcorr)
    ]
    for one, other in zip(here, in_pandas, strict=False):
        assert str(one) == str(other)
    assert re.search(
        r"Days +10\.467 +1\.5458 +17 +6\.7715 3\.264e-06 \*\*\* +7\.206 +13\.729", str(in_pandas[0])
    )
    assert str(in_pandas[4]).splitlines()[0].split()[:3] == ["term", "method", "Df"]


def test_long_prose_is_broken_and_tables_are_not() -> None:
    prose, wide = "word " * 40, Grid((Cells("h", ("x" * 200,)),))
    lines = str(Page([prose, wide])).splitlines()
    assert max(len(line) for line in lines if "word" in line) <= 96
    assert "x" * 200 in lines


# R 4.2.2, lmerTest: anova(lmer(math ~ ses * (mean_ses + sector) + (ses | school))), tight optimizer
CROSS_LEVEL = """\
Type III
              Sum Sq Mean Sq NumDF  DenDF  F value    Pr(>F)
ses          13729.4 13729.4     1 3674.1 373.5038 < 2.2e-16 ***
mean_ses      2685.0  2685.0     1  178.5  73.0456 5.516e-15 ***
sector         553.4   553.4     1  148.3  15.0550 0.0001566 ***
ses:mean_ses   356.4   356.4     1 3531.6   9.6947 0.0018628 **
ses:sector    1816.6  1816.6     1 4315.5  49.4212 2.390e-12 ***
---
Signif. codes: 0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"""


def test_a_mixed_anova_table_is_lmertest_s() -> None:
    golden = json.loads((GOLDEN / "hsb_crosslevel.json").read_text())["anova_satterthwaite_III"]
    names = {
        "Sum Sq": "sum_sq",
        "Mean Sq": "mean_sq",
        "NumDF": "num_df",
        "DenDF": "den_df",
        "F value": "f_value",
        "Pr(>F)": "p_value",
    }
    frame = pd.DataFrame(golden).set_index("term")[list(names)].rename(columns=names)
    assert anova_text(frame, "Type III") == CROSS_LEVEL


def test_a_likelihood_ratio_table_leaves_missing_cells_blank() -> None:
    frame = pd.DataFrame(
        {"npar": [3, 4], "chisq": [np.nan, 31.5], "df": [np.nan, 1], "p_value": [np.nan, 2e-8]},
        ["m0", "m1"],
    )
    lines = anova_text(frame, "Likelihood ratio").splitlines()
    assert lines[1].split() == ["npar", "Chisq", "Df", "Pr(>Chisq)"]
    assert lines[2].split() == ["m0", "3"]
    assert lines[3].split() == ["m1", "4", "31.5", "1", "2e-08", "***"]


# --- the page of a mixed model -------------------------------------------------------------------

SEED_PAGE = """\
Linear mixed model fit by REML; t tests with Satterthwaite's degrees of freedom
Formula: math ~ 1 + ses + (1 + ses | school)

REML criterion at the optimum: 46640.4

Scaled residuals:
     Min       1Q  Median      3Q     Max
-3.12272 -0.73046 0.02144 0.75610 2.94356

Random effects:
Groups   Name      Variance Std.Dev. Corr
school   Intercept   4.8286   2.1974
         ses         0.4129   0.6426 -0.11
Residual            36.8302   6.0688
Number of obs: 7185, groups: school, 160

Fixed effects:
          Estimate Std. Error       df t value Pr(>|t|)
Intercept  12.6650     0.1898 145.5509   66.71   <2e-16 ***
ses         2.3938     0.1181 157.5297   20.27   <2e-16 ***
---
Signif. codes: 0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1

Correlation of fixed effects:
    Intrcp
ses -0.045"""


def _name(r_name: str | None) -> str | None:
    return "Intercept" if r_name == "(Intercept)" else r_name


def summary_text(m: Any, ddf: str | None = "satterthwaite") -> str:
    return str(Summary(m, ddf))


def _golden_result(case: str, **changes: Any) -> Any:
    """Return a minimal result made of a golden file's numbers, for pages that need an LMMResult."""
    g = json.loads((GOLDEN / f"{case}.json").read_text())
    coefficients = pd.DataFrame(g["coefs"])
    coefficients.index = pd.Index([_name(term) for term in coefficients["term"]])
    table = coefficients.rename(
        columns={
            "Estimate": "estimate",
            "Std. Error": "std_error",
            "t value": "statistic",
            "Pr(>|t|)": "p_value",
        }
    )
    covariances = [row["var2"] is not None for row in g["varcorr"]]
    varcorr = pd.DataFrame(
        {
            "group": [row["grp"] for row in g["varcorr"]],
            "name1": [_name(row["var1"]) or "" for row in g["varcorr"]],
            "name2": [_name(row["var2"]) for row in g["varcorr"]],
            "variance": [row["vcov"] for row in g["varcorr"]],
            "sd": [
                np.nan if c else row["sdcor"]
                for c, row in zip(covariances, g["varcorr"], strict=True)
            ],
            "corr": [
                row["sdcor"] if c else np.nan
                for c, row in zip(covariances, g["varcorr"], strict=True)
            ],
        }
    )
    facts = {
        "formula": g["formula"],
        "reml": g["REML"],
        "criterion": g["criterion"],
        "loglik": g["logLik"],
        "aic": g["AIC"],
        "bic": g["BIC"],
        "df_model": g["df"],
        "nobs": g["nobs"],
        "n_groups": g["ngrps"],
        "varcorr": varcorr,
        "is_singular": False,
        "not_identified": (),
        "converged": True,
        "n_dropped": 0,
        "dropped_columns": (),
        "weights_used": False,
        "is_streamed": False,
        "engine": "block",
        "coef_table": lambda ddf="satterthwaite": (
            table.assign(df=np.inf) if ddf == "asymptotic" else table
        ),
        "vcov": lambda: pd.DataFrame(g["vcov"], index=table.index, columns=table.index),
        "_stream": None,
        # five residuals are their own five quantiles; these are R's
        "resid": lambda type: np.array([-3.122719, -0.730458, 0.021441, 0.756101, 2.943562]),
    }
    return SimpleNamespace(**(facts | changes))


def test_the_page_of_the_seed_s_model() -> None:
    assert summary_text(_golden_result("hsb_seed")) == SEED_PAGE


def test_the_page_of_the_seed_s_model_from_a_fit() -> None:
    m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))
    assert str(m.summary()) == SEED_PAGE


# The numbers of R's pages (lme4 1.1-31, lmerTest 3.1-3, optimizer run to 1e-10), from the criterion
# down.
R_PAGES = {
    ("hsb", "math ~ 1 + (1 | school)", True): """47116.8
        -3.0631 -0.7539 0.0267 0.7606 2.7426 8.614 2.935 39.148 6.257 7185 160
        12.6370 0.2444 156.6473 51.71 2e-16""",
    ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", True): """330.9
        -2.07923 -0.67140 0.06292 0.58377 2.97958 0.7169 0.8467 3.7309 1.9316 0.3024 0.5499 144 24 6
        22.9722 0.8086 5.4871 28.41 3.62e-07""",
    ("sleepstudy", "Reaction ~ Days + (Days | Subject)", False): """1763.9 1783.1 -876.0 1751.9 174
        -3.9416 -0.4656 0.0289 0.4636 5.1793 565.52 23.781 32.68 5.717 0.08 654.94 25.592 180 18
        251.405 6.632 18.000 37.906 2e-16 10.467 1.502 18.000 6.968 1.65e-06 -0.138""",
}


@pytest.mark.parametrize(("dataset", "formula", "reml"), R_PAGES)
def test_every_number_of_r_s_page_is_on_ours(dataset: str, formula: str, reml: bool) -> None:
    page = str(mf.lmer(formula, mf.load_dataset(dataset), REML=reml).summary())
    below_title = page.split("\n\n", 1)[1].replace("1Q", "").replace("3Q", "")
    lines = [line for line in below_title.splitlines() if not line.startswith("Signif")]
    numbers = re.findall(r"-?\d+(?:\.\d+)?(?:e-\d+)?", "\n".join(lines))
    assert numbers == R_PAGES[dataset, formula, reml].split()


def test_maximum_likelihood_shows_the_criteria() -> None:
    page = summary_text(_golden_result("hsb_seed_ml"))
    assert "fit by maximum likelihood" in page
    assert page.splitlines()[3].split() == ["AIC", "BIC", "logLik", "deviance", "df.resid"]
    assert page.splitlines()[4].split()[-1] == str(7185 - 6)


def test_without_a_df_method_there_are_no_tests() -> None:
    page = summary_text(_golden_result("hsb_seed"), ddf=None)
    assert "Pr(>" not in page
    assert "Signif" not in page
    assert re.search(r"^ses +2\.3938 +0\.1181 +20\.27$", page, re.MULTILINE)


def test_large_sample_tests_are_z_without_df() -> None:
    page = summary_text(_golden_result("hsb_seed"), ddf="asymptotic")
    assert "z value Pr(>|z|)" in page
    assert "145.55" not in page


def test_uncorrelated_effects_name_their_group_again() -> None:
    page = summary_text(_golden_result("sleepstudy_zerocorr"))
    rows = [line.split()[:2] for line in page.splitlines() if line.startswith("Subject")]
    assert [name for _, name in rows] == ["Intercept", "Days"]
    assert "Corr\n" not in page.split("Fixed effects")[0]


def test_three_correlated_effects_make_a_triangle() -> None:
    # R: lmer(Reaction ~ Days + I(Days^2) + (Days + I(Days^2) | Subject))
    pairs = [("a", "b", -0.41), ("a", "c", 0.46), ("b", "c", -0.91)]
    rows: list[tuple[Any, ...]] = [
        ("Subject", name, None, sd**2, sd, np.nan)
        for name, sd in (("a", 28.375), ("b", 14.606), ("c", 1.46))
    ]
    rows += [("Subject", one, other, 0.0, np.nan, corr) for one, other, corr in pairs]
    rows.append(("Residual", "", None, 518.158, 22.763, np.nan))
    varcorr = pd.DataFrame(rows, columns=["group", "name1", "name2", "variance", "sd", "corr"])
    page = summary_text(_golden_result("sleepstudy", varcorr=varcorr))
    assert page.split("Random effects:\n")[1].startswith(
        """\
Groups   Name Variance Std.Dev. Corr
Subject  a     805.141    28.38
         b     213.335    14.61 -0.41
         c       2.132     1.46  0.46 -0.91
Residual       518.158    22.76
"""
    )


def test_two_terms_on_one_group_are_two_blocks() -> None:
    rows = [
        ("g", "Intercept", None, 4.0, 2.0, np.nan),
        ("g", "x", None, 1.0, 1.0, np.nan),
        ("g", "Intercept", "x", 1.0, np.nan, 0.5),
        ("g", "z", None, 9.0, 3.0, np.nan),
        ("Residual", "", None, 1.0, 1.0, np.nan),
    ]
    varcorr = pd.DataFrame(rows, columns=["group", "name1", "name2", "variance", "sd", "corr"])
    table = summary_text(_golden_result("sleepstudy", varcorr=varcorr)).split("Random effects:\n")[
        1
    ]
    assert [line.split()[0] for line in table.splitlines()[1:5]] == ["g", "x", "g", "Residual"]


def test_notes_say_what_happened_to_data_and_fit() -> None:
    page = summary_text(
        _golden_result(
            "hsb_seed",
            n_dropped=1,
            dropped_columns=("x", "y"),
            is_singular=True,
            converged=False,
            weights_used=True,
        )
    )
    assert "1 row left out: missing values." in page
    assert "linear combination of other columns: x, y." in page
    assert "Singular fit" in page
    assert "do not use these estimates" in page
    assert "Weights: precision weights" in page


def test_a_result_without_rows_says_so() -> None:
    def no_rows(type: str) -> np.ndarray:
        raise DataError("no rows")

    page = summary_text(_golden_result("hsb_seed", resid=no_rows))
    assert "Scaled residuals: not shown" in page


@pytest.mark.parametrize("count", [1, 12, 13])
def test_correlations_of_coefficients_appear_when_they_can_be_read(count: int) -> None:
    names = [f"a_rather_long_name_{j}" for j in range(count)]
    identity = pd.DataFrame(np.eye(count), index=names, columns=names)
    page = summary_text(_golden_result("hsb_seed", vcov=lambda: identity))
    assert ("Correlation of fixed effects:\n" in page) == (count == 12)
    assert ("not shown for 13 coefficients" in page) == (count == 13)


def test_no_line_of_a_page_ends_with_a_space() -> None:
    for case in ("hsb_seed", "sleepstudy_ml", "penicillin", "hsb_factors"):
        assert not any(
            line.endswith(" ") for line in str(Summary(_golden_result(case))).splitlines()
        )
