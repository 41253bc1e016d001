"""`MarginalMeans`: estimated marginal means and their comparisons as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._validation import check_choice, check_flag, check_level, check_names
from mixedfast.data.frames_out import apart, returns_callers_tables
from mixedfast.errors import ArgumentError
from mixedfast.inference.ddf.methods import boundary_note
from mixedfast.inference.hypotheses.emmeans import GridMeans
from mixedfast.inference.hypotheses.mean_comparisons import mean_letters, mean_panels
from mixedfast.inference.hypotheses.mean_tests import (
    contrast_means,
    equality_tests,
    mean_estimates,
    not_estimable,
    regrouped,
)
from mixedfast.report.means import ddf_note, means_page
from mixedfast.report.page import Page
from mixedfast.results.mean_contrasts import MeanContrasts
from mixedfast.results.tabled import Tabled, tabled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MarginalMeans"]

#: So many means that cannot be estimated are explained on the page; others are counted.
_REASONS = 3


@dataclass(frozen=True, eq=False, repr=False)
class MarginalMeans(GridMeans, Tabled):
    """Estimated marginal means, or slopes; made by ``m.emmeans()`` and ``m.emtrends()``.

    ``to_frame()`` has one row per mean: the variables, then ``emmean, std_error, df, conf_low,
    conf_high``. Slopes have ``trend`` in the place of ``emmean``, and means on the scale of the
    response before its transformation ``response``.

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
    statistic : str
    trend_of : str
    transformation : Transformation or None
    on_response : bool
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

    def contrast(
        self,
        method: Any = "pairwise",
        adjust: str | None = None,
        ref: Any = None,
        by: str | Sequence[str] | None = None,
        simple: str | Sequence[str] | None = None,
        family: str = "by",
    ) -> MeanContrasts:
        """Test contrasts of the means within each level of ``by``.

        Parameters
        ----------
        method : str, list of str, dict or array
            ``"pairwise"``, all differences; ``"control"``, differences from the mean `ref`;
            ``"consecutive"``, each mean minus the one before; ``"poly"``, orthogonal polynomials of
            equally spaced levels; ``"eff"``, deviations from the average; ``"interaction"``,
            differences of differences. A list has one of them per variable of the means, for their
            products: ``["pairwise", "poly"]``. A dict gives label -> weights, one number per mean
            or level -> number; an array has one row of weights per contrast.
        adjust : str, optional
            How p values and intervals allow for the number of contrasts: ``"tukey"`` (all
            differences of one family), ``"dunnett"`` (differences from a control), ``"mvt"`` (any
            contrasts: the multivariate t distribution), ``"scheffe"``, ``"holm"``, ``"fdr"``
            (Benjamini and Hochberg), ``"bonferroni"``, ``"sidak"`` or ``"none"``. By default as in
            R's emmeans: Tukey for "pairwise", Dunnett for "control", multivariate t for
            "consecutive", "fdr" for "eff", none for the others. Holm's and "fdr" have no intervals;
            those of Bonferroni take their place.
        ref : optional
            The control: a level, or a tuple of levels. The first mean by default.
        by : str or list of str, optional
            Other variables of the means to stay within; ``[]`` compares all means.
        simple : str or list of str, optional
            Compare the levels of these variables within each combination of all others.
        family : {"by", "all"}
            Adjust the contrasts of each level of ``by`` together, or those of all levels.

        Returns
        -------
        MeanContrasts
            With ``to_frame()``, ``joint()`` and ``summary()``.

        Raises
        ------
        ArgumentError
            For an unknown method or adjustment, or one that does not fit the contrasts.

        Notes
        -----
        Dunnett's and multivariate t p values are those of the largest absolute value of several t,
        with the correlations and df of the model. They are computed by quadrature, to 1e-10, where
        the correlations are products of two numbers, as for a control in a balanced design, and
        otherwise by quasi-Monte Carlo with a fixed seed, whose standard error is printed. Scheffé's
        are those of F with the rank of the contrasts (Scheffé 1953, Biometrika 40).

        Examples
        --------
        >>> import mixedfast as mf
        >>> formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"
        >>> m = mf.lmer(formula, mf.load_dataset("cake"))
        >>> temperature = m.emmeans("temperature")
        >>> temperature.contrast("poly")["p_value"].round(3).tolist()[:2]
        [0.0, 0.568]
        >>> own = temperature.contrast({"hot - cold": [-1, 0, 0, 0, 0, 1]})
        >>> own["estimate"].round(2).tolist()
        [7.38]
        """
        if by is not None and simple is not None:
            raise ArgumentError("give by= or simple=, not both")
        means: GridMeans = self
        if simple is not None:
            inside = check_names("simple", simple)
            for name in inside:
                check_choice("simple", name, (*self.specs, *self.by))
            by = [name for name in (*self.specs, *self.by) if name not in inside]
        if by is not None:
            means = regrouped(self, check_names("by", by))
        found = contrast_means(means, method, adjust, ref, family)
        return tabled(MeanContrasts, found, self.library)

    @returns_callers_tables
    def pairs(self, adjust: str | None = None) -> pd.DataFrame:
        """Return all differences of two means within each level of ``by``.

        Parameters
        ----------
        adjust : str, optional
            As for `contrast`; ``"tukey"`` by default.

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
        return self.contrast("pairwise", adjust)._table()

    @returns_callers_tables
    def letters(self, alpha: float = 0.05, adjust: str | None = None) -> pd.DataFrame:
        """Return the means with compact letters: means that share a letter do not differ.

        Parameters
        ----------
        alpha : float
            Two means differ when the adjusted p value of their difference is below this.
        adjust : str, optional
            As for `contrast`; ``"tukey"`` by default.

        Returns
        -------
        DataFrame
            The columns of ``to_frame()`` and ``letters``. Within each level of ``by`` the smallest
            mean has the letter a.

        Notes
        -----
        A letter in common does not show that two means are equal: the data may say little. The
        differences with their intervals (`pairs`) say more. Algorithm: Piepho (2004, Journal of
        Computational and Graphical Statistics 13).

        Examples
        --------
        >>> import mixedfast as mf
        >>> formula = "angle ~ recipe + temperature + (1 | recipe:replicate)"
        >>> m = mf.lmer(formula, mf.load_dataset("cake"))
        >>> m.emmeans("temperature").letters()[["temperature", "emmean", "letters"]].round(1)
          temperature  emmean letters
        0         175    28.0       a
        1         185    30.0      ab
        2         195    31.4       b
        3         205    32.2       b
        4         215    35.8       c
        5         225    35.4       c
        """
        check_level(alpha, "alpha")
        table = self._table()
        (name,) = apart(("letters",), table.columns)
        return table.assign(**{name: mean_letters(self, alpha, adjust)})

    def plot(
        self,
        comparisons: bool = True,
        adjust: str | None = None,
        ax: Any = None,
        xlabel: str = "",
        ylabel: str = "",
    ) -> np.ndarray:
        """Draw the means with their intervals, one panel per level of ``by``.

        Parameters
        ----------
        comparisons : bool
            Draw arrows from each mean towards the others: two means differ significantly where
            their arrows do not overlap (after Goldstein and Healy 1995, JRSS A 158). Pairs for
            which this is not so are named below the panel.
        adjust : str, optional
            Of the comparisons, as for `contrast`; ``"tukey"`` by default.
        ax : Axes or sequence of Axes, optional
            One per panel; a new figure by default.
        xlabel, ylabel : str
            In the place of the default labels.

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
        >>> formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"
        >>> m = mf.lmer(formula, mf.load_dataset("cake"))
        >>> m.emmeans("temperature | recipe").plot().shape
        (3,)
        """
        from mixedfast.report.plots.means import plot_means

        check_flag("comparisons", comparisons)
        panels = mean_panels(self, comparisons, adjust)
        xlabel, ylabel = xlabel or self._measure(), ylabel or " ".join(self.specs)
        return plot_means(panels, xlabel, ylabel, 1.0 - self.level, ax)

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

    def summary(self) -> Page:
        """Lay out the means as a page, with notes on the grid.

        Returns
        -------
        Page
            With ``to_html()``, ``to_markdown()``, ``to_latex()`` and ``to_docx(path)``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
        >>> print(m.emmeans("sector").summary())
        sector    emmean Std. Error    df lower 95% upper 95%
        Catholic 13.8201     0.2527 140.6   13.3204   14.3197
        Public   11.7192     0.2281 153.6   11.2687   12.1698
        95% intervals, Satterthwaite's degrees of freedom; at ses = 0.0001434
        """
        names = tuple(mean_estimates(self))
        return means_page(self._table(), names, self.level, self._notes())

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        variables: dict[str, Any] = {
            name: [row[i] for row in self.levels] for i, name in enumerate((*self.specs, *self.by))
        }
        if not self.specs:
            variables = {"1": ["overall"] * len(self.levels), **variables}
        numbers = mean_estimates(self)
        names = apart(numbers, variables)
        return pd.DataFrame({**variables, **dict(zip(names, numbers.values(), strict=True))})

    def _measure(self) -> str:
        """Name the quantity on the axis of a picture."""
        response = self.fit.cp.meta.recipe.spec.response if self.fit.cp.meta.recipe else "response"
        if self.trend_of:
            return f"Slope of {response} by {self.trend_of}"
        if self.on_response and self.transformation is not None:
            return f"Mean, back-transformed from {self.transformation.name}"
        return f"Mean of {response}"

    def _notes(self) -> list[str]:
        """Describe the means: scale, grid, nesting, and means that cannot be estimated."""
        reasons = not_estimable(self)
        labels = {i: " ".join(map(str, self.levels[i])) or "overall" for i in reasons}
        shown = [f"{labels[i]}: {reason}" for i, reason in list(reasons.items())[:_REASONS]]
        more = len(reasons) - len(shown)
        held = ", ".join(f"{name} = {_short(value)}" for name, value in self.at.items())
        notes = (
            f"slopes of {self.trend_of}" if self.trend_of else "",
            self._scale(),
            f"{100 * self.level:g}% intervals, {ddf_note(self.ddf)}",
            self._averaged(),
            f"nested factors: {', '.join(self.nested)}" if self.nested else "",
            f"at {held}" if held else "",
            boundary_note(self.fit, self.ddf),
        )
        lost = f"not estimable: {'; '.join(shown)}" + (f"; and {more} more means" if more else "")
        return ["; ".join(filter(None, notes)), lost if shown else ""]

    def _averaged(self) -> str:
        """Name the variables averaged over, and the interactions that the averages hide."""
        if not self.over:
            return ""
        named = (*self.specs, *self.by, *([self.trend_of] if self.trend_of else []))
        shown = []
        for name in self.over:
            terms = [t.variables for t in self.fit.cp.meta.fixed_terms if name in t.variables]
            others = [other for other in named if any(other in term for term in terms)]
            shown.append(f"{name} (interacts with {', '.join(others)})" if others else name)
        return f"averaged over {', '.join(shown)}"

    def _scale(self) -> str:
        """Name the scale of a model of a transformed response."""
        if self.transformation is None:
            return ""
        name = self.transformation.name
        return f"back-transformed from {name}" if self.on_response else f"on the scale of {name}"

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().to_html()


def _short(value: Any) -> str:
    """Write a number with four digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
