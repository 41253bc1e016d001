"""Simulated responses, row by row."""

from __future__ import annotations

import numpy as np

from mixedfast.design import Design
from mixedfast.fitting import Fit
from mixedfast.rowwise.fitted import fitted, population
from mixedfast.rowwise.tiles import rows_of_design

__all__ = ["simulate"]


def simulate(fit: Fit, design: Design, n: int, seed: int | None, new: bool) -> np.ndarray:
    """Responses drawn from the fitted model, (rows, n).

    Parameters
    ----------
    fit : Fit
    design : Design
    n : int
        Draws. Draw r depends on the seed and r alone: the first draws of a longer run are those of a shorter one.
    seed : int, optional
    new : bool
        New random effects in every draw; otherwise those of the fit (their conditional modes).
    """
    rows = rows_of_design(fit.cp, design)
    mean = population(fit, design) if new else fitted(fit, design)
    noise = fit.sigma if design.weights is None else fit.sigma / np.sqrt(design.weights)
    roots = [fit.sigma * block for block in fit.system.lambdas]
    out = np.empty((rows.n, n), order="F")
    effects: list[list[np.ndarray]] = [[] for _ in roots]
    for r, stream in enumerate(np.random.SeedSequence(seed).spawn(n)):
        rng = np.random.default_rng(stream)
        if new:
            for own, root, group in zip(effects, roots, fit.cp.groups, strict=True):
                own.append(rng.standard_normal((group.n_levels, group.k)) @ root.T)
        out[:, r] = mean + noise * rng.standard_normal(rows.n)
    if new:
        for tile in rows.tiles():
            for g, Z, codes in zip(rows.groups, tile.Z, tile.codes, strict=True):
                for r in range(n):
                    out[tile.where, r] += np.einsum("ia,ia->i", Z, effects[g][r][codes])
    return out
