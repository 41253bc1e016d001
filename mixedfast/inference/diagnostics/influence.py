"""Influence of groups: fit the model without each group in turn, and compare.

The rows of a group are summed once and its cross-products are subtracted from those of all rows;
the other rows are never read again. (Rows that are not in memory are summed by level, all levels in
one reading.) Each fit starts at the estimates from all rows, a few Newton steps from its own. Where
derivatives are costly the Hessian of the whole serves all of them: mostly one gradient and one
step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.combine import subtract
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.columns import take
from mixedfast.errors import NotIdentifiedError
from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.estimation.local_model import NeighbourModel, choose_model
from mixedfast.inference.intervals.parameters import Parameter, list_parameters, parameter_values

if TYPE_CHECKING:
    from mixedfast.design.types import Design

__all__ = ["Deletions", "cooks_distances", "influence", "parts_of_rows"]


@dataclass(frozen=True, eq=False)
class Deletions:
    """Estimates without the rows of each level of a factor.

    Parameters
    ----------
    group : str
        Name of the factor.
    levels : (D,) array
        Labels of the levels left out.
    rows : (D,) int array
        Rows of each level.
    parameters : tuple of Parameter
    whole : (P,) array
        Estimates from all rows.
    without : (D, P) array
        Estimates without each level; NaN where the other rows do not determine them.
    bse : (D, p) array
        Standard errors of the coefficients without each level.
    information : (p, p) array
        Inverse covariance of the coefficients from all rows.
    converged : (D,) bool array
    """

    group: str
    levels: np.ndarray
    rows: np.ndarray
    parameters: tuple[Parameter, ...]
    whole: np.ndarray
    without: np.ndarray
    bse: np.ndarray
    information: np.ndarray
    converged: np.ndarray

    @property
    def _is_coefficient(self) -> np.ndarray:
        """Which parameters are coefficients, (P,) bool."""
        return np.array([parameter.kind == "beta" for parameter in self.parameters])

    def _change(self) -> np.ndarray:
        """Compute the change of the coefficients when a level is left out, (D, p)."""
        return self.without[:, self._is_coefficient] - self.whole[self._is_coefficient]


def cooks_distances(deletions: Deletions) -> np.ndarray:
    """Compute Cook's distance of each level, (D,).

    d' Var(beta)^-1 d / p with d the change of the coefficients:     Cook (1977, Technometrics 19).
    """
    d = deletions._change()
    return np.einsum("ia,ab,ib->i", d, deletions.information, d) / max(1, d.shape[1])


def influence(
    fit: Fit,
    parts: Iterator[CrossProducts],
    group: str,
    labels: np.ndarray,
    progress: Show = "auto",
) -> Deletions:
    """Fit the model without the rows of each level of a factor.

    Parameters
    ----------
    fit : Fit
    parts : iterator of CrossProducts
        Of the rows of each level, scaled as those of all rows (`parts_of_rows`,
        `mixedfast.crossprod.level_sums.parts_of_levels`).
    group : str
        Name of the factor.
    labels : (D,) array
    progress : {"auto", True, False}

    Returns
    -------
    Deletions
        After Ctrl-C, of the levels finished, if there are any.
    """
    cp = fit.cp
    parameters = list_parameters(cp)
    whole = parameter_values(
        cp, fit.theta_internal, np.sqrt(fit.solution.r2 / fit.nu), fit.solution.beta
    )
    near = _neighbour(fit, len(labels))
    found: list[tuple[np.ndarray, np.ndarray, bool]] = []
    counts: list[int] = []
    try:
        with bar(len(labels), f"leaving out {group}", progress) as advance:
            for part in parts:
                found.append(_fit_without(fit, part, near(part.n) if near else None))
                counts.append(part.n)
                advance(1)
    except KeyboardInterrupt:
        if not found:
            raise
        sys.stderr.write(f"interrupted: the {len(found)} levels finished so far are kept\n")
    done = len(found)
    without = np.array([one[0] for one in found]).reshape(done, len(parameters))
    bse = np.array([one[1] for one in found]).reshape(done, cp.p)
    converged = np.array([one[2] for one in found], dtype=bool)
    return Deletions(
        group,
        np.asarray(labels)[:done],
        np.array(counts, dtype=int),
        tuple(parameters),
        whole,
        without,
        bse,
        np.linalg.inv(fit.vcov),
        converged,
    )


def parts_of_rows(
    cp: CrossProducts, design: Design, codes: np.ndarray, n_levels: int
) -> Iterator[CrossProducts]:
    """Sum the rows of each level, scaled as all rows are.

    Each row is read once; rows with code -1 are left out.
    """
    rows = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[rows], np.arange(n_levels + 1))
    kept = design.keep_columns(cp.kept.tolist())
    for level in range(n_levels):
        yield assemble(_select_rows(kept, rows[ends[level] : ends[level + 1]]), 1, cp.scaling)


def _select_rows(design: Design, rows: np.ndarray) -> Design:
    """Restrict the design to some of its rows; the numbers of the levels stay."""
    return replace(
        design,
        y=design.y[rows],
        weights=None if design.weights is None else design.weights[rows],
        offset=None if design.offset is None else design.offset[rows],
        x=tuple(take(column, rows) for column in design.x),
        terms=tuple(
            replace(
                term,
                codes=term.codes[rows],
                columns=tuple(take(column, rows) for column in term.columns),
            )
            for term in design.terms
        ),
    )


def _neighbour(fit: Fit, levels: int) -> Callable[[int], NeighbourModel] | None:
    """Return rows left out -> local model of the deviance without them.

    None where the local model of the engine is as cheap, or at a singular fit, where the Hessian of
    the whole is no guide.
    """
    system = fit.system
    if not system.engine.is_costly or any(fit.singular_terms) or not fit.curvature().exact:
        return None
    hessian = fit.curvature().hessian
    return lambda gone: NeighbourModel(
        hessian, levels, gone / fit.cp.n, choose_model(system, False)
    )


def _fit_without(
    fit: Fit, part: CrossProducts, neighbour: NeighbourModel | None
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Fit without some rows: estimates, standard errors of coefficients, convergence."""
    cp = fit.cp
    start = None if any(fit.singular_terms) else fit.theta
    unknown = np.full(cp.p, np.nan)
    try:
        rest = fit_crossproducts(
            subtract(cp, part), fit.reml, start, fit.engine_wanted, neighbour=neighbour
        )
    except NotIdentifiedError:
        return np.full(len(list_parameters(cp)), np.nan), unknown, False
    sigma = np.sqrt(rest.solution.r2 / rest.nu)
    estimates = parameter_values(cp, rest.theta_internal, sigma, np.zeros(cp.p))
    beta, bse = unknown.copy(), unknown.copy()
    at = np.searchsorted(cp.kept, rest.cp.kept)
    beta[at], bse[at] = rest.beta, np.sqrt(np.diag(rest.vcov))
    estimates[len(estimates) - cp.p :] = beta
    return estimates, bse, rest.optimum is not None and rest.optimum.converged
