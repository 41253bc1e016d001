"""Columns that others nearly determine.

R decides which columns of X stay; the estimates are as good as those of clearly distinct columns.
"""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame, golden, golden_names, to_py, topic
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.collinearity import well_conditioned
from mixedfast.crossprod.combine import add
from mixedfast.crossprod.pivots import Elimination
from mixedfast.crossprod.row_moments import column_means
from mixedfast.design.build import build
from mixedfast.design.columns import matrix
from mixedfast.estimation.fit import solve_at
from mixedfast.formula.parser import parse

CASES = topic("conditioning")
#: A QR in doubles loses up to 1e-16 / 1e-7 of coefficients that columns at R's tolerance have.
COEFFICIENT = 1e-6
#: Two bases of one model, each clear to eleven digits.
SAME_MODEL = 1e-8


@pytest.fixture(scope="module")
def nearly():
    return frame("nearly")


@pytest.mark.parametrize("name", CASES)
def test_columns_and_coefficients_as_in_r(name, nearly):
    record = CASES[name]
    cp = mf.crossproducts(to_py(record["formula"]), nearly)
    fit = solve_at(cp, np.array(record["theta"]))
    assert fit.cp.kept.tolist() == np.flatnonzero(record["kept"]).tolist()
    assert fit.beta == pytest.approx(record["fixef"], rel=COEFFICIENT)
    assert np.sqrt(np.diag(fit.vcov)) / fit.sigma == pytest.approx(
        record["relative_se"], rel=COEFFICIENT
    )


@pytest.mark.parametrize("name", CASES)
def test_the_fit_and_its_tables(name, nearly):
    record = CASES[name]
    m = mf.lmer(to_py(record["formula"]), nearly)
    assert m.converged
    # lme4 searches on what X'X left it and stops up to two hundredths off
    assert m.theta == pytest.approx(record["theta"], rel=0.03)
    assert m.criterion <= solve_at(m._fit.cp, np.array(record["theta"])).deviance
    table = m.coef_table()
    assert table["estimate"].isna().tolist() == [not kept for kept in record["kept"]]
    assert mf.lm(
        to_py(record["formula"]).replace(" + (1 | g)", ""), nearly
    ).params.isna().tolist() == [not kept for kept in record["kept"]]


def pair(nearly, step):
    """Return a model with a column that differs little from x, and the same model in other columns.

    The column is x plus a small share of z; the other model has z itself.
    """
    data = nearly.assign(x2=nearly["x"] + step * nearly["z"], w=1.0 + (np.arange(len(nearly)) % 3))
    return data, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -1.0 / step], [0.0, 0.0, 1.0 / step]])


