"""The HTML report: one file, nothing from elsewhere, readable on a telephone and on a screen."""

from __future__ import annotations

import base64
import re
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.browser import browser

import mixedfast as mf
from mixedfast.errors import NotDefinedError
from mixedfast.estimation import newton
from mixedfast.report import narrative
from mixedfast.report.html import document

pytest.importorskip("matplotlib")


@cache
def hsb() -> mf.LMMResult:
    return mf.lmer("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))


@cache
def page() -> str:
    made = hsb().to_html()
    assert made is not None
    return made


class _Reader(HTMLParser):
    """Addresses, tags and text of a page; complains of tags that do not close."""

    VOID = frozenset(["meta", "link", "img", "br"])

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.alternatives: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [
            value for name in ("src", "href") if (value := given.get(name)) is not None
        ]
        if tag == "img":
            self.alternatives.append(given.get("alt") or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


# --- what is in it --------------------------------------------------------------------------------


def test_a_report_is_well_formed_and_points_nowhere() -> None:
    read = _Reader(page())
    assert "script" not in read.tags
    assert all(address.startswith(("#", "data:")) for address in read.addresses)
    assert "@import" not in page() and "url(" not in page()
    anchors = {address[1:] for address in read.addresses if address.startswith("#")}
    assert anchors == {
        "answers",
        "data",
        "fixed",
        "random",
        "whole",
        "ddf",
        "pictures",
        "fit",
        "methods",
        "glossary",
    }
    assert all(f'id="{anchor}"' in page() for anchor in anchors)


def test_every_picture_is_in_it_with_words() -> None:
    read = _Reader(page())
    assert (
        len(read.alternatives) == 9
    )  # slopes, two caterpillars, shrinkage, residuals, three QQ, residuals by group
    assert all("Across: " in words_ and "Upwards: " in words_ for words_ in read.alternatives)
    pictures = [
        address for address in read.addresses if address.startswith("data:image/svg+xml;base64,")
    ]
    assert len(pictures) == 9
    assert all(b"<svg" in base64.b64decode(picture.partition(",")[2]) for picture in pictures)


def test_the_tables_are_in_it() -> None:
    for number in ("12.6650", "2.3938", "145.55", "147.67", "0.6426", "36.8302", "46640.4"):
        assert number in page(), number


def test_the_same_fit_gives_the_same_bytes() -> None:
    assert hsb().to_html() == page()


def test_a_path_is_written_to(tmp_path: Path) -> None:
    assert hsb().to_html(tmp_path / "r.html", pictures=False) is None
    assert "In words" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_strings_of_the_user_are_text() -> None:
    evil = "<script>alert(1)</script>"
    rows = mf.load_dataset("hsb").assign(
        kind=lambda d: d.sector.astype(str).replace("Public", f'{evil}"&')
    )
    made = mf.lmer("math ~ kind + (1 | school)", rows).to_html(
        title=f"</title>{evil}", pictures=False
    )
    assert made is not None
    assert evil not in made
    assert "script" not in _Reader(made).tags
    assert "than for kind = &lt;script&gt;alert(1)&lt;/script&gt;&quot;&amp; (95" in made


def test_without_matplotlib_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("figure", "style", "pyplot"):
        monkeypatch.setitem(sys.modules, f"matplotlib.{part}", None)
    made = hsb().to_html()
    assert made is not None
    assert "pip install matplotlib" in made
    assert "<img" not in made


def test_without_rows_it_says_what_is_not_drawn() -> None:
    cp = mf.crossproducts("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))
    made = mf.fit(cp).to_html()
    assert made is not None
    assert made.count("<img") == 3  # caterpillars and shrinkage need no rows
    assert "Not drawn: slopes needs the rows of the data" in made


def test_profiles_and_bootstraps_are_shown_when_given() -> None:
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    profile, boot = m.profile(["Days", "sigma"]), m.bootstrap(50, seed=1)
    made = m.to_html(profile=profile, bootstrap=boot)
    assert made is not None
    read = _Reader(made)
    assert {"Days. Upwards: zeta.", "sigma. Upwards: zeta.", "sd_Days|Subject."} <= set(
        read.alternatives
    )
    assert "50 replicates" in made and "7.359" in made  # the lower end of Days by profile
    tables_only = m.to_html(profile=profile, pictures=False)
    assert (
        tables_only is not None
        and "By profile likelihood" in tables_only
        and "<img" not in tables_only
    )


def test_a_report_in_polars_is_the_same() -> None:
    pl = pytest.importorskip("polars")
    rows = mf.load_dataset("sleepstudy").astype({"Subject": str})
    fits = [
        mf.lmer("Reaction ~ Days + (Days | Subject)", data) for data in (rows, pl.from_pandas(rows))
    ]
    made = [m.to_html(pictures=False) for m in fits]
    assert made[0] == made[1]


def test_a_method_that_is_not_one_is_refused() -> None:
    with pytest.raises(NotDefinedError):
        hsb().to_html(ddf="guess")


def test_methods_that_do_not_apply_say_why() -> None:
    made = mf.lmer(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("penicillin")
    ).to_html(pictures=False)
    assert made is not None
    assert "hlm: defined for two levels" in made


# --- what it says ---------------------------------------------------------------------------------


def told(formula: str, data: pd.DataFrame, **options: object) -> str:
    m = mf.lmer(formula, data, **options)  # type: ignore[arg-type]
    return "\n".join(narrative.findings(m, m.coef_table(), 0.95))


def test_the_variance_and_the_slope_in_words() -> None:
    said = told("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))
    assert (
        "Of the variance of math that is not explained by ses, 12 % is between schools and 88 % is "
        "within schools." in said
    )
    assert (
        "A one-unit increase in ses is associated with a 2.39-unit increase in math on average "
        "(95 % interval 2.16 to 2.63, p < 2e-16)." in said
    )
    assert "it is between 1.1 and 3.7 for 95 % of them." in said


def test_shares_of_several_groups_add_up() -> None:
    said = told("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("penicillin"))
    shares = [float(number) for number in re.findall(r"([\d.]+) %", said)]
    assert sum(shares) == pytest.approx(100, abs=1.0)  # each is rounded to a whole number
    assert said.startswith("Of the variance of diameter, ")


def test_levels_are_compared_with_the_reference() -> None:
    m = mf.lmer("math ~ sex + (1 | school)", mf.load_dataset("hsb"))
    said = " ".join(narrative.findings(m, m.coef_table(), 0.95))
    assert (
        f"math is {m.params['sex[T.Male]']:.2f} higher on average for sex = Male than for sex = Female"
        in said
    )


def test_a_search_cut_short_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "MAX_ITERATIONS", 0)
    with pytest.warns(mf.ConvergenceWarning):
        m = mf.lmer(
            "Reaction ~ Days + (Days | Subject)",
            mf.load_dataset("sleepstudy"),
            start=[20.0, 0.0, 5.0],
            engine="block",
        )
    made = m.to_html(pictures=False)
    assert made is not None
    assert made.index("do not use these estimates") < made.index("<nav")
    assert "In words" not in made and "For a methods section" not in made  # nothing to retell


def test_several_predictors_are_told_apart() -> None:
    said = told("math ~ ses + sex + (1 | school)", mf.load_dataset("hsb"))
    assert said.count(", with the other predictors held constant (95 % interval") == 2


def test_the_rows_the_groups_and_the_methods_are_told() -> None:
    made = page()
    sizes = mf.load_dataset("hsb").groupby("school", observed=True).size()
    cells = [f"{value:g}" for value in (sizes.min(), sizes.median(), sizes.max())]
    assert all(f'right">{cell}</td>' in made for cell in ["160", *cells])
    assert f'right">{hsb().r2().conditional:.3f}</td>' in made
    assert (
        "random effects of school (160 levels) was fitted to 7,185 rows by restricted maximum likelihood"
        in made
    )
    assert "Tests of fixed effects use Satterthwaite&#x27;s degrees of freedom." in made


def test_what_a_sentence_would_get_wrong_is_not_said() -> None:
    with pytest.warns(mf.SingularFitWarning):
        said = told("math ~ ses * sector + log(size) + (1 + ses || school)", mf.load_dataset("hsb"))
    assert (
        "one-unit increase" not in said
        and "The slope of ses" not in said
        and "sector = " not in said
    )
    curved = told("Reaction ~ Days + I(Days**2) + (Days | Subject)", mf.load_dataset("sleepstudy"))
    assert "one-unit increase" not in curved and "The slope of" not in curved


def test_a_singular_fit_is_explained() -> None:
    with pytest.warns(mf.SingularFitWarning):
        m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff2"))
    assert "The fit is singular" in " ".join(narrative.convergence_sentences(m))
    made = m.to_html(pictures=False)
    assert made is not None
    assert made.index("The fit is singular") < made.index("<nav")  # before anything else
    # the rule that was used at a singular fit is no reason to leave a method out
    for method, value in m.ddf_table().df.droplevel("term").items():
        assert not np.isfinite(value) or f'left">{method}</td>' in made
    assert "satterthwaite: singular fit: a variance estimated as zero is treated as known" in made
    assert "0 % is between Batches" in " ".join(narrative.findings(m, m.coef_table(), 0.95))


# --- in a browser ---------------------------------------------------------------------------------

CONTRAST = 4.5
"""WCAG 2.1, level AA, for text."""

LUMINANCE = """
const light = rgb => { const [r, g, b] = rgb.match(/[\\d.]+/g).map(v => (v /= 255) <= 0.03928 ? v / 12.92
                       : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
const paper = light(getComputedStyle(document.body).backgroundColor);
return [...document.querySelectorAll("h1, p, td, th, figcaption, a, dd, dt, li, summary")].map(e => {
  const ink = light(getComputedStyle(e).color);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) }).reduce((a, b) => Math.min(a, b));
"""


@pytest.mark.parametrize("width", [400, 1400])
def test_in_a_browser(width: int, tmp_path: Path) -> None:
    wide = mf.lmer(
        "math ~ ses * (mean_ses + sector) * sex + minority + (1 | school)", mf.load_dataset("hsb")
    )
    reports = {
        "narrow.html": page(),
        "wide.html": wide.to_html(pictures=False) or "",
        "empty.html": document("t", "<p>x</p>"),
    }
    with browser(width) as window:
        for name, made in reports.items():
            (tmp_path / name).write_text(made, encoding="utf-8")
            window.open(tmp_path / name)
            assert window.console() == []
            assert window.run("return innerWidth") == width
            assert window.run("return document.documentElement.scrollWidth") <= width, name
            loaded = window.run('return performance.getEntriesByType("resource").map(e => e.name)')
            assert [address for address in loaded if not address.startswith("data:")] == []
            assert window.run(
                "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
            )
            assert window.run("return parseFloat(getComputedStyle(document.body).fontSize)") >= 16
            for scheme in ("light", "dark"):
                window.prefer(scheme)
                assert window.run(LUMINANCE) >= CONTRAST, (name, scheme)
