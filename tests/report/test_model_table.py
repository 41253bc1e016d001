"""Tables of several models: numbers, layout and formats."""

from __future__ import annotations

import math
import re

import pytest

import mixedfast as mf
from mixedfast.report.model_table import fit_statistics, merged
from mixedfast.report.page import page_text
from mixedfast.report.sections import Cells, Grid


@pytest.fixture(scope="module")
def models():
    """Three mixed models of the slides and a regression, the second one singular."""
    hsb = mf.load_dataset("hsb")
    with pytest.warns(mf.SingularFitWarning):
        singular = mf.lmer("math ~ ses*sector + mean_ses + sex + (ses | school)", hsb, REML=False)
    return (
        mf.lmer("math ~ 1 + (1 | school)", hsb, REML=False),
        mf.lmer("math ~ ses + (ses | school)", hsb),
        singular,
        mf.lm("math ~ ses", hsb),
    )


def cells(page) -> dict[str, tuple[str, ...]]:
    """Return the rows of a page of one table by label; rows without a label follow their label."""
    (grid,) = page.sections
    out, label = {}, ""
    for first, *rest in grid.rows:
        label = first.strip() or f"{label}, below"
        out.setdefault(label, tuple(cell.strip() for cell in rest))
    return out


def test_numbers_are_those_of_the_models(models):
    shown = cells(mf.table(*models))
    for place, m in enumerate(models):
        for term, row in m.coef_table().iterrows():
            assert float(shown[term][place]) == pytest.approx(row["estimate"], abs=0.005)
            error = shown[f"{term}, below"][place].strip("()")
            assert float(error) == pytest.approx(row["std_error"], abs=0.005)
        assert int(shown["Observations"][place].replace(",", "")) == m.nobs
        assert float(shown["Residual"][place]) == pytest.approx(m.sigma**2, abs=0.005)
    assert float(shown["ICC"][1]) == pytest.approx(models[1].icc().adjusted, abs=0.005)
    assert float(shown["R2, marginal"][2]) == pytest.approx(models[2].r2().marginal, abs=0.005)
    assert float(shown["R2"][3]) == pytest.approx(models[3].r2().r2, abs=0.005)
    assert shown["Deviance"][1] == ""
    assert shown["REML criterion"][0] == ""
    assert float(shown["REML criterion"][1].replace(",", "")) == pytest.approx(
        models[1].criterion, abs=0.05
    )


def test_what_a_model_lacks_is_empty(models):
    shown = cells(mf.table(*models))
    assert shown["ses"][0] == ""
    assert shown["school: Intercept"][3] == ""
    assert shown["Schools"] == ("160", "160", "160", "")


def test_notes_name_singular_fits_and_reml(models):
    note = mf.table(*models, names=["null", "one", "two", "ols"]).sections[0].note
    assert "Singular fit: two." in note
    assert "AIC from REML" in note
    assert "Singular" not in mf.table(models[0]).sections[0].note
    assert "REML" not in mf.table(models[0], models[3]).sections[0].note


def test_stars_follow_p_values(models):
    shown = cells(mf.table(*models, stars=True))
    for place, m in enumerate(models):
        for term, p_value in m.coef_table()["p_value"].items():
            expected = "***" if p_value < 0.001 else "**" if p_value < 0.01 else "*"
            expected = expected if p_value < 0.05 else ""
            assert re.sub(r"[^*]", "", shown[term][place]) == expected


def test_show_chooses_rows_in_its_order(models):
    page = mf.table(models[1], show=["p_value", "conf_int", "sd", "nobs"], level=0.9)
    (grid,) = page.sections
    labels = [row[0].strip() for row in grid.rows]
    assert labels == [
        *("Fixed effects", "Intercept", "", "", "ses", "", ""),
        *("Standard deviations", "school: Intercept", "school: ses", "Residual"),
        *("Model", "Observations"),
    ]
    ends = models[1].coef_table(level=0.9).loc["ses", ["conf_low", "conf_high"]]
    assert grid.rows[6][1].strip() == f"[{ends.iloc[0]:.2f}, {ends.iloc[1]:.2f}]"
    assert grid.rows[5][1].strip() == "p < .001"


