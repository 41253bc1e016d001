"""Cross-products of a sub-model: fewer columns of X and of Z, from the sums of a larger model.

The rows are those of the larger model, complete for all of its variables.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfast.covariance.relative import TermShape
from mixedfast.crossprod.combine import in_scaling, most_levels_first
from mixedfast.crossprod.random_columns import NewColumns, constant_column, selected, with_columns
from mixedfast.crossprod.scaling import GroupScaling
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.build import check_effects
from mixedfast.design.coding import Coding, code_shapes
from mixedfast.design.types import Recipe
from mixedfast.errors import DataError, FormulaError
from mixedfast.formula.parser import ModelSpec, RandomTerm, parse
from mixedfast.formula.variables import used_names

__all__ = ["sub_model"]

#: Places of the columns of a random term, or weights with which they sum to the constant.
_Columns = list[int] | np.ndarray


def sub_model(cp: CrossProducts, formula: str) -> CrossProducts:
    """Return the cross-products of a model with fewer fixed or random effects.

    Parameters
    ----------
    cp : CrossProducts
        Of a larger model.
    formula : str
        Of the same response and offset. Each column of X must be one of the larger model, and
        each random term a part of one of its terms, with or without correlations.

    Raises
    ------
    FormulaError, DataError
        When the model is no part of the larger one; names the column or the term.

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", data)
    >>> sub_model(cp, "Reaction ~ Days + (1 | Subject)").groups[0].names
    ('Intercept',)
    """
    recipe = cp.meta.recipe
    if recipe is None:
        raise DataError(
            "these cross-products do not carry the formula of their terms, so no part can be chosen"
        )
    spec = parse(formula)
    _check_response(spec, recipe.spec)
    fixed = _part_of(recipe.fixed, spec.fixed)
    places = _places(fixed.names, cp.x_names, formula)
    if (np.diff(places) < 0).any():  # terms in the order of the larger model
        spec = replace(spec, fixed=_in_order(fixed, places))
        fixed = _part_of(recipe.fixed, spec.fixed)
        places = _places(fixed.names, cp.x_names, formula)
    cp, codings, chosen = _random_part(cp, recipe, spec)
    cp = _fixed_part(cp, places)
    variables = {
        name for text in (spec.fixed, *(c.formula for c in codings)) for name in used_names(text)
    }
    part = replace(
        recipe,
        spec=spec,
        fixed=fixed,
        random=codings,
        groups=tuple(recipe.groups[i] for i in chosen),
        levels={name: levels for name, levels in recipe.levels.items() if name in variables},
        kept=tuple(range(len(fixed.names))),
    )
    meta = replace(
        cp.meta, formula=spec.formula, x_names=fixed.names, fixed_terms=fixed.terms, recipe=part
    )
    return most_levels_first(replace(cp, meta=meta))


def _check_response(spec: ModelSpec, whole: ModelSpec) -> None:
    """Raise FormulaError for another response or offset."""
    if spec.response != whole.response or sorted(spec.offsets) != sorted(whole.offsets):
        raise FormulaError(
            f"the sums are those of {whole.formula!r}, and {spec.formula!r} has another response "
            "or offset: sum the rows again"
        )


def _part_of(coding: Coding, formula: str) -> Coding:
    """Code a formula whose variables are among those of a coding."""
    known = {shape.name: shape for shape in coding.shapes}
    missing = [name for name in used_names(formula) if name not in known]
    if missing:
        raise DataError(
            f"{missing[0]!r} in {formula!r} is not among the variables of the sums there "
            f"({', '.join(known) or 'none'})"
        )
    state = {} if coding.model_spec is None else dict(coding.model_spec.transform_state)
    shapes = tuple(known[name] for name in used_names(formula))
    return code_shapes(formula, shapes, coding.contrasts, state, coding.typical)


def _places(names: tuple[str, ...], known: tuple[str, ...], formula: str) -> np.ndarray:
    """Find columns among those of the sums."""
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"the column {missing[0]!r} of {formula!r} is not among those of the sums "
            f"({', '.join(known[:12])}): keep the main effects and the intercept beside "
            "interactions and factors, or sum the rows again"
        )
    return np.array([known.index(name) for name in names], dtype=int)


def _in_order(fixed: Coding, places: np.ndarray) -> str:
    """Write the fixed part with its terms in the order of the larger model."""
    terms = sorted(
        (term for term in fixed.terms if term.factors), key=lambda term: places[term.columns[0]]
    )
    first = "1" if any(not term.factors for term in fixed.terms) else "0"
    return " + ".join([first, *(term.name for term in terms)])


# --- columns of X ---------------------------------------------------------------------------------


def _fixed_part(cp: CrossProducts, places: np.ndarray) -> CrossProducts:
    """Keep some columns of X; unshifted without the constant or a column mixed into others."""
    others = np.setdiff1d(np.arange(cp.p), places)
    mixed = cp.mix is not None and cp.mix[np.ix_(others, places)].any()
    if mixed or (cp.constant is not None and cp.constant[others].any()):
        cp = in_scaling(cp, cp.scaling.unshifted())
    both = np.append(places, cp.p)
    unweighted = cp.unweighted
    if unweighted is not None:
        stay = np.concatenate([[0], 1 + places, np.arange(1 + cp.p, len(unweighted))])
        unweighted = np.ascontiguousarray(unweighted[np.ix_(stay, stay)])
    return replace(
        cp,
        xy=np.ascontiguousarray(cp.xy[np.ix_(both, both)]),
        shift=cp.shift[both],
        scale=cp.scale[both],
        groups=tuple(
            replace(
                g,
                B=np.ascontiguousarray(g.B[:, :, both]),
                sums=None if g.sums is None else g.sums[:, np.append(0, 1 + places)],
            )
            for g in cp.groups
        ),
        x_names=tuple(cp.x_names[i] for i in places),
        kept=np.arange(len(places)),
        unweighted=unweighted,
        constant=None if cp.constant is None else cp.constant[places],
        mix=None if cp.mix is None else cp.mix[np.ix_(places, places)],
        alias=None,
    )


# --- columns of Z ---------------------------------------------------------------------------------


def _random_part(
    cp: CrossProducts, recipe: Recipe, spec: ModelSpec
) -> tuple[CrossProducts, tuple[Coding, ...], tuple[int, ...]]:
    """Keep the random terms of a formula; also return their codings and places, in this order."""
    wanted: dict[int, tuple[RandomTerm, Coding, _Columns]] = {}
    for term in spec.random:
        i, coding, columns = _matched(cp, recipe, term, set(wanted))
        wanted[i] = term, coding, columns
    raw = {
        cp.terms[i].group
        for i, (term, coding, columns) in wanted.items()
        if "Intercept" not in coding.names
        or term.correlated != cp.terms[i].correlated
        or isinstance(columns, np.ndarray)
    }
    cp = in_scaling(
        cp,
        replace(
            cp.scaling,
            groups=tuple(
                GroupScaling(np.zeros(g.k), g.scale, None) if at in raw else g.scaling
                for at, g in enumerate(cp.groups)
            ),
        ),
    )
    sums = [_sums_of_constant(cp, g) for g in range(len(cp.groups))]
    columns_of = [
        _chosen(cp, term, wanted[i][2] if i in wanted else []) for i, term in enumerate(cp.terms)
    ]
    fewer = with_columns(cp, columns_of)
    order = sorted(wanted)
    groups = []
    kept_groups = [g for g in range(len(cp.groups)) if any(cp.terms[i].group == g for i in wanted)]
    for g, group in zip(kept_groups, fewer.groups, strict=True):
        has_constant = "Intercept" in group.names
        groups.append(replace(group, sums=None if has_constant else sums[g]))
    terms = tuple(
        replace(shape, correlated=wanted[i][0].correlated)
        for i, shape in zip(order, fewer.terms, strict=True)
    )
    made = replace(fewer, groups=tuple(groups), terms=terms)
    return made, tuple(wanted[i][1] for i in order), tuple(order)


def _matched(
    cp: CrossProducts, recipe: Recipe, term: RandomTerm, taken: set[int]
) -> tuple[int, Coding, _Columns]:
    """Find the random term of the sums that contains a term, and its columns there."""
    for i, (group, coding) in enumerate(zip(recipe.groups, recipe.random, strict=True)):
        if i in taken or group.label != term.group:
            continue
        if not set(used_names(term.expr)) <= {shape.name for shape in coding.shapes}:
            continue
        own = _part_of(coding, term.expr)
        check_effects(term, own)
        if set(own.names) <= set(coding.names):
            places = [coding.names.index(name) for name in own.names]
            if places == sorted(places):
                return i, own, places
        weights = _constant(coding) if own.names == ("Intercept",) else None
        if weights is not None:
            return i, own, weights
    known = ", ".join(str(own) for own in recipe.random_terms)
    raise DataError(f"the random term {term} is not a part of one of those of the sums ({known})")


def _constant(coding: Coding) -> np.ndarray | None:
    """Return weights with which the columns of a factor without intercept sum to 1, if any."""
    pieces = [product[0] for product in coding.products or () if len(product) == 1]
    tables = [piece.table for piece in pieces if piece.table is not None]
    if len(tables) < len(coding.names) or len({piece.variable for piece in pieces}) > 1:
        return None
    columns = np.column_stack(tables)
    weights = np.linalg.lstsq(columns, np.ones(len(columns)), rcond=None)[0]
    return weights if np.allclose(columns @ weights, 1.0) else None


def _chosen(cp: CrossProducts, term: TermShape, columns: _Columns) -> NewColumns:
    """Make the new columns of a random term: some of the old ones, or the constant."""
    if isinstance(columns, np.ndarray):
        return constant_column(cp, term, columns)
    return selected(cp, term, columns)


def _sums_of_constant(cp: CrossProducts, g: int) -> np.ndarray | None:
    """Compute 1'W[1 X] of each level, (J, 1+p), from the intercept of a group or as it has them."""
    group = cp.groups[g]
    if "Intercept" not in group.names:
        return group.sums
    at = group.names.index("Intercept")
    own = next(t for t in cp.terms if t.group == g and t.start <= at < t.start + t.k)
    constant = selected(cp, own, [at - own.start]).matrix[:, 0] / group.scale[at]
    inside = slice(own.start, own.start + own.k)
    weights = np.einsum("a,jab,b->j", constant, group.A[:, inside, inside], constant)
    return np.column_stack([weights, np.einsum("a,jap->jp", constant, group.B[:, inside, :-1])])
