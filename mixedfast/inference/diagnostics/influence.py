"""What single groups do to a fit: leave one out, fit the rest, look at what moves.

The rows of a group are summed once and their cross-products taken from those of all rows; the rest is never read again. (Rows
that are not in memory are summed by level, all levels in one reading.) Each fit starts at the estimates of the whole, a few
Newton steps from its own. Where derivatives are dear, the whole's Hessian serves them all: mostly one gradient and one step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.combine import take_away
from mixedfast.crossprod.types import CrossProducts
from mixedfast.data.frames_out import in_callers_library
from mixedfast.design.columns import take
from mixedfast.errors import NotIdentifiedError
from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.estimation.local_model import Neighbour, outlook_of
from mixedfast.inference.intervals.parameters import Parameter, list_parameters, values

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.design.types import Design

__all__ = ["Influence", "influence", "parts_of_rows"]

#: Groups that `repr` shows.
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Influence:
    """Estimates with each level left out in turn.

    Parameters
    ----------
    group : str
    levels : (D,) array
        Labels of the levels left out.
    rows : (D,) int array
        Rows of each.
    parameters : tuple of Parameter
    whole : (P,) array
        Estimates from all rows.
    without : (D, P) array
        Estimates without each level; NaN where the rest does not determine them.
    bse : (D, p) array
        Standard errors of the coefficients without each level.
    information : (p, p) array
        Inverse covariance of the coefficients from all rows.
    converged : (D,) bool array
    library : str
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
    library: str = "pandas"

    @property
    def _is_beta(self) -> np.ndarray:
        return np.array([parameter.kind == "beta" for parameter in self.parameters])

    def _frame(self, numbers: np.ndarray, columns: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(
            numbers, index=pd.Index(self.levels, name=self.group), columns=list(columns)
        )

    def _names(self, beta: bool) -> list[str]:
        return [
            p.name for p, own in zip(self.parameters, self._is_beta, strict=True) if own == beta
        ]

    def _change(self) -> np.ndarray:
        return self.without[:, self._is_beta] - self.whole[self._is_beta]

    @property
    @in_callers_library
    def params(self) -> pd.DataFrame:
        """Coefficients without each level."""
        return self._frame(self.without[:, self._is_beta], self._names(True))

    @property
    @in_callers_library
    def dfbeta(self) -> pd.DataFrame:
        """Coefficients without each level less those from all rows: the sign of lme4's ``dfbeta``."""
        return self._frame(self._change(), self._names(True))

    @property
    @in_callers_library
    def dfbetas(self) -> pd.DataFrame:
        """`dfbeta` in standard errors of the fit without the level."""
        return self._frame(self._change() / self.bse, self._names(True))

    @property
    @in_callers_library
    def variances(self) -> pd.DataFrame:
        """Standard deviations, correlations and sigma without each level."""
        return self._frame(self.without[:, ~self._is_beta], self._names(False))

    @property
    def cooks_distance(self) -> pd.Series:
        """Cook's distance of each level: the change of all coefficients, d' Var(beta)^-1 d / p (Cook 1977, Technometrics 19).

        lme4's for groups is (J - p) / J of this, J the number of levels.
        """
        import pandas as pd

        return pd.Series(
            self._cook(), index=pd.Index(self.levels, name=self.group), name="cooks_distance"
        )

    def _cook(self) -> np.ndarray:
        d = self._change()
        return np.einsum("ia,ab,ib->i", d, self.information, d) / max(1, d.shape[1])

    @in_callers_library
    def to_frame(self) -> pd.DataFrame:
        """One row a level: ``rows, cooks_distance, converged``, then every estimate without the level.

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.influence("Subject").to_frame().round(3)[["rows", "cooks_distance"]].head(2)
                 rows  cooks_distance
        Subject
        308        10           0.092
        309        10           0.149
        """
        frame = self._frame(self.without, [p.name for p in self.parameters])
        for name, numbers in (
            ("converged", self.converged),
            ("cooks_distance", self._cook()),
            ("rows", self.rows),
        ):
            frame.insert(0, name, numbers)
        return frame[["rows", "cooks_distance", "converged", *(p.name for p in self.parameters)]]

    def __repr__(self) -> str:
        pandas = replace(self, library="pandas")
        top = pandas.to_frame().sort_values("cooks_distance", ascending=False).head(_SHOWN)
        return f"<Influence: {len(self.levels)} levels of {self.group} left out in turn; the most influential are\n{top}>"


def influence(
    fit: Fit,
    parts: Iterator[CrossProducts],
    group: str,
    labels: np.ndarray,
    progress: Show = "auto",
) -> Influence:
    """Leave out the rows of each level of some factor in turn.

    Parameters
    ----------
    fit : Fit
    parts : iterator of CrossProducts
        Of each level's rows, in the basis of all (`parts_of_rows`, `mixedfast.crossprod.level_sums.parts_of_levels`).
    group : str
        What the factor is called.
    labels : (D,) array
    progress : {"auto", True, False}

    Returns
    -------
    Influence
        Of the levels that were done, when interrupted by Ctrl-C after the first.
    """
    cp = fit.cp
    parameters = list_parameters(cp)
    whole = values(cp, fit.theta_internal, np.sqrt(fit.solution.r2 / fit.nu), fit.solution.beta)
    near = _neighbour(fit, len(labels))
    found: list[tuple[np.ndarray, np.ndarray, bool]] = []
    counts: list[int] = []
    try:
        with bar(len(labels), f"leaving out {group}", progress) as advance:
            for part in parts:
                found.append(_without(fit, part, near(part.n) if near else None))
                counts.append(part.n)
                advance(1)
    except KeyboardInterrupt:
        if not found:
            raise
        sys.stderr.write(f"interrupted: keeping the {len(found)} levels that are done\n")
    done = len(found)
    without = np.array([one[0] for one in found]).reshape(done, len(parameters))
    bse = np.array([one[1] for one in found]).reshape(done, cp.p)
    converged = np.array([one[2] for one in found], dtype=bool)
    return Influence(
        group,
        np.asarray(labels)[:done],
        np.array(counts, dtype=int),
        tuple(parameters),
        whole,
        without,
        bse,
        np.linalg.inv(fit.vcov),
        converged,
        cp.meta.library,
    )


def parts_of_rows(
    cp: CrossProducts, design: Design, codes: np.ndarray, n_levels: int
) -> Iterator[CrossProducts]:
    """Cross-products of each level's rows, in the basis of all; every row is read once, and those with code -1 never."""
    rows = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[rows], np.arange(n_levels + 1))
    mine = design.keep_columns(cp.kept.tolist())
    for level in range(n_levels):
        yield assemble(_only(mine, rows[ends[level] : ends[level + 1]]), 1, cp.basis)