@pytest.mark.parametrize("step", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("options", [{}, {"weights": "w"}, {"REML": False}, {"offset": "t"}])
def test_inference_does_not_depend_on_the_basis(step, options, nearly):
    data, turn = pair(nearly, step)
    m, plain = (
        mf.lmer("y ~ x + x2 + (1 | g)", data, **options),
        mf.lmer("y ~ x + z + (1 | g)", data, **options),
    )
    assert m.params.to_numpy() == pytest.approx(turn @ plain.params.to_numpy(), rel=SAME_MODEL)
    assert m.vcov().to_numpy() == pytest.approx(
        turn @ plain.vcov().to_numpy() @ turn.T, rel=SAME_MODEL
    )
    assert m.theta == pytest.approx(plain.theta, rel=SAME_MODEL)
    ours, theirs = m.coef_table(ddf="kenward-roger"), plain.coef_table(ddf="kenward-roger")
    assert ours.loc["x2", ["df", "statistic"]].tolist() == pytest.approx(
        theirs.loc["z", ["df", "statistic"]].tolist()
    )
    assert m.fitted == pytest.approx(plain.fitted, abs=1e-7)
    assert m.r2().marginal == pytest.approx(plain.r2().marginal)
    assert column_means(m._fit.cp) == pytest.approx([1.0, data["x"].mean(), data["x2"].mean()])


def test_tests_and_profiles_of_a_mixed_basis(nearly):
    data, _ = pair(nearly, 1e-5)
    m, plain = mf.lmer("y ~ x + x2 + (1 | g)", data), mf.lmer("y ~ x + z + (1 | g)", data)
    columns = ["sum_sq", "num_df", "den_df", "f_value"]
    assert m.anova("I").loc["x2", columns].tolist() == pytest.approx(
        plain.anova("I").loc["z", columns].tolist()
    )
    ours, theirs = m.profile(["x2"]).confint(), plain.profile(["z"]).confint()
    assert ours.loc["x2"].to_numpy() * 1e-5 == pytest.approx(theirs.loc["z"].to_numpy(), rel=1e-6)


def test_what_reads_the_rows_again(nearly):
    data, _ = pair(nearly, 1e-5)
    m, plain = mf.lmer("y ~ x + x2 + (1 | g)", data), mf.lmer("y ~ x + z + (1 | g)", data)
    other = data["y"].to_numpy()[::-1].copy()
    assert m.refit(other).fitted == pytest.approx(plain.refit(other).fitted, abs=1e-7)
    assert m.predict(data[:9]) == pytest.approx(plain.predict(data[:9]), abs=1e-7)
    assert m.hatvalues() == pytest.approx(plain.hatvalues(), rel=1e-7)
    # through the inverse of a covariance matrix of condition 1e10
    ours, theirs = (model.influence("g").cooks_distance.to_numpy() for model in (m, plain))
    assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
def test_random_polynomials_of_the_year(nearly):
    raw = mf.lmer("y ~ year + I(year**2) + (year + I(year**2) | g)", nearly)
    clear = mf.lmer("y ~ t + I(t**2) + (t + I(t**2) | g)", nearly.assign(t=nearly["year"] - 1980.0))
    assert raw.criterion == pytest.approx(clear.criterion, abs=1e-6)
    assert raw.converged


# -- the sums --------------------------------------------------------------------------------------


def products(formula, data, **options):
    return well_conditioned(build(parse(formula), data, **options))


def test_the_sums_are_those_of_the_columns_they_name(nearly):
    design = build(parse("y ~ 0 + t + I(t**2) + I(t**3) + x + (1 | g)"), nearly)
    cp = well_conditioned(design)
    assert cp.mix is not None
    own = matrix(design.x, design.n) @ cp.scaling.beta_transform()
    scale = np.sqrt(np.diag(cp.xy)[:-1])
    assert cp.xy[:-1, :-1] / np.outer(scale, scale) == pytest.approx(
        own.T @ own / np.outer(scale, scale), abs=1e-7
    )
    assert np.linalg.cond(cp.xy[:-1, :-1] / np.outer(scale, scale)) < 1e4


@pytest.mark.parametrize(
    "name", [name for name in golden_names() if not name.startswith("insteval")]
)
def test_ordinary_columns_are_read_once(name):
    record = golden(name)
    design = build(
        parse(record["formula_py"]), frame(record["dataset"]), weights=record.get("weights")
    )
    cp = well_conditioned(design)
    assert cp.mix is None
    np.testing.assert_array_equal(cp.xy, assemble(design).xy)


def test_parts_of_a_table_add(nearly):
    formula = "y ~ x + x2 + (1 | g)"
    whole = mf.fit(mf.crossproducts(formula, nearly))
    a, b = (mf.crossproducts(formula, part) for part in (nearly[:100], nearly[100:]))
    assert a.mix is not None
    assert mf.fit(add(a, b)).params.to_numpy() == pytest.approx(whole.params.to_numpy(), rel=1e-6)


def test_a_basis_can_be_given_on(nearly):
    design = build(parse("y ~ x + x2 + (1 | g)"), nearly)
    cp = well_conditioned(design)
    again = assemble(design, scaling=cp.scaling)
    assert again.scaling.same(cp.scaling)
    scale = np.sqrt(np.diag(cp.xy))
    assert again.xy / np.outer(scale, scale) == pytest.approx(
        cp.xy / np.outer(scale, scale), abs=1e-12
    )


def test_results_with_a_mixed_basis_are_kept(nearly, tmp_path):
    m = mf.lmer("y ~ x + x2 + (1 | g)", nearly)
    m.save(tmp_path / "m")
    pd.testing.assert_series_equal(mf.load(tmp_path / "m").params, m.params)


# -- columns of a random term ----------------------------------------------------------------------

#: By how much the alike columns differ, a power of two: their difference is exact.
APART = 2.0**-17
#: Conditional variances of the alike columns are a difference of numbers 1e10 times larger.
DIFFERENCES = 1e-5


def alike_slopes(apart: float = APART) -> pd.DataFrame:
    """Return a table with x1 and x2 that differ by `apart` times d, and effects of each.

    It has a second factor, and weights.
    """
    rng = np.random.default_rng(3)
    g, h = np.repeat(np.arange(30), 10), rng.integers(0, 8, 300)
    x1, d = rng.normal(size=(2, 300))
    x2 = x1 + apart * d
    d = (x2 - x1) / apart
    b = rng.normal(size=(30, 3)) @ np.array([[1.0, 0.3, 0.2], [0.0, 0.5, 0.1], [0.0, 0.0, 0.6]])
    y = (
        1.0
        + x1
        + 0.5 * d
        + b[g, 0]
        + b[g, 1] * x1
        + b[g, 2] * d
        + rng.normal(size=8)[h]
        + rng.normal(size=300)
    )
    return pd.DataFrame(
        {"y": y, "x1": x1, "x2": x2, "d": d, "g": g, "h": h, "w": rng.uniform(0.5, 2.0, 300)}
    )


# the response in reverse order, to which the model is fitted again, has no effects of groups
@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("options", [{}, {"weights": "w"}], ids=["plain", "weighted"])
@pytest.mark.parametrize("tail", ["", " + (1 | h)"], ids=["one factor", "two"])
def test_slopes_of_alike_columns_are_those_of_one_and_the_difference(options, tail, tmp_path):
    """(x1 + x2 | g) and (x1 + d | g) are one model: b1 x1 + b2 x2 = (b1 + b2) x1 + (b2 apart) d."""
    duckdb = pytest.importorskip("duckdb")
    data = alike_slopes()
    formula = f"y ~ x1 + d + (x1 + x2 | g){tail}"
    raw, clear = (
        mf.lmer(f, data, **options) for f in (formula, f"y ~ x1 + d + (x1 + d | g){tail}")
    )
    assert raw.converged and any(group.mix is not None for group in raw._fit.cp.groups)
    assert all(group.mix is None for group in clear._fit.cp.groups)
    assert raw.criterion == pytest.approx(clear.criterion, abs=1e-8)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, APART]])
    (effects, variances), (wanted, wanted_variances) = (
        m.ranef(cond_var=True)["g"] for m in (raw, clear)
    )
    assert effects.to_numpy() @ turn.T == pytest.approx(wanted.to_numpy(), abs=SAME_MODEL)
    assert turn @ variances @ turn.T == pytest.approx(wanted_variances, abs=DIFFERENCES)
    for table in ("satterthwaite", "kenward-roger"):
        assert raw.coef_table(ddf=table).to_numpy() == pytest.approx(
            clear.coef_table(ddf=table).to_numpy(), rel=SAME_MODEL
        )
    new = data.iloc[::7]
    for say in (
        lambda m: m.fitted,
        lambda m: m.hatvalues(),
        lambda m: m.cooks_distance(),
        lambda m: m.influence("g").cooks_distance,
        lambda m: m.predict(new),
        lambda m: m.predict(new, interval="prediction").to_numpy(),
        lambda m: [*m.r2()],
        lambda m: m.refit(data.y[::-1].to_numpy()).params,
    ):
        assert np.asarray(say(raw)) == pytest.approx(
            np.asarray(say(clear)), rel=SAME_MODEL, abs=SAME_MODEL
        )
    raw.save(tmp_path / "m")
    np.testing.assert_array_equal(mf.load(tmp_path / "m").predict(new), raw.predict(new))
    data.to_parquet(tmp_path / "rows.parquet")
    read = [
        mf.lmer(formula, tmp_path / "rows.parquet", **options),
        mf.lmer(formula, duckdb.from_df(data), **options),
    ]
    parts = [mf.crossproducts(formula, part, **options) for part in (data[:150], data[150:])]
    for other in (*read, mf.fit(add(*parts))):
        assert other.converged
        assert other.criterion == pytest.approx(raw.criterion, abs=1e-7)


