"""Structural degrees of freedom: against nlme, against printed pages of HLM and SAS, and by hand.

Degrees of freedom are whole numbers here, so every comparison is exact.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame, rename_all, topic

import mixedfast as mf
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.collinearity import independent_columns
from mixedfast.crossprod.subset import keep_columns
from mixedfast.crossprod.types import CrossProducts, Meta
from mixedfast.design.build import build
from mixedfast.design.columns import evaluate, matrix
from mixedfast.errors import NotDefinedError
from mixedfast.formula.parser import parse
from mixedfast.inference.ddf import rank
from mixedfast.inference.ddf.design_based import design_df
from mixedfast.inference.ddf.rank import design_rank


def products(formula: str, data: Any, **options: Any) -> CrossProducts:
    cp = mf.crossproducts(formula, data, **options)
    return keep_columns(cp, independent_columns(cp))


def df(method: str, formula: str, data: Any, **options: Any) -> dict[str, float]:
    """Degrees of freedom by column name."""
    cp = products(formula, data, **options)
    return dict(zip(cp.x_names, design_df(method, cp).tolist(), strict=True))


def two_levels(groups: int, n: int) -> pd.DataFrame:
    """Rows of a multilevel study: x and d vary within the groups j, w and v are the groups' own."""
    row = np.arange(n)
    j = row % groups
    return pd.DataFrame(
        {
            "j": j,
            "x": np.sin(1.7 * row),
            "d": (row // groups) % 2,
            "w": np.cos(3.1 * j),
            "v": np.sin(0.9 * j) + j % 3,
            "y": np.cos(0.3 * row**1.5),
        }
    )


# --- inner-outer: nlme ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(topic("nlme_df")))
def test_inner_outer_is_nlmes_on_published_data(name: str) -> None:
    case = topic("nlme_df")[name]
    found = df("inner-outer", case["formula_py"], frame(case["dataset"]))
    terms = list(case["coefficients"])
    names = rename_all(terms, case["dataset"])
    assert found == dict(zip(names, case["coefficients"].values(), strict=True))


@pytest.fixture(scope="module")
def plots() -> pd.DataFrame:
    """Return the 48 rows of tests/r/levels.R: 4 sites of 3 plots of 4 rows."""
    row = np.arange(48)
    plot = row // 4
    own_c = np.isin(plot, [2, 5, 6, 10])
    s = np.array([1.0, 2.0, 5.0, 4.0])[row // 12]
    return pd.DataFrame(
        {
            "site": (row // 12).astype(str),
            "plot": plot.astype(str),
            "a": (row * 7) % 5,
            "z": (plot * 3) % 7,
            "s": s,
            "one": (row == 30).astype(float),
            "f": np.where(own_c, "c", np.where(row % 2 == 0, "a", "b")),
            "y": (row * 29) % 17 + (plot * 5) % 7 + s,
        }
    )


@pytest.mark.parametrize("case", topic("levels"), ids=lambda case: case["formula"])
def test_inner_outer_is_nlmes_in_the_corners(case: dict[str, Any], plots: pd.DataFrame) -> None:
    assert list(df("inner-outer", case["formula"], plots).values()) == case["df"]


def test_one_row_in_ten_thousand_makes_a_column_inner() -> None:
    data = two_levels(50, 10_000).assign(nearly=lambda d: d.w)
    data.loc[777, "nearly"] += 0.01
    found = df("inner-outer", "y ~ w + nearly + (1 | j)", data)
    assert (found["w"], found["nearly"]) == (50 - 2, 10_000 - 50 - 1)


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e9])
def test_a_groups_own_year_stays_the_groups_own(offset: float) -> None:
    data = two_levels(40, 4000).assign(
        year=lambda d: offset + d.j % 7, within=lambda d: offset + d.x
    )
    found = df("inner-outer", "y ~ year + within + (1 | j)", data)
    assert found == {"Intercept": 3959, "year": 38, "within": 3959}


@pytest.mark.parametrize("method", ["inner-outer", "between-within", "hlm", "containment"])
def test_weights_do_not_matter(method: str) -> None:
    data = two_levels(30, 900).assign(weight=lambda d: 0.2 + d.index % 11)
    formula = "y ~ x * w + (x | j)"
    assert df(method, formula, data, weights="weight") == df(method, formula, data)


# --- hlm: printed pages of the HLM program --------------------------------------------------------


def test_hlm_on_the_slides_model() -> None:
    assert df("hlm", "math ~ ses + (ses | school)", frame("hsb")) == {"Intercept": 159, "ses": 159}


HLM_PAGES = {  # title: (groups, rows, model, df by coefficient); the pages are those listed in the field notes
    "47 schools, unconditional": (47, 2670, "1 + (1 | j)", [46]),
    "47 schools, one school predictor, random slope without": (
        47,
        2657,
        "w + x + (x | j)",
        [45, 45, 46],
    ),
    "Hox chapter 4, fixed slope": (100, 2000, "d + (1 | j)", [99, 1998]),
    "Snijders and Bosker, unconditional": (131, 2287, "1 + (1 | j)", [130]),
    "Snijders and Bosker, fixed slope": (131, 2287, "x + (1 | j)", [130, 2285]),
    "Kreft and de Leeuw, unconditional": (23, 519, "1 + (1 | j)", [22]),
}


@pytest.mark.parametrize("page", HLM_PAGES)
def test_hlm_prints_what_the_program_prints(page: str) -> None:
    groups, n, model, expected = HLM_PAGES[page]
    assert list(df("hlm", f"y ~ {model}", two_levels(groups, n)).values()) == expected


def test_hlm_counts_each_equation_apart() -> None:
    found = df("hlm", "y ~ x * w + v + x:v + d + d:w + (x | j)", two_levels(50, 2000))
    assert found == {
        **dict.fromkeys(["Intercept", "w", "v"], 50 - 2 - 1),
        **dict.fromkeys(["x", "x:w", "x:v"], 50 - 2 - 1),
        **dict.fromkeys(["d", "d:w"], 2000 - 8),
    }


def test_hlm_gives_each_dummy_of_a_level_one_factor_its_own_equation() -> None:
    data = two_levels(50, 2000).assign(f=lambda d: np.array(["a", "b", "c"])[d.index % 3])
    found = df("hlm", "y ~ f + w + f:w + (f | j)", data)
    assert found == dict.fromkeys(found, 48)
    assert len(found) == 6


def test_hlm_knows_random_slopes_under_another_coding() -> None:
    data = two_levels(50, 2000).assign(f=lambda d: np.array(["a", "b", "c"])[d.index % 3])
    assert df("hlm", "y ~ f + (0 + f | j)", data) == df("hlm", "y ~ f + (f | j)", data)


def test_hlm_reads_the_level_off_the_data_not_off_the_formula() -> None:
    found = df("hlm", "math ~ mean_ses + ses + (1 | school)", frame("hsb"))
    assert found == {"Intercept": 158, "mean_ses": 158, "ses": 7185 - 3}


# --- group and residual ---------------------------------------------------------------------------


def test_the_slides_best_and_worst_case() -> None:
    model = "math ~ ses + (ses | school)"
    assert df("group", model, frame("hsb")) == {"Intercept": 158, "ses": 158}
    assert df("residual", model, frame("hsb")) == {"Intercept": 7183, "ses": 7183}


def test_group_counts_the_outermost_groups(plots: pd.DataFrame) -> None:
    assert df("group", "y ~ a + (1 | site/plot)", plots) == {"Intercept": 2, "a": 2}
    assert df("group", "y ~ 0 + a + (1 | site/plot)", plots) == {"a": 3}


def test_columns_that_are_not_identifiable_do_not_count() -> None:
    data = two_levels(50, 2000).assign(again=lambda d: 2.0 * d.x)
    assert df("residual", "y ~ x + again + (1 | j)", data) == {"Intercept": 1998, "x": 1998}
    assert df("between-within", "y ~ x + again + w + (1 | j)", data) == {
        "Intercept": 48,
        "x": 1949,
        "w": 48,
    }


# --- between-within: printed pages of SAS ---------------------------------------------------------


def test_between_within_on_snijders_and_bosker() -> None:
    """UCLA's page of chapter 8: 131 schools, 2,287 pupils.

    Three pupil-level predictors and a school mean.
    """
    found = df("between-within", "y ~ x + d + I(x * d) + w + (x | j)", two_levels(131, 2287))
    assert list(found.values()) == [129, 2153, 2153, 2153, 129]


def test_between_within_on_orthodont() -> None:
    found = df("between-within", "distance ~ age * Sex + (1 | Subject)", frame("orthodont"))
    assert found == {"Intercept": 25, "age": 79, "Sex[T.Female]": 25, "age:Sex[T.Female]": 79}


def test_between_within_takes_a_term_as_a_whole(plots: pd.DataFrame) -> None:
    """The dummy of c is constant within plots, that of b is not: f varies within plots."""
    found = df("between-within", "y ~ f + z + (1 | plot)", plots)
    between = 12 - 2
    within = 48 - 4 - between
    assert found == {"Intercept": between, "f[T.b]": within, "f[T.c]": within, "z": between}


def test_between_within_takes_the_outermost_groups_for_subjects() -> None:
    found = df("between-within", "yield ~ nitro * Variety + (1 | Block/Variety)", frame("oats"))
    assert found == {name: 5 if name == "Intercept" else 72 - 6 - 5 for name in found}


# --- containment: printed pages of SAS, and split plots by hand -----------------------------------


def test_containment_on_stroups_split_plot() -> None:
    """SAS/STAT User's Guide, The MIXED Procedure, split-plot example: A 6, B 9, A*B 9."""
    row = np.arange(24)
    data = {"block": row // 6, "a": row // 2 % 3, "b": row % 2, "y": (row * 7) % 11 + row // 6}
    found = df("containment", "y ~ C(a) * C(b) + (1 | block) + (1 | a:block)", data)
    assert found == {
        "Intercept": 3,
        **dict.fromkeys(["C(a)[T.1]", "C(a)[T.2]"], 6),
        **dict.fromkeys(["C(b)[T.1]", "C(a)[T.1]:C(b)[T.1]", "C(a)[T.2]:C(b)[T.1]"], 9),
    }


def test_containment_on_oats() -> None:
    """Blocks add 5, plots within blocks 18 - 6 - 2 = 10.

    Rank [X Z] = 6 + 5 + 10 leaves 51 of 72 rows.
    """
    found = df("containment", "yield ~ nitro * Variety + (1 | Block/Variety)", frame("oats"))
    assert found == {
        "Intercept": 5,
        "Variety[T.Marvellous]": 10,
        "Variety[T.Victory]": 10,
        "nitro": 51,
        "nitro:Variety[T.Marvellous]": 51,
        "nitro:Variety[T.Victory]": 51,
    }


HSB_PAGES = {  # UCLA's pages of Raudenbush and Bryk, chapter 4: tables 4.2 and 4.3
    "math ~ 1 + (1 | school)": [159],
    "math ~ mean_ses + (1 | school)": [158, 7025],
}


@pytest.mark.parametrize("formula", HSB_PAGES)
def test_containment_on_raudenbush_and_bryk(formula: str) -> None:
    assert list(df("containment", formula, frame("hsb")).values()) == HSB_PAGES[formula]


def test_containment_with_random_slopes() -> None:
    """A slope adds one rank a school, less the one of ses itself; the residual is n - 160 - 160."""
    found = df("containment", "math ~ ses + sex + (ses | school)", frame("hsb"))
    assert found == {"Intercept": 159, "ses": 159, "sex[T.Male]": 7185 - 1 - 160 - 160}


def test_containment_with_a_random_factor() -> None:
    """Machine * Worker: 3 x 6 cells, less the 3 machines and the 5 workers beside the mean."""
    expected = {"Intercept": 5, "Machine[T.B]": 10, "Machine[T.C]": 10}
    assert df("containment", "score ~ Machine + (Machine | Worker)", frame("machines")) == expected
    assert (
        df("containment", "score ~ Machine + (1 | Worker/Machine)", frame("machines")) == expected
    )


def test_containment_goes_by_names() -> None:
    data = frame("machines").assign(same=lambda d: d.Machine)
    found = df("containment", "score ~ same + (1 | Worker/Machine)", data)
    assert found == {"Intercept": 5, "same[T.B]": 54 - 18, "same[T.C]": 54 - 18}


def test_containment_with_crossed_factors() -> None:
    """24 plates and 6 samples, all 144 combinations.

    23, 5, and 144 - 24 - 5 for what neither contains.
    """
    data = frame("penicillin").assign(x=lambda d: np.arange(len(d)) % 7)
    found = df("containment", "diameter ~ x + (1 | plate) + (1 | sample)", data)
    assert found == {"Intercept": 5, "x": 144 - 1 - 24 - 5}


# --- the rank of [X Z], against the rows ----------------------------------------------------------


def dense_rank(formula: str, data: Any, sizes: tuple[int, ...], weights: str | None = None) -> int:
    """Rank of [X Z] by singular values."""
    design = build(parse(formula), data, weights=weights)
    names = [group.name for group in assemble(design).groups]
    blocks = [matrix(design.x, design.n)]
    for group, size in zip(names, sizes, strict=True):
        terms = [term for term in design.terms if term.group == group]
        columns = [column for term in terms for column in term.columns][:size]
        indicator = np.eye(len(terms[0].levels))[terms[0].codes]
        blocks += [indicator * evaluate(column, design.n)[:, None] for column in columns]
    return int(np.linalg.matrix_rank(np.hstack(blocks)))


def sparse_table(seed: int) -> pd.DataFrame:
    """Draw groups of one to a few rows, some with one value of x: rank is lost in many ways."""
    rng = np.random.default_rng(seed)
    n = 60
    c = rng.integers(0, 20, n)
    return pd.DataFrame(
        {
            "c": c,
            "b": c // 3,
            "a": c // 9,
            "h": rng.integers(0, 9, n),
            "x": rng.integers(0, 3, n).astype(float),
            "year": 2000.0 + rng.integers(0, 4, n),
            "w": 0.5 + rng.random(n),
            "y": rng.normal(size=n),
        }
    )


RANK_MODELS = [
    ("y ~ x + (x | c)", 1),
    ("y ~ x + year + (1 | a/b/c)", 3),
    ("y ~ x + year + (x | a/b/c)", 3),
    ("y ~ x + (year || a/c) + (x | b)", 3),  # year is far from zero and not centred: rounding shows
    ("y ~ x + (1 | c) + (1 | h)", 2),
    ("y ~ x + year + (x | c) + (year | h) + (1 | b)", 3),
    ("y ~ 0 + x + (0 + x | c) + (1 | h)", 2),
    ("y ~ C(a) + x + (1 | b) + (1 | h)", 2),
]


@pytest.mark.parametrize(("formula", "groups"), RANK_MODELS)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weights", [None, "w"])
def test_rank_is_that_of_the_rows(
    formula: str, groups: int, seed: int, weights: str | None
) -> None:
    data = sparse_table(seed)
    cp = products(formula, data, weights=weights)
    assert len(cp.groups) == groups
    widths = [g.k for g in cp.groups]
    for sizes in np.ndindex(*(k + 1 for k in widths)):
        assert design_rank(cp, sizes) == dense_rank(formula, data, sizes, weights), sizes


def test_rank_of_a_saturated_design() -> None:
    """Eight rows, and a rank of eight in [X Z]: nothing is left outside the random effects."""
    x = [3.0, 1, 4, 1, 5, 9, 2, 6]
    data = {"g": list("aaabbbcc"), "h": list("pqrpqrpq"), "x": x, "y": [1.0, 3, 2, 5, 4, 4, 7, 1]}
    cp = products("y ~ x + I(x**2) + I(x**3) + I(x**4) + (1 | g) + (1 | h)", data)
    assert design_rank(cp, (1, 1)) == 8
    with pytest.raises(
        NotDefinedError, match=r"containment: no degrees of freedom are left for x, I\(x"
    ):
        design_df("containment", cp)


# --- what is not defined says so ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["group", "inner-outer", "between-within"])
def test_crossed_factors_are_named(method: str) -> None:
    with pytest.raises(
        NotDefinedError, match=rf"{method}: .*crossed.*plate is not nested in sample"
    ):
        design_df(
            method, products("diameter ~ 1 + (1 | plate) + (1 | sample)", frame("penicillin"))
        )


def test_hlm_wants_two_levels() -> None:
    with pytest.raises(NotDefinedError, match=r"hlm: defined for two levels, .*cask.*batch"):
        design_df("hlm", products("strength ~ 1 + (1 | batch/cask)", frame("pastes")))


SLOPE_ONLY = "distance ~ age * Sex + (0 + age | Subject)"


def test_slopes_without_an_intercept() -> None:
    """The df of nlme 3.1-162 are 79, 79, 25, 79.

    lme(distance ~ age * Sex, Orthodont, ~ 0 + age | Subject)$fixDF$X
    """
    data = frame("orthodont")
    names = ["Intercept", "Sex[T.Female]", "age", "age:Sex[T.Female]"]
    assert list(map(df("inner-outer", SLOPE_ONLY, data).get, names)) == [79, 25, 79, 79]
    assert list(map(df("between-within", SLOPE_ONLY, data).get, names)) == [25, 25, 79, 79]
    # the slope varies between subjects, the intercept does not: 27 - 1 - 1, and 108 - 4
    assert list(map(df("hlm", SLOPE_ONLY, data).get, names)) == [104, 104, 25, 25]


@pytest.mark.parametrize("method", ["hlm", "inner-outer", "between-within"])
@pytest.mark.parametrize("formula", ["y ~ x * w + (0 + x | j)", "y ~ 0 + x + w + (0 + x | j)"])
def test_sums_of_levels_add_over_tables(method: str, formula: str) -> None:
    data = two_levels(12, 300).assign(u=lambda d: 0.5 + d.index % 3)
    parts = [
        mf.crossproducts(formula, part, weights="u")
        for part in (data[:170], data[100:], data[40:90])
    ]
    whole = mf.crossproducts(formula, pd.concat([data[:170], data[100:], data[40:90]]), weights="u")
    added = parts[0] + parts[1] + parts[2]
    assert added.groups[0].sums == pytest.approx(_in_basis_of(added, whole), rel=1e-9, abs=1e-9)
    assert design_df(method, added).tolist() == design_df(method, whole).tolist()


def _in_basis_of(target: Any, cp: Any) -> np.ndarray:
    """Return the sums of levels of cp in the shifts and scales of target."""
    sums = cp.groups[0].sums
    user = sums[:, 1:] / cp.scale[:-1] + sums[:, :1] * cp.shift[:-1]
    return np.column_stack(
        [sums[:, :1], (user - sums[:, :1] * target.shift[:-1]) * target.scale[:-1]]
    )


@pytest.mark.parametrize("method", ["hlm", "inner-outer", "between-within"])
def test_cross_products_without_sums_of_levels(method: str) -> None:
    cp = products("math ~ ses + (0 + ses | school)", frame("hsb"))
    bare = replace(cp, groups=tuple(replace(g, sums=None) for g in cp.groups))
    with pytest.raises(NotDefinedError, match=rf"{method}: .* within school,? .*1 \+ x"):
        design_df(method, bare)


def test_subjects_may_hold_factors_that_cross() -> None:
    """Between-within needs the outermost factor only; inner-outer needs a chain."""
    data = two_levels(6, 600).assign(
        p=lambda d: 6 * (d.index // 6 % 5) + d.j, q=lambda d: 6 * (d.index % 7) + d.j
    )
    formula = "y ~ x + (1 | j) + (1 | p) + (1 | q)"
    assert df("between-within", formula, data) == {"Intercept": 5, "x": 600 - 2 - 5}
    with pytest.raises(NotDefinedError, match="q is not nested in p"):
        design_df("inner-outer", products(formula, data))


@pytest.mark.parametrize("method", ["group", "inner-outer", "between-within", "hlm"])
def test_too_few_groups(method: str) -> None:
    with pytest.raises(NotDefinedError, match=f"{method}: no degrees of freedom are left for .*w"):
        design_df(method, products("y ~ x + w + v + (1 | j)", two_levels(3, 90)))


def test_hlm_on_an_interaction_without_its_parts() -> None:
    with pytest.raises(NotDefinedError, match="does not show the level of w: add w to the formula"):
        design_df("hlm", products("y ~ x + x:w + (x | j)", two_levels(20, 400)))


def test_hlm_on_a_slope_that_is_not_there() -> None:
    data = two_levels(20, 400).assign(f=lambda d: np.array(["a", "b", "c"])[d.index % 3])
    with pytest.raises(
        NotDefinedError, match="belongs to the slope d:x, which is not in the model by itself"
    ):
        design_df("hlm", products("y ~ x + d + w + x:d:w + (x | j)", data))


def test_crossed_factors_that_need_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank, "MEMORY_LIMIT", 1000)
    cp = products("diameter ~ 1 + (1 | plate) + (1 | sample)", frame("penicillin"))
    with pytest.raises(
        NotDefinedError, match=r"containment: .*plate, sample.* 7 columns .*: use satterthwaite"
    ):
        design_df("containment", cp)


@pytest.mark.parametrize("method", ["hlm", "between-within", "containment"])
def test_cross_products_that_do_not_know_their_terms(method: str) -> None:
    cp = products("y ~ x + (1 | j)", two_levels(20, 400))
    with pytest.raises(NotDefinedError, match=f"{method}: the cross-products do not say"):
        design_df(method, replace(cp, meta=Meta()))
