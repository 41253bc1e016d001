"""`MarginalMeans`: estimated marginal means and their comparisons as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixedfast.data.frames_out import apart, returns_callers_tables
from mixedfast.inference.ddf.methods import boundary_note
from mixedfast.inference.hypotheses.emmeans import GridMeans
from mixedfast.inference.hypotheses.mean_tests import (
    equality_tests,
    families,
    mean_estimates,
    not_estimable,
    pairwise,
)
from mixedfast.results.tabled import Tabled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MarginalMeans"]

#: So many means that cannot be estimated are explained on the page; others are counted.
_REASONS = 3


@dataclass(frozen=True, eq=False, repr=False)
class MarginalMeans(GridMeans, Tabled):
    """Estimated marginal means; made by ``m.emmeans()``.

    ``to_frame()`` has one row per mean: the variables, then ``emmean, std_error, df, conf_low,
    conf_high``.

    Parameters
    ----------
    fit : LinearFit
    specs, by : tuple of str
        The variables of the means, and those that define families of comparisons.
    levels : tuple of tuple
        One per mean: values of ``specs``, then of ``by``.
    rows : (m, p_all) array
        Averages of all columns of X; NaN for combinations without rows where cells are weighted by
        their rows.
    offset : (m,) array
    at : dict
        Values at which the other covariates are held.
    over : tuple of str
        The variables averaged over.
    nested : tuple of str
        The nesting of factors: ``"site in region"``.
    ddf : str or TraceMethod
    level : float
        Of confidence intervals.
    library : {"pandas", "polars", "pyarrow"}
        The data-frame library of the tables.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
    >>> m.emmeans("sector").to_frame().round(2)[["sector", "emmean", "std_error"]]
         sector  emmean  std_error
    0  Catholic   13.82       0.25
    1    Public   11.72       0.23
    """

    library: str = "pandas"

    @returns_callers_tables
    def pairs(self, adjust: str = "tukey") -> pd.DataFrame:
        """Return all differences of two means within each level of ``by``.

        Parameters
        ----------
        adjust : {"tukey", "holm", "bonferroni", "sidak", "none"}
            How p values and intervals allow for the number of means (Tukey) or of comparisons in a
            family. Holm's stepwise p values have no intervals; those of Bonferroni take their
            place.

        Returns
        -------
        DataFrame
            ``contrast``, the variables of ``by``, then ``estimate, std_error, df, statistic,
            p_value, conf_low, conf_high``.

        Raises
        ------
        ArgumentError
            For an unknown adjustment.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
        >>> m.emmeans("sector").pairs().round(3)[["contrast", "estimate", "std_error"]]
                    contrast  estimate  std_error
        0  Catholic - Public     2.101      0.341
        """
        import pandas as pd

        frames = []
        for by, members in families(self).items():
            couples, tests = pairwise(self, members, adjust)
            labels = [f"{self._label(i)} - {self._label(j)}" for i, j in couples]
            own = dict(zip(self.by, by, strict=True))
            named = self._named({"contrast": labels, **tests})
            columns = {name: named[name] for name in list(named)[:1]} | own | named
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)

    @returns_callers_tables
    def joint(self) -> pd.DataFrame:
        """Test that all means of a family are equal, one row per level of ``by``.

        Returns
        -------
        DataFrame
            The variables of ``by``, then ``num_df, den_df, f_value, p_value``; NaN when a mean
            cannot be estimated.

        Examples
        --------
        >>> import mixedfast as mf
        >>> formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"
        >>> m = mf.lmer(formula, mf.load_dataset("cake"))
        >>> m.emmeans("recipe").joint().round(2)[["num_df", "den_df", "f_value"]].values.tolist()
        [[2.0, 42.0, 0.25]]
        """
        import pandas as pd

        rows = [
            (*by, test.num_df, test.den_df, test.f_value, test.p_value)
            for by, test in equality_tests(self).items()
        ]
        statistics = apart(("num_df", "den_df", "f_value", "p_value"), self.by)
        return pd.DataFrame(rows, columns=[*self.by, *statistics])

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        variables: dict[str, Any] = {
            name: [row[i] for row in self.levels] for i, name in enumerate((*self.specs, *self.by))
        }
        if not self.specs:
            variables = {"1": ["overall"] * len(self.levels), **variables}
        return pd.DataFrame({**variables, **self._named(mean_estimates(self))})

    def _named(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Name columns of statistics apart from the user's variables."""
        names = apart(columns, (*self.specs, *self.by))
        return dict(zip(names, columns.values(), strict=True))

    def _label(self, i: int) -> str:
        """Name a mean by its values of ``specs``."""
        return " ".join(str(value) for value in self.levels[i][: len(self.specs)]) or "overall"

    def _notes(self) -> str:
        """Describe the intervals, and what was held and averaged over."""
        held = ", ".join(f"{name} = {_short(value)}" for name, value in self.at.items())
        reasons = not_estimable(self)
        shown = [f"{self._label(i)}: {reason}" for i, reason in list(reasons.items())[:_REASONS]]
        more = len(reasons) - len(shown)
        notes = (
            f"{100 * self.level:g}% intervals, df by {self.ddf}",
            f"at {held}" if held else "",
            f"averaged over {', '.join(self.over)}" if self.over else "",
            f"nested factors: {', '.join(self.nested)}" if self.nested else "",
            f"not estimable: {', '.join(shown)}" if shown else "",
            f"and {more} more means" if more else "",
            boundary_note(self.fit, self.ddf),
        )
        return "; ".join(filter(None, notes))

    def __str__(self) -> str:
        return f"{self._table().to_string(index=False)}\n{self._notes()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        return f"{self._table().to_html(index=False)}<p>{escape(self._notes())}</p>"


def _short(value: Any) -> str:
    """Write a number with four digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