def _only(design: Design, rows: np.ndarray) -> Design:
    """The design on some of its rows, groups numbered as before."""
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


def _neighbour(fit: Fit, levels: int) -> Callable[[int], Neighbour] | None:
    """Rows left out -> how to look at what is left; None where the engine's own way costs as little, or sees more."""
    system = fit.system
    if not system.engine.is_costly or any(fit.singular_terms) or not fit.curvature().exact:
        return None
    hessian = fit.curvature().hessian
    return lambda gone: Neighbour(hessian, levels, gone / fit.cp.n, outlook_of(system, False))


def _without(
    fit: Fit, part: CrossProducts, neighbour: Neighbour | None
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Estimates and standard errors of the coefficients without some rows, and whether the search ended well."""
    cp = fit.cp
    start = None if any(fit.singular_terms) else fit.theta
    unknown = np.full(cp.p, np.nan)
    try:
        rest = fit_crossproducts(
            take_away(cp, part), fit.reml, start, fit.engine_wanted, neighbour=neighbour
        )
    except NotIdentifiedError:
        return np.full(len(list_parameters(cp)), np.nan), unknown, False
    sigma = np.sqrt(rest.solution.r2 / rest.nu)
    estimates = values(cp, rest.theta_internal, sigma, np.zeros(cp.p))
    beta, bse = unknown.copy(), unknown.copy()
    at = np.searchsorted(cp.kept, rest.cp.kept)
    beta[at], bse[at] = rest.beta, np.sqrt(np.diag(rest.vcov))
    estimates[len(estimates) - cp.p :] = beta
    return estimates, bse, rest.optimum is not None and rest.optimum.converged
