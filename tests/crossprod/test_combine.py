"""Cross-products add: tables read apart and added are the table read whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.cases import frame, golden

import mixedfast as mf
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.combine import in_scaling
from mixedfast.crossprod.scaling import choose_scaling
from mixedfast.design.build import build
from mixedfast.design.new_data import code_new_data
from mixedfast.formula.parser import parse

# sums in another order, in shifted and scaled columns
ROUNDING = 1e-9
MODELS = [
    "hsb_seed",
    "sleepstudy",
    "penicillin",
    "pastes",
    "clinics_weights",
    "clinics_no_intercept",
    "words_slopes",
    "years_intercept",
    "classes_nested",
]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("order", ["as it is", "shuffled"])
def test_parts_added_are_the_whole(name, order):
    record = golden(name)
    data = frame(record["dataset"])
    if order == "shuffled":
        data = data.iloc[np.random.default_rng(3).permutation(len(data))]
    cut = len(data) // 3

    def products(rows):
        return mf.crossproducts(record["formula_py"], rows, weights=record.get("weights"))

    try:
        added = products(data[:cut]) + products(data[cut:])
    except mf.MixedFastError as error:
        assert (
            order == "as it is"
        )  # a part may lack a level of a factor, or repeat in no group: it says so
        assert str(error)
        return
    whole, parts = mf.fit(products(data), REML=record["REML"]), mf.fit(added, REML=record["REML"])
    assert parts.nobs == whole.nobs
    assert parts.criterion == pytest.approx(whole.criterion, rel=ROUNDING)
    np.testing.assert_allclose(parts.params, whole.params, rtol=1e-6, atol=1e-6 * whole.bse.max())
    np.testing.assert_allclose(parts.coef_table().df, whole.coef_table().df, rtol=1e-5)
    assert parts.r2() == pytest.approx(whole.r2(), rel=1e-6)
    for group, modes in whole.ranef().items():
        ours = parts.ranef()[group].loc[modes.index]
        np.testing.assert_allclose(ours, modes, atol=1e-5 * np.abs(modes.to_numpy()).max())


def test_a_list_of_parts_is_summed_whatever_the_spaces_in_their_formulas():
    data = mf.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (1 | Subject)"
    odd, even = (
        mf.crossproducts(formula.replace(" ", ""), data[1::2]),
        mf.crossproducts(formula, data[::2]),
    )
    assert mf.fit(sum([even, odd])).criterion == pytest.approx(
        mf.lmer(formula, data).criterion, rel=ROUNDING
    )
    with pytest.raises(TypeError):
        1 + odd


def test_different_models_do_not_add():
    sleep = frame("sleepstudy")
    a = mf.crossproducts("Reaction ~ Days + (1 | Subject)", sleep)
    with pytest.raises(mf.DataError, match="different models"):
        a + mf.crossproducts("Reaction ~ 1 + (1 | Subject)", sleep)


def two_parts(n=300):
    """Return a table in two parts with different groups and a different order of the factors."""
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 12, n), rng.integers(0, 9, n)
    b[: n // 2] = rng.integers(0, 20, n // 2)
    a[: n // 2] = rng.integers(3, 8, n // 2)
    x = rng.normal(size=n)
    y = 30.0 + rng.normal(size=12)[a] * (1.0 + x) + rng.normal(size=20)[b] + x + rng.normal(size=n)
    w = rng.uniform(0.5, 2.0, n)
    f = np.array(list("uvw"))[rng.permutation(np.arange(n) % 3)]
    table = {"y": y, "x": x, "a": a, "b": b, "f": f, "w": w}
    return table, [
        {k: v[part] for k, v in table.items()} for part in (slice(n // 2), slice(n // 2, None))
    ]


def same_products(ours, theirs):
    """In one basis the sums of the parts are the sums of the whole.

    Group by group and pair by pair.
    """
    ours = in_scaling(ours, theirs.scaling)
    assert (ours.n, ours.terms, ours.x_names) == (theirs.n, theirs.terms, theirs.x_names)

    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=0, atol=ROUNDING * np.abs(b).max())

    close(ours.xy, theirs.xy)
    for mine, whole in zip(ours.groups, theirs.groups, strict=True):
        assert mine.name == whole.name
        assert np.asarray(mine.levels).tolist() == np.asarray(whole.levels).tolist()
        close(mine.A, whole.A)
        close(mine.B, whole.B)
    for key, pair in theirs.pairs.items():
        np.testing.assert_array_equal(ours.pairs[key].indptr, pair.indptr)
        np.testing.assert_array_equal(ours.pairs[key].indices, pair.indices)
        close(ours.pairs[key].data, pair.data)
    if theirs.unweighted is not None:
        close(ours.unweighted, theirs.unweighted)


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | a) + (1 | b)",
        "y ~ x + (1 | b) + (0 + x | a) + (1 | a)",
        "y ~ 0 + f + x + (1 | a:b) + (1 + x | b)",
        "y ~ 0 + x + (x || a)",
        "y ~ f + (1 | a / b)",
    ],
)
def test_groups_and_orders_that_differ(formula, weights):
    table, (first, second) = two_parts()
    whole = mf.crossproducts(formula, table, weights=weights)
    a, b = (mf.crossproducts(formula, part, weights=weights) for part in (first, second))
    same_products(a + b, whole)
    same_products(b + a, whole)
    fit, parts = mf.fit(whole), mf.fit(a + b)
    assert parts.criterion == pytest.approx(fit.criterion, rel=ROUNDING)
    np.testing.assert_allclose(parts.params, fit.params, rtol=1e-6)


def test_the_order_of_factors_does_differ():
    """The case above is the case meant: the parts list their factors in opposite orders."""
    _, parts = two_parts()
    names = [
        [g.name for g in mf.crossproducts("y ~ x + (x | a) + (1 | b)", part).groups]
        for part in parts
    ]
    assert names == [["b", "a"], ["a", "b"]]


def test_a_shared_basis_adds_to_the_bit():
    table, (first, second) = two_parts()
    design = [build(parse("y ~ x + (x | a) + (1 | b)"), part) for part in (table, first, second)]
    basis = choose_scaling(design[1], look_at_rows=False)
    a = assemble(design[1], scaling=basis)
    back = in_order_of(design[2], design[1])
    b = assemble(back, scaling=basis)
    np.testing.assert_array_equal((a + b).xy, a.xy + b.xy)
    same_products(a + b, assemble(design[0]))


def in_order_of(design, other):
    """Return a batch with its terms in the order of another batch."""
    order = [[t.group for t in design.terms].index(o.group) for o in other.terms]
    recipe = replace(
        design.recipe,
        **{k: tuple(getattr(design.recipe, k)[i] for i in order) for k in ("random", "groups")},
    )
    return replace(design, terms=tuple(design.terms[i] for i in order), recipe=recipe)


def test_a_constant_of_one_table_only():
    """Two columns add up to one in one table, which absorbs its shift, and not in the sum."""
    rng = np.random.default_rng(8)
    x, y, a = rng.uniform(size=80), 1e3 + rng.normal(size=80), np.arange(80) % 8
    first = {"y": y[:40], "x": x[:40], "z": 1.0 - x[:40], "a": a[:40]}
    second = {"y": y[40:], "x": x[40:], "z": rng.uniform(size=40), "a": a[40:]}
    whole = {name: np.concatenate([first[name], second[name]]) for name in first}
    one, two, both = (
        mf.crossproducts("y ~ 0 + x + z + (1 | a)", t) for t in (first, second, whole)
    )
    assert one.constant is not None
    assert one.shift[-1] != 0.0
    assert two.constant is None
    same_products(one + two, both)
    same_products(two + one, both)


@pytest.mark.parametrize(
    ("formula", "change", "message"),
    [
        ("y ~ f + (1 | a)", {"f": np.array(list("uv") * 75)}, "columns of X differ .*w"),
        ("y ~ x + (f | a)", {"f": np.array(list("uv") * 75)}, "random effects of a differ .*w"),
        ("y ~ x + (1 | a)", {"a": np.array(list("pq") * 75)}, "groups of 'a' are labelled"),
        ("y ~ scale(x) + (1 | a)", {}, "scale"),
    ],
)
def test_what_differs_is_named(formula, change, message):
    _, (first, second) = two_parts()
    with pytest.raises(mf.DataError, match=message):
        mf.crossproducts(formula, first) + mf.crossproducts(formula, second | change)


def test_predictions_after_an_addition_know_all_groups():
    table, parts = two_parts()
    a, b = (mf.crossproducts("y ~ x + (x | a) + (1 | a:b)", part) for part in parts)
    recipe = (a + b).meta.recipe
    assert recipe is not None
    groups = {g.name: g for g in (a + b).groups}
    for group, (codes, _) in zip(recipe.groups, code_new_data(recipe, table).terms, strict=True):
        assert (codes >= 0).all()
        levels = np.asarray(groups[group.label].levels)
        assert len(np.unique(codes)) == len(levels)
        expected = (
            table["a"]
            if group.label == "a"
            else [f"{i}:{j}" for i, j in zip(table["a"], table["b"], strict=True)]
        )
        assert levels[codes].tolist() == list(expected)
