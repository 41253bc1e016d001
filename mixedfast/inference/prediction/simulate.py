"""Simulated responses, row by row: for the rows of the fit, or for new ones."""

from __future__ import annotations

import numpy as np

from mixedfast._validation import check_room
from mixedfast.data.frames import Table
from mixedfast.design.new_data import code_new_data
from mixedfast.design.types import Design, Recipe
from mixedfast.errors import ArgumentError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.prediction.henderson import linear_predictor
from mixedfast.inference.prediction.new_levels import known_levels, missing_levels, number_new
from mixedfast.inference.prediction.row_tiles import ModelRows, rows_of_design, rows_of_new

__all__ = ["simulate_new", "simulate_old"]

_REMEDY = (
    'Set allow_new_levels=True to draw random effects for them, or re="new" to draw all random '
    "effects"
)


def simulate_old(
    fit: LinearFit, design: Design, n: int, seed: int | None, kept: list[np.ndarray]
) -> np.ndarray:
    """Simulate responses for the rows of the fit, (rows, n).

    Parameters
    ----------
    fit : LinearFit
    design : Design
    n : int
        Draws. Draw r depends only on the seed and r: the first draws of a longer run are those of a
        shorter one.
    seed : int, optional
    kept : list of (K,) bool arrays
        The random effects that keep their conditional modes (see `chosen_effects`); the others are
        drawn.
    """
    _require_whole_terms(fit, kept)
    _check_draws(fit, design.n, n)
    mean = linear_predictor(fit, rows_of_design(fit.cp, design, kept))
    drawn = rows_of_design(fit.cp, design, [~own for own in kept])
    return _draw(fit, mean, drawn, kept, {}, _noise(fit, design.weights), n, seed)


def simulate_new(
    fit: LinearFit,
    recipe: Recipe,
    table: Table,
    n: int,
    seed: int | None,
    kept: list[np.ndarray],
    allow_new_levels: bool,
    weights: np.ndarray | None = None,
    offset: np.ndarray | None = None,
) -> np.ndarray:
    """Simulate responses for new rows, (rows, n); NaN where a variable of the model is missing.

    Parameters
    ----------
    fit, n, seed, kept
        As for `simulate_old`, with the same draws for the rows of the fit.
    recipe : Recipe
    table : Table
    allow_new_levels : bool
        Whether to draw effects for levels that are not in the fit where effects are kept.
    weights : (n,) array, optional
        The residual variance is sigma^2 / weight; default: 1.
    offset : (n,) array, optional
        In place of the column of the fit.

    Raises
    ------
    DataError
        For a missing column or a new level; the message names it.
    """
    _check_draws(fit, table.n, n)
    _require_whole_terms(fit, kept)
    shapes = fit.cp.terms
    new = code_new_data(recipe, table, offset=offset)
    where = np.arange(table.n) if new.kept_rows is None else new.kept_rows
    usable = np.ones(new.n, dtype=bool)
    for t, shape in enumerate(shapes):
        if kept[shape.group].any() and not allow_new_levels:
            usable &= known_levels(new, recipe, table, where, t, _REMEDY)
        usable &= ~missing_levels(recipe, table, where, t)
    codes = [number_new(new.terms[t][0], recipe, table, where, t) for t in range(len(shapes))]
    extra = {
        shape.group: int(own.max(initial=-1)) + 1 for shape, own in zip(shapes, codes, strict=True)
    }
    everything = [np.ones(group.k, dtype=bool) for group in fit.cp.groups]
    mean = linear_predictor(fit, rows_of_new(fit.cp, new, kept))
    drawn = rows_of_new(fit.cp, new.with_codes(codes), everything)
    noise = _noise(fit, None if weights is None else weights[where])
    out = np.full((table.n, n), np.nan, order="F")
    found = _draw(fit, mean, drawn, kept, extra, noise, n, seed)
    out[where[usable]] = found[usable]
    return out


def _require_whole_terms(fit: LinearFit, kept: list[np.ndarray]) -> None:
    """Raise ArgumentError when some but not all of several correlated effects are kept.

    The others would have to be drawn conditionally on the kept ones.
    """
    for term in fit.cp.terms:
        own = kept[term.group][term.start : term.start + term.k]
        if term.correlated and own.any() and not own.all():
            group = fit.cp.groups[term.group]
            names = ", ".join(group.names[term.start : term.start + term.k])
            raise ArgumentError(
                f"simulate(re=...) keeps some of the effects {names} of {group.name} and not "
                f"others, but they are correlated: keep them all ({group.name!r}) or none"
            )


def _noise(fit: LinearFit, weights: np.ndarray | None) -> np.ndarray | float:
    """Return the standard deviation of the residual of each row."""
    return fit.sigma if weights is None else fit.sigma / np.sqrt(weights)


def _check_draws(fit: LinearFit, rows: int, n: int) -> None:
    """Raise ArgumentError when the draws of rows and of effects do not fit into memory."""
    check_room(
        f"simulate({n})",
        8.0 * n * (rows + sum(group.n_levels * group.k for group in fit.cp.groups)),
    )


def _draw(
    fit: LinearFit,
    mean: np.ndarray,
    rows: ModelRows,
    kept: list[np.ndarray],
    extra: dict[int, int],
    noise: np.ndarray | float,
    n: int,
    seed: int | None,
) -> np.ndarray:
    """Add drawn effects of `rows` and residuals to `mean`, (rows, n).

    `extra` is group -> number of levels, new ones included.
    """
    roots = [fit.sigma * block for block in fit.system.lambdas] if isinstance(fit, Fit) else []
    masks = [_drawn_only(fit, g, own) for g, own in enumerate(kept)]
    fresh = not all(own.all() for own in kept)
    out = np.empty((rows.n, n), order="F")
    effects: list[list[np.ndarray]] = [[] for _ in roots]
    for r, stream in enumerate(np.random.SeedSequence(seed).spawn(n)):
        rng = np.random.default_rng(stream)
        for own, root, mask, group in zip(effects, roots, masks, fit.cp.groups, strict=True):
            some = (
                rng.standard_normal((group.n_levels, group.k))
                if fresh
                else np.zeros((group.n_levels, group.k))
            )
            own.append(some @ (mask @ root).T)
        out[:, r] = mean + noise * rng.standard_normal(rows.n)
        # last, so that the draws for levels of the fit do not depend on new ones
        for g, total in extra.items():
            new = rng.standard_normal(
                (max(0, total - fit.cp.groups[g].n_levels), fit.cp.groups[g].k)
            )
            effects[g][r] = np.concatenate([effects[g][r], new @ roots[g].T])
    for tile in rows.tiles():
        for g, Z, codes in zip(rows.groups, tile.Z, tile.codes, strict=True):
            for r in range(n):
                out[tile.where, r] += np.einsum("ia,ia->i", Z, effects[g][r][codes])
    return out


def _drawn_only(fit: LinearFit, g: int, kept: np.ndarray) -> np.ndarray:
    """Return the matrix (K, K) that sets kept effects to zero in drawn ones, internal basis.

    Kept effects are those of the user's columns.
    """
    if not kept.any():
        return np.eye(len(kept))
    T = fit.cp.covariance.transforms[g]
    return T @ ((~kept)[:, None] * np.linalg.inv(T))
