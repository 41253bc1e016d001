"""Cross-products of some columns of X (independent ones, a smaller model) and of some levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfast.crossprod.blocks import GroupProducts, PairProducts
from mixedfast.crossprod.combine import in_scaling, most_levels_first
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.grouping import keep_groups

__all__ = ["keep_columns", "keep_levels"]

#: Columns add up to the constant if they leave less than this share of its sum of squares.
_CONSTANT_TOLERANCE = 1e-13


def keep_columns(cp: CrossProducts, columns: np.ndarray) -> CrossProducts:
    """Keep only some columns of X.

    Parameters
    ----------
    cp : CrossProducts
    columns : (r,) int array
        Their positions, ascending.

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", data)
    >>> keep_columns(cp, np.array([0])).x_names
    ('Intercept',)
    """
    if len(columns) == cp.p:
        return cp
    both = np.append(columns, cp.p)
    X = cp.xy[:-1, :-1]
    internal = np.linalg.solve(X[np.ix_(columns, columns)], X[columns])
    constant = _constant_of(cp, columns, internal)
    if constant is None and cp.constant is not None:  # the columns kept cannot represent a shift
        return keep_columns(in_scaling(cp, cp.scaling.unshifted()), columns)
    fewer = replace(
        cp,
        xy=np.ascontiguousarray(cp.xy[np.ix_(both, both)]),
        shift=cp.shift[both],
        scale=cp.scale[both],
        groups=tuple(
            replace(
                g,
                B=np.ascontiguousarray(g.B[:, :, both]),
                sums=None if g.sums is None else g.sums[:, np.append(0, 1 + columns)],
            )
            for g in cp.groups
        ),
        x_names=tuple(cp.x_names[i] for i in columns),
        kept=cp.kept[columns],
        unweighted=_unweighted_of(cp, columns),
        constant=constant,
        mix=None if cp.mix is None else cp.mix[np.ix_(columns, columns)],
    )
    alias = (
        fewer.scaling.beta_transform()
        @ np.linalg.solve(cp.scaling.beta_transform().T, internal.T).T
    )
    return replace(fewer, alias=alias)


def _constant_of(cp: CrossProducts, columns: np.ndarray, internal: np.ndarray) -> np.ndarray | None:
    """Find `constant` for some columns; all columns are ``X_kept internal``, internal basis."""
    if cp.constant is None:
        return None
    if not np.delete(cp.constant, columns).any():
        return cp.constant[columns]
    X, ones = cp.xy[:-1, :-1], cp.ones
    k = internal @ ones
    total = ones @ X @ ones
    if not total - k @ X[columns] @ ones <= _CONSTANT_TOLERANCE * total:
        return None
    scaled = cp.scale[columns] * (k if cp.mix is None else cp.mix[np.ix_(columns, columns)] @ k)
    return scaled / (1.0 + cp.shift[columns] @ scaled)


def _unweighted_of(cp: CrossProducts, columns: np.ndarray) -> np.ndarray | None:
    if cp.unweighted is None:
        return None
    stay = np.concatenate([[0], 1 + columns, np.arange(1 + cp.p, len(cp.unweighted))])
    return np.ascontiguousarray(cp.unweighted[np.ix_(stay, stay)])


def keep_levels(cp: CrossProducts) -> CrossProducts:
    """Drop the levels of grouping factors without rows.

    These were given by the caller, or have rows in other parts of the data. They add nothing to the
    likelihood, but they would be counted as groups.

    Examples
    --------
    >>> import mixedfast as mf
    >>> table = {"y": [1.0, 3.0, 2.0, 5.0], "g": list("aabb")}
    >>> cp = mf.crossproducts("y ~ 1 + (1 | g)", table, levels={"g": ["a", "b", "c"]})
    >>> cp.groups[0].n_levels, keep_levels(cp).groups[0].n_levels
    (3, 2)
    """
    stay = [np.flatnonzero(_has_rows(group)) for group in cp.groups]
    if all(len(own) == group.n_levels for own, group in zip(stay, cp.groups, strict=True)):
        return cp
    recipe = cp.meta.recipe
    if recipe is not None:
        groups = (
            keep_groups(group, stay[term.group])
            for group, term in zip(recipe.groups, cp.terms, strict=True)
        )
        recipe = replace(recipe, groups=tuple(groups))
    fewer = replace(
        cp,
        groups=tuple(_some_levels(group, own) for group, own in zip(cp.groups, stay, strict=True)),
        pairs={(g, h): _some_pairs(pair, stay[g], stay[h]) for (g, h), pair in cp.pairs.items()},
        meta=replace(cp.meta, recipe=recipe),
    )
    return most_levels_first(fewer)


def _has_rows(group: GroupProducts) -> np.ndarray:
    """Return whether each level has rows, (J,)."""
    if group.sums is not None:
        return np.asarray(group.sums[:, 0] > 0.0)
    return np.asarray(np.einsum("jaa->j", group.A) > 0.0)


def _some_levels(group: GroupProducts, stay: np.ndarray) -> GroupProducts:
    sums = None if group.sums is None else group.sums[stay]
    return replace(
        group, levels=np.asarray(group.levels)[stay], A=group.A[stay], B=group.B[stay], sums=sums
    )


def _some_pairs(pair: PairProducts, left: np.ndarray, right: np.ndarray) -> PairProducts:
    """Renumber the levels of pairs; all pairs lie in levels with rows."""
    indptr = np.append(0, pair.indptr[left + 1])
    return PairProducts(indptr, np.searchsorted(right, pair.indices).astype(np.int32), pair.data)
