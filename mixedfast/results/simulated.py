"""`Power` and `Permutation`: tests of simulated responses and of shuffled data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.inference.hypotheses.simulated_power import binomial_interval
from mixedfast.results.tabled import Tabled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Permutation", "Power", "PowerRow"]


@dataclass(frozen=True)
class PowerRow:
    """Tests of one design.

    Parameters
    ----------
    n_groups, n_per_group : int or None
        None where groups have different numbers of rows.
    n_obs : int
    n_sim, significant, n_singular, n_failed : int
        Responses drawn; tests with a p value below alpha; fits with a singular covariance; fits
        that did not converge, or left no p value. These count as not significant.
    """

    n_groups: int
    n_per_group: int | None
    n_obs: int
    n_sim: int
    significant: int
    n_singular: int
    n_failed: int

    @property
    def power(self) -> float:
        """Share of significant tests."""
        return self.significant / self.n_sim


@dataclass(frozen=True, eq=False, repr=False)
class Power(Tabled):
    """Power of a test by simulation; made by ``mf.power()``.

    ``to_frame()`` has one row per design: ``n_groups, n_per_group, n_obs, power, conf_low,
    conf_high, n_sim, n_singular, n_failed``. The interval shows the Monte Carlo error (Clopper and
    Pearson 1934).

    Parameters
    ----------
    hypothesis, group, ddf : str
    alpha, level : float
    rows : tuple of PowerRow
    library : {"pandas", "polars", "pyarrow"}
    """

    hypothesis: str
    group: str
    ddf: str
    alpha: float
    level: float
    rows: tuple[PowerRow, ...]
    library: str = "pandas"

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        columns: dict[str, list[Any]] = {"n_groups": [row.n_groups for row in self.rows]}
        if any(row.n_per_group is not None for row in self.rows):
            columns["n_per_group"] = [row.n_per_group for row in self.rows]
        ends = [binomial_interval(row.significant, row.n_sim, self.level) for row in self.rows]
        columns["n_obs"] = [row.n_obs for row in self.rows]
        columns["power"] = [row.power for row in self.rows]
        columns["conf_low"] = [low for low, _ in ends]
        columns["conf_high"] = [high for _, high in ends]
        for name in ("n_sim", "n_singular", "n_failed"):
            columns[name] = [getattr(row, name) for row in self.rows]
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        table = self._table()
        shares = ["power", "conf_low", "conf_high"]
        table[shares] = table[shares].map(lambda share: f"{share:.3f}")
        return (
            f"Power of the test of {self.hypothesis} at level {self.alpha:g}, df by {self.ddf}, "
            f"by simulation;\ngroups are levels of {self.group}; interval: {self.level:.0%}\n\n"
            f"{table.to_string(index=False)}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Permutation(Tabled):
    """A permutation test; made by ``mf.permute()``.

    ``to_frame()`` has one row: ``column, f_value, p_value, conf_low, conf_high, n``. The interval
    of the p value shows the Monte Carlo error.

    Parameters
    ----------
    column : str
    unit : str
        What was shuffled, in words.
    terms : tuple of str
        The terms that contain the column, tested jointly.
    f_value : float
        Wald statistic of all coefficients of these terms over their number.
    drawn : (n,) array
        The same with the column shuffled; NaN where it is not defined.
    requested : int
    library : {"pandas", "polars", "pyarrow"}
    """

    column: str
    unit: str
    terms: tuple[str, ...]
    f_value: float
    drawn: np.ndarray
    requested: int
    library: str = "pandas"

    #: Statistics closer than this share count as equal: searches end with an error.
    _EQUAL = 1e-6

    @property
    def _reached(self) -> int:
        """Number of shuffles with a statistic at least as large as that of the data."""
        return int((self.drawn >= self.f_value * (1.0 - self._EQUAL)).sum())

    @property
    def p_value(self) -> float:
        """The p value; the data themselves count as one shuffle (Phipson and Smyth 2010)."""
        return (1 + self._reached) / (1 + len(self.drawn))

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        low, high = binomial_interval(self._reached, len(self.drawn))
        row = {
            "column": self.column,
            "f_value": self.f_value,
            "p_value": self.p_value,
            "conf_low": low,
            "conf_high": high,
            "n": len(self.drawn),
        }
        return pd.DataFrame([row])

    def __repr__(self) -> str:
        low, high = binomial_interval(self._reached, len(self.drawn))
        done = f"{len(self.drawn):,}"
        if len(self.drawn) < self.requested:
            done += f" of {self.requested:,}"
        return (
            f"Permutation test of {', '.join(self.terms)}: {self.unit}\n"
            f"F = {self.f_value:.3f}, p = {self.p_value:.4g} from {done} shuffles "
            f"(Monte Carlo 95%: {low:.3g} to {high:.3g})"
        )