@pytest.mark.parametrize("digits", [3, 5, 7, 9])
def test_alike_to_so_many_digits(digits):
    """Rows have 16 digits, so the difference of columns that agree to some has the others."""
    data = alike_slopes(2.0 ** -round(digits * np.log2(10)))
    raw, clear = (mf.lmer(f"y ~ x1 + d + (x1 + {x} | g)", data) for x in ("x2", "d"))
    assert raw.converged
    assert raw.criterion == pytest.approx(clear.criterion, abs=max(1e-9, 10.0 ** (digits - 14)))


def test_a_term_that_loses_a_column_of_a_mixed_basis():
    """ranova takes columns out as the user wrote them."""
    raw = mf.lmer("y ~ x1 + d + (x1 + x2 | g)", alike_slopes())
    without = mf.lmer("y ~ x1 + d + (x1 | g)", alike_slopes())
    assert raw.ranova().loc["x2 in (x1 + x2 | g)", "loglik"] == pytest.approx(
        without.loglik, abs=1e-6
    )


def test_a_column_that_others_determine_stays_as_it_was():
    """Three shares beside an intercept: rounding of the rows is no fourth column."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(25), 8)
    data = pd.DataFrame(rng.dirichlet(np.ones(3), 200), columns=["a", "b", "c"]).assign(g=g)
    data["y"] = (
        data.a + rng.normal(size=25)[g] + data.b * rng.normal(size=25)[g] + rng.normal(size=200)
    )
    formula = "y ~ a + b + (a + b + c | g)"
    cp, plain = mf.crossproducts(formula, data), assemble(build(parse(formula), data))
    np.testing.assert_array_equal(cp.groups[0].scale, plain.groups[0].scale)
    np.testing.assert_array_equal(cp.groups[0].A, plain.groups[0].A)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    low=st.sampled_from([0.0, 1.0, 10.0, 100.0, 2000.0]),
    degree=st.integers(1, 5),
    intercept=st.booleans(),
)
def test_raw_polynomials_keep_the_same_columns_in_both_kinds_of_model(seed, low, degree, intercept):
    """A mixed model and an ordinary regression keep the same columns.

    Those that R keeps, and those that vary clearly around their means where R drops them.
    """
    rng = np.random.default_rng(seed)
    x, g = low + rng.uniform(0, 1, 90), np.arange(90) % 9
    data = {"x": x, "g": g, "y": np.sin(5 * x) + rng.normal(size=9)[g] + rng.normal(size=90)}
    fixed = ("1" if intercept else "0") + "".join(f" + I(x**{k})" for k in range(1, degree + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.SingularFitWarning)
        m = mf.lmer(f"y ~ {fixed} + (1 | g)", data)
    assert m.params.isna().tolist() == mf.lm(f"y ~ {fixed}", data).params.isna().tolist()


@pytest.mark.parametrize("k", [1, 5, 64, 65, 200])
def test_elimination_in_blocks_equals_elimination_one_by_one(k):
    rng = np.random.default_rng(k)
    X = rng.normal(size=(2 * k, k))
    X[:, 3::7] = X[:, :1] + X[:, 2:3] if k > 4 else X[:, 3::7]  # dependent on earlier columns
    products = X.T @ X
    left, by_blocks = products.copy(), Elimination(products)
    for j in range(k):
        np.testing.assert_allclose(by_blocks.pivot(j), left[j, j], atol=1e-11 * products[j, j])
        if left[j, j] > 1e-8 * products[j, j]:
            by_blocks.eliminate(j)
            left -= np.outer(left[:, j], left[j]) / left[j, j]


def exact_pivots(X) -> list[int]:
    """Return the columns of a matrix of whole numbers that earlier ones do not determine."""
    rows = [[Fraction(int(value)) for value in row] for row in X]
    at, kept = 0, []
    for j in range(len(rows[0])):
        pivot = next((r for r in range(at, len(rows)) if rows[r][j]), None)
        if pivot is None:
            continue
        rows[at], rows[pivot] = rows[pivot], rows[at]
        for r in range(at + 1, len(rows)):
            if rows[r][j]:
                factor = rows[r][j] / rows[at][j]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[at], strict=True)]
        kept.append(j)
        at += 1
    return kept


@pytest.mark.filterwarnings("ignore::mixedfast.DataWarning")  # -9 is no code for missing values
@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_empty_cells_with_contrasts_of_whole_numbers_keep_the_exact_rank(seed):
    """A column that rounding showed as nearly collinear was orthogonalized to its rounding.

    Of the columns after it, dependent ones were then kept, with estimates of 1e14.
    """
    rng = np.random.default_rng(seed)
    cells = [cell for cell in np.ndindex(4, 3) if rng.uniform() < 0.6]
    cells += [(a, 0) for a in range(4)] + [(0, b) for b in range(3)]
    a, b = np.array(cells + cells).T
    codings = [rng.integers(-3, 4, (4, 3)), rng.integers(-3, 4, (3, 2))]
    X = np.column_stack(
        [
            np.ones(len(a)),
            A := codings[0][a],
            B := codings[1][b],
            *(A[:, i] * B[:, j] for j in range(2) for i in range(3)),
        ]
    )
    columns = {f"x{j}": X[:, j].astype(float) for j in range(1, X.shape[1])}
    data = {"y": rng.normal(size=len(a)), **columns}
    m = mf.lm("y ~ " + " + ".join(columns), data)
    assert m._fit.cp.kept.tolist() == exact_pivots(X)
    assert np.abs(m.params.dropna()).max() < 1e4
