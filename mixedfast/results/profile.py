"""`Profile`: likelihood profiles as tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.inference.intervals.profile import LikelihoodProfile, profile_limits
from mixedfast.results.tabled import Intervals

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Profile"]


@dataclass(frozen=True, eq=False)
class Profile(LikelihoodProfile, Intervals):
    """Likelihood profiles of a fit; made by ``m.profile()``.

    ``to_frame()`` has one row per point computed: ``parameter, value, zeta``. ``plot()`` draws zeta
    against the parameter: a straight line means that the usual symmetric interval is appropriate.

    Parameters
    ----------
    traces : dict of str to Trace
        Parameter -> values, zeta and slopes.
    estimates : dict of str to float
        Maximum likelihood estimates.
    cutoff : float
        The abs(zeta) reached on both sides, unless a bound came first.
    deviance : float
        The smallest ML deviance.
    library : {"pandas", "polars", "pyarrow"}
        The data-frame library of the tables.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
    >>> m.profile().confint().round(2).loc["sigma"].to_dict()
    {'conf_low': 38.23, 'conf_high': 67.66}
    """

    library: str = "pandas"

    @property
    def _names(self) -> Sequence[str]:
        return list(self.traces)

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        parts = [
            pd.DataFrame({"parameter": name, "value": trace.value, "zeta": trace.zeta})
            for name, trace in self.traces.items()
        ]
        return pd.concat(parts, ignore_index=True)

    def _limits(self, level: float) -> np.ndarray:
        return profile_limits(self, level)

    def _draw(self, level: float, ax: Any) -> np.ndarray:
        from mixedfast.report.plots import plot_profile

        return plot_profile(self, level, ax)
