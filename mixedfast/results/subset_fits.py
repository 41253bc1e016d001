"""`SubsetFits`: one model fitted to every subset of a table."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixedfast.data.frames_out import apart, returns_callers_tables
from mixedfast.errors import DataError
from mixedfast.inference.ddf.flat_directions import flat_directions, rest_on_flat
from mixedfast.results.tabled import Tabled
from mixedfast.results.tables import theta_names

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.crossprod.types import CrossProducts
    from mixedfast.estimation.fit import Fit
    from mixedfast.estimation.pls import Solution
    from mixedfast.results.lmm import LMMResult

__all__ = ["Each", "Optimum", "SubsetFits", "SubsetRow", "rows_of_fits"]

_STATISTICS = ("n", "criterion", "converged", "singular", "sigma")


@dataclass(frozen=True, eq=False)
class SubsetRow:
    """Estimates of one subset: numbers by name, or the message of its error.

    Parameters
    ----------
    n : int
        Rows used.
    error : str or None
    criterion, sigma : float
    converged, singular : bool
    theta, params, bse : dict of str to float
    """

    n: int
    error: str | None = None
    criterion: float = np.nan
    sigma: float = np.nan
    converged: bool = False
    singular: bool = False
    theta: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
    bse: Mapping[str, float] = field(default_factory=dict)


class Optimum(NamedTuple):
    """What a row is made of: a fit without its workspace, internal basis."""

    n: int
    nu: int
    theta: np.ndarray
    solution: Solution
    converged: bool
    singular: bool
    unknown: tuple[int, ...]  # coefficients whose variance is not identified

    @classmethod
    def of_fit(cls, fit: Fit) -> Optimum:
        """Keep what a row needs of a fit."""
        converged = fit.optimum is None or fit.optimum.converged
        singular = any(fit.singular_terms)
        unknown: tuple[int, ...] = ()
        if flat_directions(fit):
            converged = False
            rests = np.diag(rest_on_flat(fit, np.eye(fit.cp.p)))
            unknown = tuple(np.flatnonzero(rests).tolist())
        return cls(fit.cp.n, fit.nu, fit.theta_internal, fit.solution, converged, singular, unknown)


def rows_of_fits(cp: CrossProducts, found: Sequence[Optimum]) -> list[SubsetRow]:
    """Make the rows of fits of one model in the scaling of `cp`."""
    if not found:
        return []
    scaling, names, effects = cp.scaling, cp.meta.x_names, theta_names(cp)
    theta = cp.covariance.to_user(np.stack([one.theta for one in found]))
    r2, nu = np.array([one.solution.r2 for one in found]), np.array([one.nu for one in found])
    sigma = np.sqrt(r2 / nu) / cp.scale[-1]
    beta, bse = np.full((2, len(found), len(names)), np.nan)
    beta[:, cp.kept] = scaling.to_user_beta(np.stack([one.solution.beta for one in found]))
    inverse = np.linalg.inv(np.stack([one.solution.LX for one in found]))
    half = scaling.beta_transform() @ inverse.swapaxes(1, 2)
    bse[:, cp.kept] = sigma[:, None] * np.sqrt((half**2).sum(axis=2))
    for i, one in enumerate(found):
        bse[i, cp.kept[list(one.unknown)]] = np.nan
    numbers = zip(sigma.tolist(), theta.tolist(), beta.tolist(), bse.tolist(), strict=True)
    return [
        SubsetRow(
            one.n,
            None,
            one.solution.deviance,
            of_sigma,
            one.converged,
            one.singular,
            dict(zip(effects, of_theta, strict=True)),
            dict(zip(names, of_beta, strict=True)),
            dict(zip(names, of_bse, strict=True)),
        )
        for one, (of_sigma, of_theta, of_beta, of_bse) in zip(found, numbers, strict=True)
    ]


class Each(Mapping[Hashable, "LMMResult"]):
    """The full result of each subset, fitted at its first use."""

    def __init__(self, keys: Sequence[Hashable], fit: Callable[[int], LMMResult]) -> None:
        self._places = {key: place for place, key in enumerate(keys)}
        self._fit: Callable[[int], LMMResult] | None = fit
        self._done: dict[Hashable, LMMResult] = {}

    def __getitem__(self, key: Hashable) -> LMMResult:
        place = self._places[key]
        if key not in self._done:
            if self._fit is None:
                raise DataError(
                    f"each[{key!r}] needs the rows of the data, and these results were pickled "
                    "before it was used: call lmer_by on the table"
                )
            self._done[key] = self._fit(place)
        return self._done[key]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle: the results that were used, and no rows."""
        return {**self.__dict__, "_fit": None}

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"<results of {len(self)} subsets>"