def test_labels_reach_terms_interactions_and_groups(models):
    labels = {"ses": "Status", "school": "School", "sector[T.Public]": "public"}
    shown = cells(mf.table(*models, labels=labels))
    assert "Status × public" in shown
    assert "School: Intercept, Status" in shown
    assert shown["School (number)"][0] == "160"


def test_decimals_suit_small_and_large_coefficients():
    data = mf.load_dataset("sleepstudy")
    data["hours"] = data["Days"] * 24e4
    shown = cells(mf.table(mf.lmer("Reaction ~ hours + (1 | Subject)", data)))
    assert float(shown["hours"][0]) == pytest.approx(10.467286 / 24e4, rel=0.02)
    data["weeks"] = data["Days"] / 7000
    shown = cells(mf.table(mf.lmer("Reaction ~ weeks + (1 | Subject)", data)))
    assert shown["weeks"][0] == "73,271.00"


def test_different_outcomes_and_rows_are_said(models):
    hsb = mf.load_dataset("hsb")
    other = mf.lmer("ses ~ 1 + (1 | school)", hsb.head(3000))
    page = mf.table(models[1], other)
    assert cells(page)["Outcome"] == ("math", "ses")
    assert "different numbers of observations" in page.sections[0].note


def test_columns_that_are_not_estimated_are_named_so():
    data = mf.load_dataset("sleepstudy")
    data["twice"] = 2 * data["Days"]
    page = mf.table(mf.lmer("Reaction ~ Days + twice + (1 | Subject)", data))
    assert cells(page)["twice"] == ("not estimated",)


def test_formats(models, tmp_path):
    page = mf.table(models[0], models[2], names=["A & B", "x_1"])
    assert r"A \& B & x\_1" in page.to_latex()
    assert page.to_latex().count(r"\midrule") == len(page.sections[0].rules) + 1
    assert page.to_html().count("<tr>") == len(page.sections[0].rows) + 1
    assert "A &amp; B" in page.to_html()
    assert page.to_markdown().count("\n|") >= len(page.sections[0].rows)
    docx = pytest.importorskip("docx")
    page.to_docx(tmp_path / "table.docx")
    (table,) = docx.Document(tmp_path / "table.docx").tables
    assert [cell.text for cell in table.rows[0].cells] == ["", "A & B", "x_1"]
    assert [row.cells[0].text.strip() for row in table.rows[1:]] == [
        row[0].strip() for row in page.sections[0].rows
    ]


def test_word_files_of_summaries(models, tmp_path):
    docx = pytest.importorskip("docx")
    models[1].summary().to_docx(tmp_path / "summary.docx")
    written = docx.Document(tmp_path / "summary.docx")
    grids = [part for part in models[1].summary().sections if isinstance(part, Grid)]
    assert len(written.tables) == len(grids)


def test_plain_text_aligns_centred_cells_right():
    text = page_text([Grid((Cells("x", ("1.5", "(0.1)"), center=True),))])
    assert text.splitlines() == ["    x", "  1.5", "(0.1)"]


def test_maketables_reads_every_number(models):
    for m in models:
        table = m.__maketables_coef_table__
        assert list(table.columns) == ["b", "se", "t", "p", "ci95l", "ci95u"]
        assert m.__maketables_depvar__ == "math"
        labels = m.__maketables_stat_labels__
        for key in m.__maketables_default_stat_keys__:
            assert labels[key]
            assert math.isfinite(m.__maketables_stat__(key))
        assert m.__maketables_stat__("unknown") is None
    assert fit_statistics(models[0])["n_school"] == ("Schools", 160)


def test_merged_keeps_each_order():
    assert merged([["a", "c"], ["a", "b", "c"], ["d"]]) == ["d", "a", "b", "c"]


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((), {}, "at least one model"),
        (([1, 2],), {}, "argument 1 is a list"),
        (("m",), {"names": ["one", "two"]}, "1 names are needed"),
        (("m",), {"names": "one"}, "1 names are needed"),
        (("m",), {"show": "everything"}, "everything"),
        (("m",), {"level": 95}, "level"),
        (("m",), {"stars": "yes"}, "stars"),
    ],
)
def test_errors_say_what_to_give(models, arguments, options, words):
    given = [models[0] if argument == "m" else argument for argument in arguments]
    with pytest.raises(mf.MixedFastError, match=words):
        mf.table(*given, **options)
