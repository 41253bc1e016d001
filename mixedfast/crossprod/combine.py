"""Addition of cross-products of two tables, and subtraction of some of the rows.

Both are brought into one scaling and one numbering of the groups; then sums are added. The result
is that of reading all rows together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mixedfast.crossprod.blocks import GroupProducts, PairProducts
from mixedfast.crossprod.scaling import GroupScaling, Scaling
from mixedfast.crossprod.sums import Meta, Sums
from mixedfast.design.covariates import merge
from mixedfast.design.grouping import GroupRecipe, union
from mixedfast.errors import DataError

if TYPE_CHECKING:
    from mixedfast.design.coding import Coding

__all__ = ["add", "in_scaling", "most_levels_first", "subtract"]

#: The class of the sums: what is added keeps its class.
_S = TypeVar("_S", bound=Sums)

#: A difference of sums below this share of the whole is rounding: all rows were subtracted.
_ROUNDING = 1e-12


def add(a: _S, b: _S) -> _S:
    """Add the cross-products of two tables.

    The sums of `a` keep their scaling where it is valid for both, and b is brought into it. Groups
    that only one table has are kept. Levels are sorted when those of both tables are; otherwise
    those that only b has follow those of a.

    Raises
    ------
    DataError
        When the two are not of the same model: formula, columns of X, columns of Z, states of
        transformations.

    Examples
    --------
    >>> import mixedfast as mf
    >>> sleep, formula = mf.load_dataset("sleepstudy"), "Reaction ~ Days + (1 | Subject)"
    >>> a, b = (mf.crossproducts(formula, part) for part in (sleep[:50], sleep[50:]))
    >>> (a + b).n, len(a.groups[0].levels), len((a + b).groups[0].levels)
    (180, 5, 18)
    """
    b = _in_order(b, a)
    _check_same_model(a, b)
    scaling = _common_scaling(a, b)
    a, b = in_scaling(a, scaling), in_scaling(b, scaling)
    merged = [_add_group(a, b, g) for g in range(len(a.groups))]
    groups, recipes, places = zip(*merged, strict=True) if merged else ((), (), ())
    size = [group.n_levels for group in groups]
    pairs = {
        (g, h): _add_pair((pair, b.pairs[g, h]), places[g], places[h], size[g], size[h])
        for (g, h), pair in a.pairs.items()
    }
    total = replace(
        a,
        n=a.n + b.n,
        xy=a.xy + b.xy,
        groups=tuple(groups),
        pairs=pairs,
        sum_log_weights=a.sum_log_weights + b.sum_log_weights,
        unweighted=None
        if a.unweighted is None or b.unweighted is None
        else a.unweighted + b.unweighted,
        meta=_add_meta(a, b, recipes),
    )
    return most_levels_first(total)


# --- one model --------------------------------------------------------------------------------


def _check_same_model(a: Sums, b: Sums) -> None:
    # spaces do not matter: names with spaces are in the names of the columns too
    if "".join(a.meta.formula.split()) != "".join(b.meta.formula.split()):
        raise DataError(
            f"cross-products of different models do not add: {a.meta.formula!r} and "
            f"{b.meta.formula!r}"
        )
    if a.x_names != b.x_names:
        odd = sorted(set(a.x_names) ^ set(b.x_names))
        raise DataError(
            f"the columns of X differ ({', '.join(odd) or 'in their order'}): "
            "give both tables the same categories"
        )
    for mine, theirs in zip(a.groups, b.groups, strict=True):
        if mine.names != theirs.names:
            odd = sorted(set(mine.names) ^ set(theirs.names))
            raise DataError(
                f"the random effects of {mine.name} differ ({', '.join(odd) or 'in their order'}): "
                "give both tables the same categories"
            )
    if a.terms != b.terms:
        raise DataError("the random terms differ in which of their effects are correlated")
    if a.meta.weighted != b.meta.weighted:
        raise DataError("one side has weights and the other has none: give weights of one")
    if a.meta.recipe is not None and b.meta.recipe is not None:
        codings = ((recipe.fixed, *recipe.random) for recipe in (a.meta.recipe, b.meta.recipe))
        for pair in zip(*codings, strict=True):
            _check_same_coding(*pair)


def _check_same_coding(a: Coding, b: Coding) -> None:
    """Refuse columns of one name with other categories, or with other knots or centres."""
    for name, levels in a.levels.items():
        if levels.tolist() != b.levels[name].tolist():
            raise DataError(
                f"the categories of {name!r} differ ({', '.join(map(str, levels[:6]))} and "
                f"{', '.join(map(str, b.levels[name][:6]))}): "
                "give both tables the same categories in the same order"
            )
    if a.model_spec is not None and b.model_spec is not None:
        for expr, state in a.model_spec.transform_state.items():
            if not _equal(state, b.model_spec.transform_state.get(expr)):
                raise DataError(
                    f"{expr} was centred, scaled or given knots by the values of each table alone: "
                    "transform the column before you split the table"
                )


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


# --- one order of the groups ------------------------------------------------------------------


def _in_order(b: _S, a: _S) -> _S:
    """Put the groups and terms of b in the order of those of a."""
    mine, theirs = [g.name for g in a.groups], [g.name for g in b.groups]
    if sorted(mine) != sorted(theirs):
        raise DataError(f"the grouping factors differ: {', '.join(mine)} and {', '.join(theirs)}")
    groups = [theirs.index(name) for name in mine]
    if len(a.terms) != len(b.terms):
        raise DataError(f"one side has {len(a.terms)} random terms and the other {len(b.terms)}")
    place = {g: i for i, g in enumerate(groups)}
    at = {(place[t.group], t.start): i for i, t in enumerate(b.terms)}
    terms = [at.get((t.group, t.start), -1) for t in a.terms]
    if -1 in terms:
        raise DataError(
            "the random terms differ in their number of effects: "
            "give both tables the same categories"
        )
    return _permuted(b, groups, terms)


def most_levels_first(cp: _S) -> _S:
    """Order the grouping factors by their numbers of levels, as for a table in memory."""
    size = [g.n_levels for g in cp.groups]
    groups = sorted(range(len(size)), key=lambda g: -size[g])
    terms = sorted(range(len(cp.terms)), key=lambda t: -size[cp.terms[t].group])
    return _permuted(cp, groups, terms)


def _permuted(cp: _S, groups: Sequence[int], terms: Sequence[int]) -> _S:
    """Put groups and terms in another order."""
    if list(groups) == sorted(groups) and list(terms) == sorted(terms):
        return cp
    place = {g: i for i, g in enumerate(groups)}
    pairs = {}
    for (g, h), pair in cp.pairs.items():
        new = place[g], place[h]
        pairs[min(new), max(new)] = (
            pair if new[0] < new[1] else _transposed(pair, cp.groups[h].n_levels)
        )
    unweighted = cp.unweighted
    if unweighted is not None:
        ends = np.cumsum([1 + cp.p, *(g.k for g in cp.groups)])
        order = np.concatenate(
            [np.arange(1 + cp.p), *(np.arange(ends[g], ends[g + 1]) for g in groups)]
        )
        unweighted = unweighted[np.ix_(order, order)]
    recipe = cp.meta.recipe
    if recipe is not None:
        recipe = replace(
            recipe,
            random=tuple(recipe.random[t] for t in terms),
            groups=tuple(recipe.groups[t] for t in terms),
        )
    return replace(
        cp,
        groups=tuple(cp.groups[g] for g in groups),
        pairs=pairs,
        terms=tuple(replace(cp.terms[t], group=place[cp.terms[t].group]) for t in terms),
        unweighted=unweighted,
        meta=replace(cp.meta, recipe=recipe),
    )


def _transposed(pair: PairProducts, n_right: int) -> PairProducts:
    rows = pair.rows
    order = np.lexsort((rows, pair.indices))
    data = pair.data[order].transpose(0, 2, 1)
    return PairProducts.of_blocks(pair.indices[order], rows[order], data, n_right)


# --- one scaling ------------------------------------------------------------------------------


def _common_scaling(a: Sums, b: Sums) -> Scaling:
    """Return the scaling of a where it is valid for b too, otherwise the one without shifts.

    A shift is valid if the columns that add up to 1 in the rows of a are known to do so in b.
    """
    if a.constant is None or (b.constant is not None and np.array_equal(a.constant, b.constant)):
        return a.scaling
    return a.scaling.unshifted()


def in_scaling(cp: _S, scaling: Scaling) -> _S:
    """Transform cross-products to another scaling.

    Parameters
    ----------
    cp : Sums
    scaling : Scaling
        With the constant of `cp`, or without a shift of X and y.
    """
    own = cp.scaling
    if own.same(scaling):
        return cp
    R = _transform(scaling, own)
    Z = [_group_transform(cp, g, new) for g, new in enumerate(scaling.groups)]
    groups = tuple(
        replace(
            g,
            A=np.ascontiguousarray(z.T @ g.A @ z),
            B=np.ascontiguousarray(z.T @ g.B @ R),
            shift=new.shift,
            scale=new.scale,
            mix=new.mix,
            sums=None
            if g.sums is None
            else np.column_stack([g.sums[:, :1], g.sums[:, 1:] @ R[:-1, :-1]]),
        )
        for g, z, new in zip(cp.groups, Z, scaling.groups, strict=True)
    )
    pairs = {
        (g, h): replace(pair, data=np.ascontiguousarray(Z[g].T @ pair.data @ Z[h]))
        for (g, h), pair in cp.pairs.items()
    }
    unweighted = cp.unweighted
    if unweighted is None and scaling.constant is None:
        unweighted = _plain_products(cp)
    if unweighted is not None:
        transform = np.zeros(unweighted.shape)
        transform[0, 0] = 1.0
        at = 1
        for part in (R[:-1, :-1], *Z):
            transform[at : at + len(part), at : at + len(part)] = part
            at += len(part)
        unweighted = transform.T @ unweighted @ transform
    return replace(
        cp,
        xy=R.T @ cp.xy @ R,
        shift=scaling.shift,
        scale=scaling.scale,
        constant=scaling.constant,
        mix=scaling.mix,
        groups=groups,
        pairs=pairs,
        unweighted=unweighted,
    )


def _transform(new: Scaling, old: Scaling) -> np.ndarray:
    """Compute R with [X y]_new = [X y]_old R.

    The columns that add up to 1 take up the difference of the shifts.
    """
    R = np.diag(new.scale / old.scale)
    if old.ones is not None:
        R[:-1] += np.outer(old.ones, (old.shift - new.shift) * new.scale)
    if old.mix is not None:
        R[:-1] = np.linalg.solve(old.mix, R[:-1])
    if new.mix is not None:
        R[:, :-1] = R[:, :-1] @ new.mix
    return R


def _group_transform(cp: Sums, g: int, new: GroupScaling) -> np.ndarray:
    """Compute R with Z_new = Z_old R for the columns of Z of one grouping factor."""
    group = cp.groups[g]
    R = np.diag(new.scale / group.scale)
    for term in cp.terms:
        if term.group == g:  # the first column is the constant where the others are shifted
            inside = slice(term.start, term.start + term.k)
            R[term.start, inside] += ((group.shift - new.shift) * new.scale)[inside] / group.scale[
                term.start
            ]
    if group.mix is not None:
        R = np.linalg.solve(group.mix, R)
    return R if new.mix is None else R @ new.mix


def _plain_products(cp: Sums) -> np.ndarray:
    """Collect the products of [1 X Z] of rows without weights from the sums by group."""
    ends = np.cumsum([1 + cp.p, *(g.k for g in cp.groups)])
    out = np.zeros((ends[-1], ends[-1]))
    X = cp.xy[:-1, :-1]
    out[0, 0] = cp.n
    out[1 : 1 + cp.p, 1 : 1 + cp.p] = X
    out[0, 1 : 1 + cp.p] = X @ cp.ones
    for g, group in enumerate(cp.groups):
        mine = slice(ends[g], ends[g + 1])
        out[mine, mine] = group.A.sum(axis=0)
        out[1 : 1 + cp.p, mine] = group.B[:, :, :-1].sum(axis=0).T
        out[0, mine] = cp.ones @ out[1 : 1 + cp.p, mine]
    for (g, h), pair in cp.pairs.items():
        out[ends[g] : ends[g + 1], ends[h] : ends[h + 1]] = pair.data.sum(axis=0)
    upper = np.triu(out)
    return upper + np.triu(out, 1).T


# --- one numbering of the groups --------------------------------------------------------------


def _add_group(
    a: Sums, b: Sums, g: int
) -> tuple[GroupProducts, GroupRecipe, tuple[np.ndarray, np.ndarray]]:
    """Add one grouping factor of both.

    Returns
    -------
    The sums, the numbering of the groups, and the place in it of each level of a and of b.
    """
    recipe, *places = union(_group_recipe(a, g), _group_recipe(b, g))
    mine, theirs = a.groups[g], b.groups[g]
    size = len(recipe.levels)
    A, B = np.zeros((size, *mine.A.shape[1:])), np.zeros((size, *mine.B.shape[1:]))
    sums = (
        None if mine.sums is None or theirs.sums is None else np.zeros((size, mine.sums.shape[1]))
    )
    for group, place in zip((mine, theirs), places, strict=True):
        A[place] += group.A
        B[place] += group.B
        if sums is not None:
            sums[place] += group.sums
    return replace(mine, levels=recipe.levels, A=A, B=B, sums=sums), recipe, (places[0], places[1])


def _group_recipe(cp: Sums, g: int) -> GroupRecipe:
    """Return the numbering of the groups; by their labels alone if there is no recipe."""
    if cp.meta.recipe is None:
        name, levels = cp.groups[g].name, np.asarray(cp.groups[g].levels)
        return GroupRecipe(name, (name,), (levels,), (), levels)
    return cp.meta.recipe.groups[next(i for i, term in enumerate(cp.terms) if term.group == g)]


def _add_pair(
    both: tuple[PairProducts, PairProducts],
    left: Sequence[np.ndarray],
    right: Sequence[np.ndarray],
    n_left: int,
    n_right: int,
) -> PairProducts:
    keys = np.concatenate(
        [
            row_place[pair.rows] * np.int64(n_right) + place[pair.indices]
            for pair, row_place, place in zip(both, left, right, strict=True)
        ]
    )
    distinct, at = np.unique(keys, return_inverse=True)
    data = np.zeros((len(distinct), *both[0].data.shape[1:]))
    start = 0
    for pair in both:  # each side has a pair once, so plain indexing adds
        data[at[start : start + len(pair.indices)]] += pair.data
        start += len(pair.indices)
    return PairProducts.of_blocks(distinct // n_right, distinct % n_right, data, n_left)


def _add_meta(a: Sums, b: Sums, groups: Sequence[GroupRecipe]) -> Meta:
    recipe = a.meta.recipe
    if recipe is not None:
        theirs = {} if b.meta.recipe is None else b.meta.recipe.covariates
        recipe = replace(
            recipe,
            groups=tuple(groups[term.group] for term in a.terms),
            covariates=merge(recipe.covariates, a.n, theirs, b.n),
        )
    names = dict.fromkeys([*a.meta.missing, *b.meta.missing])
    return replace(
        a.meta,
        n_dropped=a.meta.n_dropped + b.meta.n_dropped,
        missing={name: a.meta.missing.get(name, 0) + b.meta.missing.get(name, 0) for name in names},
        recipe=recipe,
    )


# --- subtraction ------------------------------------------------------------------------------


def subtract(cp: _S, part: _S) -> _S:
    """Subtract the cross-products of some of the rows.

    Levels that lose all their rows stay, with sums of zero: they add nothing to the likelihood.
    `meta` stays that of all rows.

    Parameters
    ----------
    cp, part : Sums
        In one scaling, with one numbering of the groups; the rows of `part` are among those of
        `cp`.
    """
    groups = []
    for mine, theirs in zip(cp.groups, part.groups, strict=True):
        sums = (
            None
            if mine.sums is None or theirs.sums is None
            else _difference(mine.sums, theirs.sums)
        )
        groups.append(
            replace(
                mine, A=_difference(mine.A, theirs.A), B=_difference(mine.B, theirs.B), sums=sums
            )
        )
    pairs = {}
    for (g, h), pair in cp.pairs.items():
        other, width = part.pairs[g, h], np.int64(cp.groups[h].n_levels)
        at = np.searchsorted(pair.rows * width + pair.indices, other.rows * width + other.indices)
        data = pair.data.copy()
        data[at] = _difference(data[at], other.data)
        pairs[g, h] = replace(pair, data=data)
    return replace(
        cp,
        n=cp.n - part.n,
        xy=cp.xy - part.xy,
        groups=tuple(groups),
        pairs=pairs,
        sum_log_weights=cp.sum_log_weights - part.sum_log_weights,
        unweighted=None
        if cp.unweighted is None or part.unweighted is None
        else cp.unweighted - part.unweighted,
    )


def _difference(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Compute whole - part, with rounding set to zero."""
    left = whole - part
    left[np.abs(left) <= _ROUNDING * np.abs(whole)] = 0.0
    return left
