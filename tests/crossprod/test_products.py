"""Cross-products against dense matrices, what `keep` leaves, and the digits that shifting saves."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.combine import in_scaling
from mixedfast.crossprod.row_moments import row_moments
from mixedfast.crossprod.scaling import choose_scaling
from mixedfast.crossprod.subset import keep_columns
from mixedfast.design.build import build
from mixedfast.design.columns import evaluate, matrix
from mixedfast.formula.parser import parse

#: Sums of two hundred products of order one, added in another order.
ROUNDING = 1e-12
FORMULAS = (
    "y ~ x + (1 | a)",
    "y ~ 0 + x + f + (x | a)",
    "y ~ x * f + (1 + x | a) + (0 + z | a)",
    "y ~ x + z + (x | a) + (z | b)",
    "y ~ x + (f | a) + (1 | a:b)",
    "y ~ f + (1 | a) + (1 | b) + (x || f)",
)


def close(ours, theirs, tolerance=ROUNDING):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(
        ours, theirs, rtol=0, atol=tolerance * max(1.0, np.abs(theirs).max(initial=0.0))
    )


def a_table(seed, n=200):
    rng = np.random.default_rng(seed)
    return {
        "y": 50.0 + 3.0 * rng.normal(size=n),
        "x": -7.0 + rng.normal(size=n),
        "z": 1e-3 * rng.normal(size=n),
        "f": np.array(list("pqr"))[rng.permutation(np.arange(n) % 3)],
        "a": rng.integers(0, 12, n),
        "b": rng.integers(0, 4, n),
        "w": rng.uniform(0.2, 4.0, n),
        "o": rng.normal(size=n),
    }


def dense(design, cp):
    """Return [X y] and one Z (n,J,K) per group in the basis of the cross-products.

    Rows are multiplied by the root of their weight.
    """
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    y = design.y if design.offset is None else design.y - design.offset
    D = (np.column_stack([matrix(design.x, design.n), y]) - cp.shift) * cp.scale * root[:, None]
    Z = []
    for group in cp.groups:
        terms = [term for term in design.terms if term.group == group.name]
        columns = np.column_stack(
            [evaluate(column, design.n) for term in terms for column in term.columns]
        )
        member = np.equal.outer(terms[0].codes, np.arange(group.n_levels))
        Z.append(
            member[:, :, None] * ((columns - group.shift) * group.scale * root[:, None])[:, None, :]
        )
    return D, Z


@pytest.mark.parametrize("formula", FORMULAS)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_products_agree_with_dense_matrices(formula, seed, weighted, moved):
    options = ({"weights": "w"} if weighted else {}) | ({"offset": "o"} if moved else {})
    design = build(parse(formula), a_table(seed), **options)
    cp = assemble(design)
    D, Z = dense(design, cp)
    assert cp.n == design.n
    close(cp.xy, D.T @ D)
    np.testing.assert_array_equal(cp.xy, cp.xy.T)
    assert cp.sum_log_weights == pytest.approx(np.log(design.weights).sum() if weighted else 0.0)
    for group, z in zip(cp.groups, Z, strict=True):
        close(group.A, np.einsum("ija,ijb->jab", z, z))
        close(group.B, np.einsum("ija,ib->jab", z, D))
    assert set(cp.pairs) == {(g, h) for g in range(len(Z)) for h in range(g + 1, len(Z))}
    for (g, h), pair in cp.pairs.items():
        whole = np.einsum("ija,ilb->jlab", Z[g], Z[h])
        level = np.repeat(np.arange(len(pair.indptr) - 1), np.diff(pair.indptr))
        close(pair.data, whole[level, pair.indices])
        whole[level, pair.indices] = 0.0
        assert not whole.any()  # no pair of levels that meet is left out


def test_zero_shifts_without_an_intercept():
    with_intercept = assemble(build(parse("y ~ x + (1 | a)"), a_table(1)))
    without = assemble(build(parse("y ~ 0 + x + (x | a)"), a_table(1)))
    assert with_intercept.intercept == 0
    assert with_intercept.shift[0] == 0.0
    assert (with_intercept.shift[1:] != 0.0).all()
    assert without.intercept is None
    assert not without.shift.any()


def test_scales_are_powers_of_two_that_bring_columns_to_order_one():
    cp = assemble(build(parse("y ~ x + z + (x + z | a)"), a_table(2)))
    for scale in (cp.scale, cp.groups[0].scale):
        np.testing.assert_array_equal(np.exp2(np.round(np.log2(scale))), scale)
    mean_square = np.diag(cp.xy) / cp.n
    assert (mean_square > 0.25).all()
    assert (mean_square < 4.0).all()


def test_a_slope_is_centred_only_where_its_term_has_an_intercept_to_take_the_shift_up():
    shifts = {
        formula: assemble(build(parse(formula), a_table(3))).groups[0].shift
        for formula in ("y ~ x + (x | a)", "y ~ x + (x || a)", "y ~ x + (0 + x | a)")
    }
    assert shifts.pop("y ~ x + (x | a)")[1] != 0.0
    assert not any(shift.any() for shift in shifts.values())


@pytest.mark.parametrize("response", ["y", "x"])
@pytest.mark.parametrize("value", [0.0, 5.0, 1e12])
def test_a_column_that_the_sample_shows_constant_is_still_counted_right(response, value):
    """The rows looked at for shift and scale are a sample; the others may say something else."""
    n = 50_000
    rng = np.random.default_rng(4)
    data = {"y": rng.normal(size=n), "x": rng.normal(size=n), "a": np.arange(n) % 5}
    data[response] = np.full(n, value)
    data[response][1::1000] += (
        1.0  # every row of a sample that starts at zero in even steps is left alone
    )
    design = build(parse("y ~ x + (1 | a)"), data)
    cp = assemble(design)
    D, _ = dense(design, cp)
    close(cp.xy, D.T @ D)


def test_transform_takes_coefficients_back_to_the_user_s_columns():
    design = build(parse("y ~ x + z + f + (1 | a)"), a_table(5))
    cp = assemble(design)
    internal = np.linalg.solve(cp.xy[:-1, :-1], cp.xy[:-1, -1])
    expected = np.linalg.lstsq(matrix(design.x, design.n), design.y, rcond=None)[0]
    np.testing.assert_allclose(cp.scaling.to_user_beta(internal), expected, rtol=1e-9)


def test_keep_is_as_if_the_other_columns_had_never_been_there():
    table = a_table(6)
    cp = assemble(build(parse("y ~ x + z + f + (x | a) + (1 | b)"), table))
    fewer = keep_columns(cp, np.array([0, 2]))
    alone = assemble(build(parse("y ~ z + (x | a) + (1 | b)"), table))
    assert fewer.x_names == alone.x_names == ("Intercept", "z")
    assert fewer.kept.tolist() == [0, 2]
    assert fewer.intercept == 0
    np.testing.assert_array_equal(fewer.shift, alone.shift)
    np.testing.assert_array_equal(fewer.scale, alone.scale)
    close(fewer.xy, alone.xy)
    for ours, theirs in zip(fewer.groups, alone.groups, strict=True):
        close(ours.B, theirs.B)
        assert ours.A.shape == theirs.A.shape
    assert keep_columns(cp, np.arange(cp.p)) is cp


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize(
    "formula", ["y ~ x + z + (x | a) + (1 | b)", "y ~ 0 + f + x + z + (x | a)"]
)
def test_keep_without_the_constant(formula, weights):
    """What is left cannot give a shift back, so none is left."""
    table = a_table(6)
    cp = assemble(build(parse(formula), table, weights=weights))
    columns = np.flatnonzero(np.isin(cp.x_names, ["x", "z"]))
    fewer = keep_columns(cp, columns)
    alone = assemble(
        build(parse(formula.replace("~ x", "~ 0 + x").replace("f + ", "")), table, weights=weights)
    )
    assert fewer.constant is None
    assert not fewer.shift.any()
    assert fewer.x_names == alone.x_names
    alone = in_scaling(alone, fewer.scaling)
    close(fewer.xy, alone.xy, 1e-10)
    close(fewer.groups[0].B, alone.groups[0].B, 1e-10)
    close(fewer.unweighted, alone.unweighted, 1e-10)
    close(row_moments(fewer)[1], row_moments(alone)[1], 1e-9)


def test_the_constant_follows_when_a_column_of_it_is_dropped():
    table = a_table(6)
    e = np.arange(200) % 2
    table |= {
        "d1": table["f"] == "p",
        "d2": table["f"] != "p",
        "e1": e == 0,
        "e2": e == 1,
        "y": table["y"] + 1e7,
    }
    cp = assemble(build(parse("y ~ 0 + d1 + d2 + e1 + e2 + (1 | a)"), table))
    fewer = keep_columns(cp, np.array([0, 1, 2]))
    assert fewer.shift[-1] != 0.0
    np.testing.assert_allclose(fewer.constant, [1.0, 1.0, 0.0], atol=1e-9)
    m = mf.lmer("y ~ 0 + d1 + d2 + e1 + e2 + (1 | a)", table)
    expected = mf.lmer("y ~ 1 + d1 + e1 + (1 | a)", table | {"y": table["y"] - 1e7})
    np.testing.assert_allclose(m.sigma, expected.sigma, rtol=1e-7)


def test_proportions_that_add_up_to_one_take_a_shift_up():
    rng = np.random.default_rng(10)
    n = 150_000
    parts = rng.dirichlet([1.0, 2.0, 3.0], size=n).T
    table = dict(zip("pqr", parts, strict=True)) | {
        "y": 1e7 + rng.normal(size=n),
        "a": np.arange(n) % 20,
    }
    design = build(parse("y ~ 0 + p + q + r + (1 | a)"), table)
    np.testing.assert_allclose(choose_scaling(design).constant, np.ones(3), rtol=1e-9)
    assert choose_scaling(design, look_at_rows=False).constant is None
    table["r"][77_777] += 1e-3  # a row outside the sample: no longer
    assert choose_scaling(build(parse("y ~ 0 + p + q + r + (1 | a)"), table)).constant is None


@pytest.mark.parametrize(
    "formula", ["y ~ 0 + f + (1 | a)", "y ~ 0 + f:g + x + (1 | a)", "y ~ 0 + x + g + (1 | a)"]
)
def test_cells_add_up_to_one_by_their_structure(formula):
    table = a_table(3) | {"g": np.array(list("st"))[np.arange(200) % 2]}
    design = build(parse(formula), table)
    constant = choose_scaling(design, look_at_rows=False).constant
    np.testing.assert_allclose(matrix(design.x, 200) @ constant, 1.0)


def test_a_basis_that_does_not_hold_is_refused():
    table = a_table(3) | {"u": np.ones(200)}
    basis = choose_scaling(build(parse("y ~ 0 + u + x + (1 | a)"), table))
    assert basis.constant is not None
    table["u"][5] = 2.0
    with pytest.raises(mf.DataError, match="add up to 1"):
        assemble(build(parse("y ~ 0 + u + x + (1 | a)"), table), scaling=basis)


def test_alias_says_how_dropped_columns_follow():
    table = a_table(7)
    table["u"] = 2.0 * table["x"] - 3.0
    design = build(parse("y ~ x + z + u + (1 | a)"), table)
    X = matrix(design.x, design.n)
    kept = np.array([0, 1, 2])
    alias = keep_columns(assemble(design), kept).alias
    np.testing.assert_allclose(X[:, kept] @ alias, X, rtol=0, atol=1e-9)


def exact_residual_sum_of_squares(x, y):
    """Of y on an intercept and x, in rational arithmetic."""
    x, y = ([Fraction(float(value)) for value in column] for column in (x, y))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    xx = sum((a - mean_x) ** 2 for a in x)
    xy = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return float(sum((b - mean_y) ** 2 for b in y) - xy**2 / xx)


@pytest.mark.parametrize("mean", [0.0, 1e5, 1e7, 1e9])
def test_a_response_far_from_zero_keeps_its_residuals(mean):
    """Raw cross-products lose two thirds of their digits at a mean of 1e7; shifted ones do not."""
    rng = np.random.default_rng(8)
    n = 400
    x = rng.normal(size=n)
    y = mean + x + rng.normal(size=n)
    cp = mf.crossproducts("y ~ x + (1 | a)", {"y": y, "x": x, "a": np.arange(n) % 10})
    xy = cp.xy[:-1, -1]
    ours = (cp.xy[-1, -1] - xy @ np.linalg.solve(cp.xy[:-1, :-1], xy)) / cp.scale[-1] ** 2
    assert ours == pytest.approx(exact_residual_sum_of_squares(x, y), rel=1e-10)


def test_the_raw_products_would_not_pass():
    """The bound above has teeth: without a shift the same sums miss it by eight orders."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=400)
    y = 1e7 + x + rng.normal(size=400)
    D = np.column_stack([np.ones(400), x, y])
    G = D.T @ D
    raw = G[2, 2] - G[:2, 2] @ np.linalg.solve(G[:2, :2], G[:2, 2])
    assert abs(raw / exact_residual_sum_of_squares(x, y) - 1.0) > 1e-3


@pytest.mark.parametrize("n", [50_000, 130_001])
def test_partial_products_add(n):
    rng = np.random.default_rng(9)
    data = {"y": rng.normal(size=n), "x": rng.normal(size=n), "a": rng.integers(0, 50, n)}
    one, two, again = (mf.crossproducts("y ~ x + (x | a)", data, threads=t) for t in (1, 2, 2))
    close(one.xy, two.xy)
    close(one.groups[0].A, two.groups[0].A)
    close(one.groups[0].B, two.groups[0].B)
    for part in ("A", "B"):
        np.testing.assert_array_equal(getattr(two.groups[0], part), getattr(again.groups[0], part))
    np.testing.assert_array_equal(two.xy, again.xy)
