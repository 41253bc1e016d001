"""Tables, intervals and pictures that several results give in the same way.

`mixedfast.inference` computes numbers in frozen dataclasses. A public result is such a dataclass
with a `library`: it makes tables in the data-frame library of the user, and pictures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mixedfast.data.frames_out import returns_callers_tables

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Intervals", "Tabled", "interval_table", "tabled"]


Result = TypeVar("Result")


def tabled(kind: Callable[..., Result], numbers: Any, library: str) -> Result:
    """Build a public result of some kind from the dataclass of numbers it extends."""
    own = {field.name: getattr(numbers, field.name) for field in fields(numbers)}
    return kind(**own, library=library)


def interval_table(ends: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Make a table ``conf_low, conf_high`` of (P, 2) interval ends."""
    import pandas as pd

    return pd.DataFrame(ends, index=list(names), columns=["conf_low", "conf_high"])


class Tabled(ABC):
    """A result with a table in the library of the user: "pandas", "polars" or "pyarrow"."""

    @property
    @abstractmethod
    def library(self) -> str:
        """The data-frame library of the tables."""

    @abstractmethod
    def _table(self) -> pd.DataFrame:
        """Make the table of `to_frame` in pandas."""

    @returns_callers_tables
    def to_frame(self) -> pd.DataFrame:
        """Return the numbers as a table.

        Returns
        -------
        DataFrame
            Its columns are described with the class.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.profile(["sigma"]).to_frame().columns.tolist()
        ['parameter', 'value', 'zeta']
        >>> m.influence("Batch").to_frame()["rows"].tolist()
        [5, 5, 5, 5, 5, 5]
        """
        return self._table()


class Intervals(Tabled):
    """A result with a confidence interval and a picture of each parameter."""

    @property
    @abstractmethod
    def _names(self) -> Sequence[str]:
        """Names of the parameters."""

    @abstractmethod
    def _limits(self, level: float) -> np.ndarray:
        """Compute interval ends, (P, 2)."""

    @abstractmethod
    def _draw(self, level: float, ax: Any) -> np.ndarray:
        """Draw the picture of `plot`."""

    @returns_callers_tables
    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Return confidence intervals of the parameters.

        Parameters
        ----------
        level : float

        Returns
        -------
        DataFrame
            Index: parameters; columns ``conf_low, conf_high``. An end that the likelihood does not
            limit is the parameter's bound: 0 for a standard deviation, -1 or 1 for a correlation.

        Raises
        ------
        ArgumentError
            When `level` is not between 0 and 1, or larger than the ``max_level`` of a profile.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.profile(["sigma"]).confint(0.9).round(2)
               conf_low  conf_high
        sigma     39.73      64.07
        """
        return interval_table(self._limits(level), self._names)

    def plot(self, level: float = 0.95, ax: Any = None) -> np.ndarray:
        """Draw the parameters with matplotlib, one panel per parameter.

        Parameters
        ----------
        level : float
            Of the interval drawn.
        ax : sequence of matplotlib Axes, optional
            One per parameter; a new figure by default.

        Returns
        -------
        ndarray of Axes

        Raises
        ------
        MissingLibraryError
            When matplotlib is not installed.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.profile(["sigma"]).plot().shape
        (1,)
        >>> m.bootstrap(50, seed=1).plot().shape
        (3,)
        """
        return self._draw(level, ax)