@dataclass(frozen=True, eq=False, repr=False)
class SubsetFits(Tabled):
    """One model fitted to every subset of a table; made by `mixedfast.lmer_by`.

    ``to_frame()`` has one row per subset: the columns that define it, ``n`` (rows used),
    ``criterion, converged, singular, sigma``, theta (``theta_ses|school``), the coefficients by
    their names, their standard errors (``se_ses``), and ``error``: the message of a subset that
    cannot be fitted, whose numbers are missing.

    Parameters
    ----------
    formula : str
    by : tuple of str
        The columns that define the subsets.
    keys : tuple
        The label of each subset that was fitted, or the tuple of its labels.
    each : mapping
        Label to the full `LMMResult`, fitted when it is first used; it raises the error of a subset
        that cannot be fitted.
    rows : tuple of SubsetRow
    requested : int
        Number of subsets; more than were fitted after an interrupt.
    library : {"pandas", "polars", "pyarrow"}
        The data-frame library of the tables.
    """

    formula: str
    by: tuple[str, ...]
    keys: tuple[Hashable, ...]
    each: Mapping[Hashable, LMMResult]
    rows: tuple[SubsetRow, ...]
    requested: int
    library: str = "pandas"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def errors(self) -> dict[Hashable, str]:
        """The message of each subset that cannot be fitted."""
        pairs = zip(self.keys, self.rows, strict=True)
        return {key: row.error for key, row in pairs if row.error is not None}

    @property
    @returns_callers_tables
    def params(self) -> pd.DataFrame:
        """The coefficients, one row per subset."""
        return self._part([row.params for row in self.rows])

    @property
    @returns_callers_tables
    def bse(self) -> pd.DataFrame:
        """The standard errors of the coefficients, one row per subset."""
        return self._part([row.bse for row in self.rows])

    def _part(self, values: Sequence[Mapping[str, float]]) -> pd.DataFrame:
        """Make a table of numbers by name, with the labels of the subsets as index."""
        import pandas as pd

        labels = [key if isinstance(key, tuple) else (key,) for key in self.keys]
        columns = [
            pd.Index(list(own), name=name)
            for name, own in zip(self.by, zip(*labels, strict=True), strict=True)
        ]
        index = columns[0] if len(columns) == 1 else pd.MultiIndex.from_arrays(columns)
        return pd.DataFrame(_columns(values), index=index)

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        params = _columns([row.params for row in self.rows])
        theta = _columns([row.theta for row in self.rows])
        labels = [key if isinstance(key, tuple) else (key,) for key in self.keys]
        by = dict(zip(self.by, zip(*labels, strict=True), strict=True))
        taken = [*self.by, *params]
        ours = [*_STATISTICS, *theta, *(f"se_{name}" for name in params), "error"]
        names = iter(apart(ours, taken))
        out: dict[str, Any] = {name: list(values) for name, values in by.items()}
        out |= {next(names): [getattr(row, name) for row in self.rows] for name in _STATISTICS}
        out |= {next(names): values for values in theta.values()}
        clash = apart(params, self.by)
        out |= dict(zip(clash, params.values(), strict=True))
        errors = _columns([row.bse for row in self.rows])
        out |= {next(names): errors[name] for name in params}
        out[next(names)] = [row.error for row in self.rows]
        return pd.DataFrame(out)

    def __repr__(self) -> str:
        done = f"{len(self)}" if len(self) == self.requested else f"{len(self)} of {self.requested}"
        failed, singular = len(self.errors), sum(row.singular for row in self.rows)
        missed = sum(not row.converged and row.error is None for row in self.rows)
        return (
            f"<SubsetFits {self.formula} by {', '.join(self.by)}; {done} subsets; {singular} "
            f"singular; {missed} not converged; {failed} with an error>"
        )


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Arrange numbers by name as columns; NaN where a row lacks a name."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
